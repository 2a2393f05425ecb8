package did

import (
	"crypto"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/gowebpki/jcs"
)

// The JSON-LD contexts of the documents made here. The inline context defines the service
// type, so that a JSON-LD reader loses nothing and fetches nothing of ours.
const (
	contextDID      = "https://www.w3.org/ns/did/v1"
	contextMultikey = "https://w3id.org/security/multikey/v1"
	contextJWK      = "https://w3id.org/security/jwk/v1"
	// TermPrefix is the IRI before terms of Ihyid's own, such as IhyidNode.
	TermPrefix = "urn:ihyid:v1:"
)

// JWKSuffix is appended to a key's fragment for its second verification method.
const JWKSuffix = "-jwk"

// DocumentSpec says what [Build] makes.
type DocumentSpec struct {
	ID          string
	Keys        []SpecKey
	Other       []SpecMethod
	Services    []Service // ID may be a bare fragment, "#node"; Type and Endpoint are required
	AlsoKnownAs []string
}

// SpecKey is a key to publish. It becomes two verification methods under the same
// relationships: a Multikey "#FRAGMENT" and a JsonWebKey "#FRAGMENT-jwk". A key of
// [HybridKEM], which has no Multikey, becomes one: a JsonWebKey "#FRAGMENT".
type SpecKey struct {
	Fragment      string
	Public        crypto.PublicKey // as EncodeMultikey takes it, or an [hpke.PublicKey] of HybridKEM
	Relationships []string
	// Expires and Revoked are written if not zero, in UTC to the second. A retired key
	// stays in its relationships, marked revoked: without them, what it signed in its time
	// could never be verified again.
	Expires, Revoked time.Time
}

// SpecMethod is a verification method of a kind that this package does not know, such as a
// hybrid encryption key. [VerificationMethod.Property] reads its properties.
type SpecMethod struct {
	Fragment         string
	Type             string
	Properties       map[string]string
	Relationships    []string
	Expires, Revoked time.Time
}

// Build makes a document in RFC 8785 form, so that the same spec gives the same bytes. It
// passes [ParseDocument], and is stricter: every key has a relationship, and the endpoint of
// a service of type [ServiceTypeNode] is an https URL without query, fragment or user.
func Build(spec DocumentSpec) (*Document, error) {
	d, err := build(spec)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			err = e.Err
		}
		return nil, &Error{Code: InvalidDIDDocument, Err: fmt.Errorf("building a document: %w", err)}
	}
	return d, nil
}

func build(spec DocumentSpec) (*Document, error) {
	b := builder{id: spec.ID, rels: map[string][]any{}}
	for i, k := range spec.Keys {
		if _, hybrid := k.Public.(hpke.PublicKey); hybrid {
			jwk, err := encodeJWK(k.Public)
			if err == nil {
				m := SpecMethod{Type: "JsonWebKey", Fragment: k.Fragment, Relationships: k.Relationships, Expires: k.Expires, Revoked: k.Revoked}
				err = b.method(m, map[string]any{"publicKeyJwk": jwk})
			}
			if err != nil {
				return nil, fmt.Errorf("keys[%d]: %w", i, err)
			}
			continue
		}
		multikey, err := EncodeMultikey(k.Public)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		jwk, err := encodeJWK(k.Public)
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		m := SpecMethod{Type: "Multikey", Fragment: k.Fragment, Relationships: k.Relationships, Expires: k.Expires, Revoked: k.Revoked}
		if err := b.method(m, map[string]any{"publicKeyMultibase": multikey}); err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		m.Type, m.Fragment = "JsonWebKey", k.Fragment+JWKSuffix
		if err := b.method(m, map[string]any{"publicKeyJwk": jwk}); err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
	}
	for i, m := range spec.Other {
		props := map[string]any{}
		for k, v := range m.Properties {
			props[k] = v
		}
		if err := b.method(m, props); err != nil {
			return nil, fmt.Errorf("other[%d]: %w", i, err)
		}
	}
	context := []any{contextDID, contextMultikey, contextJWK}
	var services []any
	for i, s := range spec.Services {
		if s.Type == ServiceTypeNode {
			if err := checkNodeEndpoint(s.Endpoint); err != nil {
				return nil, fmt.Errorf("services[%d]: %w", i, err)
			}
			if len(context) == 3 {
				context = append(context, map[string]any{ServiceTypeNode: TermPrefix + ServiceTypeNode})
			}
		}
		id := s.ID
		if len(id) > 0 && id[0] == '#' {
			id = spec.ID + id
		}
		services = append(services, map[string]any{"id": id, "type": s.Type, "serviceEndpoint": s.Endpoint})
	}
	doc := map[string]any{"@context": context, "id": spec.ID}
	if len(b.methods) > 0 {
		doc["verificationMethod"] = b.methods
	}
	for rel, list := range b.rels {
		doc[rel] = list
	}
	if len(services) > 0 {
		doc["service"] = services
	}
	if len(spec.AlsoKnownAs) > 0 {
		doc["alsoKnownAs"] = spec.AlsoKnownAs
	}
	return fromFields(doc)
}

type builder struct {
	id      string
	methods []any
	rels    map[string][]any
}

func (b *builder) method(m SpecMethod, fields map[string]any) error {
	if m.Fragment == "" {
		return errors.New("no fragment")
	}
	if len(m.Relationships) == 0 {
		return errors.New("a key without a relationship")
	}
	id := b.id + "#" + m.Fragment
	fields["id"], fields["type"], fields["controller"] = id, m.Type, b.id
	if !m.Expires.IsZero() {
		fields["expires"] = m.Expires.UTC().Format(time.RFC3339)
	}
	if !m.Revoked.IsZero() {
		fields["revoked"] = m.Revoked.UTC().Format(time.RFC3339)
	}
	for _, rel := range m.Relationships {
		if !slices.Contains(relationships, rel) {
			return errors.New("a relationship that DID Core does not define")
		}
		b.rels[rel] = append(b.rels[rel], id)
	}
	b.methods = append(b.methods, fields)
	return nil
}

func checkNodeEndpoint(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("the endpoint of an IhyidNode is an https URL without query, fragment or user")
	}
	return nil
}

// fromFields writes fields in canonical form and reads them back.
func fromFields(fields map[string]any) (*Document, error) {
	b, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	if b, err = jcs.Transform(b); err != nil {
		return nil, errors.New("no canonical form (RFC 8785)")
	}
	return ParseDocument(b)
}
