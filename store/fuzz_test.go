package store

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func FuzzDecodeRunSet(f *testing.F) {
	f.Add([]byte{})
	f.Add((&runSet{version: 1}).encode())
	f.Add((&runSet{
		version: 9, maxEqual: 1024, erased: 2, nextID: 7,
		runs:   []*run{{id: 1, count: 10, dead: 2}, {id: 4, count: 3}},
		merges: []*merge{{out: &run{id: 6, count: 5}, in: []uint64{1, 4}, after: Term{1, 2}, begun: true}},
	}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeRunSet(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := decodeRunSet(s.encode())
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%v: %+v, %+v", err, s, again)
		}
	})
}

func FuzzPreflight(f *testing.F) {
	dir := f.TempDir()
	s := newStoreAt(f, filepath.Join(dir, "s.db"), Options{noSync: true})
	s.Close()
	whole, err := os.ReadFile(filepath.Join(dir, "s.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[:20<<10])
	f.Add(whole[:5000])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := preflight(p); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotStore) {
			t.Fatal(err)
		}
	})
}

func FuzzOpenRecord(f *testing.F) {
	s := newTestStore(f)
	c := NewCollection[thing](s, "things", 1)
	r, err := c.Seal(ID(1), thing{"a", 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(r.box[:boxOverhead])
	f.Add(r.box[:boxHeader])
	f.Fuzz(func(t *testing.T, box []byte) {
		if plain, err := s.open(nil, "things", ID(1), box); !errors.Is(err, ErrCorrupt) && string(box) != string(r.box) {
			t.Fatalf("opened to %q, %v", plain, err)
		}
	})
}
