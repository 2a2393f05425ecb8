package did

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hpke"
	"encoding/base64"
	"fmt"
	"slices"
)

// b64 is the encoding of JWK members: unpadded, and strict, so that a key has one spelling.
var b64 = base64.RawURLEncoding.Strict()

// encodeJWK writes a public key as a JSON Web Key (RFC 7518 section 6.2, RFC 8037
// section 2) with no optional members. pub has passed EncodeMultikey, or is of HybridKEM.
func encodeJWK(pub crypto.PublicKey) (map[string]any, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return nil, ErrBadKey
		}
		n := len(point) / 2
		return map[string]any{
			"kty": "EC",
			"crv": k.Curve.Params().Name,
			"x":   b64.EncodeToString(point[1 : 1+n]),
			"y":   b64.EncodeToString(point[1+n:]),
		}, nil
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64.EncodeToString(k)}, nil
	case *ecdh.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "X25519", "x": b64.EncodeToString(k.Bytes())}, nil
	case hpke.PublicKey:
		if k.KEM().ID() != kemHybrid {
			return nil, ErrUnsupportedKey
		}
		return map[string]any{"kty": "AKP", "alg": HybridKEM, "pub": b64.EncodeToString(k.Bytes())}, nil
	}
	return nil, ErrUnsupportedKey
}

// HybridKEM names the one KEM whose public keys are read and written here, MLKEM768-X25519 of draft-ietf-hpke-pq (also called X-Wing): the alg
// of a JSON Web Key of type "AKP", whose member pub is the encapsulation key. No codec of Multikey stands for it yet.
const HybridKEM = "MLKEM768-X25519"

const (
	kemHybrid      = 0x647a // in the registry of HPKE
	hybridKeyBytes = 1216   // 1184 of ML-KEM-768, 32 of X25519
)

// newHybrid reads an encapsulation key. Its ML-KEM half is checked as FIPS 203 section 7.2 asks, its X25519 half as any other.
func newHybrid(b []byte) (crypto.PublicKey, error) {
	k, err := hpke.MLKEM768X25519().NewPublicKey(bytes.Clone(b))
	if err != nil {
		return nil, fmt.Errorf("%s: not an encapsulation key: %w", HybridKEM, ErrBadKey)
	}
	if _, err := newX25519(b[hybridKeyBytes-32:]); err != nil {
		return nil, err
	}
	return k, nil
}

// jwkSecrets are the members of a JWK that hold secrets (RFC 7518 sections 6.2.2, 6.3.2 and
// 6.4.1). A DID document must not have them (Controlled Identifiers 1.0 section 2.2.3).
var jwkSecrets = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// decodeJWK reads a public JSON Web Key. Members beside the key itself (kid, alg, use) are
// not looked at. Its errors are those of DecodeMultikey.
func decodeJWK(m map[string]any) (crypto.PublicKey, error) {
	for name := range m {
		if slices.Contains(jwkSecrets, name) {
			return nil, fmt.Errorf("member %q: a secret key is published: %w", name, ErrBadKey)
		}
	}
	kty, ok := m["kty"].(string)
	if !ok {
		return nil, fmt.Errorf("no kty: %w", ErrBadKey)
	}
	if alg, _ := m["alg"].(string); kty == "AKP" && alg == HybridKEM {
		pub, err := jwkBytes(m, "pub", hybridKeyBytes)
		if err != nil {
			return nil, err
		}
		return newHybrid(pub)
	}
	crv, _ := m["crv"].(string)
	switch kty + " " + crv {
	case "EC P-256":
		return decodeJWKPoint(elliptic.P256(), m)
	case "EC P-384":
		return decodeJWKPoint(elliptic.P384(), m)
	case "OKP Ed25519":
		x, err := jwkBytes(m, "x", ed25519.PublicKeySize)
		if err != nil {
			return nil, err
		}
		return newEd25519(x)
	case "OKP X25519":
		x, err := jwkBytes(m, "x", 32)
		if err != nil {
			return nil, err
		}
		return newX25519(x)
	}
	return nil, ErrUnsupportedKey
}

func decodeJWKPoint(c elliptic.Curve, m map[string]any) (crypto.PublicKey, error) {
	size := (c.Params().BitSize + 7) / 8
	x, err := jwkBytes(m, "x", size)
	if err != nil {
		return nil, err
	}
	y, err := jwkBytes(m, "y", size)
	if err != nil {
		return nil, err
	}
	return newECDSA(c, slices.Concat([]byte{4}, x, y))
}

// jwkBytes decodes a member that must have exactly size bytes.
func jwkBytes(m map[string]any, name string, size int) ([]byte, error) {
	s, ok := m[name].(string)
	if !ok {
		return nil, fmt.Errorf("member %q is missing or no string: %w", name, ErrBadKey)
	}
	if len(s) != b64.EncodedLen(size) {
		return nil, fmt.Errorf("member %q: %d characters, not %d: %w", name, len(s), b64.EncodedLen(size), ErrBadKey)
	}
	b, err := b64.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("member %q: not unpadded base64url: %w", name, ErrBadKey)
	}
	return b, nil
}
