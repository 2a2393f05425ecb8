package exchange

import (
	"context"
	"errors"
	"time"

	"ihyid/store"
	"ihyid/store/jobs"
)

func (n *Node) putUndelivered(tx *store.Tx, rec *agreementRecord) error {
	if err := n.writeAgreement(tx, rec); err != nil {
		return err
	}
	_, err := n.jobs.Enqueue(tx, jobAgreement, agreementParams{rec.ID})
	return err
}

type agreementParams struct {
	Agreement string `json:"agreement"`
}

// deliverAgreement is the job that brings our proposal or decision to the peer.
func (n *Node) deliverAgreement(ctx context.Context, t *jobs.Task) error {
	var p agreementParams
	if err := t.Params(&p); err != nil {
		return err
	}
	r, err := n.agreement(ctx, p.Agreement)
	if err != nil || !r.Undelivered {
		return err
	}
	stands := func() bool {
		return n.signsStill(r.Message) && (r.Terms.Proposer != n.DID() || n.signsStill(r.Proposal)) && (len(r.Consent) == 0 || n.signsStill(r.Consent))
	}
	if !stands() {
		if r, err = n.signAgreementAgain(ctx, r); err != nil || !r.Undelivered {
			return err
		}
	}
	k, want, vcs := kindProposal, kindProposalReply, [][]byte{r.Message}
	if r.Terms.Proposer != n.DID() {
		k, want = kindConsent, kindConsentReply
		if len(r.Consent) > 0 {
			vcs = append(vcs, r.Consent)
		}
	} else {
		vcs = append(vcs, r.Proposal)
	}
	to, _, err := n.locate(ctx, r.Peer)
	if err == nil {
		_, _, err = n.converse(ctx, to, k, "", want, vcs...)
	}
	if err != nil {
		// A key that ended while this was on its way is no refusal: it is signed again.
		if rested := n.now().Sub(r.Updated); (temporary(err) || !stands()) && rested < deliveryLife {
			return jobs.Later(pauseSince(rested, 15*time.Minute), err)
		}
		return err
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		now, err := n.kept.agreements.Get(tx, []byte(r.ID))
		if err != nil || !sameJSON(now.Message, r.Message) {
			return err
		}
		now.Undelivered = false
		return n.writeAgreement(tx, &now)
	})
}

// onProposal keeps a proposal for the operator.
func (n *Node) onProposal(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var s proposalSubject
	if err := m.read(&s); err != nil {
		return nil, err
	}
	var t Terms
	signed, err := m.attached(typeAgreement, &t)
	if err != nil {
		return nil, err
	}
	digest, err := t.digest()
	if err != nil {
		return nil, err
	}
	if s.Proposer != m.From || s.Accepter != n.DID() || t.Proposer != m.From || t.Accepter != n.DID() || digest != s.Agreement {
		return nil, fail(CodeInvalid, "the agreement is not between its sender and this node, or is another than the message names")
	}
	if _, err := t.parse(); err != nil {
		return nil, err
	}
	if _, err := n.agreement(ctx, s.Agreement); CodeOf(err) == CodeNotFound {
		if err := n.roomForAgreement(ctx, m.From); err != nil {
			return nil, err
		}
	}
	state := AgreementAsked
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		r, err := n.kept.agreements.Get(tx, []byte(s.Agreement))
		if err == nil { // heard before
			state = r.State
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		now := n.now().UTC()
		return n.writeAgreement(tx, &agreementRecord{
			Agreement: Agreement{ID: s.Agreement, Peer: m.From, State: AgreementAsked, Terms: t, Created: now, Updated: now}, Proposal: signed,
		})
	})
	if err != nil {
		return nil, err
	}
	return n.received(ctx, kindProposalReply, m, string(state))
}

// onConsent takes the peer's decision on a proposal of ours.
func (n *Node) onConsent(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var s consentSubject
	if err := m.read(&s); err != nil {
		return nil, err
	}
	if err := checkReason(s.Reason); err != nil {
		return nil, err
	}
	var t Terms
	var signed []byte
	switch s.Approved {
	case "false":
	case "true":
		var err error
		if signed, err = m.attached(typeAgreement, &t); err != nil {
			return nil, err
		}
	default:
		return nil, fail(CodeInvalid, "a decision is true or false")
	}
	var state AgreementState
	err := n.store.Update(ctx, func(tx *store.Tx) error {
		r, err := n.kept.agreements.Get(tx, []byte(s.Agreement))
		if errors.Is(err, store.ErrNotFound) || err == nil && (r.Peer != m.From || r.Terms.Proposer != n.DID()) {
			return fail(CodeNotFound, "this node has proposed no such agreement to you")
		}
		if err != nil {
			return err
		}
		if s.Approved == "true" {
			if got, err := t.digest(); err != nil || got != s.Agreement {
				return fail(CodeMismatch, "what was signed is another agreement than the one that was proposed")
			}
		}
		if r.State == AgreementProposed {
			r.State, r.Reason, r.Consent, r.Undelivered, r.Updated = AgreementRefused, s.Reason, signed, false, n.now().UTC()
			if s.Approved == "true" {
				r.State = AgreementActive
			}
			if err := n.writeAgreement(tx, &r); err != nil {
				return err
			}
		}
		state = r.State
		return nil
	})
	if err != nil {
		return nil, err
	}
	return n.received(ctx, kindConsentReply, m, string(state))
}
