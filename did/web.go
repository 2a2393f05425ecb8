package did

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Web makes and reads did:web identifiers (W3C CCG draft). The zero value keeps to the
// draft: a host name, never an IP address.
type Web struct {
	// AllowLoopback admits the hosts localhost, *.localhost and 127.0.0.0/8, for tests and
	// demonstrations on one machine. The draft forbids IP addresses; no other address is
	// ever admitted, nor any of the spellings (127.1, 0x7f000001, 2130706433) that
	// resolvers take for one.
	AllowLoopback bool
}

// WebDID is [Web.DID] of the zero Web.
func WebDID(host string, path ...string) (string, error) { return Web{}.DID(host, path...) }

// WebURL is [Web.URL] of the zero Web.
func WebURL(did string) (string, error) { return Web{}.URL(did) }

// DID returns did:web:HOST, did:web:HOST%3APORT or either with path segments appended. host
// is a name in ASCII (an international name in its xn-- form), put into lower case here,
// with an optional :port; the default port 443 is left out. A path segment is written as in
// a URL: letters, digits, ".", "-" and "_", all else percent-encoded. Its error is an
// [*Error] of code [InvalidDID].
func (w Web) DID(host string, path ...string) (string, error) {
	name, port, hasPort := strings.Cut(strings.ToLower(host), ":")
	var b strings.Builder
	b.WriteString("did:web:")
	b.WriteString(name)
	if hasPort && port != "443" {
		b.WriteString("%3A")
		b.WriteString(port)
	}
	for _, p := range path {
		b.WriteByte(':')
		b.WriteString(p)
	}
	// A colon would begin another path segment unseen.
	if strings.Contains(port+strings.Join(path, ""), ":") {
		return "", &Error{Code: InvalidDID, Err: errors.New("a colon in the port or in a path segment")}
	}
	s := b.String()
	if _, err := w.URL(s); err != nil {
		return "", err
	}
	return s, nil
}

// URL returns the https URL of the document of a did:web: /.well-known/did.json, or
// /PATH/did.json. Its error is an [*Error] of code [InvalidDID], or [MethodNotSupported]
// for a DID of another method.
//
// A host is held to the rules of host names (RFC 1123), in lower case, without a final dot.
// Its port is written after %3A, with an upper-case A. The draft leaves both open, and two
// spellings of one identity would defeat pinning.
func (w Web) URL(did string) (string, error) {
	d, err := Parse(did)
	if err != nil {
		return "", err
	}
	if d.Method() != "web" {
		return "", &Error{Code: MethodNotSupported, DID: did, Err: errors.New("not a did:web")}
	}
	u, err := w.url(d.ID())
	if err != nil {
		return "", &Error{Code: InvalidDID, DID: did, Err: err}
	}
	return u, nil
}

func (w Web) url(id string) (string, error) {
	host, path, hasPath := strings.Cut(id, ":")
	name, port, hasPort := strings.Cut(host, "%3A")
	if err := w.checkHost(name); err != nil {
		return "", err
	}
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '0' || port[0] == '+' {
			return "", errors.New("the port is not a number from 1 to 65535")
		}
		name += ":" + port
	}
	if !hasPath {
		return "https://" + name + "/.well-known/did.json", nil
	}
	segments := strings.Split(path, ":")
	for i, s := range segments {
		if err := checkSegment(s); err != nil {
			return "", fmt.Errorf("path segment %d %w", i+1, err)
		}
	}
	return "https://" + name + "/" + strings.Join(segments, "/") + "/did.json", nil
}

func (w Web) checkHost(name string) error {
	if name == "" {
		return errors.New("the host name is missing")
	}
	if len(name) > 253 {
		return errors.New("the host name is longer than 253 characters")
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return errors.New("a label of the host name is empty or longer than 63 characters")
		}
		for i := range len(l) {
			c := l[i]
			switch {
			case isLower(c), isDigit(c), c == '-' && i > 0 && i < len(l)-1:
			case 'A' <= c && c <= 'Z':
				return errors.New("the host name has upper-case letters; write it in lower case")
			case c == '%':
				return errors.New("percent-encoding in the host name (only a port follows it, as %3APORT with a capital A)")
			default:
				return errors.New("a character that host names do not have")
			}
		}
	}
	last := labels[len(labels)-1]
	if last == "localhost" {
		if !w.AllowLoopback {
			return errors.New("localhost is refused unless loopback hosts are allowed")
		}
		return nil
	}
	// Resolvers take a name whose last label is a number for an IPv4 address in one of many
	// spellings (WHATWG URL section 3.5, "ends in a number").
	if isNumberLabel(last) {
		addr, err := netip.ParseAddr(name)
		switch {
		case err != nil:
			return errors.New("the host name ends in a number, as an IP address does")
		case !addr.IsLoopback():
			return errors.New("did:web does not allow IP addresses")
		case !w.AllowLoopback:
			return errors.New("did:web does not allow IP addresses (127.0.0.0/8 can be allowed for tests)")
		}
	}
	return nil
}

func isNumberLabel(l string) bool {
	if hex, ok := strings.CutPrefix(l, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(l, "0123456789") == ""
}

// checkSegment refuses segments that would leave the path once decoded. Parse has checked
// the percent-encoding.
func checkSegment(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	plain, err := url.PathUnescape(s)
	if err != nil {
		return errors.New("is not valid percent-encoding")
	}
	if plain == "." || plain == ".." {
		return errors.New("is a dot segment")
	}
	for _, c := range []byte(plain) {
		if c < ' ' || c == 0x7f || strings.IndexByte(`/\%?#`, c) >= 0 {
			return errors.New("holds an encoded slash, percent sign or control character")
		}
	}
	return nil
}
