package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ihyid/test/lists"
)

func TestRun(t *testing.T) {
	for _, c := range []struct {
		args  string
		files map[string]int // and their rows, or -1
	}{
		{"--n 50 --seed 7", map[string]int{"a.csv": 50, "b.csv": 50, "truth.csv": -1}},
		{"--n 50 --one --all-columns", map[string]int{"a.csv": 50, "truth.csv": -1}},
		{"--n 50 --overlap 0", map[string]int{"a.csv": 50, "b.csv": 50, "truth.csv": -1}},
	} {
		dir := filepath.Join(t.TempDir(), "new")
		var out, messages bytes.Buffer
		if err := run(append(strings.Fields(c.args), "--out", dir), &out, &messages); err != nil {
			t.Fatalf("%s: %v", c.args, err)
		}
		if !strings.Contains(out.String(), "contacts/s") || messages.Len() > 0 {
			t.Errorf("%s: said %q and %q", c.args, &out, &messages)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != len(c.files) {
			t.Errorf("%s: wrote %v", c.args, entries)
		}
		for file, rows := range c.files {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			got, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			if rows >= 0 && len(got)-1 != rows {
				t.Errorf("%s: %s has %d rows", c.args, file, len(got)-1)
			}
			if strings.Contains(c.args, "--all-columns") && file == "a.csv" && len(got[0]) != len(lists.AllColumns()) {
				t.Errorf("%s: columns %q", c.args, got[0])
			}
			for _, pair := range got[1:] {
				if strings.Contains(c.args, "--overlap 0") && file == "truth.csv" && pair[0] != pair[2] {
					t.Errorf("%s: pair %q", c.args, pair)
				}
			}
		}
	}
}

func TestRunRefused(t *testing.T) {
	for _, args := range []string{"--n x", "--nonsense", "extra"} {
		var out, messages bytes.Buffer
		if err := run(strings.Fields(args), &out, &messages); !errors.Is(err, errUsage) || messages.Len() == 0 {
			t.Errorf("%s: %v, said %q", args, err, &messages)
		}
	}
	dir := t.TempDir()
	for _, args := range []string{"--n -1", "--overlap 2"} {
		var out, messages bytes.Buffer
		if err := run(append(strings.Fields(args), "--out", dir), &out, &messages); !errors.Is(err, lists.ErrOptions) {
			t.Errorf("%s: %v", args, err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, messages bytes.Buffer
	if err := run([]string{"--n", "5", "--out", file}, &out, &messages); err == nil {
		t.Error("wrote into a file as if it were a directory")
	}
}
