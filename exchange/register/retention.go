package register

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"ihyid/store"
)

// JobRetention is the kind of the jobs that erase what is older than the rule allows, and have the bytes of what was deleted gone.
const JobRetention = "contacts.retention"

// What the age of a contact is counted from.
const (
	SinceCreated = "created" // when it was first registered
	SinceUpdated = "updated" // when it was last changed, by hand, list or merge
)

// retentionEvery is how often the rule is applied, and how long a new rule waits before it is applied for the first time, so that a slip can be taken back.
const retentionEvery = 24 * time.Hour

// MaxRetentionDays bounds the rule.
const MaxRetentionDays = 36_500

// ErrRetention is wrapped by errors about the rule.
var ErrRetention = errors.New("retention rule")

// Retention is the rule by which contacts are erased by themselves. Without Days there is none.
type Retention struct {
	Days  int       `json:"days"`            // a contact is erased when it is older than so many days; 0: never
	Since string    `json:"since,omitempty"` // SinceCreated or SinceUpdated
	By    string    `json:"by,omitempty"`    // who set the rule
	Set   time.Time `json:"set,omitzero"`
	Next  time.Time `json:"next,omitzero"` // when it is applied next
	Job   string    `json:"job,omitempty"` // that applied it last
	// Version is 0 for the rule that nobody has set yet, and one more with every change.
	Version uint64 `json:"version"`
}

// RetentionResult is the result of the job.
type RetentionResult struct {
	Erased uint64 `json:"erased"`
}

// ETag is the rule's entity tag (RFC 9110 section 8.8.3).
func (rule Retention) ETag() string { return `"` + strconv.FormatUint(rule.Version, 10) + `"` }

var retentionKey = []byte("rule")

// Retention gives the rule.
func (r *Register) Retention(ctx context.Context) (rule Retention, err error) {
	err = r.store.View(ctx, func(tx *store.Tx) error {
		rule, err = r.retentionTx(tx)
		return err
	})
	return rule, err
}

func (r *Register) retentionTx(tx *store.Tx) (Retention, error) {
	rule, err := r.retention.Get(tx, retentionKey)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return rule, err
}

// SetRetention sets the rule; days 0 ends it. It is applied for the first time a day later, unless ApplyRetention is called. Where versions are given, it
// must still be in one of them. Errors: ErrRetention, ErrVersion.
func (r *Register) SetRetention(ctx context.Context, days int, since, by string, versions ...uint64) (Retention, error) {
	if since == "" {
		since = SinceCreated
	}
	if since != SinceCreated && since != SinceUpdated {
		return Retention{}, fmt.Errorf("%w: the age is counted since %s or %s", ErrRetention, SinceCreated, SinceUpdated)
	}
	if days < 0 || days > MaxRetentionDays {
		return Retention{}, fmt.Errorf("%w: between 1 and %d days, or 0 for none", ErrRetention, MaxRetentionDays)
	}
	now := r.now().UTC()
	rule := Retention{Days: days, Since: since, By: clipBy(by), Set: now}
	if days > 0 {
		rule.Next = now.Add(retentionEvery)
	} else {
		rule.Since = ""
	}
	err := r.store.Update(ctx, func(tx *store.Tx) error {
		was, err := r.retentionTx(tx)
		if err != nil {
			return err
		}
		if len(versions) > 0 && !slices.Contains(versions, was.Version) {
			return fmt.Errorf("the rule: %w", ErrVersion)
		}
		rule.Job, rule.Version = was.Job, was.Version+1
		return r.retention.Put(tx, retentionKey, rule)
	})
	return rule, err
}

// due says whether a contact is older than the rule allows.
func (rule *Retention) due(rec *record, now time.Time) bool {
	return rule.Days > 0 && now.After(rule.expires(rec))
}

// expires says when a contact will be erased by the rule; zero if never.
func (rule *Retention) expires(rec *record) time.Time {
	if rule.Days == 0 {
		return time.Time{}
	}
	at := rec.Created
	if rule.Since == SinceUpdated && !rec.Updated.IsZero() {
		at = rec.Updated
	}
	return at.Add(time.Duration(rule.Days) * 24 * time.Hour)
}

// CountDue says how many contacts a rule would erase now.
func (r *Register) CountDue(ctx context.Context, days int, since string) (n uint64, err error) {
	rule := Retention{Days: days, Since: since}
	now := r.now()
	for after := uint64(0); ; {
		last, due, err := r.dueAfter(ctx, rule, after, now)
		if err != nil || last == 0 {
			return n, err
		}
		n += uint64(len(due))
		after = last
	}
}

// dueAfter looks at the next contacts after a number: the last one looked at, 0 if there is none, and those that are due.
func (r *Register) dueAfter(ctx context.Context, rule Retention, after uint64, now time.Time) (last uint64, due []uint64, err error) {
	err = r.store.View(ctx, func(tx *store.Tx) error {
		n := 0
		for item, err := range r.contacts.All(tx, store.Range{From: store.ID(after + 1)}) {
			if err != nil {
				return err
			}
			last, _ = store.ParseID(item.Key)
			if rule.due(&item.Value, now) {
				due = append(due, last)
			}
			if n++; n == batchSize {
				break
			}
		}
		return nil
	})
	return last, due, err
}
