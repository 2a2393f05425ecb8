package dataintegrity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Create adds to config what the suite adds, signs, and gives the finished proof. The document is
// the one without `proof`. The signer has to hold an ECDSA key on P-256 or P-384 and to answer ASN.1
// (as crypto.Signer says), or an Ed25519 key.
func Create(ctx context.Context, suite Suite, document, config map[string]any, signer crypto.Signer, random io.Reader) (map[string]any, error) {
	pub := signer.Public()
	hash, ok := hashFor(pub)
	if !ok || !suite.Supports(pub) {
		return nil, failf(ProofGeneration, "%s does not work with a key of this kind", suite.Name())
	}
	document, config, err := suite.Prepare(document, config, false)
	if err != nil {
		return nil, err
	}
	data, err := suite.HashData(ctx, document, config, hash)
	if err != nil {
		return nil, err
	}
	signature, err := sign(signer, random, data, hash)
	if err != nil {
		return nil, &Error{Code: ProofGeneration, Err: fmt.Errorf("sign: %w", err)}
	}
	value, err := encodeBase58(signature)
	if err != nil {
		return nil, &Error{Code: ProofGeneration, Err: err}
	}
	proof := make(map[string]any, len(config)+1)
	for k, v := range config {
		proof[k] = v
	}
	proof["proofValue"] = value
	return proof, nil
}

// Verify checks a proof's value over a document (the one without `proof`) with a key. It gives the
// document as it was signed, which for the JCS suites may have fewer contexts than the given one.
func Verify(ctx context.Context, suite Suite, document map[string]any, proof *Proof, pub crypto.PublicKey) (map[string]any, error) {
	if proof.Suite != suite.Name() {
		return nil, failf(ProofVerification, "the proof is not of suite %s", suite.Name())
	}
	hash, ok := hashFor(pub)
	if !ok || !suite.Supports(pub) {
		return nil, failf(ProofVerification, "%s does not work with a key of this kind", suite.Name())
	}
	signature, err := decodeBase58(proof.Value)
	if err != nil {
		return nil, &Error{Code: ProofVerification, Err: fmt.Errorf("proofValue: %w", err)}
	}
	signed, config, err := suite.Prepare(document, proof.Config(), true)
	if err != nil {
		return nil, err
	}
	data, err := suite.HashData(ctx, signed, config, hash)
	if err != nil {
		return nil, err
	}
	if !verify(pub, data, hash, signature) {
		return nil, failf(ProofVerification, "the signature is not this key's over this document")
	}
	return signed, nil
}

// sign gives r‖s for ECDSA (fixed width, IEEE P1363) and the plain signature for Ed25519.
func sign(signer crypto.Signer, random io.Reader, data []byte, hash crypto.Hash) ([]byte, error) {
	switch pub := signer.Public().(type) {
	case ed25519.PublicKey:
		return signer.Sign(random, data, crypto.Hash(0))
	case *ecdsa.PublicKey:
		h := hash.New()
		h.Write(data)
		der, err := signer.Sign(random, h.Sum(nil), hash)
		if err != nil {
			return nil, err
		}
		return FixedWidth(der, (pub.Curve.Params().BitSize+7)/8)
	}
	return nil, errors.New("unknown kind of key")
}

var errDER = errors.New("the signer did not answer an ASN.1 ECDSA signature")

// FixedWidth turns an ASN.1 ECDSA signature into r‖s, each of size bytes, big-endian.
func FixedWidth(der []byte, size int) ([]byte, error) {
	input := cryptobyte.String(der)
	var body cryptobyte.String
	var r, s big.Int
	if !input.ReadASN1(&body, asn1.SEQUENCE) || !input.Empty() ||
		!body.ReadASN1Integer(&r) || !body.ReadASN1Integer(&s) || !body.Empty() ||
		r.Sign() <= 0 || s.Sign() <= 0 || r.BitLen() > size*8 || s.BitLen() > size*8 {
		return nil, errDER
	}
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}

func verify(pub crypto.PublicKey, data []byte, hash crypto.Hash, signature []byte) bool {
	switch k := pub.(type) {
	case ed25519.PublicKey:
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(k, data, signature)
	case *ecdsa.PublicKey:
		size := (k.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		r := new(big.Int).SetBytes(signature[:size])
		s := new(big.Int).SetBytes(signature[size:])
		h := hash.New()
		h.Write(data)
		return ecdsa.Verify(k, h.Sum(nil), r, s)
	}
	return false
}
