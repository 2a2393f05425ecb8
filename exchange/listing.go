package exchange

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"ihyid/store"
)

const (
	// MaxPage is how many items one part of a list can have.
	MaxPage     = 1000
	defaultPage = 100
	// maxLook is how many records are looked at for one part of a list: where a filter leaves few of them, the part is short.
	maxLook = 10_000
)

// Query says which part of a list is asked for. The zero Query asks for the first 100 items.
type Query struct {
	Peer  string    // only what is with this peer, by its DID
	State string    // only what is in this state
	Since time.Time // only what began (of receipts: ended) at this moment or later
	After []byte    // Page.Next of the part before; nil: the list begins
	Limit int       // at most so many, up to MaxPage; 0: 100
}

// Page is a part of a list. It can have fewer items than were asked for, even none, and yet a next part.
type Page[T any] struct {
	Items []T
	// Next is where the next part begins, as Query.After; nil: this was the last. It names a place in the order of the list and not an item, so
	// that it stays good when that item is removed. It is at most store.MaxKeySize bytes.
	Next []byte
}

func (q *Query) limit() int { return min(cmp.Or(max(q.Limit, 0), defaultPage), MaxPage) }

// timeline lists records by a moment of theirs, the newest first: its keys are the moment and the record's id, so that a part of the list is read by
// seeking. It holds what lists are filtered by, so that a record that is left out is not read.
type timeline struct {
	entries *store.Collection[timeEntry]
}

type timeEntry struct {
	Peer  string `json:"peer"`
	State string `json:"state,omitempty"`
	Role  Role   `json:"role,omitempty"`
}

func newTimeline(s *store.Store, name string) timeline {
	return timeline{store.NewCollection[timeEntry](s, name, 1)}
}

// momentSize is the length of a moment at the beginning of a key: seconds since 1970 (8 bytes, the sign turned, so that keys stand in the order of time),
// nanoseconds (4 bytes).
const momentSize = 12

func timeKey(at time.Time, id string) []byte {
	k := binary.BigEndian.AppendUint64(make([]byte, 0, momentSize+len(id)), uint64(at.Unix())^1<<63)
	return append(binary.BigEndian.AppendUint32(k, uint32(at.Nanosecond())), id...)
}

// put has a record stand in the list, as it now is. Its moment must be the same every time.
func (l timeline) put(tx *store.Tx, at time.Time, id string, e timeEntry) error {
	key := timeKey(at, id)
	old, err := l.entries.Get(tx, key)
	switch {
	case err == nil && old == e:
		return nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	return l.entries.Put(tx, key, e)
}

// page goes through a part of the list: get is called with the id of each record that the filters leave.
func (l timeline) page(tx *store.Tx, q *Query, get func(id string) error) (next []byte, err error) {
	r := store.Range{Reverse: true}
	if q.After != nil {
		if len(q.After) <= momentSize || len(q.After) > store.MaxKeySize {
			return nil, fail(CodeInvalid, "that is no place in this list")
		}
		r.From = q.After
	}
	since := []byte(nil)
	if !q.Since.IsZero() {
		since = timeKey(q.Since, "")
	}
	var last []byte
	found, looked := 0, 0
	for item, err := range l.entries.All(tx, r) {
		switch {
		case err != nil:
			return nil, err
		case bytes.Equal(item.Key, q.After):
			continue
		case bytes.Compare(item.Key, since) < 0:
			return nil, nil // all that follow are older
		case found == q.limit() || looked == maxLook:
			return last, nil
		}
		looked++
		last = item.Key
		if e := item.Value; q.Peer != "" && e.Peer != q.Peer || q.State != "" && e.State != q.State {
			continue
		}
		if err := get(string(item.Key[momentSize:])); err != nil {
			return nil, err
		}
		found++
	}
	return nil, nil
}

// rebuild makes the list of a collection anew where it does not have all of its records: it comes from before there was a list.
func rebuild[T any](tx *store.Tx, l timeline, of *store.Collection[T], entry func(*T) (time.Time, string, timeEntry, error)) error {
	have, err := l.entries.Len(tx)
	if err != nil {
		return err
	}
	want, err := of.Len(tx)
	if err != nil || have == want {
		return err
	}
	if err := dropAll(tx, l.entries, ""); err != nil {
		return err
	}
	for item, err := range of.All(tx, store.Range{}) {
		if err != nil {
			return err
		}
		at, id, e, err := entry(&item.Value)
		if err != nil {
			return err
		}
		if err := l.put(tx, at, id, e); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) rebuildLists(ctx context.Context) error {
	whole := true
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for _, pair := range [][2]interface {
			Len(*store.Tx) (uint64, error)
		}{{n.kept.sessions, n.kept.sessionTimes.entries}, {n.kept.receipts, n.kept.receiptTimes.entries}, {n.kept.agreements, n.kept.agreementTimes.entries}} {
			a, err1 := pair[0].Len(tx)
			b, err2 := pair[1].Len(tx)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			whole = whole && a == b
		}
		return nil
	})
	if err != nil || whole {
		return err
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(
			rebuild(tx, n.kept.sessionTimes, n.kept.sessions, func(s *session) (time.Time, string, timeEntry, error) {
				return s.Created, s.ID, s.entry(), nil
			}),
			rebuild(tx, n.kept.receiptTimes, n.kept.receipts, func(r *receiptRecord) (time.Time, string, timeEntry, error) {
				ended, err := r.ended()
				return ended, r.Exchange, timeEntry{Peer: r.Peer}, err
			}),
			rebuild(tx, n.kept.agreementTimes, n.kept.agreements, func(r *agreementRecord) (time.Time, string, timeEntry, error) {
				return r.Created, r.ID, timeEntry{Peer: r.Peer, State: string(r.State)}, nil
			}))
	})
}

func (s *session) entry() timeEntry {
	return timeEntry{Peer: s.Peer, State: string(s.State), Role: s.Role}
}

// writeSession keeps a session in its next version, and its place in the list of exchanges.
func (n *Node) writeSession(tx *store.Tx, s *session) error {
	s.Version++
	return errors.Join(n.kept.sessionTimes.put(tx, s.Created, s.ID, s.entry()), n.kept.sessions.Put(tx, s.key(), *s))
}

// ended is when the exchange of a receipt ended, as both sides signed it.
func (r *receiptRecord) ended() (time.Time, error) {
	ended, err := time.Parse(time.RFC3339, r.Statement.Ended)
	if err != nil {
		return ended, fmt.Errorf("receipt %s is damaged: %w", r.Exchange, err)
	}
	return ended, nil
}

// writeReceipt keeps a receipt, and its place in the list of receipts.
func (n *Node) writeReceipt(tx *store.Tx, r receiptRecord) error {
	ended, err := r.ended()
	if err != nil {
		return err
	}
	return errors.Join(n.kept.receiptTimes.put(tx, ended, r.Exchange, timeEntry{Peer: r.Peer}), n.kept.receipts.Put(tx, []byte(r.Exchange), r))
}

// writeAgreement keeps an agreement in its next version, and its place in the list of agreements.
func (n *Node) writeAgreement(tx *store.Tx, r *agreementRecord) error {
	e := timeEntry{Peer: r.Peer, State: string(r.State)}
	old, err := n.kept.agreements.Get(tx, []byte(r.ID))
	switch {
	case err == nil && !old.Created.Equal(r.Created): // the same terms were proposed twice
		if err := n.kept.agreementTimes.entries.Delete(tx, timeKey(old.Created, r.ID)); err != nil {
			return err
		}
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	r.Version = old.Version + 1
	return errors.Join(n.kept.agreementTimes.put(tx, r.Created, r.ID, e), n.kept.agreements.Put(tx, []byte(r.ID), *r))
}

// ListExchanges gives a part of the list of exchanges, the newest first.
func (n *Node) ListExchanges(ctx context.Context, q Query) (Page[Exchange], error) {
	out := Page[Exchange]{Items: []Exchange{}}
	err := n.store.View(ctx, func(tx *store.Tx) (err error) {
		name := n.peerNames(tx)
		out.Next, err = n.kept.sessionTimes.page(tx, &q, func(id string) error {
			s, err := n.kept.sessions.Get(tx, []byte(id))
			if err != nil {
				return err
			}
			peer, err := name(s.Peer)
			out.Items = append(out.Items, n.view(&s, peer))
			return err
		})
		return err
	})
	return out, err
}

// CountExchanges tells how many exchanges there are.
func (n *Node) CountExchanges(ctx context.Context) (count uint64, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) (err error) {
		count, err = n.kept.sessions.Len(tx)
		return err
	})
	return count, err
}

// ListReceipts gives a part of the list of receipts, by the end of the exchange, the newest first. Receipts have no state.
func (n *Node) ListReceipts(ctx context.Context, q Query) (Page[ReceiptInfo], error) {
	q.State = ""
	out := Page[ReceiptInfo]{Items: []ReceiptInfo{}}
	err := n.store.View(ctx, func(tx *store.Tx) (err error) {
		name := n.peerNames(tx)
		out.Next, err = n.kept.receiptTimes.page(tx, &q, func(id string) error {
			r, err := n.kept.receipts.Get(tx, []byte(id))
			if err != nil {
				return err
			}
			peer, err := name(r.Peer)
			if err != nil {
				return err
			}
			info, err := r.info(peer)
			out.Items = append(out.Items, info)
			return err
		})
		return err
	})
	return out, err
}

// ListAgreements gives a part of the list of agreements, the newest first.
func (n *Node) ListAgreements(ctx context.Context, q Query) (Page[Agreement], error) {
	out := Page[Agreement]{Items: []Agreement{}}
	err := n.store.View(ctx, func(tx *store.Tx) (err error) {
		out.Next, err = n.kept.agreementTimes.page(tx, &q, func(id string) error {
			r, err := n.kept.agreements.Get(tx, []byte(id))
			out.Items = append(out.Items, r.Agreement)
			return err
		})
		return err
	})
	return out, err
}

// ListPeers gives a part of the list of peers, by their DIDs. Of q, Peer and Since are not looked at.
func (n *Node) ListPeers(ctx context.Context, q Query) (Page[Peer], error) {
	out := Page[Peer]{Items: []Peer{}}
	err := n.store.View(ctx, func(tx *store.Tx) error {
		var last []byte
		looked := 0
		for item, err := range n.kept.peers.All(tx, store.Range{From: q.After}) {
			switch {
			case err != nil:
				return err
			case bytes.Equal(item.Key, q.After):
				continue
			case len(out.Items) == q.limit() || looked == maxLook:
				out.Next = last
				return nil
			}
			looked++
			last = item.Key
			if p := item.Value.Peer; q.State == "" || string(p.State) == q.State {
				out.Items = append(out.Items, p)
			}
		}
		return nil
	})
	return out, err
}

// peerNames gives the name of a peer's organisation, which a list asks for again and again.
func (n *Node) peerNames(tx *store.Tx) func(peer string) (string, error) {
	known := map[string]string{}
	return func(peer string) (string, error) {
		if name, ok := known[peer]; ok {
			return name, nil
		}
		name, err := n.peerName(tx, peer)
		known[peer] = name
		return name, err
	}
}

// openWith counts the exchanges with a peer that have not ended; role, if not "", is this node's in them.
func (n *Node) openWith(ctx context.Context, peer string, role Role) (open int, one string, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.sessionTimes.entries.All(tx, store.Range{Reverse: true}) {
			if err != nil {
				return err
			}
			if e := item.Value; e.Peer == peer && (role == "" || e.Role == role) && !State(e.State).Finished() {
				open, one = open+1, string(item.Key[momentSize:])
			}
		}
		return nil
	})
	return open, one, err
}
