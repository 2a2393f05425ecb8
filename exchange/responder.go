package exchange

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/noise"
	"ihyid/store"
	"ihyid/store/jobs"
)

const (
	jobRespond          = "exchange.respond"
	maxOpenSessionsPeer = 4 // exchanges that one peer may have open at once
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

// policy says under which agreement an opening falls, and whether the operator is to be asked: not under an agreement, nor if there is none
// with the peer at all, unless the node asks always.
func (n *Node) policy(ctx context.Context, o *openingSubject, peer *peerRecord) (agreed *Agreement, ask bool, err error) {
	if o.Agreement == peer.Peer.Registration {
		_, any, err := n.standing(ctx, o.Initiator, o.Profile, o.Purpose, o.Protocol)
		return nil, any || n.askAlways, err
	}
	r, err := n.agreement(ctx, o.Agreement)
	if CodeOf(err) == CodeNotFound || err == nil && r.Peer != o.Initiator {
		return nil, false, fail(CodeMismatch, "the bundle names neither the registration nor an agreement that this node has with you")
	}
	if err != nil {
		return nil, false, err
	}
	if r.State != AgreementActive {
		return nil, false, fail(CodePeerState, "the agreement is %s here", r.State)
	}
	return &r.Agreement, false, r.Terms.covers(n.now(), o.Profile, o.Purpose, o.Protocol)
}

// ApproveExchange lets an exchange run that waits for this node's operator.
func (n *Node) ApproveExchange(ctx context.Context, id string) (Exchange, error) {
	return n.decideExchange(ctx, id, func(s *session) error {
		s.State = StateOpening
		return n.store.Update(ctx, func(tx *store.Tx) error {
			job, err := n.jobs.Enqueue(tx, jobRespond, sessionParams{Exchange: s.ID})
			if err != nil {
				return err
			}
			s.Job = job.ID
			return n.putSession(tx, s)
		})
	})
}

// RefuseExchange ends an exchange that waits for this node's operator. The peer is told that it was refused, not why.
func (n *Node) RefuseExchange(ctx context.Context, id, reason string) (Exchange, error) {
	if err := checkReason(reason); err != nil {
		return Exchange{}, err
	}
	return n.decideExchange(ctx, id, func(s *session) error {
		return n.endSession(ctx, s, fail(CodePeerState, "refused here: %s", reason))
	})
}

func (n *Node) decideExchange(ctx context.Context, id string, act func(s *session) error) (Exchange, error) {
	decide := func() error {
		defer n.locks.lock(id)()
		s, err := n.session(ctx, id)
		if err != nil {
			return err
		}
		if s.State != StateWaiting {
			return fail(CodeExchangeState, "exchange %s is %s: there is nothing to decide", s.ID, s.State)
		}
		return act(s)
	}
	if err := decide(); err != nil {
		return Exchange{}, err
	}
	return n.Exchange(ctx, id)
}

// reopen answers an opening that was heard before: with the same credential and a new token.
func (n *Node) reopen(ctx context.Context, s *session, m *message, token string) (*reply, error) {
	if s.Peer != m.From || s.Role != Responder {
		return nil, fail(CodeUnknownExchange, "that exchange id is taken")
	}
	if s.State == StateFailed {
		return nil, failedHere(s)
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
	open := 0
	all, err := n.Exchanges(ctx)
	if err != nil {
		return "", err
	}
	for _, e := range all {
		if e.Peer == m.From && e.Role == Responder && !e.State.Finished() {
			open++
		}
	}
	if open >= maxOpenSessionsPeer {
		return "", fail(CodeTooMany, "you have %d exchanges open here; finish one or let it expire", open)
	}
	return profile, nil
}

// keepLetters keeps a request and the reply to it.
func (n *Node) keepLetters(tx *store.Tx, s *session, m *message, k kind, credential []byte, attached [][]byte) error {
	if err := n.kept.letters.Put(tx, letterKey(s.ID, m.Kind), letterOf(m)); err != nil {
		return err
	}
	return n.kept.letters.Put(tx, letterKey(s.ID, k), letter{From: n.DID(), Credential: credential, Attached: rawMessages(attached)})
}

// replyAgain gives the kept reply to a request that was heard before, nil if it was not; another request in its place is a conflict.
func (n *Node) replyAgain(ctx context.Context, s *session, m *message, k kind) (*reply, error) {
	var out *reply
	err := n.store.View(ctx, func(tx *store.Tx) error {
		heard, err := n.kept.letters.Get(tx, letterKey(s.ID, m.Kind))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !sameJSON(heard.Credential, m.Credential) {
			return fail(CodeConflict, "this step of the exchange was taken before with another message")
		}
		l, err := n.kept.letters.Get(tx, letterKey(s.ID, k))
		if err != nil {
			return err
		}
		out = &reply{credentials: append([][]byte{l.Credential}, rawBytes(l.Attached)...)}
		return nil
	})
	return out, err
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
	if previous != s.Previous || transcript != s.Transcript {
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

func (n *Node) onClaims(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var r stepSubject
	if err := m.read(&r); err != nil {
		return nil, err
	}
	return n.answerStep(ctx, m, r.Previous, r.Transcript, r.Exchange, kindClaimsReply, func(s *session) (any, [][]byte, func(*store.Tx) error, error) {
		if s.Protocol != ProtocolNoise || s.State != StateClaiming {
			return nil, nil, nil, notYet(s)
		}
		return setSubject{Exchange: s.ID, Previous: m.Digest, Transcript: s.Transcript, Commitment: *s.Sets[setClaims]}, nil, nil, nil
	})
}

func (n *Node) onAnswers(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var a setSubject
	if err := m.read(&a); err != nil {
		return nil, err
	}
	return n.answerStep(ctx, m, a.Previous, a.Transcript, a.Exchange, kindAnswersReply, func(s *session) (any, [][]byte, func(*store.Tx) error, error) {
		if s.Protocol != ProtocolNoise || s.State != StateClaiming {
			return nil, nil, nil, notYet(s)
		}
		// Every claim concerns at most maxSharers contacts of the initiator.
		if err := a.Commitment.Validate(answer.Size, s.Sets[setClaims].Count*maxSharers); err != nil {
			return nil, nil, nil, &Error{Code: CodeCommitment, Detail: "the commitment to the answers is wrong", Err: err}
		}
		matches, err1 := parseCount(a.Matches)
		possibles, err2 := parseCount(a.Possibles)
		if err1 != nil || err2 != nil || matches+possibles != a.Commitment.Count {
			return nil, nil, nil, fail(CodeCommitment, "the numbers of matches and possibles do not add up to the number of answers")
		}
		s.Sets[setAnswers], s.State = &a.Commitment, StateAnswering
		s.Arrived[setAnswers] = make([]edges, a.Commitment.Chunks())
		s.Pairs, s.Maybes = matches, possibles
		if a.Commitment.Chunks() == 0 {
			if _, err := n.takeAnswers(ctx, s, nil); err != nil {
				return nil, nil, nil, err
			}
		}
		return stepSubject{Exchange: s.ID, Previous: m.Digest, Transcript: s.Transcript}, nil, nil, nil
	})
}

// authorise finds the exchange that a bearer token is good for.
func (n *Node) authorise(ctx context.Context, token, id string) (*session, error) {
	refused := fail(CodeToken, "the token is missing, wrong or expired; send the opening again for a new one")
	if !isHex(token, 32) || !isHex(id, 16) {
		return nil, refused
	}
	s, err := n.session(ctx, id)
	if CodeOf(err) == CodeUnknownExchange {
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	if s.Role != Responder || subtle.ConstantTimeCompare([]byte(hashToken(token)), []byte(s.Token)) != 1 || !n.now().Before(s.TokenExpiry) {
		return nil, refused
	}
	peer, err := n.peer(ctx, s.Peer)
	if err != nil {
		return nil, err
	}
	if peer.Peer.State != PeerApproved {
		return nil, fail(CodePeerSuspended, "this node has suspended you; ask its administrator why")
	}
	return s, nil
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
	var matches []Match
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

// complete reports whether all chunks of a set have arrived.
func complete(arrived []edges) bool {
	for _, e := range arrived {
		if e.First == nil {
			return false
		}
	}
	return true
}

// getSetWith reads a set of which one chunk is not kept yet.
func (n *Node) getSetWith(ctx context.Context, id, set string, index uint32, body []byte) ([]byte, error) {
	before, err := n.getSet(ctx, id, set)
	if err != nil {
		return nil, err
	}
	at := min(int(index)*merkle.ChunkEntries(answer.Size)*answer.Size, len(before))
	out := append([]byte{}, before[:at]...)
	out = append(out, body...)
	return append(out, before[at:]...), nil
}

// GetChunk gives the initiator one chunk of a set of this node: in the protocol noise the claims; in voprf the tags, the evaluations of the
// initiator's own points, and the answers.
func (n *Node) GetChunk(ctx context.Context, token, id, set string, index uint32) ([]byte, error) {
	s, err := n.authorise(ctx, token, id)
	if err != nil {
		return nil, err
	}
	if s.State == StateFailed {
		return nil, failedHere(s)
	}
	switch {
	case s.Protocol == ProtocolVOPRF && set == setEvaluated:
		return n.evaluated(ctx, s, index)
	case s.Protocol == ProtocolVOPRF && (set == setTags && s.Transcript != "" || set == setAnswers && s.State == StateReceipt):
	case s.Protocol == ProtocolNoise && set == setClaims:
	default:
		return nil, fail(CodeExchangeState, "this exchange has no such chunk to give")
	}
	if c := s.Sets[set]; c == nil || int64(index) >= int64(c.Chunks()) {
		return nil, fail(CodeExchangeState, "this exchange has no such chunk to give")
	}
	var out []byte
	err = n.store.View(ctx, func(tx *store.Tx) error {
		out, err = n.kept.chunks.Get(tx, chunkKey(id, set, index))
		return err
	})
	return out, err
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
		return n.giveUp(ctx, s.ID, fail(CodePeerState, "the peer is %s now", peer.Peer.State))
	}
	switch s.State {
	case StateOpening:
		err = n.commitOwn(ctx, t, s)
	case StateMatching:
		err = protocols[s.Protocol].match(n, ctx, t, s)
	default:
		return nil // done before a restart, or ended meanwhile
	}
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
	own, err := n.gather(ctx, p, t.Progress)
	if err != nil {
		return err
	}
	set, err := protocols[s.Protocol].commit(n, ctx, t, s, own)
	if err != nil {
		return err
	}
	return n.advance(ctx, s, StateOpening, func(tx *store.Tx, s *session) error {
		s.Sets[setTags], s.OwnRoot, s.OwnCount = set.commitment, set.commitment.Root.String(), set.commitment.Count
		s.Epoch, s.PK, s.State = set.epoch, set.pk, StateAccepted
		s.BasePoints, s.BaseTags = set.basePoints, set.baseTags
		for name, data := range set.keep {
			chunk := merkle.MaxChunkBytes
			if name == setTags {
				chunk = set.commitment.ChunkEntries * set.commitment.EntrySize
			}
			if err := n.putSet(tx, s.ID, name, data, chunk); err != nil {
				return err
			}
		}
		return n.putSet(tx, s.ID, setOwn, own.encode(), merkle.MaxChunkBytes)
	})
}

// commitNoise commits to the own digests without ever sending them: an auditor could have it opened.
func (n *Node) commitNoise(_ context.Context, _ *jobs.Task, s *session, own *ownSet) (*committed, error) {
	set, err := noise.Build(own.digests, s.seed32())
	if err != nil {
		return nil, err
	}
	commitment, err := merkle.Commit(set.Entries, noise.EntrySize)
	return &committed{commitment: commitment}, err
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

// matchCursor is how far a matching job is: it can go on from there after a restart.
type matchCursor struct {
	Next int         `json:"next"`
	Hits []noise.Hit `json:"hits"`
}

// matchNoise tries every own digest on every entry of the bundle and makes a claim of every hit.
func (n *Node) matchNoise(ctx context.Context, t *jobs.Task, s *session) error {
	own, err := n.loadOwn(ctx, s)
	if err != nil {
		return err
	}
	entries, err := n.getSet(ctx, s.ID, setBundle)
	if err != nil {
		return err
	}
	var cursor matchCursor
	if _, err := t.Cursor(&cursor); err != nil {
		return err
	}
	saved := n.now()
	err = noise.NewMatcher(own.digests).Match(ctx, entries, cursor.Next, func(step noise.Step) error {
		cursor.Next, cursor.Hits = step.Next, append(cursor.Hits, step.Hits...)
		t.Progress(uint64(step.Next), uint64(step.Total))
		if n.now().Sub(saved) < 10*time.Second {
			return nil
		}
		saved = n.now()
		return n.store.Update(ctx, func(tx *store.Tx) error {
			return t.Save(tx, cursor, uint64(step.Next), uint64(step.Total))
		})
	})
	if err != nil {
		return err
	}
	transcript, err := hash32(s.Transcript)
	if err != nil {
		return err
	}
	var claims []noise.Claim
	for _, h := range cursor.Hits {
		for _, holder := range own.holders(h.Digest) {
			c, err := noise.NewClaim(entries, h.Entry, &own.digests[h.Digest], rowOf(s.seed32(), holder.contact), &transcript)
			if err != nil {
				return err
			}
			claims = append(claims, c)
		}
	}
	data, err := noise.EncodeClaims(claims)
	if err != nil {
		return err
	}
	commitment, err := merkle.Commit(data, noise.ClaimSize)
	if err != nil {
		return err
	}
	return n.advance(ctx, s, StateMatching, func(tx *store.Tx, s *session) error {
		s.Sets[setClaims], s.State = commitment, StateClaiming
		chunk := commitment.ChunkEntries * noise.ClaimSize
		return n.putSet(tx, s.ID, setClaims, data, chunk)
	})
}

// takeAnswers checks the initiator's answers against the own claims, counts them in the session and gives the matches to be kept.
func (n *Node) takeAnswers(ctx context.Context, s *session, data []byte) ([]Match, error) {
	p, err := n.sessionProfile(s)
	if err != nil {
		return nil, err
	}
	mine, err := n.claimedRows(ctx, s)
	if err != nil {
		return nil, err
	}
	pairs, err := pairsFromAnswers(p, mine, data, func(a *answer.Answer) (own, theirs answer.Row) { return a.Responder, a.Initiator })
	if err != nil {
		return nil, err
	}
	s.State = StateReceipt
	return s.checkedResult(p, pairs)
}

// claimedRows works out again which contacts were claimed on which keys.
func (n *Node) claimedRows(ctx context.Context, s *session) (claimed, error) {
	own, err := n.loadOwn(ctx, s)
	if err != nil {
		return nil, err
	}
	entries, err := n.getSet(ctx, s.ID, setBundle)
	if err != nil {
		return nil, err
	}
	data, err := n.getSet(ctx, s.ID, setClaims)
	if err != nil {
		return nil, err
	}
	claims, err := noise.DecodeClaims(nil, data, len(entries)/noise.EntrySize)
	if err != nil {
		return nil, err
	}
	transcript, err := hash32(s.Transcript)
	if err != nil {
		return nil, err
	}
	contactOf := map[answer.Row]uint64{}
	holdingsOf := map[uint64][]int{}
	for i := range own.digests {
		for _, h := range own.holders(i) {
			holdingsOf[h.contact] = append(holdingsOf[h.contact], i)
		}
	}
	seed := s.seed32()
	for contact := range holdingsOf {
		contactOf[rowOf(seed, contact)] = contact
	}
	out := claimed{}
	for _, c := range claims {
		contact, ok := contactOf[c.Row]
		if !ok {
			return nil, errors.New("a kept claim is of no own contact")
		}
		for _, i := range holdingsOf[contact] {
			again, err := noise.NewClaim(entries, int(c.Entry), &own.digests[i], c.Row, &transcript)
			if err != nil {
				return nil, err
			}
			if again.MAC != c.MAC {
				continue
			}
			for _, h := range own.holders(i) {
				if h.contact == contact {
					got := out[c.Row]
					got.contact, got.keys = contact, got.keys|1<<h.key
					out[c.Row] = got
				}
			}
		}
	}
	return out, nil
}
