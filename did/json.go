package did

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of arrays and objects. A real DID document nests five deep.
const maxDepth = 32

// SyntaxError says where JSON is not acceptable. It never holds text of the input.
type SyntaxError struct {
	Line, Column int // from 1; the column counts characters
	Reason       string
}

// Error names line, column and reason.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// parseJSON reads one JSON text more strictly than RFC 8259: duplicate names, invalid
// UTF-8, lone surrogates, nesting beyond maxDepth and numbers that an IEEE 754 double
// cannot hold are refused. What remains is I-JSON (RFC 7493), so that everyone's canonical
// form of it (RFC 8785) is the same, and no two different values share one. It returns
// map[string]any, []any, string, [json.Number], bool or nil.
func parseJSON(data []byte) (any, error) {
	v, _, err := parseJSONSize(data)
	return v, err
}

// What a value takes in memory beside its text, in bytes: small objects cost most.
const (
	objectSize = 400
	valueSize  = 40
)

// parseJSONSize is parseJSON, and estimates the memory that the value takes, in bytes.
func parseJSONSize(data []byte) (v any, size int, err error) {
	p := &jsonParser{data: data, size: len(data)}
	p.space()
	v, err = p.value(0)
	if err == nil {
		p.space()
		if p.pos < len(p.data) {
			err = errors.New("text after the end of the JSON value")
		}
	}
	if err != nil {
		return nil, 0, p.at(err)
	}
	return v, p.size, nil
}

type jsonParser struct {
	data []byte
	pos  int
	size int
}

func (p *jsonParser) at(err error) *SyntaxError {
	before := p.data[:min(p.pos, len(p.data))]
	line := 1 + bytes.Count(before, []byte("\n"))
	col := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return &SyntaxError{Line: line, Column: col, Reason: err.Error()}
}

func (p *jsonParser) space() {
	for p.pos < len(p.data) {
		switch p.data[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end.
func (p *jsonParser) peek() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

func (p *jsonParser) value(depth int) (any, error) {
	p.size += valueSize
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return p.string()
	case c == '-' || isDigit(c):
		return p.number()
	case p.pos >= len(p.data):
		return nil, errors.New("the JSON text ends too early")
	}
	for _, l := range []struct {
		text  string
		value any
	}{{"true", true}, {"false", false}, {"null", nil}} {
		if bytes.HasPrefix(p.data[p.pos:], []byte(l.text)) {
			p.pos += len(l.text)
			return l.value, nil
		}
	}
	return nil, errors.New("not a JSON value")
}

func (p *jsonParser) object(depth int) (any, error) {
	if depth >= maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	p.pos++
	p.size += objectSize
	m := map[string]any{}
	p.space()
	if p.peek() == '}' {
		p.pos++
		return m, nil
	}
	for {
		p.space()
		if p.peek() != '"' {
			return nil, errors.New("a name in quotation marks is expected")
		}
		start := p.pos
		name, err := p.string()
		if err != nil {
			return nil, err
		}
		if _, dup := m[name]; dup {
			p.pos = start
			return nil, errors.New("the same name a second time in one object")
		}
		p.space()
		if p.peek() != ':' {
			return nil, errors.New("a colon is expected")
		}
		p.pos++
		p.space()
		if m[name], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			return m, nil
		default:
			return nil, errors.New("a comma or closing brace is expected")
		}
	}
}

func (p *jsonParser) array(depth int) (any, error) {
	if depth >= maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	p.pos++
	a := []any{}
	p.space()
	if p.peek() == ']' {
		p.pos++
		return a, nil
	}
	for {
		p.space()
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return a, nil
		default:
			return nil, errors.New("a comma or closing bracket is expected")
		}
	}
}

func (p *jsonParser) string() (string, error) {
	p.pos++
	var b strings.Builder
	for p.pos < len(p.data) {
		c := p.data[p.pos]
		switch {
		case c == '"':
			p.pos++
			return b.String(), nil
		case c == '\\':
			if err := p.escape(&b); err != nil {
				return "", err
			}
		case c < ' ':
			return "", errors.New("a control character in a string")
		case c < utf8.RuneSelf:
			b.WriteByte(c)
			p.pos++
		default:
			r, n := utf8.DecodeRune(p.data[p.pos:])
			if r == utf8.RuneError && n <= 1 {
				return "", errors.New("not valid UTF-8")
			}
			b.Write(p.data[p.pos : p.pos+n])
			p.pos += n
		}
	}
	return "", errors.New("a string without its closing quotation mark")
}

func (p *jsonParser) escape(b *strings.Builder) error {
	if p.pos+1 >= len(p.data) {
		return errors.New("the JSON text ends too early")
	}
	c := p.data[p.pos+1]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		b.WriteByte("\"\\/\b\f\n\r\t"[i])
		p.pos += 2
		return nil
	}
	if c != 'u' {
		return errors.New("an escape that JSON does not have")
	}
	hi, err := p.hex4(p.pos + 2)
	if err != nil {
		return err
	}
	switch {
	case 0xD800 <= hi && hi < 0xDC00:
		if p.pos+7 >= len(p.data) || p.data[p.pos+6] != '\\' || p.data[p.pos+7] != 'u' {
			return errors.New("half of a surrogate pair")
		}
		lo, err := p.hex4(p.pos + 8)
		if err != nil {
			return err
		}
		if lo < 0xDC00 || lo > 0xDFFF {
			return errors.New("half of a surrogate pair")
		}
		b.WriteRune(0x10000 + (hi-0xD800)<<10 + (lo - 0xDC00))
		p.pos += 12
	case 0xDC00 <= hi && hi < 0xE000:
		return errors.New("half of a surrogate pair")
	default:
		b.WriteRune(hi)
		p.pos += 6
	}
	return nil
}

func (p *jsonParser) hex4(at int) (rune, error) {
	if at+4 > len(p.data) {
		return 0, errors.New("the JSON text ends too early")
	}
	var r rune
	for _, c := range p.data[at : at+4] {
		if !isHex(c) {
			return 0, errors.New(`\u needs four hexadecimal digits`)
		}
		d, _ := strconv.ParseUint(string(c), 16, 8)
		r = r<<4 | rune(d)
	}
	return r, nil
}

func (p *jsonParser) number() (any, error) {
	start := p.pos
	digits := func() int {
		n := p.pos
		for isDigit(p.peek()) {
			p.pos++
		}
		return p.pos - n
	}
	bad := func(reason string) (any, error) {
		p.pos = start
		return nil, errors.New(reason)
	}
	if p.peek() == '-' {
		p.pos++
	}
	zero := p.peek() == '0'
	if n := digits(); n == 0 || zero && n > 1 {
		return bad("not a JSON number")
	}
	if p.peek() == '.' {
		p.pos++
		if digits() == 0 {
			return bad("not a JSON number")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if digits() == 0 {
			return bad("not a JSON number")
		}
	}
	text := string(p.data[start:p.pos])
	if !isExactDouble(text) {
		return bad("a number that a double cannot hold exactly; write it as a string")
	}
	return json.Number(text), nil
}

// isExactDouble reports whether the JSON number text says no more than the shortest text
// of the double that it is read as: then its canonical form (RFC 8785 section 3.2.2.3) has
// the same value. 12345678901234567890 and 0.10000000000000000001 do not.
func isExactDouble(text string) bool {
	if len(text) > 40 { // longer than any shortest text of a double
		return false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return false
	}
	d1, e1, ok := decimal(text)
	d2, e2, _ := decimal(strconv.FormatFloat(f, 'e', -1, 64))
	return ok && d1 == d2 && (d1 == "" || e1 == e2)
}

// decimal returns the significant digits of a number, and the power of ten of the first.
func decimal(text string) (digits string, exp int, ok bool) {
	text = strings.TrimPrefix(text, "-")
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		var err error
		if exp, err = strconv.Atoi(text[i+1:]); err != nil {
			return "", 0, false
		}
		text = text[:i]
	}
	whole, frac, _ := strings.Cut(text, ".")
	exp += len(whole) - 1
	all := whole + frac
	trimmed := strings.TrimLeft(all, "0")
	exp -= len(all) - len(trimmed)
	return strings.TrimRight(trimmed, "0"), exp, true
}
