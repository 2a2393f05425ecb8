package register

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"ihyid/contacts"
	"ihyid/store"
)

// edit is the passage of one contact from one content to another.
type edit struct {
	id     uint64
	before *record // nil: it is not there yet
	after  *record // nil: it goes
	into   uint64  // the contact that it was merged into, or is being
	aside  bool    // it is an original: kept aside, before and after
	skip   bool    // not to be made after all
	known  bool    // it would create a contact that is there already, it seems: only what it is known by is prepared
	sealed store.Sealed
}

// changes are edits with all that the indexes need for them, so that what costs time is done outside the transaction and on all cores.
type changes struct {
	edits   []edit
	ids     diff
	keys    diff
	further []diff
	told    []PreparedChanges // of each watcher that is prepared for them
	quiet   bool              // a preview: watchers are not told
	// unlikely counts the pairs that were left out because their contacts are not alike, when the changes have been kept.
	unlikely uint64
}

// diff is what edits change in one index. The parallel slices say whose edit an entry belongs to, in ascending order, and, for match digests,
// of which match key it is.
type diff struct {
	drop, add, keep       []store.IndexEntry
	dropOf, addOf, keepOf []int
	addKey, keepKey       []uint8
}

func (d *diff) append(o *diff) {
	d.drop, d.add, d.keep = append(d.drop, o.drop...), append(d.add, o.add...), append(d.keep, o.keep...)
	d.dropOf, d.addOf, d.keepOf = append(d.dropOf, o.dropOf...), append(d.addOf, o.addOf...), append(d.keepOf, o.keepOf...)
	d.addKey, d.keepKey = append(d.addKey, o.addKey...), append(d.keepKey, o.keepKey...)
}

// parallelFrom is how many edits make it worth while to use more than one core.
const parallelFrom = 64

// prepare does what needs no transaction: sealing, encoding, hashing.
func (r *Register) prepare(edits []edit) (*changes, error) {
	workers := runtime.GOMAXPROCS(0)
	if len(edits) < parallelFrom {
		workers = 1
	}
	parts := make([]changes, workers)
	errs := make([]error, workers)
	per := (len(edits) + workers - 1) / workers
	var wg sync.WaitGroup
	for w := range workers {
		from, to := min(w*per, len(edits)), min((w+1)*per, len(edits))
		work := func() { errs[w] = r.preparePart(&parts[w], edits, from, to) }
		if workers == 1 {
			work()
			continue
		}
		wg.Go(work)
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c := &parts[0]
	c.edits = edits
	for i := 1; i < workers; i++ {
		c.ids.append(&parts[i].ids)
		c.keys.append(&parts[i].keys)
		for k := range c.further {
			c.further[k].append(&parts[i].further[k])
		}
	}
	return c, nil
}

func (r *Register) preparePart(c *changes, edits []edit, from, to int) error {
	encoder := r.encoders.Get().(*contacts.Encoder)
	defer r.encoders.Put(encoder)
	sealer := r.contacts.Sealer()
	c.further = make([]diff, len(r.further))
	n := to - from
	c.ids.add, c.ids.addOf = make([]store.IndexEntry, 0, n), make([]int, 0, n)
	keys := n * r.profile.NumKeys()
	c.keys.add, c.keys.addOf, c.keys.addKey = make([]store.IndexEntry, 0, keys), make([]int, 0, keys), make([]uint8, 0, keys)
	var before, after []contacts.KeyDigest
	var was, is [][]byte
	for i := from; i < to; i++ {
		e := &edits[i]
		if e.skip {
			continue
		}
		// What each contact is known by.
		was, is = was[:0], is[:0]
		if e.before != nil {
			was = append(was, identity(&e.before.Contact))
		}
		if e.after != nil {
			is = append(is, identity(&e.after.Contact))
		}
		c.ids.compare(r.ids, i, e.id, was, is)
		if e.known {
			continue
		}
		if e.after != nil && !e.aside {
			var err error
			if e.sealed, err = sealer.Seal(store.ID(e.id), e.after); err != nil {
				return err
			}
		}
		// Match digests.
		before, after = before[:0], nil // digests that are added stay in use
		if e.before != nil {
			before = encoder.Digests(before, &e.before.Contact)
		}
		if e.after != nil {
			after = encoder.Digests(make([]contacts.KeyDigest, 0, r.profile.NumKeys()), &e.after.Contact)
		}
		c.keys.digests(r.index, i, e.id, before, after)
		if e.aside {
			continue
		}
		for k, f := range r.further {
			was, is = was[:0], is[:0]
			if e.before != nil {
				was = f.Values(was, &e.before.Contact)
			}
			if e.after != nil {
				is = f.Values(is, &e.after.Contact)
			}
			c.further[k].compare(f.Index, i, e.id, was, is)
		}
	}
	return nil
}

// compare adds what is in only one of two sets of values.
func (d *diff) compare(x *store.Index, of int, id uint64, was, is [][]byte) {
	for _, v := range was {
		if !containsBytes(is, v) {
			d.drop, d.dropOf = append(d.drop, store.IndexEntry{Value: v, Term: x.Hash(v), Ref: id}), append(d.dropOf, of)
		}
	}
	for _, v := range is {
		if !containsBytes(was, v) {
			d.add, d.addOf = append(d.add, store.IndexEntry{Value: v, Term: x.Hash(v), Ref: id}), append(d.addOf, of)
		}
	}
}

func containsBytes(list [][]byte, v []byte) bool {
	return slices.ContainsFunc(list, func(o []byte) bool { return string(o) == string(v) })
}

// digests does the same for match digests, and keeps those that stay where a contact changes: they are asked for its duplicates anew.
func (d *diff) digests(x *store.Index, of int, id uint64, was, is []contacts.KeyDigest) {
	for i := range was {
		if !slices.Contains(is, was[i]) {
			v := slices.Clone(was[i].Digest[:])
			d.drop, d.dropOf = append(d.drop, store.IndexEntry{Value: v, Term: x.Hash(v), Ref: id}), append(d.dropOf, of)
		}
	}
	for i := range is {
		v := is[i].Digest[:]
		e := store.IndexEntry{Value: v, Term: x.Hash(v), Ref: id}
		if slices.Contains(was, is[i]) {
			d.keep, d.keepOf, d.keepKey = append(d.keep, e), append(d.keepOf, of), append(d.keepKey, is[i].Key)
			continue
		}
		d.add, d.addOf, d.addKey = append(d.add, e), append(d.addOf, of), append(d.addKey, is[i].Key)
	}
}

// withoutSkipped takes out what belongs to edits that are not made.
func (d *diff) withoutSkipped(edits []edit) {
	n := 0
	for i, of := range d.add {
		if edits[d.addOf[i]].skip {
			continue
		}
		d.add[n], d.addOf[n] = of, d.addOf[i]
		if d.addKey != nil {
			d.addKey[n] = d.addKey[i]
		}
		n++
	}
	d.add, d.addOf = d.add[:n], d.addOf[:n]
	if d.addKey != nil {
		d.addKey = d.addKey[:n]
	}
}

// skipCreated has edits that create contacts left out, as their skip says.
func (c *changes) skipCreated() {
	if !slices.ContainsFunc(c.edits, func(e edit) bool { return e.skip }) {
		return
	}
	c.ids.withoutSkipped(c.edits)
	c.keys.withoutSkipped(c.edits)
	for i := range c.further {
		c.further[i].withoutSkipped(c.edits)
	}
}

// removal says how much is to be left of what is taken out of an index.
type removal int

const (
	unlink removal = iota // not to be found any more
	later                 // neither, and its bytes are to be gone from the file when Store.FinishErase has run
	wipe                  // the same, of few contacts: the indexes are rid of it at once
)

// keep makes the changes: contacts, indexes, open pairs, and what the watchers do. It gives for every edit the pairs that its contact is now in.
func (r *Register) keep(tx *store.Tx, by string, c *changes, how removal) ([][]duplicatePair, error) {
	last := uint64(0)
	for i := range c.edits {
		e := &c.edits[i]
		switch {
		case e.skip:
		case e.aside:
			if err := r.originals.Put(tx, store.ID(e.id), original{*e.after, e.into}); err != nil {
				return nil, err
			}
		case e.after == nil:
			if err := r.contacts.Delete(tx, store.ID(e.id)); err != nil {
				return nil, err
			}
		default:
			if err := r.contacts.PutSealed(tx, e.sealed); err != nil {
				return nil, err
			}
			if e.before == nil {
				last = max(last, e.id)
			}
		}
	}
	if err := errors.Join(r.countTo(tx, last), r.logChanged(tx, c.edits)); err != nil {
		return nil, err
	}
	if _, err := c.ids.put(tx, r.ids, how); err != nil {
		return nil, err
	}
	hits, err := c.keys.put(tx, r.index, how)
	if err != nil {
		return nil, err
	}
	for i, f := range r.further {
		if _, err := c.further[i].put(tx, f.Index, how); err != nil {
			return nil, err
		}
	}
	pairs, err := r.pairsOf(tx, c, hits)
	if err != nil {
		return nil, err
	}
	return pairs, r.tell(tx, by, c, how)
}

func (d *diff) put(tx *store.Tx, x *store.Index, how removal) ([]store.Hits, error) {
	var err error
	if len(d.drop) > 0 {
		if how == wipe {
			err = x.Erase(tx, d.drop...)
		} else {
			err = x.Remove(tx, d.drop...)
		}
		if err != nil {
			return nil, err
		}
	}
	return x.Insert(tx, d.add)
}

// tell tells the watchers.
func (r *Register) tell(tx *store.Tx, by string, c *changes, how removal) error {
	if len(r.watchers) == 0 || c.quiet {
		return nil
	}
	all := changesOf(c.edits, how)
	var without []uint64
	if c.told != nil {
		for i := range c.edits {
			if e := &c.edits[i]; e.skip && !e.known && e.after != nil {
				without = append(without, e.id)
			}
		}
	}
	for i, w := range r.watchers {
		var err error
		if c.told != nil && c.told[i] != nil {
			err = c.told[i].Keep(tx, without)
		} else {
			err = w.ContactsChanged(tx, by, all)
		}
		if err != nil {
			return fmt.Errorf("keeping what goes with the contacts: %w", err)
		}
	}
	return nil
}

// prepareWatchers has those watchers prepare that can.
func (r *Register) prepareWatchers(c *changes, how removal) {
	var all []Change
	for i, w := range r.watchers {
		p, ok := w.(Preparer)
		if !ok {
			continue
		}
		if c.told == nil {
			c.told, all = make([]PreparedChanges, len(r.watchers)), changesOf(c.edits, how)
		}
		c.told[i] = p.PrepareChanges(all)
	}
}

// changesOf are the changes that watchers are told of.
func changesOf(edits []edit, how removal) []Change {
	all := make([]Change, 0, len(edits))
	for i := range edits {
		e := &edits[i]
		if e.skip || e.aside || e.known {
			continue
		}
		change := Change{ID: e.id, Into: e.into, Erased: how != unlink && e.after == nil}
		if e.before != nil {
			change.Before = &e.before.Contact
		}
		if e.after != nil {
			change.After = &e.after.Contact
		}
		all = append(all, change)
	}
	return all
}

// numbers is the last number that was ever given to a contact: numbers of deleted contacts are not given again.
type numbers struct {
	Last uint64 `json:"last"`
}

var numbersKey = []byte("contacts")

// countTo remembers that numbers up to last were given.
func (r *Register) countTo(tx *store.Tx, last uint64) error {
	if last == 0 {
		return nil
	}
	n, err := r.numbers.Get(tx, numbersKey)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if n.Last >= last {
		return nil
	}
	return r.numbers.Put(tx, numbersKey, numbers{Last: last})
}
