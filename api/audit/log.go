package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ihyid/api/policy"
	"ihyid/store"
)

// Limit is how many refusals and failures of one account in an hour, and of all strangers together, are
// recorded one by one.
const Limit = 60

// span is how long those that are only counted are counted together.
const span = time.Hour

// Options are what a Log stands on. Store is needed.
type Options struct {
	Store  *store.Store
	Clock  func() time.Time
	Logger *slog.Logger
}

// Log is the record of one node. It is safe for concurrent use.
type Log struct {
	store   *store.Store
	records *store.Collection[Record]
	now     func() time.Time
	logger  *slog.Logger

	mu      sync.Mutex
	windows map[string]*window // by account; "" is all strangers
}

// window counts what was refused to one account, or to all strangers, within an hour.
type window struct {
	began    time.Time
	recorded int
	counted  uint64
}

// New opens the record of a store.
func New(o Options) (*Log, error) {
	if o.Store == nil {
		return nil, errors.New("audit: a store is needed")
	}
	l := &Log{store: o.Store, records: store.NewCollection[Record](o.Store, "audit", 1), now: o.Clock, logger: o.Logger, windows: map[string]*window{}}
	if l.now == nil {
		l.now = time.Now
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	return l, nil
}

// append writes r behind the last record, in tx.
func (l *Log) append(tx *store.Tx, r Record) (Record, error) {
	r.Previous = zero
	last := uint64(0)
	for item, err := range l.records.All(tx, store.Range{Reverse: true}) {
		if err != nil {
			return r, err
		}
		last, r.Previous = item.Value.Number, item.Value.Digest
		break
	}
	r.Number, r.Time = last+1, l.now().UTC().Truncate(time.Second)
	r.Account, r.Session, r.Operation, r.Object, r.Code = clean(r.Account), clean(r.Session), clean(r.Operation), clean(r.Object), clean(r.Code)
	r.Digest = r.digest()
	return r, l.records.Put(tx, store.ID(r.Number), r)
}

// write writes records in a transaction of their own. The end of ctx does not end it: what was done is
// recorded though its caller is gone.
func (l *Log) write(ctx context.Context, records ...Record) (last Record, err error) {
	err = l.store.Update(store.Accompany(context.WithoutCancel(ctx), nil), func(tx *store.Tx) error {
		for _, r := range records {
			if last, err = l.append(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return last, fmt.Errorf("audit: writing the record of what was done: %w", err)
	}
	return last, nil
}

// unwanted writes a record of something refused or failed, if the account has room for it in this hour.
func (l *Log) unwanted(ctx context.Context, r Record) error {
	l.mu.Lock()
	now := l.now()
	due := l.due(now)
	w := l.windows[r.Account]
	if w == nil {
		w = &window{began: now}
		l.windows[r.Account] = w
	}
	if w.recorded < Limit {
		w.recorded++
		due = append(due, r)
	} else {
		w.counted++
	}
	l.mu.Unlock()
	if len(due) == 0 {
		return nil
	}
	_, err := l.write(ctx, due...)
	return err
}

// due gives a record for each hour that is over and in which something was only counted. The lock is held.
func (l *Log) due(now time.Time) (due []Record) {
	for account, w := range l.windows {
		if now.Sub(w.began) < span && !now.Before(w.began) {
			continue
		}
		if w.counted > 0 {
			due = append(due, Record{Account: account, Operation: "further-attempts", Outcome: Denied, Count: w.counted})
		}
		delete(l.windows, account)
	}
	return due
}

// Settle writes down what was only counted in hours that are over; all of it if whole. Call it now and
// then, and whole at the end.
func (l *Log) Settle(ctx context.Context, whole bool) error {
	l.mu.Lock()
	now := l.now()
	if whole {
		now = now.Add(span)
	}
	due := l.due(now)
	l.mu.Unlock()
	if len(due) == 0 {
		return nil
	}
	_, err := l.write(ctx, due...)
	return err
}

// Filter chooses records.
type Filter struct {
	Account, Operation string    // "": any
	Outcome            Outcome   // "": any
	Since, Until       time.Time // zero: open; Since is within, Until is not
	Before             uint64    // only records with a lower number; 0: from the newest on
	Limit              int       // 0: 100
}

// maxScan is how many records one List looks at, so that a filter that fits nothing ends.
const maxScan = 20_000

// List gives records, the newest first, and where to go on: next is 0 at the end. A page can be shorter
// than Limit, even empty, and still have a next.
func (l *Log) List(ctx context.Context, f Filter) (list []Record, next uint64, err error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	err = l.store.View(ctx, func(tx *store.Tx) error {
		r := store.Range{Reverse: true}
		if f.Before == 1 {
			return nil
		}
		if f.Before > 1 {
			r.From = store.ID(f.Before - 1)
		}
		seen := 0
		for item, err := range l.records.All(tx, r) {
			if err != nil {
				return err
			}
			v := item.Value
			if !f.Since.IsZero() && v.Time.Before(f.Since) {
				return nil // what is older is older still
			}
			if f.fits(&v) {
				list = append(list, v)
			}
			if seen++; (len(list) == f.Limit || seen == maxScan) && v.Number > 1 {
				next = v.Number
				return nil
			}
		}
		return nil
	})
	return list, next, err
}

func (f *Filter) fits(r *Record) bool {
	return (f.Account == "" || r.Account == f.Account) && (f.Operation == "" || r.Operation == f.Operation) &&
		(f.Outcome == "" || r.Outcome == f.Outcome) && (f.Until.IsZero() || r.Time.Before(f.Until))
}

// Verification is what came of verifying the chain.
type Verification struct {
	Verified bool   `json:"verified"`
	Records  uint64 `json:"records" doc:"How many there are."`
	Digest   string `json:"digest,omitempty" doc:"Of the last one. Noted elsewhere, it shows later that nothing before it was changed."`
	Problem  string `json:"problem,omitempty" doc:"What is wrong, and with which record."`
}

// Verify walks the whole chain. Where a number and a digest were noted before, that record must still have it;
// 0 and "": nothing was noted.
func (l *Log) Verify(ctx context.Context, number uint64, digest string) (Verification, error) {
	v := Verification{}
	previous := zero
	wrong := func(format string, args ...any) { v.Problem = fmt.Sprintf(format, args...) }
	err := l.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range l.records.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			r := item.Value
			n, _ := store.ParseID(item.Key)
			switch {
			case r.Number != v.Records+1 || n != r.Number:
				wrong("record %d is missing", v.Records+1)
			case r.Previous != previous:
				wrong("record %d does not follow from the one before it", r.Number)
			case r.digest() != r.Digest:
				wrong("record %d was changed", r.Number)
			case number == r.Number && digest != r.Digest:
				wrong("record %d has another digest than the one that was noted", r.Number)
			}
			if v.Problem != "" {
				return nil
			}
			v.Records, previous = r.Number, r.Digest
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	if v.Records > 0 {
		v.Digest = previous
	}
	if v.Problem == "" && number > v.Records {
		wrong("there are %d records, and one with the number %d was noted: the end is missing", v.Records, number)
	}
	v.Verified = v.Problem == ""
	return v, nil
}

// Run settles what was counted every few minutes until ctx ends, and then all of it.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.Settle(context.WithoutCancel(ctx), true)
		case <-tick.C:
			if err := l.Settle(ctx, false); err != nil && ctx.Err() == nil {
				l.logger.Error("writing the count of refused attempts", "error", err)
			}
		}
	}
}

// who puts into a record who asks.
func who(r Record, c *policy.Caller) Record {
	if c != nil {
		r.Account, r.Role, r.How, r.Session = c.Account, c.Role, c.How, c.Session
	}
	return r
}
