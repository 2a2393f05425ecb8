package exchange

import (
	"encoding/binary"
	"math/bits"
)

// Whole sets are gone through for a few elements each time that little has changed: these sets say in a nanosecond or two that an element is not one of
// them, so that going through a million is a matter of milliseconds.

// prefixes is a first look at whether a value is in a set of random-looking values of at least four bytes: where has says no it is not, where it says yes it may be.
type prefixes struct {
	bits  []uint64
	shift int
}

// newPrefixes makes room for n values, such that one in sixteen others is taken for one of them at most.
func newPrefixes(n int) *prefixes {
	size := min(max(bits.Len(uint(n))+4, 10), 32) // in bits, as a power of two
	return &prefixes{bits: make([]uint64, 1<<(size-6)), shift: 32 - size}
}

func (p *prefixes) add(value []byte) {
	i := binary.BigEndian.Uint32(value) >> p.shift
	p.bits[i/64] |= 1 << (i % 64)
}

func (p *prefixes) has(value []byte) bool {
	i := binary.BigEndian.Uint32(value) >> p.shift
	return p.bits[i/64]&(1<<(i%64)) != 0
}

// contactSet is a set of contacts' numbers.
type contactSet struct {
	low     [1 << 10]uint64 // a bit for each number, by its last 16 bits
	all     map[uint64]struct{}
	orphans bool // what stands in for a number that was erased is in it too
}

func newContactSet(ids []uint64) *contactSet {
	c := &contactSet{all: make(map[uint64]struct{}, len(ids))}
	for _, id := range ids {
		c.add(id)
	}
	return c
}

func (c *contactSet) add(id uint64) {
	c.low[id%(1<<16)/64] |= 1 << (id % 64)
	c.all[id] = struct{}{}
}

func (c *contactSet) has(id uint64) bool {
	if id&orphan != 0 {
		return c.orphans
	}
	if c.low[id%(1<<16)/64]&(1<<(id%64)) == 0 {
		return false
	}
	_, ok := c.all[id]
	return ok
}
