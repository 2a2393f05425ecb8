package exchange

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ihyid/store/jobs"
)

// TestCancel has either side cancel an exchange at each of its steps, in both protocols: it ends on both sides, who was given something owes, and the next
// exchange runs.
func TestCancel(t *testing.T) {
	stages := map[string][]kind{
		ProtocolVOPRF: {kindOpening, kindAcceptance, kindOffer, kindResult, kindReceiptRequest, kindCompletion},
		ProtocolNoise: {"", "", kindClaims, kindAnswers}, // the others are those of voprf
	}
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	for protocol, kinds := range stages {
		for i, at := range kinds {
			for _, by := range []*testNode{a, b} {
				if at == "" || at == kindOpening && by == b {
					continue // the responder knows of nothing yet
				}
				name := map[bool]string{true: "initiator", false: "responder"}[by == a]
				t.Run(protocol+" "+string(at)+" "+name, func(t *testing.T) {
					e, mend := leave(t, w, a, b, protocol, at)
					other := map[*testNode]*testNode{a: b, b: a}[by]
					if at == kindCompletion { // both receipts are signed but for the last step
						if _, err := by.CancelExchange(t.Context(), e.ID, Cancellation{Yes: true}); CodeOf(err) != CodeExchangeState {
							t.Errorf("cancelled after the signature: %v", err)
						}
						mend()
						a.await(e.Job)
						awaitState(t, b, e.ID, StateDone)
						return
					}
					gave := i >= 3 || protocol == ProtocolVOPRF && i >= 2
					inform := i >= 2
					_, err := by.CancelExchange(t.Context(), e.ID, Cancellation{})
					if inform && CodeOf(err) != CodeUnfinished {
						t.Fatalf("without saying so, where a side may know the result: %v", err)
					}
					if inform {
						_, err = by.CancelExchange(t.Context(), e.ID, Cancellation{Reason: "wrong list", Yes: true})
					}
					must(t, err)
					got := by.exchange(e.ID)
					if got.State != StateFailed || got.Cancelled != cancelledHere || !strings.Contains(got.Error, "cancelled at this node") || inform && got.CancelReason != "wrong list" {
						t.Fatalf("%+v", got)
					}
					if _, err := by.CancelExchange(t.Context(), e.ID, Cancellation{Yes: true}); CodeOf(err) != CodeExchangeState {
						t.Errorf("cancelled twice: %v", err)
					}
					if job := a.await(e.Job); by == a && job.State != jobs.Cancelled {
						t.Errorf("its job is %s: %s", job.State, job.Error)
					}
					mend()
					told(t, by, e.ID)
					if at != kindOpening {
						there := awaitState(t, other, e.ID, StateFailed)
						if there.Cancelled != cancelledThere || !strings.Contains(there.Error, "the other side cancelled it") || strings.Contains(there.Error, "wrong list") {
							t.Errorf("%+v", there)
						}
					} else if _, err := b.Exchange(t.Context(), e.ID); CodeOf(err) != CodeUnknownExchange {
						t.Errorf("an exchange that was never opened: %v", err)
					}
					if at == kindOpening {
						return
					}
					if s := b.exchange(e.ID); s.Unfinished != gave {
						t.Errorf("owing: %t, want %t", s.Unfinished, gave)
					}
					if r := record(t, b, e.ID); (r != nil) != gave {
						t.Errorf("the record: %+v", r)
					}
					for _, n := range []*testNode{a, b} {
						if left, err := n.Matches(t.Context(), e.ID); err == nil && len(left) > 0 {
							t.Errorf("%s keeps what was found: %v", n.host, left)
						}
					}
					if gave {
						var p *PeerProblem
						if err := openOnly(t, a, b); !errors.As(err, &p) || p.Type != string(CodeUnfinished) {
							t.Errorf("to cancel forgives what is owed: %v", err)
						}
						_, err := b.ExcuseExchange(t.Context(), e.ID, "spoke with them")
						must(t, err)
					}
				})
			}
		}
	}
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateDone || e.InCommon != 2 {
		t.Errorf("after all that: %+v", e)
	}
}

// told waits until a node has told the peer that it cancelled an exchange.
func told(t *testing.T, n *testNode, id string) {
	t.Helper()
	all, err := n.queue.List(t.Context(), jobs.Filter{})
	must(t, err)
	for _, j := range all {
		if j.Kind == jobCancellation && !j.State.Final() {
			n.await(j.ID)
		}
	}
	if e := n.exchange(id); e.Undelivered {
		t.Errorf("%s has not told the peer: %+v", n.host, e)
	}
}

// TestCancelUnheard cancels where the other side cannot be reached: it learns of it later, by the message or, coming with its next step, from the answer.
func TestCancelUnheard(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)

	// The responder cancels and cannot reach the initiator, which comes back by itself.
	e, _ := leave(t, w, a, b, ProtocolVOPRF, kindOffer)
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from == b {
			return nil, errors.New("the line is down")
		}
		return nil, nil
	}
	_, err := b.CancelExchange(t.Context(), e.ID, Cancellation{Yes: true})
	must(t, err)
	a.await(e.Job)
	if got := a.exchange(e.ID); got.State != StateFailed || got.Cancelled != cancelledThere || got.Error != errCancelledThere.Error() {
		t.Errorf("%+v", got)
	}
	if !b.exchange(e.ID).Undelivered {
		t.Error("the peer counts as told")
	}
	w.intercept = nil
	_, err = b.ExcuseExchange(t.Context(), e.ID, "it was us")
	must(t, err)

	// The initiator cancels, cannot reach the responder, and is stopped; it tells it when it is back.
	var down atomic.Bool
	e, mend := leave(t, w, a, b, ProtocolVOPRF, kindOffer)
	mend()
	down.Store(true)
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from == a && down.Load() {
			return nil, errors.New("the line is down")
		}
		return nil, nil
	}
	_, err = a.CancelExchange(t.Context(), e.ID, Cancellation{Yes: true})
	must(t, err)
	a.stop()
	down.Store(false)
	a.start()
	told(t, a, e.ID)
	if got := b.exchange(e.ID); got.Cancelled != cancelledThere || !got.Unfinished || !strings.Contains(got.Error, "256 of its points") {
		t.Errorf("%+v", got)
	}
	if all, err := a.Presentations(t.Context(), e.ID); err != nil || all[string(kindCancellationReply)] == nil {
		t.Errorf("what the peer answered is not kept: %v", err)
	}
}

// TestCancelInterrupted stops a node between the order to cancel and the end of the exchange: it ends all the same.
func TestCancelInterrupted(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	e, mend := leave(t, w, a, b, ProtocolVOPRF, kindAcceptance)
	s, err := a.session(t.Context(), e.ID)
	must(t, err)
	must(t, a.cancelJobs(t.Context(), s)) // the first half of CancelExchange
	a.stop()
	a.start()
	mend()
	must(t, a.expireSessions(t.Context()))
	if got := a.exchange(e.ID); got.Cancelled != cancelledHere {
		t.Fatalf("%+v", got)
	}
	told(t, a, e.ID)
	if got := b.exchange(e.ID); got.Cancelled != cancelledThere {
		t.Errorf("%+v", got)
	}

	// The same, but with the receipt signed meanwhile: it goes on.
	e, mend = leave(t, w, a, b, ProtocolVOPRF, kindCompletion)
	s, err = a.session(t.Context(), e.ID)
	must(t, err)
	must(t, a.cancelJobs(t.Context(), s))
	mend()
	must(t, a.expireSessions(t.Context()))
	awaitState(t, a, e.ID, StateDone)
	awaitState(t, b, e.ID, StateDone)
}

// TestCancelRunning cancels while a step is under way, which holds the exchange.
func TestCancelRunning(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from == a && r.Method == "PUT" {
			close(arrived)
			<-release
			return nil, errors.New("the line went down")
		}
		return nil, nil
	}
	e := start(t, a, b, ProtocolVOPRF, "a test")
	<-arrived
	result := make(chan error, 1)
	go func() {
		_, err := a.CancelExchange(context.WithoutCancel(t.Context()), e.ID, Cancellation{Yes: true})
		result <- err
	}()
	changes, err := a.queue.Watch(t.Context(), e.Job)
	must(t, err)
	for j := range changes {
		if j.State == jobs.Running {
			break
		}
	}
	close(release)
	must(t, <-result)
	if job := a.await(e.Job); job.State != jobs.Cancelled {
		t.Errorf("%s %s", job.State, job.Error)
	}
	w.mu.Lock()
	w.intercept = nil // the other side is still being told
	w.mu.Unlock()
	awaitState(t, b, e.ID, StateFailed)
}

// TestCancelOfOthers has a third node say that an exchange of others is cancelled.
func TestCancelOfOthers(t *testing.T) {
	w, a, b := friends(t)
	c := w.add("c.example")
	befriend(c, b)
	a.importCSV(listA)
	b.importCSV(listB)
	e, mend := leave(t, w, a, b, ProtocolVOPRF, kindOffer)
	say := func(n *testNode, s cancellationSubject) error {
		vc, err := n.issue(t.Context(), string(kindCancellation), s, messageLife)
		must(t, err)
		_, _, err = n.converse(t.Context(), peerAddress{DID: b.DID(), Endpoint: "https://b.example/node"}, kindCancellation, e.ID, kindCancellationReply, vc)
		return err
	}
	for what, tc := range map[string]struct {
		by   *testNode
		s    cancellationSubject
		want Code
	}{
		"a third node's":     {c, cancellationSubject{Exchange: e.ID, State: "uploading"}, CodeUnknownExchange},
		"another transcript": {a, cancellationSubject{Exchange: e.ID, Transcript: strings.Repeat("ab", 32), State: "uploading"}, CodeMismatch},
	} {
		var p *PeerProblem
		if err := say(tc.by, tc.s); !errors.As(err, &p) || p.Type != string(tc.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if b.exchange(e.ID).State == StateFailed {
		t.Fatal("it was ended")
	}
	mend()
	a.await(e.Job)
	awaitState(t, b, e.ID, StateDone)
	// After the end it changes nothing, and the answer says so.
	must(t, say(a, cancellationSubject{Exchange: e.ID, State: "uploading"}))
	if b.exchange(e.ID).State != StateDone {
		t.Error("an exchange that is done was cancelled")
	}
}

// TestCancelByFile cancels exchanges by file on each side: no file of them is taken or made any more, and nothing of their payloads stays.
func TestCancelByFile(t *testing.T) {
	_, a, b := apart(t)
	cancel := func(n *testNode, id string, yes bool) {
		t.Helper()
		_, err := n.CancelExchange(t.Context(), id, Cancellation{})
		if yes && CodeOf(err) != CodeUnfinished || !yes && err != nil {
			t.Fatalf("%v", err)
		}
		if yes {
			_, err = n.CancelExchange(t.Context(), id, Cancellation{Yes: true})
			must(t, err)
		}
		if left := n.leftovers(); left != 0 {
			t.Errorf("%s keeps %d payloads", n.host, left)
		}
		if _, err := n.ExportStep(t.Context(), id, io.Discard); CodeOf(err) != CodeExchangeState {
			t.Errorf("a file of it is made: %v", err)
		}
		if e := n.exchange(id); e.Carry != nil || !e.Undelivered {
			t.Errorf("%+v", e)
		}
	}
	id := a.begin(ProtocolVOPRF, b) // before anything went out, as far as this node knows
	one := a.export(id)
	cancel(a, id, false)
	b.take(one)
	two := b.export(id)
	a.refuses("the answer to a cancelled exchange", two, CodeCancelled)
	cancel(b, id, true) // it evaluated
	if e := b.exchange(id); !e.Unfinished {
		t.Errorf("%+v", e)
	}
	_, err := b.ExcuseExchange(t.Context(), id, "they cancelled it; spoke with them")
	must(t, err)

	// The responder cancels while its answer waits for its operator.
	b.stop()
	b.options = func(o *Options) { o.AskAlways = true }
	b.start()
	id = a.begin(ProtocolVOPRF, b)
	one = a.export(id)
	f, err := b.ImportStep(t.Context(), bytes.NewReader(one))
	must(t, err)
	cancel(b, id, false)
	if job := b.await(f.Job); job.State != jobs.Cancelled {
		t.Errorf("%s %s", job.State, job.Error)
	}
	before := b.everything()
	if _, err := b.ImportStep(t.Context(), bytes.NewReader(one)); err != nil && CodeOf(err) != CodeCancelled {
		t.Errorf("%v", err)
	}
	if b.everything() != before {
		t.Error("a file of a cancelled exchange changed something")
	}
	cancel(a, id, false)
	b.stop()
	b.options = nil
	b.start()

	// And where the initiator knows the result.
	id = a.begin(ProtocolVOPRF, b)
	b.take(a.export(id))
	a.take(b.export(id))
	three := a.export(id)
	cancel(a, id, true)
	b.take(three) // they cannot know
	four := b.export(id)
	a.refuses("what comes then", four, CodeCancelled)
	if _, err := b.CancelExchange(t.Context(), id, Cancellation{Yes: true}); CodeOf(err) != CodeExchangeState || !strings.Contains(err.Error(), "excuse") {
		t.Errorf("cancelled although the receipt is signed: %v", err)
	}
	if e, err := b.ExcuseExchange(t.Context(), id, "they cancelled it"); err != nil || e.State != StateFailed || record(t, b, id) == nil {
		t.Errorf("%+v %v", e, err)
	}
	id = a.begin(ProtocolVOPRF, b)
	for range legs[ProtocolVOPRF] {
		b.take(a.export(id))
		a.take(b.export(id))
	}
	if e := b.exchange(id); e.State != StateDone || e.InCommon != 2 {
		t.Errorf("the next: %+v", e)
	}
}

// TestCancelledLater has a network join nodes again after an exchange by file was cancelled: the message comes over it.
func TestCancelledLater(t *testing.T) {
	w, a, b := apart(t)
	id := a.begin(ProtocolVOPRF, b)
	b.take(a.export(id))
	_, err := a.CancelExchange(t.Context(), id, Cancellation{})
	must(t, err)
	w.offline.Store(false)
	a.stop()
	a.ahead.Store(int64(time.Minute)) // it rests between two tries
	a.start()
	awaitState(t, b, id, StateFailed)
	if e := b.exchange(id); e.Cancelled != cancelledThere || !e.Unfinished {
		t.Errorf("%+v", e)
	}
}
