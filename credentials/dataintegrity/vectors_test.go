package dataintegrity

import (
	"os"
	"path/filepath"
	"testing"

	"ihyid/credentials/ijson"
	"ihyid/credentials/internal/testkeys"
)

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

func TestW3CVectorsJCS(t *testing.T) {
	for _, name := range []string{"w3c-ecdsa-jcs-2019-p256.json", "w3c-ecdsa-jcs-2019-p384.json"} {
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
			if _, err := Verify(t.Context(), NewECDSAJCS2019(), unsecured, proofs[0], pub); err != nil {
				t.Error(err)
			}
			unsecured["name"] = "Another Credential"
			if _, err := Verify(t.Context(), NewECDSAJCS2019(), unsecured, proofs[0], pub); err == nil {
				t.Error("a changed document verifies")
			}
		})
	}
}
