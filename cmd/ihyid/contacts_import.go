package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api"
	"ihyid/api/client"
	"ihyid/contacts"
	"ihyid/contacts/list"
	"ihyid/exchange/register"
	"ihyid/store/jobs"
)

// shownRows is how many rows of a report the terminal gets.
const shownRows = 20

func (a *app) contactsImport() *cobra.Command {
	var report, remember string
	var strict, noWait bool
	var maps []string
	var o api.ImportOptions
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Import a contact list (CSV, XLSX or JSON Lines)",
		Long: `Import a contact list: CSV with a header, in UTF-8, separated by comma, semicolon or tab; a
sheet of an XLSX workbook; or JSON Lines. Columns stand in any order. FILE may be - for standard
input.

Known columns: first_name, last_name, mother_first_name, father_first_name,
date_of_birth, sex, phone, national_id, household_id, location, external_id, and many other
names in English, French, Arabic and as survey tools write them. --map says what others are; with
--remember NAME that is kept, and --mapping NAME uses it again.
Dates are YYYY-MM-DD, or what spreadsheets write where that can be read in one way
only; with --date-order dmy or mdy others are read too.

Every row is answered: created, updated, a duplicate of which contact, or rejected with its
line, column and reason. One bad row never stops the others. A row with the external id of a
contact and other content is rejected; with --update it changes that contact: the fields that
it has a value for, and no others. --dry-run tells all this and changes nothing. The import is
a job of the node: it goes on if this command is interrupted, and after a restart.

The status is 0 when the import ran, whatever became of the rows; with --strict it
is 1 when a row was rejected.`,
		Example: `  ihyid contacts import people.csv --dry-run
  ihyid contacts import people.csv --report report.csv
  ihyid contacts import liste.xlsx --sheet Inscrits --map first_name="Prénom" --remember mairie
  ihyid contacts import liste2.xlsx --mapping mairie --update
  zcat people.csv.gz | ihyid contacts import -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, m := range maps {
				field, column, ok := strings.Cut(m, "=")
				if _, known := contacts.ParseField(field); !ok || column == "" || !known && field != "-" {
					return usagef("--map %s: give a field of a contact (or - to leave the column out), = and the column's name", field)
				}
				if o.Map == nil {
					o.Map = map[string]string{}
				}
				o.Map[column] = field
			}
			if err := checkReading(o); err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				if remember != "" {
					_, err := c.SaveMapping(cmd.Context(), register.Mapping{Name: remember, Map: o.Map, Comma: tab(o.Comma), DateOrder: o.DateOrder, Sheet: o.Sheet})
					if err != nil {
						return fmt.Errorf("the mapping was not remembered, and nothing imported: %w", err)
					}
				}
				return a.importContacts(cmd.Context(), c, args[0], importOptions{report: report, strict: strict, noWait: noWait, reading: o})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&report, "report", "", "write every row that was not plainly created to this CSV `file`")
	f.BoolVar(&strict, "strict", false, "exit with status 1 if a row was rejected")
	f.BoolVar(&noWait, "no-wait", false, "do not wait for the end; ihyid jobs show ID tells how far it is")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what would become of the rows, and change nothing")
	f.BoolVar(&o.Update, "update", false, "have a row with the external id of a contact change that contact")
	f.StringVar(&o.Empty, "empty", "", "with --update: what an empty cell does to what is there, `keep|clear` (default keep)")
	f.StringArrayVar(&maps, "map", nil, "which column holds a field: `FIELD=COLUMN`; may be given several times")
	f.StringVar(&remember, "remember", "", "remember how this list is read (--map, --sheet, --comma, --date-order) under this `name`")
	f.StringVar(&o.Mapping, "mapping", "", "read the list as was remembered under this `name`")
	f.StringVar(&o.Sheet, "sheet", "", "`name` of the workbook's sheet (default: the first)")
	f.StringVar(&o.Comma, "comma", "", "what separates columns: a `character`, or tab (default: found from the header)")
	f.StringVar(&o.DateOrder, "date-order", "", "how dates such as 03/04/1990 are read: `dmy|mdy` (default: they are rejected)")
	return cmd
}

// checkReading refuses what no node would take, before the list goes there.
func checkReading(o api.ImportOptions) error {
	switch {
	case o.DateOrder != "" && o.DateOrder != string(contacts.OrderDayMonth) && o.DateOrder != string(contacts.OrderMonthDay):
		return usagef("--date-order must be dmy or mdy")
	case o.Empty != "" && o.Empty != "keep" && o.Empty != "clear":
		return usagef("--empty must be keep or clear")
	case o.Empty != "" && !o.Update:
		return usagef("--empty says what an update does: give --update too")
	}
	return nil
}

func tab(comma string) string {
	if strings.EqualFold(comma, "tab") {
		return "\t"
	}
	return comma
}

type importOptions struct {
	report         string
	strict, noWait bool
	reading        api.ImportOptions
}

func (a *app) importContacts(ctx context.Context, c *client.Client, name string, o importOptions) error {
	if o.noWait && (o.report != "" || o.strict) {
		return usagef("--no-wait gives no report: leave out --report and --strict")
	}
	file, size := a.in, int64(0)
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.IsDir() {
			return fmt.Errorf("%s is a directory: give a list in a file", name)
		}
		file, size = f, info.Size()
	}
	bars := a.progress(ctx)
	defer bars.stop()
	job, err := c.ImportContacts(ctx, bars.upload("uploading", file, size), o.reading)
	if err != nil {
		return fmt.Errorf("%s was not imported: %w", name, err)
	}
	if o.noWait {
		bars.stop()
		if a.json {
			return a.printJSON(job)
		}
		fmt.Fprintln(a.out, job.ID)
		a.say("The import goes on as job %s: ihyid jobs show %s", job.ID, job.ID)
		return nil
	}
	id := job.ID
	job, err = c.WatchJob(ctx, id, bars.job("importing"))
	bars.stop()
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted; the import goes on in the node as job %s: see ihyid jobs show %s, or stop it with ihyid jobs cancel %s", id, id, id)
		}
		return err
	}
	if job.State != jobs.Done {
		err := jobFailed("the import of "+name, job)
		if strings.HasPrefix(job.Error, list.ErrHeader.Error()) {
			err = fmt.Errorf("%w; nothing was changed. --map FIELD=COLUMN says which column is which, --sheet NAME which sheet is meant: ihyid contacts import --help", err)
		}
		return err
	}
	var result register.ImportResult
	if err := json.Unmarshal(job.Result, &result); err != nil {
		return fmt.Errorf("job %s is done, but its result cannot be understood: %w", id, err)
	}
	shown, total, err := a.importReport(ctx, c, id, o.report)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(struct {
			Job string `json:"job"`
			register.ImportResult
			Report      []register.Outcome `json:"report"`
			ReportTotal int                `json:"report_total"`
		}{id, result, shown, total})
	} else {
		err = a.showImport(name, result, shown, total, o.report)
	}
	if err == nil && o.strict && result.Rejected > 0 {
		return errNo
	}
	return err
}

// jobFailed is the error of a job that did not come to its end.
func jobFailed(what string, job api.Job) error {
	switch {
	case job.State == jobs.Cancelled:
		return fmt.Errorf("%s was cancelled (job %s)", what, job.ID)
	case job.Error != "":
		return fmt.Errorf("%s failed: %s (job %s)", what, job.Error, job.ID)
	}
	return fmt.Errorf("%s failed (job %s)", what, job.ID)
}

// importReport reads an import's report: the first rows are given back, all are written to the file.
func (a *app) importReport(ctx context.Context, c *client.Client, job, path string) (shown []register.Outcome, total int, err error) {
	shown = []register.Outcome{}
	var out *csv.Writer
	if path != "" {
		f, err := createFile(path)
		if err != nil {
			return nil, 0, err
		}
		defer func() {
			out.Flush()
			err = errors.Join(err, out.Error(), f.Close())
		}()
		out = csv.NewWriter(f)
		if err := out.Write([]string{"line", "outcome", "contact", "possible_duplicates", "column", "field", "reason", "changed"}); err != nil {
			return nil, 0, err
		}
	}
	rejected := 0
	for row, err := range c.ImportReport(ctx, job) {
		if err != nil {
			return nil, 0, err
		}
		total++
		// Rejected rows are what a person has to act on: they come first.
		if row.Outcome == register.Rejected {
			if rejected < shownRows {
				shown = slices.Insert(shown, rejected, row)
				shown = shown[:min(len(shown), shownRows)]
			}
			rejected++
		} else if len(shown) < shownRows {
			shown = append(shown, row)
		}
		if out != nil {
			if err := out.Write([]string{
				strconv.Itoa(row.Line), row.Outcome, number(row.Contact), numbers(row.PossibleDuplicates),
				number(uint64(row.Column)), row.Field, row.Reason, strings.Join(row.Changed, " "),
			}); err != nil {
				return nil, 0, err
			}
		}
	}
	return shown, total, nil
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func numbers(list []uint64) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = number(n)
	}
	return strings.Join(texts, " ")
}

func (a *app) showImport(name string, r register.ImportResult, shown []register.Outcome, total int, report string) error {
	out := bufio.NewWriter(a.out)
	if r.DryRun {
		fmt.Fprintf(out, "Looked at %s: %s. NOTHING was changed; this would become of them:\n", clean(name), plural(r.Rows, "row", "rows"))
		for _, c := range r.Columns {
			field := c.Field
			if field == "" {
				field = "not read"
			}
			if r.Format != list.JSONL {
				fmt.Fprintf(out, "  column %q: %s\n", clean(c.Name), field)
			}
		}
	} else {
		fmt.Fprintf(out, "Imported %s: %s\n", clean(name), plural(r.Rows, "row", "rows"))
	}
	for _, line := range []struct {
		n         uint64
		one, many string
	}{
		{r.Created, "created", "created"},
		{r.Updated, "updated" + changedFields(r.Changed), "updated" + changedFields(r.Changed)},
		{r.Duplicates, "duplicate of a contact that is here already", "duplicates of contacts that are here already"},
		{r.PossibleDuplicates, "of the created ones is possibly a duplicate: ihyid contacts duplicates", "of the created ones are possibly duplicates: ihyid contacts duplicates"},
		{r.LeftOut, "pair left out: alike only by a weak key, and not when both are looked at", "pairs left out: alike only by a weak key, and not when both are looked at"},
		{r.Rejected, "REJECTED", "REJECTED"},
	} {
		what := line.many
		if line.n == 1 {
			what = line.one
		}
		if line.n > 0 || what == "created" {
			fmt.Fprintf(out, "%10d %s\n", line.n, what)
		}
	}
	if len(r.IgnoredColumns) > 0 {
		fmt.Fprintf(out, "Columns that were ignored: %s\n", clean(strings.Join(r.IgnoredColumns, ", ")))
	}
	for _, row := range shown {
		if row.Outcome == register.Gone {
			fmt.Fprintf(out, "a line: %s\n", describe(row))
			continue
		}
		fmt.Fprintf(out, "line %d: %s\n", row.Line, clean(describe(row)))
	}
	switch {
	case report != "":
		fmt.Fprintf(out, "%s written to %s\n", plural(total, "row", "rows"), report)
	case total > len(shown):
		fmt.Fprintf(out, "... and %d more; --report FILE writes them all\n", total-len(shown))
	}
	if slices.ContainsFunc(shown, func(row register.Outcome) bool { return row.Reason == contacts.ErrDateAmbiguous.Error() }) {
		fmt.Fprintln(out, "For dates that may be day/month or month/day import the list again with --date-order dmy or mdy. What is here already stays as it is.")
	}
	return out.Flush()
}

// changedFields says which fields were changed, and how often.
func changedFields(changed map[string]uint64) string {
	var parts []string
	for _, f := range contacts.Fields() {
		if n := changed[f.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", f, n))
		}
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// describe says in words what became of a row.
func describe(row register.Outcome) string {
	switch row.Outcome {
	case register.Rejected:
		place := ""
		if row.Column > 0 {
			place = fmt.Sprintf(", column %d", row.Column)
		}
		if row.Field != "" {
			place += " (" + row.Field + ")"
		}
		return "rejected" + place + ": " + row.Reason
	case register.Gone:
		return "its contact was deleted since"
	case register.Duplicate:
		if row.Contact == 0 {
			return "duplicate of an earlier line"
		}
		return fmt.Sprintf("duplicate of contact %d", row.Contact)
	}
	text := row.Outcome
	switch {
	case row.Outcome == register.Updated:
		text = fmt.Sprintf("updated contact %d: %s", row.Contact, strings.Join(row.Changed, ", "))
	case row.Contact > 0:
		text = fmt.Sprintf("%s as contact %d", row.Outcome, row.Contact)
	}
	if len(row.PossibleDuplicates) > 0 {
		text += ", possibly a duplicate of " + numbers(row.PossibleDuplicates)
	}
	return text
}

func (a *app) contactsMappings() *cobra.Command {
	cmd := &cobra.Command{Use: "mappings", Short: "The remembered ways to read lists"}
	all := &cobra.Command{
		Use: "list", Short: "List them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				all, err := c.Mappings(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(itemsOf(all))
				}
				if len(all) == 0 {
					a.say("None yet. ihyid contacts import FILE --map FIELD=COLUMN --remember NAME keeps one.")
					return nil
				}
				t := newTable(a.out, "NAME", "COLUMNS", "SHEET", "SAVED", "BY")
				for _, m := range all {
					var columns []string
					for column, field := range m.Map {
						columns = append(columns, field+"="+column)
					}
					slices.Sort(columns)
					t.row(m.Name, strings.Join(columns, ", "), m.Sheet, when(m.Saved), m.By)
				}
				return t.flush()
			})
		},
	}
	del := &cobra.Command{
		Use: "delete NAME", Short: "Forget one", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				if err := c.DeleteMapping(cmd.Context(), args[0]); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]string{"deleted": args[0]})
				}
				a.say("Forgotten.")
				return nil
			})
		},
	}
	cmd.AddCommand(all, del)
	return cmd
}
