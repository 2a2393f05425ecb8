package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"ihyid/exchange/merkle"
	"ihyid/store"
	"ihyid/store/jobs"
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

// Terms are what an agreement says. All members are strings or lists of strings: numbers in decimal, times in UTC seconds.
type Terms struct {
	V         string   `json:"v"`
	Salt      string   `json:"salt"` // 16 random bytes, hex: no two agreements are the same
	Proposer  string   `json:"proposer"`
	Accepter  string   `json:"accepter"`
	Purposes  []string `json:"purposes"`
	Profiles  []string `json:"profiles"` // "sha256:…"
	Protocols []string `json:"protocols"`

	ProposerSize      string `json:"proposerSize"` // contacts in the register, as declared
	AccepterSize      string `json:"accepterSize"`
	ProposerElements  string `json:"proposerElements"` // most elements of its sets in an epoch, padding included: evaluations if it initiates, tags if it responds
	AccepterElements  string `json:"accepterElements"`
	EvaluationsPerDay string `json:"evaluationsPerDay"`
	EpochDays         string `json:"epochDays"`
	Possibles         string `json:"possibles"`     // "true" if possible matches are disclosed
	RetentionDays     string `json:"retentionDays"` // how long results may be kept
	Begins            string `json:"begins"`
	Ends              string `json:"ends"`
}

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

// elementBudget is the most elements of a register's sets in an epoch: a tenth more than the declared contacts have keys, padded,
// and room for increments, which are padded too.
func elementBudget(size uint64, keys int) uint64 {
	n := size * uint64(keys)
	return merkle.PaddedCount(n+n/10) + DefaultIncrements*merkle.PaddedCount(1)
}

// parsed are the terms in numbers.
type parsedTerms struct {
	elements      map[string]uint64 // by DID
	perDay        uint64
	epoch, retain time.Duration
	from, until   time.Time
	possibles     bool
}

// parse checks terms whole, also those that this node made itself.
func (t *Terms) parse() (*parsedTerms, error) {
	bad := func(what string) error {
		return fail(CodeInvalid, "the terms of the agreement cannot be: %s", what)
	}
	switch {
	case t.V != "1" || !isHex(t.Salt, 16):
		return nil, bad("version or salt")
	case t.Proposer == t.Accepter:
		return nil, bad("one party on both sides")
	}
	for _, list := range [][]string{t.Purposes, t.Profiles, t.Protocols} {
		if len(list) == 0 || len(list) > maxAgreementItems || !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			return nil, bad("purposes, profiles and protocols are 1 to 16 each, sorted, none twice")
		}
	}
	for _, p := range t.Purposes {
		if err := checkPurpose(p); err != nil {
			return nil, err
		}
	}
	var out parsedTerms
	var proposer, accepter, epochDays, retention uint64
	for _, f := range []struct {
		name, text string
		to         *uint64
		most       uint64
	}{
		{"proposerSize", t.ProposerSize, new(uint64), merkle.MaxCount}, {"accepterSize", t.AccepterSize, new(uint64), merkle.MaxCount},
		{"proposerElements", t.ProposerElements, &proposer, merkle.MaxCount}, {"accepterElements", t.AccepterElements, &accepter, merkle.MaxCount},
		{"evaluationsPerDay", t.EvaluationsPerDay, &out.perDay, merkle.MaxCount}, {"epochDays", t.EpochDays, &epochDays, 30},
		{"retentionDays", t.RetentionDays, &retention, 36500},
	} {
		v, err := parseCount(f.text)
		if err != nil || v == 0 || v > f.most {
			return nil, bad(f.name)
		}
		*f.to = v
	}
	out.elements = map[string]uint64{t.Proposer: proposer, t.Accepter: accepter}
	out.epoch, out.retain = time.Duration(epochDays)*24*time.Hour, time.Duration(retention)*24*time.Hour
	if t.Possibles != "true" && t.Possibles != "false" {
		return nil, bad("possibles")
	}
	out.possibles = t.Possibles == "true"
	var err1, err2 error
	out.from, err1 = time.Parse(time.RFC3339, t.Begins)
	out.until, err2 = time.Parse(time.RFC3339, t.Ends)
	if err1 != nil || err2 != nil || timeText(out.from) != t.Begins || timeText(out.until) != t.Ends || !out.from.Before(out.until) || out.until.Sub(out.from) > maxAgreementLife {
		return nil, bad("begins and ends")
	}
	return &out, nil
}

func (t *Terms) digest() (string, error) {
	raw, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return digestJSON(raw)
}

// covers says why an exchange is not within the terms; nil if it is.
func (t *Terms) covers(now time.Time, profile, purpose, protocol string) error {
	p, err := t.parse()
	switch {
	case err != nil:
		return err
	case now.Before(p.from.Add(-MaxClockDifference)):
		return fail(CodePeerState, "the agreement begins at %s", t.Begins)
	case !now.Before(p.until):
		return fail(CodePeerState, "the agreement ended at %s", t.Ends)
	case !slices.Contains(t.Purposes, purpose):
		return fail(CodePeerState, "the agreement does not have that purpose")
	case !slices.Contains(t.Profiles, profile):
		return fail(CodePeerState, "the agreement does not have that matching profile")
	case !slices.Contains(t.Protocols, protocol):
		return fail(CodePeerState, "the agreement does not have the protocol %s", protocol)
	}
	return nil
}

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

// terms makes the terms of a request.
func (n *Node) terms(ctx context.Context, r AgreementRequest) (*Terms, error) {
	salt, err := n.randomHex(16)
	if err != nil {
		return nil, err
	}
	now := n.now().UTC().Truncate(time.Second)
	t := &Terms{V: "1", Salt: salt, Proposer: n.DID(), Accepter: r.Peer, Purposes: sorted(r.Purposes), Protocols: sorted(r.Protocols)}
	if len(t.Protocols) == 0 {
		t.Protocols = []string{ProtocolVOPRF}
	}
	for _, p := range t.Protocols {
		if _, ok := protocols[p]; !ok {
			return nil, fail(CodeUnsupported, "this node does not speak the protocol %q", oneLine(p, 40))
		}
	}
	keys := 1
	for _, name := range r.Profiles {
		p, ok := n.profiles[name]
		if !ok {
			return nil, fail(CodeUnknownProfile, "there is no matching profile named %q here", oneLine(name, 80))
		}
		keys = max(keys, p.NumKeys())
		t.Profiles = append(t.Profiles, p.ID())
	}
	t.Profiles = sorted(t.Profiles)
	if r.OwnSize == 0 {
		if r.OwnSize, err = n.register.Count(ctx); err != nil {
			return nil, err
		}
		r.OwnSize = max(r.OwnSize, 1)
	}
	if r.PeerSize == 0 {
		r.PeerSize = r.OwnSize
	}
	if hi, _ := bits.Mul64(max(r.OwnSize, r.PeerSize), uint64(2*keys)); hi > 0 || max(r.OwnSize, r.PeerSize) > merkle.MaxCount {
		return nil, fail(CodeInvalid, "a register has at most %d contacts", merkle.MaxCount)
	}
	own, theirs := min(elementBudget(r.OwnSize, keys), merkle.MaxCount), min(elementBudget(r.PeerSize, keys), merkle.MaxCount)
	if r.EvaluationsPerDay == 0 {
		r.EvaluationsPerDay = max(own, theirs)
	}
	for p, def := range map[*int]int{&r.EpochDays: 30, &r.RetentionDays: 365, &r.ValidDays: 365} {
		if *p == 0 {
			*p = def
		}
	}
	t.ProposerSize, t.AccepterSize = fmt.Sprint(r.OwnSize), fmt.Sprint(r.PeerSize)
	t.ProposerElements, t.AccepterElements = fmt.Sprint(own), fmt.Sprint(theirs)
	t.EvaluationsPerDay, t.EpochDays, t.RetentionDays = fmt.Sprint(r.EvaluationsPerDay), fmt.Sprint(r.EpochDays), fmt.Sprint(r.RetentionDays)
	t.Possibles = fmt.Sprint(!r.HidePossibles)
	t.Begins, t.Ends = timeText(now), timeText(now.AddDate(0, 0, r.ValidDays))
	_, err = t.parse()
	return t, err
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
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
	if !n.signsStill(r.Message) || r.Terms.Proposer == n.DID() && !n.signsStill(r.Proposal) || len(r.Consent) > 0 && !n.signsStill(r.Consent) {
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
		if rested := n.now().Sub(r.Updated); temporary(err) && rested < deliveryLife {
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
