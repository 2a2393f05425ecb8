package noise

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// pairsPerStep is about how many pairs are tried between two reports: a seventh of a second on one core.
const pairsPerStep = 1 << 20

// digestsPerRun is how many digests one call of the kernel tries before it looks for cancellation.
const digestsPerRun = 1 << 16

// Hit is a digest that both sides have.
type Hit struct {
	Entry  int // index of the initiator's entry
	Digest int // index of the matcher's own digest
}

// Step reports progress. Whoever saves Next together with the hits of all steps so far can go on from there
// in another process.
type Step struct {
	Next  int    // every entry before this one has been tried
	Total int    // number of entries
	Pairs uint64 // pairs tried in this step
	Hits  []Hit  // hits in the entries of this step, by entry
}

// Matcher finds which of the responder's digests a foreign set holds.
type Matcher struct {
	// Workers is the number of cores to use; 0 means all that the process may use.
	Workers int

	digests [][32]byte
	kernel  func() kernel
	pairs   int // pairs a step, about
}

// NewMatcher returns a matcher of the given digests, which it keeps and does not copy. They are deduplicated by the
// caller; a digest that is there twice is found twice.
func NewMatcher(digests [][32]byte) *Matcher {
	return &Matcher{digests: digests, kernel: chooseKernel(), pairs: pairsPerStep}
}

// Match tries every digest on every entry from index from on, and calls report after about every million
// pairs, in the order of the entries, never concurrently. The entries are the bytes of a whole
// committed set, already verified. Its time depends on the two sizes, not on what matches.
//
// It ends early with the error of ctx, or of report; then all hits that were reported are good, and a
// later call can go on from the last Step.Next. Other errors: [ErrEntries].
func (m *Matcher) Match(ctx context.Context, entries []byte, from int, report func(Step) error) error {
	total := len(entries) / EntrySize
	if len(entries)%EntrySize != 0 || from < 0 || from > total {
		return fmt.Errorf("noise: %d bytes of entries, from entry %d: %w", len(entries), from, ErrEntries)
	}
	span := min(max(m.pairs/max(len(m.digests), 1), 1), 1024)
	steps := (total - from + span - 1) / span
	workers := m.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		step int
		hits []Hit
	}
	results := make(chan result)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, steps) {
		wg.Go(func() {
			k := m.kernel()
			for {
				step := int(next.Add(1)) - 1
				if step >= steps {
					return
				}
				first := from + step*span
				hits, ok := m.run(ctx, k, entries, first, min(first+span, total))
				if !ok {
					return
				}
				select {
				case results <- result{step, hits}:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	defer wg.Wait()
	defer cancel() // before waiting

	early := make(map[int][]Hit) // finished before a step that precedes them
	for done := 0; done < steps; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("noise: matching: %w", context.Cause(ctx))
		case r := <-results:
			early[r.step] = r.hits
		}
		for {
			hits, ok := early[done]
			if !ok {
				break
			}
			delete(early, done)
			first := from + done*span
			last := min(first+span, total)
			done++
			err := report(Step{Next: last, Total: total, Pairs: uint64(last-first) * uint64(len(m.digests)), Hits: hits})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// run tries all digests on the entries from first up to last; false means that ctx is done.
func (m *Matcher) run(ctx context.Context, k kernel, entries []byte, first, last int) ([]Hit, bool) {
	var hits []Hit
	var found []int
	for e := first; e < last; e++ {
		entry := (*[EntrySize]byte)(entries[e*EntrySize:])
		for at := 0; at < len(m.digests); at += digestsPerRun {
			if ctx.Err() != nil {
				return nil, false
			}
			found = k.run(found[:0], entry, m.digests[at:min(at+digestsPerRun, len(m.digests))])
			for _, i := range found {
				hits = append(hits, Hit{Entry: e, Digest: at + i})
			}
		}
	}
	return hits, true
}
