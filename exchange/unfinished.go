package exchange

import (
	"context"
	"fmt"
	"time"

	"ihyid/did"
	"ihyid/store"
)

// The initiator knows the result before the responder does, and can stop there: nothing prevents that (PROTOCOL section 7, "Abort"). What a responder
// can do is here. It keeps a signed record of what it gave at once, and takes no further exchange of that peer until the last one is finished,
// or excused by its operator.

const (
	// typeUnilateral is a record that only one side signed.
	typeUnilateral = "IhyidUnilateralRecord"
	// unfinishedLife is how long a peer that went silent after it had something may come back and finish.
	unfinishedLife = 14 * 24 * time.Hour
)

// unilateral is what a responder states of an exchange that its peer has left. All members are strings, as in a [Statement].
type unilateral struct {
	V                 string `json:"v"`
	Exchange          string `json:"exchange"`
	Initiator         string `json:"initiator"`
	Responder         string `json:"responder"`
	InitiatorKey      string `json:"initiatorKey"`
	InitiatorDocument string `json:"initiatorDocument"`
	ResponderDocument string `json:"responderDocument"`
	Agreement         string `json:"agreement"`
	Purpose           string `json:"purpose"`
	Profile           string `json:"profile"`
	Protocol          string `json:"protocol"`
	Epoch             string `json:"epoch"`
	PK                string `json:"pk"`
	Transcript        string `json:"transcript"`
	InitiatorRoot     string `json:"initiatorRoot"`
	InitiatorCount    string `json:"initiatorCount"`
	ResponderRoot     string `json:"responderRoot"`
	ResponderCount    string `json:"responderCount"`
	Evaluations       string `json:"evaluations"` // points evaluated in this exchange; "0" in noise, where claims were given instead
	Claims            string `json:"claims"`      // claims that were committed to: by the initiator in voprf, by the responder in noise
	State             string `json:"state"`       // in which the exchange rested, or ended
	Started           string `json:"started"`
	Ended             string `json:"ended"`
}

// gave reports whether this node, as responder, has given the initiator some of the result: an evaluation in voprf, its claims in noise.
func (s *session) gave() bool {
	return s.Role == Responder && s.State != StateDone && (s.Evaluated > 0 || s.Claimed)
}

// unfinished reports whether the peer still has to finish the exchange, or to explain why it did not.
func (s *session) unfinished() bool { return s.Owed && s.Excused == "" }

// owes reports whether an exchange that ends because of why leaves its peer owing something: not if this node's own people refused it or the peer, or rolled its epoch, nor if
// the peer came to finish and what it builds on stood no more. That the time of an epoch passes forgives nothing. Where people cancelled it, on either side, it does owe:
// who was given something may have left with it before, and to forgive that takes ExcuseExchange.
func (s *session) owes(why error) bool {
	return s.gave() && CodeOf(why) != CodePeerState && CodeOf(why) != CodeEpoch
}

// notApproved says why an exchange with a peer cannot go on: by a decision of this node's people, or, by another code, because the peer changed its keys. That is its own doing
// and forgives nothing.
func notApproved(p *Peer) error {
	code := CodePeerState
	if p.State == PeerSuspended && p.Changed != "" {
		code = CodePeerSuspended
	}
	return fail(code, "the peer is %s now", p.State)
}

// signUnilateral makes the record of an exchange in which this node gave something and has no receipt.
func (n *Node) signUnilateral(ctx context.Context, s *session) (*letter, error) {
	if l, err := n.keptLetter(ctx, s, typeUnilateral); err != nil || l != nil {
		return l, err
	}
	st := Statement{}
	s.setRoots(&st)
	initiator, responder := n.parties(s)
	claims := uint64(0)
	if c := s.Sets[setClaims]; c != nil {
		claims = c.Count
	}
	key, err := n.signingKey(ctx, did.AssertionMethod)
	if err != nil {
		return nil, err
	}
	credential, err := n.issueWith(ctx, key, typeUnilateral, unilateral{
		V: "1", Exchange: s.ID, Initiator: initiator, Responder: responder, InitiatorKey: s.InitiatorKey,
		InitiatorDocument: s.InitiatorDocument, ResponderDocument: s.ResponderDocument, Agreement: s.Agreement, Purpose: s.Purpose,
		Profile: s.ProfileID, Protocol: s.Protocol, Epoch: s.Epoch, PK: s.PK, Transcript: s.Transcript,
		InitiatorRoot: st.InitiatorRoot, InitiatorCount: st.InitiatorCount, ResponderRoot: st.ResponderRoot, ResponderCount: st.ResponderCount,
		Evaluations: fmt.Sprint(s.Evaluated), Claims: fmt.Sprint(claims), State: string(s.State),
		Started: timeText(s.Created), Ended: timeText(n.now()),
	}, receiptLife)
	if err != nil {
		return nil, fmt.Errorf("signing the record of an exchange that the other side has left: %w", err)
	}
	return &letter{From: n.DID(), Credential: credential, Presentation: credential}, nil
}

// recordResting keeps the record of an exchange that rests after this node has given something. The peer may still finish it: then the receipt takes
// the record's place.
func (n *Node) recordResting(ctx context.Context, id string) error {
	s, err := n.session(ctx, id)
	if err != nil || !s.gave() || s.State.Finished() || !n.resting(s) {
		return err
	}
	l, err := n.signUnilateral(ctx, s)
	if err != nil {
		return err
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		return n.kept.letters.Put(tx, letterKey(s.ID, typeUnilateral), *l)
	})
}

// resting reports whether nothing has been heard of an exchange for longer than one may rest.
func (n *Node) resting(s *session) bool { return s.Updated.Before(n.now().Add(-n.sessionLife)) }

// oneAtATime is asked before a peer's new exchange is taken. A peer that left one after this node gave it something has to finish or explain that first; and in one epoch
// there is one exchange at a time, because each builds on the one before: one in which nothing was given yet is ended in favour of the new one.
func (n *Node) oneAtATime(ctx context.Context, next *session) error {
	var before []session
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.sessions.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			if s := item.Value; s.Peer == next.Peer && s.Role == Responder && s.ID != next.ID && (!s.State.Finished() || s.unfinished()) {
				before = append(before, s)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	same := func(s *session) bool {
		return next.Protocol == ProtocolVOPRF && s.Protocol == ProtocolVOPRF && string(s.epochKey()) == string(next.epochKey())
	}
	for i := range before {
		s := &before[i]
		if !s.unfinished() && !(s.gave() && (same(s) || n.resting(s))) {
			continue
		}
		what := fmt.Sprintf("%d of your points were evaluated in it", s.Evaluated)
		if s.Claimed {
			what = "you have its claims"
		}
		return fail(CodeUnfinished, "exchange %s is not finished, and %s: finish it, or have this node's operator excuse it", s.ID, what)
	}
	for i := range before {
		if s := &before[i]; !s.State.Finished() && s.State != StateWaiting && same(s) {
			if err := n.giveUp(ctx, s.ID, fail(CodeConflict, "you opened another exchange of the same epoch before anything was evaluated in this one")); err != nil {
				return err
			}
		}
	}
	return nil
}

// earlierOwn finds an own exchange of the same epoch that began before s and has not ended.
func (n *Node) earlierOwn(ctx context.Context, s *session) (id string, err error) {
	if s.Protocol != ProtocolVOPRF {
		return "", nil
	}
	key := string(s.epochKey())
	err = n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.sessions.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			o := item.Value
			if o.Role != Initiator || o.Protocol != ProtocolVOPRF || o.State.Finished() || o.ID == s.ID || string(o.epochKey()) != key {
				continue
			}
			if n.overdue(ctx, &o) != nil {
				continue // it is about to be ended
			}
			if o.Created.Before(s.Created) || o.Created.Equal(s.Created) && o.ID < s.ID {
				id = o.ID
			}
		}
		return nil
	})
	return id, err
}

// ExcuseExchange says that a peer need not finish an exchange that it left after this node had given it something; it may then open others. An exchange that
// only rests is ended. The signed record of it stays.
func (n *Node) ExcuseExchange(ctx context.Context, id, reason string, versions ...uint64) (Exchange, error) {
	if err := checkReason(reason); err != nil {
		return Exchange{}, err
	}
	if reason == "" {
		return Exchange{}, fail(CodeInvalid, "say why the exchange is excused: the reason is kept with it")
	}
	excuse := func() error {
		defer n.locks.lock(id)()
		s, err := n.session(ctx, id)
		if err != nil {
			return err
		}
		if err := unchanged("exchange "+s.ID, s.Version, versions); err != nil {
			return err
		}
		if !s.State.Finished() && s.gave() {
			if err := n.endSession(ctx, s, fail(CodeUnfinished, "the other side had its result and did not finish")); err != nil {
				return err
			}
		}
		if !s.unfinished() {
			return fail(CodeExchangeState, "exchange %s is %s: there is nothing in it to excuse", s.ID, s.State)
		}
		s.Excused = reason
		return n.saveQuietly(ctx, s)
	}
	if err := excuse(); err != nil {
		return Exchange{}, err
	}
	return n.Exchange(ctx, id)
}
