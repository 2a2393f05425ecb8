package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ihyid/exchange/merkle"
	"ihyid/exchange/noise"
	"ihyid/exchange/voprf"
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

// prepareBundle takes the own digests as they are now and commits to a bundle of them.
func (n *Node) prepareBundle(ctx context.Context, t *jobs.Task, s *session) (State, error) {
	p, err := n.sessionProfile(s)
	if err != nil {
		return "", err
	}
	own, err := n.gather(ctx, p, t.Progress)
	if err != nil {
		return "", err
	}
	count := merkle.PaddedCount(uint64(len(own.digests)))
	if most := n.maxEntries(s.Protocol); count > most {
		why := "have the operator raise the limit on both sides"
		if s.Protocol == ProtocolNoise {
			why = "use voprf, or " + why + ": whoever receives a noise bundle could guess names and dates at leisure"
		}
		return "", fail(CodeTooLarge, "a bundle of %d entries is over the limit of %d for the protocol %s; %s", count, most, s.Protocol, why)
	}
	commitment, err := protocols[s.Protocol].prepare(n, ctx, t, s, own)
	if err != nil {
		return "", err
	}
	s.Sets[setBundle], s.OwnRoot, s.OwnCount = commitment, commitment.Root.String(), commitment.Count
	s.State = StateOpening
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		if err := n.putSet(tx, s.ID, setOwn, own.encode(), merkle.MaxChunkBytes); err != nil {
			return err
		}
		return n.putSession(tx, s)
	})
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

func (n *Node) sendOpening(ctx context.Context, s *session, to peerAddress) error {
	// Once it is signed, the opening stays as it is: until then it names the key and the document of now.
	if l, err := n.keptLetter(ctx, s, kindOpening); err != nil {
		return err
	} else if l == nil {
		if s.InitiatorKey, s.InitiatorDocument, err = n.ownKey(ctx); err != nil {
			return err
		}
		if err := n.saveQuietly(ctx, s); err != nil {
			return err
		}
	}
	subject := openingSubject{
		V: "1", Exchange: s.ID, Initiator: n.DID(), Responder: s.Peer, InitiatorDocument: s.InitiatorDocument, InitiatorKey: s.InitiatorKey,
		Agreement: s.Agreement, Profile: s.ProfileID, Purpose: s.Purpose, Protocol: s.Protocol, Epoch: s.Base, Commitment: *s.Sets[setBundle],
	}
	err := n.ask(ctx, s, to, kindOpening, kindOpeningReply, subject, nil, func(m *message, token string) error {
		var r stepSubject
		if err := m.read(&r); err != nil {
			return err
		}
		if r.Exchange != s.ID || !s.ByFile && !isHex(token, 32) {
			return fail(CodePeerError, "the other node's answer to the opening is not about this exchange, or gives no token")
		}
		s.Token, s.State = token, StateAccepted
		return nil
	}, nil)
	var p *PeerProblem
	if s.Base != "" && errors.As(err, &p) && p.Type == string(CodeEpoch) {
		return n.startAfresh(ctx, s)
	}
	return err
}

// startAfresh goes back to the beginning, to send all: what the exchange was to build on does not stand at the responder.
func (n *Node) startAfresh(ctx context.Context, s *session) error {
	seed, err := n.seed()
	if err != nil {
		return err
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		// The epoch itself stays, with what was counted in it.
		e, err := n.epochTx(tx, s)
		if err == nil && e != nil {
			e.Rows = nil
			err = errors.Join(n.dropStanding(tx, e), n.kept.epochs.Put(tx, s.epochKey(), *e))
		}
		if err := errors.Join(err, n.dropChunks(tx, s), n.kept.letters.Delete(tx, letterKey(s.ID, kindOpening))); err != nil {
			return err
		}
		s.Base, s.BasePoints, s.BaseTags, s.Seed, s.Sets, s.State = "", 0, 0, seed, map[string]*merkle.Commitment{}, StatePreparing
		return n.putSession(tx, s)
	})
}

// progress asks the responder how far it is, until it is at least in one of the states wanted.
func (n *Node) progress(ctx context.Context, t *jobs.Task, s *session, to peerAddress, wanted ...State) (*Progress, error) {
	if to.carried != nil {
		return &Progress{State: wanted[0]}, nil // what its file says shows that it is there
	}
	wait := 20 * time.Millisecond
	for deadline := n.now().Add(pollAtOnce); ; {
		body, err := n.call(ctx, TransportRequest{Method: "GET", URL: to.Endpoint + "/exchanges/" + s.ID, Route: "/exchanges/{id}", Token: s.Token, MaxReply: maxSmallReply})
		if err != nil {
			return nil, n.renewToken(ctx, s, err)
		}
		var p Progress
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, fail(CodePeerError, "the other node's progress cannot be read")
		}
		if p.State == StateFailed && p.Error == string(CodeCancelled) {
			return nil, errCancelledThere
		}
		if p.State == StateFailed {
			return nil, fail(CodePeerError, "the exchange failed at the other node: %s", oneLine(p.Error, 300))
		}
		for _, w := range wanted {
			if p.State == w {
				return &p, nil
			}
		}
		if t != nil {
			t.Progress(p.Done, p.Total)
		}
		if n.now().After(deadline) {
			return nil, waitError{fmt.Sprintf("waiting for the other node (%s)", oneLine(string(p.State), 20))}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
			wait = min(2*wait, n.poll)
		}
	}
}

// renewToken goes back to the opening when the token is no longer good: the responder gives a new one for the same opening.
func (n *Node) renewToken(ctx context.Context, s *session, err error) error {
	var p *PeerProblem
	if !errors.As(err, &p) || p.Type != string(CodeToken) {
		return err
	}
	sent, lerr := n.ownLetter(ctx, s, kindOpening, nil, nil)
	if lerr != nil {
		return lerr
	}
	to, _, lerr := n.locate(ctx, s.Peer)
	if lerr != nil {
		return lerr
	}
	_, token, lerr := n.converse(ctx, to, kindOpening, s.ID, kindOpeningReply, sent.Credential)
	if lerr != nil {
		return lerr
	}
	if !isHex(token, 32) {
		return fail(CodePeerError, "the other node gives no new token for this exchange")
	}
	s.Token = token
	if lerr := n.saveQuietly(ctx, s); lerr != nil {
		return lerr
	}
	return errRenewed
}

var errRenewed error = waitError{"the token was renewed"}

func (n *Node) fetchAcceptance(ctx context.Context, s *session, to peerAddress) error {
	if _, err := n.progress(ctx, nil, s, to, StateAccepted, StateMatching, StateClaiming); err != nil {
		return err
	}
	return n.ask(ctx, s, to, kindAcceptance, kindAcceptanceReply, stepSubject{Exchange: s.ID, Previous: s.Previous}, nil, func(m *message, _ string) error {
		var a acceptanceSubject
		if err := m.read(&a); err != nil {
			return err
		}
		if a.Exchange != s.ID {
			return fail(CodePeerError, "the other node's acceptance is of another exchange")
		}
		if err := n.checkAcceptance(s, &a); err != nil {
			return err
		}
		if a.InitiatorDocument != s.InitiatorDocument {
			return fail(CodeMismatch, "the other node sees another DID document of this node than this node itself publishes")
		}
		if m.Signer != a.ResponderKey || (documentDigest(m.Document) != a.ResponderDocument && !n.sawDocument(ctx, s.Peer, a.ResponderDocument)) {
			return fail(CodeMismatch, "the other node names another DID document or key than the one that verifies its acceptance")
		}
		s.ResponderDocument, s.ResponderKey, s.Epoch, s.PK = a.ResponderDocument, a.ResponderKey, a.Epoch, a.PK
		s.Sets[setTags], s.PeerRoot, s.PeerCount = &a.Commitment, a.Commitment.Root.String(), a.Commitment.Count
		var err error
		if s.Transcript, err = n.transcript(s); err != nil {
			return err
		}
		if a.Transcript != s.Transcript {
			return fail(CodeMismatch, "the two nodes do not agree on the transcript of the exchange")
		}
		s.State = StateUploading
		return nil
	}, func(tx *store.Tx) error {
		if s.Protocol != ProtocolVOPRF {
			return nil
		}
		return n.spendTags(tx, s, s.PeerCount)
	})
}

// checkAcceptance holds the responder's commitment, epoch and key against what the protocol asks for.
func (n *Node) checkAcceptance(s *session, a *acceptanceSubject) error {
	size := noise.EntrySize
	if s.Protocol == ProtocolVOPRF {
		size = voprf.TagSize
		if _, err := parsePK(a.PK); err != nil {
			return err
		}
		if !isHex(a.Epoch, 16) {
			return fail(CodePeerError, "the other node's epoch cannot be read")
		}
	} else if a.Epoch != "" || a.PK != "" {
		return fail(CodePeerError, "the protocol %s has no epochs", s.Protocol)
	}
	if err := a.Commitment.Validate(size, merkle.MaxCount); err != nil {
		return &Error{Code: CodeCommitment, Detail: "the other node's commitment to its own set is wrong", Err: err}
	}
	if c := a.Commitment.Count; c == 0 || c != merkle.PaddedCount(c) {
		return fail(CodeCommitment, "the count of the other node's set is not one that padding gives")
	}
	return nil
}

// sendChunks sends the chunks of an own set that the responder still misses, then goes to the next state.
func (n *Node) sendChunks(ctx context.Context, t *jobs.Task, s *session, to peerAddress, set string, next State) error {
	p, err := n.progress(ctx, nil, s, to, StateAccepted, StateMatching, StateClaiming, StateAnswering, StateReceipt, StateDone)
	if err != nil {
		return err
	}
	missing := p.Missing[set]
	slices.Sort(missing)
	missing = slices.Compact(missing) // else it could ask for one chunk thousands of times
	if len(missing) > 0 {
		data, err := n.ownEntries(ctx, s, set)
		if err != nil {
			return err
		}
		c := s.Sets[set]
		for done, i := range missing {
			if int(i) >= c.Chunks() {
				return fail(CodePeerError, "the other node asks for a chunk that does not exist")
			}
			from := int(i) * c.ChunkEntries * c.EntrySize
			body := data[from : from+c.ChunkLen(int(i))*c.EntrySize]
			if err := n.sendChunk(ctx, s, to, set, i, body); err != nil {
				return err
			}
			t.Progress(uint64(c.Chunks()-len(missing)+done+1), uint64(c.Chunks()))
		}
	}
	s.State = next
	return n.save(ctx, s)
}
