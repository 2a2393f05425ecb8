package rdfc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// parseNQuads reads N-Quads 1.1, for the tests only.
func parseNQuads(text string) ([]Quad, error) {
	var quads []Quad
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		p := nquadParser{s: line}
		q, err := p.quad()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		quads = append(quads, q)
	}
	return quads, nil
}

type nquadParser struct{ s string }

var errNQuad = errors.New("not an N-Quad")

func (p *nquadParser) quad() (Quad, error) {
	var q Quad
	for i, t := range []*Term{&q.Subject, &q.Predicate, &q.Object, &q.Graph} {
		p.s = strings.TrimLeft(p.s, " \t")
		if i == 3 && strings.HasPrefix(p.s, ".") {
			break
		}
		var err error
		if *t, err = p.term(); err != nil {
			return q, err
		}
	}
	p.s = strings.TrimLeft(p.s, " \t")
	rest := strings.TrimLeft(strings.TrimPrefix(p.s, "."), " \t")
	if !strings.HasPrefix(p.s, ".") || rest != "" && rest[0] != '#' {
		return q, errNQuad
	}
	return q, nil
}

func (p *nquadParser) term() (Term, error) {
	switch {
	case strings.HasPrefix(p.s, "<"):
		v, rest, ok := strings.Cut(p.s[1:], ">")
		if !ok {
			return Term{}, errNQuad
		}
		p.s = rest
		v, err := unescape(v)
		return Term{Kind: IRI, Value: v}, err
	case strings.HasPrefix(p.s, "_:"):
		end := strings.IndexAny(p.s, " \t")
		if end < 0 {
			return Term{}, errNQuad
		}
		v := p.s[2:end]
		p.s = p.s[end:]
		return Term{Kind: Blank, Value: v}, nil
	case strings.HasPrefix(p.s, `"`):
		end := 1
		for end < len(p.s) && p.s[end] != '"' {
			if p.s[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(p.s) {
			return Term{}, errNQuad
		}
		v, err := unescape(p.s[1:end])
		if err != nil {
			return Term{}, err
		}
		t := Term{Kind: Literal, Value: v}
		p.s = p.s[end+1:]
		switch {
		case strings.HasPrefix(p.s, "@"):
			end := strings.IndexAny(p.s, " \t.")
			if end < 0 {
				return Term{}, errNQuad
			}
			t.Language = p.s[1:end]
			p.s = p.s[end:]
		case strings.HasPrefix(p.s, "^^<"):
			p.s = p.s[2:]
			d, err := p.term()
			if err != nil {
				return Term{}, err
			}
			t.Datatype = d.Value
		}
		return t, nil
	}
	return Term{}, errNQuad
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i >= len(s) {
			return "", errNQuad
		}
		digits := 0
		switch s[i] {
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		default:
			k := strings.IndexByte(`tbnrf"'\`, s[i])
			if k < 0 {
				return "", errNQuad
			}
			b.WriteByte("\t\b\n\r\f\"'\\"[k])
			continue
		}
		if i+1+digits > len(s) {
			return "", errNQuad
		}
		n, err := strconv.ParseUint(s[i+1:i+1+digits], 16, 32)
		if err != nil || !utf8.ValidRune(rune(n)) {
			return "", errNQuad
		}
		b.WriteRune(rune(n))
		i += digits
	}
	return b.String(), nil
}

func mustParse(t testing.TB, text string) []Quad {
	t.Helper()
	quads, err := parseNQuads(text)
	if err != nil {
		t.Fatal(err)
	}
	return quads
}
