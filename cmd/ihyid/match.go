package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ihyid/cmd/ihyid/match"
	"ihyid/contacts"
	"ihyid/contacts/list"
)

type matchOptions struct {
	a, b, profile, out, truth string
	reading                   list.ReaderOptions
	estimate                  bool
}

func (a *app) matchCommand() *cobra.Command {
	var o matchOptions
	var comma, dates, sheet string
	var mapping []string
	cmd := &cobra.Command{
		Use:   "match A B",
		Short: "Match two contact lists in files; needs no node",
		Long: `Match two contact lists, with the engine that nodes use. Needs no node, and sends
nothing anywhere. The lists are CSV, Excel (.xlsx) or JSON Lines, as contacts import
reads them: columns are known by their usual names, others can be named by --map, which
counts for whichever list has that column.

The pairs go to --out as CSV with the columns a_external_id, b_external_id, tier
(match or possible) and keys, the match keys that agreed. A contact without an
external id is named by its line: line:17.

With --truth, a CSV of the true pairs (a_external_id, b_external_id), precision,
recall and F1 are given for match, and for match and possible together. Without it,
the number of false matches is estimated: every contact of B is given the first name
of another, so that it is nobody, and whatever it then matches is a false match.`,
		Example: `  ihyid match a.csv b.csv --profile soundex/1 --out pairs.csv
  ihyid match a.csv b.csv --profile soundex/1 --out pairs.csv --truth truth.csv --json
  ihyid match a.csv b.csv --profile own.json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.a, o.b = args[0], args[1]
			var err error
			if o.reading, err = readerOptions(comma, dates); err != nil {
				return err
			}
			if o.reading.Map, err = list.ParseMap(mapping); err != nil {
				return usagef("--map %v", err)
			}
			o.reading.Sheet, o.reading.PassOver = sheet, true
			return a.match(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.profile, "profile", defaultProfile, "matching `profile`: the name of one that is built in, or a file")
	f.StringVarP(&o.out, "out", "o", "", "write the pairs to this CSV `file` (an older one is replaced), or - for standard output")
	f.StringVar(&o.truth, "truth", "", "CSV `file` of the true pairs, to measure against")
	f.BoolVar(&o.estimate, "estimate", true, "without --truth: estimate the false matches, which takes as long again")
	f.StringVar(&comma, "comma", "", "what separates columns: a `character`, or tab (default: found from the header)")
	f.StringVar(&sheet, "sheet", "", "the `name` of the sheet to read, of Excel workbooks (default: the first)")
	f.StringArrayVar(&mapping, "map", nil, "which column holds a field, as `FIELD=COLUMN`, such as first_name=\"Prénom usuel\"; may be repeated")
	f.StringVar(&dates, "date-order", "", "how dates such as 03/04/1990 are read: `dmy|mdy` (default: they are rejected)")
	return cmd
}

func readerOptions(comma, dates string) (o list.ReaderOptions, err error) {
	switch {
	case comma == "tab":
		o.Comma = '\t'
	case len(comma) == 1:
		o.Comma = rune(comma[0])
	case comma != "":
		return o, usagef("--comma is one character, or the word tab")
	}
	switch o.Dates.Order = contacts.DateOrder(dates); dates {
	case "", "dmy", "mdy":
		return o, nil
	}
	return o, usagef("--date-order must be dmy or mdy")
}

// matchReport is what match answers with --json.
type matchReport struct {
	Profile   string           `json:"profile"`
	ProfileID string           `json:"profile_id"`
	A         match.ListReport `json:"a"`
	B         match.ListReport `json:"b"`
	Matches   int              `json:"matches"`
	Possibles int              `json:"possibles"`
	Out       string           `json:"out,omitempty"`
	Truth     *truthReport     `json:"truth,omitempty"`
	False     *match.Estimate  `json:"false_matches_estimate,omitempty"`
	Seconds   float64          `json:"seconds"`
}

type truthReport struct {
	Pairs   int            `json:"pairs"`
	Unknown int            `json:"not_in_the_lists"` // of them: contacts that no row has; they count as not found
	Match   contacts.Score `json:"match"`
	Review  contacts.Score `json:"match_and_possible"`
}

// decoySeed makes the estimate the same every time.
const decoySeed = 1

func (a *app) match(ctx context.Context, o matchOptions) error {
	if a.json && o.out == "-" {
		return usagef("--out - and --json both want standard output: give --out a file")
	}
	begun := time.Now()
	p, err := a.findProfile(o.profile)
	if err != nil {
		return err
	}
	if err := checkOut(o.out, o.a, o.b, o.truth, o.profile); err != nil {
		return err
	}
	estimate := o.estimate && o.truth == ""
	report := matchReport{Profile: p.Name(), ProfileID: p.ID(), Out: o.out}
	listA, err := readList(ctx, o.a, o.reading, p, false)
	if err != nil {
		return err
	}
	listB, err := readList(ctx, o.b, o.reading, p, estimate)
	if err != nil {
		return err
	}
	report.A, report.B = listA.Report, listB.Report
	for column := range o.reading.Map {
		if !slices.Contains(listA.Columns, column) && !slices.Contains(listB.Columns, column) {
			return fmt.Errorf("--map names the column %q, which neither list has", column)
		}
	}
	var truth match.Truth
	if o.truth != "" {
		f, err := os.Open(o.truth)
		if err != nil {
			return err
		}
		defer f.Close()
		if truth, err = match.ReadTruth(f, listA, listB); err != nil {
			return fmt.Errorf("%s: %w", o.truth, err)
		}
	}
	pairs, err := match.Pairs(ctx, p, listA, listB)
	if err != nil {
		return err
	}
	for _, q := range pairs {
		if q.Tier == contacts.TierMatch {
			report.Matches++
		} else {
			report.Possibles++
		}
	}
	if o.out != "" {
		if err := a.replaceFile(o.out, func(w io.Writer) error { return match.Write(w, p, listA, listB, pairs) }); err != nil {
			return fmt.Errorf("the pairs could not be written: %w", err)
		}
	}
	if o.truth != "" {
		e := contacts.Evaluate(pairs, truth.Pairs)
		report.Truth = &truthReport{len(truth.Pairs), truth.Unknown, e.Match, e.Review}
	} else if estimate {
		e, err := match.Decoys(ctx, p, listA, listB, decoySeed)
		if err != nil {
			return err
		}
		report.False = &e
	}
	report.Seconds = math.Round(time.Since(begun).Seconds()*100) / 100
	if a.json {
		return a.printJSON(report)
	}
	out := a.out
	if o.out == "-" {
		out = a.err
	}
	showMatch(out, o, report)
	return nil
}

func readList(ctx context.Context, name string, opts list.ReaderOptions, p *contacts.Profile, keep bool) (*match.List, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: give a contact list", name)
	}
	return match.Read(ctx, name, f, opts, p, keep)
}

// checkOut sees before the work that the pairs can be written, and over none of the files that are read.
func checkOut(out string, inputs ...string) error {
	if out == "" || out == "-" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(out)); err != nil || !info.IsDir() {
		return fmt.Errorf("%s is no directory to write to", filepath.Dir(out))
	}
	there, err := os.Stat(out)
	if err != nil {
		return nil
	}
	if !there.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file: give another --out", out)
	}
	for _, in := range inputs {
		if info, err := os.Stat(in); err == nil && os.SameFile(info, there) {
			return fmt.Errorf("--out %s would be written over %s", out, in)
		}
	}
	return nil
}

// replaceFile writes a file that its owner alone may read, or leaves what is there as it is. It is for results that can be had again; for
// others see toFile.
func (a *app) replaceFile(path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(a.out)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".ihyid-*")
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func showMatch(w io.Writer, o matchOptions, r matchReport) {
	fmt.Fprintf(w, "Under %s (%s)\n", clean(r.Profile), r.ProfileID)
	for _, l := range []struct {
		name string
		match.ListReport
	}{{o.a, r.A}, {o.b, r.B}} {
		fmt.Fprintf(w, "%s: %s", clean(l.name), plural(l.Contacts, "contact", "contacts"))
		for _, note := range []struct {
			n    int
			what string
		}{{l.Rejected, "rejected"}, {l.WithoutKeys, "without any match key"}, {l.RepeatedIDs, "with an external id that is there before"}} {
			if note.n > 0 {
				fmt.Fprintf(w, ", %d %s", note.n, note.what)
			}
		}
		fmt.Fprintln(w)
		if len(l.IgnoredColumns) > 0 {
			fmt.Fprintf(w, "  columns that were ignored: %s\n", clean(strings.Join(l.IgnoredColumns, ", ")))
		}
		for _, e := range l.Problems {
			fmt.Fprintf(w, "  %s\n", clean(e.Error()))
		}
	}
	fmt.Fprintf(w, "%10d %s\n%10d possible %s\n", r.Matches, oneOr(r.Matches, "match", "matches"), r.Possibles, oneOr(r.Possibles, "match", "matches"))
	if t := r.Truth; t != nil {
		fmt.Fprintf(w, "Against %s", plural(t.Pairs, "true pair", "true pairs"))
		if t.Unknown > 0 {
			fmt.Fprintf(w, ", %d of contacts that no row has", t.Unknown)
		}
		fmt.Fprintln(w, ":")
		for _, s := range []struct {
			name string
			contacts.Score
		}{{"match", t.Match}, {"match + possible", t.Review}} {
			fmt.Fprintf(w, "%18s  precision %.4f  recall %.4f  F1 %.4f  (%d true, %d false, %d not found)\n",
				s.name, s.Precision, s.Recall, s.F1, s.TruePositives, s.FalsePositives, s.FalseNegatives)
		}
	}
	if e := r.False; e != nil && e.Decoys == 0 {
		fmt.Fprintf(w, "False matches cannot be estimated: %s has no contact that could be given another first name\n", clean(o.b))
	} else if e != nil {
		fmt.Fprintf(w, "False matches to be expected at this size: %s of the matches, %s with the possible ones\n", interval(e.Match), interval(e.Review))
		fmt.Fprintf(w, "  (found with %s: contacts of %s under the first name of another)\n", plural(e.Decoys, "decoy", "decoys"), clean(o.b))
	}
	if o.out != "" && o.out != "-" {
		fmt.Fprintf(w, "%s written to %s\n", plural(r.Matches+r.Possibles, "pair", "pairs"), clean(o.out))
	}
	fmt.Fprintf(w, "%.1f seconds\n", r.Seconds)
}

func interval(e match.Expected) string {
	return fmt.Sprintf("about %.0f (%.0f to %.0f)", e.Pairs, math.Floor(e.Low), math.Ceil(e.High))
}

func oneOr(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
