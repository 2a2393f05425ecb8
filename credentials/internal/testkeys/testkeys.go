// Package testkeys makes keys for the tests of the packages above it and resolves did:key, so that
// those tests need no other package.
package testkeys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/multiformats/go-multibase"
)

// Key is a key pair with its did:key.
type Key struct {
	Signer crypto.Signer
	DID    string
	Method string // DID URL
}

// New makes a key: "P-256", "P-384" or "Ed25519".
func New(kind string) Key {
	var signer crypto.Signer
	var err error
	switch kind {
	case "P-256":
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "Ed25519":
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("no such kind of key: %s", kind)
	}
	if err != nil {
		panic(err)
	}
	return Of(signer)
}

// Of gives a key's did:key.
func Of(signer crypto.Signer) Key {
	var b []byte
	switch k := signer.Public().(type) {
	case *ecdsa.PublicKey:
		b = []byte{0x80, 0x24}
		if k.Curve == elliptic.P384() {
			b = []byte{0x81, 0x24}
		}
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := (len(point) - 1) / 2 // 4 ‖ x ‖ y, to be compressed
		b = append(append(b, 2+point[2*half]&1), point[1:1+half]...)
	case ed25519.PublicKey:
		b = append([]byte{0xed, 0x01}, k...)
	}
	id, err := multibase.Encode(multibase.Base58BTC, b)
	if err != nil {
		panic(err)
	}
	return Key{Signer: signer, DID: "did:key:" + id, Method: "did:key:" + id + "#" + id}
}

// Public gives the key that a did:key URL names.
func Public(_ context.Context, method string) (crypto.PublicKey, error) {
	did, fragment, _ := strings.Cut(method, "#")
	id, ok := strings.CutPrefix(did, "did:key:")
	if !ok || id != fragment {
		return nil, errors.New("not a did:key method")
	}
	_, b, err := multibase.Decode(id)
	if err != nil || len(b) < 3 {
		return nil, errors.New("not a multikey")
	}
	var curve elliptic.Curve
	switch [2]byte(b[:2]) {
	case [2]byte{0xed, 0x01}:
		return ed25519.PublicKey(b[2:]), nil
	case [2]byte{0x80, 0x24}:
		curve = elliptic.P256()
	case [2]byte{0x81, 0x24}:
		curve = elliptic.P384()
	default:
		return nil, errors.New("not a known multikey")
	}
	x, y := elliptic.UnmarshalCompressed(curve, b[2:])
	if x == nil {
		return nil, errors.New("not a point")
	}
	size := (curve.Params().BitSize + 7) / 8
	point := append([]byte{4}, x.FillBytes(make([]byte, size))...)
	return ecdsa.ParseUncompressedPublicKey(curve, append(point, y.FillBytes(make([]byte, size))...))
}
