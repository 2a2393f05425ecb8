package audit

import (
	"context"
	"strings"
	"sync"

	"ihyid/api/policy"
	"ihyid/store"
)

// Attempt is one recorded operation under way.
type Attempt struct {
	log       *Log
	operation string

	mu      sync.Mutex
	caller  *policy.Caller
	object  string
	written uint64 // number of the record that says that it was done; 0: none yet
	named   bool   // that record names its object
}

type attemptKey struct{}

// Begin begins an operation of a caller (nil: a stranger). Within the context that it gives, the first change of
// the store carries the record. object is what the request names, or "".
func (l *Log) Begin(ctx context.Context, c *policy.Caller, operation, object string) (context.Context, *Attempt) {
	a := &Attempt{log: l, operation: operation, caller: c, object: object}
	ctx = context.WithValue(ctx, attemptKey{}, a)
	return store.Accompany(ctx, a.accompany), a
}

func (a *Attempt) record(o Outcome) Record {
	return who(Record{Operation: a.operation, Object: a.object, Outcome: o}, a.caller)
}

func (a *Attempt) accompany(tx *store.Tx) error {
	a.mu.Lock()
	r := a.record(Done)
	a.mu.Unlock()
	r, err := a.log.append(tx, r)
	if err == nil {
		tx.OnCommit(func() {
			a.mu.Lock()
			a.written, a.named = r.Number, r.Object != ""
			a.mu.Unlock()
		})
	}
	return err
}

// Before writes the record now, before the operation begins: for what changes nothing, but must not happen
// unrecorded.
func (a *Attempt) Before(ctx context.Context) error {
	r := a.record(Done)
	r.Object = unread(r.Object)
	r, err := a.log.write(ctx, r)
	if err == nil {
		a.mu.Lock()
		a.written, a.named = r.Number, r.Object != ""
		a.mu.Unlock()
	}
	return err
}

// Finish says what came of the operation: code is that of the problem that was answered, "" where it went
// well. denied: the caller may not, or did not show who it is.
func (a *Attempt) Finish(ctx context.Context, code string, denied bool) error {
	a.mu.Lock()
	r, written, named := a.record(Done), a.written, a.named
	a.mu.Unlock()
	r.Of, r.Code = written, code
	switch {
	case code != "" && denied:
		r.Outcome = Denied
	case code != "":
		r.Outcome = Failed
	case written == 0:
		_, err := a.log.write(ctx, r)
		return err
	case named || r.Object == "":
		return nil
	default:
		r.Outcome = Made
		_, err := a.log.write(ctx, r)
		return err
	}
	if written == 0 {
		if !IsOwnID(r.Object) {
			r.Object = "" // nobody knows yet what the caller wrote there
		}
		return a.log.unwanted(ctx, r)
	}
	r.Object = unread(r.Object)
	_, err := a.log.write(ctx, r)
	return err
}

// unread is what may stand of an object that nothing has looked at yet: in the place of a number somebody may have typed a name.
func unread(object string) string {
	if IsOwnID(object) || strings.HasPrefix(object, "did:") {
		return object
	}
	return ""
}

// Deny records an operation that was refused before it began.
func (l *Log) Deny(ctx context.Context, c *policy.Caller, operation, object, code string) error {
	if !IsOwnID(object) {
		object = ""
	}
	return l.unwanted(ctx, who(Record{Operation: operation, Object: object, Outcome: Denied, Code: code}, c))
}

// AttemptOf gives the recorded operation that a context belongs to, or nil.
func AttemptOf(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey{}).(*Attempt)
	return a
}

// Identify says, within an operation that began as a stranger's, who it turned out to be.
func Identify(ctx context.Context, c policy.Caller) {
	if a, ok := ctx.Value(attemptKey{}).(*Attempt); ok {
		a.mu.Lock()
		a.caller = &c
		a.mu.Unlock()
	}
}

// SetObject says what the operation is done to, where the request did not name it, or named it otherwise.
func SetObject(ctx context.Context, object string) {
	if a, ok := ctx.Value(attemptKey{}).(*Attempt); ok {
		a.mu.Lock()
		a.object = object
		a.mu.Unlock()
	}
}

// SetObject is the same for who has the attempt at hand; it changes nothing where an object is known.
func (a *Attempt) SetObject(object string) {
	a.mu.Lock()
	if a.object == "" {
		a.object = object
	}
	a.mu.Unlock()
}
