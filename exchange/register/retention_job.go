package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ihyid/store"
	"ihyid/store/jobs"
)

// retentionParams say what the job is to do.
type retentionParams struct {
	// BytesOnly: the rule is not applied; only what was taken out of the register before is overwritten in the file.
	BytesOnly bool `json:"bytes_only,omitempty"`
}

// ApplyRetention applies the rule now. Where that is being done already, it gives the job that does it; one that was put off is tried again at once, under
// another number. Errors: ErrRetention if there is no rule.
func (r *Register) ApplyRetention(ctx context.Context) (jobs.Job, error) {
	going, err := r.goingRetention(ctx)
	if err != nil {
		return jobs.Job{}, err
	}
	for _, j := range going {
		var p retentionParams
		if err := json.Unmarshal(j.Params, &p); err != nil {
			return jobs.Job{}, err
		}
		if p.BytesOnly {
			continue
		}
		if j.State != jobs.Waiting {
			return j, nil
		}
		if _, err := r.jobs.Cancel(ctx, j.ID); err != nil && !errors.Is(err, jobs.ErrFinished) {
			return jobs.Job{}, err
		}
	}
	var job jobs.Job
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		rule, err := r.retentionTx(tx)
		if err != nil {
			return err
		}
		if rule.Days == 0 {
			return fmt.Errorf("%w: none is set", ErrRetention)
		}
		job, err = r.applyRetention(tx, rule)
		return err
	})
	return job, err
}

func (r *Register) goingRetention(ctx context.Context) ([]jobs.Job, error) {
	return r.jobs.List(ctx, jobs.Filter{Kind: JobRetention, States: []jobs.State{jobs.Queued, jobs.Running, jobs.Waiting}})
}

func (r *Register) applyRetention(tx *store.Tx, rule Retention) (jobs.Job, error) {
	job, err := r.jobs.Enqueue(tx, JobRetention, retentionParams{})
	if err != nil {
		return job, err
	}
	rule.Next, rule.Job = r.now().UTC().Add(retentionEvery), job.ID
	rule.Version++
	return job, r.retention.Put(tx, retentionKey, rule)
}

// keepRetention begins the job when the time of the rule has come, and when bytes of deleted contacts are in the file for long enough. There is one such
// job at a time.
func (r *Register) keepRetention(ctx context.Context) error {
	rule, err := r.Retention(ctx)
	if err != nil {
		return err
	}
	apply := func(rule Retention) bool { return rule.Days > 0 && !r.now().Before(rule.Next) }
	bytes, err := r.deletedLong(ctx)
	if err != nil || !apply(rule) && !bytes {
		return err
	}
	if going, err := r.goingRetention(ctx); err != nil || len(going) > 0 {
		return err
	}
	return r.store.Update(ctx, func(tx *store.Tx) error {
		rule, err := r.retentionTx(tx)
		if err != nil {
			return err
		}
		if apply(rule) {
			_, err = r.applyRetention(tx, rule)
		} else if bytes {
			_, err = r.jobs.Enqueue(tx, JobRetention, retentionParams{BytesOnly: true})
		}
		return err
	})
}

func (r *Register) deletedLong(ctx context.Context) (long bool, err error) {
	err = r.store.View(ctx, func(tx *store.Tx) error {
		d, err := r.deleted.Get(tx, deletedKey)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		long = r.now().Sub(d.Since) >= deletedAge
		return err
	})
	return long, err
}

// byRetention is who erases what the rule says.
const byRetention = "retention"

// retentionCursor is how far the job is.
type retentionCursor struct {
	After   uint64 `json:"after"`
	Erased  uint64 `json:"erased"`
	Removed bool   `json:"removed"`           // all that is due is out of the register; its bytes are still to go
	PutOff  int    `json:"put_off,omitempty"` // how often in a row the job was put off
}

// The times for which contacts that cannot be erased yet put the job off.
const (
	leastPutOff = time.Minute
	mostPutOff  = 30 * time.Minute
)

// runRetention is the job. Contacts are first taken out in batches, each a transaction; then the indexes are written anew without them and the free pages
// are overwritten, once for all: to rewrite what holds each of them would write the indexes over and over. The transactions note that this is to be done: so it is done also if
// the job does not come to it. Contacts that cannot be erased yet (ErrHeld) put the job off.
func (r *Register) runRetention(ctx context.Context, t *jobs.Task) error {
	var p retentionParams
	if err := t.Params(&p); err != nil {
		return err
	}
	var c retentionCursor
	if _, err := t.Cursor(&c); err != nil {
		return err
	}
	if !p.BytesOnly && !c.Removed {
		if err := r.removeDue(ctx, t, &c); err != nil {
			return r.putOff(ctx, t, c, err)
		}
	}
	t.Describe("contacts", "overwriting what is left of them in the file")
	if err := r.store.Update(ctx, r.eraseDeleted); err != nil {
		return err
	}
	return r.store.FinishErase(ctx)
}

// putOff has the job tried again if err says that contacts cannot be erased yet. What was erased until then is overwritten first: it may be put off for long.
func (r *Register) putOff(ctx context.Context, t *jobs.Task, c retentionCursor, err error) error {
	if !errors.Is(err, ErrHeld) {
		return err
	}
	pause := min(leastPutOff<<min(c.PutOff, 10), mostPutOff)
	c.PutOff++
	if err := r.store.FinishErase(ctx); err != nil {
		return err
	}
	serr := r.store.Update(ctx, func(tx *store.Tx) error {
		done := t.Job()
		return errors.Join(t.Result(tx, RetentionResult{c.Erased}), t.Save(tx, c, done.Done, done.Total))
	})
	if serr != nil {
		return serr
	}
	return jobs.Later(pause, fmt.Errorf("%d contacts are erased, others wait: %w", c.Erased, err))
}

// removeDue takes all contacts out that the rule says.
func (r *Register) removeDue(ctx context.Context, t *jobs.Task, c *retentionCursor) error {
	total, err := r.Count(ctx)
	if err != nil {
		return err
	}
	t.Describe("contacts", "looking for contacts that are older than the rule allows")
	for seen := uint64(0); !c.Removed; {
		if err := ctx.Err(); err != nil {
			return err
		}
		rule, err := r.Retention(ctx)
		if err != nil {
			return err
		}
		last, due, err := r.dueAfter(ctx, rule, c.After, r.now())
		if err != nil {
			return err
		}
		next := *c
		next.After, next.Removed, next.PutOff = last, last == 0, 0
		seen = min(seen+batchSize, total)
		err = r.store.Update(ctx, func(tx *store.Tx) error {
			still, err := r.stillDue(tx, due)
			if err != nil {
				return err
			}
			if len(still) > 0 {
				if err := errors.Join(r.remove(tx, byRetention, still, later), tx.EraseLater(r.indexes()...)); err != nil {
					return err
				}
			}
			next.Erased = c.Erased + uint64(len(still))
			if err := t.Result(tx, RetentionResult{next.Erased}); err != nil {
				return err
			}
			return t.Save(tx, next, seen, total)
		})
		if err != nil {
			return err
		}
		*c = next
	}
	return nil
}

// stillDue gives those contacts that the rule, as it is now, still says: they, and it, may have been changed since.
func (r *Register) stillDue(tx *store.Tx, due []uint64) (still []uint64, err error) {
	rule, err := r.retentionTx(tx)
	if err != nil {
		return nil, err
	}
	for _, id := range due {
		rec, err := r.contacts.Get(tx, store.ID(id))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if rule.due(&rec, r.now()) {
			still = append(still, id)
		}
	}
	return still, nil
}
