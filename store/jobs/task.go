package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"ihyid/store"
)

// progressEvery is the shortest time between two states that watchers are shown because of Progress alone.
const progressEvery = 100 * time.Millisecond

// Task is a job in the hands of its handler. Its methods are for the handler's goroutines, while the handler runs.
type Task struct {
	q      *Queue
	n      uint64
	cancel context.CancelCauseFunc

	// Guarded by q.mu.
	rec   record // as last committed
	over  bool
	loose bool // done, total, unit and message below are newer than rec
	done  uint64
	total uint64
	unit  string
	text  string
	shown time.Time // when watchers were last shown something
}

// committed takes note of a committed state. q.mu is held.
func (t *Task) committed(r record) {
	if r.Revision > t.rec.Revision {
		t.rec = r
	}
}

// overlay adds what is newer than the committed state. q.mu is held.
func (t *Task) overlay(j Job) Job {
	if t.loose && !j.State.Final() {
		j.Done, j.Total, j.Unit, j.Message = t.done, t.total, t.unit, t.text
	}
	return j
}

// Job returns the job as it stands.
func (t *Task) Job() Job {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	return t.overlay(t.rec.Job)
}

// Params decodes the job's parameters into v.
func (t *Task) Params(v any) error {
	if err := json.Unmarshal(t.Job().Params, v); err != nil {
		// The decoder's message may quote the parameters, which may be personal.
		return fmt.Errorf("jobs: the parameters of job %d do not decode into %T", t.n, v)
	}
	return nil
}

// Cursor decodes the cursor that was last saved into v, and reports whether there is one.
func (t *Task) Cursor(v any) (bool, error) {
	c := t.Job().Cursor
	if c == nil {
		return false, nil
	}
	if err := json.Unmarshal(c, v); err != nil {
		return false, fmt.Errorf("jobs: the cursor of job %d does not decode into %T", t.n, v)
	}
	return true, nil
}

// change stores a change of the job as part of tx.
func (t *Task) change(tx *store.Tx, fn func(r *record) error) error {
	t.q.mu.Lock()
	over := t.over
	t.q.mu.Unlock()
	if over {
		return ErrNotRunning
	}
	r, err := t.q.col.Get(tx, store.ID(t.n))
	if err != nil {
		return err
	}
	if r.State != Running {
		return fmt.Errorf("%w: %s is %s", ErrNotRunning, r.ID, r.State)
	}
	if err := fn(&r); err != nil {
		return err
	}
	return t.q.put(tx, t.n, &r)
}

// Save stores, as part of tx, how far the job has come: the cursor (as JSON) with which it goes on after a stop, and the units of work done, of
// total (0 where unknown). Call it in the transaction that makes the changes which the cursor stands for.
func (t *Task) Save(tx *store.Tx, cursor any, done, total uint64) error {
	text, err := json.Marshal(cursor)
	if err != nil {
		return fmt.Errorf("jobs: encode cursor of job %d: %w", t.n, err)
	}
	return t.change(tx, func(r *record) error {
		r.Cursor, r.Deaths = text, 0
		t.q.mu.Lock()
		if t.loose {
			r.Unit, r.Message = t.unit, t.text
		}
		t.q.mu.Unlock()
		r.Done, r.Total = done, total
		tx.OnCommit(func() {
			t.q.mu.Lock()
			t.done, t.total = done, total
			t.q.mu.Unlock()
		})
		return nil
	})
}

// Result stores, as part of tx, what the job has come to, as JSON.
func (t *Task) Result(tx *store.Tx, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("jobs: encode result of job %d: %w", t.n, err)
	}
	return t.change(tx, func(r *record) error {
		r.Result = text
		return nil
	})
}

// Progress says how far the job has come, for those who watch. It is not stored, costs little, and may be called often.
func (t *Task) Progress(done, total uint64) {
	t.note(func() { t.done, t.total = done, total })
}

// Describe says what the numbers count ("rows") and what is being done. No personal data.
func (t *Task) Describe(unit, message string) {
	t.note(func() { t.unit, t.text = unit, message })
}

func (t *Task) note(set func()) {
	now := t.q.opt.Clock()
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	if t.over {
		return
	}
	if !t.loose {
		t.loose = true
		t.done, t.total, t.unit, t.text = t.rec.Done, t.rec.Total, t.rec.Unit, t.rec.Message
	}
	set()
	if now.Sub(t.shown) < progressEvery {
		return
	}
	t.shown = now
	r := t.rec
	r.Job = t.overlay(r.Job)
	t.q.publish(t.n, r)
}
