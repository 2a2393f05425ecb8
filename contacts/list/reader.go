package list

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"ihyid/contacts"
)

// Bounds of a file's rows: generous for any honest list, small enough that no file takes memory.
const (
	// MaxRecordBytes bounds a row, quotes and line breaks included.
	MaxRecordBytes = 64 << 10
	// MaxFieldBytes bounds a cell: the longest field of a contact, 300 characters of 4 bytes, has room more than three times.
	MaxFieldBytes = 4 << 10
	// MaxColumns bounds the columns: survey tools export dozens beside the few that are wanted.
	MaxColumns = 100
)

// Errors that end the reading of a file.
var (
	// ErrHeader: the first row does not name the columns of a list of contacts.
	ErrHeader = errors.New("list: the header cannot be used")
	// ErrEncoding: the file is not UTF-8.
	ErrEncoding = errors.New("list: the file is not UTF-8 text")
	// ErrFormat: the file is none that can be read.
	ErrFormat = errors.New("list: the format is not known")
)

// Format is how a list is written in a file.
type Format string

// The formats.
const (
	CSV   Format = "csv"
	XLSX  Format = "xlsx"  // a sheet of a workbook
	JSONL Format = "jsonl" // JSON Lines: an object a line
)

// ReaderOptions steer a reader; the zero value finds out everything by itself.
type ReaderOptions struct {
	// Format of the file; empty finds it by the first bytes.
	Format Format
	// Sheet of a workbook; empty is the first.
	Sheet string
	// Comma is the delimiter of CSV; 0 finds it: comma, semicolon or tab.
	Comma rune
	// Dates reads dates of birth: the zero value accepts only those that can be read in one way. Without a Today it is the
	// day on which the reader is made.
	Dates contacts.Dates
	// Map names columns (or members of JSON objects): name as it stands in the file → field of a contact, or "-" to leave it out.
	Map map[string]string
	// PassOver leaves out mapped columns that the file has not, instead of refusing it: one mapping for several files.
	PassOver bool
	// Resume goes on in the middle of a file; the io.Reader must begin at its Start.
	Resume *Resume
}

// Resume is where to go on. It can be stored as JSON.
type Resume struct {
	Offset int64  `json:"offset"` // of [Row.Next]
	Line   int    `json:"line"`   // of [Row.Next]
	Header Header `json:"header"` // of [Reader.Header]
}

// Start is the byte at which the io.Reader that goes on must begin: Offset, but 0 for workbooks, which can only be read whole.
func (r Resume) Start() int64 {
	if r.Header.Format == XLSX {
		return 0
	}
	return r.Offset
}

// Row is a row of the list.
type Row struct {
	Line    int              // where it begins in the file, from 1
	Contact contacts.Contact // clean and valid, if Err is nil
	Err     *RowError
	Next    Position // of the row behind it
}

// Position is a place in a file, between two rows.
type Position struct {
	Offset int64 // bytes from the start of the file; of workbooks, rows
	Line   int   // from 1
}

// RowError says what is wrong with a row. It never holds a value.
type RowError struct {
	Line   int    `json:"line"`             // where the row begins, from 1
	Column int    `json:"column,omitempty"` // from 1; 0 if the whole row is meant
	Field  string `json:"field,omitempty"`  // of the contact, if the column holds one
	Reason string `json:"reason"`
}

func (e *RowError) Error() string {
	s := fmt.Sprintf("line %d", e.Line)
	if e.Column > 0 {
		s += fmt.Sprintf(", column %d", e.Column)
	}
	if e.Field != "" {
		s += " (" + e.Field + ")"
	}
	return s + ": " + e.Reason
}

// Reader reads a list of contacts. It is not safe for concurrent use.
type Reader struct {
	src     source
	dates   contacts.Dates
	header  Header
	columns [contacts.NumFields]int // of each field, from 1; 0 if there is none
	unknown map[string]bool
	rec     record
	scratch []byte
	err     error
}

// source gives the rows of a format as cells.
type source interface {
	// read fills in the next row, blank ones included; io.EOF behind the last.
	read(*record) error
}

// record is a row as cells.
type record struct {
	line  int
	next  Position
	text  []byte
	cells []cell // in text
	ascii bool   // all of text is ASCII
	err   *RowError
}

type cell struct{ from, to int }

func (r *record) cell(i int) []byte { return r.text[r.cells[i].from:r.cells[i].to] }

// fail makes the row an error; column counts from 1.
func (r *record) fail(column int, reason string) {
	if r.err == nil {
		r.err = &RowError{Line: r.line, Column: column, Reason: reason}
	}
}

// NewReader begins to read a list and its header. The caller closes what it read from.
func NewReader(in io.Reader, opts ReaderOptions) (*Reader, error) {
	r := &Reader{dates: opts.Dates}
	if r.dates.Today.IsZero() {
		r.dates.Today = time.Now()
	}
	format := opts.Format
	if opts.Resume != nil {
		format = opts.Resume.Header.Format
		if opts.Resume.Offset < 0 || opts.Resume.Line < 1 {
			return nil, fmt.Errorf("%w: the place to go on at is not one of a list", ErrFormat)
		}
		if err := opts.Resume.Header.check(); err != nil {
			return nil, err
		}
	}
	if format == "" {
		buffered := bufio.NewReader(in)
		start, err := buffered.Peek(longestMagic)
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("reading the list: %w", err)
		}
		for _, other := range otherFormats {
			if bytes.HasPrefix(start, []byte(other.magic)) {
				return nil, fmt.Errorf("%w: %s", ErrFormat, other.what)
			}
		}
		format, in = detect(start), buffered
	}
	var err error
	switch format {
	case CSV:
		r.src, r.header, err = openCSV(in, opts)
	case XLSX:
		r.src, r.header, err = openXLSX(in, opts)
	case JSONL:
		var src *jsonlSource
		src, r.header, err = openJSONL(in, opts)
		if err == nil {
			r.src, r.unknown = src, src.unknown
		}
	default:
		err = ErrFormat
	}
	if err != nil {
		return nil, err
	}
	for i, c := range r.header.Columns {
		if f, ok := contacts.ParseField(c.Field); ok {
			r.columns[f] = i + 1
		}
	}
	return r, nil
}

const zipMagic = "PK\x03\x04"

// otherFormats are what people hand in for a list, by first bytes, whatever the name of the file: each is told what to do. As CSV
// it would only be said that a header is missing.
var otherFormats = []struct{ magic, what string }{
	{"%PDF-", "this is a PDF; ask for the list as XLSX or CSV"},
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is an old Excel workbook (.xls), or one with a password; save it as .xlsx without one"},
	{"\x1f\x8b", "the file is compressed (gzip); unpack it first"},
}

// longestMagic is how many bytes tell all formats apart.
const longestMagic = 8

// detect tells the format by the first bytes of a file.
func detect(start []byte) Format {
	if bytes.HasPrefix(start, []byte(zipMagic)) {
		return XLSX
	}
	if text := bytes.TrimLeft(bytes.TrimPrefix(start, []byte("\xef\xbb\xbf")), " \t\r\n"); len(text) > 0 && text[0] == '{' {
		return JSONL
	}
	return CSV
}

// Unknown lists the names of columns, or of members of the objects read so far, that no field is named by, up to [MaxColumns].
func (r *Reader) Unknown() []string {
	names := r.header.Unknown()
	for name := range r.unknown {
		names = append(names, name)
	}
	slices.Sort(names[len(names)-len(r.unknown):])
	return names
}

// Header says how the columns were read.
func (r *Reader) Header() Header { return r.header }

// Next gives the next row that is not blank, or io.EOF behind the last. Errors other than io.EOF come from the input and are final.
func (r *Reader) Next() (Row, error) {
	if r.err != nil {
		return Row{}, r.err
	}
	for {
		r.rec.err, r.rec.cells = nil, r.rec.cells[:0]
		if err := r.src.read(&r.rec); err != nil {
			if err != io.EOF {
				err = fmt.Errorf("reading the list at line %d: %w", r.rec.next.Line, err)
			}
			r.err = err
			return Row{}, err
		}
		if r.rec.err == nil && r.rec.blank() {
			continue
		}
		return r.row(), nil
	}
}

func (r *record) blank() bool {
	for i := range r.cells {
		for _, c := range r.cell(i) {
			if c != ' ' && c != '\t' {
				return false
			}
		}
	}
	return true
}

// row makes a contact of the record.
func (r *Reader) row() Row {
	rec := &r.rec
	row := Row{Line: rec.line, Next: rec.next}
	if rec.err == nil {
		if n, want := len(rec.cells), len(r.header.Columns); n != want {
			fields := "fields"
			if n == 1 {
				fields = "field"
			}
			rec.fail(0, fmt.Sprintf("has %d %s where the header has %d", n, fields, want))
		} else if !rec.ascii && !utf8.Valid(rec.text) {
			rec.fail(r.badColumn(), "is not valid UTF-8")
		} else if r.header.Format != JSONL && r.repeatsHeader() {
			rec.fail(0, "repeats the header")
		} else {
			r.fill(&row.Contact)
		}
	}
	if rec.err != nil {
		if c := rec.err.Column; c > 0 && c <= len(r.header.Columns) {
			rec.err.Field = r.header.Columns[c-1].Field
			if r.header.Format == JSONL {
				rec.err.Column = 0 // members have names, not places
			}
		}
		row.Contact, row.Err = contacts.Contact{}, rec.err
	}
	return row
}

func (r *Reader) badColumn() int {
	for i := range r.rec.cells {
		if !utf8.Valid(r.rec.cell(i)) {
			return i + 1
		}
	}
	return 0
}

// repeatsHeader holds for a row that names the columns again, as where files were put one behind another.
func (r *Reader) repeatsHeader() bool {
	for i := range r.header.Columns {
		if string(r.rec.cell(i)) != r.header.Columns[i].Name {
			return false
		}
	}
	return true
}

// fill sets the contact's fields. They share one string, so that a row costs one allocation.
func (r *Reader) fill(c *contacts.Contact) {
	r.scratch = r.scratch[:0]
	var ends [contacts.NumFields]int
	for f := range contacts.Field(contacts.NumFields) {
		if col := r.columns[f]; col > 0 {
			cell := r.rec.cell(col - 1)
			if r.header.Format != JSONL {
				cell = unguard(cell)
			}
			if len(cell) > MaxFieldBytes {
				r.rec.fail(col, tooLong)
				return
			}
			r.scratch = append(r.scratch, cell...)
		}
		ends[f] = len(r.scratch)
	}
	all, from := string(r.scratch), 0
	for f, end := range ends {
		if end > from {
			c.Set(contacts.Field(f), all[from:end])
		}
		from = end
	}
	if c.DateOfBirth != "" {
		d, err := r.dates.Parse(contacts.CleanText(c.DateOfBirth))
		if err != nil {
			r.rec.fail(r.columns[contacts.DateOfBirth], err.Error())
			return
		}
		c.DateOfBirth = d
	}
	c.Clean()
	if errs := c.Validate(); errs != nil {
		f, _ := contacts.ParseField(errs[0].Field)
		r.rec.fail(r.columns[f], errs[0].Reason)
	}
}

var tooLong = fmt.Sprintf("is longer than %d bytes", MaxFieldBytes)
