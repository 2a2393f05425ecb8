package interop

import (
	"crypto"
	"crypto/ecdsa"
	"errors"
	"strings"
	"testing"

	"ihyid/did"
)

func multikey(t testing.TB, k *ecdsa.PrivateKey) string {
	t.Helper()
	id, err := did.EncodeMultikey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func publicKey(method string) (crypto.PublicKey, string, error) {
	subject, fragment, _ := strings.Cut(method, "#")
	id, ok := strings.CutPrefix(subject, "did:key:")
	if !ok || id != fragment {
		return nil, "", errors.New("not a did:key method")
	}
	pub, err := did.DecodeMultikey(id)
	return pub, subject, err
}
