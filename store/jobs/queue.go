package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"ihyid/store"
)

// Defaults of Options.
const (
	DefaultWorkers   = 2
	DefaultKeep      = 1000
	DefaultKeepFor   = 30 * 24 * time.Hour
	DefaultMaxDeaths = 5
)

// Options are the settings of a queue; zero values mean the defaults.
type Options struct {
	Workers   int              // jobs run at once
	Clock     func() time.Time // default time.Now
	Logger    *slog.Logger     // default: silent
	Keep      int              // finished jobs kept at most
	KeepFor   time.Duration    // how long finished jobs are kept
	MaxDeaths int              // deaths of the process during one job, without a checkpoint between, after which the job is failed
	// Forget is called, in the transaction that removes a finished job, so that what belongs to it goes with it.
	Forget func(tx *store.Tx, j Job) error
	// Observe is called with each job that a worker has begun. The context that it gives is the handler's; the function that it gives is called with the state
	// in which the run has left the job. nil: nobody is told.
	Observe func(ctx context.Context, j Job) (context.Context, func(State))
}

// Queue keeps jobs and runs them. It is safe for concurrent use. There must be one queue for a store.
type Queue struct {
	s   *store.Store
	opt Options
	col *store.Collection[record]

	mu       sync.Mutex
	handlers map[string]Handler
	live     map[uint64]*live // jobs that have not ended, as far as known
	ended    []ending         // jobs that have ended, by time; loaded by Run
	watchers map[uint64]map[*watcher]struct{}
	busy     int           // workers at work
	running  bool          // Run is running
	woken    chan struct{} // something has changed for the scheduler
}

// live is what the queue knows in memory of a job that has not ended.
type live struct {
	kind      string
	notBefore time.Time
	state     State
	task      *Task // not nil: in a worker's hands
}

// New returns the queue of a store.
func New(s *store.Store, o Options) *Queue {
	if o.Workers <= 0 {
		o.Workers = DefaultWorkers
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	if o.KeepFor <= 0 {
		o.KeepFor = DefaultKeepFor
	}
	if o.MaxDeaths <= 0 {
		o.MaxDeaths = DefaultMaxDeaths
	}
	return &Queue{
		s: s, opt: o,
		col:      store.NewCollection[record](s, collection, version),
		handlers: map[string]Handler{},
		live:     map[uint64]*live{},
		watchers: map[uint64]map[*watcher]struct{}{},
		woken:    make(chan struct{}, 1),
	}
}

// Handle has h do the jobs of a kind. Jobs of a kind without a handler stay in the queue.
func (q *Queue) Handle(kind string, h Handler) {
	q.mu.Lock()
	q.handlers[kind] = h
	q.mu.Unlock()
	q.wake()
}

func (q *Queue) wake() {
	select {
	case q.woken <- struct{}{}:
	default:
	}
}

func (q *Queue) now() time.Time { return q.opt.Clock().UTC() }

// Enqueue adds a job as part of tx: it is run once tx is committed. params becomes JSON.
func (q *Queue) Enqueue(tx *store.Tx, kind string, params any) (Job, error) {
	return q.EnqueueAt(tx, kind, params, time.Time{})
}

// EnqueueAt adds a job that is not run before a time.
func (q *Queue) EnqueueAt(tx *store.Tx, kind string, params any, notBefore time.Time) (Job, error) {
	if kind == "" {
		return Job{}, errors.New("jobs: a job needs a kind")
	}
	text, err := json.Marshal(params)
	if err != nil {
		return Job{}, fmt.Errorf("jobs: encode parameters of %s: %w", kind, err)
	}
	n, err := q.col.NextID(tx)
	if err != nil {
		return Job{}, err
	}
	now := q.now()
	r := record{Job: Job{ID: strconv.FormatUint(n, 10), Kind: kind, State: Queued, Created: now, Params: text}}
	if notBefore.After(now) {
		r.State, r.NotBefore = Waiting, notBefore.UTC()
	}
	if err := q.put(tx, n, &r); err != nil {
		return Job{}, err
	}
	return r.Job, nil
}

// put stores a job and has its new state known once tx is committed.
func (q *Queue) put(tx *store.Tx, n uint64, r *record) error {
	r.Revision++
	r.Updated = q.now()
	if err := q.col.Put(tx, store.ID(n), *r); err != nil {
		return err
	}
	committed := *r
	tx.OnCommit(func() { q.changed(n, committed) })
	return nil
}

// changed takes note of a committed state.
func (q *Queue) changed(n uint64, r record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.live[n]
	switch {
	case r.State.Final():
		delete(q.live, n)
	case l == nil:
		q.live[n] = &live{kind: r.Kind, state: r.State, notBefore: r.NotBefore}
	case l.task == nil:
		l.state, l.notBefore = r.State, r.NotBefore
	}
	if l != nil && l.task != nil {
		l.task.committed(r)
		r.Job = l.task.overlay(r.Job)
	}
	q.publish(n, r)
	q.wake()
}

func (q *Queue) get(tx *store.Tx, id string) (record, uint64, error) {
	k, n, err := key(id)
	if err != nil {
		return record{}, 0, err
	}
	r, err := q.col.Get(tx, k)
	if errors.Is(err, store.ErrNotFound) {
		return r, n, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return r, n, err
}

// Get returns a job, with the progress of this moment. ErrNotFound.
func (q *Queue) Get(ctx context.Context, id string) (Job, error) {
	var r record
	var n uint64
	err := q.s.View(ctx, func(tx *store.Tx) (err error) {
		r, n, err = q.get(tx, id)
		return err
	})
	if err != nil {
		return Job{}, err
	}
	return q.fresh(n, r.Job), nil
}

// fresh adds the progress that is only in memory so far.
func (q *Queue) fresh(n uint64, j Job) Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.live[n]; l != nil && l.task != nil && j.State == Running {
		return l.task.overlay(j)
	}
	return j
}

// Filter says which jobs List returns. The zero Filter is all.
type Filter struct {
	Kind   string  // only this kind
	States []State // only these states
	Before string  // only jobs older than this one, for paging
	Limit  int     // at most so many; 0: all
}

// List returns jobs, the newest first.
func (q *Queue) List(ctx context.Context, f Filter) ([]Job, error) {
	r := store.Range{Reverse: true}
	if f.Before != "" {
		_, n, err := key(f.Before)
		if err != nil {
			return nil, err
		}
		if n <= 1 {
			return nil, nil
		}
		r.From = store.ID(n - 1)
	}
	var out []Job
	err := q.s.View(ctx, func(tx *store.Tx) error {
		for it, err := range q.col.All(tx, r) {
			if err != nil {
				return err
			}
			j := it.Value.Job
			if (f.Kind != "" && j.Kind != f.Kind) || (len(f.States) > 0 && !slices.Contains(f.States, j.State)) {
				continue
			}
			n, _ := store.ParseID(it.Key)
			out = append(out, q.fresh(n, j))
			if len(out) == f.Limit {
				break
			}
		}
		return nil
	})
	return out, err
}

// Cancel cancels a job: at once if it is not running, else by ending its handler's context. ErrNotFound, ErrFinished.
func (q *Queue) Cancel(ctx context.Context, id string) (Job, error) {
	var r record
	err := q.s.Update(ctx, func(tx *store.Tx) error {
		var n uint64
		var err error
		if r, n, err = q.get(tx, id); err != nil {
			return err
		}
		switch {
		case r.State.Final():
			return fmt.Errorf("%w: %s is %s", ErrFinished, id, r.State)
		case r.State == Running:
			r.Cancel = true
			tx.OnCommit(func() { q.interrupt(n) })
		default:
			r.State, r.Finished, r.NotBefore = Cancelled, q.now(), time.Time{}
			tx.OnCommit(func() { q.end(n, r.Finished) })
		}
		return q.put(tx, n, &r)
	})
	return r.Job, err
}

// interrupt ends the context of a running job.
func (q *Queue) interrupt(n uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.live[n]; l != nil && l.task != nil {
		l.task.cancel(ErrCancelled)
	}
}
