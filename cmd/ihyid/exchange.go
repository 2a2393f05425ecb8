package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ihyid/api"
	"ihyid/api/client"
	"ihyid/exchange"
)

func (a *app) exchangeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "exchange",
		Aliases: []string{"exchanges"},
		Short:   "Find the contacts that two organisations have in common",
	}
	cmd.AddCommand(a.exchangeDecide()...)
	cmd.AddCommand(a.exchangeRun(), a.exchangeExportStep(), a.exchangeImportStep(), a.exchangeList(), a.exchangeShow(), a.exchangeMatches(), a.exchangePresentations())
	return cmd
}

func (a *app) exchangeRun() *cobra.Command {
	var r exchange.Request
	var noWait bool
	var out string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Find the contacts in common with a peer",
		Long: `Find the contacts in common with a peer, and wait for the end. Both sides learn which
of their own contacts the other knows, and both get a signed receipt; neither sees
the other's data.

The exchange goes on in the node if this command is interrupted.

Where no network joins the two nodes, --by-file has each step carried as a sealed file,
on a stick for example. This command then makes the first one, and says what to do with
it; export-step and import-step make and take the others.`,
		Example: `  ihyid exchange run --peer did:web:shelter.example.net --purpose "winter kits 2026"
  ihyid exchange run --peer did:web:shelter.example.net --profile soundex/1 --protocol voprf --purpose "winter kits 2026" --json
  ihyid exchange run --peer did:web:shelter.example.net --purpose "winter kits 2026" --by-file --out /media/stick/1.ihyid`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required("protocol", r.Protocol, protocolNames); err != nil {
				return err
			}
			if r.Protocol == exchange.ProtocolNoise {
				a.say("Beware: whoever holds a bundle of the protocol noise can guess names and dates at leisure. Use voprf unless the other side cannot.")
			}
			if out != "" && !r.ByFile {
				return usagef("--out is for an exchange by file: add --by-file")
			}
			return a.with(func(c *client.Client) error {
				if r.ByFile {
					return a.beginByFile(cmd.Context(), c, r, out)
				}
				return a.runExchange(cmd.Context(), c, r, noWait, timeout)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Peer, "peer", "", "`DID` of the peer")
	f.StringVar(&r.Profile, "profile", defaultProfile, "matching profile; ihyid profiles list shows them")
	f.StringVar(&r.Protocol, "protocol", exchange.ProtocolVOPRF, "how: voprf, or noise for small lists (the other side can guess names and dates from it at leisure)")
	f.StringVar(&r.Purpose, "purpose", "", "why; it stands in the receipt (1 to 200 characters)")
	f.BoolVar(&r.ByFile, "by-file", false, "carry its steps as sealed files instead of using the network")
	f.BoolVar(&r.Afresh, "afresh", false, "send all, also where an earlier exchange could be built on")
	f.StringVarP(&out, "out", "o", "", "with --by-file: write the first file there")
	f.BoolVar(&noWait, "no-wait", false, "do not wait for the end; ihyid exchange show ID tells how far it is")
	f.DurationVar(&timeout, "timeout", 0, "wait at most this long, such as 10m (default: as long as it takes)")
	_ = cmd.MarkFlagRequired("peer")
	_ = cmd.MarkFlagRequired("purpose")
	return cmd
}

func (a *app) runExchange(ctx context.Context, c *client.Client, r exchange.Request, noWait bool, timeout time.Duration) error {
	e, err := c.StartExchange(ctx, r)
	if err != nil {
		return fmt.Errorf("the exchange with %s did not start: %w", r.Peer, err)
	}
	if noWait {
		if a.json {
			return a.printJSON(e)
		}
		fmt.Fprintln(a.out, e.ID)
		a.say("The exchange goes on: ihyid exchange show %s", e.ID)
		return nil
	}
	wait := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	bars := a.progress(wait)
	defer bars.stop()
	id := e.ID
	e, err = awaitExchange(wait, c, e, bars.job("exchanging"))
	bars.stop()
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("interrupted; the exchange goes on in the node: ihyid exchange show %s", id)
	case err != nil && wait.Err() != nil:
		return fmt.Errorf("the exchange has not ended within %v; it goes on in the node: ihyid exchange show %s", timeout, id)
	case err != nil:
		return fmt.Errorf("exchange %s: %w", id, err)
	}
	if err := a.showExchange(e); err != nil {
		return err
	}
	if e.State != exchange.StateDone {
		return errNo
	}
	return nil
}

// awaitExchange waits for the end of an exchange by following its job.
func awaitExchange(ctx context.Context, c *client.Client, e exchange.Exchange, change func(api.Job)) (exchange.Exchange, error) {
	for !e.State.Finished() {
		if e.Job == "" {
			return e, errors.New("the node names no job for it")
		}
		job, err := c.WatchJob(ctx, e.Job, change)
		if err != nil {
			return e, err
		}
		if e, err = c.Exchange(ctx, e.ID); err != nil {
			return e, err
		}
		if !e.State.Finished() && e.Job == job.ID {
			return e, jobFailed("the exchange", job)
		}
	}
	return e, nil
}

func (a *app) showExchange(e exchange.Exchange) error {
	if a.json {
		return a.printJSON(e)
	}
	inCommon, possible := "", ""
	if e.State == exchange.StateDone {
		inCommon, possible = plural(e.InCommon, "contact", "contacts"), plural(e.Possible, "contact", "contacts")
	}
	evaluated := ""
	if e.Evaluated > 0 {
		evaluated = number(e.Evaluated)
	}
	finished := ""
	if e.Finished != nil {
		finished = when(*e.Finished)
	}
	if err := a.facts("exchange", e.ID, "state", e.State, "error", e.Error, "in common", inCommon, "possible", possible,
		"took", fmt.Sprintf("%.1f s", e.Seconds), "peer", strings.TrimSpace(e.PeerName+" ("+e.Peer+")"), "our role", e.Role,
		"profile", e.Profile, "profile digest", e.ProfileDigest, "protocol", e.Protocol, "purpose", e.Purpose,
		"entries sent", number(e.OwnCount), "entries received", number(e.PeerCount),
		"points evaluated", evaluated, "excused", e.Excused, "cancelled", cancelledBy(e), "why", e.CancelReason, "receipt", e.Receipt, "job", e.Job, "version", e.Version, "created", when(e.Created), "finished", finished); err != nil {
		return err
	}
	if e.Carry != nil {
		a.sayCarry(e, "")
	}
	if e.Carry == nil {
		switch e.State {
		case exchange.StateWaiting:
			a.say("They wait for your decision: ihyid exchange approve %s, or refuse", e.ID)
		case exchange.StateAccepted:
			if e.Role == exchange.Initiator {
				a.say("It waits for the other node, whose operator may have to approve it first. ihyid jobs show %s tells how far it is.", e.Job)
			}
		}
	}
	if e.Undelivered {
		a.say("The other side has not been told yet: this node tells it as soon as it can be reached. If no network joins you, tell them, so that they cancel it too.")
	}
	if e.Unfinished && e.Cancelled != "" {
		a.say("They had been given something of the result before, and can open no other exchange until this one is excused: ihyid exchange excuse %s --reason ...\nThe signed record: ihyid exchange presentations %s", e.ID, e.ID)
	} else if e.Unfinished {
		a.say("They left it after we had given them something, and can open no other. When they have explained: ihyid exchange excuse %s --reason ...\nThe signed record: ihyid exchange presentations %s", e.ID, e.ID)
	}
	if e.State == exchange.StateDone {
		if e.InCommon+e.Possible > 0 {
			a.say("The contacts: ihyid exchange matches %s", e.ID)
		}
		if e.Receipt != "" {
			a.say("The receipt: ihyid receipts export %s", e.Receipt)
		}
	}
	return nil
}

func cancelledBy(e exchange.Exchange) string {
	return map[string]string{"here": "by us", "peer": "by the other side"}[e.Cancelled]
}

func (a *app) exchangeList() *cobra.Command {
	var f listFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List exchanges, the newest first",
		Example: "  ihyid exchange list --state waiting\n  ihyid exchange list --peer did:web:relief.example.org --limit 10",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFilter(&f, exchangeStates); err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				list, err := c.Exchanges(cmd.Context(), f.Filter)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(itemsOf(list))
				}
				if len(list) == 0 && f.chosen() {
					a.say("No exchange fits.")
					return nil
				}
				if len(list) == 0 {
					a.say(`No exchanges yet. Run one: ihyid exchange run --peer DID --purpose "..."`)
					return nil
				}
				t := newTable(a.out, "EXCHANGE", "STATE", "ROLE", "PEER", "PURPOSE", "IN COMMON", "POSSIBLE", "STARTED")
				for _, e := range list {
					peer := e.PeerName
					if peer == "" {
						peer = e.Peer
					}
					t.row(e.ID, e.State, e.Role, peer, e.Purpose, e.InCommon, e.Possible, when(e.Created))
				}
				return t.flush()
			})
		},
	}
	f.flags(cmd, 0, "state", "peer", "since")
	return cmd
}

func (a *app) exchangeShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show an exchange",
		Example: "  ihyid exchange show 5f0c...",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				e, err := c.Exchange(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("exchange %s cannot be shown: %w", args[0], err)
				}
				return a.showExchange(e)
			})
		},
	}
}

func (a *app) exchangeMatches() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "matches ID",
		Short: "List the own contacts that the peer of an exchange knows too",
		Long: `List the own contacts that the peer of an exchange knows too, with the match keys that
agreed and the tier: match, or possible for a person to look at. --csv writes them
with the own contact's fields.`,
		Example: "  ihyid exchange matches 5f0c... --csv matches.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				if path != "" {
					return a.toFile(path, func(w io.Writer) error { return c.ExportMatches(cmd.Context(), args[0], w) })
				}
				matches, err := c.Matches(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("the matches of exchange %s cannot be shown: %w", args[0], err)
				}
				if a.json {
					return a.printJSON(itemsOf(matches))
				}
				if len(matches) == 0 {
					a.say("This exchange found no contact in common.")
					return nil
				}
				t := newTable(a.out, "TIER", "CONTACT", "EXTERNAL ID", "KEYS", "ROW")
				for _, m := range matches {
					t.row(m.Tier, m.Contact, m.ExternalID, strings.Join(m.Keys, " "), m.Row)
				}
				return t.flush()
			})
		},
	}
	cmd.Flags().StringVar(&path, "csv", "", "write them as CSV to this `file`, - for standard output")
	return cmd
}

func (a *app) exchangePresentations() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "presentations ID",
		Short: "Show the signed presentations of an exchange",
		Long: `Show the signed presentations of an exchange by step: the evidence behind its receipt.
They hold no personal data. --out DIR writes each to a file of its own.`,
		Example: "  ihyid exchange presentations 5f0c... --out evidence",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				all, err := c.Presentations(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("the presentations of exchange %s cannot be shown: %w", args[0], err)
				}
				if dir != "" {
					return a.writePresentations(dir, all)
				}
				if a.json {
					return a.printJSON(all)
				}
				if len(all) == 0 {
					a.say("This exchange has no presentations yet.")
				}
				for _, step := range slices.Sorted(maps.Keys(all)) {
					fmt.Fprintf(a.out, "%-24s %s\n", clean(step), plural(len(all[step]), "byte", "bytes"))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&dir, "out", "o", "", "write each to a file of its own in this `directory`")
	return cmd
}

func (a *app) writePresentations(dir string, all map[string]json.RawMessage) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for step, text := range all {
		// The steps' names are the node's own; a name that is none of a file is refused all the same.
		if step == "" || step != filepath.Base(step) || step[0] == '.' {
			return fmt.Errorf("the node named a step in a way that cannot be a file's name")
		}
		if err := a.toFile(filepath.Join(dir, step+".json"), func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
