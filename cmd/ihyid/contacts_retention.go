package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"ihyid/api"
	"ihyid/api/client"
	"ihyid/exchange/register"
	"ihyid/store/jobs"
)

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
		Long: `Apply the rule now. Contacts that take part in an exchange that is going on are not erased
before that has ended: the job is put off then, and tries again by itself.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				job, err := c.RunRetention(cmd.Context())
				if err != nil {
					return err
				}
				var result register.RetentionResult
				if err := a.awaitRetention(cmd.Context(), c, job, &result); err != nil {
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

// errPutOff ends the waiting for a job that was put off.
var errPutOff = errors.New("the job was put off")

// awaitRetention waits for the job that applies the rule, unless it is put off: that may be for days.
func (a *app) awaitRetention(ctx context.Context, c *client.Client, job api.Job, result any) error {
	watching, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var off api.Job
	err := a.awaitJobWith(watching, c, job, "applying the rule", result, func(j api.Job) {
		if j.State == jobs.Waiting {
			off = j
			stop(errPutOff)
		}
	})
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(watching), errPutOff) {
		return fmt.Errorf("the rule is not applied to its end: %s (job %s goes on by itself, next at %s)", off.Error, off.ID, when(off.NotBefore))
	}
	return err
}
