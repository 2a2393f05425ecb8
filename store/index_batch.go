package store

// LookupAll looks many values up together, each in at most max references as Lookup does; of a crowded value there may be
// fewer. Looking them up in the order of their terms
// fetches every segment once: it is several times faster than one Lookup after another.
func (x *Index) LookupAll(tx *Tx, entries []IndexEntry, max int) ([]Hits, error) {
	if err := tx.check(x.s, false); err != nil {
		return nil, err
	}
	v, err := x.view(tx)
	if err != nil {
		return nil, err
	}
	hits := make([]Hits, len(entries))
	err = v.follow(entries, max, func(n int, e entry) { hits[n].Refs = append(hits[n].Refs, e.ref) }, func(n int) error {
		h := &hits[n]
		if len(h.Refs) > max {
			h.Refs, h.More = h.Refs[:max], true
		}
		var err error
		_, h.Crowded, err = v.get(x.slot(entries[n].Value, x.maxEqual))
		h.More = h.More || h.Crowded
		return err
	})
	return hits, err
}

// follow finds the references of many values round by round: all first ones, then all second ones of those that have a first. found is
// called for each; after more than max rounds, or at the last place that a value can have, full is called for those that are still open.
func (v *indexView) follow(entries []IndexEntry, max int, found func(n int, e entry), full func(n int) error) error {
	x := v.x
	probes := make([]probe, len(entries))
	for i := range entries {
		t := entries[i].Term
		if t == (Term{}) {
			t = x.Hash(entries[i].Value)
		}
		hi, lo := t.split()
		probes[i] = probe{entry: entry{hi: hi, lo: lo}, n: i}
	}
	for round := uint32(1); len(probes) > 0; round++ {
		if err := v.tx.ctx.Err(); err != nil {
			return err
		}
		probes = sortProbes(probes)
		if err := v.probeAll(probes); err != nil {
			return err
		}
		next := probes[:0]
		for _, p := range probes {
			if !p.found || p.dead() {
				continue
			}
			if p.ref != holeRef {
				found(p.n, p.entry)
			}
			if round >= x.maxEqual || int(round) > max {
				if err := full(p.n); err != nil {
					return err
				}
				continue
			}
			next = append(next, probe{entry: x.slot(entries[p.n].Value, round), n: p.n})
		}
		probes = next
	}
	return nil
}

// prefetchRounds is how many references of a value are fetched ahead for a removal; the rest is looked up one by one.
const prefetchRounds = 8

// known is what a lookup has found under a term.
type known struct {
	ref uint64
	ok  bool
}

// prefetch looks up what a removal of many pairs will ask for.
func (v *indexView) prefetch(entries []IndexEntry) (map[Term]known, error) {
	x := v.x
	got := make(map[Term]known, 2*len(entries))
	places := make([]uint32, len(entries))
	err := v.follow(entries, prefetchRounds, func(n int, e entry) {
		got[e.term()] = known{e.ref, true}
		places[n]++
	}, func(n int) error {
		places[n] = x.maxEqual // more than was fetched
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The place behind the last one is known to be free, unless there was a hole between.
	for n, i := range places {
		if i < x.maxEqual {
			if t := x.slot(entries[n].Value, i).term(); !got[t].ok {
				got[t] = known{}
			}
		}
	}
	return got, nil
}
