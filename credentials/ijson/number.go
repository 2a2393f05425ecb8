package ijson

import (
	"strconv"
	"strings"
)

// number reads a number by the grammar of RFC 8259 section 6 and refuses it if the canonical form
// would show another one.
func (p *parser) number() (any, error) {
	start := p.i
	negative := p.at('-')
	switch {
	case p.at('0'):
	case p.digits() > 0:
	default:
		return nil, ErrSyntax
	}
	simple := true
	if p.at('.') {
		simple = false
		if p.digits() == 0 {
			return nil, ErrSyntax
		}
	}
	if p.at('e') || p.at('E') {
		simple = false
		if !p.at('+') {
			p.at('-')
		}
		if p.digits() == 0 {
			return nil, ErrSyntax
		}
	}
	text := p.s[start:p.i]
	f, err := strconv.ParseFloat(text, 64)
	if err == nil && f == 0 && negative {
		err = ErrNumber // -0 would lose its sign
	}
	if err == nil && (!simple || len(text) > 15) && !sameDecimal(text, f) {
		err = ErrNumber
	}
	if err != nil {
		p.i = start
		return nil, ErrNumber
	}
	return f, nil
}

func (p *parser) digits() int {
	start := p.i
	for p.i < len(p.s) && '0' <= p.s[p.i] && p.s[p.i] <= '9' {
		p.i++
	}
	return p.i - start
}

// sameDecimal reports whether the shortest decimal that names f is the very number in text.
func sameDecimal(text string, f float64) bool {
	d1, e1, ok := decimal(text)
	if !ok {
		return false
	}
	d2, e2, _ := decimal(strconv.FormatFloat(f, 'e', -1, 64))
	return d1 == d2 && e1 == e2
}

// decimal brings a JSON number to significant digits and the exponent of the last of them.
func decimal(text string) (digits string, exp int, ok bool) {
	text = strings.TrimPrefix(text, "-")
	if k := strings.IndexAny(text, "eE"); k >= 0 {
		e, err := strconv.Atoi(text[k+1:])
		if err != nil {
			return "", 0, false
		}
		text, exp = text[:k], e
	}
	if k := strings.IndexByte(text, '.'); k >= 0 {
		exp -= len(text) - k - 1
		text = text[:k] + text[k+1:]
	}
	text = strings.TrimLeft(text, "0")
	digits = strings.TrimRight(text, "0")
	if digits == "" {
		return "", 0, true
	}
	return digits, exp + len(text) - len(digits), true
}
