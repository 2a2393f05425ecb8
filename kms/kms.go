package kms

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"time"

	"ihyid/kms/internal/envelope"
)

// Curve is the elliptic curve of a signing key, by its NIST name.
type Curve string

// The curves that every back end offers.
const (
	P256 Curve = "P-256"
	P384 Curve = "P-384"
)

// Elliptic gives the curve's arithmetic, or [ErrUnsupported].
func (c Curve) Elliptic() (elliptic.Curve, error) {
	switch c {
	case P256:
		return elliptic.P256(), nil
	case P384:
		return elliptic.P384(), nil
	}
	return nil, fmt.Errorf("%w: curve %q (know %q and %q)", ErrUnsupported, string(c), P256, P384)
}

// Purpose is what a signing key may be used for; the values are those of the
// verification relationships of DID Core, section 5.3, and SignIn.
type Purpose string

// The purposes of signing keys. SignIn is the node's own: its keys never stand in a DID document.
const (
	AssertionMethod Purpose = "assertionMethod" // credentials, bundles, receipts
	Authentication  Purpose = "authentication"  // requests to peers
	SignIn          Purpose = "signIn"          // access tokens of the node's own people
)

// Check answers nil for a purpose that a signing key can have, else [ErrUnsupported].
func (p Purpose) Check() error {
	switch p {
	case AssertionMethod, Authentication, SignIn:
		return nil
	}
	return fmt.Errorf("%w: purpose %q (know %q, %q and %q)", ErrUnsupported, string(p), AssertionMethod, Authentication, SignIn)
}

// State is where a key stands in its life.
type State string

// The states of a key. A destroyed key is in no state: it is not found.
const (
	Active  State = "active"
	Retired State = "retired"
)

// KeyInfo is what can be told of a signing key.
type KeyInfo struct {
	ID      string // 32 lower-case hex digits
	Curve   Curve
	Purpose Purpose
	State   State
	Created time.Time // UTC
	Retired time.Time // UTC; zero while the key is active
	Public  *ecdsa.PublicKey
}

// The errors of a store. They arrive wrapped; test with [errors.Is].
var (
	ErrKeyNotFound       = errors.New("key not found")                      // no signing or wrapping key by that id
	ErrKeyRetired        = errors.New("key is retired")                     // a retired key does not sign
	ErrUnwrap            = errors.New("cannot unwrap")                      // altered, other additional data, or a wrapping key that is not here
	ErrWrappingKeyActive = errors.New("wrapping key is the active one")     // rotate before destroying it
	ErrUnsupported       = errors.New("not supported")                      // curve, purpose, digest length
	ErrTooLarge          = errors.New("too large")                          // over MaxPlaintext or MaxAAD
	ErrClosed            = errors.New("key store is closed")                // used after Close
	ErrUnavailable       = errors.New("key store is unavailable")           // a token that was taken out, a file that is gone; may come back
	ErrBusy              = errors.New("key store is busy")                  // no session or lock became free within the wait limit
	ErrSealedKey         = errors.New("not a sealed key of the asked kind") // of another kind, or malformed
)

// Store is a key store. It is safe for concurrent use. Methods return the
// sentinel errors above, wrapped, besides what their comments name; all of them
// return ErrClosed after Close and ErrUnavailable while the back end cannot be
// reached.
type Store interface {
	// Create makes a key pair inside the back end. ErrUnsupported.
	Create(ctx context.Context, c Curve, p Purpose) (KeyInfo, error)

	// List tells all signing keys, oldest first, retired ones included.
	List(ctx context.Context) ([]KeyInfo, error)

	// Get tells one signing key. ErrKeyNotFound.
	Get(ctx context.Context, id string) (KeyInfo, error)

	// Signer gives the use of an active key. Public() is an *ecdsa.PublicKey.
	// Sign takes a digest of 20 to 64 bytes, whose length must be that of
	// opts.HashFunc() if opts is given and names a hash, and answers an ASN.1 DER
	// signature; it ignores the caller's randomness. ErrKeyNotFound, ErrKeyRetired.
	Signer(ctx context.Context, id string) (crypto.Signer, error)

	// Retire ends the signing life of a key for good; retiring it again changes
	// nothing. ErrKeyNotFound.
	Retire(ctx context.Context, id string) error

	// Destroy erases a key, active or retired. ErrKeyNotFound.
	Destroy(ctx context.Context, id string) error

	// Wrap seals plaintext (0 to MaxPlaintext bytes) with AES-256-GCM under the
	// active wrapping key; aad (0 to MaxAAD bytes) is bound to the result and must
	// be given again to Unwrap. ErrTooLarge.
	Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error)

	// Unwrap opens what Wrap made, under whichever wrapping key made it.
	// ErrUnwrap; where the wrapping key is not in the store, ErrKeyNotFound too.
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)

	// Check is the health check: nil when the store can be reached and its keys used.
	Check(ctx context.Context) error

	// Close lets go of the back end and wipes what secrets it can. Closing again
	// does nothing.
	Close() error
}

// WrappingKeyInfo is what can be told of a wrapping key.
type WrappingKeyInfo struct {
	ID      string // 32 lower-case hex digits
	State   State  // exactly one of a store is active
	Created time.Time
	Retired time.Time // zero while active
}

// WrapRotator is what a store offers whose wrapping key can be rotated; both
// back ends do.
type WrapRotator interface {
	// WrappingKeys tells all wrapping keys, oldest first.
	WrappingKeys(ctx context.Context) ([]WrappingKeyInfo, error)

	// RotateWrapping makes a new active wrapping key and retires the one before,
	// which from then on only unwraps.
	RotateWrapping(ctx context.Context) (WrappingKeyInfo, error)

	// DestroyWrapping erases a retired wrapping key, and with it every blob that
	// it wrapped. ErrKeyNotFound, ErrWrappingKeyActive.
	DestroyWrapping(ctx context.Context, id string) error
}

// Bounds of Wrap, in bytes. They are small because a hardware module takes a
// message in one piece.
const (
	MaxPlaintext = envelope.MaxPlaintext
	MaxAAD       = envelope.MaxAAD
)

// WrappedBy reads from a wrapped blob the id of the wrapping key that made it.
// The answer is not authenticated until the blob is unwrapped. ErrUnwrap where
// it is no wrapped blob.
func WrappedBy(wrapped []byte) (string, error) {
	h, err := envelope.Parse(wrapped)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnwrap, err)
	}
	return h.KeyID.String(), nil
}

// NewestActive gives the key made last among the active ones of a purpose: the
// one to sign with. ErrKeyNotFound where there is none.
func NewestActive(ctx context.Context, s Store, p Purpose) (KeyInfo, error) {
	keys, err := s.List(ctx)
	if err != nil {
		return KeyInfo{}, err
	}
	for i := len(keys) - 1; i >= 0; i-- {
		if keys[i].State == Active && keys[i].Purpose == p {
			return keys[i], nil
		}
	}
	return KeyInfo{}, fmt.Errorf("%w: no active key for %s", ErrKeyNotFound, p)
}
