package exchange

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ihyid/exchange/register"
	"ihyid/store"
)

// Matches are kept in parts of some thousand. Which parts a contact stands in is in an index, by the part's number: so what was found about one person is
// told, or removed, without reading all exchanges.

// matchPart says where a numbered part of an exchange's matches is.
type matchPart struct {
	Key []byte `json:"key"` // in the collection of matches
}

// ErrInExchange is returned for an erasure of a contact that takes part in an exchange that is going on. It is a register.ErrHeld.
var ErrInExchange = fmt.Errorf("%w: it takes part in an exchange that is going on; that has to end first", register.ErrHeld)

// Indexes are those that hold something of contacts.
func (n *Node) Indexes() []*store.Index { return []*store.Index{n.matched} }

// putMatches keeps what an exchange found. It is shown once the exchange is done. Contacts that have been deleted since it began are left out; of
// those that have been merged it is the merged contact that was found.
func (n *Node) putMatches(tx *store.Tx, s *session, all []Match) error {
	if err := n.dropMatches(tx, s); err != nil {
		return err
	}
	there := make([]Match, 0, len(all))
	for _, m := range all {
		id, ok, err := n.register.Stands(tx, m.Contact)
		if err != nil {
			return err
		}
		if ok {
			m.Contact = id
			there = append(there, m)
		}
	}
	i := uint32(0)
	for part := range slices.Chunk(there, matchesPerRecord) {
		key := chunkKey(s.ID, "matches", i)
		number, err := n.kept.matchParts.NextID(tx)
		if err != nil {
			return err
		}
		if _, err := n.matched.Insert(tx, partEntries(part, number)); err != nil {
			return err
		}
		err = errors.Join(n.kept.matches.Put(tx, key, part), n.kept.matchParts.Put(tx, store.ID(number), matchPart{key}), n.kept.matchNumbers.Put(tx, key, number))
		if err != nil {
			return err
		}
		i++
	}
	return nil
}

// partEntries are the index entries of a part, one for each contact in it.
func partEntries(part []Match, number uint64) []store.IndexEntry {
	seen := make(map[uint64]bool, len(part))
	entries := make([]store.IndexEntry, 0, len(part))
	for _, m := range part {
		if !seen[m.Contact] {
			seen[m.Contact] = true
			entries = append(entries, store.IndexEntry{Value: store.ID(m.Contact), Ref: number})
		}
	}
	return entries
}

func (n *Node) dropMatches(tx *store.Tx, s *session) error {
	for key, err := range n.kept.matches.Keys(tx, store.Range{Prefix: []byte(s.ID + "/")}) {
		if err != nil {
			return err
		}
		part, err := n.kept.matches.Get(tx, key)
		if err != nil {
			return err
		}
		number, err := n.kept.matchNumbers.Get(tx, key)
		if err != nil {
			return err
		}
		err = errors.Join(
			n.matched.Remove(tx, partEntries(part, number)...),
			n.kept.matches.Delete(tx, key), n.kept.matchNumbers.Delete(tx, key), n.kept.matchParts.Delete(tx, store.ID(number)))
		if err != nil {
			return err
		}
	}
	return nil
}

// stillThere gives, for the contacts of an own set that are still there, which contacts they are now.
func (n *Node) stillThere(ctx context.Context, own *ownSet) (map[uint64]uint64, error) {
	out := map[uint64]uint64{}
	return out, n.store.View(ctx, func(tx *store.Tx) error {
		for _, h := range own.holdings {
			if _, ok := out[h.contact]; ok {
				continue
			}
			id, ok, err := n.register.Stands(tx, h.contact)
			if err != nil {
				return err
			}
			if ok {
				out[h.contact] = id
			}
		}
		return ctx.Err()
	})
}

// maxParts is how many parts of matches one contact can stand in before the index only counts them; ten years of hourly exchanges.
const maxParts = 100_000

// partsOf gives the parts of matches that each of some contacts stands in.
func (n *Node) partsOf(tx *store.Tx, contacts []uint64) ([]store.Hits, error) {
	entries := make([]store.IndexEntry, len(contacts))
	for i, id := range contacts {
		entries[i].Value = store.ID(id)
	}
	return n.matched.LookupAll(tx, entries, maxParts)
}

// ContactsChanged removes what exchanges found about contacts that are gone, in the transaction that removes them, and moves what was found about
// merged ones to the contact that they are now.
func (n *Node) ContactsChanged(tx *store.Tx, _ string, changes []register.Change) error {
	gone := map[uint64]register.Change{}
	var ids []uint64
	wipe := false
	for _, c := range changes {
		if c.After == nil {
			gone[c.ID] = c
			ids = append(ids, c.ID)
			wipe = wipe || c.Erased
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if wipe {
		if err := n.notRunning(tx, gone); err != nil {
			return err
		}
	}
	hits, err := n.partsOf(tx, ids)
	if err != nil {
		return err
	}
	parts := map[uint64]bool{}
	var drop, add []store.IndexEntry
	for i, h := range hits {
		for _, number := range h.Refs {
			parts[number] = true
			drop = append(drop, store.IndexEntry{Value: store.ID(ids[i]), Ref: number})
		}
	}
	for number := range parts {
		where, err := n.kept.matchParts.Get(tx, store.ID(number))
		if err != nil {
			return err
		}
		part, err := n.kept.matches.Get(tx, where.Key)
		if err != nil {
			return err
		}
		before := map[uint64]bool{}
		for _, m := range part {
			before[m.Contact] = true
		}
		left := part[:0]
		for _, m := range part {
			c, ok := gone[m.Contact]
			if ok && c.Into == 0 {
				continue
			}
			if ok {
				m.Contact = c.Into
				if !before[c.Into] {
					before[c.Into] = true
					add = append(add, store.IndexEntry{Value: store.ID(c.Into), Ref: number})
				}
			}
			left = append(left, m)
		}
		if err := n.kept.matches.Put(tx, where.Key, left); err != nil {
			return err
		}
	}
	if wipe {
		err = n.matched.Erase(tx, drop...)
	} else {
		err = n.matched.Remove(tx, drop...)
	}
	if err != nil {
		return err
	}
	_, err = n.matched.Insert(tx, add)
	return err
}

// notRunning refuses where one of the contacts takes part in an exchange that is going on: its own set, which the other side may have a commitment to,
// holds their digests. An exchange whose set is just being made may have read any contact.
func (n *Node) notRunning(tx *store.Tx, gone map[uint64]register.Change) error {
	for item, err := range n.kept.sessions.All(tx, store.Range{}) {
		if err != nil {
			return err
		}
		s := &item.Value
		if s.State.Finished() {
			continue
		}
		in := s.State == StatePreparing || s.Role == Responder && s.State == StateOpening
		if !in {
			if in, err = n.ownSetHas(tx, s, gone); err != nil {
				return err
			}
		}
		if in {
			return fmt.Errorf("%w: exchange %s with %s", ErrInExchange, s.ID, s.Peer)
		}
	}
	return nil
}

// ownSetHas says whether one of some contacts is in the own set of an exchange. It reads the set piece by piece: one of a large register is too large to be held.
func (n *Node) ownSetHas(tx *store.Tx, s *session, contacts map[uint64]register.Change) (bool, error) {
	var rest []byte // of the piece before
	for chunk, err := range n.kept.chunks.All(tx, store.Range{Prefix: []byte(s.ID + "/" + setOwn + "/")}) {
		if err != nil {
			return false, err
		}
		data := append(rest, chunk.Value...)
		for ; len(data) >= holdingSize; data = data[holdingSize:] {
			if _, ok := contacts[holdingContact(data)]; ok {
				return true, nil
			}
		}
		rest = append([]byte(nil), data...)
	}
	return false, errDamaged(len(rest) > 0)
}
