package rdfc

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Kind is the kind of a term.
type Kind uint8

// The kinds of terms. Default stands for the default graph and is no term elsewhere.
const (
	Default Kind = iota
	IRI
	Blank
	Literal
)

// Datatypes that canonical N-Quads leave out.
const (
	xsdString  = "http://www.w3.org/2001/XMLSchema#string"
	langString = "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString"
)

// Term is a member of a quad.
type Term struct {
	Kind     Kind
	Value    string // the IRI; the label of a blank node without "_:"; the lexical form of a literal
	Datatype string // IRI of a literal; empty: xsd:string, or rdf:langString with a Language
	Language string // tag of a literal
}

// Quad is a statement in a graph.
type Quad struct {
	Subject, Predicate, Object, Graph Term
}

// ErrTerm is wrapped by errors about quads that RDF or N-Quads does not allow.
var ErrTerm = errors.New("not a valid RDF quad")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTerm, fmt.Sprintf(format, args...))
}

// Validate reports what is wrong with a quad. It never repeats a value.
func (q *Quad) Validate() error {
	switch q.Subject.Kind {
	case IRI, Blank:
	default:
		return bad("the subject is neither an IRI nor a blank node")
	}
	if q.Predicate.Kind != IRI {
		return bad("the predicate is not an IRI")
	}
	if q.Object.Kind == Default {
		return bad("the object is missing")
	}
	if q.Graph.Kind == Literal {
		return bad("the graph name is a literal")
	}
	for _, t := range []*Term{&q.Subject, &q.Predicate, &q.Object, &q.Graph} {
		if err := t.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (t *Term) validate() error {
	switch t.Kind {
	case IRI:
		return CheckIRI(t.Value)
	case Blank:
		if t.Value == "" {
			return bad("a blank node has no label")
		}
	case Literal:
		if !utf8.ValidString(t.Value) {
			return bad("a literal is not UTF-8")
		}
		if t.Language != "" {
			if t.Datatype != "" && t.Datatype != langString {
				return bad("a literal has a language and a datatype")
			}
			return CheckLanguage(t.Language)
		}
		if t.Datatype == langString {
			return bad("a language-tagged literal has no language")
		}
		if t.Datatype != "" {
			return CheckIRI(t.Datatype)
		}
	}
	return nil
}

// CheckIRI reports whether s is an absolute IRI as N-Quads writes it: a scheme, a colon and no
// character of the set that IRIREF excludes.
func CheckIRI(s string) error {
	colon := strings.IndexByte(s, ':')
	if colon <= 0 {
		return bad("an IRI is not absolute")
	}
	for i := range colon {
		c := s[i]
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return bad("an IRI is not absolute")
		}
	}
	for i := colon + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c <= 0x20, c == '<', c == '>', c == '"', c == '{', c == '}', c == '|', c == '^', c == '`', c == '\\':
			return bad("an IRI holds a character that IRIs may not hold")
		}
	}
	if !utf8.ValidString(s) {
		return bad("an IRI is not UTF-8")
	}
	return nil
}

// CheckLanguage reports whether s has the form of a language tag (BCP 47 section 2.1, and LANGTAG of N-Quads).
func CheckLanguage(s string) error {
	for i, part := range strings.Split(s, "-") {
		if len(part) < 1 || len(part) > 8 {
			return bad("a language tag is not well-formed")
		}
		for _, c := range []byte(part) {
			if !('a' <= c|0x20 && c|0x20 <= 'z' || i > 0 && '0' <= c && c <= '9') {
				return bad("a language tag is not well-formed")
			}
		}
	}
	return nil
}

// appendNQuad writes a quad in canonical form; label writes what stands for a blank node.
func appendNQuad(dst []byte, q *Quad, label func([]byte, *Term) []byte) []byte {
	dst = appendTerm(dst, &q.Subject, label)
	dst = append(dst, ' ')
	dst = appendTerm(dst, &q.Predicate, label)
	dst = append(dst, ' ')
	dst = appendTerm(dst, &q.Object, label)
	if q.Graph.Kind != Default {
		dst = append(dst, ' ')
		dst = appendTerm(dst, &q.Graph, label)
	}
	return append(dst, " .\n"...)
}

func appendTerm(dst []byte, t *Term, label func([]byte, *Term) []byte) []byte {
	switch t.Kind {
	case IRI:
		dst = append(dst, '<')
		dst = append(dst, t.Value...)
		return append(dst, '>')
	case Blank:
		return label(dst, t)
	}
	dst = append(dst, '"')
	dst = appendEscaped(dst, t.Value)
	dst = append(dst, '"')
	switch {
	case t.Language != "":
		dst = append(dst, '@')
		dst = append(dst, t.Language...)
	case t.Datatype != "" && t.Datatype != xsdString:
		dst = append(dst, "^^<"...)
		dst = append(dst, t.Datatype...)
		dst = append(dst, '>')
	}
	return dst
}

const upperHex = "0123456789ABCDEF"

// appendEscaped writes a lexical form by appendix A: ECHAR for seven characters, UCHAR for the other
// control characters, for DEL and for what XML 1.1 has no Char for (U+FFFE and U+FFFF), all else as it is.
func appendEscaped(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c != 0x7F && c != 0xEF {
			continue
		}
		if c == 0xEF {
			if !strings.HasPrefix(s[i:], "\uFFFE") && !strings.HasPrefix(s[i:], "\uFFFF") {
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', 'F', 'F', 'F', upperHex[s[i+2]&15])
			i += 2
			start = i + 1
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '"', '\\':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, '\\', 'u', '0', '0', upperHex[c>>4], upperHex[c&15])
		}
	}
	return append(dst, s[start:]...)
}
