package exchange

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"ihyid/store"
	"ihyid/store/jobs"
)

// TestLostReplies loses the reply to every message once: each is asked for again, under a purpose that JSON writers spell in several ways.
func TestLostReplies(t *testing.T) {
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) { testLostReplies(t, protocol) })
	}
}

func testLostReplies(t *testing.T, protocol string) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	lost := map[string]bool{}
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from != a || strings.HasSuffix(r.URL, "/challenges") {
			return nil, nil
		}
		_, path, _ := strings.Cut(r.URL, "/node/")
		what := r.Method + " " + path
		if path == "messages" {
			e, err := readEnvelope(r.Body)
			if err != nil {
				return nil, err
			}
			what = string(e.Kind)
		}
		if lost[what] || strings.Count(path, "/") == 1 {
			return nil, nil
		}
		lost[what] = true
		if _, err := b.serve(t.Context(), *r, path); err != nil {
			return nil, err
		}
		return nil, errors.New("the line broke")
	}
	e, err := a.StartExchange(t.Context(), Request{Peer: b.DID(), Profile: "soundex/1", Protocol: protocol, Purpose: `food & <shelter> "2026"`})
	must(t, err)
	a.await(e.Job)
	e, err = a.Exchange(t.Context(), e.ID)
	must(t, err)
	if e.State != StateDone || e.InCommon != 2 {
		t.Errorf("%+v", e)
	}
	// Six messages; noise: a chunk of entries, of claims, of answers; voprf: of points, evaluations, tags, claims, answers.
	if want := map[string]int{ProtocolNoise: 9, ProtocolVOPRF: 11}[protocol]; len(lost) != want {
		t.Errorf("%d replies were lost: %v", len(lost), lost)
	}
}

// TestResponderFails has the responder's side of an exchange end while the initiator waits for it: the initiator learns of it, shows no result, and stops.
func TestResponderFails(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from != a || r.Method != "PUT" {
			return nil, nil
		}
		id := strings.Split(r.URL, "/")[5]
		return nil, b.giveUp(t.Context(), id, errors.New("something of the node's own, /not/for/peers"))
	}
	e := a.run(b)
	if e.State != StateFailed || !strings.Contains(e.Error, "failed at the other node") || strings.Contains(e.Error, "not/for/peers") {
		t.Errorf("%+v", e)
	}
	if m, err := a.Matches(t.Context(), e.ID); err != nil || len(m) != 0 {
		t.Errorf("matches of a failed exchange: %v %v", m, err)
	}
}

// TestResultNeedsReceipt stops an exchange after the claims, or before the last message: neither side is shown a result.
func TestResultNeedsReceipt(t *testing.T) {
	for name, tc := range map[string]struct {
		protocol string
		at       kind
	}{
		"noise": {ProtocolNoise, kindAnswers}, "voprf": {ProtocolVOPRF, kindResult},
		"noise, receipt": {ProtocolNoise, kindCompletion}, "voprf, receipt": {ProtocolVOPRF, kindCompletion},
	} {
		t.Run(name, func(t *testing.T) { testResultNeedsReceipt(t, tc.protocol, tc.at) })
	}
}

func testResultNeedsReceipt(t *testing.T, protocol string, at kind) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from != a || !strings.HasSuffix(r.URL, "/messages") {
			return nil, nil
		}
		if e, err := readEnvelope(r.Body); err != nil || e.Kind != at {
			return nil, err
		}
		return nil, errors.New("the line is down for good")
	}
	e, err := a.StartExchange(t.Context(), Request{Peer: b.DID(), Profile: "soundex/1", Protocol: protocol, Purpose: "a test"})
	must(t, err)
	changes, err := a.queue.Watch(t.Context(), e.Job)
	must(t, err)
	for j := range changes {
		if j.State == jobs.Waiting {
			break
		}
	}
	for _, n := range []*testNode{a, b} {
		got, err := n.Exchange(t.Context(), e.ID)
		must(t, err)
		m, err := n.Matches(t.Context(), e.ID)
		must(t, err)
		if got.InCommon != 0 || got.Possible != 0 || len(m) != 0 {
			t.Errorf("%s shows a result without a receipt: %+v %v", n.host, got, m)
		}
	}
	b.ahead.Store(int64(unfinishedLife + time.Hour))
	must(t, b.expireSessions(t.Context()))
	got, err := b.Exchange(t.Context(), e.ID)
	must(t, err)
	if got.State != StateFailed || !got.Unfinished || !strings.Contains(got.Error, "unilateral") {
		t.Errorf("the responder does not say that the other side never finished: %+v", got)
	}
	// An operator who cancels the job ends the exchange, unless the receipt is signed: then it waits for its time.
	_, err = a.queue.Cancel(t.Context(), e.Job)
	must(t, err)
	a.await(e.Job)
	must(t, a.expireSessions(t.Context()))
	want := "cancelled"
	if at == kindCompletion {
		if got = a.exchange(e.ID); got.State != StateReceipt || got.Job == e.Job {
			t.Errorf("%+v", got)
		}
		want = "nothing was heard"
		a.ahead.Store(int64(unfinishedLife + time.Hour))
		for a.exchange(e.ID).State != StateFailed { // its job holds it for a moment now and then
			must(t, a.expireSessions(t.Context()))
			<-time.After(time.Millisecond)
		}
	}
	if got, err = a.Exchange(t.Context(), e.ID); err != nil || got.State != StateFailed || !strings.Contains(got.Error, want) {
		t.Errorf("%+v %v", got, err)
	}
}

// TestNoisePerDay has a peer send more bundles in a day than anyone needs.
func TestNoisePerDay(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	b.Node.noisePerDay = 600
	for i, want := range []State{StateDone, StateDone, StateFailed} {
		if e := a.run(b); e.State != want {
			t.Fatalf("exchange %d: %+v", i, e)
		}
	}
	p, err := b.Peer(t.Context(), a.DID())
	must(t, err)
	if p.NoiseToday != 512 {
		t.Errorf("%d entries are counted", p.NoiseToday)
	}
	b.ahead.Store(int64(24 * time.Hour))
	a.ahead.Store(int64(24 * time.Hour))
	if e := a.run(b); e.State != StateDone {
		t.Errorf("the next day: %+v", e)
	}
}

// TestStrangersLeaveNothing has a stranger send a good message that is refused: nothing of it is kept.
func TestStrangersLeaveNothing(t *testing.T) {
	w, _, b := friends(t)
	c := w.add("c.example")
	documents := func() (n uint64) {
		must(t, b.store.View(t.Context(), func(tx *store.Tx) (err error) {
			n, err = b.kept.documents.Len(tx)
			return err
		}))
		return n
	}
	before := documents()
	vc, err := c.issue(t.Context(), string(kindIntroduction), introductionSubject{ID: c.DID()}, messageLife)
	must(t, err)
	_, _, err = c.converse(t.Context(), peerAddress{DID: b.DID(), Endpoint: "https://b.example/node"}, kindIntroduction, "", kindIntroductionReply, vc)
	must(t, err)
	if after := documents(); after != before {
		t.Errorf("%d documents are kept, %d before", after, before)
	}
}

// TestRegistrationDeadEnd takes a request back that the other side then approves: both can begin again.
func TestRegistrationDeadEnd(t *testing.T) {
	w := newWorld(t)
	a, b := w.add("a.example"), w.add("b.example")
	_, err := a.AddPeer(t.Context(), b.DID(), orgOf(b.host))
	must(t, err)
	_, err = a.RefusePeer(t.Context(), b.DID(), "a mistake")
	must(t, err)
	_, err = b.ApprovePeer(t.Context(), a.DID())
	must(t, err)
	list, err := b.queue.List(t.Context(), jobs.Filter{Kind: jobDeliver})
	must(t, err)
	b.await(list[0].ID)
	_, err = a.AddPeer(t.Context(), b.DID(), orgOf(b.host))
	must(t, err)
	_, err = b.ApprovePeer(t.Context(), a.DID())
	must(t, err)
	a.awaitPeer(b.DID(), PeerApproved)
	must(t, a.RemovePeer(t.Context(), b.DID()))
	must(t, b.RemovePeer(t.Context(), a.DID()))
	befriend(b, a)
}

// TestMismatchEndsRegistration names the field that differs and leaves nothing on either side.
func TestMismatchEndsRegistration(t *testing.T) {
	w := newWorld(t)
	a, b := w.add("a.example"), w.add("b.example")
	for field, change := range map[string]func(*Organisation){
		"name":                func(o *Organisation) { o.Name += "!" },
		"registration number": func(o *Organisation) { o.RegistrationNumber += "1" },
		"country":             func(o *Organisation) { o.Country = "JO" },
	} {
		expect := orgOf(b.host)
		change(&expect)
		_, err := a.AddPeer(t.Context(), b.DID(), expect)
		if CodeOf(err) != CodeMismatch || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, n := range []*testNode{a, b} {
		peers, err := n.Peers(t.Context())
		must(t, err)
		if len(peers) != 0 {
			t.Errorf("%s knows %v", n.host, peers)
		}
	}
}

// TestTwoFacedReceipt has a receipt say one thing to readers of exact names and another to readers who take names without regard to case.
func TestTwoFacedReceipt(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	e := a.run(b)
	file, err := a.Receipt(t.Context(), e.ID)
	must(t, err)
	for _, member := range []string{"receipts", "matches", "didDocuments", "credentialSubject"} {
		name := []byte(`"` + member + `":`)
		odd := bytes.ToUpper(name)
		at := bytes.Index(file, name)
		if at < 0 {
			t.Fatalf("no %s", member)
		}
		forged := bytes.Join([][]byte{file[:at], odd, []byte(`"x",`), file[at:]}, nil)
		if r := VerifyReceipt(t.Context(), forged, VerifyReceiptOptions{Resolver: a.w}); r.Passed() {
			t.Errorf("a second %s is accepted", member)
		}
	}
}
