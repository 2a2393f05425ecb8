package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/exchange/register"
)

func (a *app) contactsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "contacts", Short: "The people whom your organisation serves"}
	cmd.AddCommand(a.contactsImport(), a.contactsList(), a.contactsShow(), a.contactsSearch(), a.contactsDuplicates(), a.contactsExport())
	return cmd
}

func (a *app) contactsList() *cobra.Command {
	var after uint64
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List contacts by number",
		Example: "  ihyid contacts list --limit 20\n  ihyid contacts list --after 120",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit must be at least 1")
			}
			return a.with(func(c *client.Client) error {
				list := []register.Stored{}
				for contact, err := range c.Contacts(cmd.Context(), after) {
					if err != nil {
						return err
					}
					if list = append(list, contact); len(list) == limit {
						break
					}
				}
				if a.json {
					return a.printJSON(itemsOf(list))
				}
				if len(list) == 0 {
					if after > 0 {
						a.say("No contact has a number above %d.", after)
					} else {
						a.say("No contacts yet. Import a list: ihyid contacts import FILE.csv")
					}
					return nil
				}
				t := newTable(a.out, "CONTACT", "FIRST NAME", "LAST NAME", "MOTHER", "FATHER", "BORN", "EXTERNAL ID", "PHONETIC ID")
				for _, c := range list {
					t.row(c.ID, c.FirstName, c.LastName, c.MotherFirstName, c.FatherFirstName, c.DateOfBirth, c.ExternalID, c.PhoneticID)
				}
				if err := t.flush(); err != nil {
					return err
				}
				if len(list) == limit {
					a.say("There may be more: --after %d", list[len(list)-1].ID)
				}
				return nil
			})
		},
	}
	cmd.Flags().Uint64Var(&after, "after", 0, "begin after the contact of this `number`")
	cmd.Flags().IntVar(&limit, "limit", 100, "show at most this many")
	return cmd
}

func (a *app) contactsShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show NUMBER",
		Short:   "Show a contact",
		Example: "  ihyid contacts show 17",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usagef("%q is no number of a contact; ihyid contacts list shows them", args[0])
			}
			return a.with(func(c *client.Client) error {
				contact, err := c.Contact(cmd.Context(), n)
				if err != nil {
					return fmt.Errorf("contact %d cannot be shown: %w", n, err)
				}
				if a.json {
					return a.printJSON(contact)
				}
				return a.facts("contact", contact.ID, "first name", contact.FirstName, "last name", contact.LastName,
					"mother's first name", contact.MotherFirstName, "father's first name", contact.FatherFirstName,
					"date of birth", contact.DateOfBirth, "sex", contact.Sex, "phone", contact.Phone,
					"national id", contact.NationalID, "household", contact.HouseholdID, "location", contact.Location,
					"external id", contact.ExternalID, "phonetic id", contact.PhoneticID,
					"created", when(contact.Created), "updated", when(contact.Updated))
			})
		},
	}
}

func (a *app) contactsDuplicates() *cobra.Command {
	return &cobra.Command{
		Use:   "duplicates",
		Short: "List pairs of contacts that may be one person",
		Long: `List pairs of contacts that may be one person, with the match keys that agreed. They
are for a person to decide: nothing is merged or dropped by itself.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				pairs := []register.DuplicatePair{}
				for p, err := range c.Duplicates(cmd.Context()) {
					if err != nil {
						return err
					}
					pairs = append(pairs, p)
				}
				if a.json {
					return a.printJSON(itemsOf(pairs))
				}
				if len(pairs) == 0 {
					a.say("No two contacts look like one person.")
					return nil
				}
				t := newTable(a.out, "TIER", "KEYS", "CONTACT", "NAME", "BORN", "CONTACT", "NAME", "BORN")
				for _, p := range pairs {
					t.row(p.Tier, strings.Join(p.Keys, " "), p.A.ID, fullName(p.A), p.A.DateOfBirth, p.B.ID, fullName(p.B), p.B.DateOfBirth)
				}
				return t.flush()
			})
		},
	}
}

func fullName(c register.Stored) string { return strings.TrimSpace(c.FirstName + " " + c.LastName) }

func (a *app) contactsExport() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Export all contacts as CSV",
		Long: `Export all contacts as CSV, to standard output or to --out FILE. The file holds
personal data in the clear: keep it as you keep the lists it came from.`,
		Example: "  ihyid contacts export --out people.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				if a.json {
					list := []register.Stored{}
					for contact, err := range c.Contacts(cmd.Context(), 0) {
						if err != nil {
							return err
						}
						list = append(list, contact)
					}
					return a.toFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(itemsOf(list)) })
				}
				return a.toFile(path, func(w io.Writer) error { return c.ExportContacts(cmd.Context(), w) })
			})
		},
	}
	cmd.Flags().StringVarP(&path, "out", "o", "", "write to this `file` (made anew, for you alone to read)")
	return cmd
}
