package exchange

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ihyid/credentials"
	"ihyid/did"
	"ihyid/kms"
	"ihyid/store"
)

// forge makes a DID resolve to another document than its node publishes; nil ends that.
func (w *world) forge(name string, d *did.Document) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.forged == nil {
		w.forged = map[string]*did.Document{}
	}
	w.forged[name] = d
}

func (tn *testNode) published() *did.Document {
	tn.t.Helper()
	d, err := did.ParseDocument(tn.DocumentJSON())
	must(tn.t, err)
	return d
}

func (tn *testNode) rotate(purpose kms.Purpose, overlap time.Duration) Key {
	tn.t.Helper()
	k, err := tn.RotateKey(tn.t.Context(), purpose, RotateOptions{Overlap: overlap})
	must(tn.t, err)
	return k
}

// confirm compares the fingerprints of two nodes, as their administrators would.
func confirm(a, b *testNode) {
	a.t.Helper()
	fa, err := a.Fingerprint(a.t.Context(), b.DID())
	must(a.t, err)
	fb, err := b.Fingerprint(b.t.Context(), a.DID())
	must(b.t, err)
	if fa.Fingerprint != fb.Fingerprint {
		a.t.Fatalf("the two sides see different fingerprints: %s, %s", fa.Fingerprint, fb.Fingerprint)
	}
	pa, err := a.ConfirmPeer(a.t.Context(), b.DID(), fb.Fingerprint)
	must(a.t, err)
	_, err = b.ConfirmPeer(b.t.Context(), a.DID(), strings.ReplaceAll(fa.Fingerprint, " ", ""))
	must(b.t, err)
	if pa.Trust != TrustConfirmed || pa.Confirmed.IsZero() {
		a.t.Fatalf("after the confirmation: %+v", pa)
	}
}

// pairOf makes two nodes that know each other and have two contacts in common.
func pairOf(t *testing.T) (w *world, a, b *testNode) {
	w = newWorld(t)
	a, b = w.add("a.example"), w.add("b.example")
	a.importCSV(listA)
	b.importCSV(listB)
	befriend(a, b)
	return w, a, b
}

func TestRotationIsFollowed(t *testing.T) {
	_, a, b := pairOf(t)
	confirm(a, b)
	before := a.published()
	credential := bytes.Clone(a.self().Credential)
	// Several changes between two looks of the peer: all are followed.
	second := a.rotate(kms.AssertionMethod, DefaultOverlap)
	a.rotate(kms.Authentication, DefaultOverlap)
	a.rotate(kms.AssertionMethod, DefaultOverlap)
	if _, err := a.RetireKey(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(credential, a.self().Credential) {
		t.Error("the organisation credential is still signed with the former key")
	}
	for _, tn := range []*testNode{a, b} {
		to := a
		if tn == a {
			to = b
		}
		if e := tn.run(to); e.State != StateDone || e.InCommon != 2 {
			t.Fatalf("%s: %+v", tn.host, e)
		}
	}
	p, err := b.Peer(t.Context(), a.DID())
	must(t, err)
	if p.Document != documentDigest(a.published()) || p.Trust != TrustConfirmed || p.State != PeerApproved {
		t.Errorf("the peer after its rotations: %+v", p)
	}
	if !b.sawDocument(t.Context(), a.DID(), documentDigest(before)) || !a.sawDocument(t.Context(), a.DID(), documentDigest(before)) {
		t.Error("the document from before the rotations is not kept on both sides")
	}
	// The same after a restart.
	a.stop()
	a.start()
	if e := a.run(b); e.State != StateDone {
		t.Fatalf("after a restart: %+v", e)
	}
	keys, err := a.Keys(t.Context())
	must(t, err)
	var states []string
	for _, k := range keys {
		states = append(states, string(k.State)+" "+string(k.Purpose))
	}
	want := []string{"replaced assertionMethod", "replaced authentication", "retired assertionMethod", "active authentication", "active assertionMethod", "active keyAgreement"}
	if !slices.Equal(states, want) {
		t.Errorf("keys: %q, want %q", states, want)
	}
	if info, err := a.keys.Get(t.Context(), second.ID); err != nil || info.State != kms.Retired {
		t.Errorf("the retired key in the key store: %+v, %v", info, err)
	}
}

func TestRotateErrors(t *testing.T) {
	w := newWorld(t)
	a := w.add("a.example")
	_, err := a.RotateKey(t.Context(), "capabilityInvocation", RotateOptions{})
	wantCode(t, err, CodeInvalid)
	_, err = a.RotateKey(t.Context(), kms.AssertionMethod, RotateOptions{Curve: "P-521"})
	wantCode(t, err, CodeInvalid)
	_, err = a.RotateKey(t.Context(), kms.AssertionMethod, RotateOptions{Overlap: -time.Second})
	wantCode(t, err, CodeInvalid)
	_, err = a.RetireKey(t.Context(), "key-1")
	wantCode(t, err, CodeConflict) // in use
	_, err = a.RetireKey(t.Context(), "key-9")
	wantCode(t, err, CodeNotFound)
	k, err := a.RotateKey(t.Context(), kms.AssertionMethod, RotateOptions{Curve: kms.P384, Overlap: time.Hour})
	must(t, err)
	if k.Curve != kms.P384 || k.Method != a.DID()+"#key-3" || k.State != KeyActive || !k.Published {
		t.Errorf("the new key: %+v", k)
	}
	old, err := a.RetireKey(t.Context(), "#key-1")
	must(t, err)
	if old.State != KeyRetired || !old.Published {
		t.Errorf("the retired key: %+v", old)
	}
	_, err = a.RetireKey(t.Context(), "key-1")
	wantCode(t, err, CodeConflict)
	if m, ok := a.published().Method("#key-1"); !ok || m.Revoked.IsZero() {
		t.Error("a retired key is to stay in the document, revoked")
	}
	_, err = a.Changes(t.Context(), "xyz")
	wantCode(t, err, CodeInvalid)
}

func wantCode(t *testing.T, err error, code Code) {
	t.Helper()
	if CodeOf(err) != code {
		t.Errorf("got %v (%s), want %s", err, CodeOf(err), code)
	}
}

// altered is the document of a node with something changed by somebody who does not have its keys.
func altered(tn *testNode, change func(spec *did.DocumentSpec)) *did.Document {
	tn.t.Helper()
	before := tn.published()
	spec := did.DocumentSpec{ID: before.ID(), Services: before.Services()}
	for _, k := range tn.self().Keys {
		m, _ := before.Method(k.Method)
		pub, err := m.PublicKey()
		must(tn.t, err)
		spec.Keys = append(spec.Keys, did.SpecKey{Fragment: m.Fragment(), Public: pub, Relationships: []string{k.Purpose}, Expires: k.Expires, Revoked: k.Revoked})
	}
	change(&spec)
	d, err := did.Build(spec)
	must(tn.t, err)
	return d
}

func newPublic(t *testing.T) crypto.PublicKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k.Public()
}

func TestChangeThatNobodyVouchesFor(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, spec *did.DocumentSpec){
		"another key": func(t *testing.T, s *did.DocumentSpec) { s.Keys[0].Public = newPublic(t) },
		"one more key": func(t *testing.T, s *did.DocumentSpec) {
			s.Keys = append(s.Keys, did.SpecKey{Fragment: "x", Public: newPublic(t), Relationships: []string{did.AssertionMethod}})
		},
		"more rights": func(_ *testing.T, s *did.DocumentSpec) {
			s.Keys[1].Relationships = []string{did.Authentication, did.AssertionMethod}
		},
		"other address": func(_ *testing.T, s *did.DocumentSpec) { s.Services[0].Endpoint = "https://evil.example/node" },
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pairOf(t)
			confirm(a, b)
			w.forge(b.DID(), altered(b, func(s *did.DocumentSpec) { change(t, s) }))
			// No message and no bundle goes there.
			w.mu.Lock()
			w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
				if from == a && !strings.Contains(r.URL, "/changes?since=") {
					t.Errorf("a request to %s", r.URL)
				}
				return nil, nil
			}
			w.mu.Unlock()
			e := a.run(b)
			if e.State != StateFailed || !strings.Contains(e.Error, "fingerprint") {
				t.Fatalf("the exchange: %+v", e)
			}
			p, err := a.Peer(t.Context(), b.DID())
			must(t, err)
			if p.State != PeerSuspended || p.Changed == "" || p.Reason != keysChangedReason {
				t.Fatalf("the peer: %+v", p)
			}
			_, err = a.ResumePeer(t.Context(), b.DID())
			wantCode(t, err, CodePeerSuspended)
			// The fingerprint is now one that the real peer does not see.
			f, err := a.Fingerprint(t.Context(), b.DID())
			must(t, err)
			w.mu.Lock()
			w.intercept = nil
			w.mu.Unlock()
			real, err := b.Fingerprint(t.Context(), a.DID())
			must(t, err)
			if !f.Changed || f.Fingerprint == real.Fingerprint {
				t.Errorf("the fingerprints: %+v, %+v", f, real)
			}
			_, err = a.ConfirmPeer(t.Context(), b.DID(), real.Fingerprint)
			wantCode(t, err, CodeMismatch)
			// When the old document is back, the suspension may end.
			w.forge(b.DID(), nil)
			p, err = a.ResumePeer(t.Context(), b.DID())
			must(t, err)
			if p.State != PeerApproved || p.Changed != "" {
				t.Errorf("after the resumption: %+v", p)
			}
			if e := a.run(b); e.State != StateDone {
				t.Errorf("after the resumption: %+v", e)
			}
		})
	}
}

// A peer that lost its keys begins with new ones: only the administrators can tell.
func TestNewKeysAreConfirmed(t *testing.T) {
	w, a, b := pairOf(t)
	confirm(a, b)
	b.rotate(kms.AssertionMethod, 0)
	w.mu.Lock()
	w.intercept = func(_ *testNode, r *TransportRequest) (*TransportResponse, error) {
		if strings.Contains(r.URL, "/changes?") {
			return &TransportResponse{Status: http.StatusNotFound}, nil
		}
		return nil, nil
	}
	w.mu.Unlock()
	if e := a.run(b); e.State != StateFailed {
		t.Fatalf("the exchange: %+v", e)
	}
	// What the suspended peer sends is refused as well.
	if e := b.run(a); e.State != StateFailed {
		t.Fatalf("the exchange of the peer: %+v", e)
	}
	f, err := b.Fingerprint(t.Context(), a.DID())
	must(t, err)
	p, err := a.ConfirmPeer(t.Context(), b.DID(), f.Fingerprint)
	must(t, err)
	if p.State != PeerApproved || p.Document != documentDigest(b.published()) {
		t.Fatalf("after the confirmation: %+v", p)
	}
	if e := a.run(b); e.State != StateDone {
		t.Fatalf("after the confirmation: %+v", e)
	}
	// An older document than the one that is pinned: a cache, or somebody who wants a retired key back. Refused, but no change of keys.
	var old *did.Document
	for _, digest := range mustPeer(t, a, b.DID()).Past {
		old, err = a.keptDocument(t.Context(), digest)
		must(t, err)
	}
	w.forge(b.DID(), old)
	_, _, err = a.locate(t.Context(), b.DID())
	wantCode(t, err, CodeResolution)
	if !errors.Is(err, errStale) || mustPeer(t, a, b.DID()).Peer.State != PeerApproved {
		t.Errorf("an old document: %v", err)
	}
}

func mustPeer(t *testing.T, tn *testNode, name string) *peerRecord {
	t.Helper()
	r, err := tn.peer(t.Context(), name)
	must(t, err)
	return r
}

func TestConfirmedPeersOnly(t *testing.T) {
	_, a, b := pairOf(t)
	if p := mustPeer(t, a, b.DID()).Peer; p.Trust != TrustFirstUse || !p.Confirmed.IsZero() {
		t.Errorf("a new peer: %+v", p)
	}
	b.stop()
	b.options = func(o *Options) { o.RequireConfirmed = true }
	b.start()
	_, err := b.StartExchange(t.Context(), Request{Peer: a.DID(), Profile: "soundex/1", Protocol: ProtocolNoise, Purpose: "a test"})
	wantCode(t, err, CodePeerState)
	if e := a.run(b); e.State != StateFailed || !strings.Contains(e.Error, "confirmed") {
		t.Errorf("an exchange with who confirms nobody: %+v", e)
	}
	confirm(a, b)
	if e := a.run(b); e.State != StateDone {
		t.Errorf("confirmed: %+v", e)
	}
}

// Keys that are replaced in the middle of an exchange do not end it; keys that are revoked do, in clear words.
func TestRotationDuringAnExchange(t *testing.T) {
	during := func(t *testing.T, overlap time.Duration) (a, b *testNode, e Exchange) {
		w, a, b := pairOf(t)
		var once sync.Once
		w.mu.Lock()
		w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
			if r.Method == "POST" && bytes.Contains(r.Body, []byte(`"`+string(kindAnswers)+`"`)) {
				once.Do(func() {
					for _, tn := range []*testNode{a, b} {
						tn.rotate(kms.AssertionMethod, overlap)
						tn.rotate(kms.Authentication, overlap)
					}
				})
			}
			return nil, nil
		}
		w.mu.Unlock()
		return a, b, a.run(b)
	}
	t.Run("replaced", func(t *testing.T) {
		a, b, e := during(t, time.Hour)
		if e.State != StateDone || e.InCommon != 2 {
			t.Fatalf("the exchange: %+v", e)
		}
		file, err := a.Receipt(t.Context(), e.ID)
		must(t, err)
		if r := VerifyReceipt(t.Context(), file, VerifyReceiptOptions{Documents: []*did.Document{a.published(), b.published()}}); !r.Passed() {
			t.Errorf("its receipt: %+v", r.Checks)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		_, _, e := during(t, 0)
		if e.State != StateFailed || e.Error == "" {
			t.Fatalf("the exchange: %+v", e)
		}
		t.Log(e.Error)
	})
}

// cut takes the line of a node away; the function that it gives puts it back.
func (w *world) cut(tn *testNode) (mend func()) {
	set := func(f func(*testNode, *TransportRequest) (*TransportResponse, error)) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.intercept = f
	}
	set(func(from *testNode, _ *TransportRequest) (*TransportResponse, error) {
		if from == tn {
			return nil, errors.New("no line")
		}
		return nil, nil
	})
	return func() { set(nil) }
}

// A decision that was long on its way arrives, though its sender's document changed meanwhile, also if the key that signed it has ended since.
func TestRotationBeforeDelivery(t *testing.T) {
	for name, overlap := range map[string]time.Duration{"overlap": DefaultOverlap, "revoked": 0} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.add("a.example"), w.add("b.example")
			_, err := a.AddPeer(t.Context(), b.DID(), orgOf(b.host))
			must(t, err)
			mend := w.cut(b)
			_, err = b.ApprovePeer(t.Context(), a.DID())
			must(t, err)
			b.rotate(kms.AssertionMethod, overlap)
			b.rotate(kms.Authentication, overlap)
			mend()
			a.awaitPeer(b.DID(), PeerApproved)
			b.awaitPeer(a.DID(), PeerApproved)
			if at, bt := mustPeer(t, a, b.DID()).Peer.Registration, mustPeer(t, b, a.DID()).Peer.Registration; at != bt || at == "" {
				t.Errorf("the registrations: %s and %s", at, bt)
			}
			a.importCSV(listA)
			b.importCSV(listB)
			if e := a.run(b); e.State != StateDone {
				t.Errorf("the exchange: %+v", e)
			}
		})
	}
}

// A decision arrives and its reply is lost; then the key that signed it is revoked. The same decision comes signed anew, and both sides name that one.
func TestRotationAfterLostReply(t *testing.T) {
	w := newWorld(t)
	a, b := w.add("a.example"), w.add("b.example")
	_, err := a.AddPeer(t.Context(), b.DID(), orgOf(b.host))
	must(t, err)
	w.mu.Lock()
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from != b || !bytes.Contains(r.Body, []byte(kindDecision)) || !strings.HasSuffix(r.URL, "/messages") {
			return nil, nil
		}
		if _, err := a.serve(context.Background(), *r, "messages"); err != nil {
			return nil, err
		}
		return nil, errors.New("the line broke before the reply")
	}
	w.mu.Unlock()
	_, err = b.ApprovePeer(t.Context(), a.DID())
	must(t, err)
	a.awaitPeer(b.DID(), PeerApproved)
	first := mustPeer(t, a, b.DID()).Peer.Registration
	b.rotate(kms.AssertionMethod, 0)
	w.mu.Lock()
	w.intercept = nil
	w.mu.Unlock()
	b.awaitPeer(a.DID(), PeerApproved)
	at, bt := mustPeer(t, a, b.DID()).Peer.Registration, mustPeer(t, b, a.DID()).Peer.Registration
	if at != bt || at == first {
		t.Errorf("the registrations: %s and %s, at first %s", at, bt, first)
	}
}

// A proposal and a consent are signed again, too.
func TestRotationBeforeAnAgreementArrives(t *testing.T) {
	w, a, b := pairOf(t)
	mend := w.cut(a)
	g, err := a.ProposeAgreement(t.Context(), AgreementRequest{Peer: b.DID(), Purposes: []string{"a test"}, Profiles: []string{"soundex/1"}})
	must(t, err)
	a.rotate(kms.AssertionMethod, 0)
	mend()
	awaitAgreement(t, b, g.ID, AgreementAsked)
	mend = w.cut(b)
	_, err = b.DecideAgreement(t.Context(), g.ID, true, "")
	must(t, err)
	b.rotate(kms.AssertionMethod, 0)
	mend()
	awaitAgreement(t, a, g.ID, AgreementActive)
}

// cachedFetcher fetches the documents that the nodes of a world publish, and counts.
type cachedFetcher struct {
	w     *world
	mu    sync.Mutex
	count int
}

func (f *cachedFetcher) Fetch(ctx context.Context, url, _ string, _ int64) ([]byte, string, error) {
	f.mu.Lock()
	f.count++
	f.mu.Unlock()
	host := strings.TrimSuffix(strings.TrimPrefix(url, "https://"), "/.well-known/did.json")
	res, err := f.w.Resolve(ctx, "did:web:"+host)
	if err != nil {
		return nil, "", err
	}
	return res.Document.Bytes(), "application/did", nil
}

// A node that has a peer's document in its cache notices that the peer's keys changed, and cannot be made to ask for it all the time.
func TestRotationIsNoticedPastTheCache(t *testing.T) {
	w, a, b := pairOf(t)
	f := &cachedFetcher{w: w}
	b.stop()
	b.options = func(o *Options) { o.Resolver = did.NewResolver(did.Options{Web: f, MaxAge: time.Hour}) }
	b.start()
	if e := a.run(b); e.State != StateDone {
		t.Fatalf("the exchange: %+v", e)
	}
	a.rotate(kms.Authentication, 0)
	a.rotate(kms.AssertionMethod, 0)
	if e := a.run(b); e.State != StateDone {
		t.Fatalf("the exchange after the rotation: %+v", e)
	}
	// A stranger with the peer's name and a key that nobody knows.
	f.mu.Lock()
	f.count = 0
	f.mu.Unlock()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for range 5 * refreshesPerDID {
		ch, err := b.Challenge(t.Context(), ChallengeRequest{Sender: a.DID(), Action: string(kindIntroduction)})
		must(t, err)
		vc, err := a.issue(t.Context(), string(kindIntroduction), introductionSubject{ID: a.DID()}, time.Hour)
		must(t, err)
		vp, err := json.Marshal(map[string]any{
			"@context": []any{credentials.ContextV2}, "type": []string{"VerifiablePresentation"}, "holder": a.DID(),
			"verifiableCredential": []any{json.RawMessage(vc)},
		})
		must(t, err)
		vp, err = a.issuer.Presentation(t.Context(), vp, credentials.Key{VerificationMethod: a.DID() + "#unknown", Signer: key}, credentials.ProofOptions{
			Purpose: "authentication", Challenge: ch.Challenge, Domain: []string{b.DID()}, Expires: time.Now().Add(time.Minute),
		})
		must(t, err)
		if _, err := b.Message(t.Context(), vp); err == nil {
			t.Fatal("a message signed with an unknown key was accepted")
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count > 2*refreshesPerDID { // a minute may have ended meanwhile
		t.Errorf("%d messages made the node fetch the document %d times", 5*refreshesPerDID, f.count)
	}
}

// The receipts of PROTOCOL section 9.
func TestReceiptsOfRetiredKeys(t *testing.T) {
	_, a, b := pairOf(t)
	e := a.run(b)
	file, err := a.Receipt(t.Context(), e.ID)
	must(t, err)
	former := map[string]credentials.Key{}
	for _, tn := range []*testNode{a, b} {
		former[tn.host], err = tn.signingKey(t.Context(), did.AssertionMethod)
		must(t, err)
	}
	verify := func(file []byte, docs ...*did.Document) *ReceiptReport {
		return VerifyReceipt(t.Context(), file, VerifyReceiptOptions{Documents: docs, Clock: func() time.Time { return time.Now().Add(72 * time.Hour) }})
	}
	reason := func(r *ReceiptReport, name string) string {
		for _, c := range r.Checks {
			if c.Name == name {
				return string(c.Outcome) + ": " + c.Reason
			}
		}
		return "none"
	}
	named := func(tn *testNode) *did.Document { return tn.published() }
	before := named(a)

	// A thief has a copy of a's first key, taken while it could be.
	stolen := former[a.host].Signer

	a.ahead.Store(int64(time.Hour))
	a.rotate(kms.AssertionMethod, 0)
	a.ahead.Store(int64(2 * time.Hour))
	a.rotate(kms.AssertionMethod, time.Hour)
	r := verify(file, a.published(), b.published())
	if !r.Passed() || !strings.Contains(reason(r, "initiator.key"), "responder's cross-signature") {
		t.Fatalf("after two rotations: %s %+v", reason(r, "initiator.key"), r.Checks)
	}
	// The document in the file is not believed, even where it is the true one of then.
	if r := verify(file, b.published()); r.Passed() {
		t.Error("a receipt passes with a DID document that is only in the file")
	}

	// A receipt that the retired key alone signed, back-dated. The key store gives the retired key up, so the thief needs its copy.
	if _, err := stolen.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); !errors.Is(err, kms.ErrKeyRetired) {
		t.Errorf("a retired key signs: %v", err)
	}
	thief, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	// The test takes the thief's own key for a's former one: the documents say so, as if it had leaked.
	leaked := altered(a, func(s *did.DocumentSpec) { s.Keys[0].Public = thief.Public() })
	then := altered(a, func(s *did.DocumentSpec) {
		s.Keys = s.Keys[:2]
		s.Keys[0].Public, s.Keys[0].Revoked, s.Keys[0].Expires = thief.Public(), time.Time{}, time.Time{}
	})
	st, err := readReceipt(mustReceipts(t, file)[0])
	must(t, err)
	st.Exchange, st.Matches, st.InitiatorDocument = strings.Repeat("ab", 16), "1000", documentDigest(then)
	st.Transcript = transcriptOf(&st)
	back, err := time.Parse(time.RFC3339, st.Ended)
	must(t, err)
	sign := func(method string, signer crypto.Signer, issuer string) []byte {
		unsecured, err := json.Marshal(map[string]any{
			"@context": []any{credentials.ContextV2, contextOf[typeReceipt]}, "type": []string{"VerifiableCredential", typeReceipt},
			"id": "urn:uuid:00000000-0000-4000-8000-000000000000", "issuer": issuer, "validFrom": st.Ended, "credentialSubject": st,
		})
		must(t, err)
		vc, err := a.issuer.Credential(t.Context(), unsecured, credentials.Key{VerificationMethod: method, Signer: signer},
			credentials.ProofOptions{Suite: credentials.DefaultSuite, Purpose: "assertionMethod", Created: back})
		must(t, err)
		return vc
	}
	mine := sign(st.InitiatorKey, thief, st.Initiator)
	forge := func(theirs []byte, docs map[string]json.RawMessage) []byte {
		out, err := json.Marshal(receiptFile{Type: receiptType, V: "1", Receipts: []json.RawMessage{mine, theirs}, DIDDocuments: docs})
		must(t, err)
		return out
	}
	docs := map[string]json.RawMessage{a.DID(): then.Bytes(), b.DID(): b.published().Bytes()}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for name, theirs := range map[string][]byte{
		"the other's genuine one, of another exchange": mustReceipts(t, file)[1],
		"a forged one of the other":                    sign(st.ResponderKey, other, st.Responder),
		"its own again":                                mine,
	} {
		r := verify(forge(theirs, docs), leaked, b.published())
		if why := reason(r, "initiator.key"); r.Passed() || !strings.Contains(why, "was revoked") || !strings.Contains(why, "responder's signature in this receipt, which could vouch for it, is not good itself") {
			t.Errorf("%s: passed %v, %s", name, r.Passed(), why)
		}
	}
	// A forged DID document of the other, in the file, with the key that signed for it.
	evil := altered(b, func(s *did.DocumentSpec) { s.Keys[0].Public = other.Public() })
	st.ResponderDocument = documentDigest(evil)
	st.Transcript = transcriptOf(&st)
	mine = sign(st.InitiatorKey, thief, st.Initiator)
	r = verify(forge(sign(st.ResponderKey, other, st.Responder), map[string]json.RawMessage{a.DID(): then.Bytes(), b.DID(): evil.Bytes()}), leaked)
	if r.Passed() || !strings.Contains(reason(r, "responder.did-document"), "unauthenticated") || !strings.Contains(reason(r, "initiator.key"), "not good itself") {
		t.Errorf("a forged document in the file: %v %s, %s", r.Passed(), reason(r, "responder.did-document"), reason(r, "initiator.key"))
	}
	// The key of that name is another one in the document of then: nobody vouched for it.
	swapped := altered(a, func(s *did.DocumentSpec) { s.Keys[0].Public = thief.Public() })
	if r := verify(file, swapped, b.published()); r.Passed() || !strings.Contains(reason(r, "initiator.did-document-is-named"), "another one") {
		t.Errorf("a key that was swapped afterwards: %v %s", r.Passed(), reason(r, "initiator.did-document-is-named"))
	}
	if before.Digest() == a.published().Digest() {
		t.Error("the rotations changed nothing")
	}

	// Once both sides have retired their keys, neither vouches for the other.
	b.ahead.Store(int64(time.Hour))
	b.rotate(kms.AssertionMethod, 0)
	r = verify(file, a.published(), b.published())
	if r.Passed() || !strings.Contains(reason(r, "initiator.key"), "not good itself") || !strings.Contains(reason(r, "responder.key"), "not good itself") {
		t.Errorf("both retired: %v %s", r.Passed(), reason(r, "initiator.key"))
	}
	// Evidence from elsewhere, such as a log, would: it comes in by the same door.
	r = VerifyReceipt(t.Context(), file, VerifyReceiptOptions{
		Documents: []*did.Document{a.published(), b.published()}, Evidence: logged{back},
		Clock: func() time.Time { return time.Now().Add(72 * time.Hour) },
	})
	if !r.Passed() {
		t.Errorf("with evidence from elsewhere: %+v", r.Checks)
	}
}

type logged struct{ at time.Time }

func (l logged) Existed(context.Context, credentials.Signature) (time.Time, string, error) {
	return l.at, "a log", nil
}

func mustReceipts(t *testing.T, file []byte) []json.RawMessage {
	t.Helper()
	f, _, err := readReceiptFile(file)
	must(t, err)
	return f.Receipts
}

// The VOPRF keys are wrapped by the key store as well: they outlive a rotation of its wrapping key.
func TestRotateWrappingKey(t *testing.T) {
	_, a, b := pairOf(t)
	run := func() Exchange {
		e, err := a.StartExchange(t.Context(), Request{Peer: b.DID(), Profile: "soundex/1", Protocol: ProtocolVOPRF, Purpose: "a test"})
		must(t, err)
		a.await(e.Job)
		e, err = a.Exchange(t.Context(), e.ID)
		must(t, err)
		return e
	}
	if e := run(); e.State != StateDone {
		t.Fatalf("the exchange: %+v", e)
	}
	epochs := func() (out []string) {
		must(t, b.store.View(t.Context(), func(tx *store.Tx) error {
			for item, err := range b.kept.epochs.All(tx, store.Range{}) {
				if err != nil {
					return err
				}
				out = append(out, item.Value.ID)
			}
			return nil
		}))
		return out
	}
	before := epochs()
	must(t, b.RotateWrappingKey(t.Context()))
	all, err := b.keys.WrappingKeys(t.Context())
	must(t, err)
	if len(all) != 1 {
		t.Errorf("%d wrapping keys are left", len(all))
	}
	b.stop()
	b.start()
	if e := run(); e.State != StateDone || e.InCommon != 2 {
		t.Fatalf("the exchange after it: %+v", e)
	}
	if len(before) != 1 || !slices.Equal(before, epochs()) {
		t.Errorf("the epochs: %q, then %q", before, epochs())
	}
}
