package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vectors finds the credentials that other software made, or skips the test.
func vectors(t *testing.T) string {
	t.Helper()
	dirs := []string{os.Getenv("IHYID_SHARED_DATA")}
	if dirs[0] == "" {
		wd, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		dirs = nil
		for d := wd; d != filepath.Dir(d); d = filepath.Dir(d) {
			dirs = append(dirs, filepath.Join(filepath.Dir(d), "shared", "data"))
		}
	}
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, "vectors", "vc-p256.json")); err == nil {
			return filepath.Join(d, "vectors")
		}
	}
	t.Skip("SKIPPED: vectors/vc-p256.json is not there; set IHYID_SHARED_DATA")
	return ""
}

// run runs the command line in this process.
func run(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &stdout, err: &stderr, environ: []string{"HOME=" + t.TempDir()}}
	status = a.run(t.Context(), args)
	return status, stdout.String(), stderr.String()
}

// What other software signed verifies offline, out of the box; what was changed does not, and the reason is named.
func TestVerify(t *testing.T) {
	dir := vectors(t)
	text, err := os.ReadFile(filepath.Join(dir, "expect-p256.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expect struct{ Challenge, Domain string }
	if err := json.Unmarshal(text, &expect); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   []string
	}{
		{"p256", []string{file("vc-p256.json")}, 0, []string{"PASSED   proof", "VERIFIED"}},
		{"offline", []string{file("vc-p256.json"), "--offline"}, 0, []string{"VERIFIED"}},
		{"ed25519", []string{file("vc-ed25519.json")}, 0, []string{"PASSED   proof"}},
		{"tampered", []string{file("vc-p256-tampered-fail.json")}, 1, []string{"FAILED   proof", "PROOF_VERIFICATION_ERROR", "NOT VERIFIED"}},
		{"injected", []string{file("vc-p256-injected-fail.json")}, 1, []string{"FAILED   proof", "PROOF_VERIFICATION_ERROR"}},
		{"presentation", []string{file("vp-p256.json"), "--challenge", expect.Challenge, "--domain", expect.Domain}, 0, []string{"PASSED   challenge", "PASSED   credential 1 proof"}},
		{"challenge", []string{file("vp-p256.json"), "--challenge", "another", "--domain", expect.Domain}, 1, []string{"FAILED   challenge", "INVALID_CHALLENGE_ERROR"}},
		{"domain", []string{file("vp-p256.json"), "--challenge", expect.Challenge, "--domain", "https://another.example"}, 1, []string{"FAILED   domain", "INVALID_DOMAIN_ERROR"}},
		{"credential-with-challenge", []string{file("vc-p256.json"), "--challenge", "x"}, 1, []string{"FAILED   challenge"}},
		{"before", []string{file("vc-p256.json"), "--at", "2020-01-01T00:00:00Z"}, 1, []string{"FAILED   time"}},
		{"no-time", []string{file("vc-p256.json"), "--at", "yesterday"}, 2, nil},
		{"no-context", []string{file("vc-p256.json"), "--context", "urn:x=nothing"}, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, out, errs := run(t, append([]string{"verify"}, c.args...)...)
			if status != c.status {
				t.Errorf("status %d, want %d: %s%s", status, c.status, out, errs)
			}
			for _, w := range c.want {
				if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(w), " ")) {
					t.Errorf("%q is not in\n%s", w, out)
				}
			}
		})
	}
	status, out, _ := run(t, "verify", "--json", file("vc-p256-tampered-fail.json"))
	var report struct {
		Verified bool
		Kind     string
		Checks   []struct{ Name, Outcome, Reason, Code string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || status != 1 || report.Verified || report.Kind != "credential" || len(report.Checks) < 9 {
		t.Errorf("%v %d %+v", err, status, report)
	}
}

func TestVerifyRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "words": "not a credential", "twice": `{"a":1,"a":2}`, "list": "[]", "token": "a.b.c"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, out, errs := run(t, "verify", path, "--offline")
		if status != 1 || !strings.Contains(out, "FAILED") || !strings.Contains(out, "NOT VERIFIED") {
			t.Errorf("%s: %d\n%s%s", name, status, out, errs)
		}
	}
}
