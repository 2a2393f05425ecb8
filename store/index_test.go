package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var errRollback = errors.New("roll back")

// bag is the model of an index: how often each pair is there, and per value how many pairs were inserted.
type bag map[string][]uint64

func (b bag) clone() bag {
	c := bag{}
	for k, v := range b {
		c[k] = slices.Clone(v)
	}
	return c
}

func (b bag) remove(value string, ref uint64) {
	if i := slices.Index(b[value], ref); i >= 0 {
		b[value] = slices.Delete(b[value], i, i+1)
	}
}

func sorted(refs []uint64) []uint64 {
	refs = slices.Clone(refs)
	slices.Sort(refs)
	return refs
}

func compareIndex(tx *Tx, x *Index, model bag, values int) error {
	for i := range values {
		value := fmt.Sprint("v", i)
		h, err := x.Lookup(tx, []byte(value), 1<<20)
		if err != nil {
			return err
		}
		if got, want := sorted(h.Refs), sorted(model[value]); !slices.Equal(got, want) || h.More || h.Crowded {
			return fmt.Errorf("value %s: got %v (%+v), want %v", value, got, h, want)
		}
	}
	return nil
}

var smallTuning = tuning{segEntries: 3, absorbFloor: 2, absorbLimit: 10, classBase: 6, crowdedRuns: 6, stepEntries: 7, minHelp: 6}

// compareFences compares what is in memory of an index with what is in the file.
func compareFences(tx *Tx, x *Index) error {
	v, err := x.view(tx)
	if err != nil || v.root == nil {
		return err
	}
	stored, err := decodeRunSet(v.root.Get(keyState))
	if err != nil {
		return err
	}
	list := func(s *runSet) (runs []*run) {
		runs = slices.Clone(s.runs)
		for _, m := range s.merges {
			runs = append(runs, m.out)
		}
		return runs
	}
	for i, r := range list(stored) {
		if err := loadFences(v.root, r); err != nil {
			return err
		}
		if m := list(v.set)[i]; m.id != r.id || m.count != r.count || m.dead != r.dead || !slices.Equal(m.fences, r.fences) {
			return fmt.Errorf("run in memory %+v, in the file %+v", *m, *r)
		}
	}
	return nil
}

// TestIndexAgainstModel drives an index with random transactions, some rolled back, with reopenings, with background merging and without,
// and compares it with a map all along, also for readers of older states.
func TestIndexAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		dir := t.TempDir()
		o := Options{Keys: newTestKeys(), noSync: true, noMerge: rapid.Bool().Draw(rt, "noMerge")}
		path := filepath.Join(dir, fmt.Sprint("s", rapid.Uint64().Draw(rt, "file"), ".db"))
		s, err := Create(ctx, path, o)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { s.Close() }()
		// Small sizes, so that a few hundred entries go through all kinds of merges; or the real ones.
		tune := defaultTuning
		if rapid.IntRange(0, 4).Draw(rt, "tuning") > 0 {
			tune = smallTuning
		}
		x := NewIndex(s, "people")
		x.tune = tune
		const values = 40
		model := bag{}
		steps := rapid.IntRange(1, 25).Draw(rt, "steps")
		ref := uint64(0)
		for range steps {
			next := model.clone()
			apply := func(tx *Tx) error {
				for range rapid.IntRange(1, 3).Draw(rt, "operations") {
					if rapid.IntRange(0, 2).Draw(rt, "what") > 0 {
						var entries []IndexEntry
						var want [][]uint64
						for range rapid.OneOf(rapid.IntRange(1, 4), rapid.IntRange(1, 60)).Draw(rt, "inserts") {
							value := fmt.Sprint("v", rapid.IntRange(0, values-1).Draw(rt, "value"))
							ref++
							want = append(want, slices.Clone(next[value]))
							next[value] = append(next[value], ref)
							e := IndexEntry{Value: []byte(value), Ref: ref}
							if ref%2 == 0 {
								e.Term = x.Hash(e.Value)
							}
							entries = append(entries, e)
						}
						hits, err := x.Insert(tx, entries)
						if err != nil {
							return err
						}
						for i, h := range hits {
							full := len(want[i]) > DefaultMaxHits
							if h.More != full || h.Crowded || len(h.Refs) != min(len(want[i]), DefaultMaxHits) {
								return fmt.Errorf("hits %+v, want %v", h, want[i])
							}
							for _, r := range h.Refs {
								if !slices.Contains(want[i], r) {
									return fmt.Errorf("hit %d, want one of %v", r, want[i])
								}
							}
						}
						continue
					}
					var entries []IndexEntry
					for range rapid.IntRange(1, 20).Draw(rt, "removals") {
						value := fmt.Sprint("v", rapid.IntRange(0, values-1).Draw(rt, "value"))
						gone := ref + 1000
						if refs := next[value]; len(refs) > 0 {
							gone = refs[rapid.IntRange(0, len(refs)-1).Draw(rt, "ref")]
						}
						next.remove(value, gone)
						entries = append(entries, IndexEntry{Value: []byte(value), Ref: gone})
					}
					remove := x.Remove
					if rapid.Bool().Draw(rt, "erase") {
						remove = x.Erase
					}
					if err := remove(tx, entries...); err != nil {
						return err
					}
				}
				return compareIndex(tx, x, next, values)
			}
			keep := rapid.IntRange(0, 3).Draw(rt, "commit") > 0
			err := s.View(ctx, func(old *Tx) error {
				// An older reader, opened before the change and used after it.
				done := make(chan error)
				go func() {
					done <- s.Update(ctx, func(tx *Tx) error {
						if err := apply(tx); err != nil {
							return err
						}
						if !keep {
							return errRollback
						}
						return nil
					})
				}()
				if err := <-done; err != nil && !errors.Is(err, errRollback) {
					return err
				}
				return compareIndex(old, x, model, values)
			})
			if err != nil {
				rt.Fatal(err)
			}
			if keep {
				model = next
			}
			for range rapid.IntRange(0, 4).Draw(rt, "merge steps") {
				if _, err := x.mergeOnce(ctx); err != nil {
					rt.Fatal(err)
				}
			}
			if rapid.IntRange(0, 9).Draw(rt, "reopen") == 0 {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				if s, err = Open(ctx, path, o); err != nil {
					rt.Fatal(err)
				}
				x = NewIndex(s, "people")
				x.tune = tune
			}
			err = s.View(ctx, func(tx *Tx) error { return errors.Join(compareFences(tx, x), compareIndex(tx, x, model, values)) })
			if err != nil {
				rt.Fatal(err)
			}
		}
		if err := s.Check(ctx); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestIndexLarge goes through all classes of merges, with and without the background, and looks everything up.
func TestIndexLarge(t *testing.T) {
	const contacts, batch = 25_000, 350
	for _, background := range []bool{true, false} {
		t.Run(fmt.Sprint("background=", background), func(t *testing.T) {
			keys, path := newTestKeys(), filepath.Join(t.TempDir(), "s.db")
			s := newStoreAt(t, path, Options{Keys: keys, noSync: true, noMerge: !background})
			x := NewIndex(s, "bench")
			most := 0
			for at := 0; at < contacts; at += batch {
				fillIndex(t, s, x, at, min(at+batch, contacts), batch)
				most = max(most, len(x.published.Load().runs))
			}
			if most > defaultTuning.crowdedRuns+8 {
				t.Errorf("up to %d runs", most)
			}
			removed := map[uint64]bool{}
			update(t, s, func(tx *Tx) error {
				var buf [32]byte
				for n := uint64(0); n < contacts; n += 97 {
					removed[n] = true
					if err := x.Remove(tx, IndexEntry{Value: benchValue(buf[:], n, 2), Ref: n}); err != nil {
						return err
					}
				}
				return nil
			})
			check := func() {
				t.Helper()
				view(t, s, func(tx *Tx) error {
					var buf [32]byte
					for n := uint64(0); n < contacts; n++ {
						for _, k := range []int{2, int(n % benchKeys)} {
							h, err := x.Lookup(tx, benchValue(buf[:], n, k), 3)
							if err != nil {
								return err
							}
							if gone := k == 2 && removed[n]; gone != (len(h.Refs) == 0) || (!gone && h.Refs[0] != n) {
								t.Fatalf("contact %d key %d: %+v", n, k, h)
							}
						}
					}
					return nil
				})
			}
			check()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			var err error
			if s, err = Open(context.Background(), path, Options{Keys: keys, noSync: true}); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			x = NewIndex(s, "bench")
			check()
			if err := s.Check(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestIndexCrowded goes over a small maximum of equal values and back.
func TestIndexCrowded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		s, err := Create(ctx, filepath.Join(t.TempDir(), fmt.Sprint(rapid.Uint64().Draw(rt, "file"))), Options{Keys: newTestKeys(), noSync: true})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		most := rapid.IntRange(1, 12).Draw(rt, "maxEqual")
		maxHits := rapid.IntRange(1, 5).Draw(rt, "maxHits")
		x := NewIndex(s, "crowd", MaxEqual(most), MaxHits(maxHits))
		if rapid.Bool().Draw(rt, "tuning") {
			x.tune = smallTuning
		}
		value := []byte("same")
		var all []uint64
		ref := uint64(0)
		crowded := false
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			err := s.Update(ctx, func(tx *Tx) error {
				if rapid.Bool().Draw(rt, "insert") {
					var entries []IndexEntry
					for range rapid.IntRange(1, 9).Draw(rt, "n") {
						ref++
						entries = append(entries, IndexEntry{Value: value, Ref: ref})
					}
					hits, err := x.Insert(tx, entries)
					if err != nil {
						return err
					}
					for i, h := range hits {
						if want := crowded || len(all) > most; h.Crowded != want {
							return fmt.Errorf("entry %d: %+v with %d before", i, h, len(all))
						}
						if !crowded && len(all) <= most && len(h.Refs) != min(len(all), maxHits) {
							return fmt.Errorf("entry %d: %+v, want %d", i, h, len(all))
						}
						all = append(all, entries[i].Ref)
					}
					crowded = crowded || len(all) > most
					return nil
				}
				for range rapid.IntRange(1, 9).Draw(rt, "n") {
					if len(all) == 0 {
						break
					}
					i := rapid.IntRange(0, len(all)-1).Draw(rt, "which")
					remove := x.Remove
					if rapid.Bool().Draw(rt, "erase") {
						remove = x.Erase
					}
					if err := remove(tx, IndexEntry{Value: value, Ref: all[i]}); err != nil {
						return err
					}
					all = slices.Delete(all, i, i+1)
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
			err = s.View(ctx, func(tx *Tx) error {
				h, err := x.Lookup(tx, value, 100)
				if err != nil {
					return err
				}
				crowded = h.Crowded // how long it stays so depends on which ones were removed
				for _, r := range h.Refs {
					if !slices.Contains(all, r) {
						return fmt.Errorf("%d is there, want one of %v", r, all)
					}
				}
				if h.Crowded != h.More || (!h.Crowded && len(h.Refs) != len(all)) || (len(all) > most && !h.Crowded) || len(h.Refs) > most {
					return fmt.Errorf("%+v, want of %v", h, all)
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// referenceHash is PROTOCOL section 11 with crypto/hmac.
func referenceHash(key []byte, label string, value []byte, i uint32) Term {
	m := hmac.New(sha256.New, key)
	m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(label))))
	m.Write([]byte(label))
	m.Write(value)
	m.Write(binary.BigEndian.AppendUint32(nil, i))
	return Term(m.Sum(nil)[:16])
}

// TestRunsStayFew inserts with no background merging at all: the writers have to keep the number of runs bounded.
func TestRunsStayFew(t *testing.T) {
	s := newStoreAt(t, filepath.Join(t.TempDir(), "s.db"), Options{noSync: true, noMerge: true})
	x := NewIndex(s, "bench")
	x.tune = smallTuning
	most := 0
	for i := range 600 {
		fillIndex(t, s, x, i*2, i*2+2, 2)
		most = max(most, len(x.published.Load().runs))
	}
	if most > 3*smallTuning.crowdedRuns {
		t.Errorf("up to %d runs", most)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAbsorbKeepsOffMerges inserts while the newest runs are being merged.
func TestAbsorbKeepsOffMerges(t *testing.T) {
	s := newStoreAt(t, filepath.Join(t.TempDir(), "s.db"), Options{noSync: true, noMerge: true})
	x := NewIndex(s, "bench")
	x.tune = smallTuning
	x.tune.crowdedRuns = 1000
	for i := range 4 {
		fillIndex(t, s, x, i, i+1, 1) // one contact, seven entries: too many to be taken in
	}
	if more, err := x.mergeOnce(t.Context()); !more || err != nil || len(x.published.Load().merges) != 1 {
		t.Fatal(more, err, x.published.Load())
	}
	x.tune.absorbFloor, x.tune.absorbLimit = 100, 100 // now they would be
	fillIndex(t, s, x, 4, 5, 1)
	for {
		more, err := x.mergeOnce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
	}
	if set := x.published.Load(); len(set.merges) != 0 || len(set.runs) != 2 {
		t.Errorf("%d runs, %d merges", len(set.runs), len(set.merges))
	}
	view(t, s, func(tx *Tx) error {
		for n := range uint64(5) {
			for k := range benchKeys {
				if h, err := x.Lookup(tx, benchValue(make([]byte, 32), n, k), 2); err != nil || len(h.Refs) != 1 {
					t.Errorf("contact %d key %d: %+v %v", n, k, h, err)
				}
			}
		}
		return nil
	})
}

func TestMaxEqualIsPartOfTheData(t *testing.T) {
	s := newTestStore(t)
	fillIndex(t, s, NewIndex(s, "bench", MaxEqual(5)), 0, 10, 10)
	err := s.View(t.Context(), func(tx *Tx) error {
		_, err := NewIndex(s, "bench").Lookup(tx, []byte("v"), 1)
		return err
	})
	if err == nil {
		t.Error("opened with another MaxEqual")
	}
}

func TestHashIsHMAC(t *testing.T) {
	s := newTestStore(t)
	x := NewIndex(s, "people/names")
	for _, n := range []int{0, 1, 32, 63, 64, 65, 200, 5000} {
		value := make([]byte, n)
		for _, i := range []uint32{0, 1, 1 << 31} {
			if got, want := x.hash(value, i), referenceHash(s.indexKey, "people/names", value, i); got != want {
				t.Errorf("value of %d bytes, i=%d: %x, want %x", n, i, got, want)
			}
		}
	}
	if x.Hash([]byte("a")) == NewIndex(s, "other").Hash([]byte("a")) {
		t.Error("two indexes have the same term for a value")
	}
}

func TestIndexRefTooLarge(t *testing.T) {
	s := newTestStore(t)
	x := NewIndex(s, "people")
	err := s.Update(context.Background(), func(tx *Tx) error {
		_, err := x.Insert(tx, []IndexEntry{{Value: []byte("v"), Ref: MaxRef + 1}})
		return err
	})
	if !errors.Is(err, ErrRef) {
		t.Errorf("got %v", err)
	}
}

func TestIndexClear(t *testing.T) {
	s := newTestStore(t)
	x := NewIndex(s, "people")
	fillIndex(t, s, x, 0, 5000, 1000)
	update(t, s, x.Clear)
	view(t, s, func(tx *Tx) error {
		h, err := x.Lookup(tx, benchValue(make([]byte, 32), 7, 0), 4)
		if err == nil && len(h.Refs) > 0 {
			t.Errorf("%+v", h)
		}
		return err
	})
	fillIndex(t, s, x, 0, 100, 100)
	if err := s.Check(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestSegmentSearch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// Clustered numbers too: the guess must only ever cost time.
		hi := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 50), rapid.Uint64Range(1<<63, 1<<63+20))
		set := map[entry]bool{}
		for _, h := range rapid.SliceOfN(hi, 0, 300).Draw(rt, "terms") {
			set[entry{hi: h, lo: rapid.Uint64Range(0, 2).Draw(rt, "lo")}] = true
		}
		all := slices.SortedFunc(maps.Keys(set), compareEntries)
		var seg segment
		for i, e := range all {
			e.ref = uint64(i)
			seg = appendEntry(seg, e)
		}
		probes := append(slices.Clone(all), entry{}, entry{hi: ^uint64(0), lo: ^uint64(0)})
		for range 20 {
			probes = append(probes, entry{hi: hi.Draw(rt, "probe"), lo: 1})
		}
		for _, p := range probes {
			want, found := slices.BinarySearchFunc(all, p, compareEntries)
			if got, ok := seg.search(p); got != want || ok != found {
				rt.Fatalf("search %v: %d %v, want %d %v", p, got, ok, want, found)
			}
		}
	})
}
