package jobs

import (
	"context"

	"ihyid/store"
)

// watcher is one receiver of a job's states.
type watcher struct {
	ch       chan Job
	revision uint64
	closed   bool
	stop     func() bool // lets go of the context
}

// Watch returns a channel of the job's states, beginning with the one of now. A receiver that is slow misses states in between, but never the latest. The channel
// is closed after the state in which the job has ended, or when ctx ends. ErrNotFound.
func (q *Queue) Watch(ctx context.Context, id string) (<-chan Job, error) {
	w := &watcher{ch: make(chan Job, 1)}
	_, n, err := key(id)
	if err != nil {
		return nil, err
	}
	// First the registration, then the reading: so no state falls between.
	q.mu.Lock()
	if q.watchers[n] == nil {
		q.watchers[n] = map[*watcher]struct{}{}
	}
	q.watchers[n][w] = struct{}{}
	q.mu.Unlock()

	var r record
	err = q.s.View(ctx, func(tx *store.Tx) (err error) {
		r, _, err = q.get(tx, id)
		return err
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.unwatch(n, w)
		return nil, err
	}
	if l := q.live[n]; l != nil && l.task != nil {
		r.Job = l.task.overlay(r.Job)
	}
	q.show(n, w, r)
	if !w.closed {
		w.stop = context.AfterFunc(ctx, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.unwatch(n, w)
		})
	}
	return w.ch, nil
}

// publish shows a state to those who watch. q.mu is held.
func (q *Queue) publish(n uint64, r record) {
	for w := range q.watchers[n] {
		q.show(n, w, r)
	}
}

// show puts a state in place of one that was not yet received, unless a later one was shown. q.mu is held.
func (q *Queue) show(n uint64, w *watcher, r record) {
	if w.closed || r.Revision < w.revision {
		return
	}
	w.revision = r.Revision
	select {
	case <-w.ch:
	default:
	}
	w.ch <- r.Job
	if r.State.Final() {
		q.unwatch(n, w)
	}
}

// unwatch closes a watcher. q.mu is held.
func (q *Queue) unwatch(n uint64, w *watcher) {
	if w.closed {
		return
	}
	w.closed = true
	close(w.ch)
	if w.stop != nil {
		w.stop()
	}
	delete(q.watchers[n], w)
	if len(q.watchers[n]) == 0 {
		delete(q.watchers, n)
	}
}
