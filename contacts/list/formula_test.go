package list

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
)

// formulas is a workbook as a program makes it that computes nothing: names in A and B, a formula for the father's name in C, one that is nobody's
// business in D. edit changes the workbook before, patch the XML of its sheet after it was written.
func formulas(t *testing.T, edit func(*excelize.File), patch func(string) string) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	for _, row := range [][]any{
		{"first_name", "last_name", "father_first_name", "remark"},
		{"Amal", "Khoury", nil, "a"},
		{"Secret", "Haddad", nil, "b"},
		{"Rana", "Nasser", "Samir", nil},
	} {
		cell := "A" + string(rune('1'+len(mustRows(t, f))))
		if err := f.SetSheetRow("Sheet1", cell, &row); err != nil {
			t.Fatal(err)
		}
	}
	for cell, formula := range map[string]string{"C3": `=PROPER("x")&B2`, "D4": "=A2&B2"} {
		if err := f.SetCellFormula("Sheet1", cell, formula); err != nil {
			t.Fatal(err)
		}
	}
	if edit != nil {
		edit(f)
	}
	var out bytes.Buffer
	if err := f.Write(&out); err != nil {
		t.Fatal(err)
	}
	if patch == nil {
		return out.Bytes()
	}
	in, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var patched bytes.Buffer
	w := zip.NewWriter(&patched)
	for _, part := range in.File {
		r, err := part.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if part.Name == "xl/worksheets/sheet1.xml" {
			now := patch(string(b))
			if now == string(b) {
				t.Fatal("the patch changed nothing")
			}
			b = []byte(now)
		}
		p, err := w.Create(part.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return patched.Bytes()
}

func mustRows(t *testing.T, f *excelize.File) [][]string {
	t.Helper()
	rows, err := f.GetRows("Sheet1")
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// A formula whose value was never stored does not come in as an empty cell: that row is refused and says what to do. One in a column that no
// field is named by takes nothing from its row.
func TestFormulaWithoutValue(t *testing.T) {
	yes := true
	whole := func(value string) func(string) string {
		return func(s string) string {
			s = strings.Replace(s, `<c r="C3" t="str"`, `<c r="C3"`, 1)
			return strings.Replace(s, "&amp;B2</f>", "&amp;B2</f>"+value, 1)
		}
	}
	const refused = "line 3, column 3 (father_first_name): " + noValue + "\n"
	for _, tc := range []struct {
		name  string
		edit  func(*excelize.File)
		patch func(string) string
		want  string // of row 3
	}{
		{name: "without a value", want: refused},
		{name: "with an empty element, as openpyxl writes it", patch: whole("<v></v>"), want: refused},
		{name: "with an empty element, written short", patch: whole("<v/>"), want: refused},
		{
			name: "with 0 and the wish to be computed, as XlsxWriter writes it", patch: whole("<v>0</v>"), want: refused,
			edit: func(f *excelize.File) {
				if err := f.SetCalcProps(&excelize.CalcPropsOptions{FullCalcOnLoad: &yes}); err != nil {
					t.Fatal(err)
				}
			},
		},
		{name: "with a value", patch: whole("<v>Joseph</v>"), want: "3: first_name=Secret last_name=Haddad father_first_name=Joseph\n"},
		{
			name: "with an empty text for a value", want: "3: first_name=Secret last_name=Haddad\n",
			patch: func(s string) string {
				return strings.Replace(whole("<v></v>")(s), `<c r="C3"`, `<c r="C3" t="str"`, 1)
			},
		},
		{
			name: "shared with another cell", want: refused,
			patch: func(s string) string {
				from := strings.Index(s, `<c r="C3"`)
				end := from + strings.Index(s[from:], "</c>")
				return s[:from] + `<c r="C3"><f t="shared" si="0"/>` + s[end:]
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, r := readAll(t, bytes.NewReader(formulas(t, tc.edit, tc.patch)), ReaderOptions{})
			want := "2: first_name=Amal last_name=Khoury\n" + tc.want + "4: first_name=Rana last_name=Nasser father_first_name=Samir\n"
			if got := show(rows); got != want {
				t.Errorf("%s\nwant %s", got, want)
			}
			if u := r.Unknown(); len(u) != 1 || u[0] != "remark" {
				t.Errorf("not read: %q", u)
			}
			// An import that goes on in the middle says the same.
			at := rows[0].Next
			rest, _ := readAll(t, bytes.NewReader(formulas(t, tc.edit, tc.patch)),
				ReaderOptions{Resume: &Resume{Offset: at.Offset, Line: at.Line, Header: r.Header()}})
			if got := show(rest); got != show(rows[1:]) {
				t.Errorf("going on: %s", got)
			}
		})
	}
}

func TestFormulaInHeader(t *testing.T) {
	file := formulas(t, func(f *excelize.File) {
		if err := f.SetCellFormula("Sheet1", "B1", `="last"&"_name"`); err != nil {
			t.Fatal(err)
		}
	}, func(s string) string {
		from := strings.Index(s, `<c r="B1"`)
		end := from + strings.Index(s[from:], "</c>")
		return s[:from] + `<c r="B1"><f>"last"</f>` + s[end:]
	})
	if _, err := NewReader(bytes.NewReader(file), ReaderOptions{}); !errors.Is(err, ErrHeader) || !strings.Contains(err.Error(), "open it in a spreadsheet program") {
		t.Error(err)
	}
}

// XML that is not well formed does not end the list early and in silence.
func TestDamagedSheet(t *testing.T) {
	for name, patch := range map[string]func(string) string{
		"cut off":             func(s string) string { return s[:strings.Index(s, `<row r="4"`)] },
		"a control character": func(s string) string { return strings.Replace(s, "<row r=\"3\"", "\x0b<row r=\"3\"", 1) },
		"crossed elements":    func(s string) string { return strings.Replace(s, "</row><row r=\"3\"", "</c></row><row r=\"3\"", 1) },
	} {
		_, err := NewReader(bytes.NewReader(formulas(t, nil, patch)), ReaderOptions{})
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "damaged") || strings.Contains(err.Error(), "Secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
