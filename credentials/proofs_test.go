package credentials

import (
	"strings"
	"testing"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/internal/testkeys"
)

var suiteNames = []string{dataintegrity.ECDSARDFC2019, dataintegrity.ECDSAJCS2019}

func TestEverySuite(t *testing.T) {
	for _, suite := range suiteNames {
		for _, kind := range []string{"P-256", "P-384"} {
			t.Run(suite+" "+kind, func(t *testing.T) {
				k := testkeys.New(kind)
				key := Key{k.Method, k.Signer}
				issuer := &Issuer{Suite: suite, Clock: testClock}
				vc, err := issuer.Credential(t.Context(), encode(t, credentialBy(k.DID)), key, ProofOptions{})
				if err != nil {
					t.Fatal(err)
				}
				expect(t, testVerifier().Credential(t.Context(), vc, CredentialOptions{}))
				vp, err := issuer.Presentation(t.Context(), encode(t, presentationBy(t, k.DID, vc, vc)), key,
					ProofOptions{Challenge: "c", Domain: []string{"did:web:b.example", "did:web:c.example"}})
				if err != nil {
					t.Fatal(err)
				}
				o := PresentationOptions{Challenge: "c", Domain: []string{"did:web:c.example", "did:web:b.example"}, Holder: k.DID}
				expect(t, testVerifier().Presentation(t.Context(), vp, o))
				// whatever character of a value changes, it no longer verifies
				for _, change := range []string{"m-0001", "bb", "aa", "2026-01-01", "node-a"} {
					bad := []byte(strings.Replace(string(vp), change, change[:len(change)-1]+"9", 1))
					if r := testVerifier().Presentation(t.Context(), bad, o); r.Passed() {
						t.Errorf("%s changed, and it passes", change)
					}
				}
			})
		}
	}
}

// Two parties sign one credential, side by side.
func TestProofSet(t *testing.T) {
	for _, suite := range suiteNames {
		t.Run(suite, func(t *testing.T) {
			a, b := testkeys.New("P-256"), testkeys.New("P-384")
			issuer := &Issuer{Suite: suite, Clock: testClock}
			one, err := issuer.Credential(t.Context(), encode(t, credentialBy(a.DID)), Key{a.Method, a.Signer}, ProofOptions{})
			if err != nil {
				t.Fatal(err)
			}
			both, err := issuer.AddProof(t.Context(), one, Key{b.Method, b.Signer}, ProofOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r := testVerifier().Credential(t.Context(), both, CredentialOptions{})
			expect(t, r)
			if len(r.Proofs) != 2 || r.Proofs[0].Controller != a.DID || r.Proofs[1].Controller != b.DID {
				t.Errorf("%+v", r.Proofs)
			}
			// all have to be good, and one has to be the issuer's
			d := decode(t, both)
			proofs := d["proof"].([]any)
			d["proof"] = []any{proofs[1]}
			expect(t, testVerifier().Credential(t.Context(), encode(t, d), CredentialOptions{}), CheckIssuer)
			proofs[1].(object)["created"] = "2026-02-28T12:00:00Z"
			d["proof"] = proofs
			expect(t, testVerifier().Credential(t.Context(), encode(t, d), CredentialOptions{}), CheckProof)
		})
	}
}

func TestProofChain(t *testing.T) {
	for _, suite := range suiteNames {
		t.Run(suite, func(t *testing.T) {
			a, b, c := testkeys.New("P-256"), testkeys.New("P-256"), testkeys.New("P-256")
			issuer := &Issuer{Suite: suite, Clock: testClock}
			doc, err := issuer.Credential(t.Context(), encode(t, credentialBy(a.DID)), Key{a.Method, a.Signer}, ProofOptions{ID: "urn:uuid:1"})
			if err != nil {
				t.Fatal(err)
			}
			doc, err = issuer.AddProof(t.Context(), doc, Key{b.Method, b.Signer}, ProofOptions{ID: "urn:uuid:2", Previous: []string{"urn:uuid:1"}})
			if err != nil {
				t.Fatal(err)
			}
			doc, err = issuer.AddProof(t.Context(), doc, Key{c.Method, c.Signer}, ProofOptions{Previous: []string{"urn:uuid:2", "urn:uuid:1"}})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, testVerifier().Credential(t.Context(), doc, CredentialOptions{}))

			if _, err := issuer.AddProof(t.Context(), doc, Key{c.Method, c.Signer}, ProofOptions{Previous: []string{"urn:uuid:9"}}); err == nil {
				t.Error("a chain from nowhere")
			}
			if _, err := issuer.AddProof(t.Context(), doc, Key{c.Method, c.Signer}, ProofOptions{ID: "urn:uuid:2"}); err == nil {
				t.Error("an id twice")
			}
			for name, change := range map[string]func(proofs []any) []any{
				"first left out":   func(p []any) []any { return p[1:] },
				"second left out":  func(p []any) []any { return []any{p[0], p[2]} },
				"second unchained": func(p []any) []any { delete(p[1].(object), "previousProof"); return p },
				"first replaced": func(p []any) []any {
					other, err := issuer.Credential(t.Context(), encode(t, credentialBy(a.DID)), Key{a.Method, a.Signer}, ProofOptions{ID: "urn:uuid:1"})
					if err != nil {
						t.Fatal(err)
					}
					p[0] = decode(t, other)["proof"]
					return p
				},
			} {
				d := decode(t, doc)
				d["proof"] = change(d["proof"].([]any))
				if r := testVerifier().Credential(t.Context(), encode(t, d), CredentialOptions{}); r.Check(CheckProof).Outcome != Failed {
					t.Errorf("%s: %v", name, r.Err())
				}
			}
		})
	}
}

// An attacker adds to the contexts, which ecdsa-rdfc-2019 does not sign, to give a credential's members other
// names; the statements stay the same.
func TestRenamingDoesNotPass(t *testing.T) {
	k := testkeys.New("P-256")
	d := credentialBy(k.DID)
	d["validUntil"] = "2026-02-01T00:00:00Z" // in the past
	vc, err := (&Issuer{Clock: testClock}).Credential(t.Context(), encode(t, d), Key{k.Method, k.Signer}, ProofOptions{})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, testVerifier().Credential(t.Context(), vc, CredentialOptions{}), CheckTime)
	for name, change := range map[string]func(d object){
		"full IRI": func(d object) {
			d["https://www.w3.org/2018/credentials#validUntil"] = object{"@type": "http://www.w3.org/2001/XMLSchema#dateTime", "@value": d["validUntil"]}
		},
		"another term": func(d object) {
			d["@context"] = append(d["@context"].([]any), object{"until": object{"@id": "https://www.w3.org/2018/credentials#validUntil", "@type": "http://www.w3.org/2001/XMLSchema#dateTime"}})
			d["until"] = d["validUntil"]
		},
	} {
		d := decode(t, vc)
		change(d)
		delete(d, "validUntil")
		if r := testVerifier().Credential(t.Context(), encode(t, d), CredentialOptions{}); r.Passed() {
			t.Errorf("%s: a credential past its end passes", name)
		}
	}
	// contexts added to a JCS credential do not count as signed
	vc, err = testIssuer().Credential(t.Context(), encode(t, credentialBy(k.DID)), Key{k.Method, k.Signer}, ProofOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d = decode(t, vc)
	d["@context"] = append(d["@context"].([]any), object{"x": "urn:x"})
	r := testVerifier().Credential(t.Context(), encode(t, d), CredentialOptions{})
	expect(t, r)
	if !SameContexts(r.Document, Context(Term{"matchId", Text}, Term{"roots", List}, Term{"MatchReceipt", Class})) {
		t.Error("the result shows contexts that were not signed")
	}
	if !SameContexts(r.Document, r.Document["@context"].([]any)[1]) || SameContexts(d, r.Document["@context"].([]any)[1]) {
		t.Error("SameContexts")
	}
	d = r.Document
	d["credentialSubject"].(object)["@context"] = object{}
	if SameContexts(d, r.Document["@context"].([]any)[1]) {
		t.Error("SameContexts overlooks a context inside")
	}
}

// Issuing with RDF refuses what no W3C verifier could state.
func TestIssueRefusesUnstated(t *testing.T) {
	k := testkeys.New("P-256")
	for name, change := range map[string]func(d object){
		"undefined term": func(d object) { d["credentialSubject"].(object)["undefined"] = "x" },
		"long number":    func(d object) { d["credentialSubject"].(object)["matchId"] = 0.12345678901234568 },
		"null":           func(d object) { d["credentialSubject"].(object)["matchId"] = nil },
		"unknown context": func(d object) {
			d["@context"] = append(d["@context"].([]any), "https://context.example/")
		},
	} {
		d := credentialBy(k.DID)
		change(d)
		if out, err := (&Issuer{}).Credential(t.Context(), encode(t, d), Key{k.Method, k.Signer}, ProofOptions{}); err == nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}
