package credentials

import (
	"errors"
	"slices"
	"testing"

	"ihyid/credentials/contexts"
	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/internal/testkeys"
)

var version1 = []any{contexts.CredentialsV1, contexts.DataIntegrityV2, object{"@protected": true, "matchId": object{"@id": "urn:x:matchId"}, "Match": "urn:x:Match"}}

func credential1By(did string) object {
	return object{
		"@context": version1, "id": "urn:uuid:4e93f3fd-37e9-4fdb-9f89-de6fb1800bcc", "type": []any{"VerifiableCredential", "Match"}, "issuer": did,
		"issuanceDate": "2026-01-01T00:00:00Z", "credentialSubject": object{"id": "did:web:node-a.example", "matchId": "m-0001"},
	}
}

// Credentials of the data model 1.1 with Data Integrity proofs, as others made them.
func TestVersion1(t *testing.T) {
	k := testkeys.New("P-256")
	for _, tt := range []struct {
		name   string
		change func(object)
		failed []string
	}{
		{"plain", func(object) {}, nil},
		{"issuer as an object", func(d object) { d["issuer"] = object{"id": k.DID} }, nil},
		{"before its end", func(d object) { d["expirationDate"] = "2027-01-01T00:00:00Z" }, nil},
		{"past its end", func(d object) { d["expirationDate"] = "2026-02-01T00:00:00Z" }, []string{CheckTime}},
		{"not yet", func(d object) { d["issuanceDate"] = "2026-06-01T00:00:00Z" }, []string{CheckTime}},
		{"past the end that version 2.0 names", func(d object) { d["validUntil"] = "2026-02-01T00:00:00Z" }, []string{CheckTime}},
		{"before the beginning that version 2.0 names", func(d object) { d["validFrom"] = "2026-06-01T00:00:00Z" }, []string{CheckTime}},
		{"the later end does not count", func(d object) {
			d["validUntil"], d["expirationDate"] = "2027-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
		}, []string{CheckTime}},
		{"no issuance date", func(d object) { delete(d, "issuanceDate") }, []string{CheckSyntax}},
		{"date without time", func(d object) { d["expirationDate"] = "2027-01-01" }, []string{CheckSyntax}},
		{"ends before it begins", func(d object) { d["expirationDate"] = "2025-01-01T00:00:00Z" }, []string{CheckSyntax}},
		{"status without id", func(d object) { d["credentialStatus"] = object{"type": "https://x.example/S"} }, []string{CheckSyntax}},
		{"unknown status", func(d object) {
			d["credentialStatus"] = object{"id": "https://x.example/1", "type": "https://x.example/S"}
		}, []string{CheckStatus}},
		{"schema without id", func(d object) { d["credentialSchema"] = object{"type": "https://x.example/S"} }, []string{CheckSyntax}},
		{"refresh service without id", func(d object) { d["refreshService"] = object{"type": "https://x.example/S"} }, []string{CheckSyntax}},
		{"evidence without type", func(d object) { d["evidence"] = object{"id": "https://x.example/e"} }, []string{CheckSyntax}},
		{"no subject", func(d object) { d["credentialSubject"] = object{} }, []string{CheckSyntax}},
		{"a context of version 2.0 besides", func(d object) { d["@context"] = append(slices.Clone(version1), ContextV2) }, []string{CheckSyntax, CheckProof}},
	} {
		for _, suite := range []string{dataintegrity.ECDSARDFC2019, dataintegrity.ECDSAJCS2019} {
			d := credential1By(k.DID)
			tt.change(d)
			var vc []byte
			if slices.Contains(tt.failed, CheckSyntax) {
				d["proof"] = object{"type": "DataIntegrityProof", "cryptosuite": suite, "proofPurpose": AssertionMethod, "verificationMethod": k.Method, "proofValue": "z11"}
				vc = encode(t, d)
				if r := testVerifier().Credential(t.Context(), vc, CredentialOptions{}); r.Passed() || r.Check(CheckSyntax).Outcome == Passed && r.Check(CheckProof).Outcome == Passed {
					t.Errorf("%s, %s: passes", tt.name, suite)
				}
				continue
			}
			vc = signUnchecked(t, suite, d, k)
			r := testVerifier().Credential(t.Context(), vc, CredentialOptions{})
			t.Run(tt.name+" "+suite, func(t *testing.T) { expect(t, r, tt.failed...) })
			if r.Version != Version1 {
				t.Errorf("%s: version %q", tt.name, r.Version)
			}
		}
	}
}

// A presentation of either version holds credentials of either.
func TestVersion1Presentation(t *testing.T) {
	k := testkeys.New("P-256")
	one := signUnchecked(t, dataintegrity.ECDSARDFC2019, credential1By(k.DID), k)
	two := signUnchecked(t, dataintegrity.ECDSARDFC2019, credentialBy(k.DID), k)
	for name, contexts := range map[string][]any{"1.1": {contexts.CredentialsV1, contexts.DataIntegrityV2}, "2.0": {ContextV2}} {
		for _, suite := range []string{dataintegrity.ECDSARDFC2019, dataintegrity.ECDSAJCS2019} {
			list := []any{decode(t, one), decode(t, two)}
			if name == "1.1" {
				list = list[:1] // the contexts of a presentation of version 1.1 reach into its credentials
			}
			d := object{"@context": contexts, "type": []any{"VerifiablePresentation"}, "holder": k.DID, "verifiableCredential": list}
			issuer := &Issuer{Clock: testClock, Suite: suite}
			vp, err := issuer.secure(t.Context(), d, "", "", Key{k.Method, k.Signer}, ProofOptions{Purpose: Authentication, Challenge: "c", Domain: []string{"d"}})
			if err != nil {
				t.Fatalf("%s %s: %v", name, suite, err)
			}
			r := testVerifier().Presentation(t.Context(), vp, PresentationOptions{Challenge: "c", Domain: []string{"d"}})
			expect(t, r)
			if r.Version != name {
				t.Errorf("version %q", r.Version)
			}
		}
	}
}

// Documents of version 1.1 are not made here, and not taken as tokens.
func TestVersion1IsNotMade(t *testing.T) {
	k := testkeys.New("P-256")
	if _, err := testIssuer().Credential(t.Context(), encode(t, credential1By(k.DID)), Key{k.Method, k.Signer}, ProofOptions{}); !errors.Is(err, ErrModel) {
		t.Errorf("issued: %v", err)
	}
	d := credential1By(k.DID)
	vc := signUnchecked(t, SuiteJOSE, d, k)
	expect(t, testVerifier().Credential(t.Context(), vc, CredentialOptions{}), CheckSyntax)
}

// The statements of a credential stay the same when it is dressed up as one of the other version, which has other rules: its end, and its status, would go unseen.
func TestVersionCannotBeChanged(t *testing.T) {
	k := testkeys.New("P-256")
	dateTime := "http://www.w3.org/2001/XMLSchema#dateTime"
	term := func(name string) object {
		return object{"@id": "https://www.w3.org/2018/credentials#" + name, "@type": dateTime}
	}
	old := credential1By(k.DID)
	old["expirationDate"] = "2026-02-01T00:00:00Z"
	young := credentialBy(k.DID)
	young["validUntil"] = "2026-02-01T00:00:00Z"
	for name, tt := range map[string]struct {
		signed object
		forge  func(object)
	}{
		"1.1 as 2.0, end under another term": {old, func(d object) {
			d["@context"] = []any{ContextV2, version1[2], object{"born": term("issuanceDate"), "until": term("expirationDate")}}
			d["born"], d["until"] = d["issuanceDate"], d["expirationDate"]
			delete(d, "issuanceDate")
			delete(d, "expirationDate")
		}},
		"1.1 as 2.0, end under its own name": {old, func(d object) {
			d["@context"] = []any{ContextV2, version1[2], object{"issuanceDate": term("issuanceDate"), "expirationDate": term("expirationDate")}}
		}},
		"2.0 as 1.1": {young, func(d object) {
			d["@context"] = append([]any{contexts.CredentialsV1, contexts.DataIntegrityV2}, d["@context"].([]any)[1:]...)
		}},
		"2.0 as 1.1, end under another term": {young, func(d object) {
			d["@context"] = append(append([]any{contexts.CredentialsV1, contexts.DataIntegrityV2}, d["@context"].([]any)[1:]...), object{"until": term("validUntil")})
			d["until"] = d["validUntil"]
			delete(d, "validUntil")
		}},
		"1.1 with its end under another term": {old, func(d object) {
			d["@context"] = append(slices.Clone(version1), object{"until": term("expirationDate")})
			d["until"] = d["expirationDate"]
			delete(d, "expirationDate")
		}},
		"neither": {young, func(d object) { d["@context"] = d["@context"].([]any)[1:] }},
	} {
		d := decode(t, signUnchecked(t, dataintegrity.ECDSARDFC2019, tt.signed, k))
		tt.forge(d)
		if r := testVerifier().Credential(t.Context(), encode(t, d), CredentialOptions{}); r.Passed() {
			t.Errorf("%s: passes", name)
		} else {
			t.Log(name, r.Err())
		}
	}
}
