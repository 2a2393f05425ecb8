// Package digest is the one rule for what an ECDSA signer of a key store takes,
// so that every back end refuses the same things.
package digest

import (
	"crypto"
	"fmt"
)

// Bounds of a digest in bytes: SHA-1 to SHA-512.
const (
	Min = 20
	Max = 64
)

// Prepare checks a digest and cuts it to the leftmost orderSize bytes, as
// FIPS 186-5, section 6.4.1 has it for curves whose order is whole bytes: some
// hardware modules refuse a longer one instead of cutting it. It never writes to
// the digest.
func Prepare(d []byte, opts crypto.SignerOpts, orderSize int) ([]byte, error) {
	if len(d) < Min || len(d) > Max {
		return nil, fmt.Errorf("digest of %d bytes (takes %d to %d)", len(d), Min, Max)
	}
	if opts != nil {
		if h := opts.HashFunc(); h != 0 && h.Size() != len(d) {
			return nil, fmt.Errorf("digest of %d bytes is not one of %v", len(d), h)
		}
	}
	return d[:min(len(d), orderSize)], nil
}
