package exchange

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
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
	setOutputs   = "outputs"   // never sent: the responder's new digests and their outputs
	setFresh     = "fresh"     // never sent: the initiator's digests that are new in this exchange
	setKnown     = "known"     // never sent: those, with their places and outputs
	setRows      = "rows"      // never sent: which own contact each row of the claims is, and on which keys it is claimed
)

// prepareVOPRF blinds the own digests: those that are new since what stands in the epoch.
func (n *Node) prepareVOPRF(ctx context.Context, t *jobs.Task, s *session, own *ownSet) (*merkle.Commitment, error) {
	e, err := n.epochOf(ctx, s)
	if err != nil {
		return nil, err
	}
	s.Base, s.BasePoints, s.BaseTags = "", 0, 0
	if e != nil && !e.over(n.now()) && !s.Afresh {
		s.Base = e.base()
		s.BasePoints, s.BaseTags = e.sums()
	}
	if s.Rows, s.BasePairs = s.Seed, 0; s.Base != "" {
		s.Rows, s.BasePairs = e.Rows, e.Standing[len(e.Standing)-1].Pairs
	}
	known, err := n.knownDigests(ctx, s)
	if err != nil {
		return nil, err
	}
	fresh := make([][32]byte, 0, len(own.digests))
	for _, d := range own.digests {
		if _, ok := known[d]; !ok {
			fresh = append(fresh, d)
		}
	}
	total := uint64(len(fresh))
	t.Describe("digests", "blinding")
	set, err := voprf.Blind(ctx, fresh, s.seed32(), func(done int) { t.Progress(uint64(done), total) })
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 0, len(fresh)*32)
	for i := range fresh {
		raw = append(raw, fresh[i][:]...)
	}
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		err := errors.Join(dropAll(tx, n.kept.chunks, s.ID+"/"+setFresh+"/"), n.putSet(tx, s.ID, setFresh, raw, merkle.MaxChunkBytes))
		if err == nil && s.ByFile { // they go out once, whole; over a network, chunk by chunk as they are made
			err = errors.Join(dropAll(tx, n.kept.chunks, s.ID+"/"+setBundle+"/"), n.putSet(tx, s.ID, setBundle, set.Points, merkle.MaxChunkBytes))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return merkle.Commit(set.Points, voprf.PointSize)
}

// known is a digest that was evaluated: in which set of the epoch, where in it, and to what.
type known struct {
	set, index uint32
	output     voprf.Output
}

const knownRecord = 32 + 4 + voprf.OutputSize

func appendKnown(b []byte, digest *[32]byte, index uint32, out *voprf.Output) []byte {
	b = append(b, digest[:]...)
	b = binary.BigEndian.AppendUint32(b, index)
	return append(b, out[:]...)
}

func addKnown(into map[[32]byte]known, set uint32, raw []byte) error {
	if len(raw)%knownRecord != 0 {
		return errors.New("the kept outputs are damaged")
	}
	for ; len(raw) > 0; raw = raw[knownRecord:] {
		into[[32]byte(raw)] = known{set, binary.BigEndian.Uint32(raw[32:]), voprf.Output(raw[36:knownRecord])}
	}
	return nil
}

// knownDigests are the initiator's digests that stand in the epoch.
func (n *Node) knownDigests(ctx context.Context, s *session) (map[[32]byte]known, error) {
	sets, _, err := n.standingSets(ctx, s, setKnown)
	if err != nil {
		return nil, err
	}
	out := map[[32]byte]known{}
	for i, raw := range sets {
		if err := addKnown(out, uint32(i), raw); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (n *Node) loadFresh(ctx context.Context, s *session) ([][32]byte, error) {
	raw, err := n.getSet(ctx, s.ID, setFresh)
	if err != nil || len(raw)%32 != 0 {
		return nil, errors.Join(err, errDamaged(len(raw)%32 != 0))
	}
	out := make([][32]byte, len(raw)/32)
	for i := range out {
		out[i] = [32]byte(raw[i*32:])
	}
	return out, nil
}

func errDamaged(yes bool) error {
	if yes {
		return errors.New("a kept set is damaged")
	}
	return nil
}

// evaluateRemotely has the responder evaluate the own points chunk by chunk, and checks and unblinds each before the next.
func (n *Node) evaluateRemotely(ctx context.Context, t *jobs.Task, s *session, to peerAddress) error {
	pk, err := parsePK(s.PK)
	if err != nil {
		return err
	}
	fresh, err := n.loadFresh(ctx, s)
	if err != nil {
		return err
	}
	done, err := n.setChunks(ctx, s.ID, setKnown)
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
			if blinded, err = voprf.Blind(ctx, fresh, s.seed32(), nil); err != nil {
				return err
			}
		}
		if err := n.evaluateChunk(ctx, s, to, blinded, pk, fresh, i); err != nil {
			return err
		}
		t.Progress(uint64(i+1), uint64(c.Chunks()))
	}
	return n.prepareClaims(ctx, s, to)
}

// evaluateChunk sends one chunk of points and keeps what it unblinds to: of every digest in it, its place and its output.
func (n *Node) evaluateChunk(ctx context.Context, s *session, to peerAddress, blinded *voprf.BlindedSet, pk *voprf.PublicKey, fresh [][32]byte, i int) error {
	body := blinded.Chunk(i)
	if err := n.sendChunk(ctx, s, to, setBundle, uint32(i), body); err != nil {
		return err
	}
	reply, err := n.fetchChunk(ctx, s, to, setEvaluated, uint32(i), len(body)+voprf.ProofSize)
	if err != nil {
		return err
	}
	if len(reply) != len(body)+voprf.ProofSize {
		return fail(CodeCommitment, "the other node evaluated %d bytes of points as %d", len(body), len(reply))
	}
	outputs := make([]voprf.Output, len(fresh))
	if err := blinded.Unblind(ctx, pk, i, reply[:len(body)], reply[len(body):], outputs); err != nil {
		return &Error{Code: CodeCommitment, Detail: "the other node's evaluation is not by the key that it committed to", Err: err}
	}
	var keep []byte
	first := i * merkle.ChunkEntries(voprf.PointSize)
	for p := first; p < first+len(body)/voprf.PointSize; p++ {
		if d, ok := blinded.Digest(p); ok {
			keep = appendKnown(keep, &fresh[d], uint32(p), &outputs[d])
		}
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		return n.kept.chunks.Put(tx, chunkKey(s.ID, setKnown, uint32(i)), keep)
	})
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
		body, err := n.fetchChunk(ctx, s, to, set, uint32(i), c.ChunkLen(i)*c.EntrySize)
		if err != nil {
			return nil, err
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

// prepareClaims fetches the responder's new tags, finds the outputs of the own digests among all that it published in the epoch, and makes
// the claims.
func (n *Node) prepareClaims(ctx context.Context, s *session, to peerAddress) error {
	tags, err := n.fetchSet(ctx, s, to, setTags, s.Sets[setTags])
	if err != nil {
		return err
	}
	allTags, before, err := n.standingSets(ctx, s, setTags)
	if err != nil {
		return err
	}
	allTags = append(allTags, tags)
	own, err := n.loadOwn(ctx, s)
	if err != nil {
		return err
	}
	evaluated, err := n.knownDigests(ctx, s)
	if err != nil {
		return err
	}
	raw, err := n.getSet(ctx, s.ID, setKnown)
	if err != nil {
		return err
	}
	if err := addKnown(evaluated, uint32(len(before)), raw); err != nil {
		return err
	}
	transcript, err := hash32(s.Transcript)
	if err != nil {
		return err
	}
	seeds := make([][32]byte, len(before)+1)
	for i, b := range before {
		seeds[i] = [32]byte(b.Seed)
	}
	seeds[len(before)] = s.seed32()
	standsNow, err := n.standingList(ctx, s, setLive)
	if err != nil {
		return err
	}
	stood, err := decodeLive(standsNow)
	if err != nil {
		return err
	}
	var claims []voprf.Claim
	var stands []live
	rows := claimed{}
	rowSeed := [32]byte(s.Rows)
	for d := range own.digests {
		k, ok := evaluated[own.digests[d]]
		if !ok {
			return fmt.Errorf("digest %d of the own set was never evaluated", d)
		}
		if !tagged(allTags, k.output.Tag()) {
			continue
		}
		for _, h := range own.holders(d) {
			row := rowOf(rowSeed, h.contact)
			place := live{k.set, k.index, row, k.output.Tag()}
			// A contact may have one digest under several keys: that is one claim.
			if n := len(stands); n == 0 || stands[n-1] != place {
				stands = append(stands, place)
				if _, ok := stood[place]; ok {
					delete(stood, place)
				} else {
					claims = append(claims, voprf.NewClaim(seeds[k.set], &own.digests[d], k.set, k.index, row, &k.output, &transcript))
				}
			}
			got := rows[row]
			got.contact, got.keys = h.contact, got.keys|1<<h.key
			rows[row] = got
		}
	}
	for place := range stood { // of contacts that are no more, or have that digest no more
		claims = append(claims, voprf.Withdrawal(place.set, place.index, place.row))
	}
	data, err := voprf.EncodeClaims(claims)
	if err != nil {
		return err
	}
	commitment, err := merkle.Commit(data, voprf.ClaimSize)
	if err != nil {
		return err
	}
	s.Sets[setClaims], s.State, s.Live = commitment, StateClaiming, uint64(len(stands))
	return n.store.Update(ctx, func(tx *store.Tx) error {
		for set, data := range map[string][]byte{setClaims: data, setTags: tags, setRows: encodeClaimed(rows), setLive: encodeLive(stands)} {
			if err := n.putSet(tx, s.ID, set, data, merkle.MaxChunkBytes); err != nil {
				return err
			}
		}
		return n.putSession(tx, s)
	})
}

// tagged reports whether a tag stands in one of the sets.
func tagged(sets [][]byte, tag [voprf.TagSize]byte) bool {
	for _, tags := range sets {
		if _, ok := voprf.FindTag(tags, tag); ok {
			return true
		}
	}
	return false
}

const rowRecord = answer.RowSize + 8 + 4

func encodeClaimed(c claimed) []byte {
	out := make([]byte, 0, len(c)*rowRecord)
	for row, of := range c {
		out = append(out, row[:]...)
		out = binary.BigEndian.AppendUint64(out, of.contact)
		out = binary.BigEndian.AppendUint32(out, of.keys)
	}
	return out
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
		// Every claim that stands concerns at most maxSharers contacts of the responder; each new one may be answered as withdrawn, and each pair that stood.
		if err := a.Commitment.Validate(answer.Size, s.Live*maxSharers+s.Sets[setClaims].Count+s.BasePairs); err != nil {
			return &Error{Code: CodeCommitment, Detail: "the other node's commitment to its answers is wrong", Err: err}
		}
		matches, err1 := parseCount(a.Matches)
		possibles, err2 := parseCount(a.Possibles)
		if most := s.Live * maxSharers; err1 != nil || err2 != nil || matches > most || possibles > most-matches {
			return fail(CodeCommitment, "the numbers of matches and possibles do not add up to what the claims can give")
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
	before, err := n.standingList(ctx, s, setResult)
	if err != nil {
		return err
	}
	whole, err := applyAnswers(before, data, mine)
	if err != nil {
		return err
	}
	if s.WholeRoot, err = rootOf(whole, answer.Size); err != nil {
		return err
	}
	pairs, err := pairsFromAnswers(p, mine, whole, func(a *answer.Answer) (own, theirs answer.Row) { return a.Initiator, a.Responder })
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
		if err := n.putSet(tx, s.ID, setResult, whole, merkle.MaxChunkBytes); err != nil {
			return err
		}
		return n.putSession(tx, s)
	})
}

// claimedByInitiator reads which contacts were claimed on which keys.
func (n *Node) claimedByInitiator(ctx context.Context, s *session) (claimed, error) {
	raw, err := n.getSet(ctx, s.ID, setRows)
	if err != nil || len(raw)%rowRecord != 0 {
		return nil, errors.Join(err, errDamaged(len(raw)%rowRecord != 0))
	}
	out := claimed{}
	for ; len(raw) > 0; raw = raw[rowRecord:] {
		got := out[answer.Row(raw[:answer.RowSize])]
		got.contact, got.keys = binary.BigEndian.Uint64(raw[answer.RowSize:]), binary.BigEndian.Uint32(raw[answer.RowSize+8:])
		out[answer.Row(raw[:answer.RowSize])] = got
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
