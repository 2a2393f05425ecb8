package noise

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"ihyid/exchange/merkle"
)

const (
	// NoiseSize is the size of the noise that begins an entry, in bytes; the uscadi follows.
	NoiseSize = 32
	// EntrySize is the size of an entry in bytes: noise ‖ uscadi.
	EntrySize = NoiseSize + sha256.Size
	// DefaultMaxEntries is how large a set, padding included, should be that is handed out, unless an operator decides
	// otherwise: whoever holds a set can guess at leisure. It is 20,000 digests with their padding. A set that one
	// only commits to and never hands out may be larger.
	DefaultMaxEntries = 20_480
)

var (
	// ErrTooMany says that a set would have more entries than package merkle commits to.
	ErrTooMany = errors.New("too many for a committed set")
	// ErrDuplicate says that a digest is there twice. Two entries of one digest would show, to who
	// knows it, that two contacts share it.
	ErrDuplicate = errors.New("a digest is there twice")
	// ErrEntries says that bytes are not a whole number of entries.
	ErrEntries = errors.New("not a whole number of entries")
)

// labelPadding begins what padding is derived from: 26 bytes, where noise is derived from a digest of 32, so
// neither is ever the other's.
const labelPadding = "ihyid/noise/1 padding"

// Set is a set of entries made from the initiator's own digests.
type Set struct {
	// Entries are the entries in strictly ascending order, EntrySize bytes each, padded to
	// merkle.PaddedCount. They are what is committed to and sent.
	Entries []byte

	digests [][32]byte
	from    []uint32 // the index of each entry's digest; from len(digests) on it is padding
}

// Build makes the set of the given digests, which must be distinct and are kept, not copied. The same digests
// and seed give the same set, byte for byte, in whatever order the digests come: a node that restarts in the middle of
// an exchange builds again what it has committed to, and need not store it.
//
// The seed must be 32 fresh random bytes for every committed set, be kept secret, and be destroyed with the
// exchange. Then its noise is as good as noise drawn afresh for every entry: the noise of a digest
// is HMAC(seed, digest), HMAC under a secret random key is a pseudo-random function, and the digests of
// a set are distinct, so the values of noise cannot be told from independent random ones by anyone
// without the seed, not even by who knows every digest. Nor are two sets linked, because their seeds are independent.
//
// Padding entries are both halves of an entry from the same function of other messages. Who does
// not guess a digest cannot tell them from the others; who guesses a real entry's digest knows it
// for real by the protocol's own design.
//
// Errors: [ErrTooMany], [ErrDuplicate].
func Build(digests [][32]byte, seed [32]byte) (*Set, error) {
	if merkle.PaddedCount(uint64(len(digests))) > merkle.MaxCount {
		return nil, fmt.Errorf("noise: %d digests: %w", len(digests), ErrTooMany)
	}
	entries := make([]byte, merkle.PaddedCount(uint64(len(digests)))*EntrySize)
	prf := hmac.New(sha256.New, seed[:])
	derive := func(dst, message []byte) {
		prf.Reset()
		prf.Write(message)
		prf.Sum(dst[:0])
	}
	for i := range len(entries) / EntrySize {
		entry := entries[i*EntrySize : (i+1)*EntrySize]
		if i < len(digests) {
			derive(entry[:NoiseSize], digests[i][:])
			m := hmac.New(sha256.New, entry[:NoiseSize])
			m.Write(digests[i][:])
			m.Sum(entry[:NoiseSize]) // appends the uscadi in place
			continue
		}
		message := binary.BigEndian.AppendUint32([]byte(labelPadding), uint32(i-len(digests)))
		derive(entry[:NoiseSize], append(message, 0))
		derive(entry[NoiseSize:], append(message, 1))
	}
	// Equal digests make equal entries.
	sorted, from, err := merkle.Sort(entries, EntrySize)
	if errors.Is(err, merkle.ErrOrder) {
		return nil, fmt.Errorf("noise: %w: %w", err, ErrDuplicate)
	} else if err != nil {
		return nil, err
	}
	return &Set{Entries: sorted, digests: digests, from: from}, nil
}

// Len returns the number of entries, padding included.
func (s *Set) Len() int { return len(s.from) }

// Digest returns the index of the digest from which entry i was made, and false for padding or where there is
// no such entry.
func (s *Set) Digest(i int) (int, bool) {
	if i < 0 || i >= len(s.from) || int(s.from[i]) >= len(s.digests) {
		return 0, false
	}
	return int(s.from[i]), true
}
