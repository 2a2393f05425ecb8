package store

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSortProbes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, term := range map[string]func(i int) (hi, lo uint64){
		"random":      func(int) (uint64, uint64) { return r.Uint64(), r.Uint64() },
		"all equal":   func(int) (uint64, uint64) { return 7, 7 },
		"low half":    func(int) (uint64, uint64) { return 7, r.Uint64() % 100 },
		"few values":  func(int) (uint64, uint64) { return r.Uint64() % 3 << 62, r.Uint64() % 2 },
		"last bucket": func(int) (uint64, uint64) { return ^uint64(0), r.Uint64() },
		"descending":  func(i int) (uint64, uint64) { return uint64(1<<20-i) << 40, 0 },
	} {
		for _, n := range []int{0, 1, 2, bucketsFrom - 1, bucketsFrom, 1000, 70_000} {
			probes := make([]probe, n)
			for i := range probes {
				hi, lo := term(i)
				probes[i] = probe{entry: entry{hi: hi, lo: lo, ref: r.Uint64()}, n: i}
			}
			want := slices.Clone(probes)
			slices.SortFunc(want, compareProbes)
			if got := sortProbes(probes); !slices.Equal(got, want) {
				t.Errorf("%d probes, %s: not sorted", n, name)
			}
		}
	}
}

func BenchmarkSortProbes(b *testing.B) {
	const n = 75_000
	r := rand.New(rand.NewPCG(1, 2))
	probes := make([]probe, n)
	for i := range probes {
		probes[i] = probe{entry: entry{hi: r.Uint64(), lo: r.Uint64()}, n: i}
	}
	work := make([]probe, n)
	for b.Loop() {
		copy(work, probes)
		sortProbes(work)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/entry")
}
