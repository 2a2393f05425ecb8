package store

import (
	"runtime"
	"slices"
	"sort"
	"sync"
)

// span is a segment of a run and the probes that it would hold: those from the end of the span before it.
type span struct {
	seg segment
	end int
}

// spans fetches the segments of a run that hold some of the sorted probes, each once.
func (r *runReader) spans(probes []probe) ([]span, error) {
	var out []span
	from := sort.Search(len(probes), func(i int) bool { return len(r.fences) > 0 && !probes[i].less(r.fences[0]) })
	if from > 0 {
		out = append(out, span{end: from}) // before the first segment
	}
	for from < len(probes) {
		at := r.find(probes[from].entry)
		to := len(probes)
		if at+1 < len(r.fences) {
			fence := r.fences[at+1]
			to = from + sort.Search(len(probes)-from, func(i int) bool { return !probes[from+i].less(fence) })
		}
		seg, err := r.segment(at)
		if err != nil {
			return nil, err
		}
		out = append(out, span{seg, to})
		from = to
	}
	return out, nil
}

// probeAll looks sorted probes up in all runs, the newest first. Segments are fetched by this goroutine, for a transaction belongs to one; they are searched on
// all cores.
func (v *indexView) probeAll(probes []probe) error {
	if len(probes) == 0 {
		return nil
	}
	runs := make([][]span, 0, len(v.set.runs))
	for _, r := range slices.Backward(v.set.runs) {
		rr, err := v.reader(r)
		if err != nil {
			return err
		}
		spans, err := rr.spans(probes)
		if err != nil {
			return err
		}
		runs = append(runs, spans)
	}
	inParts(len(probes), func(from, to int) {
		for _, spans := range runs {
			s, _ := slices.BinarySearchFunc(spans, from+1, func(s span, end int) int { return s.end - end })
			for i := from; i < to; s++ {
				end := min(spans[s].end, to)
				spans[s].seg.settle(probes[i:end])
				i = end
			}
		}
	})
	return nil
}

// partFrom is how much there must be to do for another core to be worth while.
const partFrom = 2048

// inParts does n things on all cores, each part from ≤ i < to by itself.
func inParts(n int, do func(from, to int)) {
	workers := min(runtime.GOMAXPROCS(0), n/partFrom)
	if workers < 2 {
		do(0, n)
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { do(w*n/workers, (w+1)*n/workers) })
	}
	wg.Wait()
}
