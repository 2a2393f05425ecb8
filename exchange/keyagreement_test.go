package exchange

import (
	"bytes"
	"context"
	"crypto/hpke"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ihyid/did"
	"ihyid/kms"
	"ihyid/kms/file"
	"ihyid/store"
)

// sealsTo makes sure that what is sealed to the public key can be opened by one of the node's keys, the first if newest.
func sealsTo(t *testing.T, to hpke.PublicKey, by *Node) int {
	t.Helper()
	sealed, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), []byte("a bundle"))
	must(t, err)
	keys, err := by.agreementKeys(t.Context())
	must(t, err)
	return slices.IndexFunc(keys, func(k hpke.PrivateKey) bool {
		plain, err := hpke.Open(k, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), sealed)
		return err == nil && string(plain) == "a bundle"
	})
}

func TestKeyAgreementOfPeers(t *testing.T) {
	_, a, b := pairOf(t)
	to, err := a.agreementKeyOf(t.Context(), b.DID())
	must(t, err)
	if at := sealsTo(t, to, b.Node); at != 0 {
		t.Fatalf("opened by key %d", at)
	}
	if at := sealsTo(t, to, a.Node); at >= 0 {
		t.Fatal("another node opens it")
	}
	must(t, b.RotateWrappingKey(t.Context()))
	if at := sealsTo(t, to, b.Node); at != 0 {
		t.Fatal("not opened after the wrapping key was replaced")
	}
	b.stop()
	b.start()
	if at := sealsTo(t, to, b.Node); at != 0 {
		t.Fatal("not opened after the wrapping key was replaced and the node restarted")
	}
	if _, err := a.agreementKeyOf(t.Context(), "did:web:nobody.example"); CodeOf(err) != CodeUnknownPeer {
		t.Errorf("of nobody: %v", err)
	}
}

// A replaced key opens what was sealed to it until it ends; then it is erased, and peers take the document without it.
func TestKeyAgreementRotation(t *testing.T) {
	_, a, b := pairOf(t)
	first, err := a.agreementKeyOf(t.Context(), b.DID())
	must(t, err)
	k := b.rotate(did.KeyAgreement, DefaultOverlap)
	if k.State != KeyActive || !k.Published || k.Purpose != did.KeyAgreement || !strings.HasSuffix(k.Method, "#hpke-2") {
		t.Errorf("the new key: %+v", k)
	}
	_, _, err = a.locate(t.Context(), b.DID())
	must(t, err)
	second, err := a.agreementKeyOf(t.Context(), b.DID())
	must(t, err)
	if sealsTo(t, second, b.Node) != 0 || sealsTo(t, first, b.Node) != 1 {
		t.Error("the keys are not both there")
	}
	b.ahead.Add(int64(DefaultOverlap + time.Second))
	must(t, b.endKeys(t.Context()))
	if sealsTo(t, second, b.Node) != 0 || sealsTo(t, first, b.Node) >= 0 {
		t.Error("the replaced key did not end")
	}
	if keys, err := b.Keys(t.Context()); err != nil || len(keys) != 3 || keys[2].ID != "hpke-2" {
		t.Errorf("the keys: %+v, %v", keys, err)
	}
	_, doc, err := a.locate(t.Context(), b.DID())
	must(t, err)
	if _, there := doc.Method("#hpke-1"); there {
		t.Error("the ended key is published")
	}
	b.rotate(did.KeyAgreement, 0)
	if sealsTo(t, second, b.Node) >= 0 {
		t.Error("a key that was replaced without overlap still opens")
	}
	_, err = b.RetireKey(t.Context(), "hpke-3")
	wantCode(t, err, CodeConflict)
	b.rotate(did.KeyAgreement, DefaultOverlap)
	retired, err := b.RetireKey(t.Context(), "hpke-3")
	must(t, err)
	if keys, err := b.agreementKeys(t.Context()); err != nil || len(keys) != 1 || retired.State != KeyRetired || retired.Published {
		t.Errorf("after the retirement: %d keys, %+v, %v", len(keys), retired, err)
	}
	_, err = b.RotateKey(t.Context(), did.KeyAgreement, RotateOptions{Curve: kms.P256})
	wantCode(t, err, CodeInvalid)
}

// A node that was made before there were keys for key agreement gets one, in a change that its peers accept.
func TestKeyAgreementIsAdded(t *testing.T) {
	w := newWorld(t)
	a, b := w.add("a.example"), w.add("b.example")
	id := *b.self()
	before, err := did.ParseDocument(id.Document)
	must(t, err)
	id.KeyAgreement = nil
	doc, err := id.document(before, nil, b.now())
	must(t, err)
	id.Document = doc.Bytes()
	must(t, b.store.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(b.kept.identity.Put(tx, identityRecordKey, id), b.putDocument(tx, doc))
	}))
	b.identity.Store(&id)
	befriend(a, b)
	if _, err := a.agreementKeyOf(t.Context(), b.DID()); CodeOf(err) != CodeUnsupported {
		t.Fatalf("before: %v", err)
	}
	b.stop()
	b.start()
	_, _, err = a.locate(t.Context(), b.DID())
	must(t, err)
	if p := mustPeer(t, a, b.DID()); p.Peer.State != PeerApproved {
		t.Fatalf("the peer is %s", p.Peer.State)
	}
	to, err := a.agreementKeyOf(t.Context(), b.DID())
	must(t, err)
	if at := sealsTo(t, to, b.Node); at != 0 {
		t.Fatalf("opened by key %d", at)
	}
}

// keyNode makes a node with a did:key.
func keyNode(t *testing.T) (*Node, Options) {
	t.Helper()
	dir := t.TempDir()
	keys, err := file.Create(filepath.Join(dir, "keys"), file.Options{})
	must(t, err)
	s, err := store.Create(t.Context(), filepath.Join(dir, "node.db"), store.Options{Keys: keys})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()); must(t, keys.Close()) })
	o := Options{Store: s, Keys: keys}
	n, err := Create(t.Context(), o, NewIdentity{Method: "key", Organisation: orgOf("a.example")})
	must(t, err)
	return n, o
}

// The organisation credential of a did:key states its key, which its one key signs.
func TestKeyAgreementOfDIDKey(t *testing.T) {
	n, o := keyNode(t)
	doc, err := did.KeyDocument(n.DID())
	must(t, err)
	to, err := agreementKeyIn(doc, n.OrganisationCredential(), time.Now())
	must(t, err)
	if at := sealsTo(t, to, n); at != 0 {
		t.Fatalf("opened by key %d", at)
	}
	again, err := Open(t.Context(), o)
	must(t, err)
	if at := sealsTo(t, to, again); at != 0 {
		t.Fatalf("opened by key %d after opening the node again", at)
	}

	// One made before there were such keys.
	must(t, o.Store.Update(t.Context(), func(tx *store.Tx) error {
		id := *n.self()
		id.KeyAgreement = nil
		if err := n.signOrganisation(context.Background(), &id); err != nil {
			return err
		}
		return n.kept.identity.Put(tx, identityRecordKey, id)
	}))
	again, err = Open(t.Context(), o)
	must(t, err)
	if _, err := agreementKeyIn(doc, nil, time.Now()); CodeOf(err) != CodeUnsupported {
		t.Errorf("without a credential: %v", err)
	}
	to, err = agreementKeyIn(doc, again.OrganisationCredential(), time.Now())
	must(t, err)
	if at := sealsTo(t, to, again); at != 0 {
		t.Fatalf("opened by key %d", at)
	}
	other, _ := keyNode(t)
	if _, err := agreementKeyIn(doc, other.OrganisationCredential(), time.Now()); CodeOf(err) != CodeInvalid {
		t.Errorf("with another's credential: %v", err)
	}
}

func TestOrganisationSubjectKeyAgreement(t *testing.T) {
	n, _ := keyNode(t)
	good := encodeAgreementKey(n.self().KeyAgreement[0].Sealed.Public)
	s := organisationSubject{ID: n.DID(), LegalName: "Aid", RegistrationNumber: "1", Country: "LB", KeyAgreement: good}
	must(t, s.check())
	for what, change := range map[string]func(s *organisationSubject){
		"short":       func(s *organisationSubject) { s.KeyAgreement = good[4:] },
		"no base64":   func(s *organisationSubject) { s.KeyAgreement = "!" + good[1:] },
		"padded":      func(s *organisationSubject) { s.KeyAgreement = good + "=" },
		"of did:web":  func(s *organisationSubject) { s.ID = "did:web:a.example" },
		"out of ring": func(s *organisationSubject) { s.KeyAgreement = "____" + good[4:] },
	} {
		bad := s
		change(&bad)
		if err := bad.check(); CodeOf(err) != CodeInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// An ended or revoked key is not sealed to, and one of a kind that is not known is passed over.
func TestKeyAgreementChoice(t *testing.T) {
	m := hpke.MLKEM768X25519()
	public := func() hpke.PublicKey {
		k, err := m.GenerateKey()
		must(t, err)
		return k.PublicKey()
	}
	now := time.Now()
	a, b, c := public(), public(), public()
	rel := []string{did.KeyAgreement}
	doc := func(keys ...did.SpecKey) *did.Document {
		d, err := did.Build(did.DocumentSpec{ID: "did:web:a.example", Keys: keys})
		must(t, err)
		return d
	}
	got, err := agreementKeyIn(doc(
		did.SpecKey{Fragment: "1", Public: a, Relationships: rel},
		did.SpecKey{Fragment: "2", Public: b, Relationships: rel, Expires: now.Add(-time.Minute)},
		did.SpecKey{Fragment: "3", Public: c, Relationships: rel, Revoked: now.Add(-time.Minute)},
		did.SpecKey{Fragment: "4", Public: newPublic(t), Relationships: []string{did.AssertionMethod}},
	), nil, now)
	must(t, err)
	if !slices.Equal(got.Bytes(), a.Bytes()) {
		t.Error("another key was taken")
	}
	if _, err := agreementKeyIn(doc(did.SpecKey{Fragment: "1", Public: a, Relationships: []string{did.AssertionMethod}}), nil, now); CodeOf(err) != CodeUnsupported {
		t.Errorf("a key for another purpose: %v", err)
	}
}

// A node that moves to another key store takes its key along: that one alone opens it.
func TestKeyAgreementMoves(t *testing.T) {
	n, o := keyNode(t)
	to, err := hpke.MLKEM768X25519().NewPublicKey(n.self().KeyAgreement[0].Sealed.Public)
	must(t, err)
	other, err := file.Create(filepath.Join(t.TempDir(), "keys"), file.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, other.Close()) })
	must(t, n.Rewrap(t.Context(), other))
	moved, err := Open(t.Context(), Options{Store: o.Store, Keys: other})
	must(t, err)
	if at := sealsTo(t, to, moved); at != 0 {
		t.Fatalf("opened by key %d", at)
	}
}

// What else the DID document shows stays through a rotation.
func TestAlsoKnownAs(t *testing.T) {
	_, o := keyNode(t)
	dir := t.TempDir()
	s, err := store.Create(t.Context(), filepath.Join(dir, "node.db"), store.Options{Keys: o.Keys})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	n, err := Create(t.Context(), Options{Store: s, Keys: o.Keys}, NewIdentity{
		Method: "web", Host: "a.example", Organisation: orgOf("a.example"), AlsoKnownAs: []string{"https://a.example", "did:web:old.example"},
	})
	must(t, err)
	_, err = n.RotateKey(t.Context(), kms.AssertionMethod, RotateOptions{})
	must(t, err)
	doc, err := did.ParseDocument(n.DocumentJSON())
	must(t, err)
	if got := doc.AlsoKnownAs(); !slices.Equal(got, []string{"https://a.example", "did:web:old.example"}) {
		t.Errorf("alsoKnownAs: %q", got)
	}
	if _, there := doc.Service(did.ServiceTypeNode); !there {
		t.Error("the service is gone")
	}
}

// What a node keeps of its key is wrapped.
func TestKeyAgreementIsWrapped(t *testing.T) {
	n, _ := keyNode(t)
	k := n.self().KeyAgreement[0]
	private, err := kms.OpenHPKE(t.Context(), n.keys, k.Sealed, agreementLabel(k.Method))
	must(t, err)
	secret, err := private.Bytes()
	must(t, err)
	kept, err := json.Marshal(n.self())
	must(t, err)
	if bytes.Contains(kept, secret) || strings.Contains(string(kept), base64.StdEncoding.EncodeToString(secret)) || !bytes.Contains(kept, []byte(k.Method)) {
		t.Error("the private half shows")
	}
}
