package store

import (
	"math/bits"
	"slices"
)

const (
	bucketsFrom = 256 // fewer probes than that are simply sorted
	bucketSize  = 8   // how many probes a bucket is to have
	maxBuckets  = 1 << 16
)

// sortProbes sorts probes by their terms, those of equal terms by n, and returns them in memory that may be other than what they came in. Terms of different
// values look random, so they are first dealt out by their leading bits, which leaves little to compare: an import sorts all of its terms. Equal values
// fall into one bucket; that one is sorted as any other sequence.
func sortProbes(probes []probe) []probe {
	if len(probes) < bucketsFrom {
		slices.SortFunc(probes, compareProbes)
		return probes
	}
	count := min(1<<(bits.Len(uint(len(probes)/bucketSize))-1), maxBuckets)
	shift := 64 - (bits.Len(uint(count)) - 1)
	at := make([]uint32, count+1)
	for i := range probes {
		at[probes[i].hi>>shift+1]++
	}
	for i := 1; i <= count; i++ {
		at[i] += at[i-1]
	}
	out := make([]probe, len(probes))
	for i := range probes {
		b := probes[i].hi >> shift
		out[at[b]] = probes[i]
		at[b]++
	}
	from := uint32(0)
	for _, to := range at[:count] { // each has moved on to where the next begins
		sortBucket(out[from:to])
		from = to
	}
	return out
}

// sortBucket sorts few probes by insertion.
func sortBucket(probes []probe) {
	if len(probes) > 4*bucketSize {
		slices.SortFunc(probes, compareProbes)
		return
	}
	for i := 1; i < len(probes); i++ {
		if compareProbes(probes[i-1], probes[i]) <= 0 {
			continue
		}
		p := probes[i]
		j := i
		for ; j > 0 && compareProbes(probes[j-1], p) > 0; j-- {
			probes[j] = probes[j-1]
		}
		probes[j] = p
	}
}

func compareProbes(a, b probe) int {
	switch {
	case a.hi < b.hi:
		return -1
	case a.hi > b.hi:
		return 1
	case a.lo != b.lo:
		return compareEntries(a.entry, b.entry)
	}
	return a.n - b.n
}
