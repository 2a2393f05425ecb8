package list

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"ihyid/contacts"
)

// WriterOptions steer a writer; the zero value writes all fields with a comma between.
type WriterOptions struct {
	Comma rune // of CSV; 0 is the comma
	// Fields are the fields to write, in order; nil is all of them.
	Fields []contacts.Field
	// Extra are the names of columns behind the fields, for what the caller knows of each contact.
	Extra []string
	// BOM writes a byte order mark first: older spreadsheets take CSV for UTF-8 only with it.
	BOM bool
}

// Writer writes a list of contacts that [Reader] reads back unchanged. It buffers: call [Writer.Close] at the end.
type Writer struct {
	out    *bufio.Writer
	comma  byte
	fields []contacts.Field
	extra  int
	err    error
}

// NewWriter begins a list and writes its header.
func NewWriter(out io.Writer, opts WriterOptions) (*Writer, error) {
	w := &Writer{out: bufio.NewWriterSize(out, 64<<10), comma: ',', fields: opts.Fields, extra: len(opts.Extra)}
	if opts.Comma != 0 {
		if !isComma(opts.Comma) {
			return nil, fmt.Errorf("%w: the delimiter must be one ASCII character, not a quote or line break", ErrFormat)
		}
		w.comma = byte(opts.Comma)
	}
	if w.fields == nil {
		w.fields = contacts.Fields()
	}
	if len(w.fields)+w.extra > MaxColumns {
		return nil, fmt.Errorf("%w: more than %d columns", ErrHeader, MaxColumns)
	}
	if opts.BOM {
		w.out.WriteString("\ufeff")
	}
	n := 0
	for _, f := range w.fields {
		w.cell(n, f.String())
		n++
	}
	for _, name := range opts.Extra {
		w.cell(n, name)
		n++
	}
	w.end()
	return w, w.err
}

// Write writes a contact and the values of the extra columns, as many as [WriterOptions.Extra] names.
func (w *Writer) Write(c *contacts.Contact, extra ...string) error {
	if len(extra) != w.extra {
		return errors.New("list: the number of extra values is not that of the extra columns")
	}
	n := 0
	for _, f := range w.fields {
		w.cell(n, c.Value(f))
		n++
	}
	for _, v := range extra {
		w.cell(n, v)
		n++
	}
	w.end()
	return w.err
}

// Close writes out what is buffered. It does not close the io.Writer.
func (w *Writer) Close() error {
	if err := w.out.Flush(); w.err == nil {
		w.err = err
	}
	return w.err
}

func (w *Writer) cell(i int, s string) {
	if i > 0 {
		w.out.WriteByte(w.comma)
	}
	s = guard(s)
	if s == "" || strings.IndexByte(s, w.comma) < 0 && !strings.ContainsAny(s, "\"\r\n") && s[0] != ' ' && s[0] != '\t' {
		w.out.WriteString(s)
		return
	}
	w.out.WriteByte('"')
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			break
		}
		w.out.WriteString(s[:i+1])
		w.out.WriteByte('"')
		s = s[i+1:]
	}
	w.out.WriteString(s)
	w.out.WriteByte('"')
}

// end ends a row: CRLF, as RFC 4180 has it and spreadsheets write it.
func (w *Writer) end() {
	if _, err := w.out.WriteString("\r\n"); w.err == nil {
		w.err = err
	}
}
