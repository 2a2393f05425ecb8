package store

import (
	"fmt"
	"slices"
)

// Insert adds pairs. For each it returns the references that its value had before, those of earlier entries of the same call included, at
// most MaxHits of them. Large calls are much faster than many small ones: a few thousand entries each. A pair of a crowded value
// is counted, not kept.
func (x *Index) Insert(tx *Tx, entries []IndexEntry) ([]Hits, error) {
	if err := tx.check(x.s, true); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, nil
	}
	v, err := x.view(tx)
	if err != nil {
		return nil, err
	}
	probes, err := x.probes(entries)
	if err != nil {
		return nil, err
	}
	hits := make([]Hits, len(entries))
	fresh, err := v.place(entries, probes, hits)
	if err != nil {
		return nil, err
	}
	if err := v.change(); err != nil {
		return nil, err
	}
	if err := v.addRun(fresh); err != nil {
		return nil, err
	}
	if err := v.relieve(len(fresh)); err != nil {
		return nil, err
	}
	return hits, v.save()
}

// probes returns a sorted probe for each entry; equal terms keep the order of the entries.
func (x *Index) probes(entries []IndexEntry) ([]probe, error) {
	probes := make([]probe, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Ref > MaxRef {
			return nil, fmt.Errorf("%w: %d", ErrRef, e.Ref)
		}
		t := e.Term
		if t == (Term{}) {
			t = x.Hash(e.Value)
		}
		hi, lo := t.split()
		probes[i] = probe{entry: entry{hi: hi, lo: lo}, n: i}
	}
	return sortProbes(probes), nil
}

// place finds the places of new entries and what was there before them. It returns the entries to write, sorted.
func (v *indexView) place(entries []IndexEntry, probes []probe, hits []Hits) ([]entry, error) {
	x := v.x
	if err := v.probeAll(probes); err != nil {
		return nil, err
	}
	fresh := make([]entry, 0, len(probes))
	// groups are the values that are not simply new: probes[from:to] are all of one value.
	type group struct {
		from, to int
		refs     []uint64
		count    uint32 // places taken
		overflow uint64 // how many references are counted only
	}
	var groups []group
	for from := 0; from < len(probes); {
		to := from + 1
		for to < len(probes) && probes[to].same(probes[from].entry) {
			to++
		}
		p := probes[from]
		live := p.found && !p.dead()
		if !live && to == from+1 {
			p.ref = entries[p.n].Ref
			fresh = append(fresh, p.entry)
		} else {
			g := group{from: from, to: to}
			if live {
				g.count = 1
				if p.ref != holeRef {
					g.refs = append(g.refs, p.ref)
				}
			}
			groups = append(groups, g)
		}
		from = to
	}
	// Follow the values that have references already, all together round by round.
	open := make([]int, 0, len(groups))
	for i := range groups {
		if groups[i].count > 0 {
			open = append(open, i)
		}
	}
	var crowd []int
	for round := uint32(1); len(open) > 0; round++ {
		if round >= x.maxEqual || int(round) > x.maxHits {
			crowd = open
			break
		}
		more := make([]probe, len(open))
		inParts(len(open), func(from, to int) {
			for i, g := range open[from:to] {
				more[from+i] = probe{entry: x.slot(entries[probes[groups[g].from].n].Value, round), n: g}
			}
		})
		more = sortProbes(more)
		if err := v.probeAll(more); err != nil {
			return nil, err
		}
		open = open[:0]
		for _, p := range more {
			if p.found && !p.dead() {
				g := &groups[p.n]
				g.count++
				if p.ref != holeRef {
					g.refs = append(g.refs, p.ref)
				}
				open = append(open, p.n)
			}
		}
	}
	for _, i := range crowd {
		g := &groups[i]
		var err error
		if g.count, err = v.count(entries[probes[g.from].n].Value, g.count); err != nil {
			return nil, err
		}
	}
	// What has filled its places may be crowded: its mark says how many were counted only.
	marks := make([]probe, 0, len(crowd))
	for _, i := range crowd {
		if g := &groups[i]; g.count >= x.maxEqual {
			marks = append(marks, probe{entry: x.slot(entries[probes[g.from].n].Value, x.maxEqual), n: i})
		}
	}
	marks = sortProbes(marks)
	if err := v.probeAll(marks); err != nil {
		return nil, err
	}
	for _, p := range marks {
		if p.found && !p.dead() {
			groups[p.n].overflow = p.ref
		}
	}
	for i := range groups {
		g := &groups[i]
		value := entries[probes[g.from].n].Value
		overflow, crowded := g.overflow, g.overflow > 0
		grown := overflow
		for _, p := range probes[g.from:g.to] {
			h := &hits[p.n]
			h.Refs = slices.Clip(g.refs[:min(len(g.refs), x.maxHits)])
			h.Crowded = crowded || grown > 0
			h.More = h.Crowded || len(g.refs) > x.maxHits || int(g.count) > len(g.refs)
			if g.count < x.maxEqual {
				e := x.slot(value, g.count)
				e.ref = entries[p.n].Ref
				fresh = append(fresh, e)
				g.count++
				if len(g.refs) <= x.maxHits {
					g.refs = append(g.refs, entries[p.n].Ref)
				}
				continue
			}
			grown++
		}
		if grown > overflow {
			e := x.slot(value, x.maxEqual)
			e.ref = grown
			fresh = append(fresh, e)
		}
	}
	slices.SortFunc(fresh, compareEntries)
	return fresh, nil
}

// count returns the number of places that a value has taken, of which at least known, by doubling and halving: places
// are taken without gaps.
func (v *indexView) count(value []byte, known uint32) (uint32, error) {
	x := v.x
	lo, hi := known, x.maxEqual // lo places are taken; the answer is at most hi
	for step := known; lo < hi; {
		// Try growing steps first, then halves of what is left.
		at := min(lo+max(step, 1), hi) // is the at-th place (from 1) taken?
		if step == 0 {
			at = lo + (hi-lo+1)/2
		}
		_, ok, err := v.get(x.slot(value, at-1))
		switch {
		case err != nil:
			return 0, err
		case ok:
			lo = at
			step *= 2
		default:
			hi = at - 1
			step = 0
		}
	}
	return lo, nil
}
