package exchange

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
	"ihyid/store"
)

// manual is an initiator whose steps a test takes one by one, and otherwise than an honest node would.
type manual struct {
	t          *testing.T
	a, b       *testNode
	id, token  string
	previous   string
	transcript [32]byte
	text       string // the transcript in hex
	pk         string
}

// errGivenUp ends an exchange so that its peer owes nothing.
var errGivenUp = fail(CodePeerState, "the test gave it up")

func (m *manual) to() peerAddress {
	return peerAddress{DID: m.b.DID(), Endpoint: "https://b.example/node"}
}

// say sends one message and follows the conversation.
func (m *manual) say(k, want kind, subject any, into any) error {
	vc, err := m.a.issue(m.t.Context(), string(k), subject, messageLife)
	must(m.t, err)
	r, token, err := m.a.converse(m.t.Context(), m.to(), k, m.id, want, vc)
	if err != nil {
		return err
	}
	m.previous = r.Digest
	if token != "" {
		m.token = token
	}
	if into != nil {
		must(m.t, r.read(into))
	}
	return nil
}

// openVOPRF opens an exchange with a set of points, up to the acceptance.
func openVOPRF(t *testing.T, a, b *testNode, points []byte) *manual {
	t.Helper()
	c, err := merkle.Commit(points, voprf.PointSize)
	must(t, err)
	return openCommitted(t, a, b, c)
}

func openCommitted(t *testing.T, a, b *testNode, c *merkle.Commitment) *manual {
	t.Helper()
	o := opening(t, a, b)
	o.Protocol, o.Commitment = ProtocolVOPRF, *c
	m := &manual{t: t, a: a, b: b, id: o.Exchange}
	must(t, m.say(kindOpening, kindOpeningReply, o, nil))
	s, err := b.session(t.Context(), o.Exchange)
	must(t, err)
	b.await(s.Job)
	var acceptance acceptanceSubject
	must(t, m.say(kindAcceptance, kindAcceptanceReply, stepSubject{Exchange: m.id, Previous: m.previous}, &acceptance))
	m.text, m.pk = acceptance.Transcript, acceptance.PK
	m.transcript, err = hash32(m.text)
	must(t, err)
	return m
}

func (m *manual) put(set string, i uint32, body []byte) error {
	return m.b.PutChunk(m.t.Context(), m.token, m.id, set, i, body)
}

func (m *manual) get(set string, i uint32) ([]byte, error) {
	return m.b.GetChunk(m.t.Context(), m.token, m.id, set, i)
}

// claim offers claims, sends them, and says how the exchange ended at the responder, if it did.
func (m *manual) claim(data []byte) (*session, error) {
	m.t.Helper()
	c, err := merkle.Commit(data, voprf.ClaimSize)
	must(m.t, err)
	if err := m.say(kindOffer, kindOfferReply, setSubject{Exchange: m.id, Previous: m.previous, Transcript: m.text, Commitment: *c}, nil); err != nil {
		return nil, err
	}
	for i := range c.Chunks() {
		from := i * c.ChunkEntries * voprf.ClaimSize
		if err := m.put(setClaims, uint32(i), data[from:from+c.ChunkLen(i)*voprf.ClaimSize]); err != nil {
			return nil, err
		}
	}
	s, err := m.b.session(m.t.Context(), m.id)
	must(m.t, err)
	m.b.await(s.Job)
	s, err = m.b.session(m.t.Context(), m.id)
	must(m.t, err)
	return s, nil
}

// honest runs an exchange up to the outputs.
func honest(t *testing.T, a, b *testNode, digests [][32]byte, seed byte) (*manual, *voprf.BlindedSet, []voprf.Output) {
	t.Helper()
	set, err := voprf.Blind(t.Context(), digests, [32]byte{seed}, nil)
	must(t, err)
	m := openVOPRF(t, a, b, set.Points)
	must(t, m.put(setBundle, 0, set.Points))
	body, err := m.get(setEvaluated, 0)
	must(t, err)
	again, err := m.get(setEvaluated, 0)
	must(t, err)
	if !bytes.Equal(body, again) {
		t.Error("the same request got another evaluation")
	}
	pk, err := parsePK(m.pk)
	must(t, err)
	out := make([]voprf.Output, len(digests))
	cut := len(body) - voprf.ProofSize
	must(t, set.Unblind(t.Context(), pk, 0, body[:cut], body[cut:], out))
	return m, set, out
}

// digestsOf gives the digests of all contacts of a node.
func digestsOf(t *testing.T, n *testNode) [][32]byte {
	t.Helper()
	own, _, err := n.gather(t.Context(), n.profile, nil)
	must(t, err)
	return own.digests()
}

// TestHostilePoints sends the responder points that are none, and sets that are not what was committed to.
func TestHostilePoints(t *testing.T) {
	_, a, b := friends(t)
	b.importCSV(listB)
	set, err := voprf.Blind(t.Context(), digestsOf(t, b), [32]byte{1}, nil)
	must(t, err)
	with := func(p []byte) []byte { // the set with one point exchanged for p
		all := append(bytes.Clone(set.Points[voprf.PointSize:]), p...)
		sorted, _, err := merkle.Sort(all, voprf.PointSize)
		must(t, err)
		return sorted
	}
	nonCanonical := bytes.Repeat([]byte{0xff}, 32) // p + something: above the field's order
	nonCanonical[31], nonCanonical[0] = 0x7f, 0xf3
	for name, p := range map[string][]byte{
		"off the group": append(make([]byte, 31), 0x70), "the identity": make([]byte, 32), "not canonical": nonCanonical, "negative": append([]byte{1}, make([]byte, 31)...),
	} {
		t.Run(name, func(t *testing.T) {
			points := with(p)
			m := openVOPRF(t, a, b, points)
			if err := m.put(setBundle, 0, points); err != nil && CodeOf(err) != CodeCommitment {
				t.Errorf("sending: %v", err)
			}
			if body, err := m.get(setEvaluated, 0); err == nil || body != nil {
				t.Errorf("%d bytes were evaluated", len(body))
			}
			must(t, b.giveUp(t.Context(), m.id, errGivenUp))
		})
	}
	t.Run("repeated", func(t *testing.T) {
		points := append(bytes.Clone(set.Points[voprf.PointSize:2*voprf.PointSize]), set.Points[voprf.PointSize:]...)
		leaves := make([]merkle.Hash, 0, 256)
		for i := 0; i < len(points); i += voprf.PointSize {
			leaves = append(leaves, merkle.LeafHash(points[i:i+voprf.PointSize]))
		}
		root := merkle.Fold(leaves)
		m := openCommitted(t, a, b, &merkle.Commitment{EntrySize: voprf.PointSize, Count: 256, ChunkEntries: merkle.ChunkEntries(voprf.PointSize), Root: root, ChunkRoots: []merkle.Hash{root}})
		if err := m.put(setBundle, 0, points); CodeOf(err) != CodeCommitment {
			t.Errorf("%v", err)
		}
		must(t, b.giveUp(t.Context(), m.id, errGivenUp))
	})
	t.Run("more than committed", func(t *testing.T) {
		m := openVOPRF(t, a, b, set.Points)
		for what, err := range map[string]error{
			"a longer chunk":   m.put(setBundle, 0, append(bytes.Clone(set.Points), set.Points[:32]...)),
			"a further chunk":  m.put(setBundle, 1, set.Points),
			"a shorter chunk":  m.put(setBundle, 0, set.Points[:len(set.Points)-32]),
			"another set":      m.put(setBundle, 0, with(set.Points[:32])[:len(set.Points)-32]),
			"the tags":         m.put(setTags, 0, set.Points),
			"the evaluations":  m.put(setEvaluated, 0, set.Points),
			"claims too early": m.put(setClaims, 0, set.Points),
		} {
			if c := CodeOf(err); c != CodeCommitment && c != CodeExchangeState {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := m.get(setEvaluated, 0); CodeOf(err) != CodeExchangeState {
			t.Errorf("points that did not come were evaluated: %v", err)
		}
		for _, set := range []string{setOutputs, setOwn, setBundle, setAnswers} {
			if _, err := m.get(set, 0); CodeOf(err) != CodeExchangeState {
				t.Errorf("%s is given away: %v", set, err)
			}
		}
		if _, err := m.claim(nil); err == nil || !strings.Contains(err.Error(), "not at that step") {
			t.Errorf("claims before the points: %v", err)
		}
		must(t, b.giveUp(t.Context(), m.id, errGivenUp))
	})
}

// TestHostileClaims has an initiator claim what it cannot: every such exchange fails, and nothing of it is told.
func TestHostileClaims(t *testing.T) {
	w := newWorld(t)
	a, b := w.add("a.example"), w.add("b.example")
	befriend(a, b)
	b.importCSV(listB)
	known := digestsOf(t, b)
	// An earlier exchange of the same epoch, from which the initiator has outputs and claims.
	first, firstSet, firstOut := honest(t, a, b, known, 1)
	row := answer.Row(bytes.Repeat([]byte{7}, 16))
	old, err := firstSet.Claim(0, 0, row, &firstOut[0], &first.transcript)
	must(t, err)
	must(t, b.giveUp(t.Context(), first.id, errGivenUp))

	for name, tc := range map[string]struct {
		digests [][32]byte
		make    func(m *manual, set *voprf.BlindedSet, out []voprf.Output) []voprf.Claim
		refused bool // at the offer or the upload already, by form
	}{
		"a digest outside the committed set": {known[1:], func(m *manual, set *voprf.BlindedSet, out []voprf.Output) []voprf.Claim {
			// known[0] and its output are known from before, but it stands nowhere in this set.
			c, err := firstSet.Claim(0, 0, row, &firstOut[0], &m.transcript)
			must(t, err)
			return []voprf.Claim{c}
		}, false},
		"copied from the published tags": {known[1:], func(m *manual, set *voprf.BlindedSet, out []voprf.Output) []voprf.Claim {
			tags, err := m.get(setTags, 0)
			must(t, err)
			var claims []voprf.Claim
			for i := range uint32(len(tags) / voprf.TagSize) {
				claims = append(claims, voprf.Claim{Index: i % 256, Row: answer.Row(bytes.Repeat([]byte{byte(i)}, 16)), Tag: [16]byte(tags[i*16:]), Sealed: sha256.Sum256(tags[i*16:])})
			}
			return claims[:200]
		}, false},
		"a true tag at another's point": {known, func(m *manual, set *voprf.BlindedSet, out []voprf.Output) []voprf.Claim {
			c, err := set.Claim(0, 0, row, &out[0], &m.transcript)
			must(t, err)
			c.Index = (c.Index + 1) % 256
			return []voprf.Claim{c}
		}, false},
		"replayed from another exchange": {known, func(m *manual, _ *voprf.BlindedSet, _ []voprf.Output) []voprf.Claim {
			return []voprf.Claim{old}
		}, false},
		"of a set that is not there": {known, func(m *manual, set *voprf.BlindedSet, out []voprf.Output) []voprf.Claim {
			c, err := set.Claim(7, 0, row, &out[0], &m.transcript)
			must(t, err)
			return []voprf.Claim{c}
		}, false},
		"of a point that is not there": {known, func(m *manual, set *voprf.BlindedSet, out []voprf.Output) []voprf.Claim {
			c, err := set.Claim(0, 0, row, &out[0], &m.transcript)
			must(t, err)
			c.Index = 1 << 20
			return []voprf.Claim{c}
		}, false},
		"a true one and a false one": {known, func(m *manual, set *voprf.BlindedSet, out []voprf.Output) []voprf.Claim {
			c, err := set.Claim(0, 0, row, &out[0], &m.transcript)
			must(t, err)
			d, err := set.Claim(0, 1, row, &out[1], &m.transcript)
			must(t, err)
			d.Sealed[31] ^= 1
			return []voprf.Claim{c, d}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, set, out := honest(t, a, b, tc.digests, 9)
			data, err := voprf.EncodeClaims(tc.make(m, set, out))
			must(t, err)
			s, err := m.claim(data)
			must(t, err)
			if s.State != StateFailed || s.Code != CodeMismatch && s.Code != CodeCommitment {
				t.Fatalf("it ended as %s: %s %s", s.State, s.Code, s.Error)
			}
			if _, err := m.get(setAnswers, 0); CodeOf(err) != CodeExchangeState {
				t.Errorf("answers to false claims: %v", err)
			}
			err = m.say(kindResult, kindResultReply, stepSubject{Exchange: m.id, Previous: m.previous, Transcript: m.text}, nil)
			if err == nil {
				t.Error("a result of false claims")
			}
			if found, err := b.Matches(t.Context(), m.id); err != nil || len(found) != 0 {
				t.Errorf("matches by false claims: %v %v", found, err)
			}
			_, err = b.ExcuseExchange(t.Context(), m.id, "a test")
			must(t, err)
		})
	}
	t.Run("true claims", func(t *testing.T) { // that the above fail for no other reason
		m, set, out := honest(t, a, b, known, 9)
		c, err := set.Claim(0, 0, row, &out[0], &m.transcript)
		must(t, err)
		data, err := voprf.EncodeClaims([]voprf.Claim{c})
		must(t, err)
		s, err := m.claim(data)
		must(t, err)
		if s.State != StateAnswering || s.Pairs != 1 {
			t.Errorf("%s %s, %d pairs", s.State, s.Error, s.Pairs)
		}
	})
}

// TestHostileResponder changes what the responder says, in each way that a dishonest one could: the initiator stops, keeps nothing, signs nothing.
func TestHostileResponder(t *testing.T) {
	other, err := voprf.NewKey()
	must(t, err)
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateDone {
		t.Fatalf("%+v", e)
	}
	old := map[string][]byte{} // chunks of an earlier exchange
	m, _, _ := honest(t, a, b, digestsOf(t, b), 3)
	for _, s := range []string{setEvaluated, setTags} {
		old[s], err = m.get(s, 0)
		must(t, err)
	}
	must(t, b.giveUp(t.Context(), m.id, errGivenUp))
	type fault struct {
		set  string                                              // of the chunk to be changed
		body func(good []byte, old []byte, points []byte) []byte // the chunk changed; old is that of an earlier exchange
		at   kind                                                // or the message before which the responder's own state is changed
		lie  func(n *testNode, s *session, tx *store.Tx) error   // so
		want func(e Exchange) bool
	}
	stopped := func(says ...string) func(Exchange) bool {
		return func(e Exchange) bool {
			for _, s := range says {
				if strings.Contains(e.Error, s) {
					return true
				}
			}
			return false
		}
	}
	first := func(p []byte) func([]byte, []byte, []byte) []byte {
		return func(good, _, _ []byte) []byte { return append(bytes.Clone(p), good[len(p):]...) }
	}
	for name, f := range map[string]fault{
		"an evaluation cut short": {set: setEvaluated, body: func(good, _, _ []byte) []byte { return good[:len(good)-32] }, want: stopped("bytes of points")},
		"an evaluation too long":  {set: setEvaluated, body: func(good, _, _ []byte) []byte { return append(bytes.Clone(good), 0) }, want: stopped("bytes", "could not be reached")},
		"evaluations reordered":   {set: setEvaluated, body: func(good, _, _ []byte) []byte { return slicesOf(good[32:64], good[:32], good[64:]) }, want: stopped("not by the key")},
		"an evaluation repeated":  {set: setEvaluated, body: func(good, _, _ []byte) []byte { return slicesOf(good[:32], good[:32], good[64:]) }, want: stopped("not by the key")},
		"the identity":            {set: setEvaluated, body: first(make([]byte, 32)), want: stopped("not by the key")},
		"a point off the group":   {set: setEvaluated, body: first(append(make([]byte, 31), 0x70)), want: stopped("not by the key")},
		"a point not canonical":   {set: setEvaluated, body: first(append(bytes.Repeat([]byte{0xff}, 31), 0x7f)), want: stopped("not by the key")},
		"of another exchange":     {set: setEvaluated, body: func(_, old, _ []byte) []byte { return old }, want: stopped("not by the key")},
		"the proof of another key": {set: setEvaluated, body: func(_, _, points []byte) []byte {
			out, proof, err := other.Evaluate(t.Context(), points)
			must(t, err)
			return append(out, proof[:]...)
		}, want: stopped("not by the key")},
		"one point by another key": {set: setEvaluated, body: func(good, _, points []byte) []byte {
			out, _, err := other.Evaluate(t.Context(), points)
			must(t, err)
			return append(out[:32:32], good[32:]...)
		}, want: stopped("not by the key")},
		"another pk than committed to": {at: kindAcceptance, lie: func(_ *testNode, s *session, _ *store.Tx) error {
			s.PK = hex.EncodeToString(other.Public().Bytes())
			return nil
		}, want: stopped("not by the key")},
		"the identity as pk": {at: kindAcceptance, lie: func(_ *testNode, s *session, _ *store.Tx) error {
			s.PK = strings.Repeat("00", 32)
			return nil
		}, want: stopped("public key is none")},
		"no epoch": {at: kindAcceptance, lie: func(_ *testNode, s *session, _ *store.Tx) error {
			s.Epoch = ""
			return nil
		}, want: stopped("epoch cannot be read", "form")},
		"tags cut short": {set: setTags, body: func(good, _, _ []byte) []byte { return good[:len(good)-16] }, want: stopped("does not fit")},
		"more tags than committed to": {set: setTags, body: func(good, _, _ []byte) []byte {
			return append(bytes.Clone(good), bytes.Repeat([]byte{0xff}, 16)...)
		}, want: stopped("does not fit", "could not be reached")},
		"more answers than committed to": {set: setAnswers, body: func(good, _, _ []byte) []byte {
			return append(bytes.Clone(good), bytes.Repeat([]byte{0xff}, answer.Size)...)
		}, want: stopped("does not fit", "could not be reached")},
		"tags reordered":           {set: setTags, body: func(good, _, _ []byte) []byte { return slicesOf(good[16:32], good[:16], good[32:]) }, want: stopped("does not fit")},
		"tags of another exchange": {set: setTags, body: func(_, old, _ []byte) []byte { return old }, want: stopped("does not fit")},
		"answers cut short":        {set: setAnswers, body: func(good, _, _ []byte) []byte { return good[:len(good)-answer.Size] }, want: stopped("does not fit")},
		"answers about rows never claimed": {at: kindResult, lie: func(n *testNode, s *session, tx *store.Tx) error {
			return lieAnswers(n, s, tx, answer.Answer{Initiator: answer.Row{1}, Responder: answer.Row{2}, Keys: 1, Tier: answer.Match})
		}, want: stopped("not claimed")},
		"more answers than stated": {at: kindResult, lie: func(_ *testNode, s *session, _ *store.Tx) error {
			s.Pairs++
			return nil
		}, want: stopped("do not add up", "not as many")},
	} {
		t.Run(name, func(t *testing.T) {
			var points []byte
			w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
				if from != a {
					return nil, nil
				}
				_, path, _ := strings.Cut(r.URL, "/node/")
				if r.Method == "PUT" && strings.Contains(path, "/"+setBundle+"/") {
					points = r.Body
				}
				if f.at != "" && path == "messages" {
					e, err := readEnvelope(r.Body)
					if err != nil || e.Kind != f.at {
						return nil, err
					}
					return nil, b.store.Update(t.Context(), func(tx *store.Tx) error {
						s, err := b.kept.sessions.Get(tx, []byte(e.Exchange))
						must(t, err)
						must(t, f.lie(b, &s, tx))
						return b.putSession(tx, &s)
					})
				}
				if f.set == "" || r.Method != "GET" || !strings.Contains(path, fmt.Sprintf("/%s/", f.set)) {
					return nil, nil
				}
				resp, err := b.serve(t.Context(), *r, path)
				if err == nil && resp.Status == 200 {
					resp.Body = f.body(resp.Body, old[f.set], points)
				}
				return &resp, err
			}
			_, err := a.RollEpochs(t.Context(), "") // so that there is something to answer
			must(t, err)
			before, err := a.Receipts(t.Context())
			must(t, err)
			e, err := a.StartExchange(t.Context(), Request{Peer: b.DID(), Profile: "soundex/1", Protocol: ProtocolVOPRF, Purpose: "a test"})
			must(t, err)
			a.await(e.Job)
			e, err = a.Exchange(t.Context(), e.ID)
			must(t, err)
			if e.State != StateFailed || !f.want(e) || e.InCommon+e.Possible != 0 {
				t.Errorf("%s: %s", e.State, e.Error)
			}
			after, err := a.Receipts(t.Context())
			must(t, err)
			if len(after) != len(before) {
				t.Error("there is a receipt of it")
			}
			w.intercept = nil
			must(t, b.giveUp(t.Context(), e.ID, errGivenUp))
		})
	}
}

func slicesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// lieAnswers puts other answers in place of a responder's.
func lieAnswers(n *testNode, s *session, tx *store.Tx, answers ...answer.Answer) error {
	data, err := answer.Encode(answers)
	if err != nil {
		return err
	}
	if s.Sets[setAnswers], err = merkle.Commit(data, answer.Size); err != nil {
		return err
	}
	s.Pairs, s.Maybes = uint64(len(answers)), 0
	if err := dropAll(tx, n.kept.chunks, s.ID+"/"+setAnswers+"/"); err != nil {
		return err
	}
	return n.putSet(tx, s.ID, setAnswers, data, 1<<20)
}
