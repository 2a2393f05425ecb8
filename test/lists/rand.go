package lists

import "math/bits"

// rng is SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, and the same numbers in every version of Go.
type rng uint64

const goldenGamma = 0x9e3779b97f4a7c15

// seeded returns the generator that belongs to a place, so that any household can be made without those before it.
func seeded(seed uint64, place ...uint64) rng {
	s := mix(seed + goldenGamma)
	for _, p := range place {
		s = mix(s ^ mix(p+goldenGamma))
	}
	return rng(s)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *rng) next() uint64 {
	*r += goldenGamma
	return mix(uint64(*r))
}

// below returns a number in [0, n).
func (r *rng) below(n int) int { return int(r.upTo(uint64(n))) }

// upTo is below, for numbers that may not fit an int.
func (r *rng) upTo(n uint64) uint64 {
	hi, _ := bits.Mul64(r.next(), n)
	return hi
}

// between returns a number in [low, high].
func (r *rng) between(low, high int) int { return low + r.below(high-low+1) }

// chance is true with probability p. The product with a power of two is exact, so it is the same everywhere.
func (r *rng) chance(p float64) bool { return r.next()>>11 < uint64(p*(1<<53)) }

// weighted returns an index of weights with the frequency of its weight.
func (r *rng) weighted(weights []int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := r.below(total)
	for i, w := range weights {
		if n < w {
			return i
		}
		n -= w
	}
	return len(weights) - 1
}

// A permutation shuffles [0, n) without holding it in memory: a Feistel network over the next even power of two,
// walked until it lands inside.
type permutation struct {
	n    uint64
	half uint
	mask uint64
	keys [4]uint64
}

func newPermutation(n, key uint64) permutation {
	half := uint(bits.Len64(n-1)+1) / 2
	half = max(half, 1)
	p := permutation{n: n, half: half, mask: 1<<half - 1}
	r := seeded(key)
	for i := range p.keys {
		p.keys[i] = r.next()
	}
	return p
}

// at returns the place of i in the shuffled order.
func (p *permutation) at(i uint64) uint64 {
	for {
		left, right := i>>p.half, i&p.mask
		for _, k := range p.keys {
			left, right = right, left^(mix(right^k)&p.mask)
		}
		if i = left<<p.half | right; i < p.n {
			return i
		}
	}
}

// from returns what stands at place i of the shuffled order: the inverse of at.
func (p *permutation) from(i uint64) uint64 {
	for {
		left, right := i>>p.half, i&p.mask
		for j := len(p.keys) - 1; j >= 0; j-- {
			left, right = right^(mix(left^p.keys[j])&p.mask), left
		}
		if i = left<<p.half | right; i < p.n {
			return i
		}
	}
}
