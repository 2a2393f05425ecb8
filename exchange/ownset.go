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

	"ihyid/contacts"
	"ihyid/exchange/answer"
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

// ownSet are the own digests as they were when an exchange began: distinct digests in ascending order, and who holds them.
type ownSet struct {
	digests  [][32]byte
	from     []int // holders of digest i are holdings[from[i]:from[i+1]]
	holdings []holding
}

// gather makes the own set of the whole register under a profile.
func (n *Node) gather(ctx context.Context, p *contacts.Profile, report func(done, total uint64)) (*ownSet, error) {
	var all []holding
	err := n.register.Digests(ctx, p, report, func(contact uint64, digests []contacts.KeyDigest) error {
		for _, d := range digests {
			all = append(all, holding{d.Digest, contact, d.Key})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("taking the digests of the own contacts: %w", err)
	}
	return newOwnSet(all), nil
}

func newOwnSet(all []holding) *ownSet {
	slices.SortFunc(all, func(a, b holding) int {
		return cmp.Or(bytes.Compare(a.digest[:], b.digest[:]), cmp.Compare(a.contact, b.contact))
	})
	all = slices.Compact(all)
	o := &ownSet{holdings: all[:0]}
	for i := 0; i < len(all); {
		j := i + 1
		for j < len(all) && all[j].digest == all[i].digest {
			j++
		}
		if j-i <= maxSharers {
			o.digests = append(o.digests, all[i].digest)
			o.from = append(o.from, len(o.holdings))
			o.holdings = append(o.holdings, all[i:j]...)
		}
		i = j
	}
	o.from = append(o.from, len(o.holdings))
	return o
}

func (o *ownSet) holders(digest int) []holding { return o.holdings[o.from[digest]:o.from[digest+1]] }

func (o *ownSet) encode() []byte {
	out := make([]byte, 0, len(o.holdings)*holdingSize)
	for _, h := range o.holdings {
		out = append(out, h.digest[:]...)
		out = binary.BigEndian.AppendUint64(out, h.contact)
		out = append(out, h.key)
	}
	return out
}

// holdingContact reads whose a kept holding is.
func holdingContact(b []byte) uint64 { return binary.BigEndian.Uint64(b[32:]) }

func decodeOwnSet(b []byte) (*ownSet, error) {
	if len(b)%holdingSize != 0 {
		return nil, errors.New("the kept set of own digests is damaged")
	}
	all := make([]holding, 0, len(b)/holdingSize)
	for ; len(b) > 0; b = b[holdingSize:] {
		all = append(all, holding{[32]byte(b), holdingContact(b), b[40]})
	}
	return newOwnSet(all), nil
}

func (n *Node) loadOwn(ctx context.Context, s *session) (*ownSet, error) {
	b, err := n.getSet(ctx, s.ID, setOwn)
	if err != nil {
		return nil, err
	}
	return decodeOwnSet(b)
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
