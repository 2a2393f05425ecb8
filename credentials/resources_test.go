package credentials

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"testing"

	"ihyid/credentials/contexts"
	"ihyid/credentials/internal/testkeys"
)

// A relatedResource whose resource is at hand has to have its digest, on issue and on verify; another is left to the reader.
func TestRelatedResource(t *testing.T) {
	k := testkeys.New("P-256")
	published, err := hex.DecodeString("59955ced6697d61e03f2b2556febe5308ab16842846f5b586d7f1f7adec92734")
	if err != nil {
		t.Fatal(err)
	}
	sri := func(b []byte) string {
		return map[int]string{32: "sha256-", 48: "sha384-", 64: "sha512-"}[len(b)] + base64.StdEncoding.EncodeToString(b)
	}
	hash := func(s string) string { b := sha256.Sum256([]byte(s)); return sri(b[:]) }
	hash384 := func(s string) string { b := sha512.Sum384([]byte(s)); return sri(b[:]) }
	multi := func(b []byte) string {
		return "u" + base64.RawURLEncoding.EncodeToString(append([]byte{0x12, 32}, b...))
	}
	for _, tt := range []struct {
		name     string
		resource object
		good     bool
	}{
		{"context", object{"id": contexts.CredentialsV2, "digestSRI": sri(published)}, true},
		{"context, multibase", object{"id": contexts.CredentialsV2, "digestMultibase": multi(published)}, true},
		{"context, another digest", object{"id": contexts.CredentialsV2, "digestSRI": hash("x")}, false},
		{"context, one of two wrong", object{"id": contexts.CredentialsV2, "digestSRI": sri(published), "digestMultibase": multi(make([]byte, 32))}, false},
		{"context, a digest that is not published", object{"id": contexts.CredentialsV2, "digestSRI": hash384("x")}, true},
		{"embedded", object{"id": "data:text/plain,hello%20there", "digestSRI": hash("hello there")}, true},
		{"embedded, SHA-384", object{"id": "data:text/plain;base64,aGVsbG8=", "digestSRI": hash384("hello")}, true},
		{"embedded, another digest", object{"id": "data:text/plain;base64,aGVsbG8=", "digestSRI": hash("hell")}, false},
		{"elsewhere", object{"id": "https://a.example/x", "digestSRI": hash("x")}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := credentialBy(k.DID)
			d["relatedResource"] = tt.resource
			_, err := testIssuer().Credential(t.Context(), encode(t, d), Key{k.Method, k.Signer}, ProofOptions{})
			if (err == nil) != tt.good || err != nil && !errors.Is(err, ErrModel) {
				t.Errorf("issue: %v", err)
			}
			d["proof"] = object{}
			r := testVerifier().Credential(t.Context(), encode(t, d), CredentialOptions{})
			if c := r.Check(CheckSyntax); !tt.good && (c.Outcome != Failed || !errors.Is(c.Err, ErrModel)) {
				t.Errorf("verify: %+v", c)
			}
		})
	}
}

// A term or type without a meaning is an error in every suite, on issue and on verify.
func TestUndefinedTerms(t *testing.T) {
	k := testkeys.New("P-256")
	for _, suite := range append([]string{SuiteJOSE}, suiteNames...) {
		for name, change := range map[string]func(object){
			"member":         func(d object) { d["undefinedTerm"] = "x" },
			"member of null": func(d object) { d["undefinedTerm"] = nil },
			"of the subject": func(d object) { d["credentialSubject"].(object)["undefinedTerm"] = []any{"x"} },
			"nested": func(d object) {
				d["evidence"] = object{"type": "https://types.example/E", "deep": object{"deeper": "x"}}
			},
			"type":            func(d object) { d["type"] = []any{"VerifiableCredential", "UndefinedType"} },
			"unknown context": func(d object) { d["@context"] = append(d["@context"].([]any), "https://contexts.example/v1") },
		} {
			d := credentialBy(k.DID)
			change(d)
			issuer := testIssuer()
			if _, err := issuer.Credential(t.Context(), encode(t, d), Key{k.Method, k.Signer}, ProofOptions{Suite: suite}); err == nil || !IsDocumentError(err) {
				t.Errorf("%s: %s: issued: %v", suite, name, err)
			}
		}
		d := credentialBy(k.DID)
		if _, err := testIssuer().Credential(t.Context(), encode(t, d), Key{k.Method, k.Signer}, ProofOptions{Suite: suite}); err != nil {
			t.Errorf("%s: %v", suite, err)
		}
	}
}

// What lacks a meaning and was signed all the same is refused by the verifier, also where its shape was not met before or only its values differ.
func TestUndefinedTermsVerify(t *testing.T) {
	k := testkeys.New("P-256")
	loose, err := NewSuites(SuitesOptions{Contexts: map[string][]byte{"https://contexts.example/v1": []byte(`{"@context":{"@vocab":"urn:loose:"}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, suite := range append([]string{SuiteJOSE}, suiteNames...) {
		d := credentialBy(k.DID)
		d["@context"] = append(d["@context"].([]any), "https://contexts.example/v1")
		d["credentialSubject"].(object)["somethingElse"] = "x"
		vc, err := (&Issuer{Suites: loose, Clock: testIssuer().Clock}).Credential(t.Context(), encode(t, d), Key{k.Method, k.Signer}, ProofOptions{Suite: suite})
		if err != nil {
			t.Fatal(err)
		}
		v := testVerifier()
		for range 2 {
			if r := v.Credential(t.Context(), vc, CredentialOptions{}); r.Passed() {
				t.Errorf("%s: passed with a context that is not known", suite)
			}
		}
		v.Suites = loose
		if r := v.Credential(t.Context(), vc, CredentialOptions{}); !r.Passed() {
			t.Errorf("%s: %v", suite, r.Err())
		}
	}
}
