package exchange

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ihyid/store"
	"ihyid/store/jobs"
)

// Cancelling. Either side may end an exchange that has not ended. It ends there at once; the other side is told by a signed message as soon as it can be
// reached, or learns of it when it comes with the next step. To cancel settles nothing: who was given something of the result owes what it owed before. And
// it takes nothing back: once a side has signed the receipt, its signature may be at the other side, and only the end of the exchange gives both the same.

const (
	jobCancellation = "exchange.tell-cancelled"

	// cancelledHere and cancelledThere say whose people cancelled an exchange.
	cancelledHere  = "here"
	cancelledThere = "peer"

	// lockPatience is how long a peer's cancellation waits for the step that is under way; then it is told to come again.
	lockPatience = 5 * time.Second
)

var (
	errCancelled      = fail(CodeCancelled, "it was cancelled at this node")
	errCancelledThere = fail(CodeCancelled, "the other side cancelled it")
)

// Subjects of the two messages.
type (
	cancellationSubject struct {
		Exchange   string `json:"exchange"`
		Transcript string `json:"transcript"` // as the sender knows it; "" before the acceptance
		State      string `json:"state"`      // in which the exchange was at the sender
	}
	cancellationReply struct {
		Exchange string `json:"exchange"`
		Previous string `json:"previous"`
		State    string `json:"state"` // in which it is at the receiver now: "failed", or "done" if it had ended well before
	}
)

// Cancellation asks for the end of an exchange.
type Cancellation struct {
	Reason string // for this node's own records, at most 200 characters; the peer is not told
	Yes    bool   // also where one side may know the result already
}

// CancelExchange ends an exchange that waits, runs or is stuck, on either side. What it stored and found is removed; its messages are kept. The peer is told
// when it can be reached. Where one side may know something of the result, that has to be meant (Cancellation.Yes): who was given something still
// owes the end, and its peer's signed record stays. An exchange whose receipt this node has signed is not cancelled any more.
// Where versions are given, the exchange must have one of them when it is asked for.
func (n *Node) CancelExchange(ctx context.Context, id string, c Cancellation, versions ...uint64) (Exchange, error) {
	if err := checkReason(c.Reason); err != nil {
		return Exchange{}, err
	}
	s, err := n.session(ctx, id)
	if err != nil {
		return Exchange{}, err
	}
	if err := unchanged("exchange "+s.ID, s.Version, versions); err != nil {
		return Exchange{}, err
	}
	if err := n.mayCancel(ctx, s, c.Yes); err != nil {
		return Exchange{}, err
	}
	// The step that is under way holds the exchange, perhaps for long: its job is told first. If this node stops between here and the end, what
	// looks after exchanges without a job ends it.
	if err := n.cancelJobs(ctx, s); err != nil {
		return Exchange{}, err
	}
	end := func() error {
		defer n.locks.lock(id)()
		s, err := n.session(ctx, id)
		if err != nil {
			return err
		}
		switch {
		case s.Cancelled == cancelledHere: // by its job
		case s.State.Finished():
			return n.mayCancel(ctx, s, true)
		default:
			if err := n.mayCancel(ctx, s, true); err != nil {
				return errors.Join(err, n.revive(ctx, s))
			}
			if err := n.endSession(ctx, s, errCancelled); err != nil {
				return err
			}
		}
		s.CancelReason = c.Reason
		return n.saveQuietly(ctx, s)
	}
	if err := end(); err != nil {
		return Exchange{}, err
	}
	return n.Exchange(ctx, id)
}

// mayCancel says why an exchange cannot be cancelled, or not without its being meant.
func (n *Node) mayCancel(ctx context.Context, s *session, meant bool) error {
	if s.State.Finished() {
		return fail(CodeExchangeState, "exchange %s is %s already: there is nothing to cancel", s.ID, s.State)
	}
	signed, err := n.receiptSigned(ctx, s)
	if err != nil {
		return err
	}
	if signed && s.Role == Responder {
		return fail(CodeExchangeState, "this node has signed the receipt of exchange %s, and the other side may complete it at any moment: it cannot be cancelled any more. If they will not come back, `ihyid exchange excuse %s --reason …` ends it", s.ID, s.ID)
	}
	if signed {
		return fail(CodeExchangeState, "this node has signed the receipt of exchange %s, and the other side may have it already: it cannot be cancelled any more. It ends by itself when the other side is reached, or after %d days without it", s.ID, int(unfinishedLife.Hours()/24))
	}
	if meant {
		return nil
	}
	switch state := s.State; {
	case s.gave():
		return fail(CodeUnfinished, "the other side may know the result of exchange %s already: it was given %s. If it is cancelled now, this node never learns the result; its signed record of what it gave is kept, and the other side can open no other exchange until it is excused. If that is meant, add --yes", s.ID, s.given())
	case s.Role == Responder && (state == StateMatching || state == StateClaiming || state == StateAnswering || state == StateReceipt):
		return fail(CodeUnfinished, "this node may know the result of exchange %s already, and the other side never will if it is cancelled now. What was found here is removed. If that is meant, add --yes", s.ID)
	case s.Role == Initiator && s.Transcript != "":
		return fail(CodeUnfinished, "this node may know something of the result of exchange %s already. If it is cancelled now, what was found here is removed, and the other side counts the exchange as left: it keeps a signed record of what it gave, and may take no other from this node until its operator excuses this one. If that is meant, add --yes", s.ID)
	}
	return nil
}

// given is what a responder gave the initiator of the result, in words.
func (s *session) given() string {
	if s.Claimed {
		return "this node's claims"
	}
	return fmt.Sprintf("the evaluation of %d of its points", s.Evaluated)
}

// receiptSigned reports whether this node has signed the receipt of an exchange and may have sent it.
func (n *Node) receiptSigned(ctx context.Context, s *session) (bool, error) {
	k := kindReceiptReply
	if s.Role == Initiator {
		k = kindCompletion
	}
	return n.hasLetter(ctx, s, k)
}

// cancelJobs cancels the jobs that work on an exchange.
func (n *Node) cancelJobs(ctx context.Context, s *session) error {
	ids := []string{s.Job}
	for number := s.FileTaken; number >= 1 && number > s.FileTaken-2; number-- {
		c, err := n.carriedFile(ctx, s.ID, number)
		if err != nil {
			return err
		}
		if c != nil && c.Job != s.Job {
			ids = append(ids, c.Job)
		}
	}
	for _, id := range ids {
		if id == "" {
			continue
		}
		if _, err := n.jobs.Cancel(ctx, id); err != nil && !errors.Is(err, jobs.ErrFinished) && !errors.Is(err, jobs.ErrNotFound) {
			return err
		}
	}
	return nil
}

// cancelled ends an exchange whose job this node's people have cancelled.
func (n *Node) cancelled(ctx context.Context, id string) error {
	cause := context.Cause(ctx)
	ctx = context.WithoutCancel(ctx)
	defer n.locks.lock(id)()
	s, err := n.session(ctx, id)
	if err != nil || s.State.Finished() {
		return errors.Join(cause, err)
	}
	if err := n.mayCancel(ctx, s, true); err != nil {
		return errors.Join(cause, n.revive(ctx, s))
	}
	return errors.Join(cause, n.endSession(ctx, s, errCancelled))
}

// revive gives an initiator's exchange that cannot be cancelled any more another job in the place of the one that was cancelled.
func (n *Node) revive(ctx context.Context, s *session) error {
	if s.Role != Initiator {
		return nil
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		job, err := n.jobs.Enqueue(tx, jobInitiate, sessionParams{Exchange: s.ID})
		if err != nil {
			return err
		}
		s.Job = job.ID
		return n.writeSession(tx, s)
	})
}

// markCancelled notes on an exchange that is being ended whose people cancelled it, and says so in the words of its error.
func (n *Node) markCancelled(s *session, why error) error {
	s.Cancelled = cancelledThere
	if errors.Is(why, errCancelled) {
		s.Cancelled = cancelledHere
	}
	if s.gave() {
		return fmt.Errorf("%w; the other side had been given %s before (unilateral)", why, s.given())
	}
	return why
}

// signCancellation makes the message that tells the peer, if it may know of the exchange at all.
func (n *Node) signCancellation(ctx context.Context, s *session) (*letter, error) {
	if s.Role == Initiator {
		if known, err := n.hasLetter(ctx, s, kindOpening); err != nil || !known {
			return nil, err
		}
	}
	credential, err := n.issue(ctx, string(kindCancellation), cancellationSubject{Exchange: s.ID, Transcript: s.Transcript, State: string(s.State)}, messageLife)
	if err != nil {
		return nil, err
	}
	return &letter{From: n.DID(), Credential: credential}, nil
}

// tellCancelled is the job that tells the peer.
func (n *Node) tellCancelled(ctx context.Context, t *jobs.Task) error {
	var p sessionParams
	if err := t.Params(&p); err != nil {
		return err
	}
	s, err := n.session(ctx, p.Exchange)
	if err != nil || !s.Undelivered {
		return err
	}
	l, err := n.keptLetter(ctx, s, kindCancellation)
	if err != nil || l == nil {
		return errors.Join(err, errors.New("the cancellation is not kept"))
	}
	if !n.signsStill(l.Credential) {
		if l.Credential, err = n.issue(ctx, string(kindCancellation), cancellationSubject{Exchange: s.ID, Transcript: s.Transcript, State: string(StateFailed)}, messageLife); err != nil {
			return err
		}
	}
	t.Describe("", "telling the other side")
	to, _, err := n.locate(ctx, s.Peer)
	var m *message
	if err == nil {
		m, _, err = n.converse(ctx, to, kindCancellation, s.ID, kindCancellationReply, l.Credential)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if rested := n.now().Sub(s.Finished); temporary(err) && rested < deliveryLife {
			return jobs.Later(pauseSince(rested, 15*time.Minute), err)
		}
	}
	if p := new(PeerProblem); errors.As(err, &p) && p.Type == string(CodeUnknownExchange) {
		err = nil // it was never opened there
	}
	defer n.locks.lock(p.Exchange)()
	s, serr := n.session(ctx, p.Exchange)
	if serr != nil {
		return serr
	}
	s.Undelivered = false
	return errors.Join(err, n.store.Update(ctx, func(tx *store.Tx) error {
		if m != nil {
			if err := errors.Join(n.kept.letters.Put(tx, letterKey(s.ID, kindCancellationReply), letterOf(m)), n.putDocument(tx, m.Document)); err != nil {
				return err
			}
		}
		return n.writeSession(tx, s)
	}))
}

// onCancellation takes the end of an exchange that the peer cancelled. In either role: nobody but the peer of an exchange may end it.
func (n *Node) onCancellation(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var c cancellationSubject
	if err := m.read(&c); err != nil {
		return nil, err
	}
	unknown := fail(CodeUnknownExchange, "there is no exchange %s with you here", oneLine(c.Exchange, 64))
	s, err := n.session(ctx, c.Exchange)
	if CodeOf(err) == CodeUnknownExchange || err == nil && s.Peer != m.From {
		return nil, unknown
	}
	if err != nil {
		return nil, err
	}
	unlock, ok := n.locks.lockWithin(ctx, c.Exchange, lockPatience)
	if !ok {
		return nil, fail(CodeTooMany, "a step of exchange %s is under way here; say again later that it is cancelled", c.Exchange)
	}
	defer unlock()
	if s, err = n.session(ctx, c.Exchange); err != nil {
		return nil, err
	}
	if !s.State.Finished() {
		if c.Transcript != "" && s.Transcript != "" && c.Transcript != s.Transcript {
			return nil, fail(CodeMismatch, "the cancellation names another transcript than the exchange has here")
		}
		if s.Role == Initiator {
			// A responder that has our signature has signed before: it is not to go back on that.
			if signed, err := n.receiptSigned(ctx, s); err != nil {
				return nil, err
			} else if signed {
				return nil, fail(CodeExchangeState, "the receipt of exchange %s is signed by both sides: it cannot be cancelled any more", s.ID)
			}
		}
		if err := n.endCancelledThere(ctx, s, m); err != nil {
			return nil, err
		}
	}
	credential, err := n.issue(ctx, string(kindCancellationReply), cancellationReply{Exchange: s.ID, Previous: m.Digest, State: string(s.State)}, messageLife)
	if err != nil {
		return nil, err
	}
	return &reply{credentials: [][]byte{credential}}, nil
}

// endCancelledThere ends an exchange whose lock is held because its peer cancelled it, and keeps the message that says so.
func (n *Node) endCancelledThere(ctx context.Context, s *session, m *message) error {
	if err := n.store.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(n.kept.letters.Put(tx, letterKey(s.ID, kindCancellation), letterOf(m)), n.putDocument(tx, m.Document))
	}); err != nil {
		return err
	}
	if err := n.endSession(ctx, s, errCancelledThere); err != nil {
		return err
	}
	return n.cancelJobs(ctx, s)
}

// cancelledByPeer turns an answer that says that the peer cancelled the exchange into this node's words.
func cancelledByPeer(err error) error {
	var p *PeerProblem
	if errors.As(err, &p) && p.Type == string(CodeCancelled) {
		return errCancelledThere
	}
	return err
}
