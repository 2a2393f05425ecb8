package register

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Comma     string            `json:"comma,omitempty"`      // "," ";" "\t", or "" to find it
	DateOrder string            `json:"date_order,omitempty"` // "dmy", "mdy", or "" to refuse dates that can be read in two ways
	Sheet     string            `json:"sheet,omitempty"`      // of a workbook; "" is the first
	Map       map[string]string `json:"map,omitempty"`        // column as it stands in the list → field of a contact, "-" to leave it out
	Mapping   string            `json:"mapping,omitempty"`    // name of a mapping that was remembered; what is given beside it goes before it
	Update    bool              `json:"update,omitempty"`     // a row with the external id of a contact changes that contact, instead of being rejected
	Empty     string            `json:"empty,omitempty"`      // what an empty cell says in an update: "" or EmptyKeeps, or EmptyClears
	DryRun    bool              `json:"dry_run,omitempty"`    // say what would become of the rows, and change nothing
}

// What an empty cell of a list that updates contacts does to what is there.
const (
	EmptyKeeps  = "keep"
	EmptyClears = "clear"
)

// The outcomes of a row.
const (
	Created   = "created"
	Updated   = "updated"   // the contact with that external id was changed
	Duplicate = "duplicate" // the very same contact is there already: nothing was added or changed
	Rejected  = "rejected"
	// Gone is the outcome of a row whose contact was deleted or erased since. Nothing else is kept of the row.
	Gone = "gone"
)

// Outcome is the answer to one row.
type Outcome struct {
	Line               int      `json:"line"`
	Outcome            string   `json:"outcome"`
	Contact            uint64   `json:"contact,omitempty"`             // created or updated, or the one that is there
	Changed            []string `json:"changed,omitempty"`             // fields of an updated contact that have another value now
	PossibleDuplicates []uint64 `json:"possible_duplicates,omitempty"` // contacts that agree with the created one in match keys
	Column             int      `json:"column,omitempty"`              // of a rejected row, from 1
	Field              string   `json:"field,omitempty"`
	Reason             string   `json:"reason,omitempty"`
}

// ImportResult are the numbers of an import; the result of its job.
type ImportResult struct {
	Rows               uint64            `json:"rows"`
	Created            uint64            `json:"created"`
	Updated            uint64            `json:"updated"`
	Changed            map[string]uint64 `json:"changed,omitempty"` // fields that updated contacts have another value in, and how many do
	Duplicates         uint64            `json:"duplicates"`
	PossibleDuplicates uint64            `json:"possible_duplicates"` // created or updated rows that may be another contact
	LeftOut            uint64            `json:"left_out,omitempty"`  // pairs that agree in match keys only a little, and whose contacts are not alike: no possible duplicates
	Rejected           uint64            `json:"rejected"`
	DryRun             bool              `json:"dry_run,omitempty"` // nothing was changed
	Format             list.Format       `json:"format,omitempty"`
	Columns            []list.Column     `json:"columns,omitempty"` // how the list's columns were read
	IgnoredColumns     []string          `json:"ignored_columns,omitempty"`
}

type importParams struct {
	Spool   store.SpoolID `json:"spool"`
	Size    int64         `json:"size"`
	Options ImportOptions `json:"options"`
	By      string        `json:"by,omitempty"`
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
func (r *Register) StartImport(ctx context.Context, body io.Reader, o ImportOptions, by string) (jobs.Job, error) {
	o, err := r.withMapping(ctx, o)
	if err != nil {
		return jobs.Job{}, err
	}
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
		job, err = r.jobs.Enqueue(tx, JobImport, importParams{Spool: id, Size: spool.Size(), Options: o, By: clipBy(by)})
		return err
	})
	return job, err
}

// ErrOptions is wrapped by errors about import options.
var ErrOptions = errors.New("import option")

func (o ImportOptions) reader(resume *list.Resume) (list.ReaderOptions, error) {
	out := list.ReaderOptions{Resume: resume, Sheet: o.Sheet, Map: o.Map}
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
	switch {
	case o.Empty != "" && o.Empty != EmptyKeeps && o.Empty != EmptyClears:
		return out, fmt.Errorf("%w: an empty cell can keep or clear what is there", ErrOptions)
	case o.Empty == EmptyClears && !o.Update:
		return out, fmt.Errorf("%w: empty cells can clear something only where contacts are updated", ErrOptions)
	}
	return out, checkMap(o.Map)
}

// runImport is the job.
func (r *Register) runImport(ctx context.Context, t *jobs.Task) error {
	var p importParams
	if err := t.Params(&p); err != nil {
		return err
	}
	var cursor importCursor
	if p.Options.DryRun {
		// A preview that was interrupted begins anew.
		if err := r.store.Update(ctx, func(tx *store.Tx) error { return r.dropReport(tx, t.Job().ID) }); err != nil {
			return err
		}
	}
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
	in, err := r.store.OpenSpool(ctx, p.Spool, cursor.Resume.Start())
	if err != nil {
		return err
	}
	defer in.Close()
	rows, err := list.NewReader(in, options)
	if err == nil {
		err = r.importRows(ctx, t, rows, &cursor, &p)
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
	rows    []list.Row
	edits   []edit // of each row; skipped for a rejected one
	changes *changes
	end     list.Position
	last    bool
	err     error
}

// importRows runs three stages at once: rows are read, batches are encoded and sealed on all cores, and kept in order.
func (r *Register) importRows(ctx context.Context, t *jobs.Task, rows *list.Reader, cursor *importCursor, p *importParams) error {
	ctx, cancel := context.WithCancel(ctx)
	read, ready := make(chan *prepared), make(chan *prepared)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer close(read)
		for last := false; !last; {
			b := r.readBatch(ctx, rows, t.Job().ID, p)
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
		for b := range read {
			if b.err == nil {
				b.err = r.prepareBatch(ctx, b, p.Options.DryRun)
			}
			select {
			case ready <- b:
			case <-ctx.Done():
				return
			}
		}
	})
	k := &keeper{r: r, t: t, p: p, header: rows.Header(), cursor: cursor, seen: newSeen()}
	if cursor.Resume.Line > 0 {
		var err error
		if k.seen, err = r.recall(ctx, p, cursor.Resume); err != nil {
			return err
		}
	}
	if k.header.Format == list.JSONL && p.Options.Empty == EmptyClears {
		return fmt.Errorf("%w: a JSON Lines list does not tell an empty field from one that is left out, so it cannot clear fields", ErrOptions)
	}
	for _, c := range k.header.Columns {
		if f, ok := contacts.ParseField(c.Field); ok {
			k.columns[f] = true
		}
	}
	for b := range ready {
		if b.err != nil {
			return b.err
		}
		k.unknown = rows.Unknown
		if err := k.keep(ctx, b); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// prepareBatch does what needs no write transaction. Rows that seem to be there already, as nearly all are where a list comes in again, are
// not encoded and sealed for nothing; the transaction looks again.
func (r *Register) prepareBatch(ctx context.Context, b *prepared, preview bool) (err error) {
	var entries []store.IndexEntry
	var of []int
	for i := range b.edits {
		if e := &b.edits[i]; !e.skip {
			entries, of = append(entries, store.IndexEntry{Value: identity(&e.after.Contact)}), append(of, i)
		}
	}
	err = r.store.View(ctx, func(tx *store.Tx) error {
		hits, err := r.ids.LookupAll(tx, entries, 1)
		for n := range hits {
			b.edits[of[n]].known = len(hits[n].Refs) > 0
		}
		return err
	})
	if err != nil {
		return err
	}
	if b.changes, err = r.prepare(b.edits); err != nil {
		return err
	}
	if b.changes.quiet = preview; !preview {
		r.prepareWatchers(b.changes, unlink)
	}
	return nil
}

func (r *Register) readBatch(ctx context.Context, rows *list.Reader, job string, p *importParams) *prepared {
	b := &prepared{rows: make([]list.Row, 0, r.batch)}
	good := 0
	for len(b.rows) < r.batch {
		row, err := rows.Next()
		if err == io.EOF {
			b.last = true
			break
		}
		if err != nil {
			b.err, b.last = err, true
			return b
		}
		if row.Err == nil {
			good++
		}
		b.rows, b.end = append(b.rows, row), row.Next
	}
	id, err := uint64(tentative), error(nil)
	if !p.Options.DryRun {
		id, err = r.allocate(ctx, good)
	}
	if err != nil {
		b.err, b.last = err, true
		return b
	}
	now := r.now().UTC()
	b.edits = make([]edit, len(b.rows))
	records := make([]record, good)
	good = 0
	for i := range b.rows {
		row := &b.rows[i]
		if row.Err != nil {
			b.edits[i].skip = true
			continue
		}
		rec := &records[good]
		*rec = record{Contact: row.Contact, Created: now, CreatedBy: p.By, Import: job, Line: row.Line}
		b.edits[i] = edit{id: id, after: rec}
		id, good = id+1, good+1
	}
	return b
}

// identity is what a contact is known by: its external id where it has one, else all of it.
func identity(c *contacts.Contact) []byte {
	if id := c.Value(contacts.ExternalID); id != "" {
		return append([]byte("external\x00"), id...)
	}
	return contentDigest([]byte("row\x00"), c)
}

// contentDigest appends a digest of all that a contact says.
func contentDigest(dst []byte, c *contacts.Contact) []byte {
	h := sha256.New()
	for _, f := range contacts.Fields() {
		v := c.Value(f)
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(v)))
		h.Write(size[:])
		io.WriteString(h, v)
	}
	return h.Sum(dst)
}

// Tidy does what is to be done now and then: it begins the job that applies the retention rule, and has the bytes of deleted contacts
// gone, when its time has come; and it removes the lists of imports that have ended without removing them: cancelled before they began, or given up.
func (r *Register) Tidy(ctx context.Context) error {
	return errors.Join(r.keepRetention(ctx), r.dropLists(ctx))
}

// dropLists removes the lists of imports that have ended without being read.
func (r *Register) dropLists(ctx context.Context) error {
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
