package exchange

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
	"ihyid/store"
	"ihyid/store/jobs"
)

// commitVOPRF computes the outputs of the own digests under the epoch's key, of those that are new since what stands in it, and commits to
// their tags.
func (n *Node) commitVOPRF(ctx context.Context, t *jobs.Task, s *session, own *ownSet) (*committed, error) {
	e, key, err := n.currentEpoch(ctx, s)
	if err != nil {
		return nil, err
	}
	c := &committed{epoch: e.ID, pk: hex.EncodeToString(key.Public().Bytes())}
	if c.rows = s.Seed; s.Base != "" {
		c.rows = e.Rows
		c.basePoints, c.baseTags = e.sums()
	}
	before, err := n.publishedBefore(ctx, s)
	if err != nil {
		return nil, err
	}
	fresh := own.digests
	if len(before) > 0 {
		stands := make(map[[32]byte]bool, len(before))
		for i := range before {
			stands[before[i].digest] = true
		}
		fresh = nil
		for _, d := range own.digests {
			if !stands[d] {
				fresh = append(fresh, d)
			}
		}
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

// publishedTag is a digest whose tag was published, with its output.
type publishedTag struct {
	digest [32]byte
	output voprf.Output
}

const publishedRecord = 32 + voprf.OutputSize

// publishedBefore are the responder's digests whose tags stand in the epoch.
func (n *Node) publishedBefore(ctx context.Context, s *session) ([]publishedTag, error) {
	sets, _, err := n.standingSets(ctx, s, setOutputs)
	if err != nil {
		return nil, err
	}
	var out []publishedTag
	for _, raw := range sets {
		if out, err = appendPublished(out, raw); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func appendPublished(out []publishedTag, raw []byte) ([]publishedTag, error) {
	if len(raw)%publishedRecord != 0 {
		return nil, errDamaged(true)
	}
	for ; len(raw) > 0; raw = raw[publishedRecord:] {
		out = append(out, publishedTag{[32]byte(raw), voprf.Output(raw[32:publishedRecord])})
	}
	return out, nil
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

// matchVOPRF checks every claim against the committed points and the own digests, groups them by row, and answers by the tier rule.
func (n *Node) matchVOPRF(ctx context.Context, t *jobs.Task, s *session) error {
	own, err := n.loadOwn(ctx, s)
	if err != nil {
		return err
	}
	all, err := n.publishedBefore(ctx, s)
	if err != nil {
		return err
	}
	new, err := n.getSet(ctx, s.ID, setOutputs)
	if err != nil {
		return err
	}
	if all, err = appendPublished(all, new); err != nil {
		return err
	}
	sets, _, err := n.standingSets(ctx, s, setBundle)
	if err != nil {
		return err
	}
	points, err := n.getSet(ctx, s.ID, setBundle)
	if err != nil {
		return err
	}
	sets = append(sets, points)
	sizes := make([]uint32, len(sets))
	for i := range sets {
		sizes[i] = uint32(len(sets[i]) / voprf.PointSize)
	}
	raw, err := n.getSet(ctx, s.ID, setClaims)
	if err != nil {
		return err
	}
	claims, err := voprf.DecodeClaims(nil, raw, sizes)
	if err != nil {
		return &Error{Code: CodeCommitment, Detail: "the claims are not well-formed", Err: err}
	}
	transcript, err := hash32(s.Transcript)
	if err != nil {
		return err
	}
	before, err := n.standingList(ctx, s, setLive)
	if err != nil {
		return err
	}
	stood, err := decodeLive(before)
	if err != nil {
		return err
	}
	t.Describe("claims", "checking the claims")
	digests := tagsOf(stood, claims, all)
	var openings []voprf.Opening
	for _, c := range claims {
		if c.Withdrawn() {
			continue
		}
		k, ok := digests[c.Tag]
		if !ok || k < 0 {
			return fail(CodeMismatch, "a claim is of a contact that this node does not have; the result is refused")
		}
		openings = append(openings, voprf.Opening{Claim: c, Point: [voprf.PointSize]byte(sets[c.Set][int(c.Index)*voprf.PointSize:]), Digest: &all[k].digest, Output: &all[k].output})
	}
	untrue, err := voprf.CheckClaims(ctx, &transcript, openings)
	if err != nil {
		return err
	}
	if len(untrue) > 0 {
		return fail(CodeMismatch, "%d of %d claims are not true; the result is refused", len(untrue), len(openings))
	}
	if err := applyClaims(stood, claims); err != nil {
		return err
	}
	p, err := n.sessionProfile(s)
	if err != nil {
		return err
	}
	var concerned []holding
	place := func(tag [voprf.TagSize]byte) (int, bool) {
		return slices.BinarySearchFunc(own.digests, all[digests[tag]].digest, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	}
	for l := range stood {
		if d, ok := place(l.tag); ok {
			concerned = append(concerned, own.holders(d)...)
		}
	}
	// Contacts that were deleted since the exchange began are withdrawn as well.
	there, err := n.stillThere(ctx, &ownSet{holdings: concerned})
	if err != nil {
		return err
	}
	agreed := pairing{}
	withdrawn := map[answer.Row]bool{}
	for l := range stood {
		d, ok := place(l.tag)
		if !ok {
			continue
		}
		for _, h := range own.holders(d) {
			if id, ok := there[h.contact]; ok {
				agreed[pairKey{id, l.row}] |= 1 << h.key
			}
		}
	}
	for _, o := range openings {
		d, ok := place(o.Claim.Tag)
		stays := func(h holding) bool { _, ok := there[h.contact]; return ok }
		if !ok || !slices.ContainsFunc(own.holders(d), stays) {
			withdrawn[o.Claim.Row] = true
		}
	}
	pairs := s.disclosed(agreed.pairs(p))
	answers := make([]answer.Answer, len(pairs))
	for i, q := range pairs {
		answers[i] = answer.Answer{Initiator: q.row, Responder: rowOf([32]byte(s.Rows), q.contact), Keys: q.keys, Tier: answerTier(q.tier)}
	}
	whole, err := answer.Encode(answers)
	if err != nil {
		return err
	}
	stoodBefore, err := n.standingList(ctx, s, setResult)
	if err != nil {
		return err
	}
	data, err := changedAnswers(stoodBefore, answers, withdrawn)
	if err != nil {
		return err
	}
	commitment, err := merkle.Commit(data, answer.Size)
	if err != nil {
		return err
	}
	root, err := rootOf(whole, answer.Size)
	if err != nil {
		return err
	}
	return n.advance(ctx, s, StateMatching, func(tx *store.Tx, s *session) error {
		matches := s.setResult(p, pairs)
		s.Sets[setAnswers], s.State, s.WholeRoot = commitment, StateAnswering, root
		err := errors.Join(n.putMatches(tx, s, matches), n.putSet(tx, s.ID, setLive, encodeLive(slices.Collect(maps.Keys(stood))), merkle.MaxChunkBytes),
			n.putSet(tx, s.ID, setResult, whole, merkle.MaxChunkBytes))
		if err != nil {
			return err
		}
		return n.putSet(tx, s.ID, setAnswers, data, commitment.ChunkEntries*answer.Size)
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
