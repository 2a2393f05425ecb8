package register

import (
	"context"
	"errors"
	"fmt"

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

// Erase removes contacts for good, all or none: when it returns, nothing of them is in the database file any more, in use or not: the records, what they were
// merged of, what was decided about them, their index entries, former ones included, and what watchers keep of them. It takes the longer the
// larger the file is, and keeps others waiting for the last part of that. What is outside of the file stays: exported lists, older snapshots and
// backups, and other organisations' lists. Errors: ErrNotFound, ErrTooMany, and what a watcher says.
func (r *Register) Erase(ctx context.Context, by string, ids ...uint64) (Erasure, error) {
	var out Erasure
	if len(ids) > MaxErase {
		return out, ErrTooMany
	}
	// What was changed or removed before may have left entries of theirs behind.
	if err := r.compact(ctx); err != nil {
		return out, err
	}
	err := r.store.Erase(ctx, func(tx *store.Tx) error {
		before, err := r.contacts.Len(tx)
		if err != nil {
			return err
		}
		if err := r.remove(tx, by, ids, wipe); err != nil {
			return err
		}
		after, err := r.contacts.Len(tx)
		out.Erased = int(before - after)
		return err
	})
	if err != nil {
		return Erasure{}, err
	}
	going, err := r.jobs.List(ctx, jobs.Filter{Kind: JobImport, States: []jobs.State{jobs.Queued, jobs.Running, jobs.Waiting}})
	for _, j := range going {
		out.Imports = append(out.Imports, j.ID)
	}
	return out, err
}

// compact rids all indexes of what was taken out of them.
func (r *Register) compact(ctx context.Context) error {
	errs := []error{r.ids.Compact(ctx), r.index.Compact(ctx)}
	for _, f := range r.further {
		errs = append(errs, f.Index.Compact(ctx))
	}
	return errors.Join(errs...)
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
