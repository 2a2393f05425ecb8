package store

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"
)

const (
	// fanIn is how many runs of about one size are merged into one of the next size.
	fanIn = 4
	// helpFactor: where the background falls behind, a writer merges so many entries for each of its own.
	helpFactor = 8
)

// tuning holds the sizes that the merging goes by. Tests use small ones, so that little data goes through everything.
type tuning struct {
	segEntries  uint64 // entries of a full segment
	absorbFloor uint64 // a new run takes in a last run of at most so many entries, whatever its own size
	absorbLimit uint64 // a run grown by taking in others has at most so many entries, which bounds what a small change writes
	classBase   uint64 // size of the runs of the lowest class that is merged; each next class is fanIn times larger
	crowdedRuns int    // number of runs from which writers help with the merging, so that it stays bounded
	stepEntries int    // how much one step of a background merge writes
	minHelp     int    // how much a writer merges at least, if it has to help
}

// Two full segments with bbolt's overhead fill 96 pages of 4 KiB; a step is some 6 MiB.
var defaultTuning = tuning{
	segEntries: 8160, absorbFloor: 1024, absorbLimit: 1 << 15, classBase: 1 << 14,
	crowdedRuns: 16, stepEntries: 32 * 8160, minHelp: 2 * 8160,
}

func (t tuning) writer(b *bolt.Bucket, r *run) *segmentWriter {
	return &segmentWriter{b: b, run: r, full: int(t.segEntries) * entrySize}
}

// class returns the class of a run's size.
func (t tuning) class(count uint64) int {
	return (bits.Len64(count/t.classBase) + 1) / 2
}

// addRun adds sorted entries as the newest run, taking in small runs before it.
func (v *indexView) addRun(fresh []entry) error {
	if len(fresh) == 0 {
		return nil
	}
	set := v.set
	total := uint64(len(fresh))
	keep := len(set.runs)
	for keep > 0 {
		r := set.runs[keep-1]
		if set.mergeOf(r.id) != nil || total+r.count > v.x.tune.absorbLimit || (r.count > v.x.tune.absorbFloor && r.count > 2*total) {
			break
		}
		total += r.count
		keep--
	}
	w, err := v.newRun()
	if err != nil {
		return err
	}
	absorbed := set.runs[keep:]
	if len(absorbed) == 0 {
		for _, e := range fresh {
			if keep == 0 && e.dead() {
				continue
			}
			if err := w.add(e); err != nil {
				return err
			}
		}
	} else {
		// The fresh entries take part in the merge as a run in memory, the newest.
		seg := make(segment, 0, len(fresh)*entrySize)
		for _, e := range fresh {
			seg = appendEntry(seg, e)
		}
		readers := make([]*runReader, 0, len(absorbed))
		for _, r := range absorbed {
			rr, err := v.reader(r)
			if err != nil {
				return err
			}
			readers = append(readers, rr)
		}
		if err := mergeInto(w, readers, seg, keep == 0); err != nil {
			return err
		}
		for _, r := range absorbed {
			if err := v.dropRun(r.id); err != nil {
				return err
			}
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	set.runs = slices.Clone(set.runs[:keep])
	if w.run.count == 0 {
		return v.dropRun(w.run.id)
	}
	set.runs = append(set.runs, w.run)
	return nil
}

// mergeInto writes the merge of runs with a newest segment in memory.
func mergeInto(w *segmentWriter, runs []*runReader, newest segment, dropDead bool) error {
	i := 0
	put := func(e entry) error {
		if dropDead && e.dead() {
			return nil
		}
		return w.add(e)
	}
	_, _, err := mergeRuns(runs, entry{}, true, false, func(e entry) (bool, error) {
		for i < newest.len() {
			n := newest.at(i)
			if !n.less(e) {
				break
			}
			if err := put(n); err != nil {
				return false, err
			}
			i++
		}
		if i < newest.len() && newest.at(i).same(e) {
			return true, nil // the newer one follows
		}
		return true, put(e)
	})
	for ; err == nil && i < newest.len(); i++ {
		err = put(newest.at(i))
	}
	return err
}

// due returns the runs of the next merge to begin, oldest first; nil where there is none. It takes the smallest class that has fanIn
// runs, with none larger between them; and where there are many runs of odd sizes, the cheapest neighbours.
func (s *runSet) due(t tuning) []*run {
	busy := func(r *run) bool { return s.mergeOf(r.id) != nil }
	top := -1
	for _, r := range s.runs {
		top = max(top, t.class(r.count))
	}
	for c := 1; c <= top; c++ {
		// Streaks of free runs of class c or below, the newest first.
		for end := len(s.runs); end > 0; {
			begin, same := end, 0
			for begin > 0 && t.class(s.runs[begin-1].count) <= c && !busy(s.runs[begin-1]) {
				begin--
				if t.class(s.runs[begin].count) == c {
					same++
				}
			}
			if same >= fanIn {
				return s.runs[begin:end]
			}
			end = min(begin, end-1)
		}
	}
	if len(s.runs) <= t.crowdedRuns {
		return nil
	}
	var best []*run
	bestCost := ^uint64(0)
	for i := 0; i+fanIn <= len(s.runs); i++ {
		cost := uint64(0)
		for _, r := range s.runs[i : i+fanIn] {
			if busy(r) {
				cost = ^uint64(0)
				break
			}
			cost += r.count
		}
		if cost < bestCost {
			best, bestCost = s.runs[i:i+fanIn], cost
		}
	}
	return best
}

// nextMerge returns the merge to work on: the cheaper of the smallest one in progress and the one that is due.
func (s *runSet) nextMerge(t tuning) *merge {
	var best *merge
	cost := func(m *merge) (n uint64) {
		for _, id := range m.in {
			n += s.runs[s.position(id)].count
		}
		return n
	}
	for _, m := range s.merges {
		if best == nil || cost(m) < cost(best) {
			best = m
		}
	}
	if in := s.due(t); in != nil {
		m := &merge{out: &run{}}
		for _, r := range in {
			m.in = append(m.in, r.id)
		}
		if best == nil || cost(m) < cost(best) {
			return m
		}
	}
	return best
}

// mergeStep is the result of some work on a merge: whole segments, to be written by apply.
type mergeStep struct {
	in    []uint64
	out   uint64 // 0: the merge is new
	erase uint64 // number of erasures before
	after Term   // where the step began
	begun bool
	segs  []segment
	last  Term // where the step ended
	done  bool
}

// step does the reading part of some work on a merge, in any transaction.
func (v *indexView) step(ctx context.Context, m *merge, budget int) (*mergeStep, error) {
	readers := make([]*runReader, 0, len(m.in))
	first := v.set.position(m.in[0])
	for i := range m.in {
		rr, err := v.reader(v.set.runs[first+i])
		if err != nil {
			return nil, err
		}
		readers = append(readers, rr)
	}
	st := &mergeStep{in: m.in, out: m.out.id, erase: v.set.erased, after: m.after, begun: m.begun}
	hi, lo := m.after.split()
	full := int(v.x.tune.segEntries)
	budgetSegs := max(budget/full, 1)
	var seg segment
	last, done, err := mergeRuns(readers, entry{hi: hi, lo: lo}, !m.begun, first == 0, func(e entry) (bool, error) {
		if seg == nil {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			seg = make(segment, 0, full*entrySize)
		}
		seg = appendEntry(seg, e)
		if seg.len() < full {
			return true, nil
		}
		st.segs, seg = append(st.segs, seg), nil
		return len(st.segs) < budgetSegs, nil
	})
	if err != nil {
		return nil, err
	}
	if done && seg != nil {
		st.segs = append(st.segs, seg)
	}
	st.last, st.done = last.term(), done
	return st, nil
}

// apply writes a step, if the merge is still where the step began.
func (v *indexView) apply(st *mergeStep) error {
	set := v.set
	first := set.position(st.in[0])
	if st.erase != set.erased || first < 0 || first+len(st.in) > len(set.runs) {
		return nil
	}
	for i, id := range st.in {
		if set.runs[first+i].id != id {
			return nil
		}
	}
	m := set.mergeOf(st.in[0])
	switch {
	case m == nil && st.out != 0, m != nil && (m.out.id != st.out || m.begun != st.begun || m.after != st.after || !slices.Equal(m.in, st.in)):
		return nil
	case m == nil && slices.ContainsFunc(st.in, func(id uint64) bool { return set.mergeOf(id) != nil }):
		return nil
	}
	if err := v.change(); err != nil {
		return err
	}
	set = v.set
	var w *segmentWriter
	if m == nil {
		var err error
		if w, err = v.newRun(); err != nil {
			return err
		}
		m = &merge{out: w.run, in: st.in}
		set.merges = append(set.merges, m)
	} else {
		m = set.mergeOf(st.in[0]) // the copy
		w = v.x.tune.writer(v.root.Bucket(runKey(m.out.id)), m.out)
		if w.b == nil {
			return errors.New("store: the output of a merge is missing")
		}
	}
	for _, seg := range st.segs {
		if err := w.put(seg); err != nil {
			return err
		}
	}
	m.begun, m.after = true, st.last
	if st.done {
		for _, id := range m.in {
			if err := v.dropRun(id); err != nil {
				return err
			}
		}
		var put []*run
		if m.out.count > 0 {
			put = append(put, m.out)
		} else if err := v.dropRun(m.out.id); err != nil {
			return err
		}
		set.runs = slices.Concat(set.runs[:first], put, set.runs[first+len(m.in):])
		set.merges = slices.DeleteFunc(set.merges, func(o *merge) bool { return o == m })
	}
	return v.save()
}

// relieve does some merging inside the writer's transaction where the background has fallen behind.
func (v *indexView) relieve(added int) error {
	t := v.x.tune
	for budget := max(added*helpFactor, t.minHelp); budget > 0 && len(v.set.runs) > t.crowdedRuns; {
		m := v.set.nextMerge(t)
		if m == nil {
			return nil
		}
		st, err := v.step(v.tx.ctx, m, budget)
		if err != nil {
			return err
		}
		if err := v.apply(st); err != nil {
			return err
		}
		budget -= max(len(st.segs), 1) * int(t.segEntries)
	}
	return nil
}

// cancelMerges gives up the merges in progress; their inputs are all still there.
func (v *indexView) cancelMerges() error {
	for _, m := range v.set.merges {
		if err := v.dropRun(m.out.id); err != nil {
			return err
		}
	}
	v.set.merges = nil
	return nil
}

// merger merges runs in the background.
type merger struct {
	s      *Store
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	queue []*Index
	woken chan struct{}
}

func startMerger(s *Store) *merger {
	ctx, cancel := context.WithCancel(context.Background())
	m := &merger{s: s, cancel: cancel, done: make(chan struct{}), woken: make(chan struct{}, 1)}
	go m.run(ctx)
	return m
}

// stop ends the background merging and waits for its end.
func (m *merger) stop() {
	m.cancel()
	<-m.done
}

// wake has an index looked at.
func (m *merger) wake(x *Index) {
	if m == nil || m.s.opt.noMerge {
		return
	}
	m.mu.Lock()
	if !slices.Contains(m.queue, x) {
		m.queue = append(m.queue, x)
	}
	m.mu.Unlock()
	select {
	case m.woken <- struct{}{}:
	default:
	}
}

func (m *merger) run(ctx context.Context) {
	defer close(m.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.woken:
		}
		for {
			m.mu.Lock()
			if len(m.queue) == 0 {
				m.mu.Unlock()
				break
			}
			x := m.queue[0]
			m.queue = m.queue[1:]
			m.mu.Unlock()
			more, err := x.mergeOnce(ctx)
			switch {
			case err == nil && more:
				m.wake(x)
			case err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed):
				// The index stays as it is, only slower; the next change tries again.
				m.s.opt.Logger.Error("store: merging an index failed", "index", x.name, "error", err)
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// mergeOnce does one step of background merging: it reads in a read-only transaction and holds the writer's lock only to write. It
// reports whether there may be more to do.
func (x *Index) mergeOnce(ctx context.Context) (more bool, err error) {
	var st *mergeStep
	err = x.s.View(ctx, func(tx *Tx) error {
		v, err := x.view(tx)
		if err != nil || v.root == nil {
			return err
		}
		m := v.set.nextMerge(x.tune)
		if m == nil {
			return nil
		}
		st, err = v.step(ctx, m, x.tune.stepEntries)
		return err
	})
	if err != nil || st == nil {
		return false, err
	}
	err = x.s.Update(ctx, func(tx *Tx) error {
		v, err := x.view(tx)
		if err != nil {
			return err
		}
		return v.apply(st)
	})
	return err == nil, err
}
