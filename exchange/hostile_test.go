package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ihyid/credentials"
	"ihyid/did"
	"ihyid/exchange/merkle"
	"ihyid/exchange/noise"
	"ihyid/store"
)

// friends makes two nodes that are registered with each other.
func friends(t testing.TB) (w *world, a, b *testNode) {
	t.Helper()
	w = newWorld(t)
	a, b = w.add("a.example"), w.add("b.example")
	befriend(a, b)
	return w, a, b
}

// opening makes the opening of an exchange from a to b that b would accept.
func opening(t *testing.T, a, b *testNode) openingSubject {
	t.Helper()
	set, err := noise.Build([][32]byte{{1}, {2}}, [32]byte{9})
	must(t, err)
	c, err := merkle.Commit(set.Entries, noise.EntrySize)
	must(t, err)
	mine, err := a.ownDigests()
	must(t, err)
	key, err := a.signingKey(t.Context(), "assertionMethod")
	must(t, err)
	peer, err := a.Peer(t.Context(), b.DID())
	must(t, err)
	id, err := a.randomHex(16)
	must(t, err)
	return openingSubject{
		V: "1", Exchange: id, Initiator: a.DID(), Responder: b.DID(), InitiatorDocument: mine.document, InitiatorKey: key.VerificationMethod,
		Agreement: peer.Registration, Profile: a.profile.ID(), Purpose: "a test", Protocol: ProtocolNoise, Commitment: *c,
	}
}

// challengeFor asks b for a challenge.
func askChallenge(t *testing.T, b *testNode, sender string, k kind, id string) string {
	t.Helper()
	c, err := b.Challenge(t.Context(), ChallengeRequest{Sender: sender, Action: string(k), Exchange: id})
	must(t, err)
	return c.Challenge
}

// snapshot is everything that a node keeps of peers, exchanges and receipts.
func snapshot(t *testing.T, n *testNode) string {
	t.Helper()
	var out strings.Builder
	must(t, n.store.View(t.Context(), func(tx *store.Tx) error {
		for item, err := range n.kept.peers.All(tx, store.Range{}) {
			must(t, err)
			out.WriteString(item.Value.Peer.DID + string(item.Value.Peer.State) + "\n")
		}
		for item, err := range n.kept.sessions.All(tx, store.Range{}) {
			must(t, err)
			b, err := json.Marshal(item.Value)
			must(t, err)
			out.Write(b)
		}
		for key, err := range n.kept.letters.Keys(tx, store.Range{}) {
			must(t, err)
			out.Write(key)
		}
		return nil
	}))
	return out.String()
}

func TestRefusedPresentations(t *testing.T) {
	ctx := context.Background()
	type setting struct {
		t       *testing.T
		w       *world
		a, b, c *testNode // c is registered with nobody
	}
	// sign makes the presentation of an opening, after change has had its way.
	sign := func(s setting, change func(*openingSubject)) []byte {
		o := opening(s.t, s.a, s.b)
		if change != nil {
			change(&o)
		}
		vc, err := s.a.issue(ctx, string(kindOpening), o, messageLife)
		must(s.t, err)
		vp, err := s.a.present(ctx, s.b.DID(), askChallenge(s.t, s.b, s.a.DID(), kindOpening, o.Exchange), vc)
		must(s.t, err)
		return vp
	}
	for name, tc := range map[string]struct {
		make func(s setting) []byte
		code Code
		says string
	}{
		"truncated JSON": {func(s setting) []byte { vp := sign(s, nil); return vp[:len(vp)/2] }, CodeInvalid, "strict JSON"},
		"over the limit": {func(s setting) []byte { return bytes.Repeat([]byte(" "), MaxPresentation+1) }, CodeTooLarge, "at most"},
		"a member twice": {func(s setting) []byte {
			return bytes.Replace(sign(s, nil), []byte(`{`), []byte(`{"holder":"did:web:x.example",`), 1)
		}, CodeInvalid, "strict JSON"},
		"wrong signature": {func(s setting) []byte {
			return bytes.Replace(sign(s, nil), []byte(`"purpose":"a test"`), []byte(`"purpose":"b test"`), 1)
		}, CodePresentation, "proof"},
		"another domain": {func(s setting) []byte {
			o := opening(s.t, s.a, s.b)
			vc, err := s.a.issue(ctx, string(kindOpening), o, messageLife)
			must(s.t, err)
			vp, err := s.a.present(ctx, s.c.DID(), askChallenge(s.t, s.b, s.a.DID(), kindOpening, o.Exchange), vc)
			must(s.t, err)
			return vp
		}, CodePresentation, "domain"},
		"a challenge never issued": {func(s setting) []byte {
			vc, err := s.a.issue(ctx, string(kindOpening), opening(s.t, s.a, s.b), messageLife)
			must(s.t, err)
			vp, err := s.a.present(ctx, s.b.DID(), strings.Repeat("ab", 32), vc)
			must(s.t, err)
			return vp
		}, CodeChallenge, "not issued"},
		"a used challenge": {func(s setting) []byte {
			vp := sign(s, nil)
			_, err := s.b.Message(ctx, vp)
			must(s.t, err)
			// Let the job that the opening began get as far as it can, so that nothing but the message could change anything.
			all, err := s.b.Exchanges(ctx)
			must(s.t, err)
			s.b.await(all[0].Job)
			return vp
		}, CodeChallenge, "used"},
		"an expired challenge": {func(s setting) []byte {
			vp := sign(s, nil)
			s.b.ahead.Store(int64(challengeLife + time.Second))
			return vp
		}, CodeChallenge, "expired"},
		"a challenge of another action": {func(s setting) []byte {
			o := opening(s.t, s.a, s.b)
			vc, err := s.a.issue(ctx, string(kindOpening), o, messageLife)
			must(s.t, err)
			vp, err := s.a.present(ctx, s.b.DID(), askChallenge(s.t, s.b, s.a.DID(), kindClaims, o.Exchange), vc)
			must(s.t, err)
			return vp
		}, CodeChallenge, "for this sender, message and exchange"},
		"a challenge of another exchange": {func(s setting) []byte {
			vc, err := s.a.issue(ctx, string(kindOpening), opening(s.t, s.a, s.b), messageLife)
			must(s.t, err)
			vp, err := s.a.present(ctx, s.b.DID(), askChallenge(s.t, s.b, s.a.DID(), kindOpening, strings.Repeat("0", 32)), vc)
			must(s.t, err)
			return vp
		}, CodeChallenge, "for this sender, message and exchange"},
		"expired validity of the credential": {func(s setting) []byte {
			o := opening(s.t, s.a, s.b)
			vc, err := s.a.issue(ctx, string(kindOpening), o, time.Second)
			must(s.t, err)
			s.a.ahead.Store(int64(time.Minute))
			s.b.ahead.Store(int64(time.Minute))
			vp, err := s.a.present(ctx, s.b.DID(), askChallenge(s.t, s.b, s.a.DID(), kindOpening, o.Exchange), vc)
			must(s.t, err)
			return vp
		}, CodePresentation, "time"},
		"an unregistered sender": {func(s setting) []byte {
			o := opening(s.t, s.a, s.b)
			o.Initiator = s.c.DID()
			vc, err := s.c.issue(ctx, string(kindOpening), o, messageLife)
			must(s.t, err)
			vp, err := s.c.present(ctx, s.b.DID(), askChallenge(s.t, s.b, s.c.DID(), kindOpening, o.Exchange), vc)
			must(s.t, err)
			return vp
		}, CodeUnknownPeer, "not registered"},
		"a suspended sender": {func(s setting) []byte {
			_, err := s.b.SuspendPeer(ctx, s.a.DID(), "")
			must(s.t, err)
			return sign(s, nil)
		}, CodePeerSuspended, "suspended"},
		"a holder other than the sender": {func(s setting) []byte {
			// c presents what a has signed.
			o := opening(s.t, s.a, s.b)
			vc, err := s.a.issue(ctx, string(kindOpening), o, messageLife)
			must(s.t, err)
			vp, err := s.c.present(ctx, s.b.DID(), askChallenge(s.t, s.b, s.c.DID(), kindOpening, o.Exchange), vc)
			must(s.t, err)
			return vp
		}, CodePresentation, "issued by somebody other"},
		"a holder who did not sign": {func(s setting) []byte {
			o := opening(s.t, s.a, s.b)
			vc, err := s.a.issue(ctx, string(kindOpening), o, messageLife)
			must(s.t, err)
			vp, err := s.c.present(ctx, s.b.DID(), askChallenge(s.t, s.b, s.a.DID(), kindOpening, o.Exchange), vc)
			must(s.t, err)
			return bytes.Replace(vp, []byte(`"holder":"`+s.c.DID()+`"`), []byte(`"holder":"`+s.a.DID()+`"`), 1)
		}, CodeInvalid, "by a key of its holder"},
		"an unknown profile": {func(s setting) []byte {
			return sign(s, func(o *openingSubject) { o.Profile = "sha256:" + strings.Repeat("00", 32) })
		}, CodeUnknownProfile, "no matching profile"},
		"names that differ in case only": {func(s setting) []byte {
			// A reader that takes names without regard to case would act on the second, which nobody has signed.
			vp := sign(s, nil)
			e, err := readEnvelope(vp)
			must(s.t, err)
			forged := bytes.Replace(e.Credentials[0], []byte(`"a test"`), []byte(`"b test"`), 1)
			return append(bytes.TrimSuffix(vp, []byte("}")), fmt.Sprintf(`,"verifiablecredential":[%s]}`, forged)...)
		}, CodePresentation, "refused"},
		"terms defined otherwise": {func(s setting) []byte {
			return bytes.Replace(sign(s, nil), []byte(credentials.Namespace+"purpose"), []byte(credentials.Namespace+"other"), 1)
		}, CodeInvalid, "terms"},
		"a proof by a key of somebody else": {func(s setting) []byte {
			vp := sign(s, nil)
			key, err := s.a.signingKey(ctx, "authentication")
			must(s.t, err)
			return bytes.Replace(vp, []byte(key.VerificationMethod), []byte("did:web:victim.example#key-2"), 1)
		}, CodeInvalid, "key of its holder"},
		"an unknown protocol": {func(s setting) []byte {
			return sign(s, func(o *openingSubject) { o.Protocol = "plain" })
		}, CodeUnsupported, "protocol"},
		"another registration": {func(s setting) []byte {
			return sign(s, func(o *openingSubject) { o.Agreement = strings.Repeat("00", 32) })
		}, CodeMismatch, "registration"},
		"another responder": {func(s setting) []byte {
			return sign(s, func(o *openingSubject) { o.Responder = s.c.DID() })
		}, CodeInvalid, "not from its sender"},
		"another DID document": {func(s setting) []byte {
			return sign(s, func(o *openingSubject) { o.InitiatorDocument = strings.Repeat("00", 32) })
		}, CodeMismatch, "DID document"},
		"a count that does not fit": {func(s setting) []byte {
			return sign(s, func(o *openingSubject) { o.Commitment.Count = 300 })
		}, CodeCommitment, "padding"},
		"too many entries": {func(s setting) []byte {
			return sign(s, func(o *openingSubject) { o.Commitment.Count = 1 << 20 })
		}, CodeInvalid, "form"},
		"a root that does not fit": {func(s setting) []byte {
			return sign(s, func(o *openingSubject) { o.Commitment.Root[0] ^= 1 })
		}, CodeInvalid, "form"},
		"an empty purpose": {func(s setting) []byte {
			return sign(s, func(o *openingSubject) { o.Purpose = "" })
		}, CodeInvalid, "purpose"},
		"an unknown member": {func(s setting) []byte {
			o := opening(s.t, s.a, s.b)
			raw, err := json.Marshal(o)
			must(s.t, err)
			var m map[string]any
			must(s.t, json.Unmarshal(raw, &m))
			m["id"] = "urn:more:than-the-protocol-has"
			vc, err := s.a.issue(ctx, string(kindOpening), m, messageLife)
			must(s.t, err)
			vp, err := s.a.present(ctx, s.b.DID(), askChallenge(s.t, s.b, s.a.DID(), kindOpening, o.Exchange), vc)
			must(s.t, err)
			return vp
		}, CodeInvalid, "form"},
		"an unknown type": {func(s setting) []byte {
			return bytes.ReplaceAll(sign(s, nil), []byte(kindOpening), []byte("IhyidUnknown"))
		}, CodeUnsupported, "type"},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := friends(t)
			s := setting{t, w, a, b, w.add("c.example")}
			vp := tc.make(s)
			before := snapshot(t, b)
			_, err := b.Message(ctx, vp)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if got := CodeOf(err); got != tc.code || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v; want %s and %q", got, err, tc.code, tc.says)
			}
			if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 600 {
				t.Errorf("not one line that a person can read: %q", err)
			}
			if after := snapshot(t, b); after != before {
				t.Errorf("it changed something:\n%s\n%s", before, after)
			}
		})
	}
}

func TestRefusedChunks(t *testing.T) {
	ctx := context.Background()
	_, a, b := friends(t)
	set, err := noise.Build([][32]byte{{1}, {2}}, [32]byte{9})
	must(t, err)
	o := opening(t, a, b)
	vc, err := a.issue(ctx, string(kindOpening), o, messageLife)
	must(t, err)
	to := peerAddress{DID: b.DID(), Endpoint: "https://b.example/node"}
	opened, token, err := a.converse(ctx, to, kindOpening, o.Exchange, kindOpeningReply, vc)
	must(t, err)
	s, err := b.session(ctx, o.Exchange)
	must(t, err)
	b.await(s.Job)
	put := func(token, set string, index uint32, body []byte) error {
		return b.PutChunk(ctx, token, o.Exchange, set, index, body)
	}
	if err := put(token, setBundle, 0, set.Entries); CodeOf(err) != CodeExchangeState {
		t.Errorf("a chunk before the acceptance was asked for: %v", err)
	}
	ask, err := a.issue(ctx, string(kindAcceptance), stepSubject{Exchange: o.Exchange, Previous: opened.Digest}, messageLife)
	must(t, err)
	_, _, err = a.converse(ctx, to, kindAcceptance, o.Exchange, kindAcceptanceReply, ask)
	must(t, err)
	before := snapshot(t, b)
	wrong := bytes.Clone(set.Entries)
	wrong[len(wrong)-1] ^= 1
	for name, tc := range map[string]struct {
		err  error
		code Code
	}{
		"a chunk that does not fit":    {put(token, setBundle, 0, wrong), CodeCommitment},
		"a chunk cut short":            {put(token, setBundle, 0, set.Entries[:len(set.Entries)-64]), CodeCommitment},
		"a chunk too long":             {put(token, setBundle, 0, append(bytes.Clone(set.Entries), set.Entries[:64]...)), CodeCommitment},
		"a chunk that is not there":    {put(token, setBundle, 1, set.Entries), CodeCommitment},
		"a chunk of an unknown set":    {put(token, "other", 0, set.Entries), CodeExchangeState},
		"a chunk of the own set":       {put(token, setOwn, 0, set.Entries), CodeExchangeState},
		"a wrong token":                {put(strings.Repeat("00", 32), setBundle, 0, set.Entries), CodeToken},
		"no token":                     {put("", setBundle, 0, set.Entries), CodeToken},
		"an unknown exchange":          {b.PutChunk(ctx, token, strings.Repeat("00", 16), setBundle, 0, set.Entries), CodeToken},
		"a chunk asked for, not there": {func() error { _, err := b.GetChunk(ctx, token, o.Exchange, setBundle, 0); return err }(), CodeExchangeState},
	} {
		if CodeOf(tc.err) != tc.code {
			t.Errorf("%s: %v", name, tc.err)
		}
	}
	if after := snapshot(t, b); after != before {
		t.Error("a refused chunk changed something")
	}
	must(t, put(token, setBundle, 0, set.Entries))
	b.ahead.Store(int64(25 * time.Hour))
	if err := put(token, setBundle, 0, set.Entries); CodeOf(err) != CodeToken {
		t.Errorf("an expired token: %v", err)
	}
}

// TestInventedClaims has a responder claim what it does not know.
func TestInventedClaims(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	var row [16]byte
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		// The claims and their commitment are exchanged for false ones that fit each other.
		if from != a || !strings.HasSuffix(r.URL, "/messages") {
			return nil, nil
		}
		e, err := readEnvelope(r.Body)
		if err != nil || e.Kind != kindClaims {
			return nil, err
		}
		claims, err := noise.EncodeClaims([]noise.Claim{{Entry: 3, Row: row, MAC: [32]byte{1}}})
		must(t, err)
		c, err := merkle.Commit(claims, noise.ClaimSize)
		must(t, err)
		must(t, b.store.Update(t.Context(), func(tx *store.Tx) error {
			s, err := b.kept.sessions.Get(tx, []byte(e.Exchange))
			must(t, err)
			s.Sets[setClaims] = c
			must(t, b.kept.chunks.Put(tx, chunkKey(e.Exchange, setClaims, 0), claims))
			return b.putSession(tx, &s)
		}))
		return nil, nil
	}
	e := a.run(b)
	if e.State != StateFailed || !strings.Contains(e.Error, "does not know") || e.InCommon != 0 {
		t.Errorf("%+v", e)
	}
	receipts, err := a.Receipts(t.Context())
	must(t, err)
	if len(receipts) != 0 {
		t.Error("there is a receipt of it")
	}
}

// TestReplyIsBound has the reply to one message come as the reply to another.
func TestReplyIsBound(t *testing.T) {
	w, a, b := friends(t)
	var old *TransportResponse
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from != a || !strings.HasSuffix(r.URL, "/messages") {
			return nil, nil
		}
		if old != nil {
			return old, nil
		}
		resp, err := b.serve(t.Context(), *r, "messages")
		old = &resp
		return &resp, err
	}
	to := peerAddress{DID: b.DID(), Endpoint: "https://b.example/node"}
	vc, err := a.issue(t.Context(), string(kindIntroduction), introductionSubject{ID: a.DID()}, messageLife)
	must(t, err)
	_, _, err = a.converse(t.Context(), to, kindIntroduction, "", kindIntroductionReply, vc)
	must(t, err)
	_, _, err = a.converse(t.Context(), to, kindIntroduction, "", kindIntroductionReply, vc)
	if CodeOf(err) != CodePresentation || !strings.Contains(err.Error(), credentials.CheckChallenge) {
		t.Errorf("a replayed reply: %v", err)
	}
}

// refusing does not resolve one DID.
type refusing struct {
	did.Resolver
	name string
	err  error
}

func (r *refusing) Resolve(ctx context.Context, name string) (*did.Resolution, error) {
	if name == r.name {
		return nil, r.err
	}
	return r.Resolver.Resolve(ctx, name)
}

// Who sends a message chooses what this node fetches; it does not learn what is behind this node's firewall.
func TestSenderLearnsNoAddresses(t *testing.T) {
	w := newWorld(t)
	a, b := w.add("a.example"), w.add("b.example")
	stand := &refusing{Resolver: w, name: a.DID()}
	b.stop()
	b.options = func(o *Options) { o.Resolver = stand }
	b.start()
	for code, want := range map[did.Code]string{did.InternalError: "could not fetch", did.NotFound: "notFound"} {
		stand.err = &did.Error{Code: code, DID: a.DID(), Err: errors.New("dial tcp 10.1.2.3:6379: connection refused")}
		vc, err := a.issue(t.Context(), string(kindIntroduction), introductionSubject{ID: a.DID()}, messageLife)
		must(t, err)
		vp, err := a.present(t.Context(), b.DID(), askChallenge(t, b, a.DID(), kindIntroduction, ""), vc)
		must(t, err)
		_, err = b.Message(t.Context(), vp)
		wantCode(t, err, CodeResolution)
		if strings.Contains(fmt.Sprint(err), "10.1.2.3") || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v", code, err)
		}
	}
}
