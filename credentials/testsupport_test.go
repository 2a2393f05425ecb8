package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/internal/testkeys"
)

// keys is a KeyResolver over did:key and over documents written down here.
type keys struct {
	mu    sync.Mutex
	named map[string]KeyStatus
}

func (k *keys) Key(ctx context.Context, method, _ string) (KeyStatus, error) {
	k.mu.Lock()
	s, ok := k.named[method]
	k.mu.Unlock()
	if ok {
		if s.Public == nil {
			return KeyStatus{}, errors.New("notFound")
		}
		return s, nil
	}
	pub, err := testkeys.Public(ctx, method)
	if err != nil {
		return KeyStatus{}, err
	}
	return KeyStatus{Public: pub, Controller: didOf(method), Authorized: true}, nil
}

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func testClock() time.Time { return testTime }

func testIssuer() *Issuer     { return &Issuer{Clock: testClock, Suite: dataintegrity.ECDSAJCS2019} }
func testVerifier() *Verifier { return &Verifier{Keys: &keys{}, Clock: testClock} }

type object = map[string]any

func credentialBy(did string) object {
	return object{
		"@context":  []any{ContextV2, Context(Term{"matchId", Text}, Term{"roots", List}, Term{"MatchReceipt", Class})},
		"id":        "urn:uuid:4e93f3fd-37e9-4fdb-9f89-de6fb1800bcc",
		"type":      []any{"VerifiableCredential", "MatchReceipt"},
		"issuer":    did,
		"validFrom": "2026-01-01T00:00:00Z",
		"credentialSubject": object{
			"id":      "did:web:node-a.example",
			"matchId": "m-0001",
			"roots":   []any{"bb", "aa"},
		},
	}
}

func presentationBy(t testing.TB, did string, credentials ...[]byte) object {
	t.Helper()
	list := []any{}
	for _, c := range credentials {
		list = append(list, decode(t, c))
	}
	return object{
		"@context":             []any{ContextV2},
		"type":                 []any{"VerifiablePresentation"},
		"holder":               did,
		"verifiableCredential": list,
	}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t testing.TB, b []byte) object {
	t.Helper()
	var m object
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// expect asserts that exactly the named checks failed.
func expect(t *testing.T, r *Result, failed ...string) {
	t.Helper()
	want := map[string]bool{}
	for _, f := range failed {
		want[f] = true
	}
	for _, c := range r.Checks {
		if (c.Outcome == Failed) != want[c.Name] {
			t.Errorf("check %s: %s (%s)", c.Name, c.Outcome, c.Reason)
		}
		delete(want, c.Name)
	}
	for name := range want {
		t.Errorf("check %s is not listed", name)
	}
	if len(failed) == 0 != r.Passed() {
		t.Errorf("passed: %v, %v", r.Passed(), r.Err())
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
