package exchange

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"ihyid/exchange/answer"
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

// keptMatch is a match as it is kept. With it go both rows, which name the pair throughout an epoch, whatever becomes of the contact.
type keptMatch struct {
	Match
	Own string `json:"own,omitempty"` // the own row, hex; not where matches are of one exchange alone
}

// found is what an exchange found. Where it builds on another one (session.After), it is what is new or otherwise, and which pairs of that one are no more.
type found struct {
	matches []keptMatch
	hidden  []foundPair
}

// foundPair names a pair in what exchanges of one epoch found: its own row and the peer's.
type foundPair struct{ own, theirs answer.Row }

// pair is the zero pair for matches that stand alone.
func (m *keptMatch) pair() (p foundPair, err error) {
	if m.Own == "" {
		return p, nil
	}
	_, err1 := hex.Decode(p.own[:], []byte(m.Own))
	_, err2 := hex.Decode(p.theirs[:], []byte(m.Row))
	return p, errors.Join(err1, err2)
}

// errPurged says that the matches on which an exchange's were to build were removed meanwhile.
var errPurged = errors.New("the matches of the exchange before this one were removed meanwhile")

// putMatches keeps what an exchange found. It is shown once the exchange is done. Contacts that have been deleted since it began are left out; of
// those that have been merged it is the merged contact that was found.
func (n *Node) putMatches(tx *store.Tx, s *session, f found) error {
	if err := n.removeMatches(tx, s.ID); err != nil {
		return err
	}
	if s.After != "" {
		before, err := n.kept.sessions.Get(tx, []byte(s.After))
		if err != nil {
			return err
		}
		if before.Purged {
			return errPurged
		}
	}
	there := make([]keptMatch, 0, len(f.matches))
	for _, m := range f.matches {
		id, ok, err := n.register.Stands(tx, m.Contact)
		if err != nil {
			return err
		}
		if ok {
			m.Contact = id
			there = append(there, m)
		}
	}
	if err := n.putHidden(tx, s.ID, f.hidden); err != nil {
		return err
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

// putHidden keeps which pairs an exchange has no more.
func (n *Node) putHidden(tx *store.Tx, id string, pairs []foundPair) error {
	raw := make([]byte, 0, len(pairs)*pairSize)
	for i := range pairs {
		raw = append(append(raw, pairs[i].own[:]...), pairs[i].theirs[:]...)
	}
	for i := uint32(0); len(raw) > 0; i++ {
		size := min(len(raw), matchesPerRecord*pairSize)
		if err := n.kept.hidden.Put(tx, chunkKey(id, "hidden", i), raw[:size]); err != nil {
			return err
		}
		raw = raw[size:]
	}
	return nil
}

func (n *Node) hiddenBy(tx *store.Tx, id string, into map[foundPair]bool) error {
	for item, err := range n.kept.hidden.All(tx, store.Range{Prefix: []byte(id + "/")}) {
		if err != nil {
			return err
		}
		if len(item.Value)%pairSize != 0 {
			return errDamaged(true)
		}
		for raw := item.Value; len(raw) > 0; raw = raw[pairSize:] {
			into[foundPair{answer.Row(raw), answer.Row(raw[answer.RowSize:])}] = true
		}
	}
	return nil
}

// matchesOf gives what an exchange found, together with what stands of the exchanges that it builds on; in no certain order then.
func (n *Node) matchesOf(tx *store.Tx, s *session) ([]keptMatch, error) {
	var out []keptMatch
	hidden := map[foundPair]bool{} // or told by a later exchange
	for {
		var here []foundPair
		for item, err := range n.kept.matches.All(tx, store.Range{Prefix: []byte(s.ID + "/")}) {
			if err != nil {
				return nil, err
			}
			for i := range item.Value {
				m := &item.Value[i]
				p, err := m.pair()
				if err != nil {
					return nil, err
				}
				if len(hidden) > 0 && hidden[p] {
					continue
				}
				out = append(out, *m)
				here = append(here, p)
			}
		}
		if s.After == "" {
			return out, nil
		}
		for _, p := range here {
			hidden[p] = true
		}
		if err := n.hiddenBy(tx, s.ID, hidden); err != nil {
			return nil, err
		}
		before, err := n.kept.sessions.Get(tx, []byte(s.After))
		if err != nil {
			return nil, err
		}
		s = &before
	}
}

// successors are the exchanges whose matches are changes to those of another one, by that one.
func (n *Node) successors(tx *store.Tx) (map[string]*session, error) {
	out := map[string]*session{}
	for item, err := range n.kept.sessions.All(tx, store.Range{}) {
		if err != nil {
			return nil, err
		}
		if s := item.Value; s.After != "" {
			out[s.After] = &s
		}
	}
	return out, nil
}

// partEntries are the index entries of a part, one for each contact in it.
func partEntries(part []keptMatch, number uint64) []store.IndexEntry {
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

// dropMatches removes what an exchange found. What a later one builds on of it is handed to that one.
func (n *Node) dropMatches(tx *store.Tx, s *session) error {
	var heir *session
	if s.State == StateDone {
		all, err := n.successors(tx)
		if err != nil {
			return err
		}
		heir = all[s.ID]
	}
	if heir != nil {
		if err := n.bequeath(tx, heir); err != nil {
			return err
		}
	}
	s.After = ""
	return n.removeMatches(tx, s.ID)
}

func (n *Node) removeMatches(tx *store.Tx, id string) error {
	for key, err := range n.kept.matches.Keys(tx, store.Range{Prefix: []byte(id + "/")}) {
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
	return dropAll(tx, n.kept.hidden, id+"/")
}

// bequeath gives an exchange its matches whole: the one that it builds on is about to lose its own.
func (n *Node) bequeath(tx *store.Tx, heir *session) error {
	all, err := n.matchesOf(tx, heir)
	if err != nil {
		return err
	}
	heir.After = ""
	if err := n.writeSession(tx, heir); err != nil {
		return err
	}
	return n.putMatches(tx, heir, found{matches: all})
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
		if err := errors.Join(n.notRunning(tx, ids), n.orphan(tx, ids)); err != nil {
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
func (n *Node) notRunning(tx *store.Tx, gone []uint64) error {
	some := newContactSet(gone)
	for item, err := range n.kept.sessions.All(tx, store.Range{}) {
		if err != nil {
			return err
		}
		s := &item.Value
		if s.State.Finished() || s.State == StateWaiting { // nothing has been read for it
			continue
		}
		in := s.State == StatePreparing || s.Role == Responder && s.State == StateOpening
		if !in {
			if in, err = n.ownSetHas(tx, s, some); err != nil {
				return err
			}
		}
		if in {
			return fmt.Errorf("%w: exchange %s with %s", ErrInExchange, s.ID, s.Peer)
		}
	}
	return nil
}

// ownSetHas says whether one of some contacts is in the own set of an exchange, or was in one that it builds on.
func (n *Node) ownSetHas(tx *store.Tx, s *session, some *contactSet) (found bool, err error) {
	ids, err := n.chain(tx, s)
	if CodeOf(err) == CodeEpoch {
		return false, nil // what it builds on is gone, and with it its own set
	}
	if err != nil {
		return false, err
	}
	for i, id := range ids {
		set := setOwnChanges
		if i == 0 {
			set = setOwn
		}
		size, at := wholeRecords[set], contactAt[set]
		err := n.scanTx(tx, id, set, size, func(records []byte) error {
			for off := at; off < len(records) && !found; off += size {
				found = some.has(binary.BigEndian.Uint64(records[off:]))
			}
			return nil
		})
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// contactAt is where a contact's number stands in the records of the sets that stand in an epoch.
var contactAt = map[string]int{setOwn: 32, setOwnChanges: 1 + 32, setRows: answer.RowSize}

// orphan has nothing lead from what stands in epochs to contacts that are erased: a random number takes the place of theirs. That somebody had those digests, and was
// claimed, is what the next exchange of the epoch needs to take it back; the digests themselves stand until the epoch's end, as with the outputs and points made of
// them.
func (n *Node) orphan(tx *store.Tx, erased []uint64) error {
	some := newContactSet(erased)
	for item, err := range n.kept.epochs.All(tx, store.Range{}) {
		if err != nil {
			return err
		}
		instead := map[uint64]uint64{} // the same throughout the epoch
		for _, st := range item.Value.Standing {
			for set, at := range contactAt {
				if err := n.renumber(tx, st.Exchange, set, at, some, instead); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// renumber exchanges contacts' numbers in a set.
func (n *Node) renumber(tx *store.Tx, id, set string, at int, some *contactSet, instead map[uint64]uint64) error {
	for chunk, err := range n.kept.chunks.All(tx, store.Range{Prefix: []byte(id + "/" + set + "/")}) {
		if err != nil {
			return err
		}
		changed := false
		for off := at; off+8 <= len(chunk.Value); off += wholeRecords[set] {
			number := binary.BigEndian.Uint64(chunk.Value[off:])
			if !some.has(number) {
				continue
			}
			other, ok := instead[number]
			if !ok {
				var b [8]byte
				if _, err := io.ReadFull(n.rand, b[:]); err != nil {
					return fmt.Errorf("reading randomness: %w", err)
				}
				other = binary.BigEndian.Uint64(b[:]) | orphan
				instead[number] = other
			}
			binary.BigEndian.PutUint64(chunk.Value[off:], other)
			changed = true
		}
		if changed {
			if err := n.kept.chunks.Put(tx, chunk.Key, chunk.Value); err != nil {
				return err
			}
		}
	}
	return nil
}
