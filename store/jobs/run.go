package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"ihyid/store"
)

const (
	// finishTimeout bounds the wait for the store when a job's end is written after the context has ended.
	finishTimeout = time.Minute
	// idleTime is the longest the scheduler sleeps; then it looks for finished jobs that are to be forgotten.
	idleTime = time.Hour
	// retryTime is how long a job rests whose state could not be written.
	retryTime = 30 * time.Second
)

// Run runs the jobs until ctx ends: those that a former process left behind go on where they last saved. It then waits for the handlers,
// puts what is unfinished back into the queue, and returns nil. One Run at a time.
func (q *Queue) Run(ctx context.Context) error {
	q.mu.Lock()
	if q.running {
		q.mu.Unlock()
		return errors.New("jobs: the queue is being run already")
	}
	q.running = true
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		q.running = false
		q.mu.Unlock()
	}()
	if err := q.load(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("jobs: load: %w", err)
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := q.forget(ctx); err != nil && ctx.Err() == nil {
			q.opt.Logger.Error("jobs: forgetting finished jobs failed", "error", err)
		}
		for {
			t, h, jobCtx := q.pick(ctx)
			if t == nil {
				break
			}
			workers.Go(func() { q.work(ctx, jobCtx, t, h) })
		}
		timer.Reset(q.nextDue())
		select {
		case <-ctx.Done():
			return nil
		case <-q.woken:
		case <-timer.C:
		}
	}
}

// load reads what jobs there are.
func (q *Queue) load(ctx context.Context) error {
	found := map[uint64]record{}
	err := q.s.View(ctx, func(tx *store.Tx) error {
		for it, err := range q.col.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			n, ok := store.ParseID(it.Key)
			if !ok {
				return fmt.Errorf("%w: key of a job", store.ErrCorrupt)
			}
			found[n] = it.Value
		}
		return nil
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	known := map[uint64]bool{}
	for _, e := range q.ended {
		known[e.n] = true
	}
	for n, r := range found {
		switch {
		case r.State.Final():
			if !known[n] {
				q.ended = append(q.ended, ending{n, r.Finished})
			}
		case q.live[n] == nil:
			// What has changed since it was read is found out when the job is claimed.
			q.live[n] = &live{kind: r.Kind, state: r.State, notBefore: r.NotBefore}
		}
	}
	slices.SortFunc(q.ended, ending.compare)
	return nil
}

// pick takes the oldest job that is due, if a worker is free.
func (q *Queue) pick(ctx context.Context) (*Task, Handler, context.Context) {
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy >= q.opt.Workers || ctx.Err() != nil {
		return nil, nil, nil
	}
	best, found := uint64(0), false
	for n, l := range q.live {
		if l.task == nil && !l.notBefore.After(now) && q.handlers[l.kind] != nil && (!found || n < best) {
			best, found = n, true
		}
	}
	if !found {
		return nil, nil, nil
	}
	l := q.live[best]
	// The handler's context is made before the job is claimed, so that a Cancel at any moment finds it. It is not ctx's child: the
	// cause of its end is to tell a stop from a cancellation.
	jobCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	l.task = &Task{q: q, n: best, cancel: cancel}
	q.busy++
	return l.task, q.handlers[l.kind], jobCtx
}

// nextDue returns how long the scheduler may sleep.
func (q *Queue) nextDue() time.Duration {
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := idleTime
	if q.busy >= q.opt.Workers {
		return wait
	}
	for _, l := range q.live {
		if l.task == nil && q.handlers[l.kind] != nil {
			wait = min(wait, max(l.notBefore.Sub(now), 0))
		}
	}
	return wait
}

// work carries one job through.
func (q *Queue) work(ctx, jobCtx context.Context, t *Task, h Handler) {
	stop := context.AfterFunc(ctx, func() { t.cancel(ErrStopped) })
	defer stop()
	defer t.cancel(nil)
	rest := time.Time{} // set: do not try this job before
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.busy--
		t.over = true
		if l := q.live[t.n]; l != nil {
			l.task = nil
			if t.rec.Revision > 0 {
				l.state, l.notBefore = t.rec.State, t.rec.NotBefore
			}
			if rest.After(l.notBefore) {
				l.notBefore = rest
			}
		}
		q.wake()
	}()
	claimed, err := q.claim(ctx, t)
	if err != nil {
		if ctx.Err() == nil {
			q.opt.Logger.Error("jobs: a job could not be begun", "job", t.n, "error", err)
			rest = q.now().Add(retryTime)
		}
		return
	}
	if !claimed {
		return
	}
	if q.opt.Observe != nil {
		var ended func(State)
		jobCtx, ended = q.opt.Observe(jobCtx, t.Job())
		defer func() { ended(t.Job().State) }()
	}
	err = q.call(jobCtx, t, h)
	if err := q.settle(ctx, jobCtx, t, err); err != nil {
		q.opt.Logger.ErrorContext(jobCtx, "jobs: the end of a job could not be written; it will be run again", "job", t.n, "error", err)
		rest = q.now().Add(retryTime)
	}
}

// claim marks a job as running, if it still is to be run.
func (q *Queue) claim(ctx context.Context, t *Task) (claimed bool, err error) {
	err = q.s.Update(ctx, func(tx *store.Tx) error {
		claimed = false
		r, err := q.col.Get(tx, store.ID(t.n))
		if errors.Is(err, store.ErrNotFound) {
			q.mu.Lock()
			delete(q.live, t.n)
			q.mu.Unlock()
			return nil
		} else if err != nil {
			return err
		}
		now := q.now()
		switch {
		case r.State.Final():
			q.mu.Lock()
			delete(q.live, t.n)
			q.mu.Unlock()
			return nil
		case r.Cancel:
			q.finish(tx, t.n, &r, Cancelled, "")
			return q.put(tx, t.n, &r)
		case r.State == Running:
			// A process has died with it, or could not write its end.
			if r.Deaths++; r.Deaths >= q.opt.MaxDeaths {
				q.finish(tx, t.n, &r, Failed, fmt.Sprintf("the node ended %d times while it ran this job", r.Deaths))
				return q.put(tx, t.n, &r)
			}
		default:
			r.Attempts++
		}
		r.State, r.NotBefore = Running, time.Time{}
		if r.Started.IsZero() {
			r.Started = now
		}
		claimed = true
		if err := q.put(tx, t.n, &r); err != nil {
			return err
		}
		q.mu.Lock()
		t.rec = r
		q.mu.Unlock()
		return nil
	})
	return claimed && err == nil, err
}

// call runs the handler, in a goroutine of its own so that even runtime.Goexit does not take the worker along, and turns a panic
// into an error.
func (q *Queue) call(ctx context.Context, t *Task, h Handler) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("the handler ended its goroutine")
		defer func() {
			if r := recover(); r != nil {
				// The value of a panic may hold anything, so only a runtime error's own text is kept; the stack holds no values.
				err = fmt.Errorf("panic (%T)", r)
				if re, ok := r.(runtime.Error); ok {
					err = errors.New("panic: " + re.Error())
				}
				q.opt.Logger.ErrorContext(ctx, "jobs: a handler panicked", "job", t.n, "kind", t.Job().Kind, "error", err, "stack", string(debug.Stack()))
			}
			done <- err
		}()
		err = h(ctx, t)
	}()
	return <-done
}

// settle writes what has become of a job whose handler has returned err.
func (q *Queue) settle(ctx, jobCtx context.Context, t *Task, result error) error {
	// The end must be written even, and just then, when ctx has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	return q.s.Update(ctx, func(tx *store.Tx) error {
		r, err := q.col.Get(tx, store.ID(t.n))
		if err != nil {
			return err
		}
		if r.State != Running {
			return fmt.Errorf("%w: %s is %s", ErrNotRunning, r.ID, r.State)
		}
		q.mu.Lock()
		if t.loose {
			r.Done, r.Total, r.Unit, r.Message = t.done, t.total, t.unit, t.text
		}
		q.mu.Unlock()
		var l *later
		switch {
		case result == nil:
			q.finish(tx, t.n, &r, Done, "")
		case r.Cancel:
			q.finish(tx, t.n, &r, Cancelled, "")
		case errors.Is(context.Cause(jobCtx), ErrStopped):
			// Whatever the handler makes of the end of its context, the job is not to blame.
			r.State, r.Deaths = Queued, 0
			r.Attempts--
		case errors.As(result, &l):
			r.State, r.Error, r.Deaths = Waiting, clip(result.Error()), 0
			r.NotBefore = q.now().Add(l.after)
		default:
			q.finish(tx, t.n, &r, Failed, clip(result.Error()))
		}
		return q.put(tx, t.n, &r)
	})
}

func clip(s string) string {
	if len(s) > maxError {
		return s[:maxError] + "…"
	}
	return s
}

// finish ends a job.
func (q *Queue) finish(tx *store.Tx, n uint64, r *record, state State, reason string) {
	r.State, r.Error, r.Finished, r.NotBefore = state, reason, q.now(), time.Time{}
	at := r.Finished
	tx.OnCommit(func() { q.end(n, at) })
}
