package did

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
)

// maxStrings bounds the arrays that are not methods or services: references of one
// relationship, types, endpoints, aliases.
const maxStrings = 256

func parseDocument(b []byte) (*Document, error) {
	if len(b) > MaxDocumentSize {
		return nil, fmt.Errorf("%d bytes, more than %d", len(b), MaxDocumentSize)
	}
	v, size, err := parseJSONSize(b)
	if err != nil {
		return nil, err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	// parseJSON has refused all that the canonical form would blur.
	canonical, err := jcs.Transform(b)
	if err != nil {
		return nil, errors.New("no canonical form (RFC 8785)")
	}
	d := &Document{
		raw:        bytes.Clone(b),
		size:       size + len(b),
		fields:     fields,
		digest:     sha256.Sum256(canonical),
		byID:       map[string]*VerificationMethod{},
		authorized: map[string]map[string]bool{},
	}
	id, ok := fields["id"].(string)
	if !ok {
		return nil, errors.New("id: missing or no string")
	}
	if d.id, err = parseDID(id); err != nil {
		return nil, fmt.Errorf("id: %w", err)
	}
	if err := checkContext(fields); err != nil {
		return nil, err
	}
	if d.controllers, err = stringSet(fields, "controller", true); err != nil {
		return nil, err
	}
	for i, c := range d.controllers {
		if _, err := parseDID(c); err != nil {
			return nil, fmt.Errorf("controller[%d]: %w", i, err)
		}
	}
	if d.alsoKnownAs, err = stringSet(fields, "alsoKnownAs", false); err != nil {
		return nil, err
	}
	for i, a := range d.alsoKnownAs {
		if !isURI(a) {
			return nil, fmt.Errorf("alsoKnownAs[%d]: not a URI", i)
		}
	}
	p := &docParser{doc: d, ids: map[string]bool{}}
	if err := p.methods(); err != nil {
		return nil, err
	}
	for _, rel := range relationships {
		if err := p.relationship(rel); err != nil {
			return nil, err
		}
	}
	if err := p.services(); err != nil {
		return nil, err
	}
	return d, nil
}

// checkContext looks at the form of @context only: JSON consumers must not depend on it
// (DID Core 1.0 section 6.2), and no JSON-LD processing is done here.
func checkContext(fields map[string]any) error {
	switch c := fields["@context"].(type) {
	case nil:
		if _, there := fields["@context"]; there {
			return errors.New("@context: null")
		}
	case string:
	case []any:
		for i, e := range c {
			switch e.(type) {
			case string, map[string]any:
			default:
				return fmt.Errorf("@context[%d]: neither a string nor an object", i)
			}
		}
	default:
		return errors.New("@context: neither a string nor an array")
	}
	return nil
}

type docParser struct {
	doc *Document
	ids map[string]bool // of methods and services
}

func (p *docParser) methods() error {
	list, err := array(p.doc.fields, "verificationMethod", MaxMethods)
	if err != nil {
		return err
	}
	for i, e := range list {
		if _, err := p.method(e); err != nil {
			return fmt.Errorf("verificationMethod[%d]: %w", i, err)
		}
	}
	return nil
}

// method reads a verification method and adds it to the document.
func (p *docParser) method(v any) (*VerificationMethod, error) {
	f, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("not an object")
	}
	if len(p.doc.methods) == MaxMethods {
		return nil, fmt.Errorf("more than %d verification methods", MaxMethods)
	}
	id, err := p.claimID(f)
	if err != nil {
		return nil, err
	}
	m := &VerificationMethod{ID: id, fields: f}
	if m.Type, ok = f["type"].(string); !ok || m.Type == "" {
		return nil, errors.New("type: missing or no string")
	}
	if m.Controller, ok = f["controller"].(string); !ok {
		return nil, errors.New("controller: missing or no string")
	}
	if _, err := parseDID(m.Controller); err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	if m.Expires, err = dateTime(f, "expires"); err != nil {
		return nil, err
	}
	if m.Revoked, err = dateTime(f, "revoked"); err != nil {
		return nil, err
	}
	if err := m.readKey(); err != nil {
		return nil, err
	}
	p.doc.methods = append(p.doc.methods, m)
	p.doc.byID[id] = m
	return m, nil
}

// readKey decodes the key material of the kinds of method that are known here. Broken
// material fails; unknown kinds are noted in m.keyErr.
func (m *VerificationMethod) readKey() error {
	// CID 1.0 section 2.2: the values of the two secret forms must not be published.
	for _, name := range []string{"secretKeyMultibase", "secretKeyJwk", "privateKeyJwk", "privateKeyMultibase", "privateKeyBase58", "privateKeyPem", "privateKeyHex"} {
		if _, there := m.fields[name]; there {
			return fmt.Errorf("%s: a secret key is published", name)
		}
	}
	multikey, hasMultikey := m.fields["publicKeyMultibase"]
	jwk, hasJWK := m.fields["publicKeyJwk"]
	if hasMultikey && hasJWK {
		return errors.New("both publicKeyMultibase and publicKeyJwk")
	}
	m.keyErr = fmt.Errorf("%s: %w", m.ID, ErrUnsupportedKey)
	switch m.Type {
	case "Multikey", "Ed25519VerificationKey2020", "X25519KeyAgreementKey2020":
		s, ok := multikey.(string)
		if !ok {
			return errors.New("publicKeyMultibase: missing or no string")
		}
		return m.setKey("publicKeyMultibase")(DecodeMultikey(s))
	case "JsonWebKey", "JsonWebKey2020":
		f, ok := jwk.(map[string]any)
		if !ok {
			return errors.New("publicKeyJwk: missing or no object")
		}
		return m.setKey("publicKeyJwk")(decodeJWK(f))
	}
	if f, ok := jwk.(map[string]any); ok {
		for _, name := range jwkSecrets {
			if _, there := f[name]; there {
				return errors.New("publicKeyJwk: a secret key is published")
			}
		}
	}
	return nil
}

func (m *VerificationMethod) setKey(where string) func(any, error) error {
	return func(key any, err error) error {
		switch {
		case err == nil:
			m.key, m.keyErr = key, nil
		case errors.Is(err, ErrUnsupportedKey):
		default:
			return fmt.Errorf("%s: %w", where, err)
		}
		return nil
	}
}

func (p *docParser) relationship(rel string) error {
	list, err := array(p.doc.fields, rel, maxStrings)
	if err != nil || len(list) == 0 {
		return err
	}
	set := make(map[string]bool, len(list))
	for i, e := range list {
		ref, isRef := e.(string)
		if !isRef {
			m, err := p.method(e)
			if err != nil {
				return fmt.Errorf("%s[%d]: %w", rel, i, err)
			}
			set[m.ID] = true
			continue
		}
		id := p.doc.absolute(ref)
		u, err := parseURL(id)
		if err != nil {
			return fmt.Errorf("%s[%d]: not a DID URL: %w", rel, i, err)
		}
		if u.DID != p.doc.id {
			continue // another DID's method: legal, and no business of this document
		}
		if p.doc.byID[id] == nil {
			return fmt.Errorf("%s[%d]: refers to a verification method that is not there", rel, i)
		}
		set[id] = true
	}
	p.doc.authorized[rel] = set
	return nil
}

func (p *docParser) services() error {
	list, err := array(p.doc.fields, "service", MaxServices)
	if err != nil {
		return err
	}
	for i, e := range list {
		s, err := p.service(e)
		if err != nil {
			return fmt.Errorf("service[%d]: %w", i, err)
		}
		p.doc.services = append(p.doc.services, *s)
	}
	return nil
}

func (p *docParser) service(v any) (*serviceEntry, error) {
	f, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("not an object")
	}
	s := &serviceEntry{fields: f}
	var err error
	if s.id, err = p.claimID(f); err != nil {
		return nil, err
	}
	if s.types, err = stringSet(f, "type", true); err != nil {
		return nil, err
	}
	if len(s.types) == 0 {
		return nil, errors.New("type: missing")
	}
	endpoints := f["serviceEndpoint"]
	if _, isArray := endpoints.([]any); !isArray {
		endpoints = []any{endpoints}
	}
	list := endpoints.([]any)
	if len(list) == 0 || len(list) > maxStrings {
		return nil, fmt.Errorf("serviceEndpoint: empty, or more than %d", maxStrings)
	}
	for i, e := range list {
		switch e := e.(type) {
		case string:
			if !isURI(e) {
				return nil, fmt.Errorf("serviceEndpoint[%d]: not a URI", i)
			}
			s.endpoints = append(s.endpoints, e)
		case map[string]any:
		default:
			return nil, fmt.Errorf("serviceEndpoint[%d]: missing, or neither a string nor an object", i)
		}
	}
	return s, nil
}

// claimID reads the id of a method or service: a DID URL of the document's own DID with a
// fragment or path, which nothing else in the document has.
func (p *docParser) claimID(f map[string]any) (string, error) {
	id, ok := f["id"].(string)
	if !ok {
		return "", errors.New("id: missing or no string")
	}
	id = p.doc.absolute(id)
	u, err := parseURL(id)
	if err != nil {
		return "", fmt.Errorf("id: not a DID URL: %w", err)
	}
	if u.DID != p.doc.id {
		return "", errors.New("id: belongs to another DID than the document")
	}
	if u.IsDID() || u.hasFragment && u.Fragment == "" {
		return "", errors.New("id: no fragment")
	}
	if p.ids[id] {
		return "", errors.New("id: used a second time")
	}
	p.ids[id] = true
	return id, nil
}

func array(f map[string]any, name string, limit int) ([]any, error) {
	v, there := f[name]
	if !there {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%s: not an array", name)
	}
	if len(list) > limit {
		return nil, fmt.Errorf("%s: more than %d entries", name, limit)
	}
	return list, nil
}

// stringSet reads an array of distinct strings or, if single is true, also one string.
func stringSet(f map[string]any, name string, single bool) ([]string, error) {
	v, there := f[name]
	if !there {
		return nil, nil
	}
	if s, ok := v.(string); ok && single {
		if s == "" {
			return nil, fmt.Errorf("%s: empty", name)
		}
		return []string{s}, nil
	}
	list, err := array(f, name, maxStrings)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	out := make([]string, len(list))
	for i, e := range list {
		s, ok := e.(string)
		if !ok || s == "" {
			return nil, fmt.Errorf("%s[%d]: not a string", name, i)
		}
		if seen[s] {
			return nil, fmt.Errorf("%s[%d]: a second time", name, i)
		}
		seen[s] = true
		out[i] = s
	}
	return out, nil
}

// dateTime reads an XML Schema dateTimeStamp, which RFC 3339 covers but for leap seconds
// and the hour 24.
func dateTime(f map[string]any, name string) (time.Time, error) {
	v, there := f[name]
	if !there {
		return time.Time{}, nil
	}
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: not a date and time such as 2026-01-31T12:00:00Z", name)
	}
	return t.UTC(), nil
}

// isURI reports whether s has a scheme and only characters of RFC 3986.
func isURI(s string) bool {
	if strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", r)
	}) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.IsAbs()
}
