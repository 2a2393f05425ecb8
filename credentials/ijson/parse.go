package ijson

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Default limits. A credential is a few KiB and a handful of levels; a presentation with a bundle's
// chunk roots some tens of KiB.
const (
	DefaultMaxBytes  = 1 << 20
	DefaultMaxDepth  = 64
	DefaultMaxValues = 100_000
)

// Limits bounds what Parse accepts. A zero field stands for its default.
type Limits struct {
	MaxBytes  int // length of the document in bytes
	MaxDepth  int // arrays and objects within each other
	MaxValues int // values of every kind in the document, keys not counted
}

func (l Limits) withDefaults() Limits {
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	if l.MaxDepth <= 0 {
		l.MaxDepth = DefaultMaxDepth
	}
	if l.MaxValues <= 0 {
		l.MaxValues = DefaultMaxValues
	}
	return l
}

// The reasons for which a document is refused. A SyntaxError wraps one of them.
var (
	ErrSyntax       = errors.New("not well-formed JSON")
	ErrDuplicateKey = errors.New("the same key stands twice in one object")
	ErrUTF8         = errors.New("not valid UTF-8")
	ErrSurrogate    = errors.New("a lone surrogate is no character")
	ErrNumber       = errors.New("the number cannot be kept exactly; write it as a string")
	ErrTooLarge     = errors.New("the document is larger than allowed")
	ErrTooDeep      = errors.New("the document is nested deeper than allowed")
	ErrTooMany      = errors.New("the document holds more values than allowed")
	ErrTrailing     = errors.New("something follows the document")
	ErrNotObject    = errors.New("the document is not a JSON object")
)

// SyntaxError says where a document is wrong: line and column count from 1, the column in bytes.
type SyntaxError struct {
	Line, Column int
	Err          error
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %v", e.Line, e.Column, e.Err)
}

func (e *SyntaxError) Unwrap() error { return e.Err }

// Parse reads one JSON document. Errors are of type *SyntaxError.
func Parse(data []byte, limits Limits) (any, error) {
	l := limits.withDefaults()
	if len(data) > l.MaxBytes {
		return nil, &SyntaxError{Line: 1, Column: 1, Err: ErrTooLarge}
	}
	p := parser{s: string(data), limits: l}
	v, err := p.document()
	if err != nil {
		line := 1 + strings.Count(p.s[:p.i], "\n")
		column := p.i - strings.LastIndexByte(p.s[:p.i], '\n')
		return nil, &SyntaxError{Line: line, Column: column, Err: err}
	}
	return v, nil
}

// ParseObject is Parse for a document that has to be an object.
func ParseObject(data []byte, limits Limits) (map[string]any, error) {
	v, err := Parse(data, limits)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, &SyntaxError{Line: 1, Column: 1, Err: ErrNotObject}
	}
	return m, nil
}

// parser walks s, which is one copy of the input: strings without escapes are slices of it.
type parser struct {
	s      string
	i      int
	depth  int
	values int
	limits Limits
}

func (p *parser) document() (any, error) {
	p.space()
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	p.space()
	if p.i != len(p.s) {
		return nil, ErrTrailing
	}
	return v, nil
}

func (p *parser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *parser) value() (any, error) {
	if p.values++; p.values > p.limits.MaxValues {
		return nil, ErrTooMany
	}
	if p.i >= len(p.s) {
		return nil, ErrSyntax
	}
	switch c := p.s[p.i]; {
	case c == '{':
		return p.nested((*parser).object)
	case c == '[':
		return p.nested((*parser).array)
	case c == '"':
		return p.str()
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	case c == 't':
		return true, p.literal("true")
	case c == 'f':
		return false, p.literal("false")
	case c == 'n':
		return nil, p.literal("null")
	}
	return nil, ErrSyntax
}

func (p *parser) nested(read func(*parser) (any, error)) (any, error) {
	if p.depth++; p.depth > p.limits.MaxDepth {
		return nil, ErrTooDeep
	}
	p.i++
	v, err := read(p)
	p.depth--
	return v, err
}

func (p *parser) literal(word string) error {
	if !strings.HasPrefix(p.s[p.i:], word) {
		return ErrSyntax
	}
	p.i += len(word)
	return nil
}

func (p *parser) object() (any, error) {
	m := map[string]any{}
	p.space()
	if p.at('}') {
		return m, nil
	}
	for {
		p.space()
		if p.i >= len(p.s) || p.s[p.i] != '"' {
			return nil, ErrSyntax
		}
		start := p.i
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		if _, twice := m[key]; twice {
			p.i = start
			return nil, ErrDuplicateKey
		}
		p.space()
		if !p.at(':') {
			return nil, ErrSyntax
		}
		p.space()
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		m[key] = v
		p.space()
		if p.at('}') {
			return m, nil
		}
		if !p.at(',') {
			return nil, ErrSyntax
		}
	}
}

func (p *parser) array() (any, error) {
	a := []any{}
	p.space()
	if p.at(']') {
		return a, nil
	}
	for {
		p.space()
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		a = append(a, v)
		p.space()
		if p.at(']') {
			return a, nil
		}
		if !p.at(',') {
			return nil, ErrSyntax
		}
	}
}

// at consumes c if it comes next.
func (p *parser) at(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

// str reads a string, the opening quote included.
func (p *parser) str() (string, error) {
	p.i++
	start := p.i
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			p.i++
			return p.s[start : p.i-1], nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", ErrSyntax
		case c < utf8.RuneSelf:
			p.i++
		default:
			r, n := utf8.DecodeRuneInString(p.s[p.i:])
			if r == utf8.RuneError && n <= 1 {
				return "", ErrUTF8
			}
			p.i += n
		}
	}
	return "", ErrSyntax
}

// escaped goes on with a string from its first backslash.
func (p *parser) escaped(start int) (string, error) {
	b := append(make([]byte, 0, p.i-start+32), p.s[start:p.i]...)
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			p.i++
			return string(b), nil
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
		case c < 0x20:
			return "", ErrSyntax
		case c < utf8.RuneSelf:
			b = append(b, c)
			p.i++
		default:
			r, n := utf8.DecodeRuneInString(p.s[p.i:])
			if r == utf8.RuneError && n <= 1 {
				return "", ErrUTF8
			}
			b = append(b, p.s[p.i:p.i+n]...)
			p.i += n
		}
	}
	return "", ErrSyntax
}

// escape reads one escape, both halves of a surrogate pair included.
func (p *parser) escape() (rune, error) {
	if p.i+1 >= len(p.s) {
		return 0, ErrSyntax
	}
	c := p.s[p.i+1]
	if c != 'u' {
		if k := strings.IndexByte(`"\/bfnrt`, c); k >= 0 {
			p.i += 2
			return rune("\"\\/\b\f\n\r\t"[k]), nil
		}
		return 0, ErrSyntax
	}
	r, ok := p.hex4(p.i)
	if !ok {
		return 0, ErrSyntax
	}
	if !utf16.IsSurrogate(r) {
		p.i += 6
		return r, nil
	}
	low, ok := p.hex4(p.i + 6)
	if !ok {
		return 0, ErrSurrogate
	}
	full := utf16.DecodeRune(r, low)
	if full == utf8.RuneError {
		return 0, ErrSurrogate
	}
	p.i += 12
	return full, nil
}

// hex4 reads \uXXXX at i.
func (p *parser) hex4(i int) (rune, bool) {
	if i+6 > len(p.s) || p.s[i] != '\\' || p.s[i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(p.s[i+2 : i+6]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
