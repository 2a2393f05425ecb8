package credentials

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

const examplesContext = `{"@context":{"@vocab":"https://www.w3.org/ns/credentials/examples#"}}`

// exampleSuites know the context of the W3C examples, which gives every name a meaning.
func exampleSuites(t testing.TB) *Suites {
	t.Helper()
	s, err := NewSuites(SuitesOptions{Contexts: map[string][]byte{"https://www.w3.org/ns/credentials/examples/v2": []byte(examplesContext)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shared gives a file of the data folder beside the project, or skips the test.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	dirs := []string{os.Getenv("IHYID_SHARED_DATA")}
	if dirs[0] == "" {
		wd, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		dirs = nil
		for d := wd; d != filepath.Dir(d); d = filepath.Dir(d) {
			dirs = append(dirs, filepath.Join(d, "shared", "data"), filepath.Join(filepath.Dir(d), "shared", "data"))
		}
	}
	for _, d := range dirs {
		if b, err := os.ReadFile(filepath.Join(d, "vectors", name)); err == nil {
			return b
		}
	}
	t.Skipf("SKIPPED: vectors/%s is not there; set IHYID_SHARED_DATA", name)
	return nil
}

// Credentials and a presentation made by another implementation, and two changed ones.
func TestForeignVectors(t *testing.T) {
	v := &Verifier{Keys: &keys{}, Suites: exampleSuites(t), Clock: func() time.Time { return time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC) }}
	for _, name := range []string{"vc-p256.json", "vc-ed25519.json"} {
		expect(t, v.Credential(t.Context(), shared(t, name), CredentialOptions{}))
	}
	for _, name := range []string{"vc-p256-tampered-fail.json", "vc-p256-injected-fail.json"} {
		expect(t, v.Credential(t.Context(), shared(t, name), CredentialOptions{}), CheckProof)
	}
	e := decode(t, shared(t, "expect-p256.json"))
	o := PresentationOptions{Challenge: e["challenge"].(string), Domain: []string{e["domain"].(string)}}
	vp := shared(t, "vp-p256.json")
	expect(t, v.Presentation(t.Context(), vp, o))
	o.Challenge += "x"
	expect(t, v.Presentation(t.Context(), vp, o), CheckChallenge)
	o = PresentationOptions{Domain: []string{"https://elsewhere.example"}}
	expect(t, v.Presentation(t.Context(), vp, o), CheckDomain)
}
