package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/exchange"
)

func (a *app) receiptsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "receipts", Short: "Signed evidence of what was exchanged"}
	cmd.AddCommand(a.receiptsList(), a.receiptsExport(), a.receiptsVerify(), a.receiptsRevoke(), a.receiptsSuspend(), a.receiptsReinstate())
	return cmd
}

func (a *app) receiptsList() *cobra.Command {
	var f listFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List match receipts, the newest first",
		Example: "  ihyid receipts list --peer did:web:relief.example.org --since 2026-05-01T00:00:00Z",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFilter[string](&f, nil); err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				list, err := c.Receipts(cmd.Context(), f.Filter)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(itemsOf(list))
				}
				if len(list) == 0 && f.chosen() {
					a.say("No receipt fits.")
					return nil
				}
				if len(list) == 0 {
					a.say("No receipts yet: an exchange leaves one when it ends.")
					return nil
				}
				t := newTable(a.out, "RECEIPT", "PEER", "PURPOSE", "PROTOCOL", "MATCHES", "POSSIBLE", "ENDED", "STATUS")
				for _, r := range list {
					peer := r.PeerName
					if peer == "" {
						peer = r.Peer
					}
					t.row(r.ID, peer, r.Purpose, r.Protocol, r.Matches, r.Possible, when(r.Ended), r.Status.State)
				}
				a.say("MATCHES and POSSIBLE count pairs of contacts, as both sides signed them: a contact that fits two of theirs counts twice.\nihyid exchange show counts your contacts.")
				return t.flush()
			})
		},
	}
	f.flags(cmd, 0, "peer", "since")
	return cmd
}

func (a *app) receiptsExport() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "export ID",
		Short: "Give a receipt as an auditor gets it",
		Long: `Give a receipt as an auditor gets it: a JSON file with both sides' credentials and the
DID documents they were signed under. It holds no personal data.`,
		Example: "  ihyid receipts export 7d1a... --out receipt.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				file, err := c.Receipt(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("receipt %s cannot be exported: %w", args[0], err)
				}
				return a.toFile(path, func(w io.Writer) error {
					_, err := w.Write(file)
					return err
				})
			})
		},
	}
	cmd.Flags().StringVarP(&path, "out", "o", "", "write to this `file` (default: standard output)")
	return cmd
}

func (a *app) receiptsRevoke() *cobra.Command {
	return a.receiptStatus("revoke ID", "Take back this node's signature under a receipt, for good", true,
		func(ctx context.Context, c *client.Client, id, reason string) (exchange.ReceiptStatus, error) {
			return c.RevokeReceipt(ctx, id, reason)
		})
}

func (a *app) receiptsSuspend() *cobra.Command {
	return a.receiptStatus("suspend ID", "Take back this node's signature under a receipt for now", true,
		func(ctx context.Context, c *client.Client, id, reason string) (exchange.ReceiptStatus, error) {
			return c.SuspendReceipt(ctx, id, reason)
		})
}

func (a *app) receiptsReinstate() *cobra.Command {
	return a.receiptStatus("reinstate ID", "End the suspension of a receipt", false,
		func(ctx context.Context, c *client.Client, id, _ string) (exchange.ReceiptStatus, error) {
			return c.ReinstateReceipt(ctx, id)
		})
}

func (a *app) receiptStatus(use, short string, withReason bool, do func(context.Context, *client.Client, string, string) (exchange.ReceiptStatus, error)) *cobra.Command {
	var reason string
	verb, _, _ := strings.Cut(use, " ")
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long: short + `.

Only this node's own signature is meant; the other side's stands until that side takes it
back. Whoever verifies the receipt and can reach this node sees it within minutes.`,
		Example: "  ihyid receipts " + verb + " 7d1a..." + map[bool]string{true: ` --reason "made with the wrong list"`}[withReason],
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				status, err := do(cmd.Context(), c, args[0], reason)
				if err != nil {
					return fmt.Errorf("cannot %s receipt %s: %w", verb, args[0], err)
				}
				if a.json {
					return a.printJSON(status)
				}
				a.say("Receipt %s: this node's signature is %s.", args[0], status.State)
				return nil
			})
		},
	}
	if withReason {
		cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
		_ = cmd.MarkFlagRequired("reason")
	}
	return cmd
}

// receiptCheck is one check that was made of a receipt.
type receiptCheck struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"` // passed, failed, skipped
	Reason  string `json:"reason,omitempty"`
}

// receiptReport is what came of verifying a receipt.
type receiptReport struct {
	File      string         `json:"file"`
	Verified  bool           `json:"verified"`
	Checks    []receiptCheck `json:"checks"`
	Statement any            `json:"statement,omitempty"`
}

// Bounds on what receipts verify reads.
const (
	maxReceipt      = 4 << 20
	maxDIDDocument  = 256 << 10
	maxDIDDocuments = 1000
)

func (a *app) receiptsVerify() *cobra.Command {
	var docs string
	var offline, requireStatus bool
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify a receipt; needs no node",
		Long: `Verify a receipt as an auditor does. Needs no node. Every check is named with its
outcome; the status is 1 if one failed. Whether a party has taken its signature back is asked
of that party; where it cannot be reached the check is skipped, unless --require-status.

The signers' DID documents are taken from --did-docs (every .json file in that
directory), else resolved. With --offline nothing is resolved.`,
		Example: `  ihyid receipts verify receipt.json
  ihyid receipts verify receipt.json --did-docs did-docs --offline`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := readFile(args[0], maxReceipt)
			if err != nil {
				return err
			}
			documents, err := readDocuments(docs)
			if err != nil {
				return err
			}
			network, err := a.network()
			if err != nil {
				return err
			}
			report, err := verifyReceipt(cmd.Context(), file, verifyOptions{documents: documents, offline: offline, requireStatus: requireStatus, network: network})
			if err != nil {
				return fmt.Errorf("%s cannot be verified: %w", args[0], err)
			}
			report.File = args[0]
			return a.showReport(report)
		},
	}
	f := cmd.Flags()
	f.StringVar(&docs, "did-docs", "", "`directory` with DID documents that you trust")
	f.BoolVar(&requireStatus, "require-status", false, "fail if it cannot be told whether a signature was taken back")
	f.BoolVar(&offline, "offline", false, "resolve nothing over the network")
	networkFlags(f)
	return cmd
}

func (a *app) showReport(r receiptReport) error {
	var err error
	if a.json {
		err = a.printJSON(r)
	} else {
		t := newTable(a.out, "OUTCOME", "CHECK", "REASON")
		for _, c := range r.Checks {
			t.row(strings.ToUpper(c.Outcome), c.Name, c.Reason)
		}
		err = t.flush()
		if r.Verified {
			fmt.Fprintf(a.out, "%s: VERIFIED\n", clean(r.File))
		} else {
			fmt.Fprintf(a.out, "%s: NOT VERIFIED\n", clean(r.File))
		}
	}
	if err == nil && !r.Verified {
		return errNo
	}
	return err
}

func readDocuments(dir string) ([][]byte, error) {
	if dir == "" {
		return nil, nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, usagef("--did-docs %s is no directory", dir)
	}
	names, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.json"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s holds no .json file", dir)
	}
	if len(names) > maxDIDDocuments {
		return nil, fmt.Errorf("%s holds more than %d .json files", dir, maxDIDDocuments)
	}
	documents := make([][]byte, 0, len(names))
	for _, name := range names {
		doc, err := readFile(name, maxDIDDocument)
		if err != nil {
			return nil, err
		}
		documents = append(documents, doc)
	}
	return documents, nil
}

func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
