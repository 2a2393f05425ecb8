package register

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ihyid/contacts"
	"ihyid/store"
)

// Verdict is what a person says of a pair of contacts.
type Verdict string

// The verdicts.
const (
	Same      Verdict = "same"      // one person; both contacts stay
	Different Verdict = "different" // two people
	Merged    Verdict = "merged"    // one person, and one contact now; see Register.Merge
	Open      Verdict = "open"      // not decided, or not any more: the pair is asked about again
)

// ErrVerdict is returned for a verdict that Decide does not take.
var ErrVerdict = errors.New("a pair is decided as same, different or open")

// Ruling is one verdict with who gave it and when.
type Ruling struct {
	Verdict Verdict   `json:"verdict"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Into    uint64    `json:"into,omitempty"` // of merged: the number of the merged contact
}

// Decision is what was decided of a pair. It holds while both contacts are there, however they change.
type Decision struct {
	ID string `json:"id"` // of the pair, "17-204"
	Ruling
	Earlier []Ruling `json:"earlier,omitempty"` // what was said before, oldest first
}

// decision is a Decision as it is kept, under its pair's key.
type decision struct {
	Ruling
	Earlier []Ruling `json:"earlier,omitempty"`
}

// maxEarlier is how many former rulings on one pair are kept.
const maxEarlier = 20

// Decide records that two contacts are the same person, or are not, or that the question is open again. The pair is named like 17-204; it need not
// have been found by itself. Errors: ErrNotFound, ErrVerdict.
func (r *Register) Decide(ctx context.Context, pair string, v Verdict, by string) (Decision, error) {
	var out Decision
	if v != Same && v != Different && v != Open {
		return out, ErrVerdict
	}
	a, b, err := parsePair(pair)
	if err != nil {
		return out, err
	}
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		one, err := r.record(tx, a)
		if err != nil {
			return err
		}
		two, err := r.record(tx, b)
		if err != nil {
			return err
		}
		d, err := r.rule(tx, a, b, Ruling{Verdict: v, By: clipBy(by), At: r.now().UTC()})
		if err != nil {
			return err
		}
		out = Decision{ID: pairID(a, b), Ruling: d.Ruling, Earlier: d.Earlier}
		if v != Open {
			return r.dropPair(tx, a, b)
		}
		return r.askAgain(tx, a, b, one, two)
	})
	return out, err
}

// askAgain opens a pair, if the two still agree in anything.
func (r *Register) askAgain(tx *store.Tx, a, b uint64, one, two *record) error {
	encoder := r.encoders.Get().(*contacts.Encoder)
	defer r.encoders.Put(encoder)
	first, second := encoder.Digests(nil, &one.Contact), encoder.Digests(nil, &two.Contact)
	keys := uint32(0)
	for _, x := range first {
		for _, y := range second {
			if x == y {
				keys |= 1 << x.Key
			}
		}
	}
	if r.profile.Tier(keys) == contacts.TierNone {
		return nil
	}
	return r.putPair(tx, pairOf(a, b, keys), r.now().UTC())
}

// rule keeps a ruling on a pair.
func (r *Register) rule(tx *store.Tx, a, b uint64, now Ruling) (decision, error) {
	d, err := r.decisions.Get(tx, pairKey(a, b))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return d, err
	}
	if err == nil {
		d.Earlier = append(d.Earlier, d.Ruling)
		if len(d.Earlier) > maxEarlier {
			d.Earlier = d.Earlier[len(d.Earlier)-maxEarlier:]
		}
	}
	d.Ruling = now
	if err := r.decisions.Put(tx, pairKey(a, b), d); err != nil {
		return d, err
	}
	return d, r.decisionsOf.Put(tx, reverseKey(a, b), struct{}{})
}

// ruled says whether a pair was decided, itself or in any two of the contacts that were merged into the two.
func (r *Register) ruled(tx *store.Tx, x, y uint64) (bool, error) {
	if n, err := r.decisions.Len(tx); err != nil || n == 0 {
		return false, err
	}
	left, err := r.lineage(tx, x)
	if err != nil {
		return false, err
	}
	right, err := r.lineage(tx, y)
	if err != nil {
		return false, err
	}
	for _, a := range left {
		for _, b := range right {
			d, err := r.decisions.Get(tx, pairKey(a, b))
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return false, err
			}
			if d.Verdict != Open {
				return true, nil
			}
		}
	}
	return false, nil
}

// decisionsWith lists the contacts about which and this one something was decided.
func (r *Register) decisionsWith(tx *store.Tx, id uint64) ([]uint64, error) {
	return partners(tx, r.decisions, r.decisionsOf, id)
}

// forget removes what was decided about a contact that goes.
func (r *Register) forget(tx *store.Tx, id uint64) error {
	others, err := r.decisionsWith(tx, id)
	if err != nil {
		return err
	}
	for _, other := range others {
		if err := r.decisions.Delete(tx, pairKey(id, other)); err != nil {
			return err
		}
		if err := r.decisionsOf.Delete(tx, reverseKey(id, other)); err != nil {
			return err
		}
	}
	return nil
}

// Decisions lists up to limit decisions, after the pair with the id given ("" for the first).
func (r *Register) Decisions(ctx context.Context, after string, limit int) ([]Decision, error) {
	out := []Decision{}
	from, err := pairKeyAfter(after)
	if err != nil {
		return nil, err
	}
	err = r.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range r.decisions.All(tx, store.Range{From: from}) {
			if err != nil {
				return err
			}
			if string(item.Key) == string(from) {
				continue
			}
			a, _ := store.ParseID(item.Key[:8])
			b, _ := store.ParseID(item.Key[8:])
			out = append(out, Decision{ID: pairID(a, b), Ruling: item.Value.Ruling, Earlier: item.Value.Earlier})
			if len(out) >= limit {
				break
			}
		}
		return nil
	})
	return out, err
}

func pairID(a, b uint64) string { return fmt.Sprintf("%d-%d", min(a, b), max(a, b)) }

// parsePair reads the name of a pair. Errors: ErrNotFound.
func parsePair(id string) (a, b uint64, err error) {
	if _, err := fmt.Sscanf(id, "%d-%d", &a, &b); err != nil || fmt.Sprintf("%d-%d", a, b) != id || a == b {
		return 0, 0, fmt.Errorf("%w: a pair of duplicates is named like 17-204", ErrNotFound)
	}
	return min(a, b), max(a, b), nil
}
