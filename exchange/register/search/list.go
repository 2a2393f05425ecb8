package search

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	segmentBits = 15
	segmentSize = 1 << segmentBits // contacts of one segment
	bitmapBytes = segmentSize / 8
	// maxArray is the longest list that is kept as numbers of two bytes; a bitmap takes no more room than that.
	maxArray = bitmapBytes/2 - 1
)

// set is a set of contacts of one segment.
type set [segmentSize / 64]uint64

func (s *set) add(n uint16) { s[n>>6] |= 1 << (n & 63) }

func (s *set) has(n uint16) bool { return s[n>>6]&(1<<(n&63)) != 0 }

func (s *set) and(o *set) {
	for i := range s {
		s[i] &= o[i]
	}
}

func (s *set) or(o *set) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *set) empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// below takes out everything below n.
func (s *set) below(n uint16) {
	clear(s[:n>>6])
	s[n>>6] &= ^uint64(0) << (n & 63)
}

// each calls fn for the members in ascending order until it gives false.
func (s *set) each(fn func(uint16) bool) {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			if !fn(uint16(i<<6 + bits.TrailingZeros64(w))) {
				return
			}
		}
	}
}

// list is an encoded list: numbers within the segment in ascending order, two bytes each, big-endian, the last one repeated up to a
// length that says less about how many there are; or a bitmap of bitmapBytes.
type list []byte

func (l list) bitmap() bool { return len(l) == bitmapBytes }

// into adds the members of the list to s.
func (l list) into(s *set) {
	if l.bitmap() {
		for i := range s {
			s[i] |= binary.LittleEndian.Uint64(l[8*i:])
		}
		return
	}
	for i := 0; i+1 < len(l); i += 2 {
		s.add(binary.BigEndian.Uint16(l[i:]) % segmentSize)
	}
}

// listOf gives the list of sorted numbers without repetition.
func listOf(numbers []uint16) list {
	if len(numbers) > maxArray {
		l := make(list, bitmapBytes)
		for _, n := range numbers {
			l[n/8] |= 1 << (n % 8)
		}
		return l
	}
	l := make(list, 0, 2*padded(len(numbers)))
	for _, n := range numbers {
		l = binary.BigEndian.AppendUint16(l, n)
	}
	for len(l) < cap(l) {
		l = binary.BigEndian.AppendUint16(l, numbers[len(numbers)-1])
	}
	return l
}

// padded is the length that a list of n is kept with: a power of two, up to what fits.
func padded(n int) int {
	if n <= 1 {
		return n
	}
	return min(1<<bits.Len(uint(n-1)), maxArray)
}

// change gives the list with some numbers more and some less; both are sorted. nil is an empty list.
func (l list) change(add, drop []uint16) list {
	if l == nil && len(drop) == 0 {
		if len(add) == 0 {
			return nil
		}
		return listOf(add)
	}
	if !l.bitmap() && len(drop) == 0 {
		return l.with(add)
	}
	var s set
	l.into(&s)
	for _, n := range drop {
		s[n>>6] &^= 1 << (n & 63)
	}
	for _, n := range add {
		s.add(n)
	}
	numbers := make([]uint16, 0, len(l)/2+len(add))
	s.each(func(n uint16) bool {
		numbers = append(numbers, n)
		return true
	})
	if len(numbers) == 0 {
		return nil
	}
	return listOf(numbers)
}

// with gives a list that is no bitmap with some numbers more.
func (l list) with(add []uint16) list {
	numbers := make([]uint16, 0, len(l)/2+len(add))
	take := func(n uint16) {
		if len(numbers) == 0 || numbers[len(numbers)-1] != n {
			numbers = append(numbers, n)
		}
	}
	for i := 0; i+1 < len(l); i += 2 {
		n := binary.BigEndian.Uint16(l[i:]) % segmentSize
		for ; len(add) > 0 && add[0] <= n; add = add[1:] {
			take(add[0])
		}
		take(n)
	}
	for _, n := range add {
		take(n)
	}
	return listOf(numbers)
}

// codec keeps lists as they are.
type codec struct{}

func (codec) Append(dst []byte, l *list) ([]byte, error) { return append(dst, *l...), nil }

func (codec) Decode(data []byte, l *list) error {
	*l = slices.Clone(data)
	return nil
}
