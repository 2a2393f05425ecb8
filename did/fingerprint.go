package did

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/big"
	"strings"
)

const (
	fingerprintLabel  = "ihyid/did/1 fingerprint"
	fingerprintRounds = 1 << 16
	fingerprintGroups = 8
)

// Fingerprint returns what two administrators read to each other over the telephone before
// they trust each other's documents: eight groups of five decimal digits, separated by
// spaces. It is the same whichever document comes first.
//
// With L the label "ihyid/did/1 fingerprint", and A and B the two digests in ascending byte
// order: h = SHA-256(L‖A‖B); then 65,536 times h = SHA-256(h‖A‖B); the digits are h, as a
// big-endian number, modulo 10^40.
//
// One who sits between the two makes a document for each side, and searches for a pair with
// equal fingerprints: a birthday search of 2^66 trials in 40 digits. The rounds (some 20 ms)
// multiply its cost by 2^16.
func Fingerprint(a, b *Document) string {
	lo, hi := a.Digest(), b.Digest()
	if bytes.Compare(lo[:], hi[:]) > 0 {
		lo, hi = hi, lo
	}
	buf := make([]byte, 0, len(fingerprintLabel)+64)
	buf = append(append(append(buf, fingerprintLabel...), lo[:]...), hi[:]...)
	h := sha256.Sum256(buf)
	buf = append(append(append(buf[:0], h[:]...), lo[:]...), hi[:]...)
	for range fingerprintRounds {
		h = sha256.Sum256(buf)
		copy(buf, h[:])
	}
	digits := 5 * fingerprintGroups
	n := new(big.Int).SetBytes(h[:])
	n.Mod(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil))
	s := fmt.Sprintf("%0*d", digits, n)
	groups := make([]string, fingerprintGroups)
	for i := range groups {
		groups[i] = s[5*i : 5*i+5]
	}
	return strings.Join(groups, " ")
}
