package lists_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ihyid/test/lists"
)

// Every layout holds the same contacts, and any reader of CSV gets them back.
func TestLayouts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := lists.AllColumns()
		columns = rapid.Permutation(columns).Draw(t, "columns")
		columns = columns[:rapid.IntRange(1, len(columns)).Draw(t, "kept")]
		if !slices.Contains(columns, "external_id") {
			columns = append(columns, "external_id")
		}
		l := lists.Layout{
			Separator: rapid.SampledFrom([]byte{0, ',', ';', '|', '\t'}).Draw(t, "separator"),
			Columns:   columns,
			Header:    rapid.SampledFrom([]lists.Header{"", "en", "fr", "ar"}).Draw(t, "header"),
			Dates:     rapid.SampledFrom([]lists.DateForm{"", lists.DateSlash, lists.DateDots}).Draw(t, "dates"),
			BOM:       rapid.Bool().Draw(t, "bom"), CRLF: rapid.Bool().Draw(t, "crlf"), Quoted: rapid.Bool().Draw(t, "quoted"),
		}
		p, err := lists.New(lists.Options{
			Seed: 1, N: 40, Organisations: []lists.Organisation{{Name: "x", Arabic: .3, Layout: l}},
			Include: []lists.Inclusion{{Contact: lists.Contact{FirstName: `Q"u,o;t|e` + "\t", LastName: "B\nC", DateOfBirth: "2000-02-01"}, Lists: []int{0}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := p.WriteCSV(&b, 0); err != nil {
			t.Fatal(err)
		}
		text, mark := bytes.CutPrefix(b.Bytes(), []byte("\ufeff"))
		if mark != l.BOM || bytes.HasSuffix(text, []byte("\r\n")) != l.CRLF {
			t.Fatalf("byte order mark %v, CRLF %v", mark, !l.CRLF)
		}
		r := csv.NewReader(bytes.NewReader(text))
		if l.Separator != 0 {
			r.Comma = rune(l.Separator)
		}
		got, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if l.Header == lists.HeaderFormat && !slices.Equal(got[0], columns) {
			t.Fatalf("columns %q instead of %q", got[0], columns)
		}
		i := 0
		for c := range p.Contacts(0) {
			i++
			want := make([]string, len(columns))
			for j, name := range columns {
				want[j] = value(&c, name, l.Dates)
			}
			if !slices.Equal(got[i], want) {
				t.Fatalf("row %d is %q instead of %q", i, got[i], want)
			}
		}
		if i != len(got)-1 {
			t.Fatalf("%d rows instead of %d", len(got)-1, i)
		}
	})
}

func value(c *lists.Contact, column string, dates lists.DateForm) string {
	switch column {
	case "external_id":
		return c.ExternalID
	case "first_name":
		return c.FirstName
	case "last_name":
		return c.LastName
	case "mother_first_name":
		return c.MotherFirstName
	case "father_first_name":
		return c.FatherFirstName
	case "sex":
		return c.Sex
	case "phone":
		return c.Phone
	case "national_id":
		return c.NationalID
	case "household_id":
		return c.HouseholdID
	case "location":
		return c.Location
	}
	layout := map[lists.DateForm]string{lists.DateISO: "2006-01-02", lists.DateSlash: "02/01/2006", lists.DateDots: "02.01.2006"}[dates]
	born, err := time.Parse(time.DateOnly, c.DateOfBirth)
	if err != nil {
		return err.Error()
	}
	return born.Format(layout)
}

// A writer that fails stops the writing, with its error.
func TestWriterFails(t *testing.T) {
	p, err := lists.New(lists.Options{N: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(io.Writer) error{
		"list":  func(w io.Writer) error { return p.WriteCSV(w, 0) },
		"truth": p.WriteTruth,
	} {
		for _, room := range []int{0, 100_000} {
			w := &failing{room: room}
			if err := write(w); !errors.Is(err, errFull) {
				t.Errorf("%s, room for %d bytes: %v", name, room, err)
			}
			if w.after > 0 {
				t.Errorf("%s, room for %d bytes: wrote on after the error", name, room)
			}
		}
	}
}

var errFull = errors.New("full")

type failing struct {
	room, after int
	failed      bool
}

func (w *failing) Write(b []byte) (int, error) {
	if w.failed {
		w.after++
	}
	if w.room -= len(b); w.room < 0 {
		w.failed = true
		return 0, errFull
	}
	return len(b), nil
}
