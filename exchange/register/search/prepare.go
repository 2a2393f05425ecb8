package search

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/store"
)

// edit is what changes in one list. The numbers are sorted, each once.
type edit struct {
	cell      cell
	add, drop []uint16
}

// prepared are the edits that changes of contacts come to, in the order of the lists.
type prepared struct {
	index *Index
	edits []edit
}

// PrepareChanges is of register.Preparer: it finds out, on all cores, which lists change and how.
func (x *Index) PrepareChanges(changes []register.Change) register.PreparedChanges {
	workers := runtime.GOMAXPROCS(0)
	if len(changes) < parallelFrom {
		workers = 1
	}
	parts := make([]part, workers)
	per := (len(changes) + workers - 1) / workers
	onAll(workers, func(w int) { parts[w] = x.collect(changes[min(w*per, len(changes)):min((w+1)*per, len(changes))]) })
	// Each worker has the terms of its share of the first byte.
	add, drop := make([][]filled, workers), make([][]filled, workers)
	onAll(workers, func(w int) {
		mine := func(t *store.Term) bool { return int(t[0])*workers>>8 == w }
		add[w] = gather(parts, mine, func(p *part) []occurrence { return p.added })
		drop[w] = gather(parts, mine, func(p *part) []occurrence { return p.dropped })
	})
	return &prepared{x, join(slices.Concat(add...), slices.Concat(drop...))}
}

// parallelFrom is how many changes or lists make it worth while to use more than one core.
const parallelFrom = 64

func onAll(workers int, work func(w int)) {
	if workers == 1 {
		work(0)
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { work(w) })
	}
	wg.Wait()
}

// part is what some of the changes come to: each value once, and which contacts have it more or less.
type part struct {
	values         []valued
	added, dropped []occurrence // in the order of the changes
}

// valued is a value in a segment, with its terms.
type valued struct {
	segment uint32
	terms   []store.Term
}

// occurrence is a contact's number in its segment, and one of its values.
type occurrence struct {
	value  int32
	number uint16
}

func (x *Index) collect(changes []register.Change) (p part) {
	type key struct {
		segment uint32
		value   value
	}
	at := make(map[key]int32, 2*len(changes))
	p.added = make([]occurrence, 0, 9*len(changes))
	var buf []value
	collect := func(into *[]occurrence, id uint64, c, other *contacts.Contact) {
		if c == nil {
			return
		}
		buf = values(buf[:0], c)
		for _, v := range buf {
			if other != nil && unchanged(v, other) {
				continue
			}
			k := key{uint32(id >> segmentBits), v}
			n, ok := at[k]
			if !ok {
				n = int32(len(p.values))
				at[k] = n
				p.values = append(p.values, valued{k.segment, x.terms.get(v)})
			}
			*into = append(*into, occurrence{n, uint16(id % segmentSize)})
		}
	}
	for i := range changes {
		c := &changes[i]
		collect(&p.added, c.ID, c.After, nil)
		// A token may come from several values: what is dropped must not be one that stays. Adding comes after dropping.
		collect(&p.dropped, c.ID, c.Before, c.After)
	}
	return p
}

// unchanged says whether a contact has a value as it is.
func unchanged(v value, c *contacts.Contact) bool {
	var buf [16]value
	return slices.Contains(values(buf[:0], c), v)
}

// filled is a list's place and numbers for it.
type filled struct {
	cell    cell
	numbers []uint16
}

// gather turns occurrences of values into numbers for lists, of the terms that are mine, in the order of the terms and of the segments of each.
func gather(parts []part, mine func(*store.Term) bool, of func(*part) []occurrence) []filled {
	total := 0
	for i := range parts {
		total += len(of(&parts[i]))
	}
	if total == 0 {
		return nil
	}
	// Which lists each value is in, and how many numbers each list gets.
	at := make(map[cell]int32, total/4)
	var out []filled
	var counts []int32
	cells := make([][][]int32, len(parts))
	all := 0
	for i := range parts {
		p := &parts[i]
		cells[i] = make([][]int32, len(p.values))
		for _, o := range of(p) {
			in := cells[i][o.value]
			if in == nil {
				v := &p.values[o.value]
				in = make([]int32, 0, len(v.terms))
				for t := range v.terms {
					if !mine(&v.terms[t]) {
						continue
					}
					c := cell{v.segment, v.terms[t]}
					n, ok := at[c]
					if !ok {
						n = int32(len(out))
						at[c] = n
						out, counts = append(out, filled{cell: c}), append(counts, 0)
					}
					in = append(in, n)
				}
				cells[i][o.value] = in
			}
			for _, n := range in {
				counts[n]++
			}
			all += len(in)
		}
	}
	room := make([]uint16, all)
	for n := range out {
		out[n].numbers, room = room[0:0:counts[n]], room[counts[n]:]
	}
	for i := range parts {
		for _, o := range of(&parts[i]) {
			for _, n := range cells[i][o.value] {
				if l := out[n].numbers; len(l) == 0 || l[len(l)-1] != o.number {
					out[n].numbers = append(l, o.number)
				}
			}
		}
	}
	for n := range out {
		if l := out[n].numbers; !slices.IsSorted(l) {
			slices.Sort(l)
			out[n].numbers = slices.Compact(l)
		}
	}
	slices.SortFunc(out, func(a, b filled) int { return a.cell.compare(b.cell) })
	return out
}

// join makes edits of what is added and what is dropped, in the order of the lists.
func join(add, drop []filled) []edit {
	edits := make([]edit, 0, len(add)+len(drop))
	for _, f := range add {
		edits = append(edits, edit{cell: f.cell, add: f.numbers})
	}
	for _, f := range drop {
		edits = append(edits, edit{cell: f.cell, drop: f.numbers})
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.cell.compare(b.cell) })
	out := edits[:0]
	for _, e := range edits {
		if n := len(out); n > 0 && out[n-1].cell == e.cell {
			out[n-1].add, out[n-1].drop = append(out[n-1].add, e.add...), append(out[n-1].drop, e.drop...)
			continue
		}
		out = append(out, e)
	}
	return out
}

// compare orders cells as the store orders their keys.
func (c cell) compare(o cell) int {
	if c.segment != o.segment {
		return cmp.Compare(c.segment, o.segment)
	}
	if a, b := binary.BigEndian.Uint64(c.term[:]), binary.BigEndian.Uint64(o.term[:]); a != b {
		return cmp.Compare(a, b)
	}
	return cmp.Compare(binary.BigEndian.Uint64(c.term[8:]), binary.BigEndian.Uint64(o.term[8:]))
}

// writing is an edit on its way to the store.
type writing struct {
	*edit
	add      []uint16 // without those that are left out
	old, new list
	sealed   store.Sealed
}

// Keep is of register.PreparedChanges: it reads the lists, changes and seals them on all cores, and writes them.
func (p *prepared) Keep(tx *store.Tx, without []uint64) error {
	x := p.index
	writes := make([]writing, 0, len(p.edits))
	left := leftOut(without)
	for i := range p.edits {
		w := writing{edit: &p.edits[i], add: p.edits[i].add}
		if left != nil {
			w.add = left.from(w.cell.segment, w.add)
			if len(w.add) == 0 && len(w.drop) == 0 {
				continue
			}
		}
		var err error
		if w.old, err = x.lists.Get(tx, w.cell.key()); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("reading the search index: %w", err)
		}
		writes = append(writes, w)
	}
	if err := x.seal(writes); err != nil {
		return err
	}
	for i := range writes {
		w := &writes[i]
		var err error
		if w.new == nil {
			err = x.lists.Delete(tx, w.cell.key())
		} else {
			err = x.lists.PutSealed(tx, w.sealed)
		}
		if err != nil {
			return fmt.Errorf("writing the search index: %w", err)
		}
	}
	return nil
}

// seal makes the new lists, on all cores.
func (x *Index) seal(writes []writing) error {
	workers := runtime.GOMAXPROCS(0)
	if len(writes) < parallelFrom {
		workers = 1
	}
	errs := make([]error, workers)
	per := (len(writes) + workers - 1) / workers
	onAll(workers, func(n int) {
		sealer := x.lists.Sealer()
		for i := min(n*per, len(writes)); i < min((n+1)*per, len(writes)); i++ {
			w := &writes[i]
			if w.new = w.old.change(w.add, w.drop); w.new == nil {
				continue
			}
			if w.sealed, errs[n] = sealer.Seal(w.cell.key(), &w.new); errs[n] != nil {
				return
			}
		}
	})
	return errors.Join(errs...)
}

// without are contacts whose changes are not made after all, by segment.
type without map[uint32]*set

func leftOut(numbers []uint64) without {
	if len(numbers) == 0 {
		return nil
	}
	out := without{}
	for _, id := range numbers {
		segment := uint32(id >> segmentBits)
		if out[segment] == nil {
			out[segment] = &set{}
		}
		out[segment].add(uint16(id % segmentSize))
	}
	return out
}

// from gives numbers without those that are left out; the numbers given stay as they are.
func (w without) from(segment uint32, numbers []uint16) []uint16 {
	out := w[segment]
	if out == nil {
		return numbers
	}
	first := slices.IndexFunc(numbers, out.has)
	if first < 0 {
		return numbers
	}
	left := slices.Clone(numbers[:first])
	for _, n := range numbers[first:] {
		if !out.has(n) {
			left = append(left, n)
		}
	}
	return left
}
