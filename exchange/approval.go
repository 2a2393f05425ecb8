package exchange

import (
	"context"

	"ihyid/store"
)

// policy says under which agreement an opening falls, and whether the operator is to be asked: not under an agreement, nor if there is none
// with the peer at all, unless the node asks always.
func (n *Node) policy(ctx context.Context, o *openingSubject, peer *peerRecord) (agreed *Agreement, ask bool, err error) {
	if o.Agreement == peer.Peer.Registration {
		_, any, err := n.standing(ctx, o.Initiator, o.Profile, o.Purpose, o.Protocol)
		return nil, any || n.askAlways, err
	}
	r, err := n.agreement(ctx, o.Agreement)
	if CodeOf(err) == CodeNotFound || err == nil && r.Peer != o.Initiator {
		return nil, false, fail(CodeMismatch, "the bundle names neither the registration nor an agreement that this node has with you")
	}
	if err != nil {
		return nil, false, err
	}
	if r.State != AgreementActive {
		return nil, false, fail(CodePeerState, "the agreement is %s here", r.State)
	}
	return &r.Agreement, false, r.Terms.covers(n.now(), o.Profile, o.Purpose, o.Protocol)
}

// ApproveExchange lets an exchange run that waits for this node's operator.
func (n *Node) ApproveExchange(ctx context.Context, id string, versions ...uint64) (Exchange, error) {
	return n.decideExchange(ctx, id, versions, func(s *session) error {
		s.State = StateOpening
		return n.store.Update(ctx, func(tx *store.Tx) error {
			job, err := n.jobs.Enqueue(tx, jobRespond, sessionParams{Exchange: s.ID})
			if err != nil {
				return err
			}
			s.Job = job.ID
			return n.putSession(tx, s)
		})
	})
}

// RefuseExchange ends an exchange that waits for this node's operator. The peer is told that it was refused, not why.
func (n *Node) RefuseExchange(ctx context.Context, id, reason string, versions ...uint64) (Exchange, error) {
	if err := checkReason(reason); err != nil {
		return Exchange{}, err
	}
	return n.decideExchange(ctx, id, versions, func(s *session) error {
		return n.endSession(ctx, s, fail(CodePeerState, "refused here: %s", reason))
	})
}

func (n *Node) decideExchange(ctx context.Context, id string, versions []uint64, act func(s *session) error) (Exchange, error) {
	decide := func() error {
		defer n.locks.lock(id)()
		s, err := n.session(ctx, id)
		if err != nil {
			return err
		}
		if err := unchanged("exchange "+s.ID, s.Version, versions); err != nil {
			return err
		}
		if s.State != StateWaiting {
			return fail(CodeExchangeState, "exchange %s is %s: there is nothing to decide", s.ID, s.State)
		}
		return act(s)
	}
	if err := decide(); err != nil {
		return Exchange{}, err
	}
	return n.Exchange(ctx, id)
}
