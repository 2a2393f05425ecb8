package did

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"fmt"

	"github.com/multiformats/go-multibase"
	"github.com/oasisprotocol/curve25519-voi/curve"
)

// maxMultikeyLength bounds what is base58-decoded (whose cost grows with the square of the
// length). A P-384 key has 69 characters, an RSA key of 4096 bits 730.
const maxMultikeyLength = 1024

// The multicodec prefixes of public keys (varint-encoded), as in the table of Controlled
// Identifiers 1.0 section 2.2.2.
var (
	codecP256    = []byte{0x80, 0x24} // p256-pub, 0x1200
	codecP384    = []byte{0x81, 0x24} // p384-pub, 0x1201
	codecEd25519 = []byte{0xed, 0x01} // ed25519-pub
	codecX25519  = []byte{0xec, 0x01} // x25519-pub
)

// EncodeMultikey writes a public key as the publicKeyMultibase of a Multikey (Controlled
// Identifiers 1.0 section 2.2.2): base58-btc with its "z", the multicodec prefix, and the
// compressed point or 32 raw bytes. pub is an [*ecdsa.PublicKey] on P-256 or P-384, an
// [ed25519.PublicKey] or an X25519 [*ecdh.PublicKey]; else [ErrUnsupportedKey]. A key that
// is no valid point is [ErrBadKey].
func EncodeMultikey(pub crypto.PublicKey) (string, error) {
	var codec, raw []byte
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch {
		case k == nil || k.Curve == nil:
			return "", ErrBadKey
		case k.Curve == elliptic.P256():
			codec = codecP256
		case k.Curve == elliptic.P384():
			codec = codecP384
		default:
			return "", fmt.Errorf("curve %s: %w", k.Curve.Params().Name, ErrUnsupportedKey)
		}
		point, err := k.Bytes() // 04‖X‖Y; fails off the curve and at infinity
		if err != nil {
			return "", ErrBadKey
		}
		n := len(point) / 2
		raw = append([]byte{2 | point[len(point)-1]&1}, point[1:1+n]...)
	case ed25519.PublicKey:
		if err := checkEd25519(k); err != nil {
			return "", err
		}
		codec, raw = codecEd25519, k
	case *ecdh.PublicKey:
		if k == nil {
			return "", ErrBadKey
		}
		if k.Curve() != ecdh.X25519() {
			return "", ErrUnsupportedKey
		}
		if err := checkX25519(k); err != nil {
			return "", err
		}
		codec, raw = codecX25519, k.Bytes()
	default:
		return "", fmt.Errorf("%T: %w", pub, ErrUnsupportedKey)
	}
	return multibase.Encode(multibase.Base58BTC, append(bytes.Clone(codec), raw...))
}

// DecodeMultikey reads what [EncodeMultikey] writes, and nothing else. The key is an
// [*ecdsa.PublicKey], an [ed25519.PublicKey] or an X25519 [*ecdh.PublicKey]. Its error is
// [ErrUnsupportedKey] if the multicodec prefix is of another kind of key, else [ErrBadKey]:
// another multibase, a wrong length, a point that is not on the curve, not in its one
// canonical encoding, or of small order.
func DecodeMultikey(s string) (crypto.PublicKey, error) {
	if len(s) > maxMultikeyLength {
		return nil, fmt.Errorf("longer than %d characters: %w", maxMultikeyLength, ErrBadKey)
	}
	if s == "" || s[0] != 'z' {
		return nil, fmt.Errorf(`not in base58-btc, which begins with "z": %w`, ErrBadKey)
	}
	_, raw, err := multibase.Decode(s)
	if err != nil {
		return nil, fmt.Errorf("not base58-btc: %w", ErrBadKey)
	}
	if len(raw) < 2 {
		return nil, fmt.Errorf("too short: %w", ErrBadKey)
	}
	codec, key := raw[:2], raw[2:]
	switch {
	case bytes.Equal(codec, codecP256):
		return decodeCompressed(elliptic.P256(), key)
	case bytes.Equal(codec, codecP384):
		return decodeCompressed(elliptic.P384(), key)
	case bytes.Equal(codec, codecEd25519):
		return newEd25519(key)
	case bytes.Equal(codec, codecX25519):
		return newX25519(key)
	}
	return nil, ErrUnsupportedKey
}

// decodeCompressed reads a compressed point (SEC 1 section 2.3.4). Infinity has no such
// encoding.
func decodeCompressed(c elliptic.Curve, b []byte) (crypto.PublicKey, error) {
	size := (c.Params().BitSize + 7) / 8
	if len(b) != 1+size {
		return nil, fmt.Errorf("%s: %d bytes, not %d: %w", c.Params().Name, len(b), 1+size, ErrBadKey)
	}
	x, y := elliptic.UnmarshalCompressed(c, b)
	if x == nil {
		return nil, fmt.Errorf("%s: not a point of the curve: %w", c.Params().Name, ErrBadKey)
	}
	point := make([]byte, 1+2*size)
	point[0] = 4
	x.FillBytes(point[1 : 1+size])
	y.FillBytes(point[1+size:])
	return newECDSA(c, point)
}

// newECDSA takes an uncompressed point, 04‖X‖Y.
func newECDSA(c elliptic.Curve, point []byte) (crypto.PublicKey, error) {
	k, err := ecdsa.ParseUncompressedPublicKey(c, point)
	if err != nil {
		return nil, fmt.Errorf("%s: not a point of the curve: %w", c.Params().Name, ErrBadKey)
	}
	return k, nil
}

func newEd25519(b []byte) (crypto.PublicKey, error) {
	k := ed25519.PublicKey(bytes.Clone(b))
	if err := checkEd25519(k); err != nil {
		return nil, err
	}
	return k, nil
}

// checkEd25519 refuses what is not a canonically encoded point, and the eight points of
// small order, under which anyone can make signatures that verify.
func checkEd25519(k ed25519.PublicKey) error {
	p, err := decompress(k)
	if err != nil {
		return err
	}
	if p.IsSmallOrder() {
		return fmt.Errorf("Ed25519: point of small order: %w", ErrBadKey)
	}
	return nil
}

func decompress(k ed25519.PublicKey) (*curve.EdwardsPoint, error) {
	if len(k) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("Ed25519: %d bytes, not %d: %w", len(k), ed25519.PublicKeySize, ErrBadKey)
	}
	y, err := curve.NewCompressedEdwardsYFromBytes(k)
	if err != nil || !y.IsCanonicalVartime() {
		return nil, fmt.Errorf("Ed25519: not a canonical encoding: %w", ErrBadKey)
	}
	p, err := curve.NewEdwardsPoint().SetCompressedY(y)
	if err != nil {
		return nil, fmt.Errorf("Ed25519: not a point of the curve: %w", ErrBadKey)
	}
	return p, nil
}

func newX25519(b []byte) (crypto.PublicKey, error) {
	k, err := ecdh.X25519().NewPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("X25519: %d bytes, not 32: %w", len(b), ErrBadKey)
	}
	if err := checkX25519(k); err != nil {
		return nil, err
	}
	return k, nil
}

// checkX25519 refuses the points of small order, with which every shared secret is zero:
// crypto/ecdh finds them out when it is used (RFC 7748 section 6.1), so it is used once,
// with a secret that is none.
func checkX25519(k *ecdh.PublicKey) error {
	probe, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		return err
	}
	if _, err := probe.ECDH(k); err != nil {
		return fmt.Errorf("X25519: point of small order: %w", ErrBadKey)
	}
	return nil
}

// deriveX25519 maps an Ed25519 key to the X25519 key of the same secret, u = (1+y)/(1-y),
// as the did:key draft does ("Derive Encryption Key Algorithm").
func deriveX25519(k ed25519.PublicKey) (*ecdh.PublicKey, error) {
	p, err := decompress(k)
	if err != nil {
		return nil, err
	}
	u := curve.NewMontgomeryPoint().SetEdwards(p)
	return ecdh.X25519().NewPublicKey(u[:])
}
