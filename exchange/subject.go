package exchange

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ihyid/exchange/register"
	"ihyid/store"
)

// SubjectReport is all that this node holds on one person, for whoever has the right to know.
type SubjectReport struct {
	Made     time.Time        `json:"made"`
	Node     string           `json:"node"` // DID
	Subject  register.Subject `json:"subject"`
	Matches  []SubjectMatch   `json:"matches"`  // with whom the person was found to be in common
	Compared []SubjectPeer    `json:"compared"` // with whom anonymised contacts were compared since the person is registered, found or not
}

// SubjectMatch is one exchange that found the person at a peer too.
type SubjectMatch struct {
	Exchange string    `json:"exchange"`
	Peer     string    `json:"peer"`
	PeerName string    `json:"peer_name,omitempty"`
	Purpose  string    `json:"purpose"`
	Profile  string    `json:"profile"`
	Ended    time.Time `json:"ended"`
	Tier     string    `json:"tier"`
	Keys     []string  `json:"keys"`    // what agreed
	Row      string    `json:"row"`     // names the peer's contact within that exchange
	Receipt  string    `json:"receipt"` // id of the receipt
}

// SubjectPeer sums up the exchanges with a peer that ended while the person was registered.
type SubjectPeer struct {
	Peer      string    `json:"peer"`
	PeerName  string    `json:"peer_name,omitempty"`
	Exchanges int       `json:"exchanges"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
}

// SubjectReport tells all that is held on one contact. Errors: register.ErrNotFound.
func (n *Node) SubjectReport(ctx context.Context, contact uint64) (SubjectReport, error) {
	out := SubjectReport{Made: n.now().UTC(), Node: n.DID(), Matches: []SubjectMatch{}, Compared: []SubjectPeer{}}
	var err error
	if out.Subject, err = n.register.Subject(ctx, contact); err != nil {
		return out, err
	}
	err = n.store.View(ctx, func(tx *store.Tx) error {
		if out.Matches, err = n.subjectMatches(tx, out.Subject.Contact.ID); err != nil {
			return err
		}
		out.Compared, err = n.subjectPeers(tx, out.Subject.Contact.Created)
		return err
	})
	return out, err
}

func (n *Node) subjectMatches(tx *store.Tx, contact uint64) ([]SubjectMatch, error) {
	hits, err := n.partsOf(tx, []uint64{contact})
	if err != nil {
		return nil, err
	}
	// By exchange, what was found then: it holds in later ones that build on that, until one says otherwise.
	own := map[string][]keptMatch{}
	for _, number := range hits[0].Refs {
		where, err := n.kept.matchParts.Get(tx, store.ID(number))
		if err != nil {
			return nil, err
		}
		id, _, _ := strings.Cut(string(where.Key), "/")
		part, err := n.kept.matches.Get(tx, where.Key)
		if err != nil {
			return nil, err
		}
		for _, m := range part {
			if m.Contact == contact {
				own[id] = append(own[id], m)
			}
		}
	}
	later, err := n.successors(tx)
	if err != nil {
		return nil, err
	}
	out := []SubjectMatch{}
	for id, matches := range own {
		s, err := n.kept.sessions.Get(tx, []byte(id))
		if err != nil {
			return nil, err
		}
		for at := &s; at != nil && len(matches) > 0; at = later[at.ID] {
			if at.ID != id {
				if matches, err = n.remaining(tx, at.ID, matches, own[at.ID]); err != nil {
					return nil, err
				}
			}
			if at.State != StateDone {
				continue // before that the result belongs to nobody
			}
			name, err := n.peerName(tx, at.Peer)
			if err != nil {
				return nil, err
			}
			for _, m := range matches {
				out = append(out, SubjectMatch{
					Exchange: at.ID, Peer: at.Peer, PeerName: name, Purpose: at.Purpose, Profile: at.Profile, Ended: at.Finished,
					Tier: m.Tier, Keys: m.Keys, Row: m.Row, Receipt: at.ID,
				})
			}
		}
	}
	slices.SortFunc(out, func(a, b SubjectMatch) int {
		return cmp.Or(a.Ended.Compare(b.Ended), strings.Compare(a.Exchange, b.Exchange), strings.Compare(a.Row, b.Row))
	})
	return out, nil
}

// remaining are the matches that an exchange which builds on them neither tells anew nor has no more.
func (n *Node) remaining(tx *store.Tx, id string, matches, anew []keptMatch) ([]keptMatch, error) {
	otherwise := map[foundPair]bool{}
	if err := n.hiddenBy(tx, id, otherwise); err != nil {
		return nil, err
	}
	for i := range anew {
		p, err := anew[i].pair()
		if err != nil {
			return nil, err
		}
		otherwise[p] = true
	}
	var out []keptMatch
	for i := range matches {
		p, err := matches[i].pair()
		if err != nil {
			return nil, err
		}
		if !otherwise[p] {
			out = append(out, matches[i])
		}
	}
	return out, nil
}

func (n *Node) subjectPeers(tx *store.Tx, since time.Time) ([]SubjectPeer, error) {
	peers := map[string]*SubjectPeer{}
	for item, err := range n.kept.sessions.All(tx, store.Range{}) {
		if err != nil {
			return nil, err
		}
		s := &item.Value
		if s.State != StateDone || s.Finished.Before(since) {
			continue
		}
		p := peers[s.Peer]
		if p == nil {
			p = &SubjectPeer{Peer: s.Peer, First: s.Finished}
			peers[s.Peer] = p
			var err error
			if p.PeerName, err = n.peerName(tx, s.Peer); err != nil {
				return nil, err
			}
		}
		p.Exchanges++
		if s.Finished.Before(p.First) {
			p.First = s.Finished
		}
		if s.Finished.After(p.Last) {
			p.Last = s.Finished
		}
	}
	out := []SubjectPeer{}
	for _, p := range peers {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b SubjectPeer) int { return strings.Compare(a.Peer, b.Peer) })
	return out, nil
}

// Erasure is what came of erasing contacts.
type Erasure struct {
	register.Erasure
	Rolled int `json:"rolled"` // epochs that were ended
	// Standing is in how many epochs digests of the contacts may stand until the last of them ends, at Until.
	Standing int       `json:"standing"`
	Until    time.Time `json:"until,omitzero"`
}

// EraseContacts erases contacts for good, with what exchanges found about them. Receipts stay as they are: they hold nothing personal. What was
// computed for epochs that are going on (digests, points, tags) is destroyed where roll is set, and then the next exchange with every peer sends
// all; else at the end of the epochs. Errors: those of register.Erase; ErrInExchange.
func (n *Node) EraseContacts(ctx context.Context, by string, roll bool, contacts ...uint64) (Erasure, error) {
	var out Erasure
	var err error
	if out.Erasure, err = n.register.Erase(ctx, by, contacts...); err != nil {
		return out, err
	}
	if roll {
		if out.Rolled, err = n.RollEpochs(ctx, ""); err != nil {
			return out, errors.Join(errors.New("the contacts are erased, but the epochs could not be ended"), err)
		}
		return out, nil
	}
	return out, n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.epochs.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			out.Standing++
			if end := item.Value.Started.Add(item.Value.Life); end.After(out.Until) {
				out.Until = end
			}
		}
		return nil
	})
}
