package exchange

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
	"ihyid/store"
	"ihyid/store/jobs"
)

// commitVOPRF computes the outputs of the own digests under the epoch's key, and commits to their tags.
func (n *Node) commitVOPRF(ctx context.Context, t *jobs.Task, s *session, own *ownSet) (*committed, error) {
	e, key, err := n.currentEpoch(ctx, s)
	if err != nil {
		return nil, err
	}
	t.Describe("digests", "computing tags")
	outputs := make([]voprf.Output, len(own.digests))
	const part = 1 << 14 // digests between two reports
	for from := 0; from < len(outputs); from += part {
		to := min(from+part, len(outputs))
		if err := key.Outputs(ctx, own.digests[from:to], outputs[from:to]); err != nil {
			return nil, err
		}
		t.Progress(uint64(to), uint64(len(outputs)))
	}
	set, err := voprf.NewTagSet(outputs, s.seed32())
	if err != nil {
		return nil, err
	}
	commitment, err := merkle.Commit(set.Tags, voprf.TagSize)
	if err != nil {
		return nil, err
	}
	return &committed{
		commitment: commitment, epoch: e.ID, pk: hex.EncodeToString(key.Public().Bytes()),
		keep: map[string][]byte{setTags: set.Tags, setOutputs: outputBytes(outputs)},
	}, nil
}

func outputBytes(outputs []voprf.Output) []byte {
	b := make([]byte, 0, len(outputs)*voprf.OutputSize)
	for i := range outputs {
		b = append(b, outputs[i][:]...)
	}
	return b
}

// evaluated gives the evaluation of one chunk of points, which is under the committed root. It is made once and kept: asked for again, it is the same
// byte for byte, costs nothing and is not counted again.
func (n *Node) evaluated(ctx context.Context, s *session, index uint32) ([]byte, error) {
	if s.State != StateAccepted || int(index) >= len(s.Arrived[setBundle]) || s.Arrived[setBundle][index].First == nil {
		return nil, notYet(s)
	}
	select { // one at a time: each takes all cores
	case n.evaluating <- struct{}{}:
		defer func() { <-n.evaluating }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var points, kept []byte
	err := n.store.View(ctx, func(tx *store.Tx) (err error) {
		if kept, err = n.kept.chunks.Get(tx, chunkKey(s.ID, setEvaluated, index)); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		points, err = n.kept.chunks.Get(tx, chunkKey(s.ID, setBundle, index))
		return err
	})
	if err != nil || kept != nil {
		return kept, err
	}
	key, err := n.sessionEpoch(ctx, s)
	if err != nil {
		return nil, err
	}
	out, proof, err := key.Evaluate(ctx, points)
	if err != nil {
		return nil, &Error{Code: CodeCommitment, Detail: "the points cannot be evaluated", Err: err}
	}
	out = append(out, proof[:]...)
	defer n.locks.lock(s.ID)()
	return out, n.store.Update(ctx, func(tx *store.Tx) error {
		// The exchange may have ended meanwhile: nothing of it is to be kept then, or be told.
		if now, err := n.kept.sessions.Get(tx, s.key()); err != nil || now.State != StateAccepted {
			return errors.Join(err, notYet(s))
		}
		return n.kept.chunks.Put(tx, chunkKey(s.ID, setEvaluated, index), out)
	})
}

// onOffer takes the commitment to the initiator's claims, once all its points are here.
func (n *Node) onOffer(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var a setSubject
	if err := m.read(&a); err != nil {
		return nil, err
	}
	return n.answerStep(ctx, m, a.Previous, a.Transcript, a.Exchange, kindOfferReply, func(s *session) (any, [][]byte, func(*store.Tx) error, error) {
		if s.Protocol != ProtocolVOPRF || s.State != StateAccepted || !complete(s.Arrived[setBundle]) {
			return nil, nil, nil, notYet(s)
		}
		if err := a.Commitment.Validate(voprf.ClaimSize, s.PeerCount*voprf.MaxRowsPerPoint); err != nil {
			return nil, nil, nil, &Error{Code: CodeCommitment, Detail: "the commitment to the claims is wrong", Err: err}
		}
		s.Sets[setClaims], s.State = &a.Commitment, StateClaiming
		s.Arrived[setClaims] = make([]edges, a.Commitment.Chunks())
		var extra func(*store.Tx) error
		if a.Commitment.Count == 0 {
			extra = func(tx *store.Tx) error { return n.beginMatching(tx, s) }
		}
		return stepSubject{Exchange: s.ID, Previous: m.Digest, Transcript: s.Transcript}, nil, extra, nil
	})
}

// matchVOPRF checks every claim against the committed points and the own digests, groups them by row, and answers by the tier rule.
func (n *Node) matchVOPRF(ctx context.Context, t *jobs.Task, s *session) error {
	own, err := n.loadOwn(ctx, s)
	if err != nil {
		return err
	}
	outputs, err := n.loadOutputs(ctx, s, len(own.digests))
	if err != nil {
		return err
	}
	tags, err := voprf.NewTagSet(outputs, s.seed32())
	if err != nil {
		return err
	}
	points, err := n.getSet(ctx, s.ID, setBundle)
	if err != nil {
		return err
	}
	raw, err := n.getSet(ctx, s.ID, setClaims)
	if err != nil {
		return err
	}
	claims, err := voprf.DecodeClaims(nil, raw, []uint32{uint32(s.PeerCount)})
	if err != nil {
		return &Error{Code: CodeCommitment, Detail: "the claims are not well-formed", Err: err}
	}
	transcript, err := hash32(s.Transcript)
	if err != nil {
		return err
	}
	t.Describe("claims", "checking the claims")
	openings, digestOf := make([]voprf.Opening, len(claims)), make([]int, len(claims))
	for i, c := range claims {
		d, ok := tags.Lookup(c.Tag)
		if !ok {
			return fail(CodeMismatch, "a claim is of a contact that this node does not have; the result is refused")
		}
		digestOf[i] = d
		openings[i] = voprf.Opening{Claim: c, Point: [voprf.PointSize]byte(points[int(c.Index)*voprf.PointSize:]), Digest: &own.digests[d], Output: &outputs[d]}
	}
	untrue, err := voprf.CheckClaims(ctx, &transcript, openings)
	if err != nil {
		return err
	}
	if len(untrue) > 0 {
		return fail(CodeMismatch, "%d of %d claims are not true; the result is refused", len(untrue), len(claims))
	}
	p, err := n.sessionProfile(s)
	if err != nil {
		return err
	}
	agreed := pairing{}
	for i, c := range claims {
		for _, h := range own.holders(digestOf[i]) {
			agreed[pairKey{h.contact, c.Row}] |= 1 << h.key
		}
	}
	pairs := s.disclosed(agreed.pairs(p))
	seed := s.seed32()
	answers := make([]answer.Answer, len(pairs))
	for i, q := range pairs {
		answers[i] = answer.Answer{Initiator: q.row, Responder: rowOf(seed, q.contact), Keys: q.keys, Tier: answerTier(q.tier)}
	}
	data, err := answer.Encode(answers)
	if err != nil {
		return err
	}
	commitment, err := merkle.Commit(data, answer.Size)
	if err != nil {
		return err
	}
	return n.advance(ctx, s, StateMatching, func(tx *store.Tx, s *session) error {
		matches := s.setResult(p, pairs)
		s.Sets[setAnswers], s.State = commitment, StateAnswering
		if err := n.putMatches(tx, s, matches); err != nil {
			return err
		}
		return n.putSet(tx, s.ID, setAnswers, data, commitment.ChunkEntries*answer.Size)
	})
}

func (n *Node) loadOutputs(ctx context.Context, s *session, digests int) ([]voprf.Output, error) {
	raw, err := n.getSet(ctx, s.ID, setOutputs)
	if err != nil {
		return nil, err
	}
	if len(raw) != digests*voprf.OutputSize {
		return nil, fmt.Errorf("%d outputs are kept of %d digests", len(raw)/voprf.OutputSize, digests)
	}
	out := make([]voprf.Output, digests)
	for i := range out {
		out[i] = voprf.Output(raw[i*voprf.OutputSize:])
	}
	return out, nil
}

// onResult gives the commitment to the answers.
func (n *Node) onResult(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var r stepSubject
	if err := m.read(&r); err != nil {
		return nil, err
	}
	return n.answerStep(ctx, m, r.Previous, r.Transcript, r.Exchange, kindResultReply, func(s *session) (any, [][]byte, func(*store.Tx) error, error) {
		if s.Protocol != ProtocolVOPRF || s.State != StateAnswering {
			return nil, nil, nil, notYet(s)
		}
		s.State = StateReceipt
		return setSubject{
			Exchange: s.ID, Previous: m.Digest, Transcript: s.Transcript, Commitment: *s.Sets[setAnswers],
			Matches: fmt.Sprint(s.Pairs), Possibles: fmt.Sprint(s.Maybes),
		}, nil, nil, nil
	})
}
