package noise

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"ihyid/exchange/answer"
)

const (
	// ClaimSize is the size of an encoded claim in bytes:
	// index of the entry (uint32, big-endian) ‖ row (16) ‖ MAC (32).
	ClaimSize = 4 + answer.RowSize + sha256.Size
	// MaxRowsPerEntry is how many rows may claim one entry: a digest shared by more of one's own
	// contacts identifies nobody and is not used.
	MaxRowsPerEntry = 3

	labelClaim = "ihyid/noise/1 claim"
)

var (
	// ErrClaims says that a list of claims is not well-formed.
	ErrClaims = errors.New("invalid claims")
	// ErrClaim says that a claim is not true: who made it does not know the digest behind the entry, or the
	// entry is padding.
	ErrClaim = errors.New("claim is not true")
)

// Claim says that one of the responder's contacts has the digest behind an entry. It proves
// nothing outside its session, because the transcript goes into the MAC, and tells nothing to who does
// not know the digest.
type Claim struct {
	Entry uint32     // index of the initiator's entry
	Row   answer.Row // the responder's contact
	MAC   [32]byte
}

// NewClaim makes the claim of a hit: entries are the initiator's, digest is the responder's own that hit.
func NewClaim(entries []byte, entry int, digest *[32]byte, row answer.Row, transcript *[32]byte) (Claim, error) {
	if entry < 0 || entry >= len(entries)/EntrySize {
		return Claim{}, fmt.Errorf("noise: claim of entry %d of %d: %w", entry, len(entries)/EntrySize, ErrClaims)
	}
	noise := entries[entry*EntrySize:][:NoiseSize]
	return Claim{Entry: uint32(entry), Row: row, MAC: claimMAC(noise, transcript, digest)}, nil
}

func claimMAC(noise []byte, transcript, digest *[32]byte) (out [32]byte) {
	m := hmac.New(sha256.New, noise)
	m.Write([]byte(labelClaim))
	m.Write(transcript[:])
	m.Write(digest[:])
	m.Sum(out[:0])
	return out
}

// Verify checks a claim against the set and returns the index of the digest that it is about. Its
// error wraps [ErrClaim]. The comparison takes the same time wherever the MACs differ.
func (s *Set) Verify(c Claim, transcript *[32]byte) (digest int, err error) {
	i, ok := s.Digest(int(c.Entry))
	if !ok {
		return 0, fmt.Errorf("noise: entry %d: %w", c.Entry, ErrClaim)
	}
	want := claimMAC(s.Entries[int(c.Entry)*EntrySize:][:NoiseSize], transcript, &s.digests[i])
	if !hmac.Equal(want[:], c.MAC[:]) {
		return 0, fmt.Errorf("noise: entry %d: %w", c.Entry, ErrClaim)
	}
	return i, nil
}

func order(a, b Claim) int {
	return cmp.Or(cmp.Compare(a.Entry, b.Entry), bytes.Compare(a.Row[:], b.Row[:]))
}

// crowded reports whether the last of list is one claim too many of its entry.
func crowded(list []Claim) bool {
	n := len(list)
	return n > MaxRowsPerEntry && list[n-1-MaxRowsPerEntry].Entry == list[n-1].Entry
}

// EncodeClaims returns the encoded list in ascending order, a committed set of package merkle; it sorts
// the given slice. It refuses, with [ErrClaims], what [DecodeClaims] would refuse.
func EncodeClaims(claims []Claim) ([]byte, error) {
	slices.SortFunc(claims, order)
	out := make([]byte, 0, len(claims)*ClaimSize)
	for i, c := range claims {
		if i > 0 && order(claims[i-1], c) == 0 {
			return nil, fmt.Errorf("noise: a row claims entry %d twice: %w", c.Entry, ErrClaims)
		}
		if crowded(claims[:i+1]) {
			return nil, fmt.Errorf("noise: more than %d rows claim entry %d: %w", MaxRowsPerEntry, c.Entry, ErrClaims)
		}
		out = binary.BigEndian.AppendUint32(out, c.Entry)
		out = append(out, c.Row[:]...)
		out = append(out, c.MAC[:]...)
	}
	return out, nil
}

// DecodeClaims appends the claims encoded in data to dst and returns the extended slice. entries
// is the number of entries of the set that they are about. A list that comes in chunks is read by
// one call a chunk, in order, each with the result of the one before. On error, which wraps [ErrClaims], it
// returns dst unchanged.
func DecodeClaims(dst []Claim, data []byte, entries int) ([]Claim, error) {
	if len(data)%ClaimSize != 0 {
		return dst, fmt.Errorf("noise: %d bytes are not a whole number of claims: %w", len(data), ErrClaims)
	}
	out := slices.Grow(dst, len(data)/ClaimSize)
	for i := 0; i < len(data); i += ClaimSize {
		b := data[i : i+ClaimSize]
		c := Claim{
			Entry: binary.BigEndian.Uint32(b),
			Row:   answer.Row(b[4:20]),
			MAC:   [32]byte(b[20:]),
		}
		if uint64(c.Entry) >= uint64(max(entries, 0)) {
			return dst, fmt.Errorf("noise: claim %d: of entry %d of %d: %w", i/ClaimSize, c.Entry, entries, ErrClaims)
		}
		if n := len(out); n > 0 && order(out[n-1], c) >= 0 {
			return dst, fmt.Errorf("noise: claim %d: not above the one before it: %w", i/ClaimSize, ErrClaims)
		}
		out = append(out, c)
		if crowded(out) {
			return dst, fmt.Errorf("noise: claim %d: more than %d of entry %d: %w", i/ClaimSize, MaxRowsPerEntry, c.Entry, ErrClaims)
		}
	}
	return out, nil
}
