package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"strings"
	"testing"

	"github.com/multiformats/go-multibase"
)

func multikey(t testing.TB, k *ecdsa.PrivateKey) string {
	t.Helper()
	header := []byte{0x80, 0x24} // p256-pub
	if k.Curve == elliptic.P384() {
		header[0] = 0x81
	}
	id, err := multibase.Encode(multibase.Base58BTC, append(header, elliptic.MarshalCompressed(k.Curve, k.X, k.Y)...))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func publicKey(method string) (crypto.PublicKey, string, error) {
	did, fragment, _ := strings.Cut(method, "#")
	id, ok := strings.CutPrefix(did, "did:key:")
	if !ok || id != fragment {
		return nil, "", errors.New("not a did:key method")
	}
	_, b, err := multibase.Decode(id)
	if err != nil || len(b) < 3 {
		return nil, "", errors.New("not a multikey")
	}
	curve := elliptic.P256()
	switch [2]byte(b[:2]) {
	case [2]byte{0xed, 0x01}:
		return ed25519.PublicKey(b[2:]), did, nil
	case [2]byte{0x81, 0x24}:
		curve = elliptic.P384()
	}
	x, y := elliptic.UnmarshalCompressed(curve, b[2:])
	if x == nil {
		return nil, "", errors.New("not a point")
	}
	size := (curve.Params().BitSize + 7) / 8
	point := append([]byte{4}, x.FillBytes(make([]byte, size))...)
	key, err := ecdsa.ParseUncompressedPublicKey(curve, append(point, y.FillBytes(make([]byte, size))...))
	return key, did, err
}
