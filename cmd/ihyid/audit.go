package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/audit"
	"ihyid/api/client"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "The record of who did what"}
	cmd.AddCommand(a.auditList(), a.auditVerify())
	return cmd
}

func (a *app) auditList() *cobra.Command {
	var f client.AuditFilter
	var since, until string
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Read the record, the newest first",
		Example: "  ihyid audit list --operation contacts-export --since 2026-05-01T00:00:00Z\n  ihyid audit list --outcome denied",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit must be at least 1")
			}
			if err := oneOf("outcome", f.Outcome, []audit.Outcome{audit.Done, audit.Failed, audit.Denied, audit.Made}); err != nil {
				return err
			}
			var err error
			if f.Since, err = moment("since", since); err != nil {
				return err
			}
			if f.Until, err = moment("until", until); err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				list := []audit.Record{}
				for r, err := range c.Audit(cmd.Context(), f) {
					if err != nil {
						return err
					}
					if list = append(list, r); len(list) == limit {
						break
					}
				}
				if a.json {
					return a.printJSON(itemsOf(list))
				}
				if len(list) == 0 {
					a.say("Nothing is recorded that fits.")
					return nil
				}
				t := newTable(a.out, "NUMBER", "TIME", "ACCOUNT", "ROLE", "BY", "OPERATION", "OBJECT", "OUTCOME", "NOTE")
				for _, r := range list {
					note := r.Code
					if r.Of > 0 {
						note = strings.TrimSpace(fmt.Sprintf("%s of %d", note, r.Of))
					}
					if r.Count > 0 {
						note = fmt.Sprintf("%d more", r.Count)
					}
					t.row(r.Number, when(r.Time), r.Account, r.Role, r.How, r.Operation, r.Object, r.Outcome, note)
				}
				return t.flush()
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.Account, "account", "", "only of this account, by its `id`; socket is the user who runs the node")
	fl.StringVar(&f.Operation, "operation", "", "only this `operation`")
	fl.StringVar(&f.Outcome, "outcome", "", "only `done|failed|denied|made`")
	fl.StringVar(&since, "since", "", "only from this `time` on")
	fl.StringVar(&until, "until", "", "only before this `time`")
	fl.IntVar(&limit, "limit", 100, "show at most this many")
	return cmd
}

func (a *app) auditVerify() *cobra.Command {
	var noted string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify that nothing in the record was changed",
		Long: `Verify that nothing in the record was changed: each record holds the digest of the one before.
Note the last number and digest somewhere else now and then: with --noted, verify says
too whether that record is still the same, so that not even its end can be cut off unseen.`,
		Example: "  ihyid audit verify\n  ihyid audit verify --noted 4711:5f0c...",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var number uint64
			digest := ""
			if noted != "" {
				n, d, ok := strings.Cut(noted, ":")
				var err error
				if number, err = strconv.ParseUint(n, 10, 64); err != nil || !ok || number == 0 || len(d) != 64 {
					return usagef("--noted must be NUMBER:DIGEST, as verify showed them")
				}
				digest = d
			}
			return a.with(func(c *client.Client) error {
				v, err := c.VerifyAudit(cmd.Context(), number, digest)
				if err != nil {
					return err
				}
				if a.json {
					err = a.printJSON(v)
				} else {
					last := ""
					if v.Digest != "" {
						last = fmt.Sprintf("%d:%s", v.Records, v.Digest)
					}
					err = a.facts("verified", v.Verified, "problem", v.Problem, "records", v.Records, "last", last)
				}
				if err == nil && !v.Verified {
					err = errNo
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&noted, "noted", "", "`NUMBER:DIGEST` of a record, noted before")
	return cmd
}
