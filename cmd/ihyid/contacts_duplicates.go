package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api"
	"ihyid/api/client"
	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/store/jobs"
)

func (a *app) contactsDuplicates() *cobra.Command {
	var limit int
	var least float64
	cmd := &cobra.Command{
		Use:   "duplicates",
		Short: "List pairs of contacts that may be one person, and decide about them",
		Long: `List pairs of contacts that may be one person, side by side, with the match keys that
agreed, how much they agree in all (0 to 1), and in what. They are for a person to decide:
nothing is merged or dropped by itself. What was decided is not asked again.`,
		Example: `  ihyid contacts duplicates --score 0.8
  ihyid contacts duplicates decide 17-204 different
  ihyid contacts duplicates merge 17-204 --take phone=204
  ihyid contacts duplicates undo 311`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit must be at least 1")
			}
			return a.with(func(c *client.Client) error {
				pairs := []register.DuplicatePair{}
				more := false
				for p, err := range c.Duplicates(cmd.Context()) {
					if err != nil {
						return err
					}
					if p.Score < least {
						continue
					}
					if more = len(pairs) == limit; more {
						break
					}
					pairs = append(pairs, p)
				}
				if a.json {
					return a.printJSON(itemsOf(pairs))
				}
				if len(pairs) == 0 {
					a.say("No two contacts that are not decided about look like one person.")
					return nil
				}
				for i, p := range pairs {
					if i > 0 {
						fmt.Fprintln(a.out)
					}
					if err := a.sideBySide(p); err != nil {
						return err
					}
				}
				if more {
					a.say("There are more: --limit shows them.")
				}
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "show at most this many")
	cmd.Flags().Float64Var(&least, "score", 0, "show only pairs that agree at least so much, 0 to 1")
	cmd.AddCommand(a.duplicatesFind(), a.duplicatesDecide(), a.duplicatesMerge(), a.duplicatesUndo(), a.duplicatesDecided())
	return cmd
}

// sideBySide shows a pair, field by field.
func (a *app) sideBySide(p register.DuplicatePair) error {
	fmt.Fprintf(a.out, "%s  %s, agrees %.2f, by %s\n", p.ID, p.Tier, p.Score, strings.Join(p.Keys, " "))
	why := map[string]contacts.FieldComparison{}
	for _, f := range p.Fields {
		why[f.Field] = f
	}
	t := newTable(a.out, "", fmt.Sprint("CONTACT ", p.A.ID), fmt.Sprint("CONTACT ", p.B.ID), "")
	for _, f := range contacts.Fields() {
		x, y := p.A.Value(f), p.B.Value(f)
		if x == "" && y == "" {
			continue
		}
		note := string(why[f.String()].Agreement)
		if n := why[f.String()].Note; n != "" {
			note += ": " + n
		}
		t.row(strings.ReplaceAll(f.String(), "_", " "), x, y, note)
	}
	return t.flush()
}

func (a *app) duplicatesFind() *cobra.Command {
	return &cobra.Command{
		Use: "find", Short: "Compare all contacts with each other", Args: cobra.NoArgs,
		Long: `Compare all contacts with each other. They are compared when they come; this is for after
the matching profile has changed, or to make sure.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				job, err := c.FindDuplicates(cmd.Context())
				if err != nil {
					return err
				}
				var result register.FindResult
				if err := a.awaitJob(cmd.Context(), c, job, "comparing contacts", &result); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(result)
				}
				fmt.Fprintf(a.out, "Compared %s; %s for a decision\n", plural(result.Contacts, "contact", "contacts"), plural(result.Open, "pair waits", "pairs wait"))
				if result.LeftOut > 0 {
					fmt.Fprintf(a.out, "Left out: %s, alike only by a weak key, and not when both are looked at\n", plural(result.LeftOut, "pair", "pairs"))
				}
				return nil
			})
		},
	}
}

// awaitJob waits for a job and decodes its result.
func (a *app) awaitJob(ctx context.Context, c *client.Client, job api.Job, what string, result any) error {
	return a.awaitJobWith(ctx, c, job, what, result, func(api.Job) {})
}

// awaitJobWith tells change of all states, too.
func (a *app) awaitJobWith(ctx context.Context, c *client.Client, job api.Job, what string, result any, change func(api.Job)) error {
	bars := a.progress(ctx)
	defer bars.stop()
	id := job.ID
	show := bars.job(what)
	job, err := c.WatchJob(ctx, id, func(j api.Job) {
		if show != nil {
			show(j)
		}
		change(j)
	})
	bars.stop()
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted; it goes on in the node as job %s: see ihyid jobs show %s", id, id)
		}
		return err
	}
	if job.State != jobs.Done {
		return jobFailed(what, job)
	}
	if err := json.Unmarshal(job.Result, result); err != nil {
		return fmt.Errorf("job %s is done, but its result cannot be understood: %w", id, err)
	}
	return nil
}

func (a *app) duplicatesDecide() *cobra.Command {
	return &cobra.Command{
		Use: "decide PAIR same|different|open", Short: "Say whether two contacts are one person", Args: cobra.ExactArgs(2),
		Long: `Say whether two contacts are one person. Both stay; with "ihyid contacts duplicates merge"
they become one. The decision is kept with who took it and when, and the pair is not asked about
again, however the two contacts change; open takes it back. PAIR need not be one that was found.`,
		Example: "  ihyid contacts duplicates decide 17-204 different",
		RunE: func(cmd *cobra.Command, args []string) error {
			v := register.Verdict(args[1])
			if v != register.Same && v != register.Different && v != register.Open {
				return usagef("%q is none of same, different and open", args[1])
			}
			return a.with(func(c *client.Client) error {
				d, err := c.DecideDuplicate(cmd.Context(), args[0], v)
				if err != nil {
					return fmt.Errorf("the pair %s was not decided: %w", args[0], err)
				}
				if a.json {
					return a.printJSON(d)
				}
				a.say("%s: %s", d.ID, d.Verdict)
				return nil
			})
		},
	}
}

func (a *app) duplicatesMerge() *cobra.Command {
	var take []string
	cmd := &cobra.Command{
		Use: "merge PAIR", Short: "Make one contact of two", Args: cobra.ExactArgs(1),
		Long: `Make a new contact of two. Its fields are those of the older one (the lower number), and of
the other where that is empty; --take FIELD=NUMBER takes a field from the one with that number.
The two are kept aside: lists that bring them again find the merged contact, and
"ihyid contacts duplicates undo" brings them back.`,
		Example: "  ihyid contacts duplicates merge 17-204 --take phone=204 --take location=204",
		RunE: func(cmd *cobra.Command, args []string) error {
			from := map[string]uint64{}
			for _, t := range take {
				field, text, _ := strings.Cut(t, "=")
				if _, ok := contacts.ParseField(field); !ok {
					return usagef("--take %s: no field of a contact is named so", field)
				}
				n, err := contactNumber(text)
				if err != nil {
					return err
				}
				from[field] = n
			}
			return a.with(func(c *client.Client) error {
				merged, err := c.MergeContacts(cmd.Context(), args[0], from)
				if err != nil {
					return fmt.Errorf("the pair %s was not merged: %w", args[0], err)
				}
				if a.json {
					return a.printJSON(merged)
				}
				fmt.Fprintf(a.out, "Merged into contact %d; ihyid contacts duplicates undo %d takes it back\n", merged.ID, merged.ID)
				return nil
			})
		},
	}
	cmd.Flags().StringArrayVar(&take, "take", nil, "take a field from one of the two: `FIELD=NUMBER`; may be given several times")
	return cmd
}

func (a *app) duplicatesUndo() *cobra.Command {
	var discard bool
	cmd := &cobra.Command{
		Use: "undo NUMBER", Short: "Take a merge back", Args: cobra.ExactArgs(1),
		Long:    "Take the merge back that made this contact: both originals are contacts again, under their numbers, with what lists have changed in them since.",
		Example: "  ihyid contacts duplicates undo 311",
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := contactNumber(args[0])
			if err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				back, err := c.UndoMerge(cmd.Context(), n, discard)
				if err != nil {
					return fmt.Errorf("the merge into contact %d was not taken back: %w", n, err)
				}
				if a.json {
					return a.printJSON(itemsOf(back))
				}
				for _, b := range back {
					fmt.Fprintf(a.out, "Contact %d is back\n", b.ID)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&discard, "discard-changes", false, "also if the merged contact was changed by hand since; those changes are lost")
	return cmd
}

func (a *app) duplicatesDecided() *cobra.Command {
	return &cobra.Command{
		Use: "decided", Short: "List what was decided, by whom and when", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				all := []register.Decision{}
				for d, err := range c.Decisions(cmd.Context()) {
					if err != nil {
						return err
					}
					all = append(all, d)
				}
				if a.json {
					return a.printJSON(itemsOf(all))
				}
				if len(all) == 0 {
					a.say("Nothing was decided yet. ihyid contacts duplicates lists what waits.")
					return nil
				}
				t := newTable(a.out, "PAIR", "DECIDED", "BY", "AT", "INTO")
				for _, d := range all {
					t.row(d.ID, d.Verdict, d.By, when(d.At), number(d.Into))
				}
				return t.flush()
			})
		},
	}
}
