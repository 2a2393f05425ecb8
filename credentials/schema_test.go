package credentials

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/internal/testkeys"
)

const (
	schemaID   = "https://schemas.example/match.json"
	schemaVCID = "https://schemas.example/match-credential"
	schemaText = `{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"https://schemas.example/match.json","type":"object",
		"properties":{"credentialSubject":{"type":"object","required":["matchId"],"properties":{"matchId":{"type":"string","maxLength":6}}}}}`
)

// schemaSuites knows a schema, and the credential of one.
func schemaSuites(t testing.TB, change func(object)) *Suites {
	t.Helper()
	k := testkeys.New("P-256")
	d := object{
		"@context": []any{ContextV2}, "id": schemaVCID, "type": []any{"VerifiableCredential", "JsonSchemaCredential"}, "issuer": k.DID,
		"credentialSubject": object{"id": schemaID, "type": "JsonSchema", "jsonSchema": decode(t, []byte(schemaText))},
	}
	if change != nil {
		change(d)
	}
	vc, err := (&Issuer{Clock: testClock}).Credential(t.Context(), encode(t, d), Key{k.Method, k.Signer}, ProofOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSuites(SuitesOptions{Schemas: map[string][]byte{schemaID: []byte(schemaText), schemaVCID: vc}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchema(t *testing.T) {
	k := testkeys.New("P-256")
	suites := schemaSuites(t, nil)
	data := func(schema string) string { return "data:application/schema+json," + url.PathEscape(schema) }
	digest := func(text string) string {
		b := sha256.Sum256([]byte(text))
		return "sha256-" + base64.StdEncoding.EncodeToString(b[:])
	}
	for _, tt := range []struct {
		name, matchID string
		schema        any
		want          Outcome
		reason        string
	}{
		{"configured", "m-0001", object{"id": schemaID, "type": "JsonSchema"}, Passed, ""},
		{"configured, broken", "m-00001", object{"id": schemaID, "type": "JsonSchema"}, Failed, "/credentialSubject/matchId"},
		{"configured, with its digest", "m-0001", object{"id": schemaID, "type": "JsonSchema", "digestSRI": digest(schemaText)}, Passed, ""},
		{"of a credential", "m-0001", object{"id": schemaVCID, "type": "JsonSchemaCredential"}, Passed, ""},
		{"of a credential, broken", "m-00001", object{"id": schemaVCID, "type": "JsonSchemaCredential"}, Failed, "maxLength"},
		{"a schema as if it were a credential", "m-0001", object{"id": schemaID, "type": "JsonSchemaCredential"}, Failed, "credential"},
		{"a credential as if it were a schema", "m-0001", object{"id": schemaVCID, "type": "JsonSchema"}, Failed, "no JSON Schema"},
		{"two, the second broken", "m-00001", []any{object{"id": "https://schemas.example/unknown", "type": "JsonSchema"}, object{"id": schemaID, "type": "JsonSchema"}}, Failed, "[1]"},
		{"unknown", "m-0001", object{"id": "https://schemas.example/unknown", "type": "JsonSchema"}, Skipped, "never fetched"},
		{"unknown credential", "m-0001", object{"id": "https://schemas.example/unknown", "type": "JsonSchemaCredential"}, Skipped, "never fetched"},
		{"unknown type", "m-0001", object{"id": schemaID, "type": "https://schemas.example/Other"}, Skipped, "not understood"},
		{"embedded", "m-0001", object{"id": data(`{"properties":{"issuer":{"type":"string"}}}`), "type": "JsonSchema"}, Passed, ""},
		{"embedded, broken", "m-0001", object{"id": data(`{"properties":{"issuer":{"type":"object"}}}`), "type": "JsonSchema"}, Failed, "/issuer"},
		{"embedded, with a reference", "m-0001", object{"id": data(`{"$ref":"#"}`), "type": "JsonSchema"}, Skipped, "$ref"},
		{"embedded, too large", "m-0001", object{"id": data(`{"title":"` + strings.Repeat("x", maxEmbeddedSchema) + `"}`), "type": "JsonSchema"}, Skipped, "too large"},
		{"embedded, no schema", "m-0001", object{"id": data(`{"type":1}`), "type": "JsonSchema"}, Failed, "compiled"},
		{"embedded, no JSON", "m-0001", object{"id": data(`{`), "type": "JsonSchema"}, Failed, "not JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := credentialBy(k.DID)
			d["credentialSubject"].(object)["matchId"] = tt.matchID
			d["credentialSchema"] = tt.schema
			for _, suite := range []string{dataintegrity.ECDSARDFC2019, dataintegrity.ECDSAJCS2019, SuiteJOSE} {
				vc, err := (&Issuer{Clock: testClock, Suite: suite, Suites: suites}).Credential(t.Context(), encode(t, d), Key{k.Method, k.Signer}, ProofOptions{})
				if err != nil {
					if tt.want != Failed || !errors.Is(err, ErrModel) {
						t.Fatalf("issue: %v", err)
					}
					vc = signUnchecked(t, suite, d, k)
				} else if tt.want == Failed && !strings.Contains(tt.name, "credential") {
					t.Error("a credential that breaks its schema is issued")
				}
				v := testVerifier()
				v.Suites = suites
				c := v.Credential(t.Context(), vc, CredentialOptions{}).Check(CheckSchema)
				if c.Outcome != tt.want || !strings.Contains(c.Reason, tt.reason) {
					t.Errorf("%s: %+v", suite, c)
				}
				if strings.Contains(c.Reason, "m-00001") {
					t.Errorf("the reason repeats a value: %s", c.Reason)
				}
			}
		})
	}
	// The digest of what is configured counts.
	for _, field := range []string{"credentialSchema", "relatedResource"} {
		d := credentialBy(k.DID)
		d[field] = object{"id": schemaID, "type": "JsonSchema", "digestSRI": digest("another")}
		if _, err := (&Issuer{Clock: testClock, Suites: suites}).Credential(t.Context(), encode(t, d), Key{k.Method, k.Signer}, ProofOptions{}); !errors.Is(err, ErrModel) {
			t.Errorf("%s: issued with another digest than the schema's: %v", field, err)
		}
		vc := signUnchecked(t, dataintegrity.ECDSARDFC2019, d, k)
		v := testVerifier()
		v.Suites = suites
		expect(t, v.Credential(t.Context(), vc, CredentialOptions{}), CheckSyntax)
	}
}

// signUnchecked signs as somebody would who knows nothing of the schema.
func signUnchecked(t testing.TB, suite string, d object, k testkeys.Key) []byte {
	t.Helper()
	copied := decode(t, encode(t, d))
	var issuer Issuer
	suites, err := NewSuites(SuitesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	issuer.Suites, issuer.Clock, issuer.Suite = suites, testClock, suite
	typ, cty := "vc+jwt", "vc"
	vc, err := issuer.secure(t.Context(), copied, typ, cty, Key{k.Method, k.Signer}, ProofOptions{Purpose: AssertionMethod})
	if err != nil {
		t.Fatal(err)
	}
	return vc
}

// A schema's credential counts only if it verifies and is what it is named as.
func TestSchemaCredentialRefused(t *testing.T) {
	k := testkeys.New("P-256")
	for name, change := range map[string]func(object){
		"past its end": func(d object) { d["validUntil"] = "2026-01-01T00:00:00Z" },
		"another id":   func(d object) { d["id"] = "https://schemas.example/other" },
		"no schema": func(d object) {
			d["credentialSubject"] = object{"id": schemaID, "type": "JsonSchema", "name": "x"}
		},
		"of another type": func(d object) { d["type"] = []any{"VerifiableCredential"} },
	} {
		d := credentialBy(k.DID)
		d["credentialSchema"] = object{"id": schemaVCID, "type": "JsonSchemaCredential"}
		vc := signUnchecked(t, dataintegrity.ECDSARDFC2019, d, k)
		v := testVerifier()
		v.Suites = schemaSuites(t, change)
		if c := v.Credential(t.Context(), vc, CredentialOptions{}).Check(CheckSchema); c.Outcome != Failed {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestSchemasRefused(t *testing.T) {
	for name, schemas := range map[string]map[string]string{
		"not JSON":          {schemaID: `{`},
		"no schema":         {schemaID: `{"type":1}`},
		"relative name":     {"match.json": `{}`},
		"fetches another":   {schemaID: `{"$ref":"https://schemas.example/other.json"}`},
		"opens a file":      {schemaID: `{"$ref":"file:///etc/passwd"}`},
		"unknown version":   {schemaID: `{"$schema":"https://schemas.example/draft"}`},
		"pattern is no RE2": {schemaID: `{"pattern":"(?=x)"}`},
	} {
		all := map[string][]byte{}
		for id, text := range schemas {
			all[id] = []byte(text)
		}
		if _, err := NewSuites(SuitesOptions{Schemas: all}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzEmbeddedSchema(f *testing.F) {
	f.Add([]byte(`{"properties":{"issuer":{"type":"string"}}}`))
	f.Add([]byte(`{"allOf":[{"if":{"const":1},"then":false},{"enum":[{}]}],"items":[true],"unevaluatedProperties":false}`))
	f.Add([]byte(`{"$schema":"http://json-schema.org/draft-07/schema#","dependencies":{"a":["b"]},"additionalItems":{}}`))
	d := credentialBy("did:ex:i")
	f.Fuzz(func(t *testing.T, schema []byte) {
		if reason, err := embeddedSchema(schema, d); reason != "" && err != nil {
			t.Error("skipped and failed")
		}
	})
}
