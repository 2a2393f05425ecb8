package exchange

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ihyid/exchange/merkle"
	"ihyid/store"
	"ihyid/store/jobs"
)

const (
	jobInitiate     = "exchange.initiate"
	maxPurposeRunes = 200
	approvalLife    = 14 * 24 * time.Hour // how long an exchange may wait for an operator

	pollAtOnce = 2 * time.Second  // how long a job asks for the other side's progress before it gives its place to another
	maxPoll    = 15 * time.Second // how long it then rests at most
)

// StartExchange begins an exchange with an approved peer. It runs as a job; see Exchange for how far it is.
func (n *Node) StartExchange(ctx context.Context, r Request) (Exchange, error) {
	p, ok := n.profiles[r.Profile]
	if !ok {
		return Exchange{}, fail(CodeUnknownProfile, "there is no matching profile named %q here; `ihyid profiles list` shows which there are", oneLine(r.Profile, 80))
	}
	if _, ok := protocols[r.Protocol]; !ok {
		return Exchange{}, fail(CodeUnsupported, "this node does not speak the protocol %q; it speaks %s and %s", oneLine(r.Protocol, 40), ProtocolVOPRF, ProtocolNoise)
	}
	if err := checkPurpose(r.Purpose); err != nil {
		return Exchange{}, err
	}
	peer, err := n.peer(ctx, r.Peer)
	if err != nil {
		return Exchange{}, err
	}
	if peer.Peer.State != PeerApproved {
		return Exchange{}, fail(CodePeerState, "%s is %s; an exchange needs a peer that both sides have approved", r.Peer, peer.Peer.State)
	}
	if err := n.checkConfirmed(&peer.Peer); err != nil {
		return Exchange{}, err
	}
	id, err := n.randomHex(16)
	if err != nil {
		return Exchange{}, err
	}
	s := &session{
		ID: id, Role: Initiator, Peer: r.Peer, State: StatePreparing, Request: r,
		ProfileID: p.ID(), Agreement: peer.Peer.Registration, Created: n.now().UTC(), Sets: map[string]*merkle.Commitment{},
	}
	agreed, _, err := n.standing(ctx, r.Peer, s.ProfileID, r.Purpose, r.Protocol)
	if err != nil {
		return Exchange{}, err
	}
	if agreed != nil {
		if err := s.underAgreement(agreed); err != nil {
			return Exchange{}, err
		}
	}
	if s.Seed, err = n.seed(); err != nil {
		return Exchange{}, err
	}
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		job, err := n.jobs.Enqueue(tx, jobInitiate, sessionParams{Exchange: id})
		if err != nil {
			return err
		}
		s.Job = job.ID
		return n.putSession(tx, s)
	})
	if err != nil {
		return Exchange{}, err
	}
	return n.view(s, peer.Peer.Organisation.Name), nil
}

func checkPurpose(purpose string) error {
	if strings.TrimSpace(purpose) == "" || len([]rune(purpose)) > maxPurposeRunes || oneLine(purpose, maxPurposeRunes) != purpose {
		return fail(CodeInvalid, "say the purpose of the exchange in 1 to %d printable characters on one line", maxPurposeRunes)
	}
	return nil
}

// initiate is the job that takes an exchange from its state to the next until it is done. Every step may be done again.
func (n *Node) initiate(ctx context.Context, t *jobs.Task) error {
	var p sessionParams
	if err := t.Params(&p); err != nil {
		return err
	}
	renewed := false
	for {
		var awaits awaitsFile
		state, err := n.initiatorStep(ctx, t, p.Exchange)
		switch {
		case err == nil && state == StateDone:
			if err := n.makeLastRequest(ctx, t, p.Exchange); err != nil {
				return err
			}
			return n.finishJob(ctx, t, p.Exchange)
		case err == nil && state == StateFailed:
			s, err := n.session(ctx, p.Exchange)
			if err != nil {
				return err
			}
			return errors.New(s.Error)
		case err == nil:
			continue
		case errors.Is(context.Cause(ctx), jobs.ErrCancelled):
			return n.cancelled(ctx, p.Exchange)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &awaits):
			// Until people have carried the files to and fro there is nothing to do.
			if err = n.makeRequest(ctx, t, p.Exchange, awaits.leg); err == nil {
				return n.finishJob(ctx, t, p.Exchange)
			} else if ctx.Err() != nil {
				return err
			}
		case errors.Is(err, errRenewed) && !renewed:
			renewed = true
			continue
		case n.late(ctx, p.Exchange, &err):
		case errors.As(err, new(waitError)):
			return jobs.Later(min(n.pause(ctx, p.Exchange), maxPoll), err)
		case temporary(err):
			return jobs.Later(n.pause(ctx, p.Exchange), err)
		}
		err = cancelledByPeer(err)
		if end := n.giveUp(ctx, p.Exchange, err); end != nil {
			return end
		}
		return err
	}
}

// late reports whether an exchange that could be tried again has rested too long already, and says so in err. A peer that keeps each try waiting, a
// byte now and then, so cannot keep it from ending.
func (n *Node) late(ctx context.Context, id string, err *error) bool {
	if !errors.As(*err, new(waitError)) && !temporary(*err) {
		return false
	}
	s, serr := n.session(ctx, id)
	if serr != nil || s.State.Finished() {
		return false
	}
	why := n.overdue(ctx, s)
	if CodeOf(why) != CodeUnfinished {
		return false
	}
	*err = fail(CodeUnfinished, "%w; the last try: %s", why, oneLine((*err).Error(), 200))
	return true
}

// pause is how long to wait before an exchange is tried again: the longer, the longer ago it last got on.
func (n *Node) pause(ctx context.Context, id string) time.Duration {
	s, err := n.session(ctx, id)
	if err != nil {
		return time.Second
	}
	return pauseSince(n.now().Sub(s.Updated), 5*time.Minute)
}

// giveUp ends an exchange that cannot go on.
func (n *Node) giveUp(ctx context.Context, id string, why error) error {
	defer n.locks.lock(id)()
	s, err := n.session(ctx, id)
	if err != nil || s.State.Finished() {
		return err
	}
	return n.endSession(ctx, s, why)
}

func (n *Node) finishJob(ctx context.Context, t *jobs.Task, id string) error {
	e, err := n.Exchange(ctx, id)
	if err != nil {
		return err
	}
	return n.store.Update(ctx, func(tx *store.Tx) error { return t.Result(tx, e) })
}

// waitError says that the other side is not ready yet.
type waitError struct{ what string }

func (w waitError) Error() string { return w.what }

func (n *Node) initiatorStep(ctx context.Context, t *jobs.Task, id string) (State, error) {
	defer n.locks.lock(id)()
	s, err := n.session(ctx, id)
	if err != nil {
		return "", err
	}
	if s.State.Finished() {
		return s.State, nil
	}
	peer, err := n.peer(ctx, s.Peer)
	if err != nil {
		return "", err
	}
	if peer.Peer.State != PeerApproved {
		return "", fail(CodePeerState, "the peer is %s now", peer.Peer.State)
	}
	if err := n.checkConfirmed(&peer.Peer); err != nil {
		return "", err
	}
	ctx, ended := n.observe(ctx, s)
	state, err := n.initiatorStage(ctx, t, s)
	ended(err)
	return state, err
}

func (n *Node) initiatorStage(ctx context.Context, t *jobs.Task, s *session) (_ State, err error) {
	if s.State == StatePreparing {
		if id, err := n.earlierOwn(ctx, s); err != nil {
			return "", err
		} else if id != "" {
			return "", waitError{"waiting for exchange " + id + " with the same peer to end"}
		}
		return n.prepareBundle(ctx, t, s)
	}
	to := peerAddress{DID: s.Peer, carried: s}
	if !s.ByFile {
		if to, _, err = n.locate(ctx, s.Peer); err != nil {
			return "", err
		}
	}
	switch step, ok := protocols[s.Protocol].steps[s.State]; {
	case ok:
		err = step(n, ctx, t, s, to)
	case s.State == StateOpening:
		err = n.sendOpening(ctx, s, to)
	case s.State == StateAccepted:
		err = n.fetchAcceptance(ctx, s, to)
	case s.State == StateReceipt:
		err = n.completeReceipt(ctx, s, to)
	default:
		err = fmt.Errorf("an initiator's exchange cannot be in the state %q", s.State)
	}
	return s.State, err
}

// Subjects of the messages of an exchange.
type (
	openingSubject struct {
		V                 string            `json:"v"`
		Exchange          string            `json:"exchange"`
		Initiator         string            `json:"initiator"`
		Responder         string            `json:"responder"`
		InitiatorDocument string            `json:"initiatorDocument"`
		InitiatorKey      string            `json:"initiatorKey"`
		Agreement         string            `json:"agreement"`
		Profile           string            `json:"profile"`
		Purpose           string            `json:"purpose"`
		Protocol          string            `json:"protocol"`
		Epoch             string            `json:"epoch"`
		Commitment        merkle.Commitment `json:"commitment"`
	}
	stepSubject struct { // of all requests and replies that say nothing more
		Exchange   string `json:"exchange"`
		Previous   string `json:"previous"`
		Transcript string `json:"transcript,omitempty"`
	}
	acceptanceSubject struct {
		Exchange          string            `json:"exchange"`
		Previous          string            `json:"previous"`
		InitiatorDocument string            `json:"initiatorDocument"`
		ResponderDocument string            `json:"responderDocument"`
		ResponderKey      string            `json:"responderKey"`
		Commitment        merkle.Commitment `json:"commitment"`
		Epoch             string            `json:"epoch"`
		PK                string            `json:"pk"`
		Transcript        string            `json:"transcript"`
	}
	setSubject struct { // of claims and answers
		Exchange   string            `json:"exchange"`
		Previous   string            `json:"previous"`
		Transcript string            `json:"transcript"`
		Commitment merkle.Commitment `json:"commitment"`
		Matches    string            `json:"matches,omitempty"`
		Possibles  string            `json:"possibles,omitempty"`
	}
)
