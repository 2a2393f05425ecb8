package store

import (
	"encoding/binary"
	"fmt"
	"slices"
)

const (
	// sealerChunk is the memory that a Sealer takes at a time for sealed records.
	sealerChunk = 64 << 10
	// sealerRoom is the least that must be left of it to begin a record there.
	sealerRoom = 1 << 10
	// sealerCount is how many seals it counts ahead, so that cores do not wait for each other at the count.
	sealerCount = 64
)

// Sealer seals many records as Collection.Seal does, with less work: records are encoded where they are sealed, one after the other in shared
// memory. It is for one goroutine and one batch: what it sealed stays in memory together.
//
// A nonce is drawn for each record when it is sealed. Drawn ahead they would cost the same, and a virtual machine that is copied, or set back to an earlier
// state, could use one twice.
type Sealer[T any] struct {
	c      *Collection[T]
	free   []byte // of length 0: the rest of the chunk
	aad    []byte // the fields that all records have
	prefix int
	key    *dataKey
	left   int // seals that are counted already
}

// Sealer returns a Sealer for the collection.
func (c *Collection[T]) Sealer() *Sealer[T] {
	z := &Sealer[T]{c: c, aad: make([]byte, 0, 256)}
	z.aad = appendField(z.aad, c.s.id[:])
	z.aad = appendField(z.aad, []byte(c.name))
	z.prefix = len(z.aad)
	return z
}

// Seal encodes and seals a record for the key. Its errors are those of Collection.Seal.
func (z *Sealer[T]) Seal(key []byte, v *T) (Sealed, error) {
	c := z.c
	if len(key) == 0 || len(key) > MaxKeySize {
		return Sealed{}, ErrKeySize
	}
	if k := c.s.ring.Load().active; k != z.key || z.left == 0 {
		if k.seals.Add(sealerCount) > c.s.sealHardLimit {
			return Sealed{}, ErrKeyExhausted
		}
		z.key, z.left = k, sealerCount
	}
	z.left--
	if cap(z.free) < sealerRoom {
		z.free = make([]byte, 0, sealerChunk)
	}
	// key ‖ header ‖ plaintext, which becomes nonce ‖ ciphertext ‖ tag
	b := append(z.free, key...)
	b = append(b, boxFormat)
	b = binary.BigEndian.AppendUint32(b, z.key.id)
	b = binary.BigEndian.AppendUint16(b, c.version)
	head := len(b)
	b, err := c.codec.Append(b, v)
	if err != nil {
		return Sealed{}, fmt.Errorf("store: encode record of %s: %w", c.name, err)
	}
	if size := len(b) - head; size > MaxRecordSize {
		return Sealed{}, fmt.Errorf("%w: %d bytes in %s", ErrTooLarge, size, c.name)
	}
	z.aad = appendField(z.aad[:z.prefix], key)
	z.aad = append(z.aad, 0, 0, 0, 2, byte(c.version>>8), byte(c.version))
	b = slices.Grow(b, nonceSize+tagSize)
	b = z.key.aead.Seal(b[:head], nil, b[head:], z.aad)
	if cap(b) == cap(z.free) { // it was not moved to memory of its own
		z.free = b[len(b):]
	}
	return Sealed{c.name, b[:len(key):len(key)], b[len(key):len(b):len(b)]}, nil
}
