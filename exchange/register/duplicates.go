package register

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"ihyid/contacts"
	"ihyid/store"
)

// duplicate is a pair of contacts that agree in match keys, to be decided by a person.
type duplicate struct {
	Keys  uint32    `json:"keys"`
	Found time.Time `json:"found"`
}

// DuplicatePair is such a pair with both contacts.
type DuplicatePair struct {
	ID   string   `json:"id"` // "17-204"
	A    Stored   `json:"a"`
	B    Stored   `json:"b"`
	Tier string   `json:"tier"`
	Keys []string `json:"keys"` // names of the match keys that agree
}

// Duplicates lists up to limit pairs of contacts that may be the same person, after the pair with the id given ("" for the first).
// Pairs of which a contact is gone are left out.
func (r *Register) Duplicates(ctx context.Context, after string, limit int) ([]DuplicatePair, error) {
	out := []DuplicatePair{}
	from, err := pairKeyAfter(after)
	if err != nil {
		return nil, err
	}
	err = r.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range r.duplicates.All(tx, store.Range{From: from}) {
			if err != nil {
				return err
			}
			if bytes.Equal(item.Key, from) {
				continue
			}
			p, err := r.pair(tx, item.Key, item.Value)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if out = append(out, p); len(out) >= limit {
				break
			}
		}
		return nil
	})
	return out, err
}

func (r *Register) pair(tx *store.Tx, key []byte, d duplicate) (DuplicatePair, error) {
	if len(key) != 16 {
		return DuplicatePair{}, errors.New("a kept pair of duplicates is damaged")
	}
	a, _ := store.ParseID(key[:8])
	b, _ := store.ParseID(key[8:])
	p := DuplicatePair{ID: fmt.Sprintf("%d-%d", a, b), Tier: r.profile.Tier(d.Keys).String(), Keys: r.profile.KeyNames(d.Keys)}
	var err error
	if p.A, err = r.get(tx, a); err != nil {
		return p, err
	}
	p.B, err = r.get(tx, b)
	return p, err
}

// duplicatePair is an open pair: another contact, and the match keys in which they agree.
type duplicatePair struct {
	a, b uint64 // the older one first
	keys uint32
}

func pairOf(x, y uint64, keys uint32) duplicatePair {
	return duplicatePair{min(x, y), max(x, y), keys}
}

// show gives pairs with both contacts.
func (r *Register) show(tx *store.Tx, pairs []duplicatePair) ([]DuplicatePair, error) {
	out := []DuplicatePair{}
	for _, p := range pairs {
		d, err := r.pair(tx, pairKey(p.a, p.b), duplicate{Keys: p.keys})
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// pairsOf keeps the pairs that edited contacts are in, for a person to decide, and drops those that they are in no more.
func (r *Register) pairsOf(tx *store.Tx, c *changes, hits []store.Hits) ([][]duplicatePair, error) {
	agreed := make([]map[uint64]uint32, len(c.edits))
	take := func(of []int, key []uint8, hits []store.Hits) {
		for k, h := range hits {
			if h.Crowded {
				continue
			}
			i := of[k]
			for _, ref := range h.Refs {
				if ref == c.edits[i].id {
					continue
				}
				if agreed[i] == nil {
					agreed[i] = map[uint64]uint32{}
				}
				agreed[i][ref] |= 1 << key[k]
			}
		}
	}
	take(c.keys.addOf, c.keys.addKey, hits)
	if len(c.keys.keep) > 0 {
		hits, err := r.index.LookupAll(tx, c.keys.keep, maxHits)
		if err != nil {
			return nil, err
		}
		take(c.keys.keepOf, c.keys.keepKey, hits)
	}
	out := make([][]duplicatePair, len(c.edits))
	now := r.now().UTC()
	for i := range c.edits {
		e := &c.edits[i]
		if e.skip {
			continue
		}
		if e.before != nil {
			if err := r.dropPairs(tx, e.id, agreed[i]); err != nil {
				return nil, err
			}
		}
		if e.after == nil {
			continue
		}
		for _, ref := range slices.Sorted(maps.Keys(agreed[i])) {
			keys := agreed[i][ref]
			if r.profile.Tier(keys) == contacts.TierNone {
				continue
			}
			p := pairOf(ref, e.id, keys)
			if err := r.putPair(tx, p, now); err != nil {
				return nil, err
			}
			out[i] = append(out[i], p)
		}
	}
	return out, nil
}

func (r *Register) putPair(tx *store.Tx, p duplicatePair, now time.Time) error {
	if err := r.duplicates.Put(tx, pairKey(p.a, p.b), duplicate{Keys: p.keys, Found: now}); err != nil {
		return err
	}
	return r.reverse.Put(tx, append(store.ID(p.b), store.ID(p.a)...), struct{}{})
}

func (r *Register) dropPair(tx *store.Tx, x, y uint64) error {
	a, b := min(x, y), max(x, y)
	if err := r.duplicates.Delete(tx, pairKey(a, b)); err != nil {
		return err
	}
	return r.reverse.Delete(tx, append(store.ID(b), store.ID(a)...))
}

// others lists the contacts with which one is in an open pair.
func (r *Register) others(tx *store.Tx, id uint64) ([]uint64, error) {
	var out []uint64
	for key, err := range r.duplicates.Keys(tx, store.Range{Prefix: store.ID(id)}) {
		if err != nil {
			return nil, err
		}
		other, _ := store.ParseID(key[8:])
		out = append(out, other)
	}
	for key, err := range r.reverse.Keys(tx, store.Range{Prefix: store.ID(id)}) {
		if err != nil {
			return nil, err
		}
		other, _ := store.ParseID(key[8:])
		out = append(out, other)
	}
	return out, nil
}

// dropPairs drops the open pairs of a contact but those with the contacts given.
func (r *Register) dropPairs(tx *store.Tx, id uint64, but map[uint64]uint32) error {
	others, err := r.others(tx, id)
	if err != nil {
		return err
	}
	for _, other := range others {
		if keys, ok := but[other]; ok && r.profile.Tier(keys) != contacts.TierNone {
			continue
		}
		if err := r.dropPair(tx, id, other); err != nil {
			return err
		}
	}
	return nil
}

// pairKey is the key of a pair: the older contact first.
func pairKey(a, b uint64) []byte {
	return append(store.ID(min(a, b)), store.ID(max(a, b))...)
}

func pairKeyAfter(id string) ([]byte, error) {
	if id == "" {
		return nil, nil
	}
	var a, b uint64
	if _, err := fmt.Sscanf(id, "%d-%d", &a, &b); err != nil || fmt.Sprintf("%d-%d", a, b) != id {
		return nil, fmt.Errorf("%w: a pair of duplicates is named like 17-204", ErrNotFound)
	}
	return pairKey(a, b), nil
}
