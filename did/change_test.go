package did_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ihyid/did"
)

var changeTime = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func newECDSA(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustBuild(t testing.TB, spec did.DocumentSpec) *did.Document {
	t.Helper()
	d, err := did.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func specKey(fragment string, pub crypto.PublicKey, rels ...string) did.SpecKey {
	if len(rels) == 0 {
		rels = []string{did.AssertionMethod, did.Authentication}
	}
	return did.SpecKey{Fragment: fragment, Public: pub, Relationships: rels}
}

// A rotation as a node does it: the new key is added and signed for with the old one, which
// stays in the document with its time of revocation; later it is taken out.
func TestRotation(t *testing.T) {
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		k1, k2 := newECDSA(t, c), newECDSA(t, elliptic.P256())
		spec := did.DocumentSpec{ID: "did:web:ngo.example:lb", Keys: []did.SpecKey{specKey("k1", &k1.PublicKey)}}
		v1 := mustBuild(t, spec)
		spec.Keys[0].Revoked = changeTime.Add(time.Minute)
		spec.Keys = append(spec.Keys, specKey("k2", &k2.PublicKey))
		v2 := mustBuild(t, spec)
		if m, ok := v2.Method("#k1"); !ok || !m.Revoked.Equal(changeTime.Add(time.Minute)) || !v2.Authorizes(did.AssertionMethod, "#k1") {
			t.Errorf("the retired key: %+v", m)
		}
		for _, id := range []string{"#k1", "#k1-jwk", "did:web:ngo.example:lb#k1"} {
			s, err := did.SignChange(rand.Reader, v1, v2, id, k1, changeTime)
			if err != nil {
				t.Fatal(err)
			}
			if v := did.JudgeChange(v1, v2, s, changeTime); v.Decision != did.Accepted || !strings.Contains(v.Reason, "signed for by did:web:ngo.example:lb#k1") {
				t.Errorf("%+v", v)
			}
		}
		if v := did.JudgeChange(v1, v2, nil, changeTime); v.Decision != did.NeedsFingerprint || !strings.Contains(v.Reason, "#k2 is new") {
			t.Errorf("without a statement: %+v", v)
		}
		spec.Keys = spec.Keys[1:]
		v3 := mustBuild(t, spec)
		if v := did.JudgeChange(v2, v3, nil, changeTime); v.Decision != did.Accepted {
			t.Errorf("taking a key out: %+v", v)
		}
		if v := did.JudgeChange(v3, v3, nil, changeTime); v.Decision != did.Unchanged {
			t.Errorf("the same: %+v", v)
		}
	}
}

// What may change without a signature, and what may not.
func TestWidening(t *testing.T) {
	k, other := newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256())
	base := func() did.DocumentSpec {
		return did.DocumentSpec{ID: subject,
			Keys: []did.SpecKey{
				specKey("a", &k.PublicKey, did.AssertionMethod),
				{Fragment: "b", Public: &k.PublicKey, Relationships: []string{did.Authentication}, Expires: changeTime, Revoked: changeTime},
			},
			Services: []did.Service{{ID: "#node", Type: did.ServiceTypeNode, Endpoint: "https://ngo.example/"}, {ID: "#x", Type: "X", Endpoint: "https://ngo.example/x"}},
		}
	}
	pinned := mustBuild(t, base())
	for name, c := range map[string]struct {
		change func(*did.DocumentSpec)
		want   did.Decision
	}{
		"nothing":            {func(*did.DocumentSpec) {}, did.Unchanged},
		"a key gone":         {func(s *did.DocumentSpec) { s.Keys = s.Keys[:1] }, did.Accepted},
		"revoked":            {func(s *did.DocumentSpec) { s.Keys[0].Revoked = changeTime }, did.Accepted},
		"revoked earlier":    {func(s *did.DocumentSpec) { s.Keys[1].Revoked = changeTime.Add(-time.Hour) }, did.Accepted},
		"expires sooner":     {func(s *did.DocumentSpec) { s.Keys[1].Expires = changeTime.Add(-time.Hour) }, did.Accepted},
		"expires now":        {func(s *did.DocumentSpec) { s.Keys[0].Expires = changeTime }, did.Accepted},
		"other service":      {func(s *did.DocumentSpec) { s.Services[1].Endpoint = "https://elsewhere.example/" }, did.Accepted},
		"node gone":          {func(s *did.DocumentSpec) { s.Services = s.Services[1:] }, did.Accepted},
		"node's id":          {func(s *did.DocumentSpec) { s.Services[0].ID = "#n" }, did.Accepted},
		"alias":              {func(s *did.DocumentSpec) { s.AlsoKnownAs = []string{"https://ngo.example"} }, did.Accepted},
		"order":              {func(s *did.DocumentSpec) { s.Keys[0], s.Keys[1] = s.Keys[1], s.Keys[0] }, did.Accepted},
		"new key":            {func(s *did.DocumentSpec) { s.Keys = append(s.Keys, specKey("c", &other.PublicKey)) }, did.NeedsFingerprint},
		"a key again":        {func(s *did.DocumentSpec) { s.Keys = append(s.Keys, specKey("c", &k.PublicKey)) }, did.NeedsFingerprint},
		"replaced":           {func(s *did.DocumentSpec) { s.Keys[0].Public = &other.PublicKey }, did.NeedsFingerprint},
		"new relationship":   {func(s *did.DocumentSpec) { s.Keys[0].Relationships = []string{did.AssertionMethod, did.Authentication} }, did.NeedsFingerprint},
		"other relationship": {func(s *did.DocumentSpec) { s.Keys[0].Relationships = []string{did.Authentication} }, did.NeedsFingerprint},
		"not revoked":        {func(s *did.DocumentSpec) { s.Keys[1].Revoked = time.Time{} }, did.NeedsFingerprint},
		"revoked later":      {func(s *did.DocumentSpec) { s.Keys[1].Revoked = changeTime.Add(time.Hour) }, did.NeedsFingerprint},
		"no expiry":          {func(s *did.DocumentSpec) { s.Keys[1].Expires = time.Time{} }, did.NeedsFingerprint},
		"expires later":      {func(s *did.DocumentSpec) { s.Keys[1].Expires = changeTime.Add(time.Second) }, did.NeedsFingerprint},
		"node elsewhere":     {func(s *did.DocumentSpec) { s.Services[0].Endpoint = "https://evil.example/" }, did.NeedsFingerprint},
		"second node": {func(s *did.DocumentSpec) {
			s.Services = append(s.Services, did.Service{ID: "#n2", Type: did.ServiceTypeNode, Endpoint: "https://evil.example/"})
		}, did.NeedsFingerprint},
		"an unknown kind": {func(s *did.DocumentSpec) {
			s.Other = []did.SpecMethod{{Fragment: "h", Type: "Hybrid", Relationships: []string{did.KeyAgreement}}}
		}, did.NeedsFingerprint},
		"another DID": {func(s *did.DocumentSpec) { s.ID = "did:web:evil.example" }, did.NeedsFingerprint},
	} {
		spec := base()
		c.change(&spec)
		next := mustBuild(t, spec)
		if v := did.JudgeChange(pinned, next, nil, changeTime); v.Decision != c.want || v.Reason == "" {
			t.Errorf("%s: %+v, want %s", name, v, c.want)
		}
		if c.want == did.NeedsFingerprint && name != "another DID" {
			s, err := did.SignChange(rand.Reader, pinned, next, "#a", k, changeTime)
			if err != nil {
				t.Fatal(err)
			}
			if v := did.JudgeChange(pinned, next, s, changeTime); v.Decision != did.Accepted {
				t.Errorf("%s, signed: %+v", name, v)
			}
		}
	}
	controlled, err := did.ParseDocument([]byte(strings.Replace(string(pinned.Bytes()), `"id":"`+subject+`",`, `"id":"`+subject+`","controller":"did:web:evil.example",`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if len(controlled.Controllers()) != 1 {
		t.Fatal("the test's document has no controller")
	}
	if v := did.JudgeChange(pinned, controlled, nil, changeTime); v.Decision != did.NeedsFingerprint {
		t.Errorf("new controller: %+v", v)
	}
}

func TestChangeRefused(t *testing.T) {
	k, other := newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256())
	p384 := newECDSA(t, elliptic.P384())
	edPub, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spec := did.DocumentSpec{ID: subject, Keys: []did.SpecKey{
		specKey("a", &k.PublicKey),
		specKey("auth", &other.PublicKey, did.Authentication),
		{Fragment: "revoked", Public: &k.PublicKey, Relationships: []string{did.AssertionMethod}, Revoked: changeTime},
		{Fragment: "expired", Public: &k.PublicKey, Relationships: []string{did.AssertionMethod}, Expires: changeTime},
		specKey("ed", edPub), specKey("p384", &p384.PublicKey),
	}}
	pinned := mustBuild(t, spec)
	spec.Keys = append(spec.Keys, specKey("new", &other.PublicKey))
	next := mustBuild(t, spec)
	spec.AlsoKnownAs = []string{"https://ngo.example/"}
	later := mustBuild(t, spec)
	foreign := mustBuild(t, did.DocumentSpec{ID: "did:web:other.example", Keys: []did.SpecKey{specKey("a", &k.PublicKey)}})

	// What SignChange will not do.
	for name, c := range map[string]struct {
		old, next *did.Document
		id        string
		signer    crypto.Signer
		at        time.Time
	}{
		"no such key":    {pinned, next, "#none", k, changeTime},
		"a new key":      {pinned, next, "#new", other, changeTime},
		"authentication": {pinned, next, "#auth", other, changeTime},
		"another signer": {pinned, next, "#a", other, changeTime},
		"revoked":        {pinned, next, "#revoked", k, changeTime},
		"expired":        {pinned, next, "#expired", k, changeTime},
		"Ed25519":        {pinned, next, "#ed", edKey, changeTime},
		"another DID":    {pinned, foreign, "#a", k, changeTime},
		"failing signer": {pinned, next, "#a", oddSigner{k.Public(), nil, errors.New("no")}, changeTime},
		"no DER":         {pinned, next, "#a", oddSigner{k.Public(), []byte("x"), nil}, changeTime},
	} {
		if s, err := did.SignChange(rand.Reader, c.old, c.next, c.id, c.signer, c.at); err == nil {
			t.Errorf("%s: signed %s", name, s)
		}
	}
	if _, err := did.SignChange(rand.Reader, pinned, next, "#revoked", k, changeTime.Add(-time.Second)); err != nil {
		t.Errorf("before the revocation: %v", err)
	}

	sign := func(old, next *did.Document, id string, at time.Time) []byte {
		s, err := did.SignChange(rand.Reader, old, next, id, k, at)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good := sign(pinned, next, "#a", changeTime)
	if v := did.JudgeChange(pinned, next, good, changeTime); v.Decision != did.Accepted {
		t.Fatalf("%+v", v)
	}
	with := func(member, value string) []byte {
		var m map[string]string
		if err := json.Unmarshal(good, &m); err != nil {
			t.Fatal(err)
		}
		m[member] = value
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var c did.Change
	if err := json.Unmarshal(good, &c); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		change []byte
		says   string
	}{
		"empty object":        {[]byte(`{}`), "missing"},
		"not JSON":            {[]byte(`x`), "line 1"},
		"an array":            {[]byte(`[]`), "not a JSON object"},
		"too long":            {bytes.Repeat([]byte(" "), 10000), "more than"},
		"duplicate":           {[]byte(strings.Replace(string(good), `{`, `{"did":"did:a:b",`, 1)), "second time"},
		"unknown member":      {with("x", "y"), "not known"},
		"number":              {[]byte(strings.Replace(string(good), `"`+c.Created+`"`, `1`, 1)), "created"},
		"odd time":            {with("created", "today"), "created"},
		"other time":          {with("created", "2026-11-22T08:00:01Z"), "not by the key"},
		"other DID":           {with("did", "did:web:other.example"), "another DID"},
		"other old":           {with("old", did.VersionID(next)), "another version than the pinned"},
		"other new":           {with("new", did.VersionID(later)), "another version than this"},
		"other key":           {with("verificationMethod", subject+"#p384"), "not 96 bytes"},
		"key not there":       {with("verificationMethod", subject+"#x"), "not under assertionMethod"},
		"the new key":         {with("verificationMethod", subject+"#new"), "not under assertionMethod"},
		"the login key":       {with("verificationMethod", subject+"#auth"), "not under assertionMethod"},
		"retired key":         {with("verificationMethod", subject+"#revoked"), "revoked"},
		"expired key":         {with("verificationMethod", subject+"#expired"), "expired"},
		"Ed25519 key":         {with("verificationMethod", subject+"#ed"), "not an ECDSA key"},
		"same key, other id":  {with("verificationMethod", subject+"#a-jwk"), "not by the key"},
		"no signature":        {with("signature", ""), "signature"},
		"upper-case hex":      {with("signature", strings.ToUpper(c.Signature)), "lower-case"},
		"zero signature":      {with("signature", strings.Repeat("0", 128)), "not by the key"},
		"short signature":     {with("signature", c.Signature[2:]), "signature"},
		"flipped":             {with("signature", flip(c.Signature)), "not by the key"},
		"for another version": {sign(pinned, later, "#a", changeTime), "another version than this"},
		"from another":        {sign(next, later, "#a", changeTime), "another version than the pinned"},
		"for another DID":     {sign(foreign, foreign, "#a", changeTime), "another DID"},
	} {
		v := did.JudgeChange(pinned, next, x.change, changeTime)
		if v.Decision != did.NeedsFingerprint || !strings.Contains(v.Reason, x.says) {
			t.Errorf("%s: %+v, want %q", name, v, x.says)
		}
	}
	// A signature made before its key was retired is judged by what is known now.
	early := sign(pinned, next, "#revoked", changeTime.Add(-time.Hour))
	if v := did.JudgeChange(pinned, next, early, changeTime); v.Decision != did.NeedsFingerprint {
		t.Errorf("a retired key: %+v", v)
	}
	// It signs what it says: the label, then the statement in canonical form.
	sig, err := hex.DecodeString(c.Signature)
	if err != nil {
		t.Fatal(err)
	}
	c.Signature = ""
	stmt, err := json.Marshal(map[string]string{"created": c.Created, "did": c.DID, "new": c.New, "old": c.Old, "verificationMethod": c.VerificationMethod})
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.Sum256(append([]byte("ihyid/did/1 change"), stmt...))
	if !ecdsa.Verify(&k.PublicKey, h[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		t.Error("the signature is over something else than documented")
	}
}

func flip(s string) string {
	if s[0] == '0' {
		return "1" + s[1:]
	}
	return "0" + s[1:]
}

// oddSigner is a signer with a fault.
type oddSigner struct {
	pub crypto.PublicKey
	sig []byte
	err error
}

func (o oddSigner) Public() crypto.PublicKey { return o.pub }
func (o oddSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return o.sig, o.err
}

func TestFingerprint(t *testing.T) {
	docs := make([]*did.Document, 3)
	for i, s := range []string{`{"id":"did:web:a.example"}`, `{"id":"did:web:b.example"}`, `{"id":"did:web:b.example","x":""}`} {
		d, err := did.ParseDocument([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		docs[i] = d
	}
	f := did.Fingerprint(docs[0], docs[1])
	if f != did.Fingerprint(docs[1], docs[0]) {
		t.Error("not symmetric")
	}
	if f == did.Fingerprint(docs[0], docs[2]) || f == did.Fingerprint(docs[2], docs[1]) {
		t.Error("another pair, the same fingerprint")
	}
	groups := strings.Split(f, " ")
	if len(groups) != 8 {
		t.Errorf("%q", f)
	}
	for _, g := range groups {
		if len(g) != 5 || strings.Trim(g, "0123456789") != "" {
			t.Errorf("%q", f)
		}
	}
	// Fixed once with a program in another language: both sides must show the same.
	if want := "31887 20126 00516 12020 11672 88915 09585 47971"; f != want {
		t.Errorf("Fingerprint = %q, want %q", f, want)
	}
}

// Whatever two documents there are, JudgeChange never accepts an added key unsigned.
func TestJudgeChangeProperty(t *testing.T) {
	keys := []*ecdsa.PrivateKey{newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256())}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (did.DocumentSpec, map[[3]string]bool) {
			spec := did.DocumentSpec{ID: subject}
			rights := map[[3]string]bool{}
			for _, f := range []string{"a", "b", "c"} {
				k := rapid.IntRange(-1, 2).Draw(t, label+f)
				if k < 0 {
					continue
				}
				rels := []string{did.AssertionMethod, did.Authentication}[rapid.IntRange(0, 1).Draw(t, label+f+"rel"):]
				spec.Keys = append(spec.Keys, specKey(f, &keys[k].PublicKey, rels...))
				for _, r := range rels {
					rights[[3]string{f, string(rune('0' + k)), r}] = true
				}
			}
			return spec, rights
		}
		oldSpec, oldRights := draw("old")
		newSpec, newRights := draw("new")
		old, err := did.Build(oldSpec)
		if err != nil {
			t.Fatal(err)
		}
		next, err := did.Build(newSpec)
		if err != nil {
			t.Fatal(err)
		}
		more := false
		for r := range newRights {
			more = more || !oldRights[r]
		}
		v := did.JudgeChange(old, next, nil, changeTime)
		if more != (v.Decision == did.NeedsFingerprint) {
			t.Fatalf("more rights: %v, but %+v", more, v)
		}
	})
}

func BenchmarkFingerprint(b *testing.B) {
	d, err := did.ParseDocument([]byte(document("")))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		did.Fingerprint(d, d)
	}
}
