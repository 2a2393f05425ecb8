package exchange

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"ihyid/contacts"
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
func (n *Node) prepareVOPRF(ctx context.Context, t *jobs.Task, s *session, p *contacts.Profile) (*prepared, error) {
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
	own, err := n.take(ctx, s, p, t.Progress)
	if err != nil {
		return nil, err
	}
	fresh, err := n.fresh(ctx, s, own, setKnown, knownRecord)
	if err != nil {
		return nil, err
	}
	out := &prepared{own: own, entries: uint64(len(fresh)), keep: map[string][]byte{}}
	if err := n.checkEntries(s.Protocol, out.entries); err != nil {
		return nil, err
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
	out.keep[setFresh] = raw
	if s.ByFile { // they go out once, whole; over a network, chunk by chunk as they are made
		out.keep[setBundle] = set.Points
	}
	out.commitment, err = merkle.Commit(set.Points, voprf.PointSize)
	return out, err
}

// fresh gives the used digests that are new since what an exchange builds on: those about which something has changed and that are not in its sets of records, each of
// which begins with a digest.
func (n *Node) fresh(ctx context.Context, s *session, own *taken, set string, record int) ([][32]byte, error) {
	if s.Base == "" {
		return own.now.digests(), nil
	}
	changed := own.changes.digests()
	may := newPrefixes(len(changed))
	for d := range changed {
		if len(own.now.holders(&d)) == 0 {
			delete(changed, d)
			continue
		}
		may.add(d[:])
	}
	err := n.scanSets(ctx, s, set, record, func(_ int, raw []byte) error {
		for ; len(raw) > 0; raw = raw[record:] {
			if may.has(raw) {
				delete(changed, [32]byte(raw))
			}
		}
		return nil
	})
	return slices.SortedFunc(maps.Keys(changed), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }), err
}

// Of every digest that was evaluated is kept: the digest, its place in the set of points, and its output.
const (
	knownIndex  = 32
	knownOutput = 32 + 4
	knownRecord = 32 + 4 + voprf.OutputSize
)

func appendKnown(b []byte, digest *[32]byte, index uint32, out *voprf.Output) []byte {
	b = append(b, digest[:]...)
	b = binary.BigEndian.AppendUint32(b, index)
	return append(b, out[:]...)
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
// the claims: all that are true now and have not been made before in the epoch, and takes back those that are true no more.
//
// Whether a claim stands can only have changed where the digest's tag is new, the digest is, or something has changed about who holds it.
func (n *Node) prepareClaims(ctx context.Context, s *session, to peerAddress) error {
	newTags, err := n.fetchSet(ctx, s, to, setTags, s.Sets[setTags])
	if err != nil {
		return err
	}
	before, err := n.standingOf(ctx, s)
	if err != nil {
		return err
	}
	oldTags, err := n.setsOf(ctx, s, setTags)
	if err != nil {
		return err
	}
	oldTags = oldTags[:len(before)] // a set of this exchange may be there if the step is done again
	own, err := n.loadOwn(ctx, s)
	if err != nil {
		return err
	}
	fresh, err := n.loadFresh(ctx, s)
	if err != nil {
		return err
	}
	transcript, err := hash32(s.Transcript)
	if err != nil {
		return err
	}
	changed := own.changes.digests()
	mayChange, mayTag := newPrefixes(len(changed)), newPrefixes(len(newTags)/voprf.TagSize)
	for d := range changed {
		mayChange.add(d[:])
	}
	for off := 0; off < len(newTags); off += voprf.TagSize {
		mayTag.add(newTags[off:])
	}
	rows, err := n.loadClaimedRows(ctx, s)
	if err != nil {
		return err
	}
	var claims []voprf.Claim
	taken, evaluated := 0, 0
	err = n.scanSets(ctx, s, setKnown, knownRecord, func(set int, raw []byte) error {
		isNew := set == len(before)
		seed := s.seed32()
		if isNew {
			evaluated += len(raw) / knownRecord
		} else {
			seed = [32]byte(before[set].Seed)
		}
		for ; len(raw) > 0; raw = raw[knownRecord:] {
			out := (*voprf.Output)(raw[knownOutput:knownRecord])
			otherwise := mayChange.has(raw)
			if otherwise {
				_, otherwise = changed[[32]byte(raw)]
			}
			published := mayTag.has(out[:]) && tagged([][]byte{newTags}, out.Tag())
			if !otherwise && !published && !isNew {
				continue
			}
			digest := (*[32]byte)(raw)
			var was, is []holding
			old := tagged(oldTags, out.Tag())
			if old && !isNew {
				was = own.before.holders(digest)
			}
			if old || published {
				is = own.now.holders(digest)
			}
			index := binary.BigEndian.Uint32(raw[knownIndex:])
			// A contact may have one digest under several keys: that is one claim.
			stood, stands := contactsOf(was), contactsOf(is)
			for _, c := range stands {
				if !slices.Contains(stood, c) {
					claims = append(claims, voprf.NewClaim(seed, digest, uint32(set), index, rows.of(c), out, &transcript))
				}
			}
			for _, c := range stood { // it is no more, or has that digest no more
				if !slices.Contains(stands, c) {
					claims = append(claims, voprf.Withdrawal(uint32(set), index, rows.of(c)))
					taken++
				}
			}
			rows.change(was, is)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if evaluated != len(fresh) {
		return fmt.Errorf("%d of %d new digests were evaluated", evaluated, len(fresh))
	}
	s.Live = uint64(len(claims) - 2*taken)
	if len(before) > 0 {
		s.Live += before[len(before)-1].Live
	}
	data, err := voprf.EncodeClaims(claims)
	if err != nil {
		return err
	}
	commitment, err := merkle.Commit(data, voprf.ClaimSize)
	if err != nil {
		return err
	}
	s.Sets[setClaims], s.State = commitment, StateClaiming
	return n.store.Update(ctx, func(tx *store.Tx) error {
		for set, data := range map[string][]byte{setClaims: data, setTags: newTags, setRows: rows.encode()} {
			if err := n.putSet(tx, s.ID, set, data, merkle.MaxChunkBytes); err != nil {
				return err
			}
		}
		return n.putSession(tx, s)
	})
}

// contactsOf gives the contacts in holdings of one digest, each once.
func contactsOf(hs []holding) (out []uint64) {
	for _, h := range hs {
		if !slices.Contains(out, h.contact) {
			out = append(out, h.contact)
		}
	}
	return out
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
