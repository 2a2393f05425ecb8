package search

import (
	"context"
	"encoding/binary"
	"errors"

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

// ContactsChanged is of register.Watcher.
func (x *Index) ContactsChanged(tx *store.Tx, _ string, changes []register.Change) error {
	return x.PrepareChanges(changes).Keep(tx, nil)
}
