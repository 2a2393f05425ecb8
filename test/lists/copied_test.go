package lists_test

import (
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ihyid/test/lists"
)

// sharedData finds the folder of data for measuring, which is no part of the project; the test is skipped without it.
func sharedData(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("IHYID_SHARED_DATA"); dir != "" {
		return dir
	}
	for up := ".."; len(up) < 30; up = filepath.Join(up, "..") {
		dir := filepath.Join(up, "shared", "data")
		if _, err := os.Stat(filepath.Join(dir, "registers")); err == nil {
			return dir
		}
	}
	t.Skip("SKIPPED: there is no folder of data for measuring here; set IHYID_SHARED_DATA to it")
	return ""
}

// Nobody in the shipped lists stands in the registers for measuring.
func TestNobodyCopied(t *testing.T) {
	dir := sharedData(t)
	type person [5]string
	ours := make(map[person]bool)
	s, err := lists.Generate(lists.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range s.Lists {
		for _, c := range l.Contacts {
			ours[person{skeleton(c.FirstName), skeleton(c.LastName), skeleton(c.MotherFirstName), skeleton(c.FatherFirstName), c.DateOfBirth}] = true
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "registers", "*", "[ab].csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no registers in %s: %v", dir, err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := csv.NewReader(f)
		rows := 0
		for {
			row, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if rows++; ours[person{skeleton(row[1]), skeleton(row[2]), skeleton(row[3]), skeleton(row[4]), row[5]}] {
				t.Errorf("row %d of %s is in the shipped lists", rows, filepath.Base(file))
			}
		}
		if rows < 1000 {
			t.Errorf("%s has %d rows", file, rows)
		}
	}
}

// The tables of names are not those for measuring: common names are in both, but few with the very same spellings in the same order.
func TestTablesNotCopied(t *testing.T) {
	dir := sharedData(t)
	for ours, theirs := range map[string]string{"male": "given_male", "female": "given_female", "family": "family_aliases"} {
		text, err := os.ReadFile(filepath.Join(dir, "names", theirs+".tsv"))
		if errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("no table %s in %s", theirs, dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := make(map[string]bool)
		for line := range strings.Lines(string(text)) {
			lines[strings.TrimSpace(line)] = true
		}
		text, err = os.ReadFile(filepath.Join("tables", ours+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		rows, same := 0, 0
		for line := range strings.Lines(string(text)) {
			parts := strings.Split(strings.TrimSpace(line), " | ")
			if strings.HasPrefix(line, "#") || len(parts) != 3 {
				continue
			}
			rows++
			if lines[parts[2]+"\t"+strings.ReplaceAll(parts[0], ", ", "|")] {
				same++
			}
		}
		t.Logf("%s: %d of %d rows have the same Arabic and English spellings as %s", ours, same, rows, theirs)
		if same*4 > rows {
			t.Errorf("%s: %d of %d rows are those of %s", ours, same, rows, theirs)
		}
	}
}
