package exchange

import (
	"strings"
	"testing"
	"time"

	"ihyid/contacts"
	"ihyid/store"
)

// agree has a propose an agreement to b, and b sign it.
func agree(t testing.TB, a, b *testNode, r AgreementRequest) Agreement {
	t.Helper()
	r.Peer = b.DID()
	if r.Purposes == nil {
		r.Purposes = []string{"a test"}
	}
	r.Profiles = []string{"soundex/1"}
	g, err := a.ProposeAgreement(t.Context(), r)
	must(t, err)
	awaitAgreement(t, b, g.ID, AgreementAsked)
	_, err = b.DecideAgreement(t.Context(), g.ID, true, "")
	must(t, err)
	awaitAgreement(t, a, g.ID, AgreementActive)
	return g
}

func awaitAgreement(t testing.TB, n *testNode, id string, state AgreementState) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		g, err := n.Agreement(t.Context(), id)
		if err == nil && g.State == state {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the agreement is %q (%v), not %q", g.State, err, state)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func start(t *testing.T, a, b *testNode, protocol, purpose string) Exchange {
	t.Helper()
	e, err := a.StartExchange(t.Context(), Request{Peer: b.DID(), Profile: "soundex/1", Protocol: protocol, Purpose: purpose})
	must(t, err)
	return e
}

// awaitState waits until an exchange is in a state at a node.
func awaitState(t *testing.T, n *testNode, id string, state State) Exchange {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		e, err := n.Exchange(t.Context(), id)
		if err == nil && e.State == state {
			return e
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: the exchange is %q %s (%v), not %q", n.host, e.State, e.Error, err, state)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestAgreement(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	g := agree(t, a, b, AgreementRequest{})
	e := a.runBy(ProtocolVOPRF, b)
	if e.State != StateDone || e.InCommon != 2 {
		t.Fatalf("%+v", e)
	}
	raw, err := a.Receipt(t.Context(), e.ID)
	must(t, err)
	if !strings.Contains(string(raw), `"agreement": "`+g.ID+`"`) {
		t.Error("the receipt does not name the agreement")
	}
	for _, outside := range []struct{ protocol, purpose string }{{ProtocolNoise, "a test"}, {ProtocolVOPRF, "something else"}} {
		e := start(t, a, b, outside.protocol, outside.purpose)
		awaitState(t, b, e.ID, StateWaiting)
		awaitState(t, a, e.ID, StateAccepted)
		_, err := b.ApproveExchange(t.Context(), e.ID)
		must(t, err)
		awaitState(t, a, e.ID, StateDone)
		if _, err := b.ApproveExchange(t.Context(), e.ID); CodeOf(err) != CodeExchangeState {
			t.Errorf("approved twice: %v", err)
		}
	}
	e = start(t, a, b, ProtocolNoise, "refused")
	awaitState(t, b, e.ID, StateWaiting)
	_, err = b.RefuseExchange(t.Context(), e.ID, "our own reason")
	must(t, err)
	if got := awaitState(t, a, e.ID, StateFailed); strings.Contains(got.Error, "our own reason") {
		t.Errorf("the reason is told: %s", got.Error)
	}
	// Ended on one side: the other side's exchanges under it are refused.
	_, err = b.EndAgreement(t.Context(), g.ID, "over")
	must(t, err)
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateFailed || !strings.Contains(e.Error, "ended here") {
		t.Errorf("%+v", e)
	}
}

// TestHidePossibles has possible matches stay hidden, and the results go at the end of their time.
func TestHidePossibles(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	agree(t, a, b, AgreementRequest{HidePossibles: true, RetentionDays: 2, Protocols: []string{ProtocolNoise, ProtocolVOPRF}})
	for protocol := range protocols {
		e := a.runBy(protocol, b)
		if e.State != StateDone || e.InCommon != 2 || e.Possible != 0 {
			t.Fatalf("%+v", e)
		}
		for _, n := range []*testNode{a, b} {
			found, err := n.Matches(t.Context(), e.ID)
			must(t, err)
			if len(found) != 2 {
				t.Errorf("%s: %d matches", n.host, len(found))
			}
			n.ahead.Store(int64(49 * time.Hour))
			must(t, n.expireSessions(t.Context()))
			if found, err = n.Matches(t.Context(), e.ID); err != nil || len(found) != 0 {
				t.Errorf("%s keeps %d matches for longer than agreed (%v)", n.host, len(found), err)
			}
			n.ahead.Store(0)
		}
	}
	s := session{HidePossibles: true, Maybes: 1}
	if _, err := s.checkedResult(a.profile, nil); CodeOf(err) != CodeMismatch {
		t.Errorf("a possible match that may not be told: %v", err)
	}
	if left := s.disclosed([]pair{{tier: contacts.TierPossible}, {tier: contacts.TierMatch}}); len(left) != 1 || left[0].tier != contacts.TierMatch {
		t.Errorf("%v", left)
	}
}

// TestAgreementTerms refuses terms that cannot be, and agreements with a peer that are other than proposed.
func TestAgreementTerms(t *testing.T) {
	_, a, b := friends(t)
	good, err := a.terms(t.Context(), AgreementRequest{Peer: b.DID(), Purposes: []string{"x"}, Profiles: []string{"soundex/1"}})
	must(t, err)
	send := func(k, want kind, subject any, terms any) error {
		signed, err := a.issue(t.Context(), typeAgreement, terms, time.Hour)
		must(t, err)
		vc, err := a.issue(t.Context(), string(k), subject, time.Hour)
		must(t, err)
		_, _, err = a.converse(t.Context(), peerAddress{DID: b.DID(), Endpoint: "https://b.example/node"}, k, "", want, vc, signed)
		return err
	}
	for name, change := range map[string]func(*Terms){
		"version": func(t *Terms) { t.V = "2" }, "no purposes": func(t *Terms) { t.Purposes = []string{} },
		"unsorted": func(t *Terms) { t.Purposes = []string{"b", "a"} }, "twice": func(t *Terms) { t.Protocols = []string{"voprf", "voprf"} },
		"epoch": func(t *Terms) { t.EpochDays = "31" }, "count": func(t *Terms) { t.ProposerElements = "-1" }, "zero": func(t *Terms) { t.EvaluationsPerDay = "0" },
		"backwards": func(t *Terms) { t.Ends = t.Begins }, "for ever": func(t *Terms) { t.Ends = "2199-01-01T00:00:00Z" },
		"another party": func(t *Terms) { t.Accepter = "did:web:c.example" }, "another sender": func(t *Terms) { t.Proposer = "did:web:c.example" },
	} {
		terms := *good
		change(&terms)
		id, err := terms.digest()
		must(t, err)
		if err := send(kindProposal, kindProposalReply, proposalSubject{id, a.DID(), b.DID()}, terms); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := send(kindProposal, kindProposalReply, proposalSubject{strings.Repeat("00", 32), a.DID(), b.DID()}, good); err == nil {
		t.Error("another agreement than the message names")
	}
	id, err := good.digest()
	must(t, err)
	if err := send(kindConsent, kindConsentReply, consentSubject{Agreement: id, Approved: "true"}, good); err == nil {
		t.Error("a consent to what was never proposed")
	}
	must(t, b.store.View(t.Context(), func(tx *store.Tx) error {
		n, err := b.kept.agreements.Len(tx)
		if n != 0 {
			t.Errorf("%d agreements are kept", n)
		}
		return err
	}))
	// What the peer signs must be what was proposed.
	g, err := b.ProposeAgreement(t.Context(), AgreementRequest{Peer: a.DID(), Purposes: []string{"y"}, Profiles: []string{"soundex/1"}})
	must(t, err)
	other := g.Terms
	other.RetentionDays = "9999"
	if err := send(kindConsent, kindConsentReply, consentSubject{Agreement: g.ID, Approved: "true"}, other); err == nil {
		t.Error("other terms than proposed")
	}
	awaitAgreement(t, b, g.ID, AgreementProposed)
	if err := send(kindConsent, kindConsentReply, consentSubject{Agreement: g.ID, Approved: "false", Reason: "no"}, g.Terms); err != nil {
		t.Error(err)
	}
	awaitAgreement(t, b, g.ID, AgreementRefused)
}
