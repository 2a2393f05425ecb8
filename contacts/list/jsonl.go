package list

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"ihyid/contacts"
)

// jsonlSource reads JSON Lines: one object a line, whose members are named like the columns of a list. Values are strings,
// numbers or null; members that no field is named by may hold anything.
type jsonlSource struct {
	csvSource // for its lines
	mapping   map[string]string
	unknown   map[string]bool
}

func openJSONL(in io.Reader, opts ReaderOptions) (*jsonlSource, Header, error) {
	s := &jsonlSource{unknown: map[string]bool{}, mapping: map[string]string{}}
	s.in, s.buf, s.pos = in, make([]byte, csvBuffer), Position{0, 1}
	h := Header{Format: JSONL, Map: opts.Map}
	if opts.Resume != nil {
		h = opts.Resume.Header
		s.pos = Position{opts.Resume.Offset, opts.Resume.Line}
	}
	// One column a field: which members a line has is not known before.
	h.Columns = nil
	for _, f := range contacts.Fields() {
		h.Columns = append(h.Columns, Column{f.String(), f.String()})
	}
	for name, field := range h.Map {
		if _, ok := contacts.ParseField(field); !ok && field != "-" {
			return nil, h, fmt.Errorf("%w: a member is mapped to %q, which is no field of a contact", ErrHeader, field)
		}
		s.mapping[contacts.CleanText(name)] = field
	}
	return s, h, nil
}

// maxUnknown bounds the names of members that are remembered to be reported.
const maxUnknown = MaxColumns

func (s *jsonlSource) read(rec *record) error {
	rec.line = s.pos.Line
	n := s.line()
	if n == 0 {
		rec.next = s.pos
		if s.inErr != io.EOF {
			return s.inErr
		}
		return io.EOF
	}
	line := s.buf[s.start : s.start+n]
	if n > MaxRecordBytes {
		if line[n-1] == '\n' {
			s.advance(n, 1)
		} else {
			s.discardLine()
		}
		rec.fail(0, recordTooLong)
	} else {
		line = trimBreak(line)
		if s.pos.Offset == 0 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		s.object(rec, line)
		s.advance(n, 1)
	}
	if s.start == s.end && s.inErr != nil && s.inErr != io.EOF {
		return s.inErr
	}
	rec.next = s.pos
	return nil
}

var errJSON = errors.New("is not a JSON object on one line")

// object reads a line's object into cells.
func (s *jsonlSource) object(rec *record, line []byte) {
	rec.text, rec.ascii = rec.text[:0], true
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	if !utf8.Valid(line) {
		rec.fail(0, "is not valid UTF-8")
		return
	}
	var values [contacts.NumFields]string
	var seen [contacts.NumFields]bool
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		rec.fail(0, errJSON.Error())
		return
	}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			rec.fail(0, errJSON.Error())
			return
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			rec.fail(0, errJSON.Error())
			return
		}
		f, ok := s.field(name)
		if !ok {
			continue
		}
		if seen[f] {
			rec.fail(int(f)+1, "stands there twice")
			return
		}
		seen[f] = true
		if values[f], ok = scalar(raw); !ok {
			rec.fail(int(f)+1, "is neither text nor a number")
			return
		}
	}
	if _, err := dec.Token(); err != nil {
		rec.fail(0, errJSON.Error())
		return
	}
	if _, err := dec.Token(); err != io.EOF {
		rec.fail(0, errJSON.Error())
		return
	}
	for _, v := range values {
		from := len(rec.text)
		rec.text = append(rec.text, v...)
		rec.cells = append(rec.cells, cell{from, len(rec.text)})
	}
	rec.ascii = isASCII(rec.text)
}

// field finds the field that a member is named by.
func (s *jsonlSource) field(name string) (contacts.Field, bool) {
	name = contacts.CleanText(name)
	if field, ok := s.mapping[name]; ok {
		return contacts.ParseField(field)
	}
	if f, ok := headerNames[reduce(name)]; ok {
		return f, true
	}
	if len(s.unknown) < maxUnknown && len(name) <= MaxFieldBytes {
		s.unknown[name] = true
	}
	return 0, false
}

// scalar gives a JSON string, number or null as text.
func scalar(raw json.RawMessage) (string, bool) {
	switch c := raw[0]; {
	case c == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	case c == 'n':
		return "", true
	case c == '-' || c >= '0' && c <= '9':
		return string(raw), true
	}
	return "", false
}
