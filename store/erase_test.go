package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// traces are the bytes that a file has of some records and index entries: their seals and their terms.
func traces(t *testing.T, s *Store, c *Collection[thing], x *Index, ids []uint64, value func(uint64) []byte) [][]byte {
	t.Helper()
	var out [][]byte
	view(t, s, func(tx *Tx) error {
		b, err := tx.recordsOf(c.name, false)
		if err != nil {
			return err
		}
		for _, id := range ids {
			box := b.Get(ID(id))
			if box == nil {
				t.Fatalf("no record %d", id)
			}
			out = append(out, bytes.Clone(box[boxHeader:]))
			term := x.Hash(value(id))
			out = append(out, term[:])
		}
		return nil
	})
	return out
}

func count(t *testing.T, path string, needles [][]byte) (found int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range needles {
		if bytes.Contains(raw, n) {
			found++
		}
	}
	return found
}

func eraseValue(id uint64) []byte { return benchValue(make([]byte, 32), id, 9) }

// fillErase makes a store with records and entries that have been written, merged and overwritten.
func fillErase(t *testing.T, path string, o Options) (*Store, *Collection[thing], *Index) {
	t.Helper()
	s := newStoreAt(t, path, o)
	c, x := NewCollection[thing](s, "things", 1), NewIndex(s, "names")
	const batch = 6000
	for round := range 4 {
		update(t, s, func(tx *Tx) error {
			var entries []IndexEntry
			for i := range uint64(batch) {
				id := uint64(round)*batch + i
				entries = append(entries, IndexEntry{Value: eraseValue(id), Ref: id})
				if err := c.Put(tx, ID(id), thing{fmt.Sprint("person ", id), int(id)}); err != nil {
					return err
				}
			}
			_, err := x.Insert(tx, entries)
			return err
		})
	}
	return s, c, x
}

func TestErase(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "s.db")
	o := Options{Keys: newTestKeys()}
	s, c, x := fillErase(t, path, o)
	erase := func(tx *Tx, ids []uint64) error {
		var entries []IndexEntry
		for _, id := range ids {
			if err := c.Delete(tx, ID(id)); err != nil {
				return err
			}
			entries = append(entries, IndexEntry{Value: eraseValue(id), Ref: id})
		}
		return x.Erase(tx, entries...)
	}
	ids, later := []uint64{0, 77, 5999, 6000, 12345, 23999}, []uint64{3, 9000, 23000}
	needles, laterNeedles := traces(t, s, c, x, ids, eraseValue), traces(t, s, c, x, later, eraseValue)
	// Some are removed the ordinary way first: a removal, too, must leave no trace once it is erased.
	update(t, s, func(tx *Tx) error {
		return x.Remove(tx, IndexEntry{Value: eraseValue(77), Ref: 77}, IndexEntry{Value: eraseValue(12345), Ref: 12345})
	})
	update(t, s, func(tx *Tx) error {
		_, err := x.Insert(tx, []IndexEntry{{Value: eraseValue(77), Ref: 77}, {Value: eraseValue(12345), Ref: 12345}})
		return err
	})
	if n := count(t, path, needles); n != len(needles) {
		t.Fatalf("the file shows %d of %d before", n, len(needles))
	}
	if err := s.Erase(ctx, func(tx *Tx) error { return erase(tx, ids) }); err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, needles); n != 0 {
		t.Errorf("the file still shows %d of %d", n, len(needles))
	}
	if n := count(t, path, laterNeedles); n != len(laterNeedles) {
		t.Errorf("the file shows %d of %d that were not erased", n, len(laterNeedles))
	}
	check := func() {
		t.Helper()
		if err := s.Check(ctx); err != nil {
			t.Fatal(err)
		}
		view(t, s, func(tx *Tx) error {
			for id := range uint64(24000) {
				h, err := x.Lookup(tx, eraseValue(id), 2)
				if err != nil {
					return err
				}
				if gone := slices.Contains(ids, id); gone != (len(h.Refs) == 0) {
					t.Fatalf("entry %d: %+v", id, h)
				}
				if has, err := c.Has(tx, ID(id)); err != nil || has == slices.Contains(ids, id) {
					t.Fatalf("record %d: %v %v", id, has, err)
				}
			}
			return nil
		})
	}
	check()

	// An Erase that the process does not survive is finished by the next Open.
	update(t, s, func(tx *Tx) error {
		return errors.Join(erase(tx, later), tx.b.Bucket(bucketMeta).Put(metaScrub, []byte{1}))
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, laterNeedles); n == 0 {
		t.Error("bbolt overwrites freed pages after all: this test shows nothing")
	}
	var err error
	if s, err = Open(ctx, path, o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := count(t, path, laterNeedles); n != 0 {
		t.Errorf("after opening the file still shows %d of %d", n, len(laterNeedles))
	}
	c, x = NewCollection[thing](s, "things", 1), NewIndex(s, "names")
	ids = append(ids, later...)
	check()
	view(t, s, func(tx *Tx) error {
		if tx.b.Bucket(bucketMeta).Get(metaScrub) != nil {
			t.Error("the scrubbing is not noted as done")
		}
		return nil
	})
}

// TestEraseDuringMerge erases while a merge is under way, whose output has copies.
func TestEraseDuringMerge(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "s.db")
	s := newStoreAt(t, path, Options{noSync: true, noMerge: true})
	c, x := NewCollection[thing](s, "things", 1), NewIndex(s, "names")
	for round := range 5 {
		fillIndex(t, s, x, round*3000, round*3000+3000, 3000)
	}
	id := uint64(4711)
	value := benchValue(make([]byte, 32), id, 3)
	update(t, s, func(tx *Tx) error { return c.Put(tx, ID(id), thing{"x", 1}) })
	needles := traces(t, s, c, x, []uint64{id}, func(uint64) []byte { return value })
	// Steps of one segment, until the term has been copied or the merge is nearly done.
	step := func() bool {
		var st *mergeStep
		view(t, s, func(tx *Tx) error {
			v, err := x.view(tx)
			if err != nil {
				return err
			}
			m := v.set.nextMerge(x.tune)
			if m == nil {
				return nil
			}
			st, err = v.step(tx.ctx, m, int(x.tune.segEntries))
			return err
		})
		if st == nil || st.done {
			return false
		}
		update(t, s, func(tx *Tx) error {
			v, err := x.view(tx)
			if err != nil {
				return err
			}
			return v.apply(st)
		})
		return true
	}
	steps := 0
	for step() {
		steps++
	}
	if steps == 0 || len(x.published.Load().merges) != 1 {
		t.Fatalf("%d steps, merges %v", steps, x.published.Load().merges)
	}
	err := s.Erase(ctx, func(tx *Tx) error {
		return errors.Join(c.Delete(tx, ID(id)), x.Erase(tx, IndexEntry{Value: value, Ref: id}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, needles); n != 0 {
		t.Errorf("the file still shows %d of %d", n, len(needles))
	}
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
	// A step that was prepared before the erasure must not be written after it.
	for step() {
	}
	view(t, s, func(tx *Tx) error {
		h, err := x.Lookup(tx, value, 1)
		if len(h.Refs) != 0 {
			t.Errorf("%+v", h)
		}
		return err
	})
}

// TestStaleStepIsDropped prepares a merge step, erases, and then writes the step.
func TestStaleStepIsDropped(t *testing.T) {
	s := newStoreAt(t, filepath.Join(t.TempDir(), "s.db"), Options{noSync: true, noMerge: true})
	x := NewIndex(s, "names")
	for round := range 5 {
		fillIndex(t, s, x, round*3000, round*3000+3000, 3000)
	}
	// The pair with the lowest term: any step from the beginning has it.
	var value []byte
	ref := uint64(0)
	for n := range uint64(15000) {
		if v := benchValue(make([]byte, 32), n, 3); value == nil || x.slot(v, 0).less(x.slot(value, 0)) {
			value, ref = v, n
		}
	}
	prepare := func() (st *mergeStep) {
		view(t, s, func(tx *Tx) error {
			v, err := x.view(tx)
			if err != nil {
				return err
			}
			st, err = v.step(tx.ctx, v.set.nextMerge(x.tune), 3*int(x.tune.segEntries))
			return err
		})
		return st
	}
	apply := func(st *mergeStep) {
		update(t, s, func(tx *Tx) error {
			v, err := x.view(tx)
			if err != nil {
				return err
			}
			return v.apply(st)
		})
	}
	fresh := prepare()
	apply(prepare())
	next := prepare()
	update(t, s, func(tx *Tx) error { return x.Erase(tx, IndexEntry{Value: value, Ref: ref}) })
	apply(fresh)
	apply(next)
	// What a step has brought in shows once its merge is done.
	for len(x.published.Load().merges) > 0 || x.published.Load().nextMerge(x.tune) != nil {
		apply(prepare())
	}
	view(t, s, func(tx *Tx) error {
		h, err := x.Lookup(tx, value, 1)
		if len(h.Refs) != 0 {
			t.Errorf("a step from before brought back %+v", h)
		}
		return err
	})
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// expired returns a context that ends very soon, but not at once.
func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	return ctx
}

func TestScrubWaitsForReaders(t *testing.T) {
	s := newTestStore(t)
	c := NewCollection[int](s, "numbers", 1)
	update(t, s, func(tx *Tx) error { return c.Put(tx, ID(1), 1) })
	gone, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	view(t, s, func(tx *Tx) error {
		go func() { done <- s.Erase(gone, func(tx *Tx) error { return c.Delete(tx, ID(1)) }) }()
		// Once the eraser keeps new readers out it has come to where it waits for this one.
		for s.gate.TryRLock() {
			s.gate.RUnlock()
			select {
			case err := <-done:
				t.Fatalf("it did not wait: %v", err)
			default:
				runtime.Gosched()
			}
		}
		// The reader still sees what it began with, and the eraser gives up when its context ends. So does a reader that is kept waiting.
		if err := s.View(expired(t), func(*Tx) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("a second reader: %v", err)
		}
		if v, err := c.Get(tx, ID(1)); v != 1 {
			t.Errorf("%d %v", v, err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		return nil
	})
	// What it has begun is not stuck.
	if err := s.Scrub(t.Context()); err != nil {
		t.Error(err)
	}
	update(t, s, func(tx *Tx) error { return c.Put(tx, ID(2), 2) })
	view(t, s, func(tx *Tx) error {
		v, err := c.Get(tx, ID(2))
		if v != 2 {
			t.Errorf("%d", v)
		}
		return err
	})
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
