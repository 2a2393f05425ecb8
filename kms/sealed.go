package kms

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"fmt"
)

// Wrapper is the part of a [Store] that sealed keys need.
type Wrapper interface {
	Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
}

// SealedKind is the kind of a sealed key.
type SealedKind string

// The kinds of sealed keys.
const (
	HPKEHybrid SealedKind = "mlkem768x25519" // crypto/hpke MLKEM768-X25519 (X-Wing), draft-ietf-hpke-pq
	HPKEX25519 SealedKind = "x25519"         // DHKEM(X25519, HKDF-SHA256), RFC 9180
	VOPRF      SealedKind = "voprf"          // ristretto255 scalar, RFC 9497
	Ed25519    SealedKind = "ed25519"        // RFC 8032
)

// MaxLabel is the greatest size of a label of a sealed key, in bytes.
const MaxLabel = 1024

// SealedKey is a key pair of a kind that no hardware module offers: its private
// half is used in memory and kept wrapped by a [Store]. Kind, public half and the
// label under which it was sealed are bound to the wrapped part, so none of them can
// be exchanged. It holds nothing secret and may be written as JSON.
type SealedKey struct {
	Kind    SealedKind `json:"kind"`
	Public  []byte     `json:"public"`  // 1216 bytes for HPKEHybrid, else 32
	Wrapped []byte     `json:"wrapped"` // see [Store.Wrap]
}

// publicSizes are the sizes of public halves.
var publicSizes = map[SealedKind]int{HPKEHybrid: 1216, HPKEX25519: 32, VOPRF: 32, Ed25519: 32}

// aad binds kind, label and public half, each behind its length.
func (k *SealedKey) aad(label string) ([]byte, error) {
	if size, ok := publicSizes[k.Kind]; !ok || len(k.Public) != size {
		return nil, fmt.Errorf("%w: kind %.20q with a public half of %d bytes", ErrSealedKey, string(k.Kind), len(k.Public))
	}
	if len(label) > MaxLabel {
		return nil, fmt.Errorf("%w: label of %d bytes", ErrTooLarge, len(label))
	}
	b := []byte("ihyid/kms/1 sealed key")
	for _, part := range [][]byte{[]byte(k.Kind), []byte(label), k.Public} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
	}
	return b, nil
}

// sealKey wraps private and wipes it.
func sealKey(ctx context.Context, w Wrapper, kind SealedKind, label string, private, public []byte) (*SealedKey, error) {
	defer clear(private)
	k := &SealedKey{Kind: kind, Public: public}
	aad, err := k.aad(label)
	if err != nil {
		return nil, err
	}
	if k.Wrapped, err = w.Wrap(ctx, private, aad); err != nil {
		return nil, fmt.Errorf("seal a key: %w", err)
	}
	return k, nil
}

// openKey gives the private half of a key that must be of one of the kinds; the
// caller wipes it.
func openKey(ctx context.Context, w Wrapper, k *SealedKey, label string, kinds ...SealedKind) ([]byte, error) {
	fits := false
	for _, kind := range kinds {
		fits = fits || k.Kind == kind
	}
	if !fits {
		return nil, fmt.Errorf("%w: it is of kind %.20q", ErrSealedKey, string(k.Kind))
	}
	aad, err := k.aad(label)
	if err != nil {
		return nil, err
	}
	private, err := w.Unwrap(ctx, k.Wrapped, aad)
	if err != nil {
		return nil, fmt.Errorf("open a sealed key: %w", err)
	}
	return private, nil
}

func kem(kind SealedKind) (hpke.KEM, error) {
	switch kind {
	case HPKEHybrid:
		return hpke.MLKEM768X25519(), nil
	case HPKEX25519:
		return hpke.DHKEM(ecdh.X25519()), nil
	}
	return nil, fmt.Errorf("%w: HPKE with %.20q", ErrUnsupported, string(kind))
}

// GenerateHPKE makes a key pair for key agreement, of kind HPKEHybrid or
// HPKEX25519. Public is what [hpke.KEM.NewPublicKey] takes. The label says what the
// key is for; it must be given again to open it. [ErrUnsupported], [ErrTooLarge],
// and the errors of Wrap.
func GenerateHPKE(ctx context.Context, w Wrapper, kind SealedKind, label string) (*SealedKey, error) {
	m, err := kem(kind)
	if err != nil {
		return nil, err
	}
	key, err := m.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make an HPKE key: %w", err)
	}
	private, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("make an HPKE key: %w", err)
	}
	return sealKey(ctx, w, kind, label, private, key.PublicKey().Bytes())
}

// OpenHPKE opens what [GenerateHPKE] made. [ErrSealedKey] for a key of another
// kind, [ErrUnwrap] for another label or an altered key.
func OpenHPKE(ctx context.Context, w Wrapper, k *SealedKey, label string) (hpke.PrivateKey, error) {
	private, err := openKey(ctx, w, k, label, HPKEHybrid, HPKEX25519)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	m, err := kem(k.Kind)
	if err != nil {
		return nil, err
	}
	key, err := m.NewPrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealedKey, err)
	}
	if !bytes.Equal(key.PublicKey().Bytes(), k.Public) {
		return nil, fmt.Errorf("%w: its halves do not belong together", ErrSealedKey)
	}
	return key, nil
}

// GenerateEd25519 makes an Ed25519 key pair. The label is as for [GenerateHPKE].
func GenerateEd25519(ctx context.Context, w Wrapper, label string) (*SealedKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an Ed25519 key: %w", err)
	}
	defer clear(private)
	return sealKey(ctx, w, Ed25519, label, private.Seed(), public)
}

// OpenEd25519 opens what [GenerateEd25519] made; its errors are those of
// [OpenHPKE]. The caller can wipe the key after use.
func OpenEd25519(ctx context.Context, w Wrapper, k *SealedKey, label string) (ed25519.PrivateKey, error) {
	seed, err := openKey(ctx, w, k, label, Ed25519)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: a seed of %d bytes", ErrSealedKey, len(seed))
	}
	key := ed25519.NewKeyFromSeed(seed)
	if !bytes.Equal(key.Public().(ed25519.PublicKey), k.Public) {
		clear(key)
		return nil, fmt.Errorf("%w: its halves do not belong together", ErrSealedKey)
	}
	return key, nil
}

// SealVOPRF seals a VOPRF key that the caller made: this package knows no
// ristretto255. scalar is 32 bytes, as is public, its product with the generator. The
// scalar is not wiped. The label is as for [GenerateHPKE]; it should name peer,
// profile, purpose and epoch.
func SealVOPRF(ctx context.Context, w Wrapper, label string, scalar *[32]byte, public [32]byte) (*SealedKey, error) {
	return sealKey(ctx, w, VOPRF, label, bytes.Clone(scalar[:]), public[:])
}

// OpenVOPRF opens what [SealVOPRF] made; its errors are those of [OpenHPKE]. The
// caller wipes the scalar after use.
func OpenVOPRF(ctx context.Context, w Wrapper, k *SealedKey, label string) (*[32]byte, error) {
	b, err := openKey(ctx, w, k, label, VOPRF)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	if len(b) != 32 {
		return nil, fmt.Errorf("%w: a scalar of %d bytes", ErrSealedKey, len(b))
	}
	scalar := [32]byte(b)
	return &scalar, nil
}
