package merkle

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Builder makes a commitment from entries that come in ascending order. It holds one hash for
// every finished chunk, one for every level of the tree within the current one, and the last entry.
// It is not safe for concurrent use. After an error it is spent.
type Builder struct {
	size, per int
	count     uint64
	last      []byte
	chunk     frontier
	roots     []Hash
}

// NewBuilder returns a builder for entries of the given size in bytes, 1 to [MaxEntrySize].
func NewBuilder(entrySize int) (*Builder, error) {
	per := ChunkEntries(entrySize)
	if per == 0 {
		return nil, fmt.Errorf("merkle: entries of %d bytes: %w", entrySize, ErrEntrySize)
	}
	return newBuilder(entrySize, per), nil
}

func newBuilder(entrySize, per int) *Builder {
	return &Builder{size: entrySize, per: per, last: make([]byte, 0, entrySize)}
}

// Append adds entries, any whole number of them; it does not keep the slice. It returns an error
// that wraps [ErrEntrySize] or [ErrOrder], or [ErrCommitment] beyond [MaxCount] entries.
func (b *Builder) Append(entries []byte) error {
	if len(entries)%b.size != 0 {
		return fmt.Errorf("merkle: %d bytes, entries of %d: %w", len(entries), b.size, ErrEntrySize)
	}
	for ; len(entries) > 0; entries = entries[b.size:] {
		entry := entries[:b.size]
		if b.count > 0 && bytes.Compare(b.last, entry) >= 0 {
			return fmt.Errorf("merkle: entry %d: %w", b.count, ErrOrder)
		}
		if b.count == MaxCount {
			return fmt.Errorf("merkle: more than %d entries: %w", uint64(MaxCount), ErrCommitment)
		}
		b.last = append(b.last[:0], entry...)
		b.chunk.push(LeafHash(entry))
		b.count++
		if b.chunk.n == uint64(b.per) {
			b.roots = append(b.roots, b.chunk.root())
			b.chunk.reset()
		}
	}
	return nil
}

// Commitment returns the commitment to the entries so far. More may be added afterwards.
func (b *Builder) Commitment() *Commitment {
	roots := append(make([]Hash, 0, len(b.roots)+1), b.roots...)
	if b.chunk.n > 0 {
		roots = append(roots, b.chunk.root())
	}
	return &Commitment{EntrySize: b.size, Count: b.count, ChunkEntries: b.per, Root: Fold(roots), ChunkRoots: roots}
}

// Commit returns the commitment to a set in memory, using all cores. Its errors are those of
// [Builder.Append].
func Commit(entries []byte, entrySize int) (*Commitment, error) {
	per := ChunkEntries(entrySize)
	if per == 0 || len(entries)%entrySize != 0 {
		return nil, fmt.Errorf("merkle: %d bytes, entries of %d: %w", len(entries), entrySize, ErrEntrySize)
	}
	count := uint64(len(entries) / entrySize)
	if count > MaxCount {
		return nil, fmt.Errorf("merkle: %d entries, at most %d: %w", count, uint64(MaxCount), ErrCommitment)
	}
	chunk := per * entrySize
	roots := make([]Hash, (len(entries)+chunk-1)/chunk)
	var next, disordered atomic.Int64
	disordered.Store(-1)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(roots)) {
		wg.Go(func() {
			for disordered.Load() < 0 {
				i := int(next.Add(1)) - 1
				if i >= len(roots) {
					return
				}
				from, to := i*chunk, min((i+1)*chunk, len(entries))
				// The order is checked from the last entry of the chunk before.
				if at := disorder(entries[max(0, from-entrySize):to], entrySize); at >= 0 {
					disordered.Store(int64(max(0, from-entrySize)/entrySize + at))
					return
				}
				roots[i] = rootOf(entries[from:to], entrySize)
			}
		})
	}
	wg.Wait()
	if at := disordered.Load(); at >= 0 {
		return nil, fmt.Errorf("merkle: entry %d: %w", at, ErrOrder)
	}
	return &Commitment{EntrySize: entrySize, Count: count, ChunkEntries: per, Root: Fold(roots), ChunkRoots: roots}, nil
}
