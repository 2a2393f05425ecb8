package list

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"ihyid/contacts"
)

// WriterOptions steer a writer; the zero value writes all fields as CSV with a comma between.
type WriterOptions struct {
	Format Format // empty is CSV
	Comma  rune   // of CSV; 0 is the comma
	// Fields are the fields to write, in order; nil is all of them.
	Fields []contacts.Field
	// Extra are the names of columns behind the fields, for what the caller knows of each contact.
	Extra []string
	// BOM writes a byte order mark before CSV: older spreadsheets take it for UTF-8 only so.
	BOM bool
}

// Writer writes a list of contacts that [Reader] reads back unchanged. It buffers, and what it writes streams out: memory does
// not grow, and nothing is put into temporary files. Call [Writer.Close] at the end.
type Writer struct {
	rows   rowWriter
	fields []contacts.Field
	extra  int
	row    []string
}

// rowWriter writes rows of a format.
type rowWriter interface {
	row(cells []string) error
	close() error
}

// NewWriter begins a list and writes its header.
func NewWriter(out io.Writer, opts WriterOptions) (*Writer, error) {
	w := &Writer{fields: opts.Fields, extra: len(opts.Extra)}
	if w.fields == nil {
		w.fields = contacts.Fields()
	}
	var names []string
	for _, f := range w.fields {
		names = append(names, f.String())
	}
	names = append(names, opts.Extra...)
	if len(names) == 0 || len(names) > MaxColumns {
		return nil, fmt.Errorf("%w: no column, or more than %d", ErrHeader, MaxColumns)
	}
	var err error
	switch opts.Format {
	case CSV, "":
		w.rows, err = newCSVWriter(out, opts)
	case XLSX:
		w.rows, err = newXLSXWriter(out)
	case JSONL:
		w.rows = &jsonlWriter{out: bufio.NewWriterSize(out, 64<<10), names: names}
		return w, nil
	default:
		return nil, fmt.Errorf("%w: %q", ErrFormat, opts.Format)
	}
	if err != nil {
		return nil, err
	}
	return w, w.rows.row(names)
}

// Write writes a contact and the values of the extra columns, as many as [WriterOptions.Extra] names.
func (w *Writer) Write(c *contacts.Contact, extra ...string) error {
	if len(extra) != w.extra {
		return errors.New("list: the number of extra values is not that of the extra columns")
	}
	w.row = w.row[:0]
	for _, f := range w.fields {
		w.row = append(w.row, c.Value(f))
	}
	return w.rows.row(append(w.row, extra...))
}

// Close ends the list and writes out what is buffered. It does not close the io.Writer.
func (w *Writer) Close() error { return w.rows.close() }

// csvWriter writes CSV by RFC 4180.
type csvWriter struct {
	out   *bufio.Writer
	comma byte
}

func newCSVWriter(out io.Writer, opts WriterOptions) (*csvWriter, error) {
	w := &csvWriter{out: bufio.NewWriterSize(out, 64<<10), comma: ','}
	if opts.Comma != 0 {
		if !isComma(opts.Comma) {
			return nil, fmt.Errorf("%w: the delimiter must be one ASCII character, not a quote or line break", ErrFormat)
		}
		w.comma = byte(opts.Comma)
	}
	if opts.BOM {
		w.out.WriteString("\ufeff")
	}
	return w, nil
}

// row writes a row. The errors of a bufio.Writer stay: the last one tells of all.
func (w *csvWriter) row(cells []string) error {
	for i, s := range cells {
		if i > 0 {
			w.out.WriteByte(w.comma)
		}
		w.cell(guard(s))
	}
	_, err := w.out.WriteString("\r\n")
	return err
}

func (w *csvWriter) cell(s string) {
	if s == "" || strings.IndexByte(s, w.comma) < 0 && !strings.ContainsAny(s, "\"\r\n") && s[0] != ' ' && s[0] != '\t' {
		w.out.WriteString(s)
		return
	}
	w.out.WriteByte('"')
	w.out.WriteString(strings.ReplaceAll(s, `"`, `""`))
	w.out.WriteByte('"')
}

func (w *csvWriter) close() error { return w.out.Flush() }

// jsonlWriter writes JSON Lines: an object a contact, without its empty fields.
type jsonlWriter struct {
	out   *bufio.Writer
	names []string
}

func (w *jsonlWriter) row(cells []string) error {
	w.out.WriteByte('{')
	first := true
	for i, s := range cells {
		if s == "" {
			continue
		}
		if !first {
			w.out.WriteByte(',')
		}
		first = false
		name, err := json.Marshal(w.names[i])
		if err != nil {
			return err
		}
		value, err := json.Marshal(s)
		if err != nil {
			return err
		}
		w.out.Write(name)
		w.out.WriteByte(':')
		w.out.Write(value)
	}
	_, err := w.out.WriteString("}\n")
	return err
}

func (w *jsonlWriter) close() error { return w.out.Flush() }
