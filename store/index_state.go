package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// An index is a bucket inside bucketIndexes. Under keyState it has the description of its runs, and under the 8-byte number of
// each run, big-endian, a bucket with that run's segments: first term → entries.
var keyState = []byte("state")

// runSet describes the runs of an index as of one committed version. It is immutable once published, so that any number of
// readers share it; a writer works on its own copy until it commits.
type runSet struct {
	version  uint64 // grows with every committed change
	maxEqual uint64 // the index's MaxEqual
	erased   uint64 // grows with every Erase, which rewrites runs: what a merge has read before is then void
	nextID   uint64 // of the next run
	runs     []*run // oldest first
	merges   []*merge
}

// merge is a merge in progress. It is carried out in steps, each a transaction, and survives a restart: its inputs stay as they are
// until its output is whole.
type merge struct {
	out   *run
	in    []uint64 // run numbers, oldest first, neighbours in the set
	after Term     // the last term dealt with
	begun bool     // false: after means nothing yet
}

func (s *runSet) clone() *runSet {
	n := &runSet{version: s.version, maxEqual: s.maxEqual, erased: s.erased, nextID: s.nextID, runs: slices.Clone(s.runs)}
	for _, m := range s.merges {
		c := *m
		out := *m.out
		out.fences = slices.Clip(out.fences)
		c.out = &out
		n.merges = append(n.merges, &c)
	}
	return n
}

// mergeOf returns the merge that a run is an input of.
func (s *runSet) mergeOf(id uint64) *merge {
	for _, m := range s.merges {
		if slices.Contains(m.in, id) {
			return m
		}
	}
	return nil
}

func (s *runSet) position(id uint64) int {
	return slices.IndexFunc(s.runs, func(r *run) bool { return r.id == id })
}

// encode: version, MaxEqual, number of erasures, next run number, number of runs and then number, count, dead of each; number of merges and then of each number,
// count, dead of its output, begun, after, number of inputs and their numbers. Numbers are 8 bytes, big-endian.
func (s *runSet) encode() []byte {
	u := binary.BigEndian.AppendUint64
	b := u(nil, s.version)
	b = u(b, s.maxEqual)
	b = u(b, s.erased)
	b = u(b, s.nextID)
	b = u(b, uint64(len(s.runs)))
	for _, r := range s.runs {
		b = u(u(u(b, r.id), r.count), r.dead)
	}
	b = u(b, uint64(len(s.merges)))
	for _, m := range s.merges {
		b = u(u(u(b, m.out.id), m.out.count), m.out.dead)
		begun := uint64(0)
		if m.begun {
			begun = 1
		}
		b = append(u(b, begun), m.after[:]...)
		b = u(b, uint64(len(m.in)))
		for _, id := range m.in {
			b = u(b, id)
		}
	}
	return b
}

// maxRuns bounds what decodeRunSet believes; the merge policy stays far below it.
const maxRuns = 1 << 16

func decodeRunSet(b []byte) (*runSet, error) {
	bad := false
	u := func() uint64 {
		if len(b) < 8 {
			bad = true
			return 0
		}
		v := binary.BigEndian.Uint64(b)
		b = b[8:]
		return v
	}
	n := func() int {
		v := u()
		if v > maxRuns {
			bad = true
			return 0
		}
		return int(v)
	}
	s := &runSet{version: u(), maxEqual: u(), erased: u(), nextID: u()}
	for range n() {
		s.runs = append(s.runs, &run{id: u(), count: u(), dead: u()})
		if bad {
			break
		}
	}
	for range n() {
		m := &merge{out: &run{id: u(), count: u(), dead: u()}, begun: u() == 1}
		if len(b) < len(m.after) {
			bad = true
			break
		}
		b = b[copy(m.after[:], b):]
		for range n() {
			m.in = append(m.in, u())
			if bad {
				break
			}
		}
		s.merges = append(s.merges, m)
	}
	if bad || len(b) != 0 {
		return nil, fmt.Errorf("%w: description of an index", ErrCorrupt)
	}
	return s, nil
}

func runKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// loadFences reads the segment keys of a run, without touching the segments.
func loadFences(root *bolt.Bucket, r *run) error {
	b := root.Bucket(runKey(r.id))
	if b == nil {
		return fmt.Errorf("%w: an index run is missing", ErrCorrupt)
	}
	r.fences = make([]entry, 0, r.count/defaultTuning.segEntries+1)
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if len(k) != len(Term{}) {
			return fmt.Errorf("%w: index segment key", ErrCorrupt)
		}
		hi, lo := Term(k).split()
		r.fences = append(r.fences, entry{hi: hi, lo: lo})
	}
	return nil
}

// indexView is an index as one transaction sees it.
type indexView struct {
	x       *Index
	tx      *Tx
	root    *bolt.Bucket // nil where the index has never been written
	set     *runSet
	own     bool // set is this transaction's own copy, to be written back
	readers map[uint64]*runReader
}

// view returns the index in a transaction.
func (x *Index) view(tx *Tx) (*indexView, error) {
	if v, ok := tx.indexes[x]; ok {
		return v, nil
	}
	v := &indexView{x: x, tx: tx, readers: map[uint64]*runReader{}}
	v.root = tx.b.Bucket(bucketIndexes).Bucket([]byte(x.name))
	if v.root == nil {
		v.set = &runSet{maxEqual: uint64(x.maxEqual)}
	} else if err := v.load(); err != nil {
		return nil, err
	}
	if tx.indexes == nil {
		tx.indexes = map[*Index]*indexView{}
	}
	tx.indexes[x] = v
	return v, nil
}

// load finds the set of this transaction's version: the published one where it has the same number, else read from the file. A
// reader on an older version, or one that is quicker than the writer's publishing, thus never sees the fences of another version.
func (v *indexView) load() error {
	state := v.root.Get(keyState)
	if len(state) < 8 {
		return fmt.Errorf("%w: description of an index", ErrCorrupt)
	}
	version := binary.BigEndian.Uint64(state)
	published := v.x.published.Load()
	if published != nil && published.version == version {
		v.set = published
		return nil
	}
	set, err := decodeRunSet(state)
	if err != nil {
		return err
	}
	if set.maxEqual != uint64(v.x.maxEqual) {
		return fmt.Errorf("store: index %s was made with MaxEqual %d, not %d", v.x.name, set.maxEqual, v.x.maxEqual)
	}
	for _, r := range set.runs {
		if err := loadFences(v.root, r); err != nil {
			return err
		}
	}
	for _, m := range set.merges {
		if err := loadFences(v.root, m.out); err != nil {
			return err
		}
	}
	v.set = set
	v.x.publish(set)
	return nil
}

// publish makes a committed set the one that new transactions find, unless a newer one is there.
func (x *Index) publish(set *runSet) {
	for {
		old := x.published.Load()
		if old != nil && old.version >= set.version {
			return
		}
		if x.published.CompareAndSwap(old, set) {
			return
		}
	}
}

// change gives the view its own copy of the set and has it published on commit.
func (v *indexView) change() error {
	if v.own {
		return nil
	}
	if v.root == nil {
		var err error
		if v.root, err = v.tx.b.Bucket(bucketIndexes).CreateBucket([]byte(v.x.name)); err != nil {
			return fmt.Errorf("store: make index %s: %w", v.x.name, err)
		}
	}
	v.set = v.set.clone()
	v.set.version++
	v.own = true
	v.tx.onCommit = append(v.tx.onCommit, func() {
		v.x.publish(v.set)
		v.x.s.merger.wake(v.x)
	})
	return nil
}

// save writes the description of the set. It belongs at the end of every change.
func (v *indexView) save() error {
	if err := v.root.Put(keyState, v.set.encode()); err != nil {
		return fmt.Errorf("store: describe index %s: %w", v.x.name, err)
	}
	return nil
}

func (v *indexView) reader(r *run) (*runReader, error) {
	if rr, ok := v.readers[r.id]; ok && rr.run == r {
		return rr, nil
	}
	b := v.root.Bucket(runKey(r.id))
	if b == nil {
		return nil, fmt.Errorf("%w: an index run is missing", ErrCorrupt)
	}
	rr := &runReader{r, b}
	v.readers[r.id] = rr
	return rr, nil
}

// newRun makes the bucket of a new run, which is not yet part of the set.
func (v *indexView) newRun() (*segmentWriter, error) {
	id := v.set.nextID
	v.set.nextID++
	b, err := v.root.CreateBucket(runKey(id))
	if err != nil {
		return nil, fmt.Errorf("store: make index run: %w", err)
	}
	return v.x.tune.writer(b, &run{id: id}), nil
}

func (v *indexView) dropRun(id uint64) error {
	delete(v.readers, id)
	if err := v.root.DeleteBucket(runKey(id)); err != nil {
		return fmt.Errorf("store: drop index run: %w", err)
	}
	return nil
}

// get looks a term up in all runs, the newest first.
func (v *indexView) get(e entry) (ref uint64, ok bool, err error) {
	for _, r := range slices.Backward(v.set.runs) {
		rr, err := v.reader(r)
		if err != nil {
			return 0, false, err
		}
		ref, ok, err := rr.get(e)
		if err != nil {
			return 0, false, err
		}
		if ok && ref&deadFlag != 0 {
			return 0, false, nil
		}
		if ok {
			return ref, true, nil
		}
	}
	return 0, false, nil
}

// probe is one term of many to be looked up together.
type probe struct {
	entry      // the term; ref is set to what was found
	n     int  // whose it is
	found bool // settled by a run; live unless ref says dead
}
