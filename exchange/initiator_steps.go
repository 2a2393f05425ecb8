package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"ihyid/exchange/merkle"
	"ihyid/exchange/noise"
	"ihyid/exchange/voprf"
	"ihyid/store"
	"ihyid/store/jobs"
)

// The steps that both matching protocols have in common. Those of one protocol are in noise_initiator.go and voprf_initiator.go.

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
