package merkle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
)

// HashSize is the size of a tree hash in bytes.
const HashSize = sha256.Size

// Hash is a hash of the tree. As text it is 64 lower-case hexadecimal digits.
type Hash [HashSize]byte

// String returns the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (h Hash) MarshalText() ([]byte, error) {
	return hex.AppendEncode(make([]byte, 0, 2*HashSize), h[:]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. Upper-case digits are refused: a hash has
// one spelling.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*HashSize {
		return fmt.Errorf("merkle: a hash has %d hexadecimal digits, this one %d", 2*HashSize, len(text))
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return errors.New("merkle: a hash is written in lower-case hexadecimal digits")
		}
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// LeafHash returns the hash of a leaf, SHA-256(0x00 ‖ entry). The entry may have any size.
func LeafHash(entry []byte) Hash {
	// Entries in use have at most 72 bytes; the buffer keeps them off the heap.
	var buf [1 + 127]byte
	if len(entry) < len(buf) {
		n := copy(buf[1:], entry)
		return sha256.Sum256(buf[:1+n])
	}
	h := sha256.New()
	h.Write(buf[:1])
	h.Write(entry)
	var out Hash
	h.Sum(out[:0])
	return out
}

// NodeHash returns the hash of an inner node, SHA-256(0x01 ‖ left ‖ right).
func NodeHash(left, right Hash) Hash {
	var buf [1 + 2*HashSize]byte
	buf[0] = 1
	copy(buf[1:], left[:])
	copy(buf[1+HashSize:], right[:])
	return sha256.Sum256(buf[:])
}

// Fold returns the root of the tree whose nodes on one level are the given hashes: leaf hashes,
// or the roots of chunks. Of no hashes it is the root of the empty tree.
func Fold(hashes []Hash) Hash {
	var f frontier
	for i := range hashes {
		f.push(hashes[i])
	}
	return f.root()
}

// emptyRoot is the root of a tree without leaves.
var emptyRoot Hash = sha256.Sum256(nil)

// frontier holds the roots of the complete subtrees of a growing tree, largest first: one for
// every bit set in the number of leaves.
type frontier struct {
	n     uint64
	roots []Hash
}

func (f *frontier) push(h Hash) {
	// Every trailing one bit of n is a complete subtree that the new leaf completes to a larger one.
	for range bits.TrailingZeros64(^f.n) {
		last := len(f.roots) - 1
		h = NodeHash(f.roots[last], h)
		f.roots = f.roots[:last]
	}
	f.roots = append(f.roots, h)
	f.n++
}

func (f *frontier) root() Hash {
	if len(f.roots) == 0 {
		return emptyRoot
	}
	last := len(f.roots) - 1
	h := f.roots[last]
	for i := last - 1; i >= 0; i-- {
		h = NodeHash(f.roots[i], h)
	}
	return h
}

func (f *frontier) reset() { f.n, f.roots = 0, f.roots[:0] }

// splitAt returns the largest power of two below n, where a tree of n > 1 leaves splits.
func splitAt(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// path returns the audit path of hashes[i], from the bottom up (RFC 9162, section 2.1.3.1).
func path(hashes []Hash, i int) []Hash {
	n := len(hashes)
	if n <= 1 {
		return nil
	}
	k := splitAt(n)
	if i < k {
		return append(path(hashes[:k], i), Fold(hashes[k:]))
	}
	return append(path(hashes[k:], i-k), Fold(hashes[:k]))
}

// ErrProof says that an inclusion proof does not lead to the root.
var ErrProof = errors.New("inclusion proof does not lead to the root")

// VerifyInclusion checks that the leaf with the given hash stands at index in the tree of count
// leaves with the given root, by the algorithm of RFC 9162, section 2.1.3.2. Its error wraps
// [ErrProof].
func VerifyInclusion(root Hash, count, index uint64, leaf Hash, proof []Hash) error {
	if index >= count {
		return fmt.Errorf("merkle: index %d in a tree of %d: %w", index, count, ErrProof)
	}
	fn, sn, r := index, count-1, leaf
	for _, p := range proof {
		if sn == 0 {
			return fmt.Errorf("merkle: proof of %d hashes is too long: %w", len(proof), ErrProof)
		}
		if fn&1 == 1 || fn == sn {
			r = NodeHash(p, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = NodeHash(r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return fmt.Errorf("merkle: proof of %d hashes is too short: %w", len(proof), ErrProof)
	}
	if r != root {
		return fmt.Errorf("merkle: index %d: %w", index, ErrProof)
	}
	return nil
}
