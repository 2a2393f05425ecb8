// Package testkeys makes keys for the tests of the packages above it and resolves did:key.
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

	"ihyid/did"
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
	id, err := did.EncodeMultikey(signer.Public())
	if err != nil {
		panic(err)
	}
	return Key{Signer: signer, DID: "did:key:" + id, Method: "did:key:" + id + "#" + id}
}

// Public gives the key that a did:key URL names.
func Public(_ context.Context, method string) (crypto.PublicKey, error) {
	subject, fragment, _ := strings.Cut(method, "#")
	id, ok := strings.CutPrefix(subject, "did:key:")
	if !ok || id != fragment {
		return nil, errors.New("not a did:key method")
	}
	return did.DecodeMultikey(id)
}
