package merkle

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// Sort returns the entries in the ascending order in which a set is committed to, and for each
// the index that it had before: sorted entry i was entry from[i]. Its error wraps [ErrEntrySize], or
// [ErrOrder] when two entries are equal. It needs 16 bytes an entry besides the result.
func Sort(entries []byte, entrySize int) (sorted []byte, from []uint32, err error) {
	if ChunkEntries(entrySize) == 0 || len(entries)%entrySize != 0 {
		return nil, nil, fmt.Errorf("merkle: %d bytes, entries of %d: %w", len(entries), entrySize, ErrEntrySize)
	}
	n := len(entries) / entrySize
	if n > MaxCount {
		return nil, nil, fmt.Errorf("merkle: %d entries, at most %d: %w", n, uint64(MaxCount), ErrCommitment)
	}
	entry := func(i uint32) []byte { return entries[int(i)*entrySize:][:entrySize] }
	// Entries look random, so their first eight bytes decide nearly always, without a look elsewhere.
	type key struct {
		prefix uint64
		index  uint32
	}
	keys := make([]key, n)
	var prefix [8]byte
	for i := range keys {
		clear(prefix[:])
		copy(prefix[:], entry(uint32(i)))
		keys[i] = key{binary.BigEndian.Uint64(prefix[:]), uint32(i)}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return bytes.Compare(entry(a.index), entry(b.index))
	})
	sorted = make([]byte, 0, len(entries))
	from = make([]uint32, n)
	for i, k := range keys {
		if i > 0 && bytes.Equal(entry(k.index), entry(keys[i-1].index)) {
			return nil, nil, fmt.Errorf("merkle: entries %d and %d are equal: %w", from[i-1], k.index, ErrOrder)
		}
		sorted = append(sorted, entry(k.index)...)
		from[i] = k.index
	}
	return sorted, from, nil
}
