package list

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// csvBuffer holds a whole record and more, so that a record can be looked at twice.
const csvBuffer = 4 * MaxRecordBytes

// csvSource cuts CSV into records.
type csvSource struct {
	in    io.Reader
	inErr error // of in, io.EOF included
	comma byte
	want  int // fields of a row; 0 while the header is read

	buf        []byte
	start, end int // what is read and not yet consumed
	pos        Position
	quoted     []byte // the cells of a record with quotes, unquoted
}

// openCSV reads the header of a file and finds out its delimiter.
func openCSV(in io.Reader, opts ReaderOptions) (*csvSource, Header, error) {
	if opts.Resume != nil {
		s, err := newCSV(in, *opts.Resume)
		return s, opts.Resume.Header, err
	}
	s := &csvSource{in: in, buf: make([]byte, csvBuffer), pos: Position{0, 1}}
	if opts.Comma != 0 && !isComma(opts.Comma) {
		return nil, Header{}, fmt.Errorf("%w: the delimiter must be one ASCII character, not a quote or line break", ErrFormat)
	}
	for s.fill() {
		// Enough for every try at the header below: none of them needs to read on, so all can share the buffer.
		if s.end >= 3*MaxRecordBytes {
			break
		}
	}
	if s.inErr != nil && s.inErr != io.EOF {
		return nil, Header{}, fmt.Errorf("reading the header: %w", s.inErr)
	}
	head := s.buf[:s.end]
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")):
		return nil, Header{}, fmt.Errorf("%w but UTF-16; save it as \"CSV UTF-8\"", ErrEncoding)
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		s.advance(3, 0)
	}
	// Excel's own way to name the delimiter.
	if line, rest, ok := bytes.Cut(s.buf[s.start:s.end], []byte("\n")); ok {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 5 && strings.EqualFold(string(line[:4]), "sep=") && isComma(rune(line[4])) {
			if opts.Comma == 0 {
				opts.Comma = rune(line[4])
			}
			s.advance(s.end-s.start-len(rest), 1)
		}
	}
	commas := []byte{',', ';', '\t'}
	if opts.Comma != 0 {
		commas = []byte{byte(opts.Comma)}
	}
	// The delimiter is the one under which most columns are known.
	var best Header
	var bestErr error
	var after csvSource
	for i, comma := range commas {
		try := *s
		try.comma = comma
		h, err := try.header(opts)
		if i == 0 || h.known() > best.known() {
			best, bestErr, after = h, err, try
			best.Comma = string(rune(comma))
		}
	}
	if bestErr != nil {
		return nil, best, bestErr
	}
	after.want = len(best.Columns)
	best.Format = CSV
	return &after, best, nil
}

// header reads the first row that is not blank as the header.
func (s *csvSource) header(opts ReaderOptions) (Header, error) {
	var rec record
	for {
		rec.cells, rec.err = rec.cells[:0], nil
		if err := s.read(&rec); err == io.EOF {
			return Header{}, fmt.Errorf("%w: the file is empty", ErrHeader)
		} else if err != nil {
			return Header{}, err
		}
		if rec.err != nil {
			return Header{}, fmt.Errorf("%w: line %d, column %d %s", ErrHeader, rec.line, rec.err.Column, rec.err.Reason)
		}
		if rec.blank() {
			if s.pos.Offset > MaxRecordBytes {
				return Header{}, fmt.Errorf("%w: the file begins with empty lines", ErrHeader)
			}
			continue
		}
		if !utf8.Valid(rec.text) {
			return Header{}, fmt.Errorf("%w; save it as \"CSV UTF-8\"", ErrEncoding)
		}
		if bytes.IndexByte(rec.text, 0) >= 0 {
			return Header{}, ErrFormat
		}
		if bytes.IndexByte(bytes.TrimRight(rec.text, "\r"), '\r') >= 0 && len(s.quoted) == 0 {
			return Header{}, fmt.Errorf("%w: its lines end the way old Macintosh files do; save it as \"CSV UTF-8\"", ErrFormat)
		}
		if len(rec.cells) > MaxColumns {
			return Header{}, fmt.Errorf("%w: more than %d columns", ErrHeader, MaxColumns)
		}
		names := make([]string, len(rec.cells))
		for i := range rec.cells {
			names[i] = string(rec.cell(i))
		}
		return makeHeader(names, opts.Map, opts.PassOver)
	}
}

// newCSV goes on in the middle of a file.
func newCSV(in io.Reader, at Resume) (*csvSource, error) {
	comma, n := utf8.DecodeRuneInString(at.Header.Comma)
	if n != len(at.Header.Comma) || !isComma(comma) {
		return nil, fmt.Errorf("%w: the place to go on at is not one of a CSV file", ErrFormat)
	}
	return &csvSource{in: in, buf: make([]byte, csvBuffer), comma: byte(comma), want: len(at.Header.Columns), pos: Position{at.Offset, at.Line}}, nil
}

func isComma(r rune) bool {
	return r > 0 && r < utf8.RuneSelf && r != '"' && r != '\n' && r != '\r' && r != '\''
}

// fill reads more behind what is there; false if there is no more or no room.
func (s *csvSource) fill() bool {
	if s.inErr != nil {
		return false
	}
	if s.start > 0 && len(s.buf)-s.end < len(s.buf)/2 {
		copy(s.buf, s.buf[s.start:s.end])
		s.start, s.end = 0, s.end-s.start
	}
	for tries := 0; s.end < len(s.buf); tries++ {
		n, err := s.in.Read(s.buf[s.end:])
		s.end += n
		if err != nil {
			s.inErr = err
			return n > 0
		}
		if n > 0 {
			return true
		}
		if tries == 100 {
			s.inErr = io.ErrNoProgress
			return false
		}
	}
	return false
}

// advance consumes bytes that hold a number of line breaks.
func (s *csvSource) advance(n, lines int) {
	s.start += n
	s.pos.Offset += int64(n)
	s.pos.Line += lines
}

// read cuts the next record.
func (s *csvSource) read(rec *record) error {
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
	switch {
	case line[n-1] != '\n' && n > MaxRecordBytes:
		s.discardLine()
		rec.fail(0, recordTooLong)
	case bytes.IndexByte(line, '"') < 0:
		s.plain(rec, line)
		s.advance(n, 1)
	default:
		s.readQuoted(rec, n)
	}
	// An error of the input, other than its end, must not pass for the end of the last row.
	if s.start == s.end && s.inErr != nil && s.inErr != io.EOF {
		return s.inErr
	}
	rec.next = s.pos
	return nil
}

var recordTooLong = fmt.Sprintf("is a row longer than %d bytes", MaxRecordBytes)

// line gives the length of the next line with its line break; of what is there if that is longer than a record may be;
// 0 at the end.
func (s *csvSource) line() int {
	from := s.start
	for {
		if i := bytes.IndexByte(s.buf[from:s.end], '\n'); i >= 0 {
			return from + i + 1 - s.start
		}
		n := s.end - s.start
		if n > MaxRecordBytes {
			return n
		}
		if !s.fill() {
			return s.end - s.start
		}
		from = s.start + n
	}
}

// plain cuts a line without quotes.
func (s *csvSource) plain(rec *record, line []byte) {
	line = trimBreak(line)
	rec.text = line
	rec.ascii = isASCII(line)
	if len(line) > MaxRecordBytes {
		rec.fail(0, recordTooLong)
		return
	}
	from := 0
	for {
		i := bytes.IndexByte(line[from:], s.comma)
		if i < 0 {
			rec.cells = append(rec.cells, cell{from, len(line)})
			return
		}
		rec.cells = append(rec.cells, cell{from, from + i})
		from += i + 1
	}
}

func trimBreak(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

func isASCII(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if (b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7])&0x80 != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Quote errors; the row is then taken to end with its first line, so that a stray quote never swallows the rows behind it.
var (
	errBareQuote    = errors.New("holds a quote but is not quoted")
	errAfterQuote   = errors.New("goes on behind its closing quote")
	errUnterminated = errors.New("has no closing quote")
	errUnpaired     = errors.New("has quotes that do not pair up")
	errTooMany      = fmt.Errorf("is one of more than %d fields", MaxColumns)
)

// readQuoted cuts a record with quotes, whose first line is of the given length.
func (s *csvSource) readQuoted(rec *record, firstLine int) {
	n, column, err := s.quotedRecord(rec)
	if err == nil && n > firstLine && s.want > 0 && len(rec.cells) != s.want {
		// More likely a stray quote that ran into the next rows than a cell with line breaks.
		err, column = errUnpaired, 0
	}
	if err != nil {
		// Recover at the line behind the first.
		rec.cells = rec.cells[:0]
		rec.fail(column, err.Error())
		s.advance(firstLine, 1)
		return
	}
	s.advance(n, bytes.Count(s.buf[s.start:s.start+n], []byte{'\n'}))
}

// quotedRecord cuts the record that begins here, line breaks between quotes included. It answers its length, or what is wrong and in
// which column.
func (s *csvSource) quotedRecord(rec *record) (n, column int, err error) {
	q := s.quoted[:0]
	defer func() { s.quoted, rec.text, rec.ascii = q, q, isASCII(q) }()
	for column = 1; ; column++ {
		if column > MaxColumns {
			return 0, column, errTooMany
		}
		from := len(q)
		c, ok := s.at(n)
		if ok && c == '"' {
			if q, n, ok = s.quotedCell(q, n+1); !ok {
				return 0, column, errUnterminated
			}
			rec.cells = append(rec.cells, cell{from, len(q)})
		} else {
			for ok && c != s.comma && c != '\n' {
				if c == '"' {
					return 0, column, errBareQuote
				}
				q = append(q, c)
				n++
				c, ok = s.at(n)
			}
			to := len(q)
			if (!ok || c == '\n') && to > from && q[to-1] == '\r' {
				to--
			}
			rec.cells = append(rec.cells, cell{from, to})
		}
		if n > MaxRecordBytes {
			return 0, column, errors.New(recordTooLong)
		}
		switch c, ok = s.at(n); {
		case !ok:
			return n, 0, nil
		case c == s.comma:
			n++
		case c == '\n':
			return n + 1, 0, nil
		case c == '\r':
			if c, ok = s.at(n + 1); !ok {
				return n + 1, 0, nil
			} else if c == '\n' {
				return n + 2, 0, nil
			}
			return 0, column, errAfterQuote
		default:
			return 0, column, errAfterQuote
		}
	}
}

// quotedCell appends the cell whose opening quote is before i, and answers where it ends; false if it does not.
func (s *csvSource) quotedCell(q []byte, i int) ([]byte, int, bool) {
	for {
		b := s.buf[s.start+i : s.end]
		j := bytes.IndexByte(b, '"')
		if j < 0 {
			q = append(q, b...)
			i += len(b)
			if i > MaxRecordBytes || !s.fill() {
				return q, i, false
			}
			continue
		}
		q = append(q, b[:j]...)
		i += j + 1
		if c, ok := s.at(i); !ok || c != '"' {
			return q, i, true
		}
		q = append(q, '"')
		i++
	}
}

// at gives the byte i bytes behind the start, false if there is none.
func (s *csvSource) at(i int) (byte, bool) {
	for s.start+i >= s.end {
		if !s.fill() {
			return 0, false
		}
	}
	return s.buf[s.start+i], true
}

// discardLine consumes everything up to and with the next line break.
func (s *csvSource) discardLine() {
	for {
		if i := bytes.IndexByte(s.buf[s.start:s.end], '\n'); i >= 0 {
			s.advance(i+1, 1)
			return
		}
		s.advance(s.end-s.start, 0)
		if !s.fill() {
			return
		}
	}
}
