package register

import (
	"context"
	"fmt"
	"maps"

	"ihyid/contacts"
	"ihyid/contacts/list"
	"ihyid/store"
	"ihyid/store/jobs"
)

// keeper keeps the batches of an import.
type keeper struct {
	r       *Register
	t       *jobs.Task
	p       *importParams
	header  list.Header
	unknown func() []string
	cursor  *importCursor
}

// keep is the transaction of one batch: contacts, indexes, pairs, the report and the cursor, or nothing.
func (k *keeper) keep(ctx context.Context, b *prepared) error {
	next := *k.cursor
	next.Result.Changed = maps.Clone(next.Result.Changed)
	if len(b.rows) > 0 {
		next.Resume = list.Resume{Offset: b.end.Offset, Line: b.end.Line, Header: k.header}
	}
	err := k.r.store.Update(ctx, func(tx *store.Tx) error {
		report, err := k.rows(tx, b, &next.Result)
		if err != nil {
			return err
		}
		if len(report) > 0 {
			key := append([]byte(k.t.Job().ID+"/"), store.ID(uint64(next.Reports))...)
			if err := k.r.outcomes.Put(tx, key, report); err != nil {
				return err
			}
			next.Reports += len(report)
		}
		done, total := uint64(next.Resume.Offset), uint64(k.p.Size)
		if k.header.Format == list.XLSX {
			done, total = next.Result.Rows, 0 // of a workbook it is not known how many rows it has
		}
		if b.last {
			next.Result.IgnoredColumns = k.unknown()
			if err := k.r.store.RemoveSpoolTx(tx, k.p.Spool); err != nil {
				return err
			}
			if err := k.t.Result(tx, next.Result); err != nil {
				return err
			}
		}
		return k.t.Save(tx, next, done, total)
	})
	if err == nil {
		*k.cursor = next
	}
	return err
}

// rows keeps the rows of a batch and gives the outcomes of those that were not plainly created.
func (k *keeper) rows(tx *store.Tx, b *prepared, result *ImportResult) ([]Outcome, error) {
	result.Rows += uint64(len(b.rows))
	outcomes := make([]Outcome, len(b.rows))
	for i := range b.rows {
		outcomes[i] = Outcome{Line: b.rows[i].Line, Outcome: Created, Contact: b.edits[i].id}
		if e := b.rows[i].Err; e != nil {
			outcomes[i] = Outcome{Line: e.Line, Outcome: Rejected, Column: e.Column, Field: e.Field, Reason: e.Reason}
		}
	}
	updates, of, err := k.known(tx, b, outcomes)
	if err != nil {
		return nil, err
	}
	b.changes.skipCreated()
	found, err := k.r.keep(tx, k.p.By, b.changes, unlink)
	if err != nil {
		return nil, err
	}
	if len(updates) > 0 {
		more, err := k.r.change(tx, k.p.By, updates, unlink)
		if err != nil {
			return nil, err
		}
		for i, pairs := range more {
			found[of[i]] = pairs
		}
	}
	report := outcomes[:0]
	for i := range outcomes {
		o := &outcomes[i]
		for _, p := range found[i] {
			o.PossibleDuplicates = append(o.PossibleDuplicates, p.a+p.b-o.Contact)
		}
		if len(o.PossibleDuplicates) > 0 {
			result.PossibleDuplicates++
		}
		result.count(o)
		if o.Outcome != Created || len(o.PossibleDuplicates) > 0 {
			report = append(report, *o)
		}
	}
	return report, nil
}

func (r *ImportResult) count(o *Outcome) {
	switch o.Outcome {
	case Created:
		r.Created++
	case Updated:
		r.Updated++
		if r.Changed == nil {
			r.Changed = map[string]uint64{}
		}
		for _, f := range o.Changed {
			r.Changed[f]++
		}
	case Duplicate:
		r.Duplicates++
	case Rejected:
		r.Rejected++
	}
}

// known finds the rows that are contacts that are there already, or stand in an earlier row, and settles their outcomes. It gives the edits of those
// that change a contact, and of which rows they are.
func (k *keeper) known(tx *store.Tx, b *prepared, outcomes []Outcome) (updates []edit, of []int, err error) {
	idents := &b.changes.ids
	hits, err := k.r.ids.LookupAll(tx, idents.add, maxHits)
	if err != nil {
		return nil, nil, err
	}
	inBatch := make(map[store.Term]int, len(idents.add))
	for n, i := range idents.addOf {
		term, row := idents.add[n].Term, &b.rows[i]
		if j, ok := inBatch[term]; ok {
			outcomes[i] = k.repeated(row, b.rows[j].Contact == row.Contact, outcomes[j].Contact, fmt.Sprintf("line %d", b.rows[j].Line))
			b.edits[i].skip = true
			continue
		}
		inBatch[term] = i
		if len(hits[n].Refs) == 0 {
			continue
		}
		b.edits[i].skip = true
		number := hits[n].Refs[0]
		rec, err := k.r.record(tx, number)
		if err != nil {
			return nil, nil, err
		}
		job := k.t.Job().ID
		switch {
		case rec.Contact == row.Contact:
			outcomes[i] = Outcome{Line: row.Line, Outcome: Duplicate, Contact: number}
		case rec.Import == job || rec.LastImport == job:
			outcomes[i] = k.repeated(row, false, number, "an earlier line")
		case !k.p.Options.Update:
			outcomes[i] = Outcome{
				Line: row.Line, Outcome: Rejected, Contact: number, Field: contacts.ExternalID.String(),
				Reason: fmt.Sprintf("contact %d has the same external id and other content; give this row another id, or import with --update", number),
			}
		default:
			after, changed := k.updated(rec, row)
			if len(changed) == 0 {
				outcomes[i] = Outcome{Line: row.Line, Outcome: Duplicate, Contact: number}
				continue
			}
			outcomes[i] = Outcome{Line: row.Line, Outcome: Updated, Contact: number, Changed: changed}
			updates, of = append(updates, edit{id: number, before: rec, after: after}), append(of, i)
		}
	}
	return updates, of, nil
}

// repeated is the outcome of a row that stands in the list before.
func (k *keeper) repeated(row *list.Row, same bool, number uint64, where string) Outcome {
	if same {
		return Outcome{Line: row.Line, Outcome: Duplicate, Contact: number}
	}
	return Outcome{
		Line: row.Line, Outcome: Rejected, Contact: number, Field: contacts.ExternalID.String(),
		Reason: where + " of this list has the same external id and other content",
	}
}

// updated is a contact with what a row says: fields that the list has no column for, and empty cells, leave what is there.
func (k *keeper) updated(rec *record, row *list.Row) (after *record, changed []string) {
	c := rec.Contact
	for f := range contacts.Field(contacts.NumFields) {
		if v := row.Contact.Value(f); v != "" && v != c.Value(f) {
			c.Set(f, v)
			changed = append(changed, f.String())
		}
	}
	after = rec.changed(c, k.r.now().UTC(), k.p.By)
	after.LastImport = k.t.Job().ID
	return after, changed
}
