package register

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"runtime"
	"slices"
	"sync"

	"ihyid/contacts"
	"ihyid/contacts/list"
	"ihyid/store"
	"ihyid/store/jobs"
)

// JobImport is the kind of the jobs that read lists.
const JobImport = "contacts.import"

// MaxUpload is the largest list that is taken, in bytes: a hundred bytes a contact for ten million contacts.
const MaxUpload = 1 << 30

// importBatch is how many rows one transaction takes. Larger ones are hardly faster, and hold the writer for longer.
const importBatch = 10_000

// ImportOptions steer an import; the zero value finds everything out by itself.
type ImportOptions struct {
	Comma     string `json:"comma,omitempty"`      // "," ";" "\t", or "" to find it
	DateOrder string `json:"date_order,omitempty"` // "dmy", "mdy", or "" to refuse dates that can be read in two ways
}

// The outcomes of a row.
const (
	Created   = "created"
	Duplicate = "duplicate" // the very same contact is there already: nothing was added
	Rejected  = "rejected"
)

// Outcome is the answer to one row.
type Outcome struct {
	Line               int      `json:"line"`
	Outcome            string   `json:"outcome"`
	Contact            uint64   `json:"contact,omitempty"`             // created, or the one that is there
	PossibleDuplicates []uint64 `json:"possible_duplicates,omitempty"` // contacts that agree with the created one in match keys
	Column             int      `json:"column,omitempty"`              // of a rejected row, from 1
	Field              string   `json:"field,omitempty"`
	Reason             string   `json:"reason,omitempty"`
}

// ImportResult are the numbers of an import; the result of its job.
type ImportResult struct {
	Rows               uint64   `json:"rows"`
	Created            uint64   `json:"created"`
	Duplicates         uint64   `json:"duplicates"`
	PossibleDuplicates uint64   `json:"possible_duplicates"` // created rows that may be a contact that was there
	Rejected           uint64   `json:"rejected"`
	IgnoredColumns     []string `json:"ignored_columns,omitempty"`
}

type importParams struct {
	Spool   store.SpoolID `json:"spool"`
	Size    int64         `json:"size"`
	Options ImportOptions `json:"options"`
}

// importCursor is how far an import is; it is saved in the transaction of every batch.
type importCursor struct {
	Resume  list.Resume  `json:"resume"`
	Result  ImportResult `json:"result"`
	Reports int          `json:"reports"` // how many outcomes are kept
}

// ErrTooLarge is returned for an upload over MaxUpload.
var ErrTooLarge = fmt.Errorf("the list is larger than %d bytes; split it", MaxUpload)

// StartImport takes a list, keeps it sealed until it has been read, and begins the job that reads it.
func (r *Register) StartImport(ctx context.Context, body io.Reader, o ImportOptions) (jobs.Job, error) {
	if _, err := o.reader(nil); err != nil {
		return jobs.Job{}, err
	}
	spool, err := r.store.NewSpool(ctx)
	if err != nil {
		return jobs.Job{}, err
	}
	defer spool.Discard()
	switch n, err := io.Copy(spool, io.LimitReader(body, MaxUpload+1)); {
	case err != nil:
		return jobs.Job{}, fmt.Errorf("taking the list: %w", err)
	case n > MaxUpload:
		return jobs.Job{}, ErrTooLarge
	}
	if err := spool.Finish(); err != nil {
		return jobs.Job{}, err
	}
	var job jobs.Job
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		id, err := spool.CommitTx(tx)
		if err != nil {
			return err
		}
		job, err = r.jobs.Enqueue(tx, JobImport, importParams{Spool: id, Size: spool.Size(), Options: o})
		return err
	})
	return job, err
}

// ErrOptions is wrapped by errors about import options.
var ErrOptions = errors.New("import option")

func (o ImportOptions) reader(resume *list.Resume) (list.ReaderOptions, error) {
	out := list.ReaderOptions{Resume: resume}
	switch o.Comma {
	case "":
	case ",", ";", "\t":
		out.Comma = rune(o.Comma[0])
	default:
		return out, fmt.Errorf("%w: the separator is a comma, a semicolon or a tab", ErrOptions)
	}
	switch order := contacts.DateOrder(o.DateOrder); order {
	case "", "dmy", "mdy":
		out.Dates.Order = order
	default:
		return out, fmt.Errorf("%w: the order of a date is dmy or mdy", ErrOptions)
	}
	return out, nil
}

// runImport is the job.
func (r *Register) runImport(ctx context.Context, t *jobs.Task) error {
	var p importParams
	if err := t.Params(&p); err != nil {
		return err
	}
	var cursor importCursor
	going, err := t.Cursor(&cursor)
	if err != nil {
		return err
	}
	var resume *list.Resume
	if going {
		resume = &cursor.Resume
	}
	// One import at a time: numbers are given to contacts before the transaction that keeps them.
	r.importing.Lock()
	defer r.importing.Unlock()
	options, err := p.Options.reader(resume)
	if err != nil {
		return err
	}
	in, err := r.store.OpenSpool(ctx, p.Spool, cursor.Resume.Offset)
	if err != nil {
		return err
	}
	defer in.Close()
	rows, err := list.NewReader(in, options)
	if err == nil {
		cursor.Result.IgnoredColumns = rows.Header().Unknown()
		err = r.importRows(ctx, t, rows, &cursor, p)
	}
	if err != nil && (ctx.Err() == nil || errors.Is(context.Cause(ctx), jobs.ErrCancelled)) {
		// The list cannot be read any further: it must not stay.
		if rerr := r.store.RemoveSpool(context.WithoutCancel(ctx), p.Spool); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// prepared is a batch of rows on its way to its transaction.
type prepared struct {
	rows   []list.Row
	sealed []store.Sealed // of each row; empty for a rejected one
	ids    []uint64
	keys   []store.IndexEntry // match digests of all rows
	first  []int              // keys of row i are keys[first[i]:first[i+1]]
	key    []uint8            // which match key each of keys is
	idents []store.IndexEntry // what each row is known by: its external id, or all of it
	end    list.Position
	last   bool
	err    error
}

// importRows runs three stages at once: rows are read, batches are encoded and sealed on all cores, and kept in order.
func (r *Register) importRows(ctx context.Context, t *jobs.Task, rows *list.Reader, cursor *importCursor, p importParams) error {
	ctx, cancel := context.WithCancel(ctx)
	next, err := r.nextID(ctx)
	if err != nil {
		cancel()
		return err
	}
	read, ready := make(chan *prepared), make(chan *prepared)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer close(read)
		for last := false; !last; {
			b := r.readBatch(rows, &next)
			last = b.last
			select {
			case read <- b:
			case <-ctx.Done():
				return
			}
		}
	})
	wg.Go(func() {
		defer close(ready)
		workers := runtime.GOMAXPROCS(0)
		encoders := make([]*contacts.Encoder, workers)
		for i := range encoders {
			encoders[i] = r.profile.NewEncoder()
		}
		for b := range read {
			if b.err == nil {
				b.err = r.prepare(b, encoders, t.Job().ID)
			}
			select {
			case ready <- b:
			case <-ctx.Done():
				return
			}
		}
	})
	header := rows.Header()
	for b := range ready {
		if b.err != nil {
			return b.err
		}
		if err := r.keep(ctx, t, b, cursor, header, p); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// nextID gives the number that the next contact will have.
func (r *Register) nextID(ctx context.Context) (uint64, error) {
	var id uint64
	err := r.store.View(ctx, func(tx *store.Tx) error {
		for key, err := range r.contacts.Keys(tx, store.Range{Reverse: true}) {
			if err != nil {
				return err
			}
			id, _ = store.ParseID(key)
			break
		}
		c, err := r.numbers.Get(tx, numbersKey)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		id = max(id, c.Last)
		return err
	})
	return id + 1, err
}

// numbers is the last number that was ever given to a contact: numbers of deleted contacts are not given again.
type numbers struct {
	Last uint64 `json:"last"`
}

var numbersKey = []byte("contacts")

func (r *Register) readBatch(rows *list.Reader, next *uint64) *prepared {
	b := &prepared{rows: make([]list.Row, 0, importBatch), ids: make([]uint64, 0, importBatch)}
	for len(b.rows) < importBatch {
		row, err := rows.Next()
		if err == io.EOF {
			b.last = true
			break
		}
		if err != nil {
			b.err, b.last = err, true
			break
		}
		id := uint64(0)
		if row.Err == nil {
			id = *next
			*next++
		}
		b.rows, b.ids, b.end = append(b.rows, row), append(b.ids, id), row.Next
	}
	return b
}

// prepare does what costs time and needs no transaction, a part of the batch on each core.
func (r *Register) prepare(b *prepared, encoders []*contacts.Encoder, job string) error {
	n := len(b.rows)
	b.sealed, b.idents, b.first = make([]store.Sealed, n), make([]store.IndexEntry, n), make([]int, n+1)
	type part struct {
		digests []contacts.KeyDigest
		first   []int
		err     error
	}
	parts := make([]part, len(encoders))
	per := (n + len(encoders) - 1) / len(encoders)
	now := r.now().UTC()
	var wg sync.WaitGroup
	for w, e := range encoders {
		from, to := min(w*per, n), min((w+1)*per, n)
		wg.Go(func() {
			p := &parts[w]
			for i := from; i < to; i++ {
				p.first = append(p.first, len(p.digests))
				row := &b.rows[i]
				if row.Err != nil {
					continue
				}
				sealed, err := r.contacts.Seal(store.ID(b.ids[i]), record{Contact: row.Contact, Created: now, Import: job, Line: row.Line})
				if err != nil {
					p.err = err
					return
				}
				b.sealed[i] = sealed
				value := identity(&row.Contact)
				b.idents[i] = store.IndexEntry{Value: value, Term: r.ids.Hash(value), Ref: b.ids[i]}
				p.digests = e.Digests(p.digests, &row.Contact)
			}
		})
	}
	wg.Wait()
	total := 0
	for i := range parts {
		if parts[i].err != nil {
			return parts[i].err
		}
		total += len(parts[i].digests)
	}
	values := make([]byte, 0, total*sha256.Size)
	b.keys, b.key = make([]store.IndexEntry, total), make([]uint8, total)
	at, row := 0, 0
	for i := range parts {
		for _, f := range parts[i].first {
			b.first[row] = at + f
			row++
		}
		for _, d := range parts[i].digests {
			values = append(values, d.Digest[:]...)
			b.keys[at].Value, b.key[at] = values[len(values)-sha256.Size:], d.Key
			at++
		}
	}
	b.first[n] = total
	for i := range n {
		for k := b.first[i]; k < b.first[i+1]; k++ {
			b.keys[k].Ref = b.ids[i]
		}
	}
	half := (total + len(encoders) - 1) / len(encoders)
	for w := range encoders {
		wg.Go(func() {
			for k := min(w*half, total); k < min((w+1)*half, total); k++ {
				b.keys[k].Term = r.index.Hash(b.keys[k].Value)
			}
		})
	}
	wg.Wait()
	return nil
}

// identity is what a contact is known by: its external id where it has one, else all of it.
func identity(c *contacts.Contact) []byte {
	if id := c.Value(contacts.ExternalID); id != "" {
		return append([]byte("external\x00"), id...)
	}
	h := sha256.New()
	for _, f := range contacts.Fields() {
		v := c.Value(f)
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(v)))
		h.Write(size[:])
		io.WriteString(h, v)
	}
	return h.Sum([]byte("row\x00"))
}

// keep is the transaction of one batch: contacts, indexes, pairs, the report and the cursor, or nothing.
func (r *Register) keep(ctx context.Context, t *jobs.Task, b *prepared, cursor *importCursor, header list.Header, p importParams) error {
	next := *cursor
	if len(b.rows) > 0 {
		next.Resume = list.Resume{Offset: b.end.Offset, Line: b.end.Line, Header: header}
	}
	err := r.store.Update(ctx, func(tx *store.Tx) error {
		report, err := r.keepRows(tx, b, &next.Result)
		if err != nil {
			return err
		}
		if len(report) > 0 {
			key := append([]byte(t.Job().ID+"/"), store.ID(uint64(next.Reports))...)
			if err := r.outcomes.Put(tx, key, report); err != nil {
				return err
			}
			next.Reports += len(report)
		}
		if b.last {
			if err := r.store.RemoveSpoolTx(tx, p.Spool); err != nil {
				return err
			}
			if err := t.Result(tx, next.Result); err != nil {
				return err
			}
		}
		return t.Save(tx, next, uint64(next.Resume.Offset), uint64(p.Size))
	})
	if err == nil {
		*cursor = next
	}
	return err
}

func (r *Register) keepRows(tx *store.Tx, b *prepared, result *ImportResult) ([]Outcome, error) {
	result.Rows += uint64(len(b.rows))
	outcomes := make([]Outcome, len(b.rows))
	plain := make([]bool, len(b.rows))
	keep := make([]int, 0, len(b.rows))
	idents := make([]store.IndexEntry, 0, len(b.rows))
	inBatch := make(map[store.Term]int, len(b.rows))
	last := uint64(0)
	for i := range b.rows {
		row := &b.rows[i]
		outcomes[i] = Outcome{Line: row.Line, Outcome: Created, Contact: b.ids[i]}
		if row.Err != nil {
			outcomes[i] = rejected(row.Err)
			result.Rejected++
			continue
		}
		known, err := r.knownAs(tx, b, i, inBatch)
		if err != nil {
			return nil, err
		}
		if known != nil {
			outcomes[i] = *known
			if known.Outcome == Duplicate {
				result.Duplicates++
			} else {
				result.Rejected++
			}
			continue
		}
		inBatch[b.idents[i].Term] = i
		keep, idents, last = append(keep, i), append(idents, b.idents[i]), b.ids[i]
	}
	keys, owner, key := make([]store.IndexEntry, 0, len(b.keys)), make([]int, 0, len(b.keys)), make([]uint8, 0, len(b.keys))
	for _, i := range keep {
		if err := r.contacts.PutSealed(tx, b.sealed[i]); err != nil {
			return nil, err
		}
		for k := b.first[i]; k < b.first[i+1]; k++ {
			keys, owner, key = append(keys, b.keys[k]), append(owner, i), append(key, b.key[k])
		}
	}
	if _, err := r.ids.Insert(tx, idents); err != nil {
		return nil, err
	}
	hits, err := r.index.Insert(tx, keys)
	if err != nil {
		return nil, err
	}
	result.Created += uint64(len(keep))
	if last > 0 {
		if err := r.numbers.Put(tx, numbersKey, numbers{Last: last}); err != nil {
			return nil, err
		}
	}
	for _, i := range keep {
		plain[i] = true
	}
	for k := 0; k < len(keys); {
		i, agreed := owner[k], map[uint64]uint32(nil)
		for ; k < len(keys) && owner[k] == i; k++ {
			if hits[k].Crowded {
				continue
			}
			for _, ref := range hits[k].Refs {
				if agreed == nil {
					agreed = map[uint64]uint32{}
				}
				agreed[ref] |= 1 << key[k]
			}
		}
		if err := r.keepPairs(tx, b.ids[i], agreed, &outcomes[i]); err != nil {
			return nil, err
		}
		if len(outcomes[i].PossibleDuplicates) > 0 {
			plain[i] = false
			result.PossibleDuplicates++
		}
	}
	report := outcomes[:0]
	for i := range outcomes {
		if !plain[i] {
			report = append(report, outcomes[i])
		}
	}
	return report, nil
}

func rejected(e *list.RowError) Outcome {
	return Outcome{Line: e.Line, Outcome: Rejected, Column: e.Column, Field: e.Field, Reason: e.Reason}
}

// knownAs says whether a row is a contact that is there already, or in an earlier row of the batch; nil if not.
func (r *Register) knownAs(tx *store.Tx, b *prepared, i int, inBatch map[store.Term]int) (*Outcome, error) {
	row := &b.rows[i]
	var there contacts.Contact
	var number uint64
	if j, ok := inBatch[b.idents[i].Term]; ok {
		there, number = b.rows[j].Contact, b.ids[j]
	} else {
		hits, err := r.ids.Lookup(tx, b.idents[i].Value, 1)
		if err != nil || len(hits.Refs) == 0 {
			return nil, err
		}
		number = hits.Refs[0]
		rec, err := r.contacts.Get(tx, store.ID(number))
		if err != nil {
			return nil, err
		}
		there = rec.Contact
	}
	if there == row.Contact {
		return &Outcome{Line: row.Line, Outcome: Duplicate, Contact: number}, nil
	}
	return &Outcome{
		Line: row.Line, Outcome: Rejected, Contact: number, Field: contacts.ExternalID.String(),
		Reason: fmt.Sprintf("contact %d has the same external id and other content; give this row another id, or change that contact", number),
	}, nil
}

// keepPairs keeps the pairs of a new contact and those that agree with it, for a person to decide.
func (r *Register) keepPairs(tx *store.Tx, id uint64, agreed map[uint64]uint32, o *Outcome) error {
	for _, ref := range slices.Sorted(maps.Keys(agreed)) {
		keys := agreed[ref]
		if r.profile.Tier(keys) == contacts.TierNone || bits.OnesCount32(keys) == 0 {
			continue
		}
		if err := r.duplicates.Put(tx, pairKey(ref, id), duplicate{Keys: keys, Found: r.now().UTC()}); err != nil {
			return err
		}
		o.PossibleDuplicates = append(o.PossibleDuplicates, ref)
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

// Tidy removes the lists of imports that have ended without removing them: cancelled before they began, or given up.
func (r *Register) Tidy(ctx context.Context) error {
	ended, err := r.jobs.List(ctx, jobs.Filter{Kind: JobImport, States: []jobs.State{jobs.Cancelled, jobs.Failed}})
	if err != nil {
		return err
	}
	return r.store.Update(ctx, func(tx *store.Tx) error {
		spools, err := r.store.Spools(tx)
		if err != nil || len(spools) == 0 {
			return err
		}
		there := map[store.SpoolID]bool{}
		for _, s := range spools {
			there[s.ID] = true
		}
		for _, j := range ended {
			var p importParams
			if err := json.Unmarshal(j.Params, &p); err != nil {
				return err
			}
			if there[p.Spool] {
				if err := r.store.RemoveSpoolTx(tx, p.Spool); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
