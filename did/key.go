package did

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
)

// KeyDID returns the did:key of a P-256, P-384 or Ed25519 public key.
func KeyDID(pub crypto.PublicKey) (string, error) {
	switch pub.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return "", fmt.Errorf("did: did:key of %T: %w", pub, ErrUnsupportedKey)
	}
	multikey, err := EncodeMultikey(pub)
	if err != nil {
		return "", fmt.Errorf("did: did:key: %w", err)
	}
	return "did:key:" + multikey, nil
}

// KeyDocument expands a did:key to its document, as the Document Creation Algorithm of the
// did:key draft (0.9) does with publicKeyFormat Multikey: the key under all relationships
// but keyAgreement and, from an Ed25519 key, the X25519 key embedded there, as in the
// draft's printed example. The older test vectors list NIST curves under keyAgreement too;
// the algorithm does not.
//
// Its error is an [*Error]: [InvalidDID] if the key is broken, [FeatureNotSupported] if it is
// of a kind not read here, [MethodNotSupported] for a DID of another method.
func KeyDocument(did string) (*Document, error) {
	d, err := Parse(did)
	if err != nil {
		return nil, err
	}
	if d.Method() != "key" {
		return nil, &Error{Code: MethodNotSupported, DID: did, Err: errors.New("not a did:key")}
	}
	return keyDocument(d)
}

func keyDocument(d DID) (*Document, error) {
	did := d.String()
	// The draft's ABNF has no version, its algorithm has an optional one, always 1. One
	// identity has one spelling here.
	multikey := d.ID()
	if strings.ContainsAny(multikey, ":") {
		return nil, &Error{Code: InvalidDID, DID: did, Err: errors.New("a colon in the key")}
	}
	pub, err := DecodeMultikey(multikey)
	if errors.Is(err, ErrUnsupportedKey) {
		return nil, &Error{Code: FeatureNotSupported, DID: did, Err: err}
	}
	if err != nil {
		return nil, &Error{Code: InvalidDID, DID: did, Err: err}
	}
	switch pub.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, &Error{Code: FeatureNotSupported, DID: did, Err: errors.New("a did:key that cannot sign")}
	}
	method := func(multikey string) map[string]any {
		return map[string]any{
			"id": did + "#" + multikey, "type": "Multikey", "controller": did, "publicKeyMultibase": multikey,
		}
	}
	id := []any{did + "#" + multikey}
	fields := map[string]any{
		"@context":           []any{contextDID, contextMultikey},
		"id":                 did,
		"verificationMethod": []any{method(multikey)},
		Authentication:       id,
		AssertionMethod:      id,
		CapabilityInvocation: id,
		CapabilityDelegation: id,
	}
	if k, ok := pub.(ed25519.PublicKey); ok {
		x, err := deriveX25519(k)
		if err != nil {
			return nil, &Error{Code: InvalidDID, DID: did, Err: err}
		}
		agreement, err := EncodeMultikey(x)
		if err != nil {
			return nil, &Error{Code: InvalidDID, DID: did, Err: err}
		}
		fields[KeyAgreement] = []any{method(agreement)}
	}
	return fromFields(fields)
}
