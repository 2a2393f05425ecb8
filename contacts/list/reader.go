package list

import (
	"errors"
	"fmt"
	"io"
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

// ReaderOptions steer a reader; the zero value finds out everything by itself.
type ReaderOptions struct {
	// Comma is the delimiter of CSV; 0 finds it: comma, semicolon or tab.
	Comma rune
	// Dates reads dates of birth: the zero value accepts only those that can be read in one way.
	Dates contacts.Dates
	// Map names columns: header as it stands in the file → field of a contact, or "-" to leave the column out.
	Map map[string]string
	// Resume goes on in the middle of a file; the io.Reader must begin at its Offset.
	Resume *Resume
}

// Resume is where to go on. It can be stored as JSON.
type Resume struct {
	Offset int64  `json:"offset"` // bytes from the start of the file
	Line   int    `json:"line"`   // number of the line at Offset, from 1
	Header Header `json:"header"`
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
	Offset int64 // bytes from the start of the file
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
	if opts.Resume != nil {
		if err := opts.Resume.Header.check(); err != nil {
			return nil, err
		}
		r.header = opts.Resume.Header
		src, err := newCSV(in, *opts.Resume)
		if err != nil {
			return nil, err
		}
		r.src = src
	} else {
		src, header, err := openCSV(in, opts)
		if err != nil {
			return nil, err
		}
		r.src, r.header = src, header
	}
	for i, c := range r.header.Columns {
		if f, ok := contacts.ParseField(c.Field); ok {
			r.columns[f] = i + 1
		}
	}
	return r, nil
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
			rec.fail(0, fmt.Sprintf("has %d fields where the header has %d", n, want))
		} else if !rec.ascii && !utf8.Valid(rec.text) {
			rec.fail(r.badColumn(), "is not valid UTF-8")
		} else if r.repeatsHeader() {
			rec.fail(0, "repeats the header")
		} else {
			r.fill(&row.Contact)
		}
	}
	if rec.err != nil {
		if c := rec.err.Column; c > 0 && c <= len(r.header.Columns) {
			rec.err.Field = r.header.Columns[c-1].Field
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
			cell := unguard(r.rec.cell(col - 1))
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
