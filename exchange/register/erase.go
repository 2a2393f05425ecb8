package register

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ihyid/store"
	"ihyid/store/jobs"
)

// MaxErase is how many contacts one call of Erase takes. More go by the retention rule, which works in steps.
const MaxErase = 200

// ErrTooMany is returned for more contacts than MaxErase.
var ErrTooMany = fmt.Errorf("at most %d contacts can be erased at once", MaxErase)

// Erasure is what came of erasing contacts.
type Erasure struct {
	Erased  int      `json:"erased"`
	Imports []string `json:"imports,omitempty"` // jobs whose lists are not read yet: what stands in them is not erased, and may bring a contact back
}

// ErrUnfinished is wrapped by the error of an erasure that was made, but whose last part is still to be done; that happens by itself.
var ErrUnfinished = errors.New("the contacts are out of the register, but some of their bytes may still be in the file; overwriting them is tried again by itself within minutes")

// Erase removes contacts for good, all or none: when it returns, nothing of them is in the database file any more, in use or not: the records, what they were
// merged of, what was decided about them, what reports of imports say of them, their index entries, former ones included, and what watchers keep of them. It takes the longer the
// larger the file is, and keeps others waiting for the last part of that. What is outside of the file stays: exported lists, older snapshots and
// backups, and other organisations' lists. Errors: ErrNotFound, ErrTooMany, ErrUnfinished, and what a watcher says (ErrHeld).
func (r *Register) Erase(ctx context.Context, by string, ids ...uint64) (Erasure, error) {
	var out Erasure
	if len(ids) > MaxErase {
		return out, ErrTooMany
	}
	// Lists of imports that were given up may hold the contacts.
	if err := r.dropLists(ctx); err != nil {
		return out, err
	}
	err := r.store.Update(ctx, func(tx *store.Tx) error {
		before, err := r.contacts.Len(tx)
		if err != nil {
			return err
		}
		if err := r.remove(tx, by, ids, wipe); err != nil {
			return err
		}
		after, err := r.contacts.Len(tx)
		if err != nil {
			return err
		}
		out.Erased = int(before - after)
		return tx.EraseLater(r.indexes()...)
	})
	if err != nil {
		return Erasure{}, err
	}
	if err := r.store.FinishErase(ctx); err != nil {
		return out, fmt.Errorf("%w: %w", ErrUnfinished, err)
	}
	going, err := r.jobs.List(ctx, jobs.Filter{Kind: JobImport, States: []jobs.State{jobs.Queued, jobs.Running, jobs.Waiting}})
	for _, j := range going {
		out.Imports = append(out.Imports, j.ID)
	}
	return out, err
}

// indexes are all indexes that hold something of contacts. Entries that changes took out of them may still be in them, until they are compacted.
func (r *Register) indexes() []*store.Index {
	out := []*store.Index{r.ids, r.index}
	for _, f := range r.further {
		out = append(out, f.Index)
	}
	for _, w := range r.watchers {
		if x, ok := w.(Indexer); ok {
			out = append(out, x.Indexes()...)
		}
	}
	return out
}

// deletions says that contacts were deleted whose bytes may still be in the file.
type deletions struct {
	Since time.Time `json:"since"` // the first of them
}

var deletedKey = []byte("since")

// deletedAge is how long the bytes of a deleted contact may stay in the file at least. Overwriting them at once costs too much for every single one.
const deletedAge = 24 * time.Hour

// noteDeletion notes that contacts were deleted.
func (r *Register) noteDeletion(tx *store.Tx) error {
	there, err := r.deleted.Has(tx, deletedKey)
	if err != nil || there {
		return err
	}
	return r.deleted.Put(tx, deletedKey, deletions{Since: r.now().UTC()})
}

// eraseDeleted has the bytes of all contacts that were deleted so far gone when the erasing is finished.
func (r *Register) eraseDeleted(tx *store.Tx) error {
	there, err := r.deleted.Has(tx, deletedKey)
	if err != nil || !there {
		return err
	}
	return errors.Join(r.deleted.Delete(tx, deletedKey), tx.EraseLater(r.indexes()...))
}

// Stands says which contact a number stands for in a transaction: itself, or what it was merged into; false if it is gone.
func (r *Register) Stands(tx *store.Tx, id uint64) (uint64, bool, error) {
	there, err := r.contacts.Has(tx, store.ID(id))
	if err != nil || there {
		return id, there, err
	}
	if id, err = r.top(tx, id); err != nil {
		return id, false, err
	}
	there, err = r.contacts.Has(tx, store.ID(id))
	return id, there, err
}
