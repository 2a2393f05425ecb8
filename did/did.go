package did

import (
	"errors"
	"fmt"
	"strings"
)

// MaxDIDLength is the longest DID accepted, in bytes. DID Core names no limit; real DIDs
// of the methods supported here stay below 300.
const MaxDIDLength = 1024

// MaxURLLength is the longest DID URL accepted, in bytes.
const MaxURLLength = 4096

// DID is a decentralised identifier, checked against the ABNF of DID Core 1.0 section 3.1.
// It is comparable; two DIDs are the same if their bytes are (DID Core has no normal form).
// The zero DID is not valid and prints as "".
type DID struct {
	text  string
	colon int // index of the colon after the method name
}

// Parse checks that s is a DID: no path, query or fragment. Its error is an [*Error] of
// code [InvalidDID]. The rules of the DID's method are not checked.
func Parse(s string) (DID, error) {
	d, err := parseDID(s)
	if err != nil {
		return DID{}, &Error{Code: InvalidDID, Err: err}
	}
	return d, nil
}

func parseDID(s string) (DID, error) {
	if len(s) > MaxDIDLength {
		return DID{}, fmt.Errorf("longer than %d bytes", MaxDIDLength)
	}
	rest, ok := strings.CutPrefix(s, "did:")
	if !ok {
		return DID{}, errors.New(`no "did:" at the beginning`)
	}
	n := 0
	for n < len(rest) && (isLower(rest[n]) || isDigit(rest[n])) {
		n++
	}
	if n == 0 {
		return DID{}, errors.New("no method name (lower-case letters and digits) after \"did:\" at the beginning")
	}
	if n == len(rest) || rest[n] != ':' {
		return DID{}, fmt.Errorf("column %d: a method name is lower-case letters and digits and ends with a colon", 4+n+1)
	}
	colon := 4 + n
	// method-specific-id = *( *idchar ":" ) 1*idchar
	for i := colon + 1; i < len(s); i++ {
		switch c := s[i]; {
		case isAlnum(c), c == '.', c == '-', c == '_', c == ':':
		case c == '%':
			if !isPctEncoded(s, i) {
				return DID{}, fmt.Errorf("column %d: a percent sign needs two hexadecimal digits", i+1)
			}
			i += 2
		case c == '/', c == '?', c == '#':
			return DID{}, fmt.Errorf("column %d: a DID has no path, query or fragment (this may be a DID URL)", i+1)
		default:
			return DID{}, fmt.Errorf("column %d: character not allowed in a DID", i+1)
		}
	}
	if colon == len(s)-1 || s[len(s)-1] == ':' {
		return DID{}, errors.New("no identifier after the last colon")
	}
	return DID{text: s, colon: colon}, nil
}

// String returns the DID as it was parsed.
func (d DID) String() string { return d.text }

// Method returns the method name, such as "web".
func (d DID) Method() string {
	if d.text == "" {
		return ""
	}
	return d.text[len("did:"):d.colon]
}

// ID returns the method-specific identifier: all that follows the method name's colon.
func (d DID) ID() string {
	if d.text == "" {
		return ""
	}
	return d.text[d.colon+1:]
}

// IsZero reports whether d is the zero DID.
func (d DID) IsZero() bool { return d.text == "" }

// MarshalText implements [encoding.TextMarshaler].
func (d DID) MarshalText() ([]byte, error) { return []byte(d.text), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]; it accepts what [Parse] accepts.
func (d *DID) UnmarshalText(b []byte) error {
	parsed, err := Parse(string(b))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// URL is a DID URL (DID Core 1.0 section 3.2): a DID and what follows it. Path begins with
// a slash or is empty; Query and Fragment are without their "?" and "#". All are kept as
// written, percent-encoding included.
type URL struct {
	DID      DID
	Path     string
	Query    string
	Fragment string

	// An empty query or fragment is not the same URL as none.
	hasQuery, hasFragment bool
}

// ParseURL checks that s is an absolute DID URL; every DID is one. Its error is an [*Error]
// of code [InvalidDIDURL].
func ParseURL(s string) (URL, error) {
	u, err := parseURL(s)
	if err != nil {
		return URL{}, &Error{Code: InvalidDIDURL, Err: err}
	}
	return u, nil
}

func parseURL(s string) (URL, error) {
	if len(s) > MaxURLLength {
		return URL{}, fmt.Errorf("longer than %d bytes", MaxURLLength)
	}
	var u URL
	rest := s
	rest, u.Fragment, u.hasFragment = strings.Cut(rest, "#")
	rest, u.Query, u.hasQuery = strings.Cut(rest, "?")
	base := rest
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		base, u.Path = rest[:i], rest[i:]
	}
	var err error
	if u.DID, err = parseDID(base); err != nil {
		return URL{}, err
	}
	queryAt := len(rest) + 1
	fragmentAt := queryAt + len(u.Query)
	if u.hasQuery {
		fragmentAt++
	}
	for _, part := range []struct {
		name, text, extra string
		at                int
	}{
		{"path", u.Path, "/", len(base)},
		{"query", u.Query, "/?", queryAt},
		{"fragment", u.Fragment, "/?", fragmentAt},
	} {
		if i := firstNotPchar(part.text, part.extra); i >= 0 {
			return URL{}, fmt.Errorf("column %d: character not allowed in the %s of a DID URL", part.at+i+1, part.name)
		}
	}
	return u, nil
}

// String returns the URL as it was parsed. For a URL made from its fields, an empty query
// or fragment is left out.
func (u URL) String() string {
	var b strings.Builder
	b.WriteString(u.DID.text)
	b.WriteString(u.Path)
	if u.hasQuery || u.Query != "" {
		b.WriteByte('?')
		b.WriteString(u.Query)
	}
	if u.hasFragment || u.Fragment != "" {
		b.WriteByte('#')
		b.WriteString(u.Fragment)
	}
	return b.String()
}

// IsDID reports whether u is a bare DID.
func (u URL) IsDID() bool {
	return u.Path == "" && u.Query == "" && u.Fragment == "" && !u.hasQuery && !u.hasFragment
}

// firstNotPchar returns the index of the first byte of s that is neither a pchar of RFC
// 3986 section 3.3 nor in extra, or -1.
func firstNotPchar(s, extra string) int {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isAlnum(c), strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0, strings.IndexByte(extra, c) >= 0:
		case c == '%' && isPctEncoded(s, i):
			i += 2
		default:
			return i
		}
	}
	return -1
}

func isPctEncoded(s string, i int) bool {
	return i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2])
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlnum(c byte) bool { return isLower(c) || isDigit(c) || 'A' <= c && c <= 'Z' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
