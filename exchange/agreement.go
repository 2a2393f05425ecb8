package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"ihyid/store"
)

// An agreement says what two nodes may exchange without anybody being asked each time (PROTOCOL section 2). Both sides sign the same terms, each
// as a credential of its own; the digest of the terms is the agreement's id, and stands in the transcript and the receipt of every
// exchange under it.

// Limits of an agreement.
const (
	maxAgreementItems = 16
	maxAgreementLife  = 5 * 365 * 24 * time.Hour
	maxAgreements     = 64 // that are not over, with one peer
	jobAgreement      = "agreements.deliver"
	// DefaultIncrements is how many increments of the least size the budgets of an agreement leave room for in an epoch.
	DefaultIncrements = 64
)

// AgreementState is where an agreement stands.
type AgreementState string

// The states of an agreement.
const (
	AgreementProposed AgreementState = "proposed" // by us; their operator has not decided
	AgreementAsked    AgreementState = "asked"    // by them; our operator has not decided
	AgreementActive   AgreementState = "active"
	AgreementRefused  AgreementState = "refused"
	AgreementEnded    AgreementState = "ended" // by us
)

// Agreement is an agreement as the people on one side see it.
type Agreement struct {
	ID          string         `json:"id"`
	Peer        string         `json:"peer"`
	State       AgreementState `json:"state"`
	Terms       Terms          `json:"terms"`
	Reason      string         `json:"reason,omitempty"`
	Undelivered bool           `json:"undelivered,omitempty"` // our word has not reached them yet; it is sent again by itself
	Version     uint64         `json:"version"`               // one more with every change
	Created     time.Time      `json:"created"`
	Updated     time.Time      `json:"updated"`
}

// AgreementRequest is what an operator proposes. Zero values have defaults.
type AgreementRequest struct {
	Peer              string   `json:"peer"`
	Purposes          []string `json:"purposes"`
	Profiles          []string `json:"profiles"`  // names
	Protocols         []string `json:"protocols"` // default: voprf
	OwnSize           uint64   `json:"own_size"`  // default: the contacts here now
	PeerSize          uint64   `json:"peer_size"` // default: as many
	EvaluationsPerDay uint64   `json:"evaluations_per_day"`
	EpochDays         int      `json:"epoch_days"`     // default 30, at most 30
	HidePossibles     bool     `json:"hide_possibles"` // matches only
	RetentionDays     int      `json:"retention_days"` // default 365
	ValidDays         int      `json:"valid_days"`     // default 365
}

// agreementRecord is an agreement as it is kept.
type agreementRecord struct {
	Agreement
	Proposal json.RawMessage `json:"proposal,omitempty"` // the proposer's credential
	Consent  json.RawMessage `json:"consent,omitempty"`  // the accepter's
	Message  json.RawMessage `json:"message,omitempty"`  // our own message that is to be delivered
}

// Subjects of the messages about agreements.
type (
	proposalSubject struct {
		Agreement string `json:"agreement"` // digest of the terms
		Proposer  string `json:"proposer"`
		Accepter  string `json:"accepter"`
	}
	consentSubject struct {
		Agreement string `json:"agreement"`
		Approved  string `json:"approved"`
		Reason    string `json:"reason,omitempty"`
	}
)

// ProposeAgreement proposes an agreement to an approved peer. Their operator decides.
func (n *Node) ProposeAgreement(ctx context.Context, r AgreementRequest) (Agreement, error) {
	peer, err := n.peer(ctx, r.Peer)
	if err != nil {
		return Agreement{}, err
	}
	if peer.Peer.State != PeerApproved {
		return Agreement{}, fail(CodePeerState, "%s is %s; an agreement needs a peer that both sides have approved", r.Peer, peer.Peer.State)
	}
	t, err := n.terms(ctx, r)
	if err != nil {
		return Agreement{}, err
	}
	if err := n.roomForAgreement(ctx, r.Peer); err != nil {
		return Agreement{}, err
	}
	id, err := t.digest()
	if err != nil {
		return Agreement{}, err
	}
	signed, err := n.issue(ctx, typeAgreement, t, maxAgreementLife)
	if err != nil {
		return Agreement{}, err
	}
	message, err := n.issue(ctx, string(kindProposal), proposalSubject{Agreement: id, Proposer: n.DID(), Accepter: r.Peer}, messageLife)
	if err != nil {
		return Agreement{}, err
	}
	now := n.now().UTC()
	rec := agreementRecord{
		Agreement: Agreement{ID: id, Peer: r.Peer, State: AgreementProposed, Terms: *t, Undelivered: true, Created: now, Updated: now},
		Proposal:  signed, Message: message,
	}
	err = n.store.Update(ctx, func(tx *store.Tx) error { return n.putUndelivered(tx, &rec) })
	return rec.Agreement, err
}

// roomForAgreement bounds how many agreements with one peer are kept that are not over.
func (n *Node) roomForAgreement(ctx context.Context, peer string) error {
	all, err := n.Agreements(ctx, peer)
	if err != nil {
		return err
	}
	open := 0
	for _, a := range all {
		if a.State == AgreementActive || a.State == AgreementAsked || a.State == AgreementProposed {
			open++
		}
	}
	if open >= maxAgreements {
		return fail(CodeTooMany, "there are %d agreements with this peer already; end one first", open)
	}
	return nil
}

// Agreements lists the agreements with a peer, or with all peers if it is "", newest first.
func (n *Node) Agreements(ctx context.Context, peer string) ([]Agreement, error) {
	out := []Agreement{}
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.agreements.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			if peer == "" || item.Value.Peer == peer {
				out = append(out, item.Value.Agreement)
			}
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Agreement) int { return b.Created.Compare(a.Created) })
	return out, err
}

// Agreement gives one agreement.
func (n *Node) Agreement(ctx context.Context, id string) (Agreement, error) {
	r, err := n.agreement(ctx, id)
	if err != nil {
		return Agreement{}, err
	}
	return r.Agreement, nil
}

func (n *Node) agreement(ctx context.Context, id string) (*agreementRecord, error) {
	var out *agreementRecord
	err := n.store.View(ctx, func(tx *store.Tx) error {
		r, err := n.kept.agreements.Get(tx, []byte(id))
		if errors.Is(err, store.ErrNotFound) {
			return fail(CodeNotFound, "there is no agreement %s here", oneLine(id, 64))
		}
		out = &r
		return err
	})
	return out, err
}

// DecideAgreement approves or refuses an agreement that a peer proposed. Where versions are given it must still be in one of them (CodePrecondition).
func (n *Node) DecideAgreement(ctx context.Context, id string, approve bool, reason string, versions ...uint64) (Agreement, error) {
	if err := checkReason(reason); err != nil {
		return Agreement{}, err
	}
	r, err := n.agreement(ctx, id)
	if err != nil {
		return Agreement{}, err
	}
	if err := unchanged("agreement "+id, r.Version, versions); err != nil {
		return Agreement{}, err
	}
	if r.State != AgreementAsked {
		return Agreement{}, fail(CodePeerState, "agreement %s is %s: there is nothing to decide", id, r.State)
	}
	subject := consentSubject{Agreement: id, Approved: fmt.Sprint(approve), Reason: reason}
	state, consent := AgreementRefused, []byte(nil)
	if approve {
		state = AgreementActive
		if consent, err = n.issue(ctx, typeAgreement, r.Terms, maxAgreementLife); err != nil {
			return Agreement{}, err
		}
	}
	message, err := n.issue(ctx, string(kindConsent), subject, messageLife)
	if err != nil {
		return Agreement{}, err
	}
	var out Agreement
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		now, err := n.kept.agreements.Get(tx, []byte(id))
		if err != nil {
			return err
		}
		if err := unchanged("agreement "+id, now.Version, versions); err != nil {
			return err
		}
		if now.State != AgreementAsked {
			return fail(CodeConflict, "agreement %s was decided meanwhile", id)
		}
		now.State, now.Reason, now.Consent, now.Message, now.Undelivered, now.Updated = state, reason, consent, message, true, n.now().UTC()
		err = n.putUndelivered(tx, &now)
		out = now.Agreement
		return err
	})
	return out, err
}

// EndAgreement has nothing more answered under an agreement, or takes a proposal back. The other side learns of it when it next exchanges.
// Where versions are given it must still be in one of them (CodePrecondition).
func (n *Node) EndAgreement(ctx context.Context, id, reason string, versions ...uint64) (Agreement, error) {
	if err := checkReason(reason); err != nil {
		return Agreement{}, err
	}
	var out Agreement
	err := n.store.Update(ctx, func(tx *store.Tx) error {
		r, err := n.kept.agreements.Get(tx, []byte(id))
		switch {
		case errors.Is(err, store.ErrNotFound):
			return fail(CodeNotFound, "there is no agreement %s here", oneLine(id, 64))
		case err != nil:
			return err
		}
		if err := unchanged("agreement "+id, r.Version, versions); err != nil {
			return err
		}
		if r.State != AgreementActive && r.State != AgreementProposed {
			return fail(CodePeerState, "agreement %s is %s", id, r.State)
		}
		r.State, r.Reason, r.Undelivered, r.Updated = AgreementEnded, reason, false, n.now().UTC()
		err = n.writeAgreement(tx, &r)
		out = r.Agreement
		return err
	})
	return out, err
}

// standing finds the agreement under which an exchange with a peer falls: the newest that covers it. It is nil if none does; any says whether there
// is any agreement with the peer now.
func (n *Node) standing(ctx context.Context, peer, profile, purpose, protocol string) (found *Agreement, any bool, err error) {
	all, err := n.Agreements(ctx, peer)
	if err != nil {
		return nil, false, err
	}
	for i, a := range all {
		p, err := a.Terms.parse()
		if err != nil || a.State != AgreementActive || !n.now().Before(p.until) {
			continue
		}
		any = true
		if a.Terms.covers(n.now(), profile, purpose, protocol) == nil {
			return &all[i], true, nil
		}
	}
	return nil, any, nil
}

// underAgreement sets what a session's agreement says of it. Without an agreement the registration stands in its place.
func (s *session) underAgreement(a *Agreement) error {
	p, err := a.Terms.parse()
	if err != nil {
		return err
	}
	s.Agreement, s.UnderAgreement = a.ID, true
	s.HidePossibles, s.Retain = !p.possibles, p.retain
	return nil
}

// limits are the budgets of a session, by its agreement: of elements of a party in an epoch, and of evaluations in a day; 0 is none.
func (n *Node) limits(tx *store.Tx, s *session, party string) (elements, perDay uint64, epoch time.Duration, err error) {
	if !s.UnderAgreement {
		return 0, 0, EpochLife, nil
	}
	r, err := n.kept.agreements.Get(tx, []byte(s.Agreement))
	if err != nil {
		return 0, 0, 0, err
	}
	p, err := r.Terms.parse()
	if err != nil {
		return 0, 0, 0, err
	}
	if r.State != AgreementActive {
		return 0, 0, 0, fail(CodePeerState, "the agreement is %s", r.State)
	}
	return p.elements[party], p.perDay, p.epoch, nil
}
