package match

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ihyid/contacts"
	"ihyid/contacts/list"
)

// Columns are those of a file of pairs.
var Columns = []string{"a_external_id", "b_external_id", "tier", "keys"}

// Pairs matches two lists. Contacts that share an external id count as one.
func Pairs(ctx context.Context, p *contacts.Profile, a, b *List) ([]contacts.Pair, error) {
	pairs, err := contacts.Match(ctx, p, a.Digests, b.Digests, nil)
	if err != nil || a.Report.RepeatedIDs+b.Report.RepeatedIDs == 0 {
		return pairs, err
	}
	for i := range pairs {
		pairs[i].A, pairs[i].B = a.rows[a.IDs[pairs[i].A]], b.rows[b.IDs[pairs[i].B]]
	}
	slices.SortFunc(pairs, func(x, y contacts.Pair) int { return cmp.Or(cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B)) })
	out := pairs[:0]
	for _, q := range pairs {
		if n := len(out); n > 0 && out[n-1].A == q.A && out[n-1].B == q.B {
			// Two records of one person may each agree in something else; a match needs one of them to be one.
			out[n-1].Keys, out[n-1].Tier = out[n-1].Keys|q.Keys, max(out[n-1].Tier, q.Tier)
			continue
		}
		out = append(out, q)
	}
	return out, nil
}

// Write writes pairs as CSV with [Columns]; match keys are separated by spaces.
func Write(w io.Writer, p *contacts.Profile, a, b *List, pairs []contacts.Pair) error {
	out, err := list.NewWriter(w, list.WriterOptions{Fields: []contacts.Field{}, Extra: Columns})
	if err != nil {
		return err
	}
	var none contacts.Contact
	for _, q := range pairs {
		if err := out.Write(&none, a.IDs[q.A], b.IDs[q.B], q.Tier.String(), strings.Join(p.KeyNames(q.Keys), " ")); err != nil {
			return err
		}
	}
	return out.Close()
}

// ErrTruth is wrapped by errors about a file of true pairs.
var ErrTruth = errors.New("the file of true pairs cannot be used")

// maxTruthCell bounds a cell: an external id has at most 100 characters.
const maxTruthCell = 4 << 10

// Truth is a file of true pairs against two lists.
type Truth struct {
	Pairs   [][2]int // places in the lists; negative where a contact is not there
	Unknown int      // pairs of which a contact is in neither list, or was rejected: they count as not found
}

// ReadTruth reads the true pairs: CSV with the columns a_external_id and b_external_id, others being ignored.
func ReadTruth(in io.Reader, a, b *List) (Truth, error) {
	var t Truth
	r := csv.NewReader(in)
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return t, fmt.Errorf("%w: it has no header: %w", ErrTruth, err)
	}
	at := [2]int{-1, -1}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		for j, want := range Columns[:2] {
			if name == want {
				if at[j] >= 0 {
					return t, fmt.Errorf("%w: it has the column %s twice", ErrTruth, want)
				}
				at[j] = i
			}
		}
	}
	if at[0] < 0 || at[1] < 0 {
		return t, fmt.Errorf("%w: its header must name %s and %s", ErrTruth, Columns[0], Columns[1])
	}
	seen := map[[2]string]bool{}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			var pe *csv.ParseError
			if errors.As(err, &pe) {
				return t, fmt.Errorf("%w: line %d: %w", ErrTruth, pe.Line, pe.Err)
			}
			return t, fmt.Errorf("reading the true pairs: %w", err)
		}
		line, _ := r.FieldPos(0)
		ids := [2]string{contacts.CleanText(rec[at[0]]), contacts.CleanText(rec[at[1]])}
		if ids[0] == "" || ids[1] == "" || len(ids[0]) > maxTruthCell || len(ids[1]) > maxTruthCell {
			return t, fmt.Errorf("%w: line %d lacks an external id", ErrTruth, line)
		}
		if seen[ids] {
			continue
		}
		seen[ids] = true
		pa, okA := a.rows[ids[0]]
		pb, okB := b.rows[ids[1]]
		if !okA || !okB {
			t.Unknown++
			pa, pb = -t.Unknown, -t.Unknown // no pair found is this one
		}
		t.Pairs = append(t.Pairs, [2]int{pa, pb})
	}
}
