package register_test

import (
	"context"
	"flag"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ihyid/exchange/register"
)

// hostileList draws a list in which rows repeat, contradict one another and are broken in many ways.
func hostileList(t *rapid.T, label string) string {
	pick := func(what string, of ...string) string { return of[rapid.IntRange(0, len(of)-1).Draw(t, label+what)] }
	comma := pick("comma", ",", ",", ";", "\t")
	header := []string{"external_id", "first_name", "last_name", "mother_first_name", "date_of_birth", "phone", "remark"}
	n := rapid.IntRange(1, 25).Draw(t, label+"rows")
	var b strings.Builder
	b.WriteString(strings.Join(header, comma) + "\n")
	for range n {
		if rapid.IntRange(0, 9).Draw(t, label+"broken") == 0 {
			b.WriteString(pick("line", strings.Join(header, comma), "", `P1"`, `"P1`+"\n", "P2,x", "\xff\xfe"+strings.Repeat(comma, 6), strings.Repeat(comma, 30),
				"=1+1"+strings.Repeat(comma, 6), strings.Repeat("a", 70_000)) + "\n")
			continue
		}
		b.WriteString(strings.Join([]string{
			pick("id", "", "P1", "P2", "P3", "P4", "P5", " P1 ", "'P2"),
			pick("first", "Houman", "Hooman", "هومن", "Layla", "", "12", "👩‍👩‍👧", "\u202eAmal", strings.Repeat("ب", 10_000)),
			pick("last", "Haddad", "Hadad", "حداد", ""),
			pick("mother", "Barbara", "", "بربارة"),
			pick("born", "1976-05-07", "1976-07-05", "", "31/02/1980", "03/04/1980", "1401-05-03", "0000-00-00", "7 May 1976"),
			pick("phone", "", "+96170123456", "none"),
			pick("remark", "", "x"),
		}, comma) + "\n")
	}
	return b.String()
}

// What a preview promises is what the import then reports: the same numbers, and the same of every row that is not plainly created. Possible duplicates are the same where
// the list is one batch; those of rows in different batches only the import can find.
func TestPreviewPromises(t *testing.T) {
	n := open(t, t.TempDir(), "levant/1")
	defer n.close()
	ctx := context.Background()
	// Each case is three imports; more cases by the flag.
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		check(t, f.Value.Set("25"))
		defer func() { check(t, f.Value.Set(f.DefValue)) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		defer func() {
			all, err := n.List(ctx, 0, 1000)
			check(t, err)
			var ids []uint64
			for _, s := range all {
				ids = append(ids, s.ID)
			}
			check(t, n.Delete(ctx, "x", ids...))
		}()
		o := register.ImportOptions{Update: rapid.Bool().Draw(rt, "update")}
		if o.Update {
			o.Empty = rapid.SampledFrom([]string{"", register.EmptyKeeps, register.EmptyClears}).Draw(rt, "empty")
		}
		batch := rapid.SampledFrom([]int{1, 2, 5, 100}).Draw(rt, "batch")
		n.SetBatch(batch)
		n.importCSV(t, hostileList(rt, "before "), register.ImportOptions{})
		list := hostileList(rt, "")
		o.DryRun = true
		before, err := n.Count(ctx)
		check(t, err)
		promised, told := n.importCSV(t, list, o)
		if after, err := n.Count(ctx); err != nil || after != before {
			rt.Fatalf("the preview left %d contacts of %d, %v", after, before, err)
		}
		o.DryRun = false
		result, rows := n.importCSV(t, list, o)
		one := batch == 100
		if !one {
			promised.PossibleDuplicates, result.PossibleDuplicates, promised.LeftOut, result.LeftOut = 0, 0, 0, 0
		}
		promised.DryRun = false
		if !reflect.DeepEqual(promised, result) {
			rt.Errorf("promised %+v\nfound    %+v", promised, result)
		}
		if got, want := outcomes(told, one), outcomes(rows, one); got != want {
			rt.Errorf("of these rows it was said\n%s\nand came to be\n%s", got, want)
		}
		numbers := map[int]uint64{}
		for _, r := range rows {
			numbers[r.Line] = r.Contact
		}
		for _, r := range told {
			if r.Contact != 0 && r.Contact != numbers[r.Line] {
				rt.Errorf("line %d was said to be contact %d and is %d", r.Line, r.Contact, numbers[r.Line])
			}
		}
	})
}

// outcomes are rows as far as a preview can know them; with created, those too that are there only for what they may duplicate.
func outcomes(rows []register.Outcome, created bool) string {
	var b strings.Builder
	for _, r := range rows {
		if r.Outcome != register.Created || created {
			fmt.Fprintln(&b, r.Line, r.Outcome, r.Changed, r.Column, r.Field, r.Reason)
		}
	}
	return b.String()
}
