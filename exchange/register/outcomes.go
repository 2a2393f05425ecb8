package register

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"ihyid/store"
	"ihyid/store/jobs"
)

// What became of the rows of a list is kept in records of some thousand outcomes. Beside each stands which contacts it names: so what reports say of a contact
// that goes is found without reading all reports.

// putOutcomes keeps a part of a report.
func (r *Register) putOutcomes(tx *store.Tx, key []byte, report []Outcome) error {
	return errors.Join(r.outcomes.Put(tx, key, report), r.named.Put(tx, key, namedIn(report)))
}

// namedIn lists the contacts that outcomes name, in ascending order.
func namedIn(report []Outcome) []uint64 {
	out := make([]uint64, 0, len(report))
	for i := range report {
		if o := &report[i]; o.Contact != 0 {
			out = append(out, o.Contact)
		}
		out = append(out, report[i].PossibleDuplicates...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// blank takes contacts that go out of all reports. The places of their rows stay, for reports are read on from a place.
func (r *Register) blank(tx *store.Tx, gone map[uint64]bool) error {
	isGone := func(id uint64) bool { return gone[id] }
	var concerned [][]byte
	if err := r.nameOutcomes(tx); err != nil {
		return err
	}
	for item, err := range r.named.All(tx, store.Range{}) {
		if err != nil {
			return err
		}
		if slices.ContainsFunc(item.Value, isGone) {
			concerned = append(concerned, slices.Clone(item.Key))
		}
	}
	for _, key := range concerned {
		report, err := r.outcomes.Get(tx, key)
		if err != nil {
			return err
		}
		for i := range report {
			o := &report[i]
			if gone[o.Contact] {
				*o = Outcome{Outcome: Gone}
				continue
			}
			o.PossibleDuplicates = slices.DeleteFunc(o.PossibleDuplicates, isGone)
		}
		if err := r.putOutcomes(tx, key, report); err != nil {
			return err
		}
	}
	return nil
}

// rowsOf gives what reports say of contacts. Reports from before it was noted whom they name are left out until a contact is deleted.
func (r *Register) rowsOf(tx *store.Tx, numbers []uint64) ([]SubjectRow, error) {
	out := []SubjectRow{}
	is := func(id uint64) bool { return slices.Contains(numbers, id) }
	for item, err := range r.named.All(tx, store.Range{}) {
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(item.Value, is) {
			continue
		}
		job, _, _ := bytes.Cut(item.Key, []byte("/"))
		report, err := r.outcomes.Get(tx, item.Key)
		if err != nil {
			return nil, err
		}
		for i := range report {
			switch o := &report[i]; {
			case is(o.Contact):
				out = append(out, SubjectRow{Import: string(job), Line: o.Line, Outcome: o.Outcome, Changed: o.Changed})
			case slices.ContainsFunc(o.PossibleDuplicates, is):
				out = append(out, SubjectRow{Import: string(job), Line: o.Line, Outcome: o.Outcome, Resembles: true})
			}
		}
	}
	return out, nil
}

// nameOutcomes adds which contacts are named to reports that were kept before that was noted.
func (r *Register) nameOutcomes(tx *store.Tx) error {
	kept, err := r.outcomes.Len(tx)
	if err != nil {
		return err
	}
	if noted, err := r.named.Len(tx); err != nil || noted == kept {
		return err
	}
	var without [][]byte
	for key, err := range r.outcomes.Keys(tx, store.Range{}) {
		if err != nil {
			return err
		}
		noted, err := r.named.Has(tx, key)
		if err != nil {
			return err
		}
		if !noted {
			without = append(without, slices.Clone(key))
		}
	}
	for _, key := range without {
		report, err := r.outcomes.Get(tx, key)
		if err == nil {
			err = r.named.Put(tx, key, namedIn(report))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// numbersCodec writes ascending numbers as the differences between them, as uvarints.
type numbersCodec struct{}

func (numbersCodec) Append(dst []byte, numbers *[]uint64) ([]byte, error) {
	last := uint64(0)
	for _, n := range *numbers {
		dst = binary.AppendUvarint(dst, n-last)
		last = n
	}
	return dst, nil
}

func (numbersCodec) Decode(data []byte, numbers *[]uint64) error {
	*numbers = nil
	for last := uint64(0); len(data) > 0; {
		d, n := binary.Uvarint(data)
		if n <= 0 {
			return errors.New("a kept list of numbers is damaged")
		}
		last += d
		*numbers, data = append(*numbers, last), data[n:]
	}
	return nil
}

// Forget removes the report of an import whose job is forgotten, in the same transaction; it is for jobs.Options.Forget.
func (r *Register) Forget(tx *store.Tx, j jobs.Job) error {
	if j.Kind != JobImport {
		return nil
	}
	return r.dropReport(tx, j.ID)
}

// dropReport removes the report of an import.
func (r *Register) dropReport(tx *store.Tx, job string) error {
	for key, err := range r.outcomes.Keys(tx, store.Range{Prefix: []byte(job + "/")}) {
		if err != nil {
			return err
		}
		if err := errors.Join(r.outcomes.Delete(tx, key), r.named.Delete(tx, key)); err != nil {
			return err
		}
	}
	return nil
}

// ImportReport gives up to limit outcomes of an import, from the one with that number: of all rows that were not plainly created. next is
// the number to go on from, or 0 after the last.
func (r *Register) ImportReport(ctx context.Context, job string, from, limit int) (out []Outcome, next int, err error) {
	j, err := r.jobs.Get(ctx, job)
	if err != nil {
		return nil, 0, err
	}
	if j.Kind != JobImport {
		return nil, 0, fmt.Errorf("%w: %s is of another kind", ErrNoReport, job)
	}
	out = []Outcome{}
	prefix := []byte(job + "/")
	err = r.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range r.outcomes.All(tx, store.Range{Prefix: prefix}) {
			if err != nil {
				return err
			}
			first, _ := store.ParseID(item.Key[len(prefix):])
			skip := max(from-int(first), 0)
			if skip >= len(item.Value) {
				continue
			}
			rest := item.Value[skip:]
			if room := limit - len(out); len(rest) > room {
				out = append(out, rest[:room]...)
				next = from + limit
				return nil
			}
			out = append(out, rest...)
		}
		return nil
	})
	return out, next, err
}
