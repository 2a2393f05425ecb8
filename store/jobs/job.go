package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"ihyid/store"
)

// The errors that callers tell apart.
var (
	// ErrNotFound is returned for a job that there is not, or no longer.
	ErrNotFound = errors.New("jobs: no such job")
	// ErrFinished is returned by Cancel for a job that has ended already.
	ErrFinished = errors.New("jobs: the job has ended already")
	// ErrNotRunning is returned by a Task's methods after its handler has returned.
	ErrNotRunning = errors.New("jobs: the job is not running")
	// ErrCancelled is the cause of the end of a handler's context after Cancel.
	ErrCancelled = errors.New("jobs: cancelled")
	// ErrStopped is the cause of the end of a handler's context when Run ends.
	ErrStopped = errors.New("jobs: the queue was stopped")
)

// State is where a job stands.
type State string

// The states of a job.
const (
	Queued    State = "queued"    // to be run
	Running   State = "running"   // in a handler's hands
	Waiting   State = "waiting"   // put off until NotBefore
	Done      State = "done"      // ended well
	Failed    State = "failed"    // ended by an error
	Cancelled State = "cancelled" // ended by Cancel
)

// Final reports whether a job in this state has ended.
func (s State) Final() bool { return s == Done || s == Failed || s == Cancelled }

// Job is what is known about a piece of work. Times are UTC; zero means not yet.
type Job struct {
	ID        string          `json:"id"` // a decimal number, ascending
	Kind      string          `json:"kind"`
	State     State           `json:"state"`
	Done      uint64          `json:"done"`            // units of work done
	Total     uint64          `json:"total,omitempty"` // of so many; 0 where unknown
	Unit      string          `json:"unit,omitempty"`  // what is counted, e.g. "rows"
	Message   string          `json:"message,omitempty"`
	Error     string          `json:"error,omitempty"`    // why it failed, or why it waits
	Attempts  int             `json:"attempts,omitempty"` // how often it was begun; resuming after a stop does not count
	Created   time.Time       `json:"created"`
	Started   time.Time       `json:"started,omitzero"`
	Updated   time.Time       `json:"updated"`
	Finished  time.Time       `json:"finished,omitzero"`
	NotBefore time.Time       `json:"not_before,omitzero"`
	Params    json.RawMessage `json:"params,omitempty"` // may be personal
	Cursor    json.RawMessage `json:"cursor,omitempty"` // may be personal
	Result    json.RawMessage `json:"result,omitempty"`
	Revision  uint64          `json:"revision"` // counts the stored changes: tells which of two states is later
}

// record is a job as it is stored.
type record struct {
	Job
	Cancel bool `json:"cancel,omitempty"` // to be cancelled when its handler returns
	Deaths int  `json:"deaths,omitempty"` // times the process died since the last checkpoint
}

const (
	collection = "store/jobs"
	version    = 1
	maxError   = 2000 // bytes of an error kept
)

func key(id string) ([]byte, uint64, error) {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != id {
		return nil, 0, ErrNotFound
	}
	return store.ID(n), n, nil
}

// Handler does the work of a job. ctx ends when the job is cancelled or the queue stopped; context.Cause tells which.
type Handler func(ctx context.Context, t *Task) error

// later is the error that puts a job off.
type later struct {
	after time.Duration
	err   error
}

// Later returns an error with which a handler has its job tried again after d. err says why, and may be nil.
func Later(d time.Duration, err error) error { return &later{max(d, 0), err} }

func (l *later) Error() string {
	if l.err == nil {
		return fmt.Sprintf("to be tried again in %s", l.after)
	}
	return l.err.Error()
}

func (l *later) Unwrap() error { return l.err }
