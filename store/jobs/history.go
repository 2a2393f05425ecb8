package jobs

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"ihyid/store"
)

// ending is a finished job in the history.
type ending struct {
	n  uint64
	at time.Time
}

func (e ending) compare(o ending) int {
	if c := e.at.Compare(o.at); c != 0 {
		return c
	}
	return cmp.Compare(e.n, o.n)
}

// end takes a finished job into the history.
func (q *Queue) end(n uint64, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := ending{n, at}
	i, found := slices.BinarySearchFunc(q.ended, e, ending.compare)
	if !found {
		q.ended = slices.Insert(q.ended, i, e)
	}
	q.wake()
}

// forgetBatch is how many finished jobs one transaction removes.
const forgetBatch = 200

// forget removes finished jobs that are too old or too many.
func (q *Queue) forget(ctx context.Context) error {
	for {
		q.mu.Lock()
		limit := q.now().Add(-q.opt.KeepFor)
		n := 0
		for n < len(q.ended) && n < forgetBatch && (len(q.ended)-n > q.opt.Keep || q.ended[n].at.Before(limit)) {
			n++
		}
		old := slices.Clone(q.ended[:n])
		q.mu.Unlock()
		if n == 0 {
			return nil
		}
		err := q.s.Update(ctx, func(tx *store.Tx) error {
			for _, e := range old {
				if q.opt.Forget != nil {
					r, err := q.col.Get(tx, store.ID(e.n))
					if errors.Is(err, store.ErrNotFound) {
						continue
					} else if err != nil {
						return err
					}
					if err := q.opt.Forget(tx, r.Job); err != nil {
						return err
					}
				}
				if err := q.col.Delete(tx, store.ID(e.n)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		q.mu.Lock()
		q.ended = slices.DeleteFunc(q.ended, func(e ending) bool { return slices.Contains(old, e) })
		q.mu.Unlock()
	}
}
