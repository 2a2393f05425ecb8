package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/contacts"
	"ihyid/exchange"
	"ihyid/exchange/register"
)

func (a *app) contactsSubjectReport() *cobra.Command {
	var external string
	cmd := &cobra.Command{
		Use:   "subject-report [NUMBER]",
		Short: "Tell all that is held on one person, and with whom it was matched",
		Long: `Tell all that this node holds on one person, for somebody who asks what is known of them:
the contact and what it was merged of, the codes that matching makes of it, what was decided, when
it will be erased, the exchanges that found it at a peer, and with whom anonymised contacts were
compared at all. Other people's data are not in it: of possible duplicates only numbers are shown.`,
		Example: "  ihyid contacts subject-report 17\n  ihyid contacts subject-report --external-id A-17 --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) == (external == "") {
				return usagef("say who: NUMBER or --external-id ID")
			}
			return a.with(func(c *client.Client) error {
				var n uint64
				var err error
				if external != "" {
					s, err := c.FindContact(cmd.Context(), external)
					if err != nil {
						return fmt.Errorf("nobody has that external id: %w", err)
					}
					n = s.ID
				} else if n, err = contactNumber(args[0]); err != nil {
					return err
				}
				report, err := c.SubjectReport(cmd.Context(), n)
				if err != nil {
					return fmt.Errorf("there is no report on contact %d: %w", n, err)
				}
				if a.json {
					return a.printJSON(report)
				}
				return a.showSubject(report)
			})
		},
	}
	cmd.Flags().StringVar(&external, "external-id", "", "the person's `id` in your own lists")
	return cmd
}

func (a *app) showStored(c register.Stored) error {
	return a.facts("contact", c.ID, "first name", c.FirstName, "last name", c.LastName,
		"mother's first name", c.MotherFirstName, "father's first name", c.FatherFirstName,
		"date of birth", c.DateOfBirth, "sex", c.Sex, "phone", c.Phone,
		"national id", c.NationalID, "household", c.HouseholdID, "location", c.Location,
		"external id", c.ExternalID, "phonetic id", c.PhoneticID,
		"version", c.Version, "created", when(c.Created), "by", c.CreatedBy, "updated", when(c.Updated), "updated by", c.UpdatedBy)
}

func (a *app) showSubject(r exchange.SubjectReport) error {
	s := r.Subject
	fmt.Fprintf(a.out, "All that is held by %s on this person, %s\n\n", r.Node, when(r.Made))
	if err := a.showStored(s.Contact); err != nil {
		return err
	}
	for _, o := range s.Originals {
		fmt.Fprintf(a.out, "\nMerged of\n")
		if err := a.showStored(o); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.out)
	line := ""
	if s.Line > 0 {
		line = fmt.Sprint(s.Line)
	}
	if err := a.facts("brought by the import of job", s.Import, "line", line, "last changed by the import of job", s.Last, "will be erased", when(s.Erased)); err != nil {
		return err
	}
	for _, m := range s.Merges {
		undone := ""
		if !m.Undone.IsZero() {
			undone = fmt.Sprintf(", undone by %s at %s", clean(m.UndoneBy), when(m.Undone))
		}
		fmt.Fprintf(a.out, "merged of contacts %d and %d by %s at %s%s\n", m.Of[0], m.Of[1], clean(m.By), when(m.At), undone)
	}
	for _, d := range s.Decisions {
		fmt.Fprintf(a.out, "decided about %s: %s, by %s at %s\n", d.ID, d.Verdict, clean(d.By), when(d.At))
	}
	for _, row := range s.Rows {
		what := row.Outcome
		switch {
		case row.Resembles:
			what = "another contact, which may be the same person"
		case len(row.Changed) > 0:
			what += " (" + strings.Join(row.Changed, ", ") + ")"
		}
		fmt.Fprintf(a.out, "in the report of import %s, line %d: %s\n", row.Import, row.Line, what)
	}
	for _, p := range s.Open {
		fmt.Fprintf(a.out, "possibly the same person as contact %d: %s\n", p.Contact, strings.Join(p.Keys, " "))
	}
	if len(s.Records) > 0 {
		fmt.Fprintln(a.out, "\nWhat matching makes of it")
		t := newTable(a.out, "KEY", "CODES")
		for _, rec := range s.Records {
			var codes []string
			for _, f := range contacts.Fields() {
				if v := rec.Codes[f.String()]; v != "" {
					codes = append(codes, v)
				}
			}
			for name, v := range rec.Codes {
				if _, ok := contacts.ParseField(name); !ok {
					codes = append(codes, v)
				}
			}
			t.row(rec.Key, strings.Join(codes, " "))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(r.Matches) == 0 {
		fmt.Fprintln(a.out, "\nNo exchange has found this person at a peer.")
	} else {
		fmt.Fprintln(a.out, "\nFound at peers")
		t := newTable(a.out, "ENDED", "PEER", "PURPOSE", "TIER", "KEYS", "EXCHANGE AND RECEIPT")
		for _, m := range r.Matches {
			t.row(when(m.Ended), named(m.PeerName, m.Peer), m.Purpose, m.Tier, strings.Join(m.Keys, " "), m.Exchange)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(r.Compared) > 0 {
		fmt.Fprintln(a.out, "\nAnonymised contacts were compared with")
		t := newTable(a.out, "PEER", "EXCHANGES", "FIRST", "LAST")
		for _, p := range r.Compared {
			t.row(named(p.PeerName, p.Peer), p.Exchanges, when(p.First), when(p.Last))
		}
		return t.flush()
	}
	return nil
}

func named(name, did string) string {
	if name == "" {
		return did
	}
	return name + " (" + did + ")"
}
