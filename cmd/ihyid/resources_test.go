package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ihyid/credentials"
	"ihyid/did"
)

// A credential under a context and a schema that are not built in.
func foreignCredential(t *testing.T, context, schema string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name, err := did.KeyDID(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	suites, err := credentials.NewSuites(credentials.SuitesOptions{Contexts: map[string][]byte{"https://contexts.example/v1?a=b": []byte(context)}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := json.Marshal(map[string]any{
		"@context": []any{credentials.ContextV2, "https://contexts.example/v1?a=b"}, "type": []any{"VerifiableCredential", "Ration"}, "issuer": name,
		"credentialSubject": map[string]any{"portions": "7"}, "credentialSchema": map[string]any{"id": schema, "type": "JsonSchema"},
	})
	if err != nil {
		t.Fatal(err)
	}
	vc, err := (&credentials.Issuer{Suites: suites}).Credential(t.Context(), d, credentials.Key{VerificationMethod: name + "#" + strings.TrimPrefix(name, "did:key:"), Signer: key}, credentials.ProofOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return vc
}

func TestVerifyWithContextsAndSchemas(t *testing.T) {
	const context = `{"@context":{"@protected":true,"Ration":"https://contexts.example/#Ration","portions":"https://contexts.example/#portions"}}`
	const schema = `{"properties":{"credentialSubject":{"properties":{"portions":{"pattern":"^[0-9]+$"}}}}}`
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	digest := func(text string) string {
		b := sha256.Sum256([]byte(text))
		return "@sha256:" + hex.EncodeToString(b[:])
	}
	vc := write("vc.json", string(foreignCredential(t, context, "https://schemas.example/ration")))
	contextFile, schemaFile := write("context.jsonld", context), write("schema.json", schema)
	strict := write("strict.json", strings.Replace(schema, "+", "{3}", 1))
	other := write("other.jsonld", strings.Replace(context, "#portions", "#weeks", 1))
	const url, schemaURL = "https://contexts.example/v1?a=b=", "https://schemas.example/ration="
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"unknown context", nil, 1, "never fetched"},
		{"context", []string{"--context", url + contextFile}, 0, "SKIPPED schema"},
		{"context without its address", []string{"--context", contextFile}, 0, "VERIFIED"},
		{"context with digest", []string{"--context", url + contextFile + digest(context)}, 0, "VERIFIED"},
		{"another digest", []string{"--context", url + contextFile + digest("x")}, 1, "has the SHA-256"},
		{"another context", []string{"--context", url + other}, 1, "FAILED proof"},
		{"bad digest", []string{"--context", url + contextFile + "@sha256:00"}, 2, "64 lower-case hex digits"},
		{"context twice", []string{"--context", url + contextFile, "--context", url + other}, 2, "twice"},
		{"no context", []string{"--context", url + schemaFile}, 1, "has no @context"},
		{"schema", []string{"--context", contextFile, "--schema", schemaURL + schemaFile}, 0, "PASSED schema"},
		{"schema broken", []string{"--context", contextFile, "--schema", schemaURL + strict}, 1, "/credentialSubject/portions"},
		{"schema without its address", []string{"--context", contextFile, "--schema", schemaFile}, 2, "URL=FILE"},
		{"replaces a built-in context", []string{"--context", credentials.ContextV2 + "=" + contextFile}, 1, "cannot be replaced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, out, errs := run(t, append([]string{"verify", vc, "--offline"}, c.args...)...)
			if status != c.status || !strings.Contains(strings.Join(strings.Fields(out+errs), " "), c.want) {
				t.Errorf("status %d, want %d with %q:\n%s%s", status, c.status, c.want, out, errs)
			}
		})
	}
	// The settings of a node name the digest.
	if _, err := readSuitesIn(dir, []string{url + "context.jsonld"}, nil, true, nil); err == nil {
		t.Error("a context without a digest is taken")
	}
	if _, err := readSuitesIn(dir, []string{url + "context.jsonld" + digest(context)}, []string{schemaURL + "schema.json" + digest(schema)}, true, nil); err != nil {
		t.Error(err)
	}
}
