package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestEraseFirstOfSegment erases the entries whose terms are the keys of their segments, too.
func TestEraseFirstOfSegment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s, c, x := fillErase(t, path, Options{Keys: newTestKeys(), noMerge: true})
	byTerm := map[Term]uint64{}
	for id := range uint64(24000) {
		byTerm[x.Hash(eraseValue(id))] = id
	}
	var ids []uint64
	view(t, s, func(tx *Tx) error {
		v, err := x.view(tx)
		if err != nil {
			return err
		}
		for _, r := range v.set.runs {
			for _, f := range r.fences {
				ids = append(ids, byTerm[f.term()])
			}
		}
		return nil
	})
	if len(ids) < 4 {
		t.Fatalf("%d segments: too few to show anything", len(ids))
	}
	needles := traces(t, s, c, x, ids, eraseValue)
	if n := count(t, path, needles); n != len(needles) {
		t.Fatalf("the file shows %d of %d before", n, len(needles))
	}
	err := s.Erase(t.Context(), func(tx *Tx) error {
		var entries []IndexEntry
		for _, id := range ids {
			entries = append(entries, IndexEntry{Value: eraseValue(id), Ref: id})
			if err := c.Delete(tx, ID(id)); err != nil {
				return err
			}
		}
		return x.Erase(tx, entries...)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, needles); n != 0 {
		t.Errorf("the file still shows %d of %d", n, len(needles))
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	gone := map[uint64]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	view(t, s, func(tx *Tx) error {
		for id := range uint64(24000) {
			h, err := x.Lookup(tx, eraseValue(id), 2)
			if err != nil {
				return err
			}
			if gone[id] != (len(h.Refs) == 0) {
				t.Fatalf("entry %d: %+v", id, h)
			}
		}
		return nil
	})
}

// TestEraseLater deletes in ordinary transactions with a note, and has the rest done by FinishErase, by the next Open, or by an Erase that names the index.
func TestEraseLater(t *testing.T) {
	for name, finish := range map[string]func(s *Store, x *Index) error{
		"FinishErase": func(s *Store, _ *Index) error { return s.FinishErase(t.Context()) },
		"Open":        func(*Store, *Index) error { return nil },
		"Erase": func(s *Store, x *Index) error {
			return s.Erase(t.Context(), func(*Tx) error { return nil }, x)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.db")
			o := Options{Keys: newTestKeys()}
			s := newStoreAt(t, path, o)
			c, x := NewCollection[thing](s, "things", 1), NewIndex(s, "names", MaxEqual(7))
			for round := range uint64(3) {
				update(t, s, func(tx *Tx) error {
					var entries []IndexEntry
					for id := round * 3000; id < round*3000+3000; id++ {
						entries = append(entries, IndexEntry{Value: eraseValue(id), Ref: id})
						if err := c.Put(tx, ID(id), thing{fmt.Sprint("person ", id), int(id)}); err != nil {
							return err
						}
					}
					_, err := x.Insert(tx, entries)
					return err
				})
			}
			ids := []uint64{1, 2999, 3000, 8000}
			needles := traces(t, s, c, x, ids, eraseValue)
			update(t, s, func(tx *Tx) error {
				for _, id := range ids {
					if err := errors.Join(c.Delete(tx, ID(id)), x.Remove(tx, IndexEntry{Value: eraseValue(id), Ref: id})); err != nil {
						return err
					}
				}
				if name == "Erase" {
					return nil
				}
				return tx.EraseLater(x)
			})
			if pending, err := s.ErasePending(t.Context()); err != nil || pending != (name != "Erase") {
				t.Errorf("pending %v, %v", pending, err)
			}
			if n := count(t, path, needles); n == 0 {
				t.Error("nothing shows after a mere removal: this test shows nothing")
			}
			if err := finish(s, x); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if name != "Open" {
				if n := count(t, path, needles); n != 0 {
					t.Errorf("the file still shows %d of %d", n, len(needles))
				}
			}
			s, err := Open(t.Context(), path, o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if n := count(t, path, needles); n != 0 {
				t.Errorf("after opening the file still shows %d of %d", n, len(needles))
			}
			if pending, err := s.ErasePending(t.Context()); err != nil || pending {
				t.Errorf("pending %v, %v", pending, err)
			}
			x = NewIndex(s, "names", MaxEqual(7))
			view(t, s, func(tx *Tx) error {
				h, err := x.Lookup(tx, eraseValue(4), 1)
				if len(h.Refs) != 1 {
					t.Errorf("another entry: %+v", h)
				}
				return err
			})
			if err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLaterNoteStays has something deleted between the overwriting of free pages and the taking away of its note.
func TestLaterNoteStays(t *testing.T) {
	s := newTestStore(t)
	later := func() { update(t, s, func(tx *Tx) error { return tx.EraseLater() }) }
	later()
	mark, err := s.scrub(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	later()
	if err := s.scrubbed(t.Context(), mark); err != nil {
		t.Fatal(err)
	}
	if pending, err := s.ErasePending(t.Context()); err != nil || !pending {
		t.Errorf("the later note is gone: %v", err)
	}
	if err := s.FinishErase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pending, err := s.ErasePending(t.Context()); err != nil || pending {
		t.Errorf("pending %v, %v", pending, err)
	}
}

// TestSnapshotLeavings opens a store beside which a crash has left a half-made snapshot.
func TestSnapshotLeavings(t *testing.T) {
	dir := t.TempDir()
	path, o := filepath.Join(dir, "s.db"), Options{Keys: newTestKeys()}
	if err := newStoreAt(t, path, o).Close(); err != nil {
		t.Fatal(err)
	}
	left, other := path+".snapshot-123", filepath.Join(dir, "other.db.snapshot-1")
	for _, name := range []string{left, other} {
		if err := os.WriteFile(name, []byte("records"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half-made snapshot is still there: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("another store's file: %v", err)
	}
}
