package exchange

import (
	"context"
	"encoding/json"
	"slices"

	"ihyid/store"
)

// What a node says to a peer may be long on its way. If the key that signed it ends before it arrives, the peer refuses it for good, as nothing shows
// that it was signed in time; so it is signed again with the key in use.

// signsStill reports whether a credential of this node was signed with a key of its that has not ended: only then does a peer take it.
func (n *Node) signsStill(credential []byte) bool {
	o, err := object(credential)
	if err != nil {
		return false
	}
	_, method := opened(o)
	return slices.ContainsFunc(n.self().Keys, func(k identityKey) bool { return k.Method == method && !k.ended(n.now()) })
}

// decideAgain signs a decision that has not arrived once more, because the key that signed it has ended since, and has that one delivered.
func (n *Node) decideAgain(ctx context.Context, r *peerRecord) error {
	parsed, err := object(r.Decision)
	if err != nil {
		return err
	}
	_, raw, err := typeAndSubject(parsed)
	if err != nil {
		return err
	}
	var subject decisionSubject
	if err := readExact(raw, &subject); err != nil {
		return err
	}
	mine, err := n.ownDigests()
	if err != nil {
		return err
	}
	subject.Organisation, subject.Document = mine.organisation, mine.document
	decision, err := n.issue(ctx, string(kindDecision), subject, organisationLife)
	if err != nil {
		return err
	}
	digest, err := digestJSON(decision)
	if err != nil {
		return err
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		var current *peerRecord
		err := n.putPeerTx(tx, r.Peer.DID, func(now *peerRecord) (*peerRecord, error) {
			if now == nil || !now.Peer.Undelivered || !sameJSON(now.Decision, r.Decision) {
				return nil, nil
			}
			if subject.Approved == "true" {
				now.Peer.Registration = digest
			}
			now.Decision, now.Own = decision, mine.credential
			current = now
			return now, nil
		})
		if err != nil || current == nil {
			return err
		}
		return n.deliverTx(tx, current)
	})
}

// signAgreementAgain signs what we have to say of an agreement once more, because a key that signed it has ended before it arrived.
func (n *Node) signAgreementAgain(ctx context.Context, r *agreementRecord) (*agreementRecord, error) {
	parsed, err := object(r.Message)
	if err != nil {
		return nil, err
	}
	typ, subject, err := typeAndSubject(parsed)
	if err != nil {
		return nil, err
	}
	message, err := n.issue(ctx, typ, json.RawMessage(subject), messageLife)
	if err != nil {
		return nil, err
	}
	var signed []byte
	if r.Terms.Proposer == n.DID() || len(r.Consent) > 0 {
		if signed, err = n.issue(ctx, typeAgreement, r.Terms, maxAgreementLife); err != nil {
			return nil, err
		}
	}
	var out *agreementRecord
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		now, err := n.kept.agreements.Get(tx, []byte(r.ID))
		if err != nil {
			return err
		}
		out = &now
		if !now.Undelivered || !sameJSON(now.Message, r.Message) {
			now.Undelivered = false // ended or delivered meanwhile
			return nil
		}
		if now.Message = message; now.Terms.Proposer == n.DID() {
			now.Proposal = signed
		} else {
			now.Consent = signed
		}
		return n.writeAgreement(tx, &now)
	})
	return out, err // not in one statement: Go does not say which of the two would be evaluated first
}
