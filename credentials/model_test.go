package credentials

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/internal/testkeys"
)

// The rules of the data model, each with a document that keeps it and one that does not. The section numbers are
// those of Verifiable Credentials Data Model 2.0.
func TestCredentialRules(t *testing.T) {
	digest := "sha256-" + strings.Repeat("A", 43) + "="
	for _, tt := range []struct {
		section, field string
		good, bad      []string // JSON; "-" leaves the field out
	}{
		{"4.3", "@context", []string{
			`["https://www.w3.org/ns/credentials/v2"]`, `["https://www.w3.org/ns/credentials/v2","https://a.example/c",{"a":"urn:a"}]`,
		}, []string{
			`-`, `null`, `[]`, `"https://www.w3.org/ns/credentials/v2"`, `{}`, `["https://a.example/c","https://www.w3.org/ns/credentials/v2"]`,
			`["https://a.example/c"]`, `["https://www.w3.org/ns/credentials/v2",1]`, `["https://www.w3.org/ns/credentials/v2",null]`,
			`["https://www.w3.org/ns/credentials/v2",["https://a.example/c"]]`, `["https://www.w3.org/ns/credentials/v2","not a url"]`,
		}},
		{"4.4", "id", []string{`-`, `"urn:uuid:1"`, `"https://a.example/1"`, `"did:web:a.example"`}, []string{
			`null`, `1`, `""`, `"relative"`, `["urn:uuid:1"]`, `["urn:uuid:1","urn:uuid:2"]`, `{}`, `"urn:a b"`, `"urn:"`, `":x"`, `"1a:x"`,
		}},
		{"4.5", "type", []string{`"VerifiableCredential"`, `["VerifiableCredential"]`, `["X","VerifiableCredential"]`}, []string{
			`-`, `null`, `[]`, `"X"`, `["X"]`, `["VerifiableCredential",1]`, `["VerifiableCredential",""]`, `{"VerifiableCredential":1}`,
		}},
		{"4.6", "name", []string{`-`, `"x"`, `{"@value":"x"}`, `{"@value":"x","@language":"ar","@direction":"rtl"}`, `[{"@value":"x","@language":"en"},{"@value":"y"}]`}, []string{
			`1`, `null`, `[]`, `{}`, `{"@language":"en"}`, `{"@value":1}`, `{"@value":"x","@direction":"up"}`, `{"@value":"x","@language":"e n"}`, `{"@value":"x","url":"urn:x"}`, `[1]`,
		}},
		{"4.6", "description", []string{`"x"`, `[{"@value":"x","@language":"en"}]`}, []string{`1`, `{"@value":"x","a":"b"}`}},
		{"4.7", "issuer", []string{`"did:ex:i"`, `{"id":"did:ex:i","name":"x"}`}, []string{
			`-`, `null`, `1`, `""`, `"relative"`, `{}`, `{"name":"x"}`, `{"id":1}`, `["did:ex:i"]`, `{"id":"did:ex:i","name":1}`,
		}},
		{"4.8", "credentialSubject", []string{`{"a":"b"}`, `{"id":"did:ex:s"}`, `[{"a":"b"},{"id":"did:ex:s"}]`}, []string{
			`-`, `null`, `{}`, `[]`, `[{}]`, `[{"a":"b"},{}]`, `"did:ex:s"`, `1`, `{"id":"relative"}`, `{"id":["did:ex:s"]}`, `[["x"]]`,
		}},
		{"4.9", "validFrom", []string{`-`, `"2026-01-01T00:00:00Z"`, `"2026-01-01T00:00:00.123+05:30"`, `"2025-12-31T24:00:00Z"`}, []string{
			`null`, `1`, `"2026-01-01"`, `"2026-01-01T00:00:00"`, `"2026-02-30T00:00:00Z"`, `"2026-01-01 00:00:00Z"`, `"2026-01-01T00:00Z"`, `"2026-01-01T25:00:00Z"`,
			`"2026-01-01T00:00:60Z"`, `"2026-01-01T00:00:00+15:00"`, `"2026-01-01T24:00:01Z"`, `"yesterday"`, `["2026-01-01T00:00:00Z"]`,
		}},
		{"4.9", "validUntil", []string{`-`, `"2026-01-01T00:00:00Z"`}, []string{`null`, `"2026-01-01"`, `"2024-12-31T23:59:59Z"`}},
		{"4.10", "credentialStatus", []string{`-`, `{"type":"X"}`, `{"id":"urn:x","type":["X"]}`, `[{"type":"X"},{"type":"Y"}]`}, []string{
			`null`, `[]`, `"urn:x"`, `{}`, `{"id":"urn:x"}`, `{"type":1}`, `{"type":"X","id":"relative"}`, `[{"type":"X"},{}]`,
		}},
		{"4.11", "credentialSchema", []string{`{"id":"https://a.example/s","type":"JsonSchema"}`, `[{"id":"urn:s","type":"X"}]`}, []string{
			`{"type":"JsonSchema"}`, `{"id":"urn:s"}`, `{"id":"relative","type":"X"}`, `"urn:s"`, `[]`,
		}},
		{"5.3", "relatedResource", []string{
			`{"id":"https://a.example/r","digestSRI":"` + digest + `"}`, `[{"id":"urn:r","digestSRI":"` + digest + `","mediaType":"text/plain"},{"id":"urn:q","digestMultibase":"zQmcWyBPyedDzHFytTX6CAjjpvqQAyhzURziwiBKDKgqx6R"}]`,
		}, []string{
			`[]`, `{"digestSRI":"` + digest + `"}`, `{"id":"urn:r"}`, `{"id":"relative","digestSRI":"` + digest + `"}`, `{"id":"urn:r","digestSRI":"md5-AAAA"}`, `{"id":"urn:r","digestSRI":"sha256-AAAA"}`,
			`{"id":"urn:r","digestMultibase":"zzz"}`, `{"id":"urn:r","digestMultibase":1}`, `{"id":"urn:r","digestSRI":"` + digest + `","mediaType":1}`, `"urn:r"`,
			`[{"id":"urn:r","digestSRI":"` + digest + `"},{"id":"urn:r","digestSRI":"` + digest + `"}]`,
		}},
		{"5.4", "refreshService", []string{`{"type":"X"}`, `{"id":"urn:x","type":"X"}`}, []string{`{}`, `{"id":"urn:x"}`, `"urn:x"`, `[]`}},
		{"5.5", "termsOfUse", []string{`{"type":"X"}`, `[{"type":"X","id":"urn:x"}]`}, []string{`{"id":"urn:x"}`, `"urn:x"`, `null`}},
		{"5.6", "evidence", []string{`{"type":"X"}`, `[{"type":["X","Y"]}]`}, []string{`{"id":"urn:x"}`, `[]`, `1`}},
	} {
		check := func(value string) error {
			d := object{
				"@context":          []any{ContextV2},
				"type":              "VerifiableCredential",
				"issuer":            "did:ex:i",
				"validFrom":         "2025-01-01T00:00:00Z",
				"credentialSubject": object{"a": "b"},
			}
			delete(d, tt.field)
			if value != "-" {
				var v any
				if err := json.Unmarshal([]byte(value), &v); err != nil {
					t.Fatal(err)
				}
				d[tt.field] = v
			}
			_, err := checkCredential(d)
			return err
		}
		for _, value := range tt.good {
			if err := check(value); err != nil {
				t.Errorf("section %s, %s %s: %v", tt.section, tt.field, value, err)
			}
		}
		for _, value := range tt.bad {
			err := check(value)
			if !errors.Is(err, ErrModel) {
				t.Errorf("section %s, %s %s: %v", tt.section, tt.field, value, err)
			} else if !strings.Contains(err.Error(), tt.field) {
				t.Errorf("section %s, %s %s: the error does not name the field: %v", tt.section, tt.field, value, err)
			}
		}
	}
}

func TestPresentationRules(t *testing.T) {
	for _, tt := range []struct {
		field     string
		good, bad []string
	}{
		{"type", []string{`"VerifiablePresentation"`, `["VerifiablePresentation","X"]`}, []string{`-`, `"VerifiableCredential"`, `[]`}},
		{"holder", []string{`-`, `"did:ex:h"`, `{"id":"did:ex:h"}`}, []string{`null`, `1`, `{}`, `"h"`, `["did:ex:h"]`}},
		{"verifiableCredential", []string{`-`, `[]`, `{"a":1}`, `[{"a":1},{"b":2}]`}, []string{`null`, `"urn:vc"`, `["eyJ.eyJ.x"]`, `[1]`, `[[]]`}},
		{"termsOfUse", []string{`{"type":"X"}`}, []string{`{}`, `"x"`}},
		{"id", []string{`"urn:x"`}, []string{`"x"`}},
	} {
		check := func(value string) error {
			d := object{"@context": []any{ContextV2}, "type": "VerifiablePresentation"}
			delete(d, tt.field)
			if value != "-" {
				var v any
				if err := json.Unmarshal([]byte(value), &v); err != nil {
					t.Fatal(err)
				}
				d[tt.field] = v
			}
			_, err := checkPresentation(d)
			return err
		}
		for _, value := range tt.good {
			if err := check(value); err != nil {
				t.Errorf("%s %s: %v", tt.field, value, err)
			}
		}
		for _, value := range tt.bad {
			if err := check(value); !errors.Is(err, ErrModel) {
				t.Errorf("%s %s: %v", tt.field, value, err)
			}
		}
	}
}

func TestAccept(t *testing.T) {
	k := testkeys.New("P-256")
	key := Key{k.Method, k.Signer}
	all := append([]string{SuiteJOSE}, suiteNames...)
	for _, suite := range all {
		vc, err := (&Issuer{Suite: suite, Clock: testClock}).Credential(t.Context(), encode(t, credentialBy(k.DID)), key, ProofOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, accepted := range all {
			v := testVerifier()
			v.Accept = []string{accepted}
			r := v.Credential(t.Context(), vc, CredentialOptions{})
			if r.Passed() != (suite == accepted) {
				t.Errorf("%s where %s is accepted: %v", suite, accepted, r.Err())
			}
		}
	}
}

func TestLimits(t *testing.T) {
	k := testkeys.New("P-256")
	vc := issue(t, k, credentialBy(k.DID), ProofOptions{})
	vp, err := testIssuer().Presentation(t.Context(), encode(t, presentationBy(t, k.DID, vc, vc, vc)), Key{k.Method, k.Signer}, ProofOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v := testVerifier()
	v.Limits.MaxCredentials = 2
	expect(t, v.Presentation(t.Context(), vp, PresentationOptions{}), CheckSyntax)
	v.Limits.MaxCredentials = 3
	expect(t, v.Presentation(t.Context(), vp, PresentationOptions{}))
	v.Limits.JSON.MaxBytes = len(vp) - 1
	expect(t, v.Presentation(t.Context(), vp, PresentationOptions{}), CheckSyntax)

	d := decode(t, vc)
	proof := d["proof"]
	list := []any{}
	for range dataintegrity.MaxProofs + 1 {
		list = append(list, proof)
	}
	d["proof"] = list
	expect(t, testVerifier().Credential(t.Context(), encode(t, d), CredentialOptions{}), CheckSyntax)
	d["proof"] = []any{}
	expect(t, testVerifier().Credential(t.Context(), encode(t, d), CredentialOptions{}), CheckSyntax)
	d["proof"] = "x"
	expect(t, testVerifier().Credential(t.Context(), encode(t, d), CredentialOptions{}), CheckSyntax)
}
