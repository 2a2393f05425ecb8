package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// MaxRef is the largest reference an index holds.
	MaxRef = 1<<63 - 2
	// holeRef stands in a crowded value for a reference that was removed.
	holeRef = 1<<63 - 1

	// DefaultMaxEqual is how many references a value can have before it is crowded.
	DefaultMaxEqual = 1024
	// DefaultMaxHits is how many references Insert reports for one value.
	DefaultMaxHits = 16
)

// Index finds references (record numbers, say) by value, without keeping the value: its entries are
// HMAC-SHA-256(K_idx, len(name) ‖ name ‖ value ‖ uint32 i), cut to 16 bytes, with i = 0, 1, … for the references of
// one value (PROTOCOL section 11; the length is a uint32, all big-endian), so that the file does not even show which values are
// frequent. It is a bag: a pair inserted twice is there twice.
//
// A value with more than its maximum of references is crowded: it is of no use for telling records apart, so only
// its first references are kept and the rest counted.
type Index struct {
	s         *Store
	name      string
	maxEqual  uint32
	maxHits   int
	macs      sync.Pool // of *termMAC
	tune      tuning
	published atomic.Pointer[runSet]
}

// IndexEntry is one pair of a value and a reference. Term is what Index.Hash gives for the value; left zero, it is computed.
type IndexEntry struct {
	Value []byte
	Term  Term
	Ref   uint64
}

// Hits are references found for one value, in no particular order.
type Hits struct {
	Refs    []uint64
	More    bool // there are more references than Refs holds
	Crowded bool // the value is crowded: some of its references are not kept at all
}

// IndexOption changes how an index works.
type IndexOption func(*Index)

// MaxEqual sets how many references a value may have before it is crowded. It belongs to the stored data: using an index with another one than it
// was made with is an error.
func MaxEqual(n int) IndexOption { return func(x *Index) { x.maxEqual = uint32(max(n, 1)) } }

// MaxHits sets how many references Insert reports for one value.
func MaxHits(n int) IndexOption { return func(x *Index) { x.maxHits = max(n, 1) } }

// NewIndex returns the index of the given name (as for NewCollection; the name is the label of PROTOCOL section 11). It comes into
// being with its first entry. Use one Index of a name in a program, or readers pay for loading it twice.
func NewIndex(s *Store, name string, options ...IndexOption) *Index {
	if !validName.MatchString(name) {
		panic("store: invalid index name " + name)
	}
	x := &Index{s: s, name: name, maxEqual: DefaultMaxEqual, maxHits: DefaultMaxHits, tune: defaultTuning}
	for _, o := range options {
		o(x)
	}
	label := appendField(nil, []byte(name))
	x.macs.New = func() any {
		m := &termMAC{mac: hmac.New(sha256.New, s.indexKey), message: make([]byte, len(label), 256), label: len(label)}
		copy(m.message, label)
		return m
	}
	return x
}

// Name returns the index's name.
func (x *Index) Name() string { return x.name }

// Hash returns the term of a value. It may be called concurrently and needs no transaction.
func (x *Index) Hash(value []byte) Term { return x.hash(value, 0) }

// termMAC makes the terms of one index. From its second use on, the standard library's HMAC begins with the states that it kept of the key's blocks: so
// a term costs as many compressions of SHA-256 as its message has blocks, and one. A name of at most 15 bytes and a value of 32 fit in one block.
type termMAC struct {
	mac     hash.Hash
	message []byte // the label, and room for the rest
	label   int    // its length
	sum     [sha256.Size]byte
}

func (x *Index) hash(value []byte, i uint32) Term {
	m := x.macs.Get().(*termMAC)
	m.message = append(m.message[:m.label], value...)
	m.message = binary.BigEndian.AppendUint32(m.message, i)
	m.mac.Reset()
	m.mac.Write(m.message)
	t := Term(m.mac.Sum(m.sum[:0])[:len(Term{})])
	x.macs.Put(m)
	return t
}

// slot returns the empty entry of a value's i-th reference.
func (x *Index) slot(value []byte, i uint32) entry {
	hi, lo := x.hash(value, i).split()
	return entry{hi: hi, lo: lo}
}

// Lookup returns at most max references of a value.
func (x *Index) Lookup(tx *Tx, value []byte, max int) (Hits, error) {
	var h Hits
	if err := tx.check(x.s, false); err != nil {
		return h, err
	}
	v, err := x.view(tx)
	if err != nil {
		return h, err
	}
	for i := uint32(0); i < x.maxEqual; i++ {
		ref, ok, err := v.get(x.slot(value, i))
		if err != nil || !ok {
			return h, err
		}
		if ref == holeRef {
			continue
		}
		if len(h.Refs) >= max {
			h.More = true
			break
		}
		h.Refs = append(h.Refs, ref)
	}
	// Only what filled all its places can be crowded, and it has its mark behind the last.
	if _, h.Crowded, err = v.get(x.slot(value, x.maxEqual)); err != nil {
		return h, err
	}
	h.More = h.More || h.Crowded
	return h, nil
}

// Remove takes pairs out, one of each if it is there several times; a pair that is not there changes nothing. Of a crowded value
// only ask to remove what was inserted: pairs that are not kept can only be counted down. The entries' bytes go with the next merge; Erase
// has them gone at once.
func (x *Index) Remove(tx *Tx, entries ...IndexEntry) error {
	v, edits, err := x.removal(tx, entries)
	if err != nil || len(edits) == 0 {
		return err
	}
	if err := v.change(); err != nil {
		return err
	}
	if err := v.addRun(sortedEdits(edits)); err != nil {
		return err
	}
	if err := v.relieve(len(edits)); err != nil {
		return err
	}
	return v.save()
}

func sortedEdits(edits map[Term]uint64) []entry {
	out := make([]entry, 0, len(edits))
	for t, ref := range edits {
		hi, lo := t.split()
		out = append(out, entry{hi, lo, ref})
	}
	slices.SortFunc(out, compareEntries)
	return out
}

// removal finds what has to change so that the pairs are no longer there: the new reference, or deadFlag, of each term concerned.
func (x *Index) removal(tx *Tx, entries []IndexEntry) (*indexView, map[Term]uint64, error) {
	if err := tx.check(x.s, true); err != nil {
		return nil, nil, err
	}
	v, err := x.view(tx)
	if err != nil {
		return nil, nil, err
	}
	edits := map[Term]uint64{}
	fetched, err := v.prefetch(entries)
	if err != nil {
		return nil, nil, err
	}
	get := func(e entry) (uint64, bool, error) {
		t := e.term()
		if ref, ok := edits[t]; ok {
			return ref &^ deadFlag, ref != deadFlag, nil
		}
		if k, ok := fetched[t]; ok {
			return k.ref, k.ok, nil
		}
		return v.get(e)
	}
	for n, e := range entries {
		if n%checkEvery == 0 {
			if err := tx.ctx.Err(); err != nil {
				return nil, nil, err
			}
		}
		if err := x.removePair(get, edits, e.Value, e.Ref); err != nil {
			return nil, nil, err
		}
	}
	return v, edits, nil
}

// removePair edits one value so that it has the reference once less. The places stay without gaps.
func (x *Index) removePair(get func(entry) (uint64, bool, error), edits map[Term]uint64, value []byte, ref uint64) error {
	var places []entry
	at := -1
	for i := uint32(0); i < x.maxEqual; i++ {
		e := x.slot(value, i)
		r, ok, err := get(e)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		e.ref = r
		if at < 0 && r == ref {
			at = len(places)
		}
		places = append(places, e)
	}
	mark := x.slot(value, x.maxEqual)
	overflow, crowded := uint64(0), false
	if len(places) == int(x.maxEqual) {
		var err error
		if overflow, crowded, err = get(mark); err != nil {
			return err
		}
	}
	switch {
	case crowded && at >= 0:
		// What would fill the gap was not kept. A hole keeps the value crowded and its places without gaps.
		edits[places[at].term()] = holeRef
	case crowded && overflow > 1:
		edits[mark.term()] = overflow - 1
	case crowded:
		// The last uncounted one: what is kept is complete again, so close the holes.
		edits[mark.term()] = deadFlag
		kept := 0
		for _, p := range places {
			if p.ref != holeRef {
				edits[places[kept].term()] = p.ref
				kept++
			}
		}
		for _, p := range places[kept:] {
			edits[p.term()] = deadFlag
		}
	case at >= 0:
		last := places[len(places)-1]
		if at < len(places)-1 {
			edits[places[at].term()] = last.ref
		}
		edits[last.term()] = deadFlag
	}
	return nil
}

// Clear removes all entries, so that the index can be built anew.
func (x *Index) Clear(tx *Tx) error {
	if err := tx.check(x.s, true); err != nil {
		return err
	}
	v, err := x.view(tx)
	if err != nil || v.root == nil {
		return err
	}
	if err := v.change(); err != nil {
		return err
	}
	if err := v.cancelMerges(); err != nil {
		return err
	}
	for _, r := range v.set.runs {
		if err := v.dropRun(r.id); err != nil {
			return err
		}
	}
	v.set.runs = nil
	return v.save()
}

// warm loads the fences, which otherwise the first transaction does.
func (x *Index) warm(ctx context.Context) error {
	return x.s.View(ctx, func(tx *Tx) error {
		_, err := x.view(tx)
		return err
	})
}
