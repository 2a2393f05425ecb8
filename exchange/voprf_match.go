package exchange

import (
	"context"
	"errors"
	"maps"
	"slices"

	"ihyid/contacts"
	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
	"ihyid/store"
	"ihyid/store/jobs"
)

// matchVOPRF checks every claim against the committed points and the own digests, groups what is claimed by row, and answers by the tier rule.
func (n *Node) matchVOPRF(ctx context.Context, t *jobs.Task, s *session) error {
	for {
		m := &matching{n: n, s: s, tags: map[[voprf.TagSize]byte]publishedAt{}, rows: map[answer.Row]struct{}{}}
		err := m.run(ctx, t)
		if !errors.Is(err, errPurged) {
			return err
		}
	}
}

// matching is the work of one exchange at the responder. What an earlier exchange of the epoch found of a row of the initiator can be otherwise only if a claim of that
// row is new or taken back, or if something has changed about who of the own contacts holds a digest that it claims: these rows are worked out anew, from all
// claims that stand, and the rest stays.
type matching struct {
	n    *Node
	s    *session
	p    *contacts.Profile
	last predecessor

	own       *taken
	moved     map[uint64]uint64 // contacts that have gone since the own set was taken, to what they were merged into; 0 if they are no more
	changed   map[[32]byte]struct{}
	claims    []voprf.Claim
	raw       []byte // the same, encoded
	stood     []byte // claims, before
	before    []byte // the result, before
	openings  []voprf.Opening
	tags      map[[voprf.TagSize]byte]publishedAt
	rows      map[answer.Row]struct{} // to be worked out anew
	withdrawn map[answer.Row]bool     // they claim a contact that is no more
}

// publishedAt is a published digest with its output; nil while it was not looked up.
type publishedAt struct {
	digest *[32]byte
	output *voprf.Output
}

func (m *matching) run(ctx context.Context, t *jobs.Task) error {
	if err := m.load(ctx); err != nil {
		return err
	}
	t.Describe("claims", "checking the claims")
	if err := m.check(ctx); err != nil {
		return err
	}
	stands, err := applyClaims(m.stood, m.claims, m.raw)
	if err != nil {
		return err
	}
	pairs, err := m.pairs(ctx, stands)
	if err != nil {
		return err
	}
	return m.finish(ctx, stands, pairs)
}

// load reads what the work needs.
func (m *matching) load(ctx context.Context) (err error) {
	n, s := m.n, m.s
	if m.p, err = n.sessionProfile(s); err != nil {
		return err
	}
	if m.last, err = n.predecessor(ctx, s); err != nil {
		return err
	}
	if m.own, err = n.loadOwn(ctx, s); err != nil {
		return err
	}
	standing, err := n.standingOf(ctx, s)
	if err != nil {
		return err
	}
	var sizes []uint32
	for _, st := range standing {
		sizes = append(sizes, uint32(st.Points))
	}
	sizes = append(sizes, uint32(s.PeerCount))
	if m.raw, err = n.getSet(ctx, s.ID, setClaims); err != nil {
		return err
	}
	if m.claims, err = voprf.DecodeClaims(nil, m.raw, sizes); err != nil {
		return &Error{Code: CodeCommitment, Detail: "the claims are not well-formed", Err: err}
	}
	if m.stood, err = n.standingLive(ctx, s); err != nil {
		return err
	}
	if m.before, err = n.standingResult(ctx, s); err != nil {
		return err
	}
	if err := m.loadMoved(ctx); err != nil {
		return err
	}
	m.changed = m.own.changes.digests()
	some := newContactSet(slices.Collect(maps.Keys(m.moved)))
	if !m.last.whole() {
		for _, id := range m.last.ids {
			some.add(id)
		}
	}
	if len(some.all) > 0 && m.last.standing != nil {
		for _, h := range m.own.now.of(some) {
			m.changed[h.digest] = struct{}{}
		}
	}
	return nil
}

// loadMoved finds out which contacts of the own set are gone since.
func (m *matching) loadMoved(ctx context.Context) error {
	m.moved = map[uint64]uint64{}
	return m.n.store.View(ctx, func(tx *store.Tx) error {
		ids, known, err := m.n.register.ChangedSince(tx, m.s.Sequence)
		if err != nil {
			return err
		}
		if !known { // the log does not say: look at each
			all := map[uint64]struct{}{}
			for h := range m.own.now.all {
				all[h.contact] = struct{}{}
			}
			ids = slices.Collect(maps.Keys(all))
		}
		for _, id := range ids {
			now, ok, err := m.n.register.Stands(tx, id)
			if err != nil {
				return err
			}
			if !ok {
				m.moved[id] = 0
			} else if now != id {
				m.moved[id] = now
			}
		}
		return ctx.Err()
	})
}

// there gives the contact that one of the own set is now.
func (m *matching) there(contact uint64) (uint64, bool) {
	now, moved := m.moved[contact]
	if !moved {
		return contact, contact&orphan == 0
	}
	return now, now != 0
}

// find looks up the published digests of the tags asked for, and gives the tags of those own digests about which something has changed.
func (m *matching) find(ctx context.Context) (changed map[[voprf.TagSize]byte]struct{}, err error) {
	mayTag, mayChange := newPrefixes(len(m.tags)), newPrefixes(len(m.changed))
	for tag := range m.tags {
		mayTag.add(tag[:])
	}
	for d := range m.changed {
		mayChange.add(d[:])
	}
	changed = map[[voprf.TagSize]byte]struct{}{}
	err = m.n.scanSets(ctx, m.s, setOutputs, publishedRecord, func(_ int, raw []byte) error {
		for ; len(raw) > 0; raw = raw[publishedRecord:] {
			output := (*voprf.Output)(raw[32:publishedRecord])
			if mayTag.has(output[:]) {
				if _, ok := m.tags[output.Tag()]; ok {
					own := *(*[publishedRecord]byte)(raw)
					m.tags[output.Tag()] = publishedAt{(*[32]byte)(own[:]), (*voprf.Output)(own[32:])}
				}
			}
			if mayChange.has(raw) {
				if _, ok := m.changed[[32]byte(raw)]; ok {
					changed[output.Tag()] = struct{}{}
				}
			}
		}
		return nil
	})
	return changed, err
}

// pointsOf finds the committed points that claims open, in the order of the claims.
func (m *matching) pointsOf(ctx context.Context) ([][voprf.PointSize]byte, error) {
	points := make([][voprf.PointSize]byte, len(m.claims))
	next, set, first := 0, 0, uint32(0) // first is the number of the first point that comes next
	err := m.n.scanSets(ctx, m.s, setBundle, voprf.PointSize, func(of int, raw []byte) error {
		if of != set {
			set, first = of, 0
		}
		count := uint32(len(raw) / voprf.PointSize)
		for ; next < len(m.claims) && int(m.claims[next].Set) == of && m.claims[next].Index < first+count; next++ {
			points[next] = [voprf.PointSize]byte(raw[int(m.claims[next].Index-first)*voprf.PointSize:])
		}
		first += count
		return nil
	})
	if err == nil && next < len(m.claims) {
		err = errDamaged(true)
	}
	return points, err
}

// check checks the claims, and finds out which rows are to be worked out anew.
func (m *matching) check(ctx context.Context) error {
	for i := range m.claims {
		m.rows[m.claims[i].Row] = struct{}{}
		if !m.claims[i].Withdrawn() {
			m.tags[m.claims[i].Tag] = publishedAt{}
		}
	}
	changed, err := m.find(ctx)
	if err != nil {
		return err
	}
	// Where possible matches are to be told now and were not before, or the other way round, or where the matches are to be kept whole, it is all of them.
	all := m.last.standing != nil && (m.last.gone || m.last.HidePossibles != m.s.HidePossibles)
	for raw := m.stood; len(raw) > 0; raw = raw[liveRecord:] {
		if _, ok := changed[[voprf.TagSize]byte(raw[liveKey:])]; ok || all {
			m.rows[answer.Row(raw[8:])] = struct{}{}
		}
	}
	transcript, err := hash32(m.s.Transcript)
	if err != nil {
		return err
	}
	points, err := m.pointsOf(ctx)
	if err != nil {
		return err
	}
	for i, c := range m.claims {
		if c.Withdrawn() {
			continue
		}
		of := m.tags[c.Tag]
		if of.digest == nil {
			return fail(CodeMismatch, "a claim is of a contact that this node does not have; the result is refused")
		}
		m.openings = append(m.openings, voprf.Opening{
			Claim: c, Point: points[i], Digest: of.digest, Output: of.output,
		})
	}
	untrue, err := voprf.CheckClaims(ctx, &transcript, m.openings)
	if err != nil {
		return err
	}
	if len(untrue) > 0 {
		return fail(CodeMismatch, "%d of %d claims are not true; the result is refused", len(untrue), len(m.openings))
	}
	return nil
}

// pairs works out the pairs of the rows concerned from the claims that stand.
func (m *matching) pairs(ctx context.Context, stands []byte) ([]pair, error) {
	var concerned [][]byte
	may := newPrefixes(len(m.rows))
	for row := range m.rows {
		may.add(row[:])
	}
	missing := false
	for raw := stands; len(raw) > 0; raw = raw[liveRecord:] {
		if !may.has(raw[8:]) {
			continue
		}
		if _, ok := m.rows[answer.Row(raw[8:])]; !ok {
			continue
		}
		concerned = append(concerned, raw[:liveRecord])
		tag := [voprf.TagSize]byte(raw[liveKey:])
		if m.tags[tag].digest == nil {
			m.tags[tag], missing = publishedAt{}, true
		}
	}
	if missing {
		if _, err := m.find(ctx); err != nil {
			return nil, err
		}
	}
	agreed := pairing{}
	for _, live := range concerned {
		of := m.tags[[voprf.TagSize]byte(live[liveKey:])]
		if of.digest == nil {
			return nil, errDamaged(true)
		}
		for _, h := range m.own.now.holders(of.digest) {
			if id, ok := m.there(h.contact); ok {
				agreed[pairKey{id, answer.Row(live[8:])}] |= 1 << h.key
			}
		}
	}
	m.withdrawn = map[answer.Row]bool{}
	for i := range m.openings {
		o := &m.openings[i]
		// Contacts that were deleted since the exchange began are withdrawn as well.
		stays := func(h holding) bool { _, ok := m.there(h.contact); return ok }
		if !slices.ContainsFunc(m.own.now.holders(o.Digest), stays) {
			m.withdrawn[o.Claim.Row] = true
		}
	}
	pairs := m.s.disclosed(agreed.pairs(m.p))
	for i := range pairs {
		pairs[i].own = rowOf([32]byte(m.s.Rows), pairs[i].contact)
	}
	return pairs, nil
}

// finish commits to the answers, and keeps what stands now.
func (m *matching) finish(ctx context.Context, stands []byte, pairs []pair) error {
	n := m.n
	answers := make([]answer.Answer, len(pairs))
	for i, q := range pairs {
		answers[i] = answer.Answer{Initiator: q.row, Responder: q.own, Keys: q.keys, Tier: answerTier(q.tier)}
	}
	data, err := changedAnswers(m.before, m.rows, answers, m.withdrawn)
	if err != nil {
		return err
	}
	whole := foldSorted(m.before, answer.Size, pairSize, answerChanges(data))
	commitment, err := merkle.Commit(data, answer.Size)
	if err != nil {
		return err
	}
	root, err := rootOf(whole, answer.Size)
	if err != nil {
		return err
	}
	counts := m.last.counts().after(Responder, m.before, whole, data)
	return n.advance(ctx, m.s, StateMatching, func(tx *store.Tx, s *session) error {
		s.setCounts(counts)
		s.Sets[setAnswers], s.State, s.WholeRoot = commitment, StateAnswering, root
		if err := n.putMatches(tx, s, s.found(m.p, pairs, m.last, data)); err != nil {
			return err
		}
		if s.Base == "" {
			err := errors.Join(n.putSet(tx, s.ID, setLive, stands, merkle.MaxChunkBytes), n.putSet(tx, s.ID, setResult, whole, merkle.MaxChunkBytes))
			if err != nil {
				return err
			}
		}
		return n.putSet(tx, s.ID, setAnswers, data, commitment.ChunkEntries*answer.Size)
	})
}
