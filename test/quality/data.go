package quality

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ihyid/contacts"
	"ihyid/contacts/list"
)

// ErrNoData is returned where the folder of measuring data, or a file of it, is not there.
var ErrNoData = errors.New("the measuring data is absent; set IHYID_SHARED_DATA to its folder")

// Data finds a file in the folder of measuring data: IHYID_SHARED_DATA, or shared/data in a directory above.
func Data(elem ...string) (string, error) {
	roots := []string{os.Getenv("IHYID_SHARED_DATA")}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		roots = append(roots, filepath.Join(dir, "shared", "data"))
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for _, root := range roots {
		if root == "" {
			continue
		}
		path := filepath.Join(append([]string{root}, elem...)...)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", ErrNoData
}

// DataNames are the names of the measuring data: given names and family names in Arabic script with Latin spellings.
func DataNames() (n Names, err error) {
	for _, f := range []struct {
		file string
		into *[]Name
	}{{"given_female.tsv", &n.Female}, {"given_male.tsv", &n.Male}, {"family_aliases.tsv", &n.Family}} {
		path, err := Data("names", f.file)
		if err != nil {
			return n, err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return n, err
		}
		for line := range strings.Lines(string(text)) {
			if a, l, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
				*f.into = append(*f.into, Name{a, strings.Split(l, "|")})
			}
		}
	}
	return n, nil
}

// readList reads a list in the import format; rows in error are left out, as an import does.
func readList(path string) ([]contacts.Contact, map[string]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r, err := list.NewReader(f, list.ReaderOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	var all []contacts.Contact
	place := map[string]int{}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, place, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		if row.Err == nil {
			place[row.Contact.ExternalID] = len(all)
			all = append(all, row.Contact)
		}
	}
}

// DataRegister reads two lists and their truth from the folder registers.
func DataRegister(name string) (l Lists, err error) {
	dir, err := Data("registers", name)
	if err != nil {
		return l, err
	}
	var inA, inB map[string]int
	if l.A, inA, err = readList(filepath.Join(dir, "a.csv")); err != nil {
		return l, err
	}
	if l.B, inB, err = readList(filepath.Join(dir, "b.csv")); err != nil {
		return l, err
	}
	rows, err := readCSV(filepath.Join(dir, "truth.csv"))
	if err != nil {
		return l, err
	}
	for _, r := range rows[1:] {
		a, okA := inA[r[0]]
		b, okB := inB[r[1]]
		if !okA || !okB {
			a, b = -1, -1-len(l.Truth) // a row that the import refused is a pair that cannot be found
		}
		l.Truth = append(l.Truth, [2]int{a, b})
	}
	return l, nil
}

func readCSV(path string) ([][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.TrimLeadingSpace = true
	rows, err := r.ReadAll()
	if err == nil && len(rows) == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rows, nil
}

// DataFEBRL reads a FEBRL data set as two lists, originals and duplicates, with three fields or with five (the number for social
// security and the suburb too). Each original has its first duplicate only: two lists of different people.
func DataFEBRL(file string, five bool) (l Lists, err error) {
	path, err := Data("febrl", file)
	if err != nil {
		return l, err
	}
	rows, err := readCSV(path)
	if err != nil {
		return l, err
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[strings.TrimSpace(name)] = i
	}
	contact := func(row []string) contacts.Contact {
		get := func(name string) string { return strings.TrimSpace(row[column[name]]) }
		c := contacts.Contact{FirstName: get("given_name"), LastName: get("surname")}
		if d := get("date_of_birth"); len(d) == 8 {
			// Slips made days such as 1924-05-82: they stay as they are, as an import that accepts everything would have it.
			c.DateOfBirth = d[:4] + "-" + d[4:6] + "-" + d[6:]
		}
		if five {
			c.NationalID, c.Location = get("soc_sec_id"), get("suburb")
		}
		return c
	}
	original, seen := map[string]int{}, map[string]bool{}
	for _, row := range rows[1:] {
		if id := strings.Split(row[0], "-"); id[2] == "org" {
			original[id[1]] = len(l.A)
			l.A = append(l.A, contact(row))
		}
	}
	for _, row := range rows[1:] {
		if id := strings.Split(row[0], "-"); id[2] == "dup" && !seen[id[1]] {
			seen[id[1]] = true
			l.Truth = append(l.Truth, [2]int{original[id[1]], len(l.B)})
			l.B = append(l.B, contact(row))
		}
	}
	return l, nil
}

// DataCyrillic are the pairs of Latin and Cyrillic spellings of the measuring data.
func DataCyrillic() ([]NamePair, error) {
	path, err := Data("pairs", "wikidata_russian.tsv")
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var pairs []NamePair
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		p := NamePair{Latin: f[0], Native: strings.ReplaceAll(f[1], " ", "")}
		for _, d := range f[2] {
			p.Count = p.Count*10 + int(d-'0')
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// NamePair is a name in two scripts, and how many people it was seen with.
type NamePair struct {
	Latin, Native string
	Count         int
}
