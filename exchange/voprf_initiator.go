package exchange

import (
	"context"
	"encoding/hex"
	"fmt"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
	"ihyid/store"
	"ihyid/store/jobs"
)

// Sets of the protocol voprf, beside the bundle, which holds the initiator's blinded points.
const (
	setEvaluated = "evaluated" // of every chunk of points: the evaluated points and their proof; made when asked for
	setTags      = "tags"      // the responder's
	setOutputs   = "outputs"   // never sent: the outputs of the own digests
)

// prepareVOPRF blinds the own digests.
func (n *Node) prepareVOPRF(ctx context.Context, t *jobs.Task, s *session, own *ownSet) (*merkle.Commitment, error) {
	total := uint64(len(own.digests))
	t.Describe("digests", "blinding")
	set, err := voprf.Blind(ctx, own.digests, s.seed32(), func(done int) { t.Progress(uint64(done), total) })
	if err != nil {
		return nil, err
	}
	return merkle.Commit(set.Points, voprf.PointSize)
}

// evaluateRemotely has the responder evaluate the own points chunk by chunk, and checks and unblinds each before the next.
func (n *Node) evaluateRemotely(ctx context.Context, t *jobs.Task, s *session, to peerAddress) error {
	pk, err := parsePK(s.PK)
	if err != nil {
		return err
	}
	own, err := n.loadOwn(ctx, s)
	if err != nil {
		return err
	}
	done, err := n.setChunks(ctx, s.ID, setEvaluated)
	if err != nil {
		return err
	}
	c := s.Sets[setBundle]
	t.Describe("chunks", "having the points evaluated")
	var blinded *voprf.BlindedSet
	for i := range c.Chunks() {
		if done[uint32(i)] {
			continue
		}
		if blinded == nil {
			if blinded, err = voprf.Blind(ctx, own.digests, s.seed32(), nil); err != nil {
				return err
			}
		}
		if err := n.evaluateChunk(ctx, s, to, blinded, pk, len(own.digests), i); err != nil {
			return err
		}
		t.Progress(uint64(i+1), uint64(c.Chunks()))
	}
	outputs, err := n.gatherOutputs(ctx, s, len(own.digests))
	if err != nil {
		return err
	}
	return n.prepareClaims(ctx, s, to, own, blinded, outputs)
}

// evaluateChunk sends one chunk of points and keeps what it unblinds to: of every digest in it, its number and its output.
func (n *Node) evaluateChunk(ctx context.Context, s *session, to peerAddress, blinded *voprf.BlindedSet, pk *voprf.PublicKey, digests, i int) error {
	body := blinded.Chunk(i)
	url := func(set string) string { return fmt.Sprintf("%s/exchanges/%s/%s/chunks/%d", to.Endpoint, s.ID, set, i) }
	if _, err := n.call(ctx, TransportRequest{Method: "PUT", URL: url(setBundle), Token: s.Token, ContentType: "application/octet-stream", Body: body, MaxReply: maxSmallReply}); err != nil {
		return n.renewToken(ctx, s, err)
	}
	reply, err := n.call(ctx, TransportRequest{Method: "GET", URL: url(setEvaluated), Token: s.Token, MaxReply: int64(len(body) + voprf.ProofSize)})
	if err != nil {
		return n.renewToken(ctx, s, err)
	}
	if len(reply) != len(body)+voprf.ProofSize {
		return fail(CodeCommitment, "the other node evaluated %d bytes of points as %d", len(body), len(reply))
	}
	outputs := make([]voprf.Output, digests)
	if err := blinded.Unblind(ctx, pk, i, reply[:len(body)], reply[len(body):], outputs); err != nil {
		return &Error{Code: CodeCommitment, Detail: "the other node's evaluation is not by the key that it committed to", Err: err}
	}
	var keep []byte
	first := i * merkle.ChunkEntries(voprf.PointSize)
	for p := first; p < first+len(body)/voprf.PointSize; p++ {
		if d, ok := blinded.Digest(p); ok {
			keep = fmt.Appendf(keep, "%s", encodeOutput(uint32(d), &outputs[d]))
		}
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		return n.kept.chunks.Put(tx, chunkKey(s.ID, setEvaluated, uint32(i)), keep)
	})
}

const outputRecord = 4 + voprf.OutputSize

func encodeOutput(digest uint32, o *voprf.Output) []byte {
	return append([]byte{byte(digest >> 24), byte(digest >> 16), byte(digest >> 8), byte(digest)}, o[:]...)
}

// gatherOutputs puts the outputs of all chunks in the order of the own digests.
func (n *Node) gatherOutputs(ctx context.Context, s *session, digests int) ([]voprf.Output, error) {
	raw, err := n.getSet(ctx, s.ID, setEvaluated)
	if err != nil {
		return nil, err
	}
	if len(raw) != digests*outputRecord {
		return nil, fmt.Errorf("%d outputs are kept of %d digests", len(raw)/outputRecord, digests)
	}
	out := make([]voprf.Output, digests)
	for ; len(raw) > 0; raw = raw[outputRecord:] {
		d := int(raw[0])<<24 | int(raw[1])<<16 | int(raw[2])<<8 | int(raw[3])
		if d >= digests {
			return nil, fmt.Errorf("a kept output is of digest %d of %d", d, digests)
		}
		out[d] = voprf.Output(raw[4:outputRecord])
	}
	return out, nil
}

// setChunks says which chunks of a set are kept.
func (n *Node) setChunks(ctx context.Context, id, set string) (map[uint32]bool, error) {
	out := map[uint32]bool{}
	prefix := id + "/" + set + "/"
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for key, err := range n.kept.chunks.Keys(tx, store.Range{Prefix: []byte(prefix)}) {
			if err != nil {
				return err
			}
			var i uint32
			if _, err := fmt.Sscanf(string(key[len(prefix):]), "%08x", &i); err != nil {
				return err
			}
			out[i] = true
		}
		return nil
	})
	return out, err
}

// fetchSet fetches all chunks of a set that the responder committed to, and verifies each.
func (n *Node) fetchSet(ctx context.Context, s *session, to peerAddress, set string, c *merkle.Commitment) ([]byte, error) {
	data := make([]byte, 0, int(c.Count)*c.EntrySize)
	for i := range c.Chunks() {
		url := fmt.Sprintf("%s/exchanges/%s/%s/chunks/%d", to.Endpoint, s.ID, set, i)
		body, err := n.call(ctx, TransportRequest{Method: "GET", URL: url, Token: s.Token, MaxReply: int64(c.ChunkLen(i) * c.EntrySize)})
		if err != nil {
			return nil, n.renewToken(ctx, s, err)
		}
		var beside merkle.Neighbours
		if len(data) > 0 {
			beside.Before = data[len(data)-c.EntrySize:]
		}
		if err := c.VerifyChunk(i, body, beside); err != nil {
			return nil, &Error{Code: CodeCommitment, Detail: "what the other node sent does not fit what it committed to", Err: err}
		}
		data = append(data, body...)
	}
	return data, nil
}

// prepareClaims fetches the responder's tags, finds the own outputs among them, and makes the claims.
func (n *Node) prepareClaims(ctx context.Context, s *session, to peerAddress, own *ownSet, blinded *voprf.BlindedSet, outputs []voprf.Output) error {
	tags, err := n.fetchSet(ctx, s, to, setTags, s.Sets[setTags])
	if err != nil {
		return err
	}
	if blinded == nil {
		if blinded, err = voprf.Blind(ctx, own.digests, s.seed32(), nil); err != nil {
			return err
		}
	}
	transcript, err := hash32(s.Transcript)
	if err != nil {
		return err
	}
	var claims []voprf.Claim
	for _, d := range voprf.Common(outputs, tags) {
		for _, h := range own.holders(d) {
			c, err := blinded.Claim(0, d, rowOf(s.seed32(), h.contact), &outputs[d], &transcript)
			if err != nil {
				return err
			}
			claims = append(claims, c)
		}
	}
	data, err := voprf.EncodeClaims(claims)
	if err != nil {
		return err
	}
	commitment, err := merkle.Commit(data, voprf.ClaimSize)
	if err != nil {
		return err
	}
	// What the claims are about is kept, to hold the answers against: row and keys, without the outputs.
	s.Sets[setClaims], s.State = commitment, StateClaiming
	return n.store.Update(ctx, func(tx *store.Tx) error {
		if err := n.putSet(tx, s.ID, setClaims, data, merkle.MaxChunkBytes); err != nil {
			return err
		}
		return n.putSession(tx, s)
	})
}

// sendClaims commits to the claims, then sends them.
func (n *Node) sendClaims(ctx context.Context, t *jobs.Task, s *session, to peerAddress) error {
	sent, err := n.hasLetter(ctx, s, kindOfferReply)
	if err != nil {
		return err
	}
	if !sent {
		subject := setSubject{Exchange: s.ID, Previous: s.Previous, Transcript: s.Transcript, Commitment: *s.Sets[setClaims]}
		err := n.ask(ctx, s, to, kindOffer, kindOfferReply, subject, nil, func(m *message, _ string) error {
			var r stepSubject
			if err := m.read(&r); err != nil {
				return err
			}
			if r.Exchange != s.ID || r.Transcript != s.Transcript {
				return fail(CodeMismatch, "the other node's answer is about another exchange")
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
	}
	return n.sendChunks(ctx, t, s, to, setClaims, StateMatching)
}

// awaitAnswers waits until the responder has checked the claims, then takes its commitment to the answers.
func (n *Node) awaitAnswers(ctx context.Context, t *jobs.Task, s *session, to peerAddress) error {
	if _, err := n.progress(ctx, t, s, to, StateAnswering, StateReceipt); err != nil {
		return err
	}
	subject := stepSubject{Exchange: s.ID, Previous: s.Previous, Transcript: s.Transcript}
	return n.ask(ctx, s, to, kindResult, kindResultReply, subject, nil, func(m *message, _ string) error {
		var a setSubject
		if err := m.read(&a); err != nil {
			return err
		}
		if a.Exchange != s.ID || a.Transcript != s.Transcript {
			return fail(CodeMismatch, "the other node's answers are of another exchange")
		}
		// Every claim concerns at most maxSharers contacts of the responder.
		if err := a.Commitment.Validate(answer.Size, s.Sets[setClaims].Count*maxSharers); err != nil {
			return &Error{Code: CodeCommitment, Detail: "the other node's commitment to its answers is wrong", Err: err}
		}
		matches, err1 := parseCount(a.Matches)
		possibles, err2 := parseCount(a.Possibles)
		if err1 != nil || err2 != nil || matches+possibles != a.Commitment.Count {
			return fail(CodeCommitment, "the numbers of matches and possibles do not add up to the number of answers")
		}
		s.Sets[setAnswers], s.State = &a.Commitment, StateAnswering
		s.Pairs, s.Maybes = matches, possibles
		return nil
	}, nil)
}

// fetchAnswers takes the answers and holds them against the own claims.
func (n *Node) fetchAnswers(ctx context.Context, s *session, to peerAddress) error {
	data, err := n.fetchSet(ctx, s, to, setAnswers, s.Sets[setAnswers])
	if err != nil {
		return err
	}
	p, err := n.sessionProfile(s)
	if err != nil {
		return err
	}
	mine, err := n.claimedByInitiator(ctx, s)
	if err != nil {
		return err
	}
	pairs, err := pairsFromAnswers(p, mine, data, func(a *answer.Answer) (own, theirs answer.Row) { return a.Initiator, a.Responder })
	if err != nil {
		return err
	}
	matches, err := s.checkedResult(p, pairs)
	if err != nil {
		return err
	}
	s.State = StateReceipt
	return n.store.Update(ctx, func(tx *store.Tx) error {
		if err := n.putMatches(tx, s, matches); err != nil {
			return err
		}
		return n.putSession(tx, s)
	})
}

// claimedByInitiator works out again which contacts were claimed on which keys: from the claims and the own digests.
func (n *Node) claimedByInitiator(ctx context.Context, s *session) (claimed, error) {
	own, err := n.loadOwn(ctx, s)
	if err != nil {
		return nil, err
	}
	blinded, err := voprf.Blind(ctx, own.digests, s.seed32(), nil)
	if err != nil {
		return nil, err
	}
	raw, err := n.getSet(ctx, s.ID, setClaims)
	if err != nil {
		return nil, err
	}
	claims, err := voprf.DecodeClaims(nil, raw, []uint32{uint32(blinded.Len())})
	if err != nil {
		return nil, err
	}
	out := claimed{}
	for _, c := range claims {
		d, ok := blinded.Digest(int(c.Index))
		if !ok {
			return nil, fmt.Errorf("a kept claim is of padding")
		}
		for _, h := range own.holders(d) {
			if rowOf(s.seed32(), h.contact) == c.Row {
				got := out[c.Row]
				got.contact, got.keys = h.contact, got.keys|1<<h.key
				out[c.Row] = got
			}
		}
	}
	return out, nil
}

func parsePK(text string) (*voprf.PublicKey, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != voprf.PointSize {
		return nil, fail(CodeMismatch, "the other node's VOPRF public key cannot be read")
	}
	pk, err := voprf.ParsePublicKey(raw)
	if err != nil {
		return nil, &Error{Code: CodeMismatch, Detail: "the other node's VOPRF public key is none", Err: err}
	}
	return pk, nil
}
