package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ihyid/api"
	"ihyid/api/client"
	"ihyid/contacts"
	"ihyid/exchange/register"
)

// fieldFlags adds a flag for each field of a contact, and gives what of them was set.
func fieldFlags(f *pflag.FlagSet) func() map[string]string {
	values := map[string]*string{}
	for _, field := range contacts.Fields() {
		name := field.String()
		values[name] = f.String(strings.ReplaceAll(name, "_", "-"), "", fieldHelp(field))
	}
	return func() map[string]string {
		set := map[string]string{}
		for name, v := range values {
			if f.Changed(strings.ReplaceAll(name, "_", "-")) {
				set[name] = *v
			}
		}
		return set
	}
}

// fieldHelp says what the value of a field is, and how it is written.
func fieldHelp(f contacts.Field) string {
	switch f {
	case contacts.FirstName, contacts.LastName:
		return "the person's `name`, in any script"
	case contacts.MotherFirstName:
		return "the mother's `name`"
	case contacts.FatherFirstName:
		return "the father's `name`"
	case contacts.DateOfBirth:
		return "the `date` of birth, YYYY-MM-DD; YYYY-01-01 where only the year is known"
	case contacts.Sex:
		return "`F|M|X`"
	case contacts.ExternalID:
		return "the person's `id` in your own lists; no two contacts have the same"
	}
	return "the person's " + strings.ReplaceAll(f.String(), "_", " ") + ", a `text`"
}

func contactNumber(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, usagef("%q is no number of a contact; ihyid contacts list shows them", text)
	}
	return n, nil
}

func contactNumbers(args []string) ([]uint64, error) {
	out := make([]uint64, len(args))
	for i, a := range args {
		var err error
		if out[i], err = contactNumber(a); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *app) contactsAdd() *cobra.Command {
	var fields func() map[string]string
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Register a contact",
		Long: `Register one contact. What stands on a command line can be seen by other users of this
machine while it runs, and stays in the shell's history: for more than a try, import a list.`,
		Example: "  ihyid contacts add --first-name Houman --last-name Haddad --date-of-birth 1976-05-07",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set := fields()
			if len(set) == 0 {
				return usagef("give at least --first-name or --last-name")
			}
			var c contacts.Contact
			for name, v := range set {
				f, _ := contacts.ParseField(name)
				c.Set(f, v)
			}
			return a.with(func(cl *client.Client) error {
				kept, err := cl.CreateContact(cmd.Context(), c)
				if err != nil {
					return err
				}
				return a.showKept("Registered contact", kept)
			})
		},
	}
	fields = fieldFlags(cmd.Flags())
	return cmd
}

func (a *app) contactsEdit() *cobra.Command {
	var fields func() map[string]string
	cmd := &cobra.Command{
		Use:     "edit NUMBER",
		Short:   "Change fields of a contact",
		Long:    "Change the fields that are given, and no others. An empty text empties a field.",
		Example: "  ihyid contacts edit 17 --phone +963111222333\n  ihyid contacts edit 17 --location ''",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := contactNumber(args[0])
			if err != nil {
				return err
			}
			set := fields()
			if len(set) == 0 {
				return usagef("say what is to change, such as --phone")
			}
			return a.with(func(c *client.Client) error {
				kept, err := c.UpdateContact(cmd.Context(), n, set)
				if err != nil {
					return fmt.Errorf("contact %d was not changed: %w", n, err)
				}
				return a.showKept("Changed contact", kept)
			})
		},
	}
	fields = fieldFlags(cmd.Flags())
	return cmd
}

func (a *app) showKept(what string, kept api.Kept) error {
	if a.json {
		return a.printJSON(kept)
	}
	fmt.Fprintf(a.out, "%s %d\n", what, kept.Contact.ID)
	for _, p := range kept.PossibleDuplicates {
		other := p.A.ID
		if other == kept.Contact.ID {
			other = p.B.ID
		}
		fmt.Fprintf(a.out, "It may be the same person as contact %d: ihyid contacts duplicates decide %s same|different, or merge\n", other, p.ID)
	}
	return nil
}

func (a *app) contactsDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NUMBER...",
		Short: "Delete contacts",
		Long: `Delete contacts, with what they were merged of, what was decided about them, and what
exchanges found about them, at once, also while an exchange is going on. Their bytes stay in the
database, sealed, for up to two days. "ihyid contacts erase" has them gone when it returns.`,
		Example: "  ihyid contacts delete 17",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := contactNumbers(args)
			if err != nil {
				return err
			}
			if a.ifVersion != nil && len(list) > 1 {
				return usagef("--if-version is of one contact: delete them one by one")
			}
			return a.with(func(c *client.Client) error {
				for _, n := range list {
					if err := c.DeleteContact(cmd.Context(), n); err != nil {
						return fmt.Errorf("contact %d was not deleted: %w", n, err)
					}
				}
				if a.json {
					return a.printJSON(map[string]int{"deleted": len(list)})
				}
				a.say("Deleted %s.", plural(len(list), "contact", "contacts"))
				return nil
			})
		},
	}
}

func (a *app) contactsErase() *cobra.Command {
	var roll, yes bool
	cmd := &cobra.Command{
		Use:   "erase NUMBER...",
		Short: "Erase contacts for good",
		Long: `Erase up to 200 contacts for good: when the command returns, nothing of them is in the
node's files any more, neither in records nor in indexes nor in free pages, and no later
snapshot has them. Receipts stay and stay valid: they hold nothing personal.

Nothing is erased while an exchange is going on that one of them takes part in: end that first.

Not reached: lists that were exported, snapshots and backups made before, lists that are being
imported just now, and what other organisations have.

Digests made of a contact stand in the epochs with peers, sealed, until those end (30 days at
most). --roll-epochs ends them now; the next exchange with each peer then sends all again.`,
		Example: "  ihyid contacts erase 17 --yes\n  ihyid contacts erase 17 18 --roll-epochs --yes",
		Args:    cobra.RangeArgs(1, register.MaxErase),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := contactNumbers(args)
			if err != nil {
				return err
			}
			if !yes {
				return usagef("this cannot be undone: add --yes to erase %s", plural(len(list), "contact", "contacts"))
			}
			return a.with(func(c *client.Client) error {
				out, err := c.EraseContacts(cmd.Context(), api.Erasing{Contacts: list, RollEpochs: roll})
				if err != nil {
					return fmt.Errorf("erasing %s: %w", plural(len(list), "contact", "contacts"), err)
				}
				if a.json {
					return a.printJSON(out)
				}
				fmt.Fprintf(a.out, "Erased %s\n", plural(out.Erased, "contact", "contacts"))
				if out.Rolled > 0 {
					fmt.Fprintf(a.out, "Ended %s with peers\n", plural(out.Rolled, "epoch", "epochs"))
				}
				if out.Standing > 0 {
					fmt.Fprintf(a.out, "Digests may stand, sealed, in %s with peers until %s; --roll-epochs ends them\n", plural(out.Standing, "epoch", "epochs"), when(out.Until))
				}
				for _, job := range out.Imports {
					fmt.Fprintf(a.out, "The import of job %s is not read to its end: look afterwards whether it brings somebody back\n", job)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&roll, "roll-epochs", false, "end all epochs with peers, too")
	cmd.Flags().BoolVar(&yes, "yes", false, "erase; without it nothing is done")
	return cmd
}
