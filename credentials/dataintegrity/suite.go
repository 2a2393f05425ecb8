package dataintegrity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	_ "crypto/sha256" // the hashes that crypto.Hash names below
	_ "crypto/sha512"
)

// A Suite is a cryptosuite: it says which keys it works with and turns a document and a proof
// configuration into the bytes that are signed. Suites keep no state and may be used concurrently.
type Suite interface {
	// Name is the value of `cryptosuite`.
	Name() string
	// Supports reports whether the suite works with keys of this kind.
	Supports(crypto.PublicKey) bool
	// Prepare gives the document and the proof configuration as they are signed. It is called with
	// the document without `proof` and with the proof without `proofValue`, both of which it must
	// leave as they are. With verify false the configuration is about to become a new proof.
	Prepare(document, config map[string]any, verify bool) (map[string]any, map[string]any, error)
	// HashData gives the hash of the canonical configuration followed by that of the canonical document.
	HashData(ctx context.Context, document, config map[string]any, hash crypto.Hash) ([]byte, error)
}

// Names of the cryptosuites.
const (
	ECDSAJCS2019  = "ecdsa-jcs-2019"
	ECDSARDFC2019 = "ecdsa-rdfc-2019"
	EdDSAJCS2022  = "eddsa-jcs-2022"
	EdDSARDFC2022 = "eddsa-rdfc-2022"
)

// hashFor is the hash that goes with a key: SHA-256 with P-256 and Ed25519, SHA-384 with P-384
// (ECDSA Cryptosuites section 3.2.3 and 3.3.3, EdDSA Cryptosuites section 3.2.4).
func hashFor(pub crypto.PublicKey) (crypto.Hash, bool) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return crypto.SHA256, true
		case elliptic.P384():
			return crypto.SHA384, true
		}
	case ed25519.PublicKey:
		return crypto.SHA256, len(k) == ed25519.PublicKeySize
	}
	return 0, false
}

func isECDSA(pub crypto.PublicKey) bool {
	_, ok := pub.(*ecdsa.PublicKey)
	if ok {
		_, ok = hashFor(pub)
	}
	return ok
}

func isEd25519(pub crypto.PublicKey) bool {
	k, ok := pub.(ed25519.PublicKey)
	return ok && len(k) == ed25519.PublicKeySize
}
