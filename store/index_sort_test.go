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

// BenchmarkSettle looks for the terms of 10,000 contacts in a run of 8 million entries, most of which are not there.
func BenchmarkSettle(b *testing.B) {
	const segments, full = 1000, 8160
	rnd := rand.New(rand.NewPCG(1, 2))
	var segs []segment
	step := ^uint64(0) / segments
	for i := range uint64(segments) {
		his := make([]uint64, full)
		for j := range his {
			his[j] = i*step + rnd.Uint64N(step)
		}
		slices.Sort(his)
		var seg segment
		for _, hi := range his {
			seg = appendEntry(seg, entry{hi: hi, lo: rnd.Uint64(), ref: 1})
		}
		segs = append(segs, seg)
	}
	probes := make([]probe, 160_000)
	for i := range probes {
		probes[i] = probe{entry: entry{hi: rnd.Uint64(), lo: rnd.Uint64()}, n: i}
	}
	probes = sortProbes(probes)
	run := func(name string, each func(seg segment, probes []probe)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for from := 0; from < len(probes); {
					i := min(probes[from].hi/step, segments-1)
					to := from + 1
					for to < len(probes) && min(probes[to].hi/step, segments-1) == i {
						to++
					}
					each(segs[i], probes[from:to])
					from = to
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(probes)), "ns/probe")
		})
	}
	run("together", func(seg segment, probes []probe) { seg.settle(probes) })
	run("one by one", func(seg segment, probes []probe) {
		for i := range probes {
			seg.search(probes[i].entry)
		}
	})
}
