package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ihyid/api"
	"ihyid/api/client"
	"ihyid/store/jobs"
)

func (a *app) jobsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "jobs", Short: "The node's long work"}
	cmd.AddCommand(a.jobsList(), a.jobsShow(), a.jobsCancel())
	return cmd
}

func (a *app) jobsList() *cobra.Command {
	var f listFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List jobs, the newest first",
		Example: "  ihyid jobs list --state failed\n  ihyid jobs list --kind contacts.import --limit 5",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFilter(&f, jobStates); err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				list := []api.Job{}
				for j, err := range c.Jobs(cmd.Context(), f.Filter) {
					if err != nil {
						return err
					}
					list = append(list, j)
				}
				if a.json {
					return a.printJSON(itemsOf(list))
				}
				if len(list) == 0 && f.chosen() {
					a.say("No job fits.")
					return nil
				}
				if len(list) == 0 {
					a.say("No jobs yet.")
					return nil
				}
				t := newTable(a.out, "JOB", "KIND", "STATE", "DONE", "BEGUN", "NOTE")
				for _, j := range list {
					t.row(j.ID, j.Kind, j.State, howFar(j), when(j.Created), strings.TrimSpace(j.Message+" "+j.Error))
				}
				return t.flush()
			})
		},
	}
	f.flags(cmd, 50, "state", "kind")
	return cmd
}

func howFar(j api.Job) string {
	switch {
	case j.Total > 0:
		return strings.TrimSpace(fmt.Sprintf("%d of %d %s", j.Done, j.Total, j.Unit))
	case j.Done > 0:
		return strings.TrimSpace(fmt.Sprintf("%d %s", j.Done, j.Unit))
	}
	return ""
}

func (a *app) jobsShow() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a job",
		Long:    "Show a job. With --follow, wait for its end; the status is then 1 if it failed.",
		Example: "  ihyid jobs show 12\n  ihyid jobs show 12 --follow",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				job, err := c.Job(cmd.Context(), args[0])
				if err == nil && follow {
					bars := a.progress(cmd.Context())
					job, err = c.WatchJob(cmd.Context(), args[0], bars.job(job.Kind))
					bars.stop()
				}
				if err != nil {
					return fmt.Errorf("job %s cannot be shown: %w", args[0], err)
				}
				if err := a.showJob(job); err != nil {
					return err
				}
				if follow && job.State != jobs.Done {
					return errNo
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for its end")
	return cmd
}

func (a *app) showJob(j api.Job) error {
	if a.json {
		return a.printJSON(j)
	}
	again := ""
	if j.State == jobs.Waiting {
		again = when(j.NotBefore)
	}
	return a.facts(append([]any{"job", j.ID, "kind", j.Kind, "state", j.State, "done", howFar(j), "message", j.Message, "error", j.Error,
		"created", when(j.Created), "started", when(j.Started), "tried again", again, "finished", when(j.Finished),
		"took", took(j)}, resultFacts(j.Result)...)...)
}

// resultFacts are the members of a job's result, which differs by its kind, as pairs for facts: those within others under both names, of lists how
// long they are.
func resultFacts(result json.RawMessage) []any {
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(result))
	dec.UseNumber() // counts stay as they are
	if len(result) == 0 || dec.Decode(&m) != nil {
		return nil
	}
	var pairs []any
	var add func(prefix string, m map[string]any)
	add = func(prefix string, m map[string]any) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			key := prefix + strings.ReplaceAll(name, "_", " ")
			switch v := m[name].(type) {
			case nil:
			case map[string]any:
				add(key+" ", v)
			case []any:
				pairs = append(pairs, key, fmt.Sprintf("%d (--json shows them)", len(v)))
			default:
				pairs = append(pairs, key, v)
			}
		}
	}
	add("", m)
	return pairs
}

func took(j api.Job) string {
	if j.Started.IsZero() || j.Finished.IsZero() {
		return ""
	}
	return j.Finished.Sub(j.Started).Round(time.Millisecond).String()
}

func (a *app) jobsCancel() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel ID",
		Short:   "Cancel a job",
		Long:    "Cancel a job. What it has done stays done.",
		Example: "  ihyid jobs cancel 12",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				job, err := c.CancelJob(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("job %s cannot be cancelled: %w", args[0], err)
				}
				return a.showJob(job)
			})
		},
	}
}
