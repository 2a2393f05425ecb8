package list

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
	"pgregory.net/rapid"

	"ihyid/contacts"
)

// workbook makes a workbook with the cells of a sheet.
func workbook(t testing.TB, sheet string, rows [][]any, dates ...string) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	if sheet != "Sheet1" {
		if _, err := f.NewSheet(sheet); err != nil {
			t.Fatal(err)
		}
	}
	for i, row := range rows {
		if err := f.SetSheetRow(sheet, fmt.Sprintf("A%d", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	style, err := f.NewStyle(&excelize.Style{NumFmt: 14})
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range dates {
		if err := f.SetCellStyle(sheet, cell, cell, style); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestXLSXReader(t *testing.T) {
	day := time.Date(1980, 3, 5, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, want string
		rows       [][]any
		dates      []string
		opts       ReaderOptions
	}{
		{name: "plain", rows: [][]any{{"First name", "Last name", "DOB"}, {"Houman", "Haddad", "1976-05-07"}},
			want: "2: first_name=Houman last_name=Haddad date_of_birth=1976-05-07\n"},
		{name: "blank rows, short rows", rows: [][]any{{}, {"x", "First name", "Phone"}, {}, {1, "A"}, {nil, "B", "123"}, {nil, "C", "1", nil, ""}},
			want: "4: first_name=A\n5: first_name=B phone=123\n6: first_name=C phone=1\n"},
		{name: "typed dates", rows: [][]any{{"first_name", "dob"}, {"A", day}, {"B", 29285}, {"C", 29285.5}, {"D", 29285}, {"E", 1980}, {"F", 19800305}},
			dates: []string{"B3", "B4"},
			want: "2: first_name=A date_of_birth=1980-03-05\n3: first_name=B date_of_birth=1980-03-05\n" +
				"line 4, column 2 (date_of_birth): " + contacts.ErrDateTime.Error() + "\n" +
				"line 5, column 2 (date_of_birth): " + contacts.ErrDateSerial.Error() + "\n" +
				"line 6, column 2 (date_of_birth): " + contacts.ErrDateYearOnly.Error() + "\n" +
				"7: first_name=F date_of_birth=1980-03-05\n"},
		{name: "numbers", rows: [][]any{{"first_name", "phone", "national_id"}, {"A", 963944555100, 1020304050}, {"B", "0944", 1.5e11}},
			want: "2: first_name=A phone=963944555100 national_id=1020304050\n3: first_name=B phone=0944 national_id=150000000000\n"},
		{name: "errors", rows: [][]any{{"first_name", "last_name"}, {"#N/A", "B"}, {"#1 Ali", "B"}, {"A", "B", "C"}},
			want: "line 2, column 1 (first_name): holds a formula's error\n3: first_name=#1 Ali last_name=B\nline 4: has 3 fields where the header has 2\n"},
		{name: "Arabic digits and signs", rows: [][]any{{"الاسم الأول", "تاريخ الميلاد"}, {"نور\u200f", "٥/١٣/١٩٨٠"}},
			want: "2: first_name=نور date_of_birth=1980-05-13\n"},
		{name: "apostrophe", rows: [][]any{{"first_name", "phone"}, {"A", "'+963"}}, want: "2: first_name=A phone=+963\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := workbook(t, "Sheet1", tc.rows, tc.dates...)
			rows, r := readAll(t, bytes.NewReader(file), tc.opts)
			if got := show(rows); got != tc.want {
				t.Errorf("got\n%swant\n%s", got, tc.want)
			}
			for i, row := range rows {
				at := Resume{Offset: row.Next.Offset, Line: row.Next.Line, Header: r.Header()}
				rest, _ := readAll(t, bytes.NewReader(file[at.Start():]), ReaderOptions{Resume: &at})
				if got, want := show(rest), show(rows[i+1:]); got != want {
					t.Errorf("from row %d: got\n%swant\n%s", i, got, want)
				}
			}
		})
	}
}

func TestXLSXCells(t *testing.T) {
	s := &xlsxSource{born: 1}
	for _, tc := range []struct{ raw, shown, text, reason string }{
		{"9.63944555E+11", "9.63944555E+11", "963944555000", ""},
		{"1.23456789012346E+17", "1.23457E+17", "", "more than 15 digits"},
		{"5.0", "5", "5", ""},
		{"1.5", "1.5", "1.5", ""},
		{"12345678901234567890", "12345678901234567890", "12345678901234567890", ""},
		{"#DIV/0!", "#DIV/0!", "", "formula's error"},
		{"NaN", "NaN", "NaN", ""},
		{"Inf", "Inf", "Inf", ""},
		{"0x10", "0x10", "0x10", ""},
		{"1_000", "1_000", "1_000", ""},
	} {
		text, reason := s.cell(0, tc.raw, tc.shown)
		if text != tc.text || !strings.Contains(reason, tc.reason) || (reason == "") != (tc.reason == "") {
			t.Errorf("%s: %q, %q", tc.raw, text, reason)
		}
	}
	if text, reason := s.cell(1, "300000", "5/5/2721"); text != "" || reason == "" {
		t.Errorf("a day number out of range: %q", text)
	}
}

func TestXLSXSheets(t *testing.T) {
	file := workbook(t, "العائلات", [][]any{{"first_name"}, {"A"}})
	rows, r := readAll(t, bytes.NewReader(file), ReaderOptions{Sheet: "العائلات"})
	if show(rows) != "2: first_name=A\n" || r.Header().Sheet != "العائلات" {
		t.Errorf("got %s of %s", show(rows), r.Header().Sheet)
	}
	if _, err := NewReader(bytes.NewReader(file), ReaderOptions{}); !errors.Is(err, ErrHeader) {
		t.Errorf("the first sheet is empty: %v", err)
	}
	if _, err := NewReader(bytes.NewReader(file), ReaderOptions{Sheet: "none"}); !errors.Is(err, ErrHeader) {
		t.Errorf("no such sheet: %v", err)
	}
}

func TestXLSX1904(t *testing.T) {
	f := excelize.NewFile()
	defer f.Close()
	yes := true
	if err := f.SetWorkbookProps(&excelize.WorkbookPropsOptions{Date1904: &yes}); err != nil {
		t.Fatal(err)
	}
	style, err := f.NewStyle(&excelize.Style{NumFmt: 14})
	if err != nil {
		t.Fatal(err)
	}
	for cell, v := range map[string]any{"A1": "first_name", "B1": "dob", "A2": "A", "B2": 29285 - 1462} {
		if err := f.SetCellValue("Sheet1", cell, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.SetCellStyle("Sheet1", "B2", "B2", style); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	rows, _ := readAll(t, &b, ReaderOptions{})
	if got := show(rows); got != "2: first_name=A date_of_birth=1980-03-05\n" {
		t.Errorf("got %s", got)
	}
}

// zipOf makes a zip file of parts, each a text repeated.
func zipOf(t testing.TB, parts map[string]string, repeat int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range parts {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		for range repeat {
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestXLSXRefused(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	good := workbook(t, "Sheet1", [][]any{{"first_name"}, {"A"}})
	bomb := zipOf(t, map[string]string{"xl/worksheets/sheet1.xml": strings.Repeat("0", 1<<20)}, 300)
	if len(bomb) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	for name, tc := range map[string]struct {
		file []byte
		err  error
	}{
		"zip bomb":  {bomb, ErrTooLarge},
		"other zip": {zipOf(t, map[string]string{"a.txt": "x"}, 1), ErrFormat},
		"cut off":   {good[:len(good)/2], ErrFormat},
		"only head": {[]byte("PK\x03\x04"), ErrFormat},
		"row out of range": {zipOf(t, map[string]string{
			"[Content_Types].xml": xlsxParts[0].text, "_rels/.rels": xlsxParts[1].text, "xl/workbook.xml": xlsxParts[2].text,
			"xl/_rels/workbook.xml.rels": xlsxParts[3].text,
			"xl/worksheets/sheet1.xml":   `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="2000000000"><c t="inlineStr"><is><t>first_name</t></is></c></row></sheetData></worksheet>`,
		}, 1), ErrFormat},
	} {
		if _, err := NewReader(bytes.NewReader(tc.file), ReaderOptions{}); !errors.Is(err, tc.err) {
			t.Errorf("%s: %v, want %v", name, err, tc.err)
		}
	}
	if _, err := NewReader(io.MultiReader(bytes.NewReader(good), io.LimitReader(zeros{}, MaxXLSXBytes)), ReaderOptions{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too long: %v", err)
	}
	// Nothing may be left, nor ever be put, where temporary files are.
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("temporary files: %v, %v", left, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestJSONLReader(t *testing.T) {
	for _, tc := range []struct {
		name, in, want string
		opts           ReaderOptions
	}{
		{name: "plain", in: `{"first_name":"Houman","last_name":"Haddad","date_of_birth":"1976-05-07"}` + "\n" + `{"last_name":"حداد"}`,
			want: "1: first_name=Houman last_name=Haddad date_of_birth=1976-05-07\n2: last_name=حداد\n"},
		{name: "byte order mark, blank lines, numbers, null", in: "\ufeff{\"First Name\":\"A\",\"phone\":963944,\"dob\":null}\r\n\n  \n{\"prénom\":\"B\"}\n",
			want: "1: first_name=A phone=963944\n4: first_name=B\n"},
		{name: "bad lines", in: `{"first_name":"A"` + "\n[1]\n{}{}\n{\"first_name\":\"B\"} x\n{\"first_name\":[\"C\"]}\n{\"first_name\":\"D\",\"first_name\":\"E\"}\n{\"first_name\":\"F\\ud800\"}\n" +
			"{\"first_name\":\"\xff\"}\n{\"first_name\":\"G\",\"x\":{\"y\":[1,{}]}}\n",
			want: "line 1: is not a JSON object on one line\nline 2: is not a JSON object on one line\nline 3: is not a JSON object on one line\n" +
				"line 4: is not a JSON object on one line\nline 5 (first_name): is neither text nor a number\nline 6 (first_name): stands there twice\n" +
				"7: first_name=F\ufffd\nline 8: is not valid UTF-8\n9: first_name=G\n"},
		{name: "long line", in: `{"first_name":"` + strings.Repeat("x", 10<<20) + "\"}\n" + `{"first_name":"A"}`,
			want: "line 1: is a row longer than 65536 bytes\n2: first_name=A\n"},
		{name: "mapped", in: `{"n":"A","first_name":"B"}`, opts: ReaderOptions{Format: JSONL, Map: map[string]string{"n": "last_name", "first_name": "-"}},
			want: "1: last_name=A\n"},
		{name: "deep", in: `{"x":` + strings.Repeat("[", 30000) + "}\n" + `{"first_name":"A"}`, want: "line 1: is not a JSON object on one line\n2: first_name=A\n"},
		{name: "dates", in: `{"first_name":"A","dob":"03/04/1980"}`, want: "line 1 (date_of_birth): " + contacts.ErrDateAmbiguous.Error() + "\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, r := readAll(t, strings.NewReader(tc.in), tc.opts)
			if got := show(rows); got != tc.want {
				t.Errorf("got\n%swant\n%s", got, tc.want)
			}
			if len(tc.in) > 100_000 {
				return
			}
			for i, row := range rows {
				at := Resume{Offset: row.Next.Offset, Line: row.Next.Line, Header: r.Header()}
				rest, _ := readAll(t, strings.NewReader(tc.in[at.Start():]), ReaderOptions{Resume: &at})
				if got, want := show(rest), show(rows[i+1:]); got != want {
					t.Errorf("from row %d: got\n%swant\n%s", i, got, want)
				}
			}
		})
	}
	_, r := readAll(t, strings.NewReader(`{"first_name":"A","shoe":1,"colour":2}`), ReaderOptions{})
	if got := strings.Join(r.Unknown(), "|"); got != "colour|shoe" {
		t.Errorf("unknown: %s", got)
	}
}

func TestHeadersOfSurveyTools(t *testing.T) {
	in := "start,_uuid,group_a/1.2 First name*,group_a/family_name,D.O.B.,Sexe,N° de téléphone,Numéro de téléphone\n2020,x,A,B,1980-01-02,Femme,1,+963\n"
	rows, _ := readAll(t, strings.NewReader(in), ReaderOptions{})
	if got, want := show(rows), "2: first_name=A last_name=B date_of_birth=1980-01-02 sex=F phone=+963\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	in = "Прізвище;Ім'я;По батькові;Дата народження;Стать\nШевченко;Тарас;Григорович;9.03.1914;чол\n"
	rows, _ = readAll(t, strings.NewReader(in), ReaderOptions{})
	if got, want := show(rows), "2: first_name=Тарас last_name=Шевченко father_first_name=Григорович date_of_birth=1914-03-09 sex=M\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What is exported in any format is imported unchanged.
func TestFormatsRoundTrip(t *testing.T) {
	value := rapid.OneOf(rapid.StringMatching(`['=+@"\\<&-]{0,3}[a-zA-Z]{1,5}['=]{0,2}`), rapid.String(), rapid.StringMatching(`[ء-ي' -]{0,9}`))
	for _, format := range []Format{XLSX, JSONL} {
		t.Run(string(format), rapid.MakeCheck(func(t *rapid.T) {
			var all []contacts.Contact
			for range rapid.IntRange(0, 4).Draw(t, "n") {
				c := contacts.Contact{DateOfBirth: rapid.SampledFrom([]string{"", "1980-03-04"}).Draw(t, "date")}
				for _, f := range contacts.Fields() {
					if f != contacts.DateOfBirth && f != contacts.Sex {
						c.Set(f, value.Draw(t, f.String()))
					}
				}
				if c.Clean(); c.Validate() == nil && !strings.Contains(fmt.Sprint(c), "\ufffd") && !strings.Contains(fmt.Sprint(c), "#") && !strings.Contains(fmt.Sprint(c), "_x") {
					all = append(all, c)
				}
			}
			var file bytes.Buffer
			w, err := NewWriter(&file, WriterOptions{Format: format, Extra: []string{"note"}})
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				if err := w.Write(&all[i], "=x"); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := NewReader(&file, ReaderOptions{Format: format})
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				row, err := r.Next()
				if err != nil || row.Err != nil || row.Contact != all[i] {
					t.Fatalf("row %d: %+q, %v, %v; want %+q", i, row.Contact, row.Err, err, all[i])
				}
			}
			if _, err := r.Next(); err != io.EOF {
				t.Fatalf("more rows than written: %v", err)
			}
		}))
	}
}

func FuzzJSONLReader(f *testing.F) {
	f.Add([]byte(`{"first_name":"A","dob":"1980-01-01","x":[1]}` + "\n{}\n"))
	f.Add([]byte("{\"first_name\":\"\\u0000\"}\n{\"first_name\":1e9}"))
	f.Fuzz(func(t *testing.T, file []byte) { fuzzReader(t, file, JSONL) })
}

func FuzzXLSXReader(f *testing.F) {
	f.Add(workbook(f, "Sheet1", [][]any{{"first_name", "dob"}, {"A", 29285}, {"B", time.Unix(0, 0)}}, "B2"))
	f.Add(zipOf(f, map[string]string{"xl/workbook.xml": xlsxParts[2].text}, 1))
	f.Fuzz(func(t *testing.T, file []byte) { fuzzReader(t, file, XLSX) })
}

// fuzzReader checks what holds for any file: the reader ends, moves on, and gives valid contacts or errors without values.
func fuzzReader(t *testing.T, file []byte, format Format) {
	r, err := NewReader(bytes.NewReader(file), ReaderOptions{Format: format})
	if err != nil {
		return
	}
	var last Position
	for {
		row, err := r.Next()
		if err != nil {
			return
		}
		if row.Err == nil && row.Contact.Validate() != nil {
			t.Fatal("an invalid contact")
		}
		if row.Next.Offset <= last.Offset {
			t.Fatalf("line %d ends at %v, behind %v", row.Line, row.Next, last)
		}
		last = row.Next
	}
}
