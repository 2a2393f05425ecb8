package exchange

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"ihyid/exchange/merkle"
	"ihyid/exchange/noise"
	"ihyid/exchange/voprf"
	"ihyid/store"
)

// What a peer may guess is bounded by what is counted, and that it leaves with a result by what it owes then. Here a peer tries to have the one forgotten, or to
// get around the other.

// TestClaimsAreAskedFor has an initiator take the claims of the protocol noise without asking for them, which would leave it owing nothing.
func TestClaimsAreAskedFor(t *testing.T) {
	_, a, b := friends(t)
	b.importCSV(listB)
	set, err := noise.Build(digestsOf(t, b), [32]byte{9})
	must(t, err)
	c, err := merkle.Commit(set.Entries, noise.EntrySize)
	must(t, err)
	o := opening(t, a, b)
	o.Commitment = *c
	m := &manual{t: t, a: a, b: b, id: o.Exchange}
	must(t, m.say(kindOpening, kindOpeningReply, o, nil))
	s, err := b.session(t.Context(), o.Exchange)
	must(t, err)
	b.await(s.Job)
	var acceptance acceptanceSubject
	must(t, m.say(kindAcceptance, kindAcceptanceReply, stepSubject{Exchange: m.id, Previous: m.previous}, &acceptance))
	must(t, m.put(setBundle, 0, set.Entries))
	s, err = b.session(t.Context(), o.Exchange)
	must(t, err)
	b.await(s.Job)
	if claims, err := m.get(setClaims, 0); CodeOf(err) != CodeExchangeState {
		t.Fatalf("%d bytes of claims that nobody asked for: %v", len(claims), err)
	}
	must(t, m.say(kindClaims, kindClaimsReply, stepSubject{Exchange: m.id, Previous: m.previous, Transcript: acceptance.Transcript}, nil))
	if claims, err := m.get(setClaims, 0); err != nil || len(claims) == 0 {
		t.Fatalf("%d bytes of claims: %v", len(claims), err)
	}
	if s, err = b.session(t.Context(), o.Exchange); err != nil || !s.gave() {
		t.Errorf("it was given the claims, and owes nothing: %+v %v", s, err)
	}
}

// TestDebtOutlivesTheEpoch has an initiator leave with its evaluations and wait until the time of the epoch is up: it owes the end of the exchange all the same. Only
// the responder's own people forgive it.
func TestDebtOutlivesTheEpoch(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	e, _ := leave(t, w, a, b, ProtocolVOPRF, kindOffer)
	b.ahead.Store(int64(EpochLife + time.Hour))
	must(t, b.rollOver(t.Context()))
	must(t, b.expireSessions(t.Context()))
	if got, err := b.Exchange(t.Context(), e.ID); err != nil || got.State != StateFailed || !got.Unfinished {
		t.Errorf("%+v %v: the end of the epoch has forgiven it", got, err)
	}
}

// TestRollEndsOpenExchanges rolls while a peer's exchange rests: what was computed for it is destroyed with the key, and its peer owes nothing.
func TestRollEndsOpenExchanges(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	e, _ := leave(t, w, a, b, ProtocolVOPRF, kindOffer)
	if n, err := b.RollEpochs(t.Context(), ""); err != nil || n != 1 {
		t.Fatalf("%d %v", n, err)
	}
	must(t, b.store.View(t.Context(), func(tx *store.Tx) error {
		left, err := b.kept.chunks.Len(tx)
		if left != 0 {
			t.Errorf("%d chunks are left, of an exchange whose key is destroyed", left)
		}
		return err
	}))
	if got, err := b.Exchange(t.Context(), e.ID); err != nil || got.State != StateFailed || got.Unfinished {
		t.Errorf("%+v %v", got, err)
	}
	s, err := b.session(t.Context(), e.ID)
	must(t, err)
	if len(s.Seed)+len(s.Rows) > 0 {
		t.Error("its seeds are left")
	}
}

// epochAt is the one epoch that a node has with its peer.
func epochAt(t *testing.T, n, peer *testNode) EpochInfo {
	t.Helper()
	p, err := n.Peer(t.Context(), peer.DID())
	must(t, err)
	if len(p.Epochs) != 1 {
		t.Fatalf("%d epochs", len(p.Epochs))
	}
	return p.Epochs[0]
}

// TestTagsCountOverEpochs has a responder begin a new epoch for every exchange, each with new guesses among its tags: the initiator counts on, until the time of the
// epoch is up or its own people roll it.
func TestTagsCountOverEpochs(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	agree(t, a, b, AgreementRequest{PeerSize: 4})
	run := func() Exchange {
		t.Helper()
		_, err := b.RollEpochs(t.Context(), "")
		must(t, err)
		return a.runBy(ProtocolVOPRF, b)
	}
	for i := range uint64(3) {
		if e := run(); e.State != StateDone || e.InCommon != 2 {
			t.Fatalf("%+v", e)
		}
		if got := epochAt(t, a, b).Tags; got != (i+1)*256 {
			t.Fatalf("%d tags are counted after %d exchanges", got, i+1)
		}
	}
	spend := func(tags uint64) {
		t.Helper()
		must(t, a.store.Update(t.Context(), func(tx *store.Tx) error {
			for item, err := range a.kept.epochs.All(tx, store.Range{}) {
				must(t, err)
				item.Value.Tags = tags
				must(t, a.kept.epochs.Put(tx, item.Key, item.Value))
				break
			}
			return nil
		}))
	}
	spend(elementBudget(4, 1) - 255) // one less than what a set takes
	if e := run(); e.State != StateFailed || !strings.Contains(e.Error, "in this epoch") {
		t.Errorf("%+v", e)
	}
	n, err := a.RollEpochs(t.Context(), "")
	must(t, err)
	if e := run(); n != 1 || e.State != StateDone || epochAt(t, a, b).Tags != 256 {
		t.Errorf("%d %+v", n, e)
	}
	for _, n := range []*testNode{a, b} {
		n.ahead.Store(int64(EpochLife + time.Minute))
	}
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateDone || epochAt(t, a, b).Tags != 256 {
		t.Errorf("a new epoch, in its time: %+v", e)
	}
}

// TestOneKeyAnEpoch has a responder name another public key for an epoch that goes on.
func TestOneKeyAnEpoch(t *testing.T) {
	other, err := voprf.NewKey()
	must(t, err)
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateDone {
		t.Fatalf("%+v", e)
	}
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from != a || !strings.HasSuffix(r.URL, "/messages") {
			return nil, nil
		}
		e, err := readEnvelope(r.Body)
		if err != nil || e.Kind != kindAcceptance {
			return nil, err
		}
		return nil, b.store.Update(t.Context(), func(tx *store.Tx) error {
			s, err := b.kept.sessions.Get(tx, []byte(e.Exchange))
			must(t, err)
			s.PK = hex.EncodeToString(other.Public().Bytes())
			return b.putSession(tx, &s)
		})
	}
	before := epochAt(t, a, b)
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateFailed || !strings.Contains(e.Error, "another public key for its epoch") {
		t.Errorf("%+v", e)
	}
	if after := epochAt(t, a, b); after != before {
		t.Errorf("%+v after %+v", after, before)
	}
}

// TestChunksAskedForOften has a responder ask for one chunk over and over.
func TestChunksAskedForOften(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	sent := 0
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		_, path, _ := strings.Cut(r.URL, "/node/")
		switch {
		case r.Method == "PUT":
			sent++
		case r.Method == "GET" && strings.Count(path, "/") == 1:
			resp, err := b.serve(t.Context(), *r, path)
			resp.Body = []byte(strings.Replace(string(resp.Body), `"bundle":[0]`, `"bundle":[0`+strings.Repeat(",0", 5000)+`]`, 1))
			return &resp, err
		}
		return nil, nil
	}
	if e := a.run(b); e.State != StateDone || sent != 2 {
		t.Errorf("%d chunks were sent: %+v", sent, e)
	}
}

// TestEachGuessIsCountedOnce sends the same points at once from several sides, again after a restart, and in an exchange that is then broken off: what is counted is
// what could be evaluated, once, and nothing is given back.
func TestEachGuessIsCountedOnce(t *testing.T) {
	_, a, b := friends(t)
	b.importCSV(listB)
	set, err := voprf.Blind(t.Context(), digestsOf(t, b), [32]byte{1}, nil)
	must(t, err)
	counted := func(what string, want uint64) {
		t.Helper()
		p, err := b.Peer(t.Context(), a.DID())
		must(t, err)
		if p.EvaluationsToday != want || len(p.Epochs) != 1 || p.Epochs[0].Evaluations != want {
			t.Errorf("%s: %d today, %+v, want %d", what, p.EvaluationsToday, p.Epochs, want)
		}
	}
	m := openVOPRF(t, a, b, set.Points)
	if _, err := m.get(setEvaluated, 0); CodeOf(err) != CodeExchangeState {
		t.Errorf("an evaluation before the points: %v", err)
	}
	counted("before the points", 0)
	var wg sync.WaitGroup
	bodies := make([][]byte, 8)
	for i := range bodies {
		wg.Go(func() {
			if err := m.put(setBundle, 0, set.Points); err != nil {
				t.Error(err)
			}
			var err error
			if bodies[i], err = m.get(setEvaluated, 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	counted("at once", 256)
	b.stop()
	b.start()
	must(t, m.put(setBundle, 0, set.Points))
	again, err := m.get(setEvaluated, 0)
	must(t, err)
	for _, body := range bodies {
		if !bytes.Equal(body, again) {
			t.Error("two evaluations of the same points differ")
		}
	}
	counted("after a restart", 256)
	if s, err := b.session(t.Context(), m.id); err != nil || s.Evaluated != 256 {
		t.Errorf("%+v %v", s, err)
	}
	_, err = b.ExcuseExchange(t.Context(), m.id, "a test") // which ends it
	must(t, err)
	counted("after the end", 256)
	m = openVOPRF(t, a, b, set.Points)
	must(t, m.put(setBundle, 0, set.Points)) // and goes, without the evaluation
	must(t, b.giveUp(t.Context(), m.id, errCancelled))
	counted("broken off", 512)
}

// TestOldEpochIsOver builds on what stood in an epoch that has rolled, and asks for more of an exchange in it.
func TestOldEpochIsOver(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	e := a.runBy(ProtocolVOPRF, b)
	s, err := b.session(t.Context(), e.ID)
	must(t, err)
	old, err := b.epochOf(t.Context(), s)
	must(t, err)
	c, err := merkle.Commit(someSet(), voprf.PointSize)
	must(t, err)
	m := openVOPRF(t, a, b, someSet())
	_, err = b.RollEpochs(t.Context(), a.DID())
	must(t, err)
	if err := m.put(setBundle, 0, someSet()); CodeOf(err) != CodeExchangeState {
		t.Errorf("points for a key that is gone: %v", err)
	}
	o := opening(t, a, b)
	o.Protocol, o.Commitment, o.Epoch = ProtocolVOPRF, *c, old.base()
	before := snapshot(t, b)
	var p *PeerProblem
	err = (&manual{t: t, a: a, b: b, id: o.Exchange}).say(kindOpening, kindOpeningReply, o, nil)
	if !errors.As(err, &p) || p.Type != string(CodeEpoch) || snapshot(t, b) != before {
		t.Errorf("%v", err)
	}
}

// TestDebtAndSuspension ends an exchange in which something was given because the peer is suspended: by this node's people, or because it changed its keys.
func TestDebtAndSuspension(t *testing.T) {
	given := &session{Role: Responder, State: StateMatching, Evaluated: 256}
	if given.owes(notApproved(&Peer{State: PeerSuspended})) {
		t.Error("it owes what this node's people have ended")
	}
	if !given.owes(notApproved(&Peer{State: PeerSuspended, Changed: "00"})) {
		t.Error("a change of keys has forgiven it")
	}
}
