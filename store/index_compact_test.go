package store

import (
	"path/filepath"
	"testing"
)

// TestCompact removes entries the ordinary way and shows that the raw file holds no trace of them after Compact and Scrub, and that the
// others are all there.
func TestCompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s, c, x := fillErase(t, path, Options{Keys: newTestKeys()})
	x.tune.stepEntries = 4000
	ids := []uint64{1, 5000, 7777, 23998}
	needles := traces(t, s, c, x, ids, eraseValue)
	for _, id := range ids {
		update(t, s, func(tx *Tx) error {
			if err := c.Delete(tx, ID(id)); err != nil {
				return err
			}
			return x.Remove(tx, IndexEntry{Value: eraseValue(id), Ref: id})
		})
	}
	if n := count(t, path, needles); n == 0 {
		t.Fatal("the file shows nothing before: the test shows nothing")
	}
	if err := x.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, needles); n != 0 {
		t.Errorf("the file still shows %d of %d", n, len(needles))
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
			if want := !gone[id]; want != (len(h.Refs) == 1 && h.Refs[0] == id) {
				t.Fatalf("%d: %v", id, h.Refs)
			}
		}
		return nil
	})
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	// With nothing removed there is nothing to do.
	before := x.published.Load().version
	if err := x.Compact(t.Context()); err != nil || x.published.Load().version != before {
		t.Errorf("%v, version %d after %d", err, x.published.Load().version, before)
	}
}
