package credentials

import (
	"context"
	"errors"
	"testing"
	"time"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/internal/testkeys"
)

func issue(t testing.TB, k testkeys.Key, d object, o ProofOptions) []byte {
	t.Helper()
	out, err := testIssuer().Credential(t.Context(), encode(t, d), Key{k.Method, k.Signer}, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCredentialRoundTrip(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384"} {
		t.Run(kind, func(t *testing.T) {
			k := testkeys.New(kind)
			vc := issue(t, k, credentialBy(k.DID), ProofOptions{Expires: testTime.Add(time.Hour)})
			r := testVerifier().Credential(t.Context(), vc, CredentialOptions{})
			expect(t, r)
			if r.Issuer != k.DID || r.Proofs[0].Controller != k.DID || !r.Proofs[0].Created.Equal(testTime) {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestCredentialFailures(t *testing.T) {
	k, other := testkeys.New("P-256"), testkeys.New("P-256")
	good := issue(t, k, credentialBy(k.DID), ProofOptions{Expires: testTime.Add(time.Hour)})
	change := func(f func(d, proof object)) []byte {
		d := decode(t, good)
		f(d, d["proof"].(object))
		return encode(t, d)
	}
	status := func(f func(*KeyStatus)) *keys {
		s := KeyStatus{Public: k.Signer.Public(), Controller: k.DID, Authorized: true}
		f(&s)
		return &keys{named: map[string]KeyStatus{k.Method: s}}
	}
	tests := []struct {
		name   string
		doc    []byte
		keys   *keys
		at     time.Time
		failed []string
	}{
		{name: "subject changed", doc: change(func(d, _ object) { d["credentialSubject"].(object)["matchId"] = "m-0002" }), failed: []string{CheckProof}},
		{name: "order changed", doc: change(func(d, _ object) { d["credentialSubject"].(object)["roots"] = []any{"aa", "bb"} }), failed: []string{CheckProof}},
		{name: "member added", doc: change(func(d, _ object) { d["more"] = "x" }), failed: []string{CheckSyntax, CheckProof}},
		{name: "another type of subject", doc: change(func(d, _ object) { d["credentialSubject"].(object)["type"] = "Undefined" }), failed: []string{CheckSyntax, CheckProof}},
		{name: "created changed", doc: change(func(_, p object) { p["created"] = "2026-03-01T11:00:00Z" }), failed: []string{CheckProof}},
		{name: "proof of another", doc: change(func(_, p object) { p["verificationMethod"] = other.Method }), failed: []string{CheckProof, CheckIssuer}},
		{name: "issuer of another", doc: change(func(d, _ object) { d["issuer"] = other.DID }), failed: []string{CheckProof, CheckIssuer}},
		{name: "purpose", doc: change(func(_, p object) { p["proofPurpose"] = Authentication }), failed: []string{CheckProof, CheckPurpose}},
		{name: "unknown suite", doc: change(func(_, p object) { p["cryptosuite"] = "none-2024" }), failed: []string{CheckProof}},
		{name: "no proof", doc: change(func(d, _ object) { delete(d, "proof") }), failed: []string{CheckProof}},
		{name: "no proof value", doc: change(func(_, p object) { delete(p, "proofValue") }), failed: []string{CheckSyntax}},
		{name: "proof value not base58btc", doc: change(func(_, p object) { p["proofValue"] = "uAAAA" }), failed: []string{CheckProof}},
		{name: "issuer missing", doc: change(func(d, _ object) { delete(d, "issuer") }), failed: []string{CheckSyntax}},
		{name: "context", doc: change(func(d, _ object) { d["@context"] = []any{"https://www.w3.org/2018/credentials/v1"} }), failed: []string{CheckSyntax}},
		{name: "not JSON", doc: []byte(`{"a":1,"a":2}`), failed: []string{CheckSyntax}},
		{name: "key unknown", doc: good, keys: status(func(s *KeyStatus) { s.Public = nil }), failed: []string{CheckKey}},
		{name: "key not authorised", doc: good, keys: status(func(s *KeyStatus) { s.Authorized = false }), failed: []string{CheckPurpose}},
		{name: "key of another controller", doc: good, keys: status(func(s *KeyStatus) { s.Controller = other.DID }), failed: []string{CheckController}},
		{name: "key expired", doc: good, keys: status(func(s *KeyStatus) { s.Expires = testTime }), failed: []string{CheckKey}},
		{name: "key revoked", doc: good, keys: status(func(s *KeyStatus) { s.Revoked = testTime.Add(-time.Second) }), failed: []string{CheckKey}},
		{name: "key expires later", doc: good, keys: status(func(s *KeyStatus) { s.Expires = testTime.Add(1) })},
		{name: "not yet valid", doc: good, at: time.Date(2025, 12, 31, 23, 57, 0, 0, time.UTC), failed: []string{CheckTime}},
		{name: "valid within the skew", doc: good, at: time.Date(2025, 12, 31, 23, 58, 0, 0, time.UTC)},
		{name: "proof expired", doc: good, at: testTime.Add(time.Hour), failed: []string{CheckTime}},
		{name: "proof not expired", doc: good, at: testTime.Add(time.Hour - 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := testVerifier()
			if tt.keys != nil {
				v.Keys = tt.keys
			}
			expect(t, v.Credential(t.Context(), tt.doc, CredentialOptions{At: tt.at}), tt.failed...)
		})
	}
}

func TestPresentation(t *testing.T) {
	k, other := testkeys.New("P-256"), testkeys.New("P-384")
	vc := issue(t, other, credentialBy(other.DID), ProofOptions{})
	o := ProofOptions{Challenge: "c1", Domain: []string{"did:web:b.example"}, Expires: testTime.Add(time.Minute)}
	vp, err := testIssuer().Presentation(t.Context(), encode(t, presentationBy(t, k.DID, vc)), Key{k.Method, k.Signer}, o)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		o      PresentationOptions
		failed []string
	}{
		{"as expected", PresentationOptions{Challenge: "c1", Domain: []string{"did:web:b.example"}, Holder: k.DID}, nil},
		{"nothing expected", PresentationOptions{}, nil},
		{"challenge", PresentationOptions{Challenge: "c2"}, []string{CheckChallenge}},
		{"domain", PresentationOptions{Domain: []string{"did:web:c.example"}}, []string{CheckDomain}},
		{"more domains", PresentationOptions{Domain: []string{"did:web:b.example", "x"}}, []string{CheckDomain}},
		{"holder", PresentationOptions{Holder: other.DID}, []string{CheckHolder}},
		{"later", PresentationOptions{At: testTime.Add(2 * time.Minute)}, []string{CheckTime}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := testVerifier().Presentation(t.Context(), vp, tt.o)
			expect(t, r, tt.failed...)
			if len(r.Credentials) != 1 || !r.Credentials[0].Passed() {
				t.Errorf("credentials: %+v", r.Credentials)
			}
		})
	}
	bad := decode(t, vc)
	bad["credentialSubject"].(object)["matchId"] = "m-0002"
	vp, err = testIssuer().Presentation(t.Context(), encode(t, presentationBy(t, k.DID, encode(t, bad))), Key{k.Method, k.Signer}, o)
	if err != nil {
		t.Fatal(err)
	}
	r := testVerifier().Presentation(t.Context(), vp, PresentationOptions{})
	if r.Passed() || !errors.Is(r.Err(), ErrNotVerified) {
		t.Error("a presentation of a changed credential passes")
	}
}

type evidence struct {
	at  time.Time
	err error
}

func (e evidence) Existed(context.Context, Signature) (time.Time, string, error) {
	return e.at, "checkpoint", e.err
}

func TestEvidenceForRetiredKey(t *testing.T) {
	k := testkeys.New("P-256")
	vc := issue(t, k, credentialBy(k.DID), ProofOptions{})
	revoked := testTime.Add(-time.Hour)
	v := testVerifier()
	v.Keys = &keys{named: map[string]KeyStatus{k.Method: {Public: k.Signer.Public(), Controller: k.DID, Authorized: true,
		Revoked: revoked, Expires: testTime.Add(-time.Minute)}}}
	for _, tt := range []struct {
		name string
		e    Evidence
		ok   bool
	}{
		{"none", nil, false},
		{"before", evidence{at: revoked.Add(-time.Second)}, true},
		{"at the moment", evidence{at: revoked}, false},
		{"between revoked and expired", evidence{at: revoked.Add(time.Second)}, false},
		{"in the future", evidence{at: testTime.Add(time.Second)}, false},
		{"silent", evidence{}, false},
		{"error", evidence{at: revoked.Add(-time.Second), err: errors.New("no log")}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v.Evidence = tt.e
			r := v.Credential(t.Context(), vc, CredentialOptions{})
			if tt.ok {
				expect(t, r)
				if r.Proofs[0].Evidence != "checkpoint" {
					t.Error("the evidence is not shown")
				}
			} else {
				expect(t, r, CheckKey)
			}
		})
	}
}

func TestIssuerRefuses(t *testing.T) {
	k, other := testkeys.New("P-256"), testkeys.New("P-256")
	ed := testkeys.New("Ed25519")
	key := Key{k.Method, k.Signer}
	for name, f := range map[string]func() ([]byte, error){
		"another's credential": func() ([]byte, error) {
			return testIssuer().Credential(t.Context(), encode(t, credentialBy(other.DID)), key, ProofOptions{})
		},
		"another's presentation": func() ([]byte, error) {
			return testIssuer().Presentation(t.Context(), encode(t, presentationBy(t, other.DID)), key, ProofOptions{})
		},
		"proof there": func() ([]byte, error) {
			d := credentialBy(k.DID)
			d["proof"] = object{}
			return testIssuer().Credential(t.Context(), encode(t, d), key, ProofOptions{})
		},
		"Ed25519": func() ([]byte, error) {
			return testIssuer().Credential(t.Context(), encode(t, credentialBy(ed.DID)), Key{ed.Method, ed.Signer}, ProofOptions{})
		},
		"unknown suite": func() ([]byte, error) {
			return testIssuer().Credential(t.Context(), encode(t, credentialBy(k.DID)), key, ProofOptions{Suite: "x"})
		},
		"expires before created": func() ([]byte, error) {
			return testIssuer().Credential(t.Context(), encode(t, credentialBy(k.DID)), key, ProofOptions{Expires: testTime})
		},
		"method without fragment": func() ([]byte, error) {
			return testIssuer().Credential(t.Context(), encode(t, credentialBy(k.DID)), Key{k.DID, k.Signer}, ProofOptions{})
		},
	} {
		if out, err := f(); err == nil {
			t.Errorf("%s: issued %s", name, out)
		}
	}
}

// The W3C vectors are issued by one party and signed by another's did:key: the proof is good, the
// issuer is not.
func TestStrictIssuer(t *testing.T) {
	r := testVerifier().Credential(t.Context(), readFile(t, "dataintegrity/testdata/w3c-ecdsa-jcs-2019-p256.json"), CredentialOptions{})
	expect(t, r, CheckIssuer)
	if r.Check(CheckProof).Outcome != Passed {
		t.Error("the proof does not verify")
	}
}

func TestErrorCodes(t *testing.T) {
	k := testkeys.New("P-256")
	vp, err := testIssuer().Presentation(t.Context(), encode(t, presentationBy(t, k.DID)), Key{k.Method, k.Signer}, ProofOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := testVerifier().Presentation(t.Context(), vp, PresentationOptions{Challenge: "c", Domain: []string{"d"}})
	if c := r.Check(CheckChallenge); c.Code != dataintegrity.InvalidChallenge {
		t.Errorf("%+v", c)
	}
	if c := r.Check(CheckDomain); c.Code != dataintegrity.InvalidDomain {
		t.Errorf("%+v", c)
	}
}
