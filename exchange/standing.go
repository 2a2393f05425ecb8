package exchange

import (
	"context"
	"errors"
	"strings"

	"ihyid/store"
)

// standing are the sets of one finished exchange of an epoch; a later exchange of the epoch builds on them. Their chunks stay where they were.
type standing struct {
	Exchange   string `json:"exchange"`
	Transcript string `json:"transcript"`
	Points     uint64 `json:"points"`
	Tags       uint64 `json:"tags"`
	Pairs      uint64 `json:"pairs"`          // in the result after it
	Seed       []byte `json:"seed,omitempty"` // initiator: of the blinding

	Layout   int    `json:"layout,omitempty"`   // of the sets that are kept: standingLayout
	Sequence uint64 `json:"sequence,omitempty"` // of the register, when the own set was taken
	Live     uint64 `json:"live,omitempty"`     // initiator: claims that stand after it
	Counts   counts `json:"counts,omitzero"`    // of the result after it
	// HidePossibles says whether possible matches were left out.
	HidePossibles bool `json:"hide_possibles,omitempty"`
}

// standingLayout says that an exchange keeps what sections of this package know now: the first of an epoch whole sets, the others what is new or
// otherwise. What was kept by another layout is not built on.
const standingLayout = 2

// counts are the numbers of pairs of a result, and of the own contacts that are in them.
type counts struct {
	Pairs    uint64 `json:"pairs"`  // of tier match
	Maybes   uint64 `json:"maybes"` // possible matches
	InCommon int    `json:"in_common"`
	Possible int    `json:"possible"`
}

// stand has the sets of a finished exchange stand in its epoch, and says which of them are to be kept for that.
func (n *Node) stand(tx *store.Tx, s *session) (keep []string, err error) {
	if s.Protocol != ProtocolVOPRF {
		return nil, nil
	}
	e, err := n.epochTx(tx, s)
	if err != nil || e == nil || e.ID != s.Epoch || s.Base != "" && s.Base != e.base() {
		return nil, err // the epoch rolled, or another exchange ended first: this one stands for itself
	}
	if s.Base == "" {
		if err := n.dropStanding(tx, e); err != nil {
			return nil, err
		}
	}
	st := standing{
		Exchange: s.ID, Transcript: s.Transcript, Points: s.OwnCount, Tags: s.PeerCount, Pairs: s.Pairs + s.Maybes, Seed: s.Seed,
		Layout: standingLayout, Sequence: s.Sequence, Live: s.Live, Counts: s.counts(), HidePossibles: s.HidePossibles,
	}
	if s.Role == Responder {
		st.Points, st.Tags, st.Seed = s.PeerCount, s.OwnCount, nil
	}
	e.Rows = s.Rows
	e.Standing = append(e.Standing, st)
	return standingSets[s.Role][s.Base != ""], n.kept.epochs.Put(tx, s.epochKey(), *e)
}

// standingSets are the sets that an exchange keeps as long as it stands, by role, and by whether it builds on others.
var standingSets = map[Role]map[bool][]string{
	Initiator: {
		false: {setKnown, setTags, setOwn, setRows, setResult},
		true:  {setKnown, setTags, setOwnChanges, setRows, setAnswers},
	},
	Responder: {
		false: {setOutputs, setBundle, setOwn, setLive, setResult},
		true:  {setOutputs, setBundle, setOwnChanges, setClaims, setAnswers},
	},
}

// settle removes what a finished exchange kept for later steps, but what stands.
func (n *Node) settle(tx *store.Tx, s *session) error {
	keep, err := n.stand(tx, s)
	if err != nil {
		return err
	}
	s.Arrived, s.Seed, s.Rows = nil, nil, nil
	if err := errors.Join(tx.EraseLater(), n.dropPayloads(tx, s.ID, max(s.FileMade, s.FileTaken))); err != nil {
		return err
	}
	if err := n.kept.letters.Delete(tx, letterKey(s.ID, typeUnilateral)); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err // the receipt takes its place
	}
	for key, err := range n.kept.chunks.Keys(tx, store.Range{Prefix: []byte(s.ID + "/")}) {
		if err != nil {
			return err
		}
		kept := false
		for _, set := range keep {
			kept = kept || strings.HasPrefix(string(key), s.ID+"/"+set+"/")
		}
		if kept {
			continue
		}
		if err := n.kept.chunks.Delete(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// baseTx gives the epoch that a session builds on, which must still be as it was.
func (n *Node) baseTx(tx *store.Tx, s *session) (*epoch, error) {
	e, err := n.epochTx(tx, s)
	if err != nil {
		return nil, err
	}
	if s.Base == "" || e.base() != s.Base {
		return nil, fail(CodeEpoch, "what this exchange builds on does not stand any more; begin a new one")
	}
	return e, nil
}

// standingOf gives the exchanges that a session builds on, in order; none if it sends all.
func (n *Node) standingOf(ctx context.Context, s *session) (all []standing, err error) {
	if s.Base == "" {
		return nil, nil
	}
	err = n.store.View(ctx, func(tx *store.Tx) error {
		e, err := n.baseTx(tx, s)
		if err == nil {
			all = e.Standing
		}
		return err
	})
	return all, err
}

// chain gives the exchanges that a session builds on, in order, and the session itself.
func (n *Node) chain(tx *store.Tx, s *session) (ids []string, err error) {
	if s.Base != "" {
		e, err := n.baseTx(tx, s)
		if err != nil {
			return nil, err
		}
		for _, st := range e.Standing {
			ids = append(ids, st.Exchange)
		}
	}
	return append(ids, s.ID), nil
}

// setsOf reads a set of every exchange that a session builds on, in order, and of the session itself.
func (n *Node) setsOf(ctx context.Context, s *session, set string) (out [][]byte, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) error {
		ids, err := n.chain(tx, s)
		if err != nil {
			return err
		}
		for _, id := range ids {
			data, err := n.setTx(tx, id, set)
			if err != nil {
				return err
			}
			out = append(out, data)
		}
		return nil
	})
	return out, err
}

// foundation reads what stands in an epoch of something that its first exchange kept whole, and the later ones as changes: none where a session sends all.
func (n *Node) foundation(ctx context.Context, s *session, whole, changes string) (first []byte, later [][]byte, err error) {
	if s.Base == "" {
		return nil, nil, nil
	}
	err = n.store.View(ctx, func(tx *store.Tx) error {
		e, err := n.baseTx(tx, s)
		if err != nil {
			return err
		}
		if first, err = n.setTx(tx, e.Standing[0].Exchange, whole); err != nil {
			return err
		}
		for _, st := range e.Standing[1:] {
			data, err := n.setTx(tx, st.Exchange, changes)
			if err != nil {
				return err
			}
			later = append(later, data)
		}
		return nil
	})
	return first, later, err
}
