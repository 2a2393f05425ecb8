package list

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"ihyid/contacts"
)

// readAll reads a list to its end; every row as one line of text.
func readAll(t testing.TB, in io.Reader, opts ReaderOptions) ([]Row, *Reader) {
	t.Helper()
	r, err := NewReader(in, opts)
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	for {
		row, err := r.Next()
		if err == io.EOF {
			return rows, r
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
}

func show(rows []Row) string {
	var b strings.Builder
	for _, row := range rows {
		if row.Err != nil {
			fmt.Fprintln(&b, row.Err)
			continue
		}
		fmt.Fprintf(&b, "%d:", row.Line)
		for _, f := range contacts.Fields() {
			if v := row.Contact.Value(f); v != "" {
				fmt.Fprintf(&b, " %s=%s", f, v)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestCSVReader(t *testing.T) {
	long := strings.Repeat("x", 10<<20)
	for _, tc := range []struct {
		name, in, want string
		opts           ReaderOptions
	}{
		{name: "plain", in: "first_name,last_name,date_of_birth\nHouman,Haddad,1976-05-07\n",
			want: "2: first_name=Houman last_name=Haddad date_of_birth=1976-05-07\n"},
		{name: "no last line break", in: "first_name\nHouman", want: "2: first_name=Houman\n"},
		{name: "any order, unknown columns", in: "shoe size,dob,Last Name,FIRST_NAME\n44,1976-05-07,Haddad,Houman\n",
			want: "2: first_name=Houman last_name=Haddad date_of_birth=1976-05-07\n"},
		{name: "byte order mark, CRLF", in: "\ufefffirst_name,last_name\r\nHouman,Haddad\r\n\r\n",
			want: "2: first_name=Houman last_name=Haddad\n"},
		{name: "semicolon", in: "first_name;last_name\nA, B;C\n", want: "2: first_name=A, B last_name=C\n"},
		{name: "tab", in: "first_name\tlast_name\nA;B\tC,D\n", want: "2: first_name=A;B last_name=C,D\n"},
		{name: "sep line", in: "sep=;\nfirst_name;x,last_name\nA;B\n", want: "3: first_name=A\n"},
		{name: "comma given", in: "first_name|last_name\nA|B\n", opts: ReaderOptions{Comma: '|'}, want: "2: first_name=A last_name=B\n"},
		{name: "blank rows", in: "\n\nfirst_name,last_name\n\nA,B\n,\n  ,\t\n\nC,D\n\n", want: "5: first_name=A last_name=B\n9: first_name=C last_name=D\n"},
		{name: "quotes", in: "first_name,location\n\"A\",\"x, \"\"y\"\"\nz\"\nB,\"\"\n", want: "2: first_name=A location=x, \"y\" z\n4: first_name=B\n"},
		{name: "quoted header", in: "\"first_name\",\"last_name\"\r\n\"A\",\"B\"\r\n", want: "2: first_name=A last_name=B\n"},
		{name: "Arabic", in: "الاسم الأول;الكنية\nياسر;السبزواري\n", want: "2: first_name=ياسر last_name=السبزواري\n"},
		{name: "survey tool", in: "_uuid,group_ab1/first_name,group_ab1/family_name\nx,A,B\n", want: "2: first_name=A last_name=B\n"},
		{name: "two telephones, three places", in: "first_name,mobile,phone,city,village,district\nA,1,2,x,y,z\n", want: "2: first_name=A phone=2 location=x\n"},
		{name: "mapped", in: "col1,first_name,col3\nA,B,C\n", opts: ReaderOptions{Map: map[string]string{"col1": "first_name", "col3": "last_name"}},
			want: "2: first_name=A last_name=C\n"},
		{name: "left out", in: "first_name,last_name\nA,B\n", opts: ReaderOptions{Map: map[string]string{"last_name": "-"}}, want: "2: first_name=A\n"},
		{name: "formula guards", in: "first_name,phone,location\nA,'+963,''=x\n'Abd,+963,'x\n",
			want: "2: first_name=A phone=+963 location='=x\n3: first_name='Abd phone=+963 location='x\n"},
		{name: "day order", in: "first_name,dob\nA,03/04/1980\n", opts: ReaderOptions{Dates: contacts.Dates{Order: contacts.OrderDayMonth}},
			want: "2: first_name=A date_of_birth=1980-04-03\n"},

		{name: "too few and too many", in: "first_name,last_name\nA\nB,C\nD,E,F\nG,H\n",
			want: "line 2: has 1 field where the header has 2\n3: first_name=B last_name=C\nline 4: has 3 fields where the header has 2\n5: first_name=G last_name=H\n"},
		{name: "200 columns", in: "first_name,last_name\n" + strings.Repeat("x,", 199) + "x\nG,H\n",
			want: "line 2: has 200 fields where the header has 2\n3: first_name=G last_name=H\n"},
		{name: "200 quoted columns", in: "first_name,last_name\n" + strings.Repeat("\"x\",", 199) + "x\nG,H\n",
			want: "line 2, column 101: is one of more than 100 fields\n3: first_name=G last_name=H\n"},
		{name: "bare quote", in: "first_name,last_name\nA,B\"C\nD,E\n",
			want: "line 2, column 2 (last_name): holds a quote but is not quoted\n3: first_name=D last_name=E\n"},
		{name: "after quote", in: "first_name,last_name\n\"A\"x,B\nD,E\n",
			want: "line 2, column 1 (first_name): goes on behind its closing quote\n3: first_name=D last_name=E\n"},
		{name: "unterminated", in: "first_name,last_name\nA,\"B\nD,E\nF,G\n",
			want: "line 2, column 2 (last_name): has no closing quote\n3: first_name=D last_name=E\n4: first_name=F last_name=G\n"},
		{name: "unterminated, then quotes", in: "first_name,last_name\nA,\"B\n\"D\",\"E\"\nF,G\n",
			want: "line 2, column 2 (last_name): goes on behind its closing quote\n3: first_name=D last_name=E\n4: first_name=F last_name=G\n"},
		{name: "quote swallowing a row", in: "first_name,last_name\n\"A,B\nD,\"\nF,G\n",
			want: "line 2: has quotes that do not pair up\nline 3, column 2 (last_name): has no closing quote\n4: first_name=F last_name=G\n"},
		{name: "unterminated far", in: "first_name,last_name\nA,\"B\n" + strings.Repeat("D,E\n", 100_000),
			want: "line 2, column 2 (last_name): has no closing quote\n" + lines(3, 100_000, "first_name=D last_name=E")},
		{name: "not UTF-8", in: "first_name,last_name\nA,\xc7\xe1\nD,E\n",
			want: "line 2, column 2 (last_name): is not valid UTF-8\n3: first_name=D last_name=E\n"},
		{name: "NUL", in: "first_name,last_name\nA,B\x00\nD,E\n",
			want: "line 2, column 2 (last_name): holds a control character\n3: first_name=D last_name=E\n"},
		{name: "10 MB field", in: "first_name,last_name\nA," + long + "\nD,E\n",
			want: "line 2: is a row longer than 65536 bytes\n3: first_name=D last_name=E\n"},
		{name: "10 MB quoted field", in: "first_name,last_name\nA,\"" + long + "\"\nD,E\n",
			want: "line 2: is a row longer than 65536 bytes\n3: first_name=D last_name=E\n"},
		{name: "10 MB at the end", in: "first_name,last_name\nA," + long, want: "line 2: is a row longer than 65536 bytes\n"},
		{name: "90 KB of rows in quotes", in: "first_name,last_name\nA,\"B\n" + strings.Repeat("xy\n", 30000) + "\"\nD,E\n",
			want: "line 2, column 2 (last_name): is a row longer than 65536 bytes\n" + manyErrors(3, 30000, "has 1 field where the header has 2") +
				"line 30003, column 1 (first_name): has no closing quote\n30004: first_name=D last_name=E\n"},
		{name: "long field", in: "first_name,last_name\nA," + long[:MaxFieldBytes+1] + "\nD,E\n",
			want: "line 2, column 2 (last_name): is longer than 4096 bytes\n3: first_name=D last_name=E\n"},
		{name: "long name", in: "first_name,last_name\nA," + long[:201] + "\nD,E\n",
			want: "line 2, column 2 (last_name): is longer than 200 characters\n3: first_name=D last_name=E\n"},
		{name: "long cell of no interest", in: "first_name,notes\nA," + long[:MaxFieldBytes+1] + "\nD,E\n", want: "2: first_name=A\n3: first_name=D\n"},
		{name: "dates", in: "dob,first_name\n03/04/1980,A\n1400-01-01,B\n31/02/1980,C\n\u0661\u0669\u0668\u0660-03-05,D\n",
			want: "line 2, column 1 (date_of_birth): may be day/month or month/day; write YYYY-MM-DD, or say which order the file has\n" +
				"line 3, column 1 (date_of_birth): has a year of the Hijri or Persian calendar; convert it to the Gregorian calendar\n" +
				"line 4, column 1 (date_of_birth): is not a date; write YYYY-MM-DD\n5: first_name=D date_of_birth=1980-03-05\n"},
		{name: "nobody", in: "first_name,last_name,mother_name\n,,A\n", want: "line 2, column 1 (first_name): a contact needs a first or a last name\n"},
		{name: "header again", in: "first_name,last_name\nA,B\nfirst_name,last_name\nC,D\n",
			want: "2: first_name=A last_name=B\nline 3: repeats the header\n4: first_name=C last_name=D\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, _ := readAll(t, strings.NewReader(tc.in), tc.opts)
			if got := show(rows); got != tc.want {
				t.Errorf("got\n%.2000s\nwant\n%.2000s", got, tc.want)
			}
			if len(tc.in) < 1000 {
				rows, _ := readAll(t, iotest.OneByteReader(strings.NewReader(tc.in)), tc.opts)
				if got := show(rows); got != tc.want {
					t.Errorf("byte by byte: got\n%s\nwant\n%s", got, tc.want)
				}
			}
		})
	}
}

func lines(from, n int, text string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d: %s\n", from+i, text)
	}
	return b.String()
}

func manyErrors(from, n int, text string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d: %s\n", from+i, text)
	}
	return b.String()
}

func TestCSVHeaderRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		opts ReaderOptions
		err  error
		text string
	}{
		"empty":           {"", ReaderOptions{}, ErrHeader, "empty"},
		"only blank":      {"\n\n", ReaderOptions{}, ErrHeader, "empty"},
		"many blank":      {strings.Repeat("\n", 1<<20), ReaderOptions{}, ErrHeader, "empty lines"},
		"no header":       {"Houman,Haddad\n", ReaderOptions{}, ErrHeader, "neither first_name nor last_name"},
		"twice":           {"first_name,last_name,First Name\n", ReaderOptions{}, ErrHeader, "columns 1 and 3 both hold first_name"},
		"twice phone":     {"first_name,phone,Phone\n", ReaderOptions{}, ErrHeader, "both hold phone"},
		"two surnames":    {"first_name,surname,family name\n", ReaderOptions{}, ErrHeader, "both hold last_name"},
		"101 columns":     {"first_name" + strings.Repeat(",x", 100) + "\n", ReaderOptions{}, ErrHeader, "more than 100 columns"},
		"long":            {"first_name," + strings.Repeat("x", 1<<20) + "\n", ReaderOptions{}, ErrHeader, "longer than"},
		"quotes":          {"first_name,\"x\n", ReaderOptions{}, ErrHeader, "no closing quote"},
		"UTF-16":          {"\xff\xfef\x00i\x00", ReaderOptions{}, ErrEncoding, "UTF-16"},
		"Windows-1256":    {"first_name,\xc7\xe1\n", ReaderOptions{}, ErrEncoding, "UTF-8"},
		"binary":          {"\x7fELF\x00\x00\x01", ReaderOptions{}, ErrFormat, ""},
		"Macintosh":       {"first_name,last_name\rA,B\r", ReaderOptions{}, ErrFormat, "Macintosh"},
		"unknown mapping": {"first_name\n", ReaderOptions{Map: map[string]string{"x": "shoe"}}, ErrHeader, "no field"},
		"missing mapping": {"first_name\n", ReaderOptions{Map: map[string]string{"x": "last_name"}}, ErrHeader, "not in the file"},
		"quote as comma":  {"first_name\n", ReaderOptions{Comma: '"'}, ErrFormat, "delimiter"},
		"bad resume":      {"A\n", ReaderOptions{Resume: &Resume{}}, ErrFormat, ""},
	} {
		_, err := NewReader(strings.NewReader(tc.in), tc.opts)
		if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v, want %v … %s", name, err, tc.err, tc.text)
		}
	}
}

func TestUnknownColumnsAreReported(t *testing.T) {
	_, r := readAll(t, strings.NewReader("shoe size,first_name,colour\n"), ReaderOptions{})
	if got := strings.Join(r.Header().Unknown(), "|"); got != "shoe size|colour" {
		t.Errorf("got %s", got)
	}
}

func TestInputErrorIsNotTheEnd(t *testing.T) {
	broken := errors.New("broken")
	in := io.MultiReader(strings.NewReader("first_name,last_name\nA,B\nC,Dav"), iotest.ErrReader(broken))
	if _, err := NewReader(iotest.OneByteReader(in), ReaderOptions{}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	// Behind the header: the half row must not pass for a row.
	head := "first_name,last_name\n" + strings.Repeat("A,B\n", 100_000)
	in = io.MultiReader(strings.NewReader(head+"C,Dav"), iotest.ErrReader(broken))
	r, err := NewReader(in, ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; ; n++ {
		if _, err = r.Next(); err != nil {
			break
		}
	}
	if !errors.Is(err, broken) || n > 100_000 {
		t.Errorf("after %d rows: %v", n, err)
	}
	if _, again := r.Next(); !errors.Is(again, broken) {
		t.Errorf("asked again: %v", again)
	}
}

// A file read in two parts, at any row, gives the same rows as in one.
func TestResume(t *testing.T) {
	file := "sep=;\r\nlast_name;x;first_name\n\nHaddad;1;Houman\r\n\"Al\nKhatib\";2;\"Om\"\"ar\"\nbad\n;;\nA;\"\nB;;C\n\"\";;'=D\nE;F;G"
	whole, r := readAll(t, strings.NewReader(file), ReaderOptions{})
	for i, row := range whole {
		at := Resume{Offset: row.Next.Offset, Line: row.Next.Line, Header: r.Header()}
		rest, _ := readAll(t, strings.NewReader(file[at.Offset:]), ReaderOptions{Resume: &at})
		if got, want := show(rest), show(whole[i+1:]); got != want {
			t.Errorf("from row %d: got\n%swant\n%s", i, got, want)
		}
	}
}

// What is exported is imported unchanged.
func TestRoundTrip(t *testing.T) {
	value := rapid.OneOf(rapid.StringMatching(`['=+@\-",;\t\r\n ]{0,4}[a-zA-Z]{1,5}["',;]{0,2}`), rapid.String(),
		rapid.StringMatching(`[ء-ي' -]{0,9}`))
	rapid.Check(t, func(t *rapid.T) {
		var list []contacts.Contact
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			c := contacts.Contact{DateOfBirth: rapid.SampledFrom([]string{"", "1980-03-04"}).Draw(t, "date"), Sex: rapid.SampledFrom([]string{"", "F"}).Draw(t, "sex")}
			for _, f := range contacts.Fields() {
				if f != contacts.DateOfBirth && f != contacts.Sex {
					c.Set(f, value.Draw(t, f.String()))
				}
			}
			if c.Clean(); c.Validate() == nil {
				list = append(list, c)
			}
		}
		opts := WriterOptions{
			Comma: rapid.SampledFrom([]rune{0, ';', '\t', '|'}).Draw(t, "comma"), Extra: []string{"note"}, BOM: rapid.Bool().Draw(t, "bom"),
		}
		var file bytes.Buffer
		w, err := NewWriter(&file, opts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			if err := w.Write(&list[i], value.Draw(t, "extra")); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := NewReader(&file, ReaderOptions{Comma: opts.Comma})
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			row, err := r.Next()
			if err != nil || row.Err != nil || row.Contact != list[i] {
				t.Fatalf("row %d: %+q, %v, %v; want %+q", i, row.Contact, row.Err, err, list[i])
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("more rows than written: %v", err)
		}
	})
}

func TestWriterRefusesWrongExtra(t *testing.T) {
	w, err := NewWriter(io.Discard, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&contacts.Contact{FirstName: "A"}, "x"); err == nil {
		t.Error("accepted")
	}
}

func TestHeaderTable(t *testing.T) {
	rows := 0
	for line := range strings.Lines(headerTable) {
		if line[0] != '#' {
			rows++
		}
	}
	if rows < 50 || len(headerNames) > rows {
		t.Errorf("%d rows, %d names", rows, len(headerNames))
	}
	seen := map[string]string{}
	for row := range strings.Lines(headerTable) {
		if name, field, ok := strings.Cut(strings.TrimRight(row, "\n"), "\t"); ok && row[0] != '#' {
			if other, twice := seen[reduce(name)]; twice && other != field {
				t.Errorf("%s is both %s and %s", name, other, field)
			}
			seen[reduce(name)] = field
		}
	}
	for _, f := range contacts.Fields() {
		if headerNames[reduce(f.String())] != f {
			t.Errorf("%s is not known by its own name", f)
		}
	}
}

// Whatever the file, the reader ends, gives valid contacts, moves on with every row, and can go on from any of them.
func FuzzCSVReader(f *testing.F) {
	f.Add([]byte("first_name,last_name,dob\nA,\"B\nC\",1980-01-01\n\"x,y\n"))
	f.Add([]byte("\ufefffirst_name;last_name\r\n'=A;\"\"\r\n"))
	f.Add([]byte("sep=,\nfirst_name\n\"\"\"\n"))
	f.Add([]byte("first_name\tphone\nA\t+1\n\xff\t\x00\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file), ReaderOptions{})
		if err != nil {
			return
		}
		var last Position
		for n := 0; ; n++ {
			row, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if row.Err == nil && row.Contact.Validate() != nil {
				t.Fatal("an invalid contact")
			}
			if row.Next.Offset <= last.Offset || row.Next.Offset > int64(len(file)) || row.Line >= row.Next.Line && row.Next.Offset < int64(len(file)) {
				t.Fatalf("row %d of line %d ends at %v", n, row.Line, row.Next)
			}
			if want := bytes.Count(file[:row.Next.Offset], []byte{'\n'}) + 1; row.Next.Line != want && row.Next.Offset < int64(len(file)) {
				t.Fatalf("row %d ends in line %d, not %d", n, row.Next.Line, want)
			}
			last = row.Next
		}
	})
}

func BenchmarkCSVReader(b *testing.B) {
	for name, line := range map[string]string{
		"plain":  "A0000001,Maram,Shabi,Fatin,Ahmad,1963-07-05,F\r\n",
		"quoted": "A0000001,\"Maram\",\"Sha\"\"bi\",Fatin,Ahmad,1963-07-05,F\r\n",
		"arabic": "A0000002,ياسر,السبزواري,تالا,رياض,2020-09-15,M\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			const rows = 100_000
			file := "external_id,first_name,last_name,mother_first_name,father_first_name,date_of_birth,sex\r\n" + strings.Repeat(line, rows)
			b.ReportAllocs()
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				r, err := NewReader(strings.NewReader(file), ReaderOptions{})
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for ; ; n++ {
					if row, err := r.Next(); err == io.EOF {
						break
					} else if err != nil || row.Err != nil {
						b.Fatal(err, row.Err)
					}
				}
				if n != rows {
					b.Fatal(n)
				}
			}
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
