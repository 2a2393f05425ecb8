package store

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestLookupAll holds lookups and removals of many pairs at once against a plain map, with values that are crowded, have holes, or are not there.
func TestLookupAll(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t2 *rapid.T) {
		n++
		s, err := Create(t.Context(), filepath.Join(dir, fmt.Sprint(n)), Options{Keys: newTestKeys(), noSync: true})
		if err != nil {
			t2.Fatal(err)
		}
		defer s.Close()
		x := NewIndex(s, "batch", MaxEqual(12))
		want := map[string][]uint64{}
		value := func(i int) []byte { return fmt.Appendf(nil, "value %d", i) }
		for range rapid.IntRange(1, 6).Draw(t2, "rounds") {
			var add, drop []IndexEntry
			for range rapid.IntRange(0, 60).Draw(t2, "pairs") {
				v := value(rapid.IntRange(0, 5).Draw(t2, "value"))
				ref := rapid.Uint64Range(1, 40).Draw(t2, "ref")
				add = append(add, IndexEntry{Value: v, Ref: ref})
			}
			err := s.Update(t.Context(), func(tx *Tx) error {
				_, err := x.Insert(tx, add)
				return err
			})
			if err != nil {
				t2.Fatal(err)
			}
			for _, e := range add {
				want[string(e.Value)] = append(want[string(e.Value)], e.Ref)
			}
			for _, v := range slices.Sorted(maps.Keys(want)) {
				for _, ref := range slices.Clone(want[v]) {
					if rapid.IntRange(0, 2).Draw(t2, "drop") == 0 {
						drop = append(drop, IndexEntry{Value: []byte(v), Ref: ref})
						at := slices.Index(want[v], ref)
						want[v] = slices.Delete(want[v], at, at+1)
					}
				}
			}
			if err := s.Update(t.Context(), func(tx *Tx) error { return x.Remove(tx, drop...) }); err != nil {
				t2.Fatal(err)
			}
		}
		var ask []IndexEntry
		for i := range 7 {
			ask = append(ask, IndexEntry{Value: value(i)})
		}
		err = s.View(t.Context(), func(tx *Tx) error {
			for _, max := range []int{1, 3, 20} {
				all, err := x.LookupAll(tx, ask, max)
				if err != nil {
					return err
				}
				for i, h := range all {
					one, err := x.Lookup(tx, ask[i].Value, max)
					if err != nil {
						return err
					}
					slices.Sort(one.Refs)
					slices.Sort(h.Refs)
					if one.Crowded != h.Crowded || one.More != h.More || !h.Crowded && len(one.Refs) != len(h.Refs) || max == 20 && !h.Crowded && !slices.Equal(one.Refs, h.Refs) {
						t2.Fatalf("at most %d: alone %+v, with others %+v", max, one, h)
					}
					refs := slices.Clone(want[string(ask[i].Value)])
					slices.Sort(refs)
					if max == 20 && !h.Crowded && len(refs) <= 12 && !slices.Equal(h.Refs, refs) {
						t2.Fatalf("%v instead of %v", h.Refs, refs)
					}
				}
			}
			return nil
		})
		if err != nil {
			t2.Fatal(err)
		}
	})
}
