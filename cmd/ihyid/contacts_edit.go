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
exchanges found about them. They are not to be found any more, but their bytes stay in the
database, sealed, until their place is used again. "ihyid contacts erase" has them gone at once.`,
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
					return fmt.Errorf("nothing was erased: %w", err)
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

func (a *app) contactsRetention() *cobra.Command {
	cmd := &cobra.Command{Use: "retention", Short: "The rule by which old contacts are erased"}
	show := &cobra.Command{
		Use: "show", Short: "Show the rule, and what it would erase now", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				rule, err := c.Retention(cmd.Context())
				if err != nil {
					return err
				}
				due := uint64(0)
				if rule.Days > 0 {
					if due, err = c.RetentionDue(cmd.Context(), api.RetentionRule{Days: rule.Days, Since: rule.Since}); err != nil {
						return err
					}
				}
				if a.json {
					return a.printJSON(struct {
						register.Retention
						Due uint64 `json:"due"`
					}{rule, due})
				}
				if rule.Days == 0 {
					a.say("No rule: contacts stay until they are deleted. Set one: ihyid contacts retention set --days 730")
					return nil
				}
				return a.facts("erased after", plural(rule.Days, "day", "days"), "counted since", rule.Since, "due now", due, "applied next", when(rule.Next), "set by", rule.By, "set", when(rule.Set), "last job", rule.Job, "version", rule.Version)
			})
		},
	}
	var rule api.RetentionRule
	var yes bool
	set := &cobra.Command{
		Use: "set --days N", Short: "Erase contacts that are older than so many days", Args: cobra.NoArgs,
		Long: `Erase contacts for good when they are older than so many days, by themselves, once a day.
The rule is applied for the first time a day after it is set; ihyid contacts retention off takes
it back. Without --yes it is only told how many contacts it would erase now.`,
		Example: "  ihyid contacts retention set --days 730 --since updated --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rule.Days < 1 {
				return usagef("--days must be at least 1; ihyid contacts retention off ends the rule")
			}
			if err := required("since", rule.Since, []string{register.SinceCreated, register.SinceUpdated}); err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				due, err := c.RetentionDue(cmd.Context(), rule)
				if err != nil {
					return err
				}
				if !yes {
					if a.json {
						return a.printJSON(api.Due{Due: due})
					}
					fmt.Fprintf(a.out, "It would erase %s now. Nothing was set: add --yes\n", plural(due, "contact", "contacts"))
					return nil
				}
				kept, err := c.SetRetention(cmd.Context(), rule)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(kept)
				}
				fmt.Fprintf(a.out, "Set. It is applied first at %s; %s would be erased now\n", when(kept.Next), plural(due, "contact", "contacts"))
				return nil
			})
		},
	}
	set.Flags().IntVar(&rule.Days, "days", 0, "how old a contact may become, in `days`")
	set.Flags().StringVar(&rule.Since, "since", register.SinceCreated, "what its age is counted from: `created|updated`")
	set.Flags().BoolVar(&yes, "yes", false, "set the rule; without it, it is only told what it would do")
	off := &cobra.Command{
		Use: "off", Short: "End the rule", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				kept, err := c.SetRetention(cmd.Context(), api.RetentionRule{})
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(kept)
				}
				a.say("No contact is erased by itself any more.")
				return nil
			})
		},
	}
	run := &cobra.Command{
		Use: "run", Short: "Apply the rule now", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				job, err := c.RunRetention(cmd.Context())
				if err != nil {
					return err
				}
				var result register.RetentionResult
				if err := a.awaitJob(cmd.Context(), c, job, "applying the rule", &result); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(result)
				}
				fmt.Fprintf(a.out, "Erased %s\n", plural(result.Erased, "contact", "contacts"))
				return nil
			})
		},
	}
	cmd.AddCommand(show, set, off, run)
	return cmd
}
