package credentials

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"ihyid/credentials/contexts"
	"ihyid/credentials/dataintegrity"
)

// ErrModel is wrapped by every error that says a document is not what the data model requires.
var ErrModel = errors.New("not as the data model requires")

// FieldError says which member of a document is wrong. It never repeats a value.
type FieldError struct {
	Field string // a path such as credentialSubject[1].id
	What  string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.What }
func (e *FieldError) Unwrap() error { return ErrModel }

func wrong(field, format string, args ...any) error {
	return &FieldError{Field: field, What: fmt.Sprintf(format, args...)}
}

// The versions of the data model. Documents of both are verified; those that are made here are of the newer one.
const (
	Version2 = "2.0"
	Version1 = "1.1"
)

// versionOf tells the version of a document by the context that it names first; empty if that is of neither.
func versionOf(d map[string]any) string {
	list, _ := d["@context"].([]any)
	switch {
	case len(list) == 0:
	case list[0] == ContextV2:
		return Version2
	case list[0] == contexts.CredentialsV1:
		return Version1
	}
	return ""
}

// credential is what the checks need to know of a credential that passed checkCredential.
type credential struct {
	version               string
	issuer                string
	validFrom, validUntil time.Time // zero where absent
	status, schema        bool      // whether the document has them
}

// checkCredential holds a credential to the MUSTs of VCDM 2.0, or 1.1, that can be seen without a context.
func checkCredential(d map[string]any) (*credential, error) {
	c := &credential{version: versionOf(d)}
	if err := checkBase(d, "VerifiableCredential"); err != nil {
		return nil, err
	}
	var err error
	if c.issuer, err = identified(d, "issuer"); err != nil {
		return nil, err
	}
	if err := c.period(d); err != nil {
		return nil, err
	}
	if err := checkSubjects(d); err != nil {
		return nil, err
	}
	if err := checkProperties(d, c.version); err != nil {
		return nil, err
	}
	_, c.status = d["credentialStatus"]
	_, c.schema = d["credentialSchema"]
	return c, nil
}

// period reads the period of validity. Version 1.1 has issuanceDate, which is required, and expirationDate (its sections 4.6 and 4.7); its context has the later
// names as well, and where both stand the narrower period counts. In version 2.0 the older names have no place.
func (c *credential) period(d map[string]any) error {
	var err error
	if c.validFrom, err = moment(d, "validFrom"); err != nil {
		return err
	}
	if c.validUntil, err = moment(d, "validUntil"); err != nil {
		return err
	}
	end := "validUntil"
	if c.version == Version1 {
		if _, ok := d["issuanceDate"]; !ok {
			return wrong("issuanceDate", "is missing")
		}
		issued, err := moment(d, "issuanceDate")
		if err != nil {
			return err
		}
		expires, err := moment(d, "expirationDate")
		if err != nil {
			return err
		}
		if issued.After(c.validFrom) {
			c.validFrom = issued
		}
		if !expires.IsZero() && (c.validUntil.IsZero() || expires.Before(c.validUntil)) {
			c.validUntil, end = expires, "expirationDate"
		}
	} else {
		for _, field := range []string{"issuanceDate", "expirationDate"} {
			if _, ok := d[field]; ok {
				return wrong(field, "belongs to version 1.1 of the data model")
			}
		}
	}
	if !c.validFrom.IsZero() && !c.validUntil.IsZero() && c.validUntil.Before(c.validFrom) {
		return wrong(end, "lies before the beginning")
	}
	return nil
}

// presentation is what the checks need to know of a presentation.
type presentation struct {
	version     string
	holder      string
	credentials []map[string]any
}

func checkPresentation(d map[string]any) (*presentation, error) {
	p := &presentation{version: versionOf(d)}
	if err := checkBase(d, "VerifiablePresentation"); err != nil {
		return nil, err
	}
	if _, ok := d["holder"]; ok {
		var err error
		if p.holder, err = identified(d, "holder"); err != nil {
			return nil, err
		}
	}
	if err := checkTyped(d, "termsOfUse"); err != nil {
		return nil, err
	}
	v, ok := d["verifiableCredential"]
	if ok && v == nil {
		return nil, wrong("verifiableCredential", "is null")
	}
	for i, e := range each(v) {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, wrong(fmt.Sprintf("verifiableCredential[%d]", i), "is not an object")
		}
		p.credentials = append(p.credentials, m)
	}
	return p, nil
}

// checkBase checks what credentials and presentations have in common.
func checkBase(d map[string]any, typ string) error {
	list, ok := d["@context"].([]any)
	if !ok || len(list) == 0 {
		return wrong("@context", "is not a list that begins with %s", ContextV2)
	}
	if versionOf(d) == "" {
		return wrong("@context", "does not begin with %s, nor with that of version 1.1", ContextV2)
	}
	for i, c := range list[1:] {
		switch c := c.(type) {
		case string:
			if !isURL(c) {
				return wrong(fmt.Sprintf("@context[%d]", i+1), "is not a URL")
			}
		case map[string]any:
		default:
			return wrong(fmt.Sprintf("@context[%d]", i+1), "is neither a URL nor an object")
		}
	}
	if err := checkID(d, "id"); err != nil {
		return err
	}
	return checkType(d, typ)
}

// checkType checks that `type` holds one or more strings, and typ among them unless that is empty.
func checkType(d map[string]any, typ string) error {
	types := each(d["type"])
	if len(types) == 0 {
		return wrong("type", "is missing")
	}
	for i, t := range types {
		if s, ok := t.(string); !ok || s == "" {
			return wrong(fmt.Sprintf("type[%d]", i), "is not a non-empty string")
		}
	}
	if typ != "" && !hasType(d, typ) {
		return wrong("type", "does not name %s", typ)
	}
	return nil
}

// hasType reports whether `type` names typ.
func hasType(d map[string]any, typ string) bool {
	for _, t := range each(d["type"]) {
		if t == typ {
			return true
		}
	}
	return false
}

func checkSubjects(d map[string]any) error {
	v, ok := d["credentialSubject"]
	if !ok {
		return wrong("credentialSubject", "is missing")
	}
	subjects := each(v)
	if len(subjects) == 0 {
		return wrong("credentialSubject", "is empty")
	}
	for i, s := range subjects {
		field := fmt.Sprintf("credentialSubject[%d]", i)
		m, ok := s.(map[string]any)
		if !ok {
			return wrong(field, "is not an object")
		}
		if len(m) == 0 {
			return wrong(field, "is empty")
		}
		if err := checkID(m, "id"); err != nil {
			return wrong(field+".id", "is not a URL")
		}
	}
	return nil
}

// each gives the members of a list, or a lone value as a list of one; nil for no value.
func each(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// checkID checks an optional identifier: one URL.
func checkID(d map[string]any, field string) error {
	v, ok := d[field]
	if !ok {
		return nil
	}
	if s, ok := v.(string); !ok || !isURL(s) {
		return wrong(field, "is not a URL")
	}
	return nil
}

// identified reads a member that is a URL, or an object whose id is one.
func identified(d map[string]any, field string) (string, error) {
	switch v := d[field].(type) {
	case nil:
		return "", wrong(field, "is missing")
	case string:
		if isURL(v) {
			return v, nil
		}
	case map[string]any:
		if id, ok := v["id"].(string); ok && isURL(id) {
			return id, nil
		}
	}
	return "", wrong(field, "is neither a URL nor an object whose id is one")
}

func moment(d map[string]any, field string) (time.Time, error) {
	v, ok := d[field]
	if !ok {
		return time.Time{}, nil
	}
	s, ok := v.(string)
	if !ok {
		return time.Time{}, wrong(field, "is not a string")
	}
	t, err := dataintegrity.ParseTime(s)
	if err != nil {
		return time.Time{}, wrong(field, "%v", err)
	}
	return t, nil
}

// isURL reports whether s is an absolute URL or URN: a scheme (RFC 3986 section 3.1), something after
// it, and no character that an IRI may not hold (RFC 3987, and what RDF forbids in IRIs).
func isURL(s string) bool {
	i := strings.IndexByte(s, ':')
	if i <= 0 || i == len(s)-1 {
		return false
	}
	for k := range i {
		c := s[k] | 0x20
		letter := 'a' <= c && c <= 'z'
		other := '0' <= s[k] && s[k] <= '9' || strings.IndexByte("+-.", s[k]) >= 0
		if !letter && (k == 0 || !other) {
			return false
		}
	}
	for _, r := range s[i+1:] {
		if r <= 0x20 || r == 0x7F || strings.ContainsRune("<>\"{}|\\^`", r) {
			return false
		}
	}
	return true
}
