package exchange

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"ihyid/contacts"
	"ihyid/exchange/answer"
	"ihyid/store"
)

// maxSharers is how many of the own contacts may share a digest for it to be used: one that more share identifies nobody and
// shows frequencies (PROTOCOL section 3).
const maxSharers = 3

// holding says that one of the own contacts has a digest, under one of the profile's match keys.
type holding struct {
	digest  [32]byte
	contact uint64
	key     uint8
}

const holdingSize = 32 + 8 + 1

func compareHoldings(a, b holding) int {
	return cmp.Or(bytes.Compare(a.digest[:], b.digest[:]), cmp.Compare(a.contact, b.contact), cmp.Compare(a.key, b.key))
}

func appendHolding(b []byte, h holding) []byte {
	b = append(b, h.digest[:]...)
	b = binary.BigEndian.AppendUint64(b, h.contact)
	return append(b, h.key)
}

func holdingAt(b []byte) holding {
	return holding{[32]byte(b), binary.BigEndian.Uint64(b[32:]), b[40]}
}

// orphan marks the contact number of a holding whose contact was erased: what stands there is no number of a contact, and leads to none.
const orphan = 1 << 63

// ownSet are the own digests as they were when an exchange began, and who holds them: a list that was read whole once, and what has changed since. Digests that are
// not used because too many share them are in it too: they may be used when one of those changes.
type ownSet struct {
	raw  []byte                 // holdings in ascending order
	gone map[holding]struct{}   // of raw, and are no more
	more map[[32]byte][]holding // not in raw, in ascending order
}

// ownChanges are what an own set has less and more than the one before it.
type ownChanges struct{ gone, more []holding }

// newOwnSet makes an own set of all holdings; it sorts them.
func newOwnSet(all []holding) *ownSet {
	slices.SortFunc(all, compareHoldings)
	all = slices.Compact(all)
	raw := make([]byte, 0, len(all)*holdingSize)
	for i := range all {
		raw = appendHolding(raw, all[i])
	}
	return &ownSet{raw: raw}
}

func parseOwnSet(raw []byte) (*ownSet, error) {
	if len(raw)%holdingSize != 0 {
		return nil, errors.New("the kept set of own digests is damaged")
	}
	return &ownSet{raw: raw}, nil
}

// all gives every holding, those of one digest one after the other, digests in no certain order.
func (o *ownSet) all(yield func(holding) bool) {
	for off := 0; off < len(o.raw); off += holdingSize {
		h := holdingAt(o.raw[off:])
		if _, gone := o.gone[h]; gone {
			continue
		}
		if !yield(h) {
			return
		}
	}
	for _, hs := range o.more {
		for _, h := range hs {
			if !yield(h) {
				return
			}
		}
	}
}

// everyone gives all who hold a digest.
func (o *ownSet) everyone(digest *[32]byte) []holding {
	var out []holding
	n := len(o.raw) / holdingSize
	i := sort.Search(n, func(i int) bool { return bytes.Compare(o.raw[i*holdingSize:i*holdingSize+32], digest[:]) >= 0 })
	for ; i < n && bytes.Equal(o.raw[i*holdingSize:i*holdingSize+32], digest[:]); i++ {
		h := holdingAt(o.raw[i*holdingSize:])
		if _, gone := o.gone[h]; !gone {
			out = append(out, h)
		}
	}
	if more := o.more[*digest]; len(more) > 0 {
		out = append(out, more...)
		slices.SortFunc(out, compareHoldings)
	}
	return out
}

// holders gives who holds a digest that is used; nobody holds one that is not.
func (o *ownSet) holders(digest *[32]byte) []holding {
	if all := o.everyone(digest); len(all) <= maxSharers {
		return all
	}
	return nil
}

// digests gives the digests that are used, in ascending order. The set must be one that was read whole.
func (o *ownSet) digests() [][32]byte {
	var out [][32]byte
	for i, n := 0, len(o.raw); i < n; {
		j := i + holdingSize
		for j < n && bytes.Equal(o.raw[j:j+32], o.raw[i:i+32]) {
			j += holdingSize
		}
		if (j-i)/holdingSize <= maxSharers {
			out = append(out, [32]byte(o.raw[i:]))
		}
		i = j
	}
	return out
}

// of gives what some contacts hold.
func (o *ownSet) of(some *contactSet) []holding {
	var out []holding
	for off := 0; off < len(o.raw); off += holdingSize {
		if !some.has(binary.BigEndian.Uint64(o.raw[off+32:])) {
			continue
		}
		h := holdingAt(o.raw[off:])
		if _, gone := o.gone[h]; !gone {
			out = append(out, h)
		}
	}
	for _, hs := range o.more {
		for _, h := range hs {
			if some.has(h.contact) {
				out = append(out, h)
			}
		}
	}
	return out
}

// with is the own set after changes.
func (o *ownSet) with(all ...ownChanges) *ownSet {
	out := &ownSet{raw: o.raw, gone: make(map[holding]struct{}, len(o.gone)), more: make(map[[32]byte][]holding, len(o.more))}
	for h := range o.gone {
		out.gone[h] = struct{}{}
	}
	for d, hs := range o.more {
		out.more[d] = slices.Clone(hs)
	}
	for _, c := range all {
		for _, h := range c.gone {
			if hs := out.more[h.digest]; slices.Contains(hs, h) {
				if hs = slices.DeleteFunc(hs, func(o holding) bool { return o == h }); len(hs) > 0 {
					out.more[h.digest] = hs
				} else {
					delete(out.more, h.digest)
				}
				continue
			}
			out.gone[h] = struct{}{}
		}
		for _, h := range c.more {
			if _, back := out.gone[h]; back {
				delete(out.gone, h)
				continue
			}
			out.more[h.digest] = append(out.more[h.digest], h)
		}
	}
	return out
}

// changesTo says what another set has less and more.
func (o *ownSet) changesTo(now *ownSet) (c ownChanges) {
	a, b := newOwnSet(slices.Collect(o.all)).raw, now.raw
	for len(a) > 0 || len(b) > 0 {
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = bytes.Compare(a[:holdingSize], b[:holdingSize]) // the encoding keeps the order
		}
		if order < 0 {
			c.gone = append(c.gone, holdingAt(a))
		}
		if order > 0 {
			c.more = append(c.more, holdingAt(b))
		}
		if order <= 0 {
			a = a[holdingSize:]
		}
		if order >= 0 {
			b = b[holdingSize:]
		}
	}
	return c
}

// digests are the digests that anything has changed about, each once.
func (c *ownChanges) digests() map[[32]byte]struct{} {
	out := make(map[[32]byte]struct{}, len(c.gone)+len(c.more))
	for _, list := range [][]holding{c.gone, c.more} {
		for i := range list {
			out[list[i].digest] = struct{}{}
		}
	}
	return out
}

const ownChangeSize = 1 + holdingSize

func (c *ownChanges) encode() []byte {
	out := make([]byte, 0, (len(c.gone)+len(c.more))*ownChangeSize)
	for i, list := range [][]holding{c.gone, c.more} {
		for _, h := range list {
			out = appendHolding(append(out, byte(i)), h)
		}
	}
	return out
}

func decodeOwnChanges(raw []byte) (c ownChanges, err error) {
	if len(raw)%ownChangeSize != 0 {
		return c, errors.New("the kept changes of the own digests are damaged")
	}
	for ; len(raw) > 0; raw = raw[ownChangeSize:] {
		if h := holdingAt(raw[1:]); raw[0] == 0 {
			c.gone = append(c.gone, h)
		} else {
			c.more = append(c.more, h)
		}
	}
	return c, nil
}

// gather makes the own set of the whole register under a profile. With it goes the register's sequence number from before the reading: what changes meanwhile comes after it.
func (n *Node) gather(ctx context.Context, p *contacts.Profile, report func(done, total uint64)) (own *ownSet, sequence uint64, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) error {
		sequence, err = n.register.Sequence(tx)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	var all []holding
	err = n.register.Digests(ctx, p, report, func(contact uint64, digests []contacts.KeyDigest) error {
		for _, d := range digests {
			all = append(all, holding{d.Digest, contact, d.Key})
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("taking the digests of the own contacts: %w", err)
	}
	return newOwnSet(all), sequence, nil
}

// taken is the own set of an exchange that begins.
type taken struct {
	before   *ownSet // at the last exchange that it builds on; empty if it builds on none
	now      *ownSet
	changes  ownChanges // from one to the other; not set if it builds on none
	sequence uint64     // of the register
}

// take makes the own set of an exchange. Where it builds on others, only what has changed since the last of them is read, as the register's log says; the
// whole register where the log does not go back so far.
func (n *Node) take(ctx context.Context, s *session, p *contacts.Profile, report func(done, total uint64)) (*taken, error) {
	t := &taken{before: &ownSet{}}
	var err error
	if s.Base == "" {
		t.now, t.sequence, err = n.gather(ctx, p, report)
		return t, err
	}
	known := false
	err = n.store.View(ctx, func(tx *store.Tx) error {
		e, err := n.baseTx(tx, s)
		if err != nil {
			return err
		}
		if t.before, err = n.standingOwn(tx, e); err != nil {
			return err
		}
		var ids []uint64
		if ids, known, err = n.register.ChangedSince(tx, e.Standing[len(e.Standing)-1].Sequence); err != nil || !known {
			return err
		}
		if t.sequence, err = n.register.Sequence(tx); err != nil {
			return err
		}
		is := map[holding]struct{}{}
		err = n.register.DigestsOf(ctx, tx, p, ids, func(contact uint64, digests []contacts.KeyDigest) {
			for _, d := range digests {
				is[holding{d.Digest, contact, d.Key}] = struct{}{}
			}
		})
		if err != nil {
			return fmt.Errorf("taking the digests of the contacts that changed: %w", err)
		}
		some := newContactSet(ids)
		some.orphans = true
		for _, h := range t.before.of(some) {
			if _, stays := is[h]; stays {
				delete(is, h)
			} else {
				t.changes.gone = append(t.changes.gone, h)
			}
		}
		for h := range is {
			t.changes.more = append(t.changes.more, h)
		}
		slices.SortFunc(t.changes.gone, compareHoldings)
		slices.SortFunc(t.changes.more, compareHoldings)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !known {
		whole, sequence, err := n.gather(ctx, p, report)
		if err != nil {
			return nil, err
		}
		t.changes, t.sequence = t.before.changesTo(whole), sequence
	}
	t.now = t.before.with(t.changes)
	return t, nil
}

// keep is what is kept of it with the exchange.
func (t *taken) keep(s *session) (set string, data []byte) {
	if s.Base == "" {
		return setOwn, t.now.raw
	}
	return setOwnChanges, t.changes.encode()
}

// standingOwn reads the own set of the last exchange that stands in an epoch.
func (n *Node) standingOwn(tx *store.Tx, e *epoch) (*ownSet, error) {
	raw, err := n.setTx(tx, e.Standing[0].Exchange, setOwn)
	if err != nil {
		return nil, err
	}
	own, err := parseOwnSet(raw)
	if err != nil {
		return nil, err
	}
	var all []ownChanges
	for _, st := range e.Standing[1:] {
		c, err := n.ownChangesTx(tx, st.Exchange)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return own.with(all...), nil
}

func (n *Node) ownChangesTx(tx *store.Tx, id string) (ownChanges, error) {
	raw, err := n.setTx(tx, id, setOwnChanges)
	if err != nil {
		return ownChanges{}, err
	}
	return decodeOwnChanges(raw)
}

// ownTx reads what an exchange took.
func (n *Node) ownTx(tx *store.Tx, s *session) (*taken, error) {
	t := &taken{before: &ownSet{}, sequence: s.Sequence}
	if s.Base == "" {
		raw, err := n.setTx(tx, s.ID, setOwn)
		if err != nil {
			return nil, err
		}
		t.now, err = parseOwnSet(raw)
		return t, err
	}
	e, err := n.baseTx(tx, s)
	if err != nil {
		return nil, err
	}
	if t.before, err = n.standingOwn(tx, e); err != nil {
		return nil, err
	}
	if t.changes, err = n.ownChangesTx(tx, s.ID); err != nil {
		return nil, err
	}
	t.now = t.before.with(t.changes)
	return t, nil
}

func (n *Node) loadOwn(ctx context.Context, s *session) (t *taken, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) error {
		t, err = n.ownTx(tx, s)
		return err
	})
	return t, err
}

// rowOf is the number that stands for an own contact in one exchange. Under the secret seed it says nothing to anyone else, and
// nothing in any other exchange.
func rowOf(seed [32]byte, contact uint64) answer.Row {
	m := hmac.New(sha256.New, seed[:])
	m.Write([]byte("ihyid/row/1"))
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], contact)
	m.Write(b[:])
	return answer.Row(m.Sum(nil)[:answer.RowSize])
}
