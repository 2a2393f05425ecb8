package register

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

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
	columns [contacts.NumFields]bool // fields that the list has a column for
	unknown func() []string
	cursor  *importCursor
	seen    seen
}

// keep is the transaction of one batch: contacts, indexes, pairs, the report and the cursor, or nothing.
func (k *keeper) keep(ctx context.Context, b *prepared) error {
	next := *k.cursor
	next.Result.Changed = maps.Clone(next.Result.Changed)
	next.Result.DryRun, next.Result.Format, next.Result.Columns = k.p.Options.DryRun, k.header.Format, k.header.Columns
	if len(b.rows) > 0 {
		next.Resume = list.Resume{Offset: b.end.Offset, Line: b.end.Line, Header: k.header}
	}
	var report []Outcome
	if k.p.Options.DryRun {
		var err error
		if report, err = k.try(ctx, b, &next.Result); err != nil {
			return err
		}
	}
	err := k.r.store.Update(ctx, func(tx *store.Tx) (err error) {
		if !k.p.Options.DryRun {
			if report, err = k.rows(tx, b, &next.Result); err != nil {
				return err
			}
		}
		if len(report) > 0 {
			key := append([]byte(k.t.Job().ID+"/"), store.ID(uint64(next.Reports))...)
			if err := k.r.putOutcomes(tx, key, report); err != nil {
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
		if k.p.Options.DryRun && !b.last {
			k.t.Progress(done, total)
			return nil // without a cursor: a preview begins anew
		}
		return k.t.Save(tx, next, done, total)
	})
	if err == nil {
		*k.cursor = next
	}
	return err
}

// tentative is the first of the numbers that contacts of a preview have: none that will ever be given.
const tentative = 1 << 62

// errTry ends the transaction of a preview, so that nothing of it stays.
var errTry = errors.New("a preview changes nothing")

// try finds out what would become of a batch by doing it all and rolling it back.
func (k *keeper) try(ctx context.Context, b *prepared, result *ImportResult) (report []Outcome, err error) {
	err = k.r.store.Update(ctx, func(tx *store.Tx) error {
		if report, err = k.rows(tx, b, result); err != nil {
			return err
		}
		return errTry
	})
	if !errors.Is(err, errTry) {
		return nil, err
	}
	for i := range report {
		o := &report[i]
		if o.Contact >= tentative {
			o.Contact = 0
		}
		o.PossibleDuplicates = slices.DeleteFunc(o.PossibleDuplicates, func(n uint64) bool { return n >= tentative })
	}
	return report, nil
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
	for i := range b.edits {
		if e := &b.edits[i]; e.known && !e.skip {
			// It was there a moment ago, and is not now.
			updates, of = append(updates, edit{id: e.id, after: e.after}), append(of, i)
			e.skip = true
		}
	}
	b.changes.skipCreated()
	found, err := k.r.keep(tx, k.p.By, b.changes, unlink)
	if err != nil {
		return nil, err
	}
	result.LeftOut += b.changes.unlikely
	if len(updates) > 0 {
		c, err := k.r.prepare(updates)
		if err != nil {
			return nil, err
		}
		c.quiet = b.changes.quiet
		more, err := k.r.keep(tx, k.p.By, c, unlink)
		if err != nil {
			return nil, err
		}
		result.LeftOut += c.unlikely
		for i, pairs := range more {
			found[of[i]] = append(found[of[i]], pairs...)
		}
	}
	report := outcomes[:0]
	for i := range outcomes {
		o := &outcomes[i]
		for _, p := range found[i] {
			o.PossibleDuplicates = append(o.PossibleDuplicates, p.other(o.Contact))
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
	u := &updater{keeper: k, tx: tx, now: k.r.now().UTC(), at: map[uint64]int{}}
	inBatch := make(map[store.Term]int, len(idents.add))
	for n, i := range idents.addOf {
		term, row := idents.add[n].Term, &b.rows[i]
		if j, ok := inBatch[term]; ok {
			outcomes[i] = repeated(row, b.rows[j].Contact == row.Contact, outcomes[j].Contact, fmt.Sprintf("line %d", b.rows[j].Line))
			b.edits[i].skip = true
			continue
		}
		inBatch[term] = i
		was, again := k.seen.add(term, &row.Contact)
		if len(hits[n].Refs) == 0 && !again {
			continue
		}
		b.edits[i].skip = true
		if again {
			// Of an earlier batch. A preview has not kept it, so the register may know nothing of it.
			outcomes[i] = repeated(row, was, 0, "an earlier line")
			if refs := hits[n].Refs; len(refs) > 0 {
				if outcomes[i].Contact, err = k.r.top(tx, refs[0]); err != nil {
					return nil, nil, err
				}
			}
			continue
		}
		if outcomes[i], err = u.row(row, hits[n].Refs, i); err != nil {
			return nil, nil, err
		}
	}
	return u.edits, u.of, nil
}

// repeated is the outcome of a row that stands in the list before.
func repeated(row *list.Row, same bool, number uint64, where string) Outcome {
	if same {
		return Outcome{Line: row.Line, Outcome: Duplicate, Contact: number}
	}
	return Outcome{
		Line: row.Line, Outcome: Rejected, Contact: number, Field: contacts.ExternalID.String(),
		Reason: where + " of this list has the same external id and other content",
	}
}

// updater collects the edits of one batch; several rows can concern one contact, where they are what it was merged of.
type updater struct {
	*keeper
	tx    *store.Tx
	now   time.Time
	edits []edit
	of    []int          // rows
	at    map[uint64]int // number → its edit
}

// held is a contact as it stands with the edits so far.
type held struct {
	id     uint64
	rec    *record
	into   uint64
	edited int // number of its edit, -1 if there is none yet
}

func (u *updater) held(id uint64) (held, error) {
	if n, ok := u.at[id]; ok {
		return held{id, u.edits[n].after, u.edits[n].into, n}, nil
	}
	o, err := u.r.originals.Get(u.tx, store.ID(id))
	if err == nil {
		return held{id, &o.record, o.Into, -1}, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return held{}, err
	}
	rec, err := u.r.record(u.tx, id)
	return held{id, rec, 0, -1}, err
}

func (u *updater) set(h held, c contacts.Contact, row int) {
	if h.edited >= 0 {
		u.edits[h.edited].after.Contact = c
		return
	}
	after := h.rec.changed(c, u.now, u.p.By)
	after.LastImport = u.t.Job().ID
	u.at[h.id] = len(u.edits)
	u.edits, u.of = append(u.edits, edit{id: h.id, before: h.rec, after: after, into: h.into, aside: h.into != 0}), append(u.of, row)
}

// row settles a row that is known. Of the numbers that it is known by, one that was merged comes first: a list says what is in
// the original, not what a merge made of it.
func (u *updater) row(row *list.Row, refs []uint64, i int) (Outcome, error) {
	var h held
	for _, ref := range refs {
		next, err := u.held(ref)
		if err != nil {
			return Outcome{}, err
		}
		if h.rec == nil || h.into == 0 && next.into != 0 {
			h = next
		}
	}
	shown, err := u.r.top(u.tx, h.id)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Line: row.Line, Contact: shown}
	job := u.t.Job().ID
	if h.rec.Contact == row.Contact {
		out.Outcome = Duplicate
		return out, nil
	}
	if h.rec.Import == job || h.rec.LastImport == job {
		return repeated(row, false, shown, "an earlier line"), nil
	}
	if !u.p.Options.Update {
		out.Outcome, out.Field = Rejected, contacts.ExternalID.String()
		out.Reason = fmt.Sprintf("contact %d has the same external id and other content; give this row another id, or import with --update", shown)
		return out, nil
	}
	was, is := h.rec.Contact, h.rec.Contact
	for f := range contacts.Field(contacts.NumFields) {
		v := row.Contact.Value(f)
		if v == was.Value(f) || v == "" && !u.empties(f) {
			continue
		}
		is.Set(f, v)
		out.Changed = append(out.Changed, f.String())
	}
	if len(out.Changed) == 0 {
		out.Outcome = Duplicate
		return out, nil
	}
	out.Outcome = Updated
	u.set(h, is, i)
	return out, u.passOn(h, &was, &is, i)
}

// empties says whether an empty cell empties the field.
func (u *updater) empties(f contacts.Field) bool {
	return u.p.Options.Empty == EmptyClears && u.columns[f]
}

// passOn changes what a contact was merged into wherever that had the original's value.
func (u *updater) passOn(h held, was, is *contacts.Contact, row int) error {
	for h.into != 0 {
		id := h.into
		m, err := u.r.merges.Get(u.tx, store.ID(id))
		if err != nil {
			return err
		}
		next, err := u.held(id)
		if err != nil {
			return err
		}
		c := next.rec.Contact
		for f := range contacts.Field(contacts.NumFields) {
			if was.Value(f) == is.Value(f) {
				continue
			}
			if c.Value(f) == was.Value(f) {
				c.Set(f, is.Value(f))
			}
			if m.Made.Value(f) == was.Value(f) {
				m.Made.Set(f, is.Value(f))
			}
		}
		if err := u.r.merges.Put(u.tx, store.ID(id), m); err != nil {
			return err
		}
		if c == next.rec.Contact || c.Validate() != nil {
			return nil
		}
		u.set(next, c, row)
		h = next
	}
	return nil
}
