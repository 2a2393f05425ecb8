package dataintegrity

import (
	"os"
	"path/filepath"
	"testing"

	"ihyid/credentials/ijson"
	"ihyid/credentials/internal/testkeys"
	"ihyid/credentials/jsonld"
)

// examples is the context that the W3C examples are written with. It gives every name a meaning, so it is
// for tests only.
const examples = `{"@context":{"@vocab":"https://www.w3.org/ns/credentials/examples#"}}`

func processor(t testing.TB) *jsonld.Processor {
	t.Helper()
	p, err := jsonld.New(jsonld.Options{Contexts: map[string][]byte{"https://www.w3.org/ns/credentials/examples/v2": []byte(examples)}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func load(t testing.TB, name string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	d, err := ijson.ParseObject(b, ijson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestW3CVectors(t *testing.T) {
	jcs, rdf := NewECDSAJCS2019(), NewECDSARDFC2019(processor(t), 0)
	for name, suite := range map[string]Suite{
		"w3c-ecdsa-jcs-2019-p256.json":  jcs,
		"w3c-ecdsa-jcs-2019-p384.json":  jcs,
		"w3c-ecdsa-rdfc-2019-p256.json": rdf,
		"w3c-ecdsa-rdfc-2019-p384.json": rdf,
	} {
		t.Run(name, func(t *testing.T) {
			d := load(t, name)
			unsecured, proofs, err := Split(d, 0)
			if err != nil {
				t.Fatal(err)
			}
			pub, err := testkeys.Public(t.Context(), proofs[0].VerificationMethod)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(t.Context(), suite, unsecured, proofs[0], pub); err != nil {
				t.Error(err)
			}
			unsecured["name"] = "Another Credential"
			if _, err := Verify(t.Context(), suite, unsecured, proofs[0], pub); err == nil {
				t.Error("a changed document verifies")
			}
		})
	}
}
