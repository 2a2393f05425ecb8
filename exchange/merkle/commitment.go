package merkle

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
)

// Bounds of a committed set. They are part of the protocol: a foreign commitment beyond them is
// refused before anything is allocated for it.
const (
	// MaxEntrySize bounds the size of an entry in bytes.
	MaxEntrySize = 1024
	// MaxCount bounds the number of entries: sixty times the largest registers known, and with
	// it the chunk roots of the largest commitment stay below a megabyte of JSON.
	MaxCount = 1 << 26
	// MaxChunkBytes is the most that one request carries.
	MaxChunkBytes = 1 << 20
	// MaxChunkEntries keeps a chunk within one batched proof of RFC 9497, whose index has two bytes.
	MaxChunkEntries = 1 << 15
)

// Errors of this package, besides [ErrProof]. All are wrapped with what was wrong.
var (
	// ErrCommitment says that a commitment contradicts itself or is not of the expected form.
	ErrCommitment = errors.New("invalid commitment")
	// ErrChunk says that a chunk is not the one committed to.
	ErrChunk = errors.New("chunk is not the one committed to")
	// ErrOrder says that entries are not strictly ascending: out of order, or one is there twice.
	ErrOrder = errors.New("entries are not strictly ascending")
	// ErrEntrySize says that bytes are not a whole number of entries.
	ErrEntrySize = errors.New("not a whole number of entries")
)

// Commitment binds a set of entries. It is plain data; one that came from outside is to be
// trusted only after [Commitment.Validate]. As JSON it is an object of strings in RFC 8785 form.
type Commitment struct {
	EntrySize    int    // bytes of an entry
	Count        uint64 // entries of the set, padding included
	ChunkEntries int    // entries of a chunk; always ChunkEntries(EntrySize)
	Root         Hash
	ChunkRoots   []Hash
}

// ChunkEntries returns the number of entries in a chunk of entries of the given size in bytes: the largest
// power of two that is at most [MaxChunkEntries] and fits [MaxChunkBytes]. There is one chunk
// size for every entry size, so that two nodes never disagree about it. It is 0 for a size that no set may have.
func ChunkEntries(entrySize int) int {
	if entrySize < 1 || entrySize > MaxEntrySize {
		return 0
	}
	return min(1<<(bits.Len(uint(MaxChunkBytes/entrySize))-1), MaxChunkEntries)
}

// PaddedCount returns the number of entries to which a set of n is to be padded: the next
// multiple of max(256, 2^(⌊log2 n⌋−4)), so at most a sixteenth more (255 more in a small set), and at
// least 256. It hides the exact size of a set and, in an increment, how few are new.
func PaddedCount(n uint64) uint64 {
	step := uint64(256)
	if l := bits.Len64(n); l > 13 {
		step = 1 << (l - 5)
	}
	return max(256, (n+step-1)/step*step)
}

// Chunks returns the number of chunks.
func (c *Commitment) Chunks() int { return len(c.ChunkRoots) }

// ChunkLen returns the number of entries in chunk i, or 0 when there is no such chunk.
func (c *Commitment) ChunkLen(i int) int {
	if i < 0 || i >= len(c.ChunkRoots) {
		return 0
	}
	return int(min(uint64(c.ChunkEntries), c.Count-uint64(i)*uint64(c.ChunkEntries)))
}

// Validate checks a commitment from outside: entries of the expected size, at most maxCount of
// them (and never more than [MaxCount]), the chunk size of that entry size, as many chunk roots as the count asks for,
// and a root that is folded from them. Its error wraps [ErrCommitment].
func (c *Commitment) Validate(entrySize int, maxCount uint64) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("merkle: %s: %w", fmt.Sprintf(format, args...), ErrCommitment)
	}
	per := ChunkEntries(entrySize)
	switch {
	case per == 0:
		return bad("no set has entries of %d bytes", entrySize)
	case c.EntrySize != entrySize:
		return bad("entries of %d bytes, expected %d", c.EntrySize, entrySize)
	case c.ChunkEntries != per:
		return bad("chunks of %d entries, expected %d", c.ChunkEntries, per)
	case c.Count > min(maxCount, MaxCount):
		return bad("%d entries, at most %d are accepted", c.Count, min(maxCount, MaxCount))
	}
	return c.checkRoots(bad)
}

// checkRoots holds for any chunk size.
func (c *Commitment) checkRoots(bad func(string, ...any) error) error {
	if want := (c.Count + uint64(c.ChunkEntries) - 1) / uint64(c.ChunkEntries); uint64(len(c.ChunkRoots)) != want {
		return bad("%d chunk roots, %d entries need %d", len(c.ChunkRoots), c.Count, want)
	}
	if Fold(c.ChunkRoots) != c.Root {
		return bad("the chunk roots do not fold to the root")
	}
	return nil
}

// Equal reports whether two commitments are the same.
func (c *Commitment) Equal(d *Commitment) bool {
	if c.EntrySize != d.EntrySize || c.Count != d.Count || c.ChunkEntries != d.ChunkEntries ||
		c.Root != d.Root || len(c.ChunkRoots) != len(d.ChunkRoots) {
		return false
	}
	for i := range c.ChunkRoots {
		if c.ChunkRoots[i] != d.ChunkRoots[i] {
			return false
		}
	}
	return true
}

// Neighbours are the entries beside a chunk, as far as the chunks that hold them have arrived: the last
// entry of the chunk before it and the first of the chunk after it; nil where not known yet. A receiver keeps
// the first and last entry of every chunk that it verified. Each border is then checked when
// the later of its two chunks arrives, whatever the order of arrival.
type Neighbours struct {
	Before, After []byte
}

// VerifyChunk checks that data are the entries of chunk i: their number, their order, also across
// the borders to the given neighbours, and their root. Its error wraps [ErrChunk], and
// [ErrOrder] where the order is the reason.
func (c *Commitment) VerifyChunk(i int, data []byte, beside Neighbours) error {
	n := c.ChunkLen(i)
	if n == 0 {
		return fmt.Errorf("merkle: chunk %d of %d: %w", i, len(c.ChunkRoots), ErrChunk)
	}
	if len(data) != n*c.EntrySize {
		return fmt.Errorf("merkle: chunk %d: %d bytes, expected %d: %w", i, len(data), n*c.EntrySize, ErrChunk)
	}
	if at := disorder(data, c.EntrySize); at >= 0 {
		return fmt.Errorf("merkle: chunk %d, entry %d: %w: %w", i, at, ErrOrder, ErrChunk)
	}
	if beside.Before != nil && bytes.Compare(beside.Before, data[:c.EntrySize]) >= 0 {
		return fmt.Errorf("merkle: chunk %d against the one before it: %w: %w", i, ErrOrder, ErrChunk)
	}
	if beside.After != nil && bytes.Compare(data[len(data)-c.EntrySize:], beside.After) >= 0 {
		return fmt.Errorf("merkle: chunk %d against the one after it: %w: %w", i, ErrOrder, ErrChunk)
	}
	if rootOf(data, c.EntrySize) != c.ChunkRoots[i] {
		return fmt.Errorf("merkle: chunk %d: wrong root: %w", i, ErrChunk)
	}
	return nil
}

// Prove returns the inclusion proof of the entry at index, from the bottom up. The caller gives
// the bytes of the chunk that holds it, chunk index/ChunkEntries, which it has verified before; their number is
// checked again, their root is not.
func (c *Commitment) Prove(index uint64, chunk []byte) ([]Hash, error) {
	if index >= c.Count {
		return nil, fmt.Errorf("merkle: no entry %d in a set of %d: %w", index, c.Count, ErrProof)
	}
	i := int(index / uint64(c.ChunkEntries))
	if len(chunk) != c.ChunkLen(i)*c.EntrySize {
		return nil, fmt.Errorf("merkle: chunk %d: %d bytes, expected %d: %w", i, len(chunk), c.ChunkLen(i)*c.EntrySize, ErrChunk)
	}
	leaves := make([]Hash, c.ChunkLen(i))
	for k := range leaves {
		leaves[k] = LeafHash(chunk[k*c.EntrySize : (k+1)*c.EntrySize])
	}
	return append(path(leaves, int(index%uint64(c.ChunkEntries))), path(c.ChunkRoots, i)...), nil
}

// VerifyEntry checks an inclusion proof of an entry against the commitment. Its error wraps [ErrProof].
func (c *Commitment) VerifyEntry(index uint64, entry []byte, proof []Hash) error {
	if len(entry) != c.EntrySize {
		return fmt.Errorf("merkle: an entry of %d bytes, expected %d: %w", len(entry), c.EntrySize, ErrProof)
	}
	return VerifyInclusion(c.Root, c.Count, index, LeafHash(entry), proof)
}

// disorder returns the index of the first entry that is not above the one before it, or -1.
func disorder(data []byte, size int) int {
	for off := size; off < len(data); off += size {
		if bytes.Compare(data[off-size:off], data[off:off+size]) >= 0 {
			return off / size
		}
	}
	return -1
}

// parallelEntries is how many entries are worth another goroutine: about a millisecond of hashing.
const parallelEntries = 1 << 12

// rootOf returns the root of the entries in data. Large halves are hashed at the same time.
func rootOf(data []byte, size int) Hash {
	if n := len(data) / size; n > parallelEntries {
		k := splitAt(n) * size
		var left Hash
		done := make(chan struct{})
		go func() {
			defer close(done)
			left = rootOf(data[:k], size)
		}()
		right := rootOf(data[k:], size)
		<-done
		return NodeHash(left, right)
	}
	f := frontier{roots: make([]Hash, 0, 32)}
	for ; len(data) > 0; data = data[size:] {
		f.push(LeafHash(data[:size]))
	}
	return f.root()
}
