package exchange

import (
	"context"
	"errors"

	"ihyid/exchange/merkle"
	"ihyid/store"
	"ihyid/store/jobs"
)

const (
	jobRespond          = "exchange.respond"
	maxOpenSessionsPeer = 4 // exchanges that one peer may have open at once
	maxOpeningsPerDay   = 200
)

// onOpening takes the opening of an exchange: everything in it is checked before anything is stored or computed.
func (n *Node) onOpening(ctx context.Context, m *message, peer *peerRecord) (*reply, error) {
	var o openingSubject
	if err := m.read(&o); err != nil {
		return nil, err
	}
	if !isHex(o.Exchange, 16) {
		return nil, fail(CodeInvalid, "an exchange id is 16 bytes in hex")
	}
	token, err := n.randomHex(32)
	if err != nil {
		return nil, err
	}
	// Whose exchange it is comes before any lock on it: nobody may hold up an exchange of others.
	s, err := n.session(ctx, o.Exchange)
	if err == nil && (s.Peer != m.From || s.Role != Responder) {
		return nil, fail(CodeUnknownExchange, "that exchange id is taken")
	}
	defer n.locks.lock("openings of " + m.From)()
	defer n.locks.lock(o.Exchange)()
	if s, err = n.session(ctx, o.Exchange); err == nil {
		return n.reopen(ctx, s, m, token)
	}
	if CodeOf(err) != CodeUnknownExchange {
		return nil, err
	}
	profile, err := n.checkOpening(ctx, m, &o, peer)
	if err != nil {
		return nil, err
	}
	if err := n.oneAtATime(ctx, &session{ID: o.Exchange, Peer: m.From, Role: Responder, ProfileID: o.Profile, Request: Request{Protocol: o.Protocol, Purpose: o.Purpose}}); err != nil {
		return nil, err
	}
	agreed, ask, err := n.policy(ctx, &o, peer)
	if err != nil {
		return nil, err
	}
	seed, err := n.seed()
	if err != nil {
		return nil, err
	}
	s = &session{
		ID: o.Exchange, Role: Responder, Peer: m.From, State: StateOpening,
		Request:   Request{Peer: m.From, Profile: profile, Protocol: o.Protocol, Purpose: o.Purpose},
		ProfileID: o.Profile, Agreement: o.Agreement, Base: o.Epoch,
		InitiatorDocument: o.InitiatorDocument, InitiatorKey: o.InitiatorKey,
		Seed: seed, Sets: map[string]*merkle.Commitment{setBundle: &o.Commitment},
		Arrived:  map[string][]edges{setBundle: make([]edges, o.Commitment.Chunks())},
		PeerRoot: o.Commitment.Root.String(), PeerCount: o.Commitment.Count,
		Token: hashToken(token), TokenExpiry: n.now().Add(n.sessionLife), Created: n.now().UTC(),
	}
	s.ByFile = m.carried
	if agreed != nil {
		if err := s.underAgreement(agreed); err != nil {
			return nil, err
		}
	}
	if err := n.checkBase(ctx, s); err != nil {
		return nil, err
	}
	if ask {
		s.State = StateWaiting
	}
	credential, err := n.issue(ctx, string(kindOpeningReply), stepSubject{Exchange: s.ID, Previous: m.Digest}, messageLife)
	if err != nil {
		return nil, err
	}
	if s.Previous, err = digestJSON(credential); err != nil {
		return nil, err
	}
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		if err := n.countOpening(tx, m.From); err != nil {
			return err
		}
		if !ask {
			job, err := n.jobs.Enqueue(tx, jobRespond, sessionParams{Exchange: s.ID})
			if err != nil {
				return err
			}
			s.Job = job.ID
		}
		if err := errors.Join(n.keepLetters(tx, s, m, kindOpeningReply, credential, nil), n.putDocument(tx, m.Document)); err != nil {
			return err
		}
		if s.Protocol == ProtocolNoise {
			if err := n.spend(tx, m.From, o.Commitment.Count); err != nil {
				return err
			}
		}
		return n.putSession(tx, s)
	})
	if err != nil {
		return nil, err
	}
	return &reply{credentials: [][]byte{credential}, token: token}, nil
}

// reopen answers an opening that was heard before: with the same credential and a new token.
func (n *Node) reopen(ctx context.Context, s *session, m *message, token string) (*reply, error) {
	if s.Peer != m.From || s.Role != Responder {
		return nil, fail(CodeUnknownExchange, "that exchange id is taken")
	}
	if s.State == StateFailed {
		return nil, failedHere(s)
	}
	if s.ByFile != m.carried {
		return nil, fail(CodeConflict, "an exchange ends as it began, by files or over the network")
	}
	r, err := n.replyAgain(ctx, s, m, kindOpeningReply)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fail(CodeConflict, "this exchange was opened with another bundle")
	}
	s.Token, s.TokenExpiry = hashToken(token), n.now().Add(n.sessionLife)
	if err := n.saveQuietly(ctx, s); err != nil {
		return nil, err
	}
	r.token = token
	return r, nil
}

// checkOpening holds an opening against what this node knows and allows; it gives the name of the profile.
func (n *Node) checkOpening(ctx context.Context, m *message, o *openingSubject, peer *peerRecord) (string, error) {
	switch {
	case o.V != "1":
		return "", fail(CodeUnsupported, "this node speaks version 1 of the exchange")
	case o.Initiator != m.From || o.Responder != n.DID():
		return "", fail(CodeInvalid, "the bundle is not from its sender to this node")
	case protocols[o.Protocol].entrySize == 0:
		return "", fail(CodeUnsupported, "this node does not speak the protocol %q", oneLine(o.Protocol, 40))
	case o.Epoch != "" && (o.Protocol != ProtocolVOPRF || !isHex(o.Epoch, 32)):
		return "", fail(CodeInvalid, "the epoch of an opening is what it builds on, 32 bytes in hex, or nothing")
	case m.Signer != o.InitiatorKey, documentDigest(m.Document) != o.InitiatorDocument && !n.sawDocument(ctx, m.From, o.InitiatorDocument):
		return "", fail(CodeMismatch, "the bundle names another DID document or key than the one that verifies it")
	}
	if err := errors.Join(n.checkConfirmed(&peer.Peer), checkPurpose(o.Purpose)); err != nil {
		return "", err
	}
	profile, _, err := n.profileByID(o.Profile)
	if err != nil {
		return "", err
	}
	most := n.maxEntries(o.Protocol)
	if o.Commitment.Count > most {
		return "", fail(CodeTooLarge, "a bundle of %d entries is over this node's limit of %d for the protocol %s", o.Commitment.Count, most, o.Protocol)
	}
	if err := o.Commitment.Validate(protocols[o.Protocol].entrySize, most); err != nil {
		return "", &Error{Code: CodeCommitment, Detail: "the bundle's commitment is wrong", Err: err}
	}
	if o.Commitment.Count == 0 || o.Commitment.Count != merkle.PaddedCount(o.Commitment.Count) {
		return "", fail(CodeCommitment, "the bundle's count is not one that padding gives")
	}
	today := *peer
	if err := n.mayOpen(&today); err != nil {
		return "", err
	}
	open, _, err := n.openWith(ctx, m.From, Responder)
	if err != nil {
		return "", err
	}
	if open >= maxOpenSessionsPeer {
		return "", fail(CodeTooMany, "you have %d exchanges open here; finish one or let it expire", open)
	}
	return profile, nil
}

// answerStep does what all later steps have in common. The request must be of this exchange's initiator, follow the message before it and name
// the transcript; act then says what the reply is, and changes the session; reply, request and session are kept in one transaction.
func (n *Node) answerStep(ctx context.Context, m *message, previous, transcript, id string, k kind,
	act func(s *session) (subject any, attached [][]byte, extra func(tx *store.Tx) error, err error)) (*reply, error) {
	if _, err := n.ofSender(ctx, m, id); err != nil {
		return nil, err // before any lock: nobody may hold up an exchange of others
	}
	defer n.locks.lock(id)()
	s, err := n.ofSender(ctx, m, id)
	if err != nil {
		return nil, err
	}
	if again, err := n.replyAgain(ctx, s, m, k); err != nil || again != nil {
		return again, err
	}
	if s.State == StateFailed {
		return nil, failedHere(s)
	}
	follows := s.Previous
	if m.follows != "" {
		follows = m.follows // it was written before the reply to the one before it
	}
	if previous != follows || transcript != s.Transcript {
		return nil, fail(CodeMismatch, "the message does not follow the one before it in this exchange")
	}
	subject, attached, extra, err := act(s)
	if err != nil {
		return nil, err
	}
	by := ""
	if k == kindAcceptanceReply {
		by = s.ResponderKey
	}
	credential, err := n.issueBy(ctx, by, string(k), subject, messageLife)
	if err != nil {
		return nil, err
	}
	if s.Previous, err = digestJSON(credential); err != nil {
		return nil, err
	}
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		if err := n.keepLetters(tx, s, m, k, credential, attached); err != nil {
			return err
		}
		if extra != nil {
			if err := extra(tx); err != nil {
				return err
			}
		}
		return n.putSession(tx, s)
	})
	if err != nil {
		return nil, err
	}
	return &reply{credentials: append([][]byte{credential}, attached...)}, nil
}

// ofSender gives the exchange that the sender of a message began here.
func (n *Node) ofSender(ctx context.Context, m *message, id string) (*session, error) {
	s, err := n.session(ctx, id)
	if err == nil && (s.Peer != m.From || s.Role != Responder) {
		err = fail(CodeUnknownExchange, "there is no exchange %s with you here", oneLine(id, 64))
	}
	return s, err
}

// failedHere tells a peer that an exchange has ended. What went wrong is told in the protocol's words only: the node's own words may say more
// than a peer should know of it.
func failedHere(s *session) error {
	switch s.Cancelled {
	case cancelledHere:
		return fail(CodeCancelled, "this exchange was cancelled at the other node on %s; begin a new one", timeText(s.Finished))
	case cancelledThere:
		return fail(CodeCancelled, "this exchange was cancelled on %s, as you said; begin a new one", timeText(s.Finished))
	}
	return fail(CodeExchangeState, "this exchange has failed at the other node (%s); begin a new one", peerReason(s))
}

func peerReason(s *session) string {
	if s.Code == "" {
		return "internal"
	}
	return string(s.Code)
}

func notYet(s *session) error {
	return fail(CodeExchangeState, "the exchange is not at that step (%s)", s.State)
}

func (n *Node) onAcceptance(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var r stepSubject
	if err := m.read(&r); err != nil {
		return nil, err
	}
	// The transcript is new in the reply, so the request names none.
	return n.answerStep(ctx, m, r.Previous, "", r.Exchange, kindAcceptanceReply, func(s *session) (any, [][]byte, func(*store.Tx) error, error) {
		if s.State != StateAccepted {
			return nil, nil, nil, notYet(s)
		}
		// Named now, at the moment of signing: they may have changed since the exchange was opened.
		var err error
		if s.ResponderKey, s.ResponderDocument, err = n.ownKey(ctx); err != nil {
			return nil, nil, nil, err
		}
		if s.Transcript, err = n.transcript(s); err != nil {
			return nil, nil, nil, err
		}
		return acceptanceSubject{
			Exchange: s.ID, Previous: m.Digest, InitiatorDocument: s.InitiatorDocument,
			ResponderDocument: s.ResponderDocument, ResponderKey: s.ResponderKey,
			Commitment: *s.Sets[setTags], Epoch: s.Epoch, PK: s.PK, Transcript: s.Transcript,
		}, nil, nil, nil
	})
}

// Progress tells the initiator how far its exchange is here.
func (n *Node) Progress(ctx context.Context, token, id string) (Progress, error) {
	s, err := n.authorise(ctx, token, id)
	if err != nil {
		return Progress{}, err
	}
	p := Progress{State: s.State}
	if s.State == StateFailed {
		p.Error = peerReason(s)
	}
	if job, err := n.jobs.Get(ctx, s.Job); err == nil {
		p.Done, p.Total = job.Done, job.Total
	}
	for set, arrived := range s.Arrived {
		for i, e := range arrived {
			if e.First == nil {
				if p.Missing == nil {
					p.Missing = map[string][]uint32{}
				}
				p.Missing[set] = append(p.Missing[set], uint32(i))
			}
		}
	}
	return p, nil
}

// PutChunk takes one chunk of a set that the initiator committed to. Chunks come in any order; one that came before is taken
// again without effect.
func (n *Node) PutChunk(ctx context.Context, token, id, set string, index uint32, body []byte) error {
	if _, err := n.authorise(ctx, token, id); err != nil {
		return err
	}
	defer n.locks.lock(id)()
	s, err := n.authorise(ctx, token, id)
	if err != nil {
		return err
	}
	return n.takeChunk(ctx, s, set, index, body)
}

// takeChunk takes one chunk of an exchange whose lock is held.
func (n *Node) takeChunk(ctx context.Context, s *session, set string, index uint32, body []byte) error {
	if s.State == StateFailed {
		return failedHere(s)
	}
	c, arrived := s.Sets[set], s.Arrived[set]
	if c == nil || arrived == nil {
		return fail(CodeExchangeState, "this exchange takes no chunks of that set now")
	}
	if int64(index) >= int64(c.Chunks()) {
		return fail(CodeCommitment, "there is no chunk %d in a set of %d", index, c.Chunks())
	}
	i := int(index)
	var beside merkle.Neighbours
	if i > 0 {
		beside.Before = arrived[i-1].Last
	}
	if i+1 < len(arrived) {
		beside.After = arrived[i+1].First
	}
	if err := c.VerifyChunk(i, body, beside); err != nil {
		return &Error{Code: CodeCommitment, Detail: "the chunk does not fit the commitment", Err: err}
	}
	if arrived[i].First != nil {
		return nil
	}
	switch {
	case set == setBundle && (s.State != StateAccepted || s.Transcript == ""):
		return notYet(s)
	case set == setAnswers && s.State != StateAnswering, set == setClaims && s.State != StateClaiming:
		return notYet(s)
	}
	arrived[i] = edges{First: body[:c.EntrySize], Last: body[len(body)-c.EntrySize:]}
	var matches found
	complete := complete(arrived)
	if complete && set == setAnswers {
		data, err := n.getSetWith(ctx, s.ID, set, index, body)
		if err != nil {
			return err
		}
		if matches, err = n.takeAnswers(ctx, s, data); err != nil {
			return err
		}
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		if complete && set == setAnswers {
			if err := n.putMatches(tx, s, matches); err != nil {
				return err
			}
		}
		if err := n.kept.chunks.Put(tx, chunkKey(s.ID, set, index), body); err != nil {
			return err
		}
		if set == setBundle && s.Protocol == ProtocolVOPRF {
			if err := n.spendEvaluations(tx, s, uint64(c.ChunkLen(i))); err != nil {
				return err
			}
		}
		// The last chunk of what the responder's work needs sets it off.
		if complete && (set == setClaims || set == setBundle && s.Protocol == ProtocolNoise) {
			if err := n.beginMatching(tx, s); err != nil {
				return err
			}
		}
		return n.putSession(tx, s)
	})
}

func (n *Node) beginMatching(tx *store.Tx, s *session) error {
	job, err := n.jobs.Enqueue(tx, jobRespond, sessionParams{Exchange: s.ID})
	s.State, s.Job = StateMatching, job.ID
	return err
}

// respond is the responder's job: to make the own set once the exchange is opened, and to match once the bundle is here.
func (n *Node) respond(ctx context.Context, t *jobs.Task) error {
	var p sessionParams
	if err := t.Params(&p); err != nil {
		return err
	}
	s, err := n.session(ctx, p.Exchange)
	if err != nil {
		return err
	}
	if peer, perr := n.peer(ctx, s.Peer); perr != nil {
		return perr
	} else if peer.Peer.State != PeerApproved {
		return n.giveUp(ctx, s.ID, notApproved(&peer.Peer))
	}
	if s.State != StateOpening && s.State != StateMatching {
		return nil // done before a restart, or ended meanwhile
	}
	stage, ended := n.observe(ctx, s)
	if s.State == StateOpening {
		err = n.commitOwn(stage, t, s)
	} else {
		err = protocols[s.Protocol].match(n, stage, t, s)
	}
	ended(err)
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), jobs.ErrCancelled):
		return n.cancelled(ctx, p.Exchange)
	case ctx.Err() != nil:
		return err
	}
	if end := n.giveUp(ctx, p.Exchange, err); end != nil {
		return end
	}
	return err
}

// commitOwn takes the own digests as they are now and commits to them, before anything of the initiator's set is compared.
func (n *Node) commitOwn(ctx context.Context, t *jobs.Task, s *session) error {
	p, err := n.sessionProfile(s)
	if err != nil {
		return err
	}
	set, err := protocols[s.Protocol].commit(n, ctx, t, s, p)
	if err != nil {
		return err
	}
	own, raw := set.own.keep(s)
	return n.advance(ctx, s, StateOpening, func(tx *store.Tx, s *session) error {
		s.Sets[setTags], s.OwnRoot, s.OwnCount = set.commitment, set.commitment.Root.String(), set.commitment.Count
		s.Epoch, s.PK, s.State = set.epoch, set.pk, StateAccepted
		s.BasePoints, s.BaseTags, s.Rows, s.Sequence = set.basePoints, set.baseTags, set.rows, set.own.sequence
		for name, data := range set.keep {
			chunk := merkle.MaxChunkBytes
			if name == setTags {
				chunk = set.commitment.ChunkEntries * set.commitment.EntrySize
			}
			if err := n.putSet(tx, s.ID, name, data, chunk); err != nil {
				return err
			}
		}
		return n.putSet(tx, s.ID, own, raw, merkle.MaxChunkBytes)
	})
}

// advance changes a session in the state in which a job left it; if it is in another state by now, the job's work is dropped.
func (n *Node) advance(ctx context.Context, s *session, in State, change func(tx *store.Tx, s *session) error) error {
	defer n.locks.lock(s.ID)()
	now, err := n.session(ctx, s.ID)
	if err != nil || now.State != in {
		return err
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		if err := change(tx, now); err != nil {
			return err
		}
		return n.putSession(tx, now)
	})
}
