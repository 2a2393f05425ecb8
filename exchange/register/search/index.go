package search

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/store"
	"ihyid/store/jobs"
)

// JobIndex is the kind of the job that indexes the contacts of a store from before there was an index.
const JobIndex = "contacts.index"

// ErrBuilding is returned by a search while the index does not hold all contacts yet.
var ErrBuilding = errors.New("the contacts are still being indexed; ihyid jobs list shows how far that is")

// Index finds contacts. It is safe for concurrent use, and belongs to one register, whose watcher it must be.
type Index struct {
	store    *store.Store
	register *register.Register
	lists    *store.Collection[list]
	states   *store.Collection[state]
	terms    terms
}

// state says whether all contacts are indexed.
type state struct {
	Complete bool `json:"complete"`
}

// The name holds the version of how tokens are made: lists of another version would be no use.
const name = "search/1"

var stateKey = []byte("state")

// Open opens the index of a register, watches it, and begins to index the contacts of a store that has none yet. Call it before anything
// changes contacts.
func Open(ctx context.Context, s *store.Store, r *register.Register, queue *jobs.Queue) (*Index, error) {
	x := &Index{
		store: s, register: r,
		lists:  store.NewCollection[list](s, name, 1, store.WithCodec[list](codec{})),
		states: store.NewCollection[state](s, "search-state/1", 1),
	}
	x.terms.hash = store.NewIndex(s, name).Hash
	r.Watch(x)
	queue.Handle(JobIndex, x.build)
	begun, err := queue.List(ctx, jobs.Filter{Kind: JobIndex, States: []jobs.State{jobs.Queued, jobs.Running, jobs.Waiting}})
	if err != nil {
		return nil, err
	}
	complete := false
	err = s.View(ctx, func(tx *store.Tx) error {
		complete, err = x.complete(tx)
		return err
	})
	if err != nil || complete {
		return x, err
	}
	return x, s.Update(ctx, func(tx *store.Tx) error {
		last, err := r.Last(tx)
		if err != nil || last == 0 {
			return errors.Join(err, x.states.Put(tx, stateKey, state{Complete: err == nil}))
		}
		if len(begun) == 0 {
			_, err = queue.Enqueue(tx, JobIndex, nil)
		}
		return err
	})
}

func (x *Index) complete(tx *store.Tx) (bool, error) {
	s, err := x.states.Get(tx, stateKey)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return s.Complete, err
}

// buildBatch is how many contacts one transaction indexes.
const buildBatch = 10_000

// buildCursor is how far the job is.
type buildCursor struct {
	After uint64 `json:"after"`
	Done  uint64 `json:"done"`
}

// build is the job. What changes meanwhile is kept in step by the watcher: adding a contact twice does no harm.
func (x *Index) build(ctx context.Context, t *jobs.Task) error {
	var c buildCursor
	if _, err := t.Cursor(&c); err != nil {
		return err
	}
	total, err := x.register.Count(ctx)
	if err != nil {
		return err
	}
	t.Describe("contacts", "")
	for more := true; more; {
		err := x.store.Update(ctx, func(tx *store.Tx) error {
			batch := make([]register.Change, 0, buildBatch)
			next := c
			for s, err := range x.register.From(tx, c.After+1) {
				if err != nil {
					return err
				}
				batch = append(batch, register.Change{ID: s.ID, After: &s.Contact})
				if next.After = s.ID; len(batch) == buildBatch {
					break
				}
			}
			more = len(batch) == buildBatch
			next.Done += uint64(len(batch))
			if err := x.ContactsChanged(tx, "", batch); err != nil {
				return err
			}
			if !more {
				if err := x.states.Put(tx, stateKey, state{Complete: true}); err != nil {
					return err
				}
			}
			if err := t.Save(tx, next, next.Done, max(total, next.Done)); err != nil {
				return err
			}
			tx.OnCommit(func() { c = next })
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// cell is the place of a list: a segment and a term.
type cell struct {
	segment uint32
	term    store.Term
}

func (c cell) key() []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 20), c.segment), c.term[:]...)
}

func (c cell) compare(o cell) int {
	if c.segment != o.segment {
		return int(int64(c.segment) - int64(o.segment))
	}
	return bytes.Compare(c.term[:], o.term[:])
}

// edit is what changes in one list.
type edit struct {
	cell      cell
	add, drop []uint16
	old, new  list
	sealed    store.Sealed
}

// byValue are the contacts of one segment that have a value.
type byValue struct {
	segment uint32
	value   value
}

// ContactsChanged is of register.Watcher.
func (x *Index) ContactsChanged(tx *store.Tx, _ string, changes []register.Change) error {
	edits := x.edits(changes)
	for i := range edits {
		e := &edits[i]
		key := e.cell.key()
		there, err := x.lists.Has(tx, key)
		if err == nil && there {
			e.old, err = x.lists.Get(tx, key)
		}
		if err != nil {
			return fmt.Errorf("reading the search index: %w", err)
		}
	}
	if err := x.seal(edits); err != nil {
		return err
	}
	for i := range edits {
		e := &edits[i]
		var err error
		if e.new == nil {
			err = x.lists.Delete(tx, e.cell.key())
		} else {
			err = x.lists.PutSealed(tx, e.sealed)
		}
		if err != nil {
			return fmt.Errorf("writing the search index: %w", err)
		}
	}
	return nil
}

// seal makes the new lists, on all cores.
func (x *Index) seal(edits []edit) error {
	workers := runtime.GOMAXPROCS(0)
	if len(edits) < 1000 {
		workers = 1
	}
	errs := make([]error, workers)
	per := (len(edits) + workers - 1) / workers
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := min(w*per, len(edits)); i < min((w+1)*per, len(edits)); i++ {
				e := &edits[i]
				if e.new = e.old.change(e.add, e.drop); e.new == nil {
					continue
				}
				if e.sealed, errs[w] = x.lists.Seal(e.cell.key(), e.new); errs[w] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// edits are what changes of contacts change in the lists, in the order of the lists.
func (x *Index) edits(changes []register.Change) []edit {
	add, drop := map[byValue][]uint16{}, map[byValue][]uint16{}
	var buf []value
	collect := func(into map[byValue][]uint16, id uint64, c, other *contacts.Contact) {
		if c == nil {
			return
		}
		buf = values(buf[:0], c)
		for _, v := range buf {
			if other != nil && unchanged(v, other) {
				continue
			}
			k := byValue{uint32(id >> segmentBits), v}
			into[k] = append(into[k], uint16(id%segmentSize))
		}
	}
	for i := range changes {
		c := &changes[i]
		collect(add, c.ID, c.After, nil)
		// A token may come from several values: what is dropped must not be one that stays. Adding comes after dropping.
		collect(drop, c.ID, c.Before, c.After)
	}
	at := make(map[cell]int, 2*len(add))
	var out []edit
	spread := func(from map[byValue][]uint16, to func(*edit) *[]uint16) {
		for k, numbers := range from {
			for _, term := range x.terms.get(k.value) {
				c := cell{k.segment, term}
				i, ok := at[c]
				if !ok {
					i = len(out)
					at[c] = i
					out = append(out, edit{cell: c})
				}
				list := to(&out[i])
				*list = append(*list, numbers...)
			}
		}
	}
	spread(drop, func(e *edit) *[]uint16 { return &e.drop })
	spread(add, func(e *edit) *[]uint16 { return &e.add })
	for i := range out {
		slices.Sort(out[i].add)
		out[i].add = slices.Compact(out[i].add)
	}
	slices.SortFunc(out, func(a, b edit) int { return a.cell.compare(b.cell) })
	return out
}

// unchanged says whether a contact has a value as it is.
func unchanged(v value, c *contacts.Contact) bool {
	var buf [16]value
	return slices.Contains(values(buf[:0], c), v)
}
