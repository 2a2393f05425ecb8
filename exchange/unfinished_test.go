package exchange

import (
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
	"ihyid/store/jobs"
)

// leave runs an exchange until the initiator has asked for what at stands for, and breaks the line there until the returned function mends it.
func leave(t *testing.T, w *world, a, b *testNode, protocol string, at kind) (e Exchange, mend func()) {
	t.Helper()
	var broken atomic.Bool
	broken.Store(true)
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from != a || !broken.Load() || !strings.HasSuffix(r.URL, "/messages") {
			return nil, nil
		}
		if e, err := readEnvelope(r.Body); err != nil || e.Kind != at {
			return nil, err
		}
		return nil, errors.New("the line is down")
	}
	e = start(t, a, b, protocol, "a test")
	changes, err := a.queue.Watch(t.Context(), e.Job)
	must(t, err)
	for j := range changes {
		if j.State == jobs.Waiting {
			break
		}
	}
	return e, func() { broken.Store(false) }
}

// someSet is a set of 256 entries of the size of points.
func someSet() (set []byte) {
	for i := range 256 {
		p := [voprf.PointSize]byte{30: byte(i), 31: 1}
		set = append(set, p[:]...)
	}
	return set
}

// openOnly sends the opening of an exchange by voprf and says how it was answered.
func openOnly(t *testing.T, a, b *testNode) error {
	t.Helper()
	c, err := merkle.Commit(someSet(), voprf.PointSize)
	must(t, err)
	o := opening(t, a, b)
	o.Protocol, o.Commitment = ProtocolVOPRF, *c
	m := &manual{t: t, a: a, b: b, id: o.Exchange}
	return m.say(kindOpening, kindOpeningReply, o, nil)
}

// record reads the unilateral record that a node keeps of an exchange, nil if it keeps none.
func record(t *testing.T, n *testNode, id string) *unilateral {
	t.Helper()
	all, err := n.Presentations(t.Context(), id)
	must(t, err)
	raw, ok := all[typeUnilateral]
	if !ok {
		return nil
	}
	var c struct {
		Issuer            string     `json:"issuer"`
		CredentialSubject unilateral `json:"credentialSubject"`
	}
	must(t, json.Unmarshal(raw, &c))
	if c.Issuer != n.DID() {
		t.Errorf("the record is by %s", c.Issuer)
	}
	return &c.CredentialSubject
}

// TestLeftAfterTheResult has an initiator stop once it knows the result, by each protocol: the responder keeps a signed record of what it gave, and takes
// nothing more from that peer until its operator has excused it.
func TestLeftAfterTheResult(t *testing.T) {
	for protocol, at := range map[string]kind{ProtocolVOPRF: kindOffer, ProtocolNoise: kindAnswers} {
		t.Run(protocol, func(t *testing.T) {
			w, a, b := friends(t)
			a.importCSV(listA)
			b.importCSV(listB)
			e, mend := leave(t, w, a, b, protocol, at)
			if _, err := b.ExcuseExchange(t.Context(), e.ID, ""); CodeOf(err) != CodeInvalid {
				t.Errorf("excused without a reason: %v", err)
			}
			b.ahead.Store(int64(unfinishedLife + time.Hour))
			must(t, b.expireSessions(t.Context()))
			got, err := b.Exchange(t.Context(), e.ID)
			must(t, err)
			if got.State != StateFailed || !got.Unfinished {
				t.Fatalf("%+v", got)
			}
			r := record(t, b, e.ID)
			s, err := b.session(t.Context(), e.ID)
			must(t, err)
			if r == nil || r.Exchange != e.ID || r.Initiator != a.DID() || r.Transcript != s.Transcript || r.InitiatorRoot != s.PeerRoot {
				t.Fatalf("%+v", r)
			}
			if want := map[string]string{ProtocolVOPRF: "256", ProtocolNoise: "0"}[protocol]; r.Evaluations != want {
				t.Errorf("%s evaluations are recorded, want %s", r.Evaluations, want)
			}
			_, err = a.queue.Cancel(t.Context(), e.Job)
			must(t, err)
			a.await(e.Job)
			mend()
			b.ahead.Store(0)
			for _, next := range []string{ProtocolVOPRF, ProtocolNoise} { // another protocol is no way around it
				if e := a.runBy(next, b); e.State != StateFailed || !strings.Contains(e.Error, "is not finished") || !strings.Contains(e.Error, got.ID) {
					t.Fatalf("%+v", e)
				}
			}
			if e := b.runBy(ProtocolVOPRF, a); e.State != StateDone {
				t.Errorf("the other way round nothing is owed: %+v", e)
			}
			if got, err = b.ExcuseExchange(t.Context(), e.ID, "their disk failed"); err != nil || got.Unfinished || got.Excused != "their disk failed" {
				t.Fatalf("%+v %v", got, err)
			}
			if _, err := b.ExcuseExchange(t.Context(), e.ID, "again"); CodeOf(err) != CodeExchangeState {
				t.Errorf("excused twice: %v", err)
			}
			if e := a.runBy(ProtocolVOPRF, b); e.State != StateDone || e.InCommon != 2 {
				t.Errorf("%+v", e)
			}
			if record(t, b, e.ID) == nil {
				t.Error("the record of what was given is gone")
			}
		})
	}
}

// TestStopsForADay has a peer go silent for more than a day after its points were evaluated, and come back: it may finish, and must before it opens another.
func TestStopsForADay(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	e, mend := leave(t, w, a, b, ProtocolVOPRF, kindOffer)
	for _, n := range []*testNode{a, b} {
		n.ahead.Store(int64(26 * time.Hour))
		must(t, n.expireSessions(t.Context()))
	}
	if r := record(t, b, e.ID); r == nil || r.Evaluations != "256" || r.Claims != "0" {
		t.Fatalf("nothing is recorded of a peer that went silent: %+v", r)
	}
	// A second exchange waits at the initiator; one that is opened all the same is refused.
	var p *PeerProblem
	if err := openOnly(t, a, b); !errors.As(err, &p) || p.Type != string(CodeUnfinished) {
		t.Errorf("a second exchange beside one that rests: %v", err)
	}
	mend()
	a.await(e.Job)
	if e, err := a.Exchange(t.Context(), e.ID); err != nil || e.State != StateDone || e.InCommon != 2 {
		t.Fatalf("%+v %v", e, err)
	}
	awaitState(t, b, e.ID, StateDone)
	if record(t, b, e.ID) != nil {
		t.Error("the record stands beside the receipt")
	}
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateDone {
		t.Errorf("%+v", e)
	}
}

// TestOneAtATime opens two exchanges of one epoch: the first in which nothing was evaluated gives way, one in which something was does not.
func TestOneAtATime(t *testing.T) {
	_, a, b := friends(t)
	b.importCSV(listB)
	first, _, _ := honest(t, a, b, digestsOf(t, b), 1)
	var p *PeerProblem
	if err := openOnly(t, a, b); !errors.As(err, &p) || p.Type != string(CodeUnfinished) {
		t.Fatalf("%v", err)
	}
	if e, err := b.ExcuseExchange(t.Context(), first.id, "a test"); err != nil || e.State != StateFailed {
		t.Fatalf("%+v %v", e, err)
	}
	set := someSet()
	second := openVOPRF(t, a, b, set)
	third := openVOPRF(t, a, b, set)
	s, err := b.session(t.Context(), second.id)
	must(t, err)
	if s.State != StateFailed || s.unfinished() {
		t.Errorf("%s %s: it should have given way", s.State, s.Error)
	}
	if s, err = b.session(t.Context(), third.id); err != nil || s.State != StateAccepted {
		t.Errorf("%s %v", s.State, err)
	}
}
