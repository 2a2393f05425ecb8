package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/contacts/list"
	"ihyid/exchange/register"
)

func (a *app) contactsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "contacts", Short: "The people whom your organisation serves"}
	cmd.AddCommand(a.contactsImport(), a.contactsMappings(), a.contactsExport(), a.contactsList(), a.contactsShow(), a.contactsSearch(), a.contactsAdd(), a.contactsEdit(),
		a.contactsDelete(), a.contactsErase(), a.contactsDuplicates(), a.contactsSubjectReport(), a.contactsRetention())
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
				return a.showStored(contact)
			})
		},
	}
}

func (a *app) contactsExport() *cobra.Command {
	var path, format string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Export all contacts as CSV, XLSX or JSON Lines",
		Long: `Export all contacts, to standard output or to --out FILE. Cells that a spreadsheet would
take for a formula are made harmless. The file holds personal data in the clear: keep it as you
keep the lists it came from.`,
		Example: "  ihyid contacts export --out people.csv\n  ihyid contacts export --format xlsx --out people.xlsx",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format == "" {
				format = formatOf(path)
			}
			if format != string(list.CSV) && format != string(list.XLSX) && format != string(list.JSONL) {
				return usagef("--format must be csv, xlsx or jsonl")
			}
			return a.with(func(c *client.Client) error {
				if a.json {
					all := []register.Stored{}
					for contact, err := range c.Contacts(cmd.Context(), 0) {
						if err != nil {
							return err
						}
						all = append(all, contact)
					}
					return a.toFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(itemsOf(all)) })
				}
				return a.toFile(path, func(w io.Writer) error { return c.ExportContacts(cmd.Context(), w, list.Format(format)) })
			})
		},
	}
	cmd.Flags().StringVarP(&path, "out", "o", "", "write to this `file` (made anew, for you alone to read)")
	cmd.Flags().StringVar(&format, "format", "", "`csv|xlsx|jsonl` (default: by the name of the file, else csv)")
	return cmd
}

// formatOf is the format that a file's name asks for.
func formatOf(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".xlsx":
		return string(list.XLSX)
	case ".jsonl", ".ndjson":
		return string(list.JSONL)
	}
	return string(list.CSV)
}
