package did

import (
	"bytes"
	"crypto"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// The bounds of a document.
const (
	// MaxDocumentSize is the largest document accepted, in bytes. Ten keys in two forms
	// take 8 KiB.
	MaxDocumentSize = 64 << 10
	// MaxMethods is the greatest number of verification methods, embedded ones included.
	MaxMethods = 128
	// MaxServices is the greatest number of services.
	MaxServices = 64
)

// The verification relationships of DID Core 1.0 section 5.3.
const (
	Authentication       = "authentication"
	AssertionMethod      = "assertionMethod"
	KeyAgreement         = "keyAgreement"
	CapabilityInvocation = "capabilityInvocation"
	CapabilityDelegation = "capabilityDelegation"
)

var relationships = []string{Authentication, AssertionMethod, KeyAgreement, CapabilityInvocation, CapabilityDelegation}

// ServiceTypeNode is the type of the service under which a node tells its peers its
// address: the endpoint is the https URL that node-to-node paths are appended to.
const ServiceTypeNode = "IhyidNode"

// Document is a DID document that has been checked. It never changes and is safe for
// concurrent use.
type Document struct {
	raw    []byte
	fields map[string]any // as parsed; must not be modified
	size   int            // in memory, estimated
	id     DID
	digest [32]byte

	controllers []string
	alsoKnownAs []string
	methods     []*VerificationMethod
	byID        map[string]*VerificationMethod
	authorized  map[string]map[string]bool // relationship → absolute method id
	services    []serviceEntry
}

// VerificationMethod is one public key of a document.
type VerificationMethod struct {
	ID         string // absolute DID URL, also where the document writes a relative one
	Type       string // "Multikey", "JsonWebKey", …
	Controller string // the DID that holds the secret key
	// Expires and Revoked are zero where the document says nothing. They are the owner's
	// word, in UTC; see the package's caveats.
	Expires, Revoked time.Time

	key    crypto.PublicKey
	keyErr error
	fields map[string]any
}

// Service is one service of a document. Type is the type that was asked for, or the first.
// Endpoint is "" where the document has something else than one or more URLs.
type Service struct {
	ID       string // absolute
	Type     string
	Endpoint string
}

type serviceEntry struct {
	id        string
	types     []string
	endpoints []string
	fields    map[string]any
}

// ID returns the DID that the document is about.
func (d *Document) ID() string { return d.id.text }

// DID returns the DID that the document is about.
func (d *Document) DID() DID { return d.id }

// Bytes returns a copy of the exact bytes that the document was parsed from.
func (d *Document) Bytes() []byte { return bytes.Clone(d.raw) }

// MarshalJSON returns the document's own bytes; [encoding/json] drops their white space.
func (d *Document) MarshalJSON() ([]byte, error) { return d.Bytes(), nil }

// Digest returns the SHA-256 of the document's RFC 8785 canonical form: what pins, receipts
// and the versionId of its metadata name the document by. White space, the order of members
// and the spelling of strings and numbers do not change it.
func (d *Document) Digest() [32]byte { return d.digest }

// Controllers returns the DIDs in the controller property, if any.
func (d *Document) Controllers() []string { return slices.Clone(d.controllers) }

// AlsoKnownAs returns the other identifiers that the document claims for its subject. They
// are claims only.
func (d *Document) AlsoKnownAs() []string { return slices.Clone(d.alsoKnownAs) }

// Methods returns all verification methods in the document's order, then those that are
// embedded in a relationship.
func (d *Document) Methods() []*VerificationMethod { return slices.Clone(d.methods) }

// Method returns the verification method with an absolute id ("did:web:a.example#key-1")
// or a relative one ("#key-1").
func (d *Document) Method(didURL string) (*VerificationMethod, bool) {
	m, ok := d.byID[d.absolute(didURL)]
	return m, ok
}

// Authorizes reports whether the document lists one of its own methods under a relationship,
// such as "assertionMethod". A method of another DID is never authorised here, also where
// the document refers to one: ask that DID's document.
func (d *Document) Authorizes(relationship, methodID string) bool {
	return d.authorized[relationship][d.absolute(methodID)]
}

// Service returns the first service of a type.
func (d *Document) Service(typ string) (Service, bool) {
	for _, s := range d.services {
		if slices.Contains(s.types, typ) {
			return s.as(typ), true
		}
	}
	return Service{}, false
}

// Services returns all services in the document's order.
func (d *Document) Services() []Service {
	out := make([]Service, len(d.services))
	for i, s := range d.services {
		out[i] = s.as(s.types[0])
	}
	return out
}

func (s *serviceEntry) as(typ string) Service {
	out := Service{ID: s.id, Type: typ}
	if len(s.endpoints) > 0 {
		out.Endpoint = s.endpoints[0]
	}
	return out
}

// absolute completes a relative DID URL that is a mere fragment.
func (d *Document) absolute(id string) string {
	if strings.HasPrefix(id, "#") {
		return d.id.text + id
	}
	return id
}

// PublicKey returns the key: an [*ecdsa.PublicKey] on P-256 or P-384, an
// [ed25519.PublicKey], an X25519 [*ecdh.PublicKey], or an [hpke.PublicKey] of [HybridKEM]. A kind of key or of verification
// method that is not read here is [ErrUnsupportedKey]; a broken key is never in a Document.
func (m *VerificationMethod) PublicKey() (crypto.PublicKey, error) { return m.key, m.keyErr }

// Fragment returns the id's part after "#".
func (m *VerificationMethod) Fragment() string {
	_, f, _ := strings.Cut(m.ID, "#")
	return f
}

// Property returns a string property of the method, for kinds of key material that this
// package does not know.
func (m *VerificationMethod) Property(name string) (string, bool) {
	s, ok := m.fields[name].(string)
	return s, ok
}

// ParseDocument checks b and keeps a copy of it. It requires: at most [MaxDocumentSize] bytes
// of strict JSON (no duplicate names, no lone surrogates, no numbers that lose digits); an
// id that is a DID; verification methods and services whose ids are DID URLs of that DID,
// each used once, within [MaxMethods] and [MaxServices]; relationships that refer to methods
// that are there; sound key material, public only. Properties that DID Core does not define are kept and ignored.
// Its error is an [*Error] of code [InvalidDIDDocument] that names the place, never a value.
func ParseDocument(b []byte) (*Document, error) {
	d, err := parseDocument(b)
	if err != nil {
		return nil, &Error{Code: InvalidDIDDocument, Err: err}
	}
	return d, nil
}

// UnmarshalJSON implements [json.Unmarshaler] with [ParseDocument].
func (d *Document) UnmarshalJSON(b []byte) error {
	parsed, err := ParseDocument(b)
	if err != nil {
		return err
	}
	*d = *parsed
	return nil
}

var (
	_ json.Marshaler   = (*Document)(nil)
	_ json.Unmarshaler = (*Document)(nil)
)
