package register

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
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
	contacts.Comparison
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
	p := DuplicatePair{ID: pairID(a, b), Tier: r.profile.Tier(d.Keys).String(), Keys: r.profile.KeyNames(d.Keys)}
	var err error
	if p.A, err = r.get(tx, a); err != nil {
		return p, err
	}
	if p.B, err = r.get(tx, b); err != nil {
		return p, err
	}
	p.Comparison = contacts.Compare(&p.A.Contact, &p.B.Contact)
	return p, nil
}

// duplicatePair is an open pair: another contact, and the match keys in which they agree.
type duplicatePair struct {
	a, b uint64 // the older one first
	keys uint32
}

func pairOf(x, y uint64, keys uint32) duplicatePair {
	return duplicatePair{min(x, y), max(x, y), keys}
}

// other is the contact of the pair that is not the one given.
func (p duplicatePair) other(id uint64) uint64 {
	if p.a == id {
		return p.b
	}
	return p.a
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
	tops := map[uint64]uint64{}
	aside, err := r.originals.Len(tx)
	if err != nil {
		return nil, err
	}
	take := func(of []int, key []uint8, hits []store.Hits) error {
		for k, h := range hits {
			if h.Crowded {
				continue
			}
			i := of[k]
			for _, ref := range h.Refs {
				if aside > 0 {
					there, ok := tops[ref]
					if !ok {
						if there, err = r.top(tx, ref); err != nil {
							return err
						}
						tops[ref] = there
					}
					ref = there
				}
				if ref == c.edits[i].id {
					continue
				}
				if agreed[i] == nil {
					agreed[i] = map[uint64]uint32{}
				}
				agreed[i][ref] |= 1 << key[k]
			}
		}
		return nil
	}
	if err := take(c.keys.addOf, c.keys.addKey, hits); err != nil {
		return nil, err
	}
	look := c.keys.lookups()
	if aside > 0 {
		if err := r.lineageKeys(tx, c.edits, &look); err != nil {
			return nil, err
		}
	}
	if len(look.keep) > 0 {
		hits, err := r.index.LookupAll(tx, look.keep, maxAlike)
		if err != nil {
			return nil, err
		}
		if err := take(look.keepOf, look.keepKey, hits); err != nil {
			return nil, err
		}
	}
	if err := r.dropUnlikely(tx, c, agreed); err != nil {
		return nil, err
	}
	out := make([][]duplicatePair, len(c.edits))
	now := r.now().UTC()
	for i := range c.edits {
		e := &c.edits[i]
		if e.skip || e.aside {
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
			if done, err := r.ruled(tx, ref, e.id); err != nil {
				return nil, err
			} else if done {
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

// minLikely is the score that two contacts must have, held side by side, for a pair that is only possible by its match keys to be shown. Of the possible pairs
// of a list nearly all that score less are strangers (docs/matching.md).
const minLikely = 0.65

// dropUnlikely takes out of what agrees the pairs that are only possible and whose contacts are not alike when one looks at both, and counts them.
func (r *Register) dropUnlikely(tx *store.Tx, c *changes, agreed []map[uint64]uint32) error {
	edits := c.edits
	type candidate struct {
		edit  int
		ref   uint64
		other *record
		score float64
	}
	var all []candidate
	for i := range edits {
		if e := &edits[i]; e.skip || e.aside || e.after == nil {
			continue
		}
		for ref, keys := range agreed[i] {
			if r.profile.Tier(keys) != contacts.TierPossible {
				continue
			}
			other, err := r.record(tx, ref)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			all = append(all, candidate{edit: i, ref: ref, other: other})
		}
	}
	workers := runtime.GOMAXPROCS(0)
	if len(all) < parallelFrom {
		workers = 1
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := w; n < len(all); n += workers {
				p := &all[n]
				p.score = contacts.Compare(&edits[p.edit].after.Contact, &p.other.Contact).Score
			}
		})
	}
	wg.Wait()
	for _, p := range all {
		if p.score >= minLikely {
			continue
		}
		delete(agreed[p.edit], p.ref)
		// Where contacts are only compared anew, each pair comes by twice.
		if e := &edits[p.edit]; p.ref < e.id || e.before != nil && e.before.Contact != e.after.Contact {
			c.unlikely++
		}
	}
	return nil
}

// lookups are the digests of changed contacts that stay, to be looked up.
func (d *diff) lookups() diff { return diff{keep: d.keep, keepOf: d.keepOf, keepKey: d.keepKey} }

// lineageKeys adds the digests of what edited contacts were merged of: whoever resembles one of those resembles them.
func (r *Register) lineageKeys(tx *store.Tx, edits []edit, look *diff) error {
	encoder := r.encoders.Get().(*contacts.Encoder)
	defer r.encoders.Put(encoder)
	for i := range edits {
		e := &edits[i]
		if e.skip || e.aside || e.after == nil {
			continue
		}
		all, err := r.lineage(tx, e.id)
		if err != nil {
			return err
		}
		for _, number := range all[1:] {
			o, err := r.originals.Get(tx, store.ID(number))
			if err != nil {
				return err
			}
			digests := encoder.Digests(nil, &o.Contact)
			for k := range digests {
				v := digests[k].Digest[:]
				look.keep = append(look.keep, store.IndexEntry{Value: v, Term: r.index.Hash(v), Ref: e.id})
				look.keepOf, look.keepKey = append(look.keepOf, i), append(look.keepKey, digests[k].Key)
			}
		}
	}
	return nil
}

// putPair keeps an open pair; one that is there keeps the time at which it was found.
func (r *Register) putPair(tx *store.Tx, p duplicatePair, now time.Time) error {
	was, err := r.duplicates.Get(tx, pairKey(p.a, p.b))
	switch {
	case err == nil && was.Keys == p.keys:
		return nil
	case err == nil:
		now = was.Found
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	if err := r.duplicates.Put(tx, pairKey(p.a, p.b), duplicate{Keys: p.keys, Found: now}); err != nil {
		return err
	}
	return r.reverse.Put(tx, reverseKey(p.a, p.b), struct{}{})
}

func (r *Register) dropPair(tx *store.Tx, x, y uint64) error {
	if err := r.duplicates.Delete(tx, pairKey(x, y)); err != nil {
		return err
	}
	return r.reverse.Delete(tx, reverseKey(x, y))
}

// partners lists the contacts with which one stands in a pair, of pairs that are kept both ways about.
func partners[T any](tx *store.Tx, pairs *store.Collection[T], reverse *store.Collection[struct{}], id uint64) ([]uint64, error) {
	var out []uint64
	prefix := store.Range{Prefix: store.ID(id)}
	for key, err := range pairs.Keys(tx, prefix) {
		if err != nil {
			return nil, err
		}
		other, _ := store.ParseID(key[8:])
		out = append(out, other)
	}
	for key, err := range reverse.Keys(tx, prefix) {
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
	others, err := partners(tx, r.duplicates, r.reverse, id)
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

// reverseKey is the key of the same pair the other way about.
func reverseKey(a, b uint64) []byte {
	return append(store.ID(max(a, b)), store.ID(min(a, b))...)
}

func pairKeyAfter(id string) ([]byte, error) {
	if id == "" {
		return nil, nil
	}
	a, b, err := parsePair(id)
	if err != nil {
		return nil, err
	}
	return pairKey(a, b), nil
}
