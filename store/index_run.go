package store

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

const entrySize = 24 // 16-byte term, 8-byte reference

// Term is what an index keeps of a value: the first 16 bytes of a keyed hash.
type Term [16]byte

// entry is one index entry in memory. The term is held as two numbers, which sort like its bytes.
type entry struct {
	hi, lo uint64
	ref    uint64 // deadFlag set: the term is removed
}

// deadFlag marks an entry that says "this term is no longer here", until a merge with the oldest run drops it.
const deadFlag = 1 << 63

func (t Term) split() (hi, lo uint64) {
	return binary.BigEndian.Uint64(t[:8]), binary.BigEndian.Uint64(t[8:])
}

func (e entry) term() (t Term) {
	binary.BigEndian.PutUint64(t[:8], e.hi)
	binary.BigEndian.PutUint64(t[8:], e.lo)
	return t
}

func (e entry) dead() bool { return e.ref&deadFlag != 0 }

func (e entry) less(o entry) bool { return e.hi < o.hi || (e.hi == o.hi && e.lo < o.lo) }

func (e entry) same(o entry) bool { return e.hi == o.hi && e.lo == o.lo }

func compareEntries(a, b entry) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	return cmp.Compare(a.lo, b.lo)
}

// segment is a sorted sequence of encoded entries, mostly in mapped memory.
type segment []byte

func (s segment) len() int { return len(s) / entrySize }

func (s segment) hi(i int) uint64 { return binary.BigEndian.Uint64(s[i*entrySize:]) }

func (s segment) at(i int) entry {
	b := s[i*entrySize : i*entrySize+entrySize]
	return entry{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
}

// below reports whether the i-th term is below e's.
func (s segment) below(i int, e entry) bool {
	h := s.hi(i)
	return h < e.hi || (h == e.hi && binary.BigEndian.Uint64(s[i*entrySize+8:]) < e.lo)
}

func appendEntry(dst []byte, e entry) []byte {
	dst = binary.BigEndian.AppendUint64(dst, e.hi)
	dst = binary.BigEndian.AppendUint64(dst, e.lo)
	return binary.BigEndian.AppendUint64(dst, e.ref)
}

// search returns the position of the first entry whose term is not below e's, and whether it is e's. Terms are
// hashes, so that their place can be guessed from their value: two guesses land within a cache line or two.
func (s segment) search(e entry) (int, bool) {
	g, ok := s.guesser()
	if !ok {
		return s.from(0, e)
	}
	p := g.first(e)
	return s.from(g.second(e, p, s.hi(p)), e)
}

// guesser guesses where terms are in a segment: its first key, and how far keys are apart on average.
type guesser struct {
	low uint64
	gap float64
	n   int
}

// guesser is of no use in a segment of few entries.
func (s segment) guesser() (guesser, bool) {
	n := s.len()
	if n <= 16 {
		return guesser{}, false
	}
	low := s.hi(0)
	gap := float64(s.hi(n-1)-low) / float64(n)
	return guesser{low, gap, n}, gap > 1
}

func (g guesser) first(e entry) int {
	if e.hi <= g.low {
		return 0
	}
	return clamp(int(min(float64(e.hi-g.low)/g.gap, float64(g.n))), g.n)
}

// second betters a guess at which the key k was found.
func (g guesser) second(e entry, p int, k uint64) int {
	if k <= e.hi {
		return clamp(p+int(min(float64(e.hi-k)/g.gap, float64(g.n))), g.n)
	}
	return clamp(p-int(min(float64(k-e.hi)/g.gap, float64(g.n))), g.n)
}

// from does the same as search, from a guess on: it walks in growing steps until the term is between two entries.
func (s segment) from(p int, e entry) (int, bool) {
	n := s.len()
	if n == 0 {
		return 0, false
	}
	lo, hi := 0, n // the answer is in [lo, hi]
	if s.below(p, e) {
		lo = p + 1
		for step := 4; lo+step < n; step *= 2 {
			if !s.below(lo+step, e) {
				hi = lo + step
				break
			}
			lo += step + 1
		}
	} else {
		hi = p
		for step := 4; hi-step >= 0; step *= 2 {
			if s.below(hi-step, e) {
				lo = hi - step + 1
				break
			}
			hi -= step
		}
	}
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if s.below(mid, e) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < n && s.at(lo).same(e)
}

// together is how many terms are looked for at once: reading one waits for memory, and the waits of so many overlap.
const together = 16

// settle looks for probes that are not settled yet.
func (s segment) settle(probes []probe) {
	g, ok := s.guesser()
	var at [together]int // of the probes: which they are, where they may be, what is there
	var pos [together]int
	var key [together]uint64
	for i := 0; i < len(probes); {
		n := 0
		for ; i < len(probes) && n < together; i++ {
			if !probes[i].found {
				at[n] = i
				n++
			}
		}
		if ok {
			for j, i := range at[:n] {
				pos[j] = g.first(probes[i].entry)
				key[j] = s.hi(pos[j])
			}
			for j, i := range at[:n] {
				pos[j] = g.second(probes[i].entry, pos[j], key[j])
				key[j] = s.hi(pos[j]) // so that it is at hand
			}
		}
		for j, i := range at[:n] {
			p := &probes[i]
			if found, ok := s.from(pos[j], p.entry); ok {
				p.ref, p.found = s.at(found).ref, true
			}
		}
	}
}

func clamp(p, n int) int {
	if p < 0 {
		return 0
	}
	if p >= n {
		return n - 1
	}
	return p
}

// run is one sorted run of an index: entries in ascending order, each term once, in segments. Runs are immutable but for
// Erase, which makes a new version of the set they belong to.
type run struct {
	id     uint64
	count  uint64  // entries, dead ones included
	dead   uint64  // dead ones
	fences []entry // the key of each segment, not above the segment's first entry, as a term without reference; loaded with the set
}

// runReader reads a run within one transaction.
type runReader struct {
	*run
	b *bolt.Bucket
}

func (r *runReader) segment(i int) (segment, error) {
	t := r.fences[i].term()
	v := r.b.Get(t[:])
	if v == nil || len(v)%entrySize != 0 {
		return nil, fmt.Errorf("%w: index segment missing or of odd size", ErrCorrupt)
	}
	return v, nil
}

// find returns the number of the segment that would hold e: the last whose fence is not above e; -1 where there is none.
func (r *runReader) find(e entry) int {
	i, found := slices.BinarySearchFunc(r.fences, e, compareEntries)
	if found {
		return i
	}
	return i - 1
}

// get looks one term up; ok also for a dead entry.
func (r *runReader) get(e entry) (ref uint64, ok bool, err error) {
	i := r.find(e)
	if i < 0 {
		return 0, false, nil
	}
	seg, err := r.segment(i)
	if err != nil {
		return 0, false, err
	}
	p, ok := seg.search(e)
	if !ok {
		return 0, false, nil
	}
	return seg.at(p).ref, true, nil
}

// segmentWriter writes entries in ascending order as the segments of a run.
type segmentWriter struct {
	b    *bolt.Bucket
	run  *run
	full int    // bytes of a full segment
	buf  []byte // belongs to bbolt once put
}

func (w *segmentWriter) add(e entry) error {
	if w.buf == nil {
		w.buf = make([]byte, 0, w.full)
	}
	w.buf = appendEntry(w.buf, e)
	if len(w.buf) == w.full {
		return w.flush()
	}
	return nil
}

func (w *segmentWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	err := w.put(w.buf)
	w.buf = nil
	return err
}

// put appends a whole segment, which must not be changed until the transaction ends.
func (w *segmentWriter) put(seg segment) error {
	w.b.FillPercent = 1
	for i := range seg.len() {
		if seg.at(i).dead() {
			w.run.dead++
		}
	}
	w.run.count += uint64(seg.len())
	fence := seg.at(0)
	fence.ref = 0
	w.run.fences = append(w.run.fences, fence)
	if err := w.b.Put(seg[:len(Term{})], seg[:len(seg):len(seg)]); err != nil {
		return fmt.Errorf("store: put index segment: %w", err)
	}
	return nil
}

// mergeCursor walks through one run for a merge.
type mergeCursor struct {
	r    *runReader
	next int // number of the next segment
	seg  segment
	pos  int
	cur  entry
	ok   bool
}

// seek puts the cursor on the first entry above e, or at the very beginning.
func (c *mergeCursor) seek(e entry, fromStart bool) error {
	c.next = 0
	if !fromStart {
		c.next = max(c.r.find(e), 0)
	}
	if err := c.load(); err != nil || !c.ok || fromStart {
		return err
	}
	p, found := c.seg.search(e)
	if found {
		p++
	}
	c.pos = p
	return c.settle()
}

func (c *mergeCursor) load() (err error) {
	if c.next >= len(c.r.fences) {
		c.ok = false
		return nil
	}
	if c.seg, err = c.r.segment(c.next); err != nil {
		return err
	}
	c.next++
	c.pos = 0
	return c.settle()
}

func (c *mergeCursor) settle() error {
	if c.pos >= c.seg.len() {
		return c.load()
	}
	c.cur, c.ok = c.seg.at(c.pos), true
	return nil
}

func (c *mergeCursor) advance() error {
	c.pos++
	if c.pos < c.seg.len() {
		c.cur = c.seg.at(c.pos)
		return nil
	}
	return c.settle()
}

// mergeRuns merges runs, oldest first, from after a position on, calling emit with each surviving entry in order until it
// returns false. It reports the last term it has dealt with and whether it has reached the end. With dropDead, removals are dropped: only
// right where nothing older is left.
func mergeRuns(runs []*runReader, after entry, fromStart, dropDead bool, emit func(entry) (bool, error)) (last entry, done bool, err error) {
	cursors := make([]*mergeCursor, len(runs))
	for i, r := range runs {
		cursors[i] = &mergeCursor{r: r}
		if err := cursors[i].seek(after, fromStart); err != nil {
			return after, false, err
		}
	}
	last = after
	for {
		// The lowest term; of equal ones that of the newest run. There are few runs: no heap.
		var best *mergeCursor
		for _, c := range cursors {
			if c.ok && (best == nil || !best.cur.less(c.cur)) {
				best = c
			}
		}
		if best == nil {
			return last, true, nil
		}
		e := best.cur
		for _, c := range cursors {
			if c.ok && c.cur.same(e) {
				if err := c.advance(); err != nil {
					return last, false, err
				}
			}
		}
		last = e
		if dropDead && e.dead() {
			continue
		}
		more, err := emit(e)
		if err != nil || !more {
			return last, false, err
		}
	}
}
