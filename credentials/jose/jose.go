// Package jose makes and checks the compact JSON Web Signatures that secure credentials and presentations
// as a whole (W3C Securing Verifiable Credentials using JOSE and COSE, section 3.1).
//
// Headers are read strictly before anything else happens, and the key decides the algorithm: a token that
// names another, or `none`, or an HMAC, is refused without a look at its signature. Signatures are made and
// verified by github.com/lestrrat-go/jwx/v3.
package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

	"ihyid/credentials/ijson"
)

// The media types of credentials and presentations secured this way, without "application/", as `typ` has them.
const (
	TypeCredential   = "vc+jwt"
	TypePresentation = "vp+jwt"
)

// DefaultMaxBytes is the length of the longest token that Parse takes, unless told otherwise.
const DefaultMaxBytes = 2 << 20

var (
	// ErrToken says that something is not a compact JWS of the kind used here.
	ErrToken = errors.New("not an acceptable JSON Web Signature")
	// ErrAlgorithm says that a token and a key do not go together.
	ErrAlgorithm = errors.New("the algorithm of the token is not that of the key")
	// ErrSignature says that a token was not signed by a key.
	ErrSignature = errors.New("the signature is not this key's over this token")
)

// Header is what of a JOSE header matters here.
type Header struct {
	Algorithm   string // alg
	Type        string // typ, such as vc+jwt
	ContentType string // cty, such as vc
	KeyID       string // kid, a DID URL
	Issuer      string // iss, where the issuer is stated beside kid
}

// Token is a parsed, not yet verified compact JWS.
type Token struct {
	Header  Header
	Payload []byte

	compact []byte
}

// Sign makes a token. The algorithm is that of the key: ES256 for P-256, ES384 for P-384.
func Sign(payload []byte, h Header, signer crypto.Signer) ([]byte, error) {
	algorithms := algorithmsOf(signer.Public())
	if len(algorithms) == 0 || algorithms[0] == jwa.EdDSA() {
		return nil, fmt.Errorf("sign: %w", ErrAlgorithm)
	}
	headers := jws.NewHeaders()
	for name, value := range map[string]string{
		jws.TypeKey: h.Type, jws.ContentTypeKey: h.ContentType, jws.KeyIDKey: h.KeyID, "iss": h.Issuer,
	} {
		if value == "" {
			continue
		}
		if err := headers.Set(name, value); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
	}
	out, err := jws.Sign(payload, jws.WithKey(algorithms[0], signer, jws.WithProtectedHeaders(headers)))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return out, nil
}

func refuse(what string) error { return fmt.Errorf("%w: %s", ErrToken, what) }

// Parse takes a compact token apart. maxBytes of zero means DefaultMaxBytes.
func Parse(compact []byte, maxBytes int) (*Token, error) {
	if maxBytes <= 0 {
		maxBytes = DefaultMaxBytes
	}
	if len(compact) > maxBytes {
		return nil, refuse("it is longer than allowed")
	}
	parts := bytes.SplitN(compact, []byte("."), 4)
	if len(parts) != 3 {
		return nil, refuse("it does not have three parts")
	}
	header, err := decode(parts[0])
	if err != nil {
		return nil, refuse("the header is not base64url")
	}
	payload, err := decode(parts[1])
	if err != nil {
		return nil, refuse("the payload is not base64url")
	}
	if s, err := decode(parts[2]); err != nil || len(s) == 0 {
		return nil, refuse("the signature is not base64url")
	}
	fields, err := ijson.ParseObject(header, ijson.Limits{MaxBytes: 16 << 10, MaxDepth: 8, MaxValues: 256})
	if err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrToken, err)
	}
	t := &Token{Payload: payload, compact: compact}
	for name, value := range fields {
		var into *string
		switch name {
		case "alg":
			into = &t.Header.Algorithm
		case "typ":
			into = &t.Header.Type
		case "cty":
			into = &t.Header.ContentType
		case "kid":
			into = &t.Header.KeyID
		case "iss":
			into = &t.Header.Issuer
		case "crit", "b64":
			// An extension that has to be understood, and is not.
			return nil, refuse("the header has crit or b64")
		default:
			continue // keys and certificates in a header are claims of the sender and of no use
		}
		s, ok := value.(string)
		if !ok || s == "" {
			return nil, refuse("header: " + name + " is not a non-empty string")
		}
		*into = s
	}
	if t.Header.Algorithm == "" {
		return nil, refuse("the header has no alg")
	}
	return t, nil
}

// decode reads base64url without padding, in its one canonical form.
func decode(b []byte) ([]byte, error) {
	out := make([]byte, base64.RawURLEncoding.DecodedLen(len(b)))
	n, err := base64.RawURLEncoding.Strict().Decode(out, b)
	if err != nil || bytes.ContainsAny(b, "\r\n") { // which the decoder skips
		return nil, ErrToken
	}
	return out[:n], nil
}

// Verify checks the signature with a key. The header's algorithm has to be one of the key's.
func (t *Token) Verify(pub crypto.PublicKey) error {
	for _, a := range algorithmsOf(pub) {
		if a.String() != t.Header.Algorithm {
			continue
		}
		if _, err := jws.Verify(t.compact, jws.WithKey(a, pub)); err != nil {
			return ErrSignature // the library's error may repeat parts of the token
		}
		return nil
	}
	return ErrAlgorithm
}

// Compact is the token as it was parsed. It is not to be changed.
func (t *Token) Compact() []byte { return t.compact }

// algorithmsOf names the algorithms that go with a key, the one to sign with first.
func algorithmsOf(pub crypto.PublicKey) []jwa.SignatureAlgorithm {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []jwa.SignatureAlgorithm{jwa.ES256()}
		case elliptic.P384():
			return []jwa.SignatureAlgorithm{jwa.ES384()}
		}
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize {
			return []jwa.SignatureAlgorithm{jwa.EdDSA(), jwa.EdDSAEd25519()}
		}
	}
	return nil
}
