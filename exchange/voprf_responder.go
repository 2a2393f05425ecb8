package exchange

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"ihyid/contacts"
	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
	"ihyid/store"
	"ihyid/store/jobs"
)

// commitVOPRF computes the outputs of the own digests under the epoch's key, of those that are new since what stands in it, and commits to
// their tags.
func (n *Node) commitVOPRF(ctx context.Context, t *jobs.Task, s *session, p *contacts.Profile) (*committed, error) {
	e, key, err := n.currentEpoch(ctx, s)
	if err != nil {
		return nil, err
	}
	c := &committed{epoch: e.ID, pk: hex.EncodeToString(key.Public().Bytes())}
	if c.rows = s.Seed; s.Base != "" {
		c.rows = e.Rows
		c.basePoints, c.baseTags = e.sums()
	}
	if c.own, err = n.take(ctx, s, p, t.Progress); err != nil {
		return nil, err
	}
	fresh, err := n.fresh(ctx, s, c.own, setOutputs, publishedRecord)
	if err != nil {
		return nil, err
	}
	t.Describe("digests", "computing tags")
	outputs := make([]voprf.Output, len(fresh))
	const part = 1 << 14 // digests between two reports
	for from := 0; from < len(outputs); from += part {
		to := min(from+part, len(outputs))
		if err := key.Outputs(ctx, fresh[from:to], outputs[from:to]); err != nil {
			return nil, err
		}
		t.Progress(uint64(to), uint64(len(outputs)))
	}
	set, err := voprf.NewTagSet(outputs, s.seed32())
	if err != nil {
		return nil, err
	}
	if c.commitment, err = merkle.Commit(set.Tags, voprf.TagSize); err != nil {
		return nil, err
	}
	raw := make([]byte, 0, len(outputs)*publishedRecord)
	for i := range outputs {
		raw = append(append(raw, fresh[i][:]...), outputs[i][:]...)
	}
	c.keep = map[string][]byte{setTags: set.Tags, setOutputs: raw}
	return c, nil
}

// A digest whose tag was published is kept with its output.
const publishedRecord = 32 + voprf.OutputSize

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
		now, err := n.kept.sessions.Get(tx, s.key())
		if err != nil {
			return err
		}
		if now.State != StateAccepted {
			return notYet(&now)
		}
		// From here on the initiator may know something, so from here on it is held to the end.
		now.Evaluated += uint64(len(points) / voprf.PointSize)
		if err := n.putSession(tx, &now); err != nil {
			return err
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
		if err := a.Commitment.Validate(voprf.ClaimSize, (s.BasePoints+s.PeerCount)*2*voprf.MaxRowsPerPoint); err != nil {
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
