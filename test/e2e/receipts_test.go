package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ihyid/test/harness"
)

// report is what `receipts verify --json` answers.
type report struct {
	File     string `json:"file"`
	Verified bool   `json:"verified"`
	Checks   []struct {
		Name, Outcome, Reason string
	} `json:"checks"`
}

func (r *report) outcome(name string) (outcome, reason string) {
	for _, c := range r.Checks {
		if c.Name == name {
			return c.Outcome, c.Reason
		}
	}
	return "", ""
}

// receiptChecks are checks that every verified receipt must have passed, by name.
var receiptChecks = []string{
	"format", "statements-equal", "parties-distinct", "statement-form", "times-in-order", "transcript-fits",
	"initiator.proof", "initiator.is-named", "initiator.key-is-named", "initiator.did-document", "initiator.did-document-is-named",
	"responder.proof", "responder.is-named", "responder.key-is-named", "responder.did-document", "responder.did-document-is-named",
}

// verify runs `receipts verify` as an auditor without a node does.
func verify(t *testing.T, net *harness.Net, file string, args ...string) (report, int) {
	t.Helper()
	out, errs, status := net.Run(append([]string{"receipts", "verify", "--json", file}, args...)...)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || errs != "" {
		t.Fatalf("verify %v: %v: %s%s", args, err, out, errs)
	}
	if r.Verified != (status == 0) || r.File != file {
		t.Errorf("verified %v with status %d, of %s", r.Verified, status, r.File)
	}
	for _, c := range r.Checks {
		if c.Name == "" || !slices.Contains([]string{"passed", "failed", "skipped"}, c.Outcome) || c.Outcome == "failed" && c.Reason == "" {
			t.Errorf("a check that says too little: %+v", c)
		}
	}
	return r, status
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	a, b := net.Add("alpha"), net.Add("beta")
	load(t, 200, a, b)
	harness.Befriend(a, b)
	id := done(t, a, b, begin(t, a, b)).ID

	dir := t.TempDir()
	file := filepath.Join(dir, "receipt.json")
	if out, errs, status := b.Run("receipts", "export", id, "--out", file); status != 0 {
		t.Fatalf("export: %s%s", out, errs)
	}
	out, errs, status := b.Run("receipts", "export", id, "--out", file)
	refused(t, out, errs, status, 1, "already")
	out, errs, status = b.Run("receipts", "export", strings.Repeat("0", 32))
	refused(t, out, errs, status, 1, "receipt")
	text, err := os.ReadFile(file)
	harness.Check(t, err)
	out, _, status = a.Run("receipts", "export", id)
	if status != 0 || out != string(text) {
		t.Error("the two sides export different receipts")
	}
	if out, _, _ := a.Run("receipts", "list"); !strings.Contains(out, id) {
		t.Errorf("the receipt is not in the list: %s", out)
	}
	docs := filepath.Join(dir, "did-docs")
	harness.Check(t, os.Mkdir(docs, 0o700))
	for _, n := range []*harness.Node{a, b} {
		doc, err := n.Client.Document(t.Context())
		harness.Check(t, err)
		harness.Check(t, os.WriteFile(filepath.Join(docs, n.Name+".json"), doc, 0o600))
	}

	good := func(t *testing.T, source string, args ...string) {
		t.Helper()
		r, status := verify(t, net, file, args...)
		if status != 0 {
			t.Errorf("status %d: %+v", status, r)
		}
		for _, c := range receiptChecks {
			if outcome, reason := r.outcome(c); outcome != "passed" {
				t.Errorf("%s: %s %s", c, outcome, reason)
			}
		}
		if _, reason := r.outcome("initiator.did-document"); reason != source {
			t.Errorf("the DID document was %s, should be %s", reason, source)
		}
	}
	unauthenticated := func(t *testing.T, role string, args ...string) {
		t.Helper()
		r, status := verify(t, net, file, args...)
		outcome, reason := r.outcome(role + ".did-document")
		if status != 1 || outcome != "failed" || !strings.Contains(reason, "unauthenticated") {
			t.Errorf("status %d; %s %s", status, outcome, reason)
		}
		if outcome, _ := r.outcome(role + ".proof"); outcome != "passed" {
			t.Errorf("the proof, under the receipt's own document: %s", outcome)
		}
	}
	t.Run("with documents", func(t *testing.T) { good(t, "supplied", "--did-docs", docs, "--offline") })
	t.Run("resolved", func(t *testing.T) { good(t, "resolved", "--ca-file", net.CAFile, "--allow-private", net.Private) })
	t.Run("offline without documents", func(t *testing.T) {
		unauthenticated(t, "initiator", "--offline")
		unauthenticated(t, "responder", "--offline")
	})
	t.Run("with one document", func(t *testing.T) {
		one := t.TempDir()
		doc, err := a.Client.Document(t.Context())
		harness.Check(t, err)
		harness.Check(t, os.WriteFile(filepath.Join(one, "a.json"), doc, 0o600))
		unauthenticated(t, "responder", "--did-docs", one, "--offline")
	})
	t.Run("in words", func(t *testing.T) {
		out, errs, status := net.Run("receipts", "verify", file, "--did-docs", docs, "--offline")
		if status != 0 || errs != "" || !strings.HasSuffix(out, file+": VERIFIED\n") {
			t.Errorf("status %d: %s%s", status, out, errs)
		}
		for _, c := range receiptChecks {
			if !strings.Contains(out, c) {
				t.Errorf("the check %s is not named", c)
			}
		}
		out, errs, status = net.Run("receipts", "verify", file, "--offline")
		if status != 1 || errs != "" || !strings.HasSuffix(out, file+": NOT VERIFIED\n") {
			t.Errorf("offline: status %d: %s%s", status, out, errs)
		}
	})

	// What an auditor may be handed instead.
	var whole map[string]any
	harness.Check(t, json.Unmarshal(text, &whole))
	receipts := whole["receipts"].([]any)
	swap := func(from, to string) func() []byte {
		return func() []byte { return bytes.ReplaceAll(text, []byte(from), []byte(to)) }
	}
	subject := receipts[0].(map[string]any)["credentialSubject"].(map[string]any)
	forged := func(change func(w map[string]any)) func() []byte {
		return func() []byte {
			var w map[string]any
			harness.Check(t, json.Unmarshal(text, &w))
			change(w)
			out, err := json.Marshal(w)
			harness.Check(t, err)
			return out
		}
	}
	for _, tc := range []struct {
		name  string
		make  func() []byte
		check string // that must fail
	}{
		{"more matches", swap(`"matches": "`+subject["matches"].(string)+`"`, `"matches": "9`+subject["matches"].(string)+`"`), "initiator.proof"},
		{"another purpose", swap(`"a test"`, `"a jest"`), "responder.proof"},
		{"another time", swap(subject["started"].(string), "2020-01-01T00:00:00Z"), "initiator.proof"},
		{"another party", swap(a.DID, "did:web:relief.example.org"), "initiator.proof"},
		{"one side says otherwise", func() []byte {
			return bytes.Replace(text, []byte(`"a test"`), []byte(`"a jest"`), 1)
		}, "statements-equal"},
		{"the same signature twice", forged(func(w map[string]any) {
			r := w["receipts"].([]any)
			w["receipts"] = []any{r[0], r[0]}
		}), "responder.is-named"},
		{"one side only", forged(func(w map[string]any) { w["receipts"] = w["receipts"].([]any)[:1] }), "format"},
		{"sides exchanged", forged(func(w map[string]any) {
			r := w["receipts"].([]any)
			w["receipts"] = []any{r[1], r[0]}
		}), "initiator.is-named"},
		{"no proof", forged(func(w map[string]any) { delete(w["receipts"].([]any)[1].(map[string]any), "proof") }), "responder.proof"},
		{"a claim added", forged(func(w map[string]any) { w["receipts"].([]any)[0].(map[string]any)["name"] = "better" }), "initiator.proof"},
		{"truncated", func() []byte { return text[:len(text)/2] }, "format"},
		{"a member twice", func() []byte { return append([]byte(`{"v":"1",`), bytes.TrimLeft(text, "{ \n")...) }, "format"},
		{"another version", forged(func(w map[string]any) { w["v"] = "2" }), "format"},
		{"empty", func() []byte { return nil }, "format"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			made := tc.make()
			if bytes.Equal(made, text) {
				t.Fatal("nothing was changed")
			}
			wrong := filepath.Join(t.TempDir(), "receipt.json")
			harness.Check(t, os.WriteFile(wrong, made, 0o600))
			r, status := verify(t, net, wrong, "--did-docs", docs, "--offline")
			if outcome, _ := r.outcome(tc.check); status != 1 || outcome != "failed" {
				t.Errorf("status %d; %s %s: %+v", status, tc.check, outcome, r.Checks)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		out, errs, status := net.Run("receipts", "verify", filepath.Join(dir, "none"))
		refused(t, out, errs, status, 1, "none")
	})
	t.Run("a file over the limit", func(t *testing.T) {
		big := filepath.Join(t.TempDir(), "big")
		harness.Check(t, os.WriteFile(big, bytes.Repeat([]byte(" "), 5<<20), 0o600))
		out, errs, status := net.Run("receipts", "verify", big)
		refused(t, out, errs, status, 1, "larger")
	})
	t.Run("no directory", func(t *testing.T) {
		out, errs, status := net.Run("receipts", "verify", file, "--did-docs", file)
		refused(t, out, errs, status, 2, "no directory")
	})
	t.Run("documents that are none", func(t *testing.T) {
		bad := t.TempDir()
		harness.Check(t, os.WriteFile(filepath.Join(bad, "a.json"), []byte(`{"id":`), 0o600))
		out, errs, status := net.Run("receipts", "verify", file, "--did-docs", bad, "--offline")
		refused(t, out, errs, status, 1, "--did-docs")
	})
}
