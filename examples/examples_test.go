package examples_test

import (
	"bytes"
	"encoding/csv"
	"io/fs"
	"strings"
	"testing"

	"ihyid/examples"
	"ihyid/test/lists"
)

// The shipped files are what the generator makes, byte for byte.
func TestFilesAreGenerated(t *testing.T) {
	p, err := lists.New(lists.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	same := func(file string, write func(b *bytes.Buffer) error) {
		t.Helper()
		var want bytes.Buffer
		if err := write(&want); err != nil {
			t.Fatal(err)
		}
		got, err := fs.ReadFile(examples.FS(), file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s is not what the generator makes: run go generate ./examples", file)
		}
	}
	for i := range p.Lists() {
		same(p.Organisation(i).Name+".csv", func(b *bytes.Buffer) error { return p.WriteCSV(b, i) })
	}
	same(examples.TruthFile, func(b *bytes.Buffer) error { return p.WriteTruth(b) })
}

// What the package says of the organisations is so of their files.
func TestOrganisations(t *testing.T) {
	shipped := lists.Shipped().Organisations
	orgs := examples.Organisations()
	if len(orgs) != len(shipped) {
		t.Fatalf("%d organisations, %d lists", len(orgs), len(shipped))
	}
	for i, o := range orgs {
		list, err := o.List()
		if err != nil {
			t.Fatal(err)
		}
		if o.ID != shipped[i].Name || o.File != o.ID+".csv" {
			t.Errorf("organisation %d is %q with file %q, the list %q", i, o.ID, o.File, shipped[i].Name)
		}
		if rows := len(readCSV(t, list, shipped[i].Layout.Separator)) - 1; rows != o.Contacts {
			t.Errorf("%s has %d rows, says %d", o.File, rows, o.Contacts)
		}
	}
}

// The contact of the documentation is in the first two lists, and the truth says so.
func TestHoumanHaddad(t *testing.T) {
	want := map[string]string{"first_name": "Houman", "last_name": "Haddad", "mother_first_name": "Barbara",
		"father_first_name": "Michael", "date_of_birth": "1976-05-07"}
	var ids []string
	for i, o := range examples.Organisations()[:2] {
		list, err := o.List()
		if err != nil {
			t.Fatal(err)
		}
		rows := readCSV(t, list, lists.Shipped().Organisations[i].Layout.Separator)
		for _, row := range rows[1:] {
			got := make(map[string]string)
			for j, column := range rows[0] {
				got[column] = row[j]
			}
			all := true
			for k, v := range want {
				all = all && got[k] == v
			}
			if all {
				ids = append(ids, o.ID, got["external_id"])
			}
		}
	}
	if len(ids) != 4 {
		t.Fatalf("found at %q", ids)
	}
	truth, err := fs.ReadFile(examples.FS(), examples.TruthFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(truth, []byte("\n"+strings.Join(ids, ",")+"\n")) {
		t.Errorf("the truth is without %q", ids)
	}
}

// readCSV reads a list with the standard library, as anybody might.
func readCSV(t *testing.T, list []byte, separator byte) [][]string {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(list, []byte("\ufeff"))))
	if separator != 0 {
		r.Comma = rune(separator)
	}
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
