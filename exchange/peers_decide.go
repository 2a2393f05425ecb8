package exchange

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ihyid/store"
	"ihyid/store/jobs"
)

// ApprovePeer says yes to a peer that asked to be registered. The signed decision is sent to it, again and again until it
// arrives; the peer is approved here at once. Where versions are given, here and in what changes a peer below, it must still be in one of them
// (CodePrecondition).
func (n *Node) ApprovePeer(ctx context.Context, name string, versions ...uint64) (Peer, error) {
	return n.decide(ctx, name, true, "", versions)
}

// RefusePeer says no to a peer that asked, or takes back a request of our own.
func (n *Node) RefusePeer(ctx context.Context, name, reason string, versions ...uint64) (Peer, error) {
	return n.decide(ctx, name, false, reason, versions)
}

func (n *Node) decide(ctx context.Context, name string, approved bool, reason string, versions []uint64) (Peer, error) {
	if err := checkReason(reason); err != nil {
		return Peer{}, err
	}
	r, err := n.peer(ctx, name)
	if err != nil {
		return Peer{}, err
	}
	if err := unchanged(name, r.Peer.Version, versions); err != nil {
		return Peer{}, err
	}
	if !approved && r.Peer.State == PeerInvited {
		err := n.putPeer(ctx, name, nil, func(now *peerRecord) (*peerRecord, error) {
			if now == nil || now.Peer.State != PeerInvited {
				return nil, fail(CodeConflict, "%s changed meanwhile; look at it again", name)
			}
			if err := unchanged(name, now.Peer.Version, versions); err != nil {
				return nil, err
			}
			now.Peer.State, now.Peer.Reason = PeerRefused, reason
			return now, nil
		})
		if err != nil {
			return Peer{}, err
		}
		return n.Peer(ctx, name)
	}
	if r.Peer.State != PeerRequested {
		return Peer{}, fail(CodePeerState, "%s is %s; only a peer that asked and waits for an answer can be approved or refused", name, r.Peer.State)
	}
	request, err := digestJSON(r.Request)
	if err != nil {
		return Peer{}, err
	}
	mine, err := n.ownDigests()
	if err != nil {
		return Peer{}, err
	}
	subject := decisionSubject{
		ID: n.DID(), Peer: name, Request: request, Organisation: mine.organisation, Document: mine.document,
		Approved: fmt.Sprint(approved), Reason: reason,
	}
	decision, err := n.issue(ctx, string(kindDecision), subject, organisationLife)
	if err != nil {
		return Peer{}, err
	}
	digest, err := digestJSON(decision)
	if err != nil {
		return Peer{}, err
	}
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		err := n.putPeerTx(tx, name, func(now *peerRecord) (*peerRecord, error) {
			if now == nil || now.Peer.State != PeerRequested || !sameJSON(now.Request, r.Request) {
				return nil, fail(CodeConflict, "%s changed meanwhile; look at it again", name)
			}
			if err := unchanged(name, now.Peer.Version, versions); err != nil {
				return nil, err
			}
			now.Peer.State, now.Peer.Reason = PeerRefused, reason
			if approved {
				now.Peer.State, now.Peer.Registration = PeerApproved, digest
			}
			now.Decision, now.Own, now.Peer.Undelivered = decision, mine.credential, true
			return now, nil
		})
		if err != nil {
			return err
		}
		_, err = n.jobs.Enqueue(tx, jobDeliver, deliverParams{Peer: name, Decision: digest})
		return err
	})
	if err != nil {
		return Peer{}, err
	}
	return n.Peer(ctx, name)
}

type deliverParams struct {
	Peer     string `json:"peer"`
	Decision string `json:"decision"`
}

// deliverDecision is the job that brings a decision to the peer that waits for it.
func (n *Node) deliverDecision(ctx context.Context, t *jobs.Task) error {
	var p deliverParams
	if err := t.Params(&p); err != nil {
		return err
	}
	r, err := n.peer(ctx, p.Peer)
	if CodeOf(err) == CodeUnknownPeer {
		return nil
	}
	if err != nil {
		return err
	}
	if digest, err := digestJSON(r.Decision); err != nil || digest != p.Decision || !r.Peer.Undelivered {
		return nil // decided otherwise since, or delivered before a restart
	}
	own := r.Own
	if own == nil {
		own = n.self().Credential
	}
	if !n.signsStill(r.Decision) || !n.signsStill(own) {
		return n.decideAgain(ctx, r)
	}
	to, _, err := n.locate(ctx, p.Peer)
	if err == nil {
		_, _, err = n.converse(ctx, to, kindDecision, "", kindDecisionReply, r.Decision, own)
	}
	if err != nil {
		// A key that ended while this was on its way is no refusal: it is signed again.
		ended := !n.signsStill(r.Decision) || !n.signsStill(own)
		if rested := n.now().Sub(r.Peer.Updated); (temporary(err) || ended) && rested < deliveryLife {
			return jobs.Later(pauseSince(rested, 15*time.Minute), err)
		}
		return err
	}
	return n.putPeer(ctx, p.Peer, nil, func(now *peerRecord) (*peerRecord, error) {
		if now == nil || !sameJSON(now.Decision, r.Decision) {
			return nil, nil
		}
		now.Peer.Undelivered = false
		return now, nil
	})
}

// pauseSince is how long to wait before the next try at something that last got on so long ago: a quarter of that, at least
// half a second, at most the limit. A line that was down for a minute is tried again soon, one that was down for a day rarely.
func pauseSince(rested, limit time.Duration) time.Duration {
	return min(max(rested/4, 500*time.Millisecond), limit)
}

// deliverAgain has all decisions that have not arrived tried again, at the start of the node: jobs may have given up.
func (n *Node) deliverAgain(ctx context.Context) error {
	return n.store.Update(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.peers.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			if err := n.deliverTx(tx, &item.Value); err != nil {
				return err
			}
		}
		return nil
	})
}

func (n *Node) deliverTx(tx *store.Tx, r *peerRecord) error {
	if !r.Peer.Undelivered {
		return nil
	}
	digest, err := digestJSON(r.Decision)
	if err != nil {
		return err
	}
	_, err = n.jobs.Enqueue(tx, jobDeliver, deliverParams{Peer: r.Peer.DID, Decision: digest})
	return err
}

// RemovePeer forgets a peer. Exchanges, receipts and the DID documents that they need stay; to exchange again, both register again.
func (n *Node) RemovePeer(ctx context.Context, name string, versions ...uint64) error {
	r, err := n.peer(ctx, name)
	if err != nil {
		return err
	}
	open, one, err := n.openWith(ctx, name, "")
	if err != nil {
		return err
	}
	if open > 0 {
		return fail(CodePeerState, "exchange %s with %s is still open; wait for its end, or cancel its job", one, name)
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		now, err := n.kept.peers.Get(tx, []byte(r.Peer.DID))
		if errors.Is(err, store.ErrNotFound) {
			return fail(CodeUnknownPeer, "%s is not registered here", oneLine(name, 300))
		}
		if err == nil {
			err = unchanged(name, now.Peer.Version, versions)
		}
		if err != nil {
			return err
		}
		return n.kept.peers.Delete(tx, []byte(r.Peer.DID))
	})
}

// SuspendPeer stops all exchanges with a peer until ResumePeer.
func (n *Node) SuspendPeer(ctx context.Context, name, reason string, versions ...uint64) (Peer, error) {
	if err := checkReason(reason); err != nil {
		return Peer{}, err
	}
	err := n.putPeer(ctx, name, nil, func(now *peerRecord) (*peerRecord, error) {
		if now == nil {
			return nil, fail(CodeUnknownPeer, "%s is not registered here", oneLine(name, 300))
		}
		if err := unchanged(name, now.Peer.Version, versions); err != nil {
			return nil, err
		}
		if now.Peer.State == PeerSuspended {
			return nil, fail(CodePeerState, "%s is suspended already", name)
		}
		now.Before, now.Peer.State, now.Peer.Reason = now.Peer.State, PeerSuspended, reason
		return now, nil
	})
	if err != nil {
		return Peer{}, err
	}
	return n.Peer(ctx, name)
}

// ResumePeer ends a suspension.
func (n *Node) ResumePeer(ctx context.Context, name string, versions ...uint64) (Peer, error) {
	r, err := n.peer(ctx, name)
	if err == nil {
		err = unchanged(name, r.Peer.Version, versions)
	}
	if err == nil {
		err = n.mayResume(ctx, name)
	}
	if err != nil {
		return Peer{}, err
	}
	var resumed *peerRecord
	err = n.putPeer(ctx, name, nil, func(now *peerRecord) (*peerRecord, error) {
		if now == nil {
			return nil, fail(CodeUnknownPeer, "%s is not registered here", oneLine(name, 300))
		}
		if len(versions) > 0 {
			read := r.Peer.Version
			if now.Peer.Document != r.Peer.Document {
				read++ // mayResume found that the old keys vouch for the new ones
			}
			if err := unchanged(name, now.Peer.Version, []uint64{read}); err != nil {
				return nil, err
			}
		}
		if now.Peer.State != PeerSuspended {
			return nil, fail(CodePeerState, "%s is not suspended", name)
		}
		now.Peer.State, now.Before, now.Peer.Reason = now.Before, "", ""
		now.Peer.Changed = ""
		resumed = now
		return now, nil
	})
	if err == nil && resumed.Peer.Undelivered {
		err = n.store.Update(ctx, func(tx *store.Tx) error { return n.deliverTx(tx, resumed) })
	}
	if err != nil {
		return Peer{}, err
	}
	return n.Peer(ctx, name)
}

func checkReason(reason string) error {
	if len([]rune(reason)) > maxReasonRunes || oneLine(reason, maxReasonRunes) != strings.TrimSpace(reason) {
		return fail(CodeInvalid, "a reason is at most %d printable characters on one line", maxReasonRunes)
	}
	return nil
}
