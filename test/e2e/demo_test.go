package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"ihyid/test/harness"
)

// TestDemo runs the demonstration as a program would, and verifies every receipt that it leaves as an auditor would.
func TestDemo(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	dir := filepath.Join(t.TempDir(), "demo")
	out, errs, status := net.Run("demo", "--json", "--dir", dir)
	if status != 0 || errs != "" {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	var got struct {
		OK    bool `json:"ok"`
		Pairs []struct {
			A, B     string
			InCommon *int     `json:"in_common"`
			Possible *int     `json:"possible"`
			Seconds  *float64 `json:"seconds"`
			Exchange string   `json:"exchange"`
		} `json:"pairs"`
		ReceiptsVerified int  `json:"receipts_verified"`
		TamperedRefused  bool `json:"tampered_refused"`
	}
	dec := json.NewDecoder(strings.NewReader(out))
	harness.Check(t, dec.Decode(&got))
	if dec.More() {
		t.Error("there is more than one JSON document")
	}
	// Three pairs of organisations, each by two protocols.
	if !got.OK || len(got.Pairs) != 6 || got.ReceiptsVerified != 6 || !got.TamperedRefused {
		t.Errorf("the result is %+v", got)
	}
	for _, p := range got.Pairs {
		if p.InCommon == nil || *p.InCommon == 0 || p.Possible == nil || p.Seconds == nil || *p.Seconds <= 0 || p.Exchange == "" {
			t.Errorf("%s and %s: %+v", p.A, p.B, p)
		}
	}
	docs := filepath.Join(dir, "did-docs")
	receipts, err := filepath.Glob(filepath.Join(dir, "receipts", "*.json"))
	harness.Check(t, err)
	if len(receipts) != 6 {
		t.Fatalf("%d receipts were left", len(receipts))
	}
	for _, file := range receipts {
		if r, status := verify(t, net, file, "--did-docs", docs, "--offline"); status != 0 {
			t.Errorf("%s: %+v", file, r)
		}
		// As the README has it, without --offline: the nodes are gone, the documents are enough.
		if out, errs, status := net.Run("receipts", "verify", file, "--did-docs", docs); status != 0 {
			t.Errorf("%s: %s%s", file, out, errs)
		}
	}
	tampered, err := filepath.Glob(filepath.Join(dir, "tampered", "*.json"))
	harness.Check(t, err)
	if len(tampered) != 1 {
		t.Fatalf("%d tampered receipts were left", len(tampered))
	}
	if _, status := verify(t, net, tampered[0], "--did-docs", docs, "--offline"); status != 1 {
		t.Errorf("the tampered receipt: status %d", status)
	}
	for what, want := range map[string]int{"presentations/*/*/IhyidBundle.json": 6, "did-docs/*.json": 3} {
		if all, _ := filepath.Glob(filepath.Join(dir, what)); len(all) != want {
			t.Errorf("%d files %s were left, not %d", len(all), what, want)
		}
	}
	t.Run("into a directory that is not empty", func(t *testing.T) {
		out, errs, status := net.Run("demo", "--json", "--dir", dir)
		refused(t, out, errs, status, 1, "not empty")
	})
}
