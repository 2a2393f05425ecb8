package exchange

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"ihyid/contacts"
	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/store"
)

// Which contacts the initiator claims, and on which match keys, is kept by row: whole with the first exchange of an epoch, as changes with the later ones.

// A record of it: the row, the contact, and the keys; none if it is claimed no more.
const rowRecord = answer.RowSize + 8 + 4

// claimedRows collects what is claimed of some contacts.
type claimedRows struct {
	seed   [32]byte
	before [][]byte // records of the exchanges that stand, in order
	rows   map[uint64]answer.Row
	keys   map[uint64]uint32 // now, of the contacts about which something was changed
	was    map[uint64]uint32 // of these, keys of claims that stood before, and need not now
}

// loadClaimedRows begins to collect, from what stands before a session.
func (n *Node) loadClaimedRows(ctx context.Context, s *session) (*claimedRows, error) {
	c := &claimedRows{seed: [32]byte(s.Rows), rows: map[uint64]answer.Row{}, keys: map[uint64]uint32{}, was: map[uint64]uint32{}}
	var err error
	if c.before, err = n.standingRows(ctx, s); err != nil {
		return nil, err
	}
	for _, raw := range c.before {
		for ; len(raw) > 0; raw = raw[rowRecord:] {
			// Nothing leads from what stands in for an erased contact's number to its row.
			if id := binary.BigEndian.Uint64(raw[answer.RowSize:]); id&orphan != 0 {
				c.rows[id] = answer.Row(raw)
			}
		}
	}
	return c, nil
}

// standingRows reads the records of all exchanges that a session builds on.
func (n *Node) standingRows(ctx context.Context, s *session) ([][]byte, error) {
	first, later, err := n.foundation(ctx, s, setRows, setRows)
	if err != nil || s.Base == "" {
		return nil, err
	}
	all := append([][]byte{first}, later...)
	for _, raw := range all {
		if len(raw)%rowRecord != 0 {
			return nil, errDamaged(true)
		}
	}
	return all, nil
}

// of gives the row of a contact.
func (c *claimedRows) of(contact uint64) answer.Row {
	row, ok := c.rows[contact]
	if !ok {
		row = rowOf(c.seed, contact)
		c.rows[contact] = row
	}
	return row
}

// change says who was claimed for a digest and who is now. Under one key a contact has one digest.
func (c *claimedRows) change(was, is []holding) {
	for _, h := range was {
		c.was[h.contact] |= 1 << h.key
		c.keys[h.contact] |= 0
	}
	for _, h := range is {
		c.keys[h.contact] |= 1 << h.key
	}
}

// encode gives the records of all contacts that something was changed about, in the order of their numbers. A key on which nothing was changed stays as it was.
func (c *claimedRows) encode() []byte {
	ids := slices.Sorted(maps.Keys(c.keys))
	if len(c.before) > 0 {
		some, stood := newContactSet(ids), map[uint64]uint32{}
		some.orphans = true
		for _, raw := range c.before {
			for ; len(raw) > 0; raw = raw[rowRecord:] {
				if id := binary.BigEndian.Uint64(raw[answer.RowSize:]); some.has(id) {
					stood[id] = binary.BigEndian.Uint32(raw[answer.RowSize+8:])
				}
			}
		}
		for id := range c.keys {
			c.keys[id] |= stood[id] &^ c.was[id]
		}
	}
	out := make([]byte, 0, len(ids)*rowRecord)
	for _, id := range ids {
		row := c.of(id)
		out = append(out, row[:]...)
		out = binary.BigEndian.AppendUint64(out, id)
		out = binary.BigEndian.AppendUint32(out, c.keys[id])
	}
	return out
}

// claimedByInitiator reads which contacts are claimed on which keys: of the rows that answers are about or about which this exchange has changed something; of
// all where it builds on nothing, or whole says so. concerned are these rows, nil if they are all.
func (n *Node) claimedByInitiator(ctx context.Context, s *session, answers []byte, last *predecessor) (mine claimed, concerned map[answer.Row]struct{}, err error) {
	lists, err := n.standingRows(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	now, err := n.getSet(ctx, s.ID, setRows)
	if err != nil || len(now)%rowRecord != 0 {
		return nil, nil, errors.Join(err, errDamaged(len(now)%rowRecord != 0))
	}
	var may *prefixes
	if !last.whole() {
		concerned = map[answer.Row]struct{}{}
		for _, id := range last.ids {
			concerned[rowOf([32]byte(s.Rows), id)] = struct{}{}
		}
		for off := 0; off+answer.Size <= len(answers); off += answer.Size {
			concerned[answer.Row(answers[off:])] = struct{}{}
		}
		for off := 0; off < len(now); off += rowRecord {
			concerned[answer.Row(now[off:])] = struct{}{}
		}
		may = newPrefixes(len(concerned))
		for row := range concerned {
			may.add(row[:])
		}
	}
	mine = claimed{}
	for _, raw := range append(lists, now) {
		for ; len(raw) > 0; raw = raw[rowRecord:] {
			if may != nil && !may.has(raw) {
				continue
			}
			row := answer.Row(raw)
			if _, ok := concerned[row]; may != nil && !ok {
				continue
			}
			of := mine[row]
			of.contact, of.keys = binary.BigEndian.Uint64(raw[answer.RowSize:]), binary.BigEndian.Uint32(raw[answer.RowSize+8:])
			if of.keys == 0 {
				delete(mine, row)
			} else {
				mine[row] = of
			}
		}
	}
	return mine, concerned, nil
}

// predecessor is the last exchange that a session builds on.
type predecessor struct {
	*standing             // nil if it builds on none
	gone      bool        // its matches were removed, or it is not known which contacts have changed since
	ids       []uint64    // of contacts that have changed since, with what was found about them perhaps
	changed   *contactSet // the same
}

func (n *Node) predecessor(ctx context.Context, s *session) (p predecessor, err error) {
	if s.Base == "" {
		return p, nil
	}
	err = n.store.View(ctx, func(tx *store.Tx) error {
		e, err := n.baseTx(tx, s)
		if err != nil {
			return err
		}
		p.standing = &e.Standing[len(e.Standing)-1]
		before, err := n.kept.sessions.Get(tx, []byte(p.Exchange))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		known := false
		if p.ids, known, err = n.register.ChangedSince(tx, p.Sequence); err != nil {
			return err
		}
		p.gone = before.State != StateDone || before.Purged || !known
		p.changed = newContactSet(p.ids)
		return nil
	})
	return p, err
}

// whole reports whether a result is to be kept whole: there is none that changes could be to.
func (p *predecessor) whole() bool { return p.standing == nil || p.gone }

func (p *predecessor) counts() counts {
	if p.standing == nil {
		return counts{}
	}
	return p.standing.Counts
}

// found gives what is to be kept of a result: all pairs where it is to be kept whole, else those that the changes name and those of contacts that have changed, and which pairs are
// no more. (What was found about a contact is removed or moved when it is merged; if the merge is taken back, it is to be told again.)
func (s *session) found(p *contacts.Profile, pairs []pair, before predecessor, changes []byte) (f found) {
	s.After = ""
	otherwise := map[foundPair]bool{}
	if !before.whole() {
		s.After = before.Exchange
		for _, c := range answerChanges(changes) {
			a := answerAt(c.record)
			q := foundPair{a.Initiator, a.Responder}
			if s.Role == Responder {
				q = foundPair{a.Responder, a.Initiator}
			}
			if c.gone {
				f.hidden = append(f.hidden, q)
			} else {
				otherwise[q] = true
			}
		}
	}
	for i := range pairs {
		q := &pairs[i]
		if s.After == "" || otherwise[foundPair{q.own, q.row}] || before.changed.has(q.contact) {
			f.matches = append(f.matches, keptMatch{q.match(p), hex.EncodeToString(q.own[:])})
		}
	}
	return f
}

// putResult keeps what stands after an exchange.
func (n *Node) putResult(tx *store.Tx, s *session, whole, changes []byte) error {
	if s.Base == "" {
		return n.putSet(tx, s.ID, setResult, whole, merkle.MaxChunkBytes)
	}
	return n.putSet(tx, s.ID, setAnswers, changes, merkle.MaxChunkBytes)
}
