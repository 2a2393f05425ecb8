package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

type thing struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

// drawKey gives keys that are prefixes and neighbours of each other, with bytes at both ends of the range.
func drawKey(rt *rapid.T, label string) []byte {
	return rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff}), 1, 4).Draw(rt, label)
}

// wanted is what a range should give of a model.
func wanted(model map[string]thing, r Range) []string {
	var keys []string
	for k := range model {
		switch {
		case !strings.HasPrefix(k, string(r.Prefix)):
		case r.From != nil && !r.Reverse && k < string(r.From):
		case r.From != nil && r.Reverse && k > string(r.From):
		default:
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if r.Reverse {
		slices.Reverse(keys)
	}
	return keys
}

func compareCollection(rt *rapid.T, tx *Tx, c *Collection[thing], model map[string]thing) error {
	if n, err := c.Len(tx); err != nil || n != uint64(len(model)) {
		return fmt.Errorf("length %d, %v; want %d", n, err, len(model))
	}
	r := Range{Reverse: rapid.Bool().Draw(rt, "reverse")}
	if rapid.Bool().Draw(rt, "prefixed") {
		r.Prefix = drawKey(rt, "prefix")
	}
	if rapid.Bool().Draw(rt, "from") {
		r.From = drawKey(rt, "from key")
	}
	var got []string
	for it, err := range c.All(tx, r) {
		if err != nil {
			return err
		}
		if it.Value != model[string(it.Key)] {
			return fmt.Errorf("%x: %+v, want %+v", it.Key, it.Value, model[string(it.Key)])
		}
		got = append(got, string(it.Key))
	}
	var keys []string
	for k, err := range c.Keys(tx, r) {
		if err != nil {
			return err
		}
		keys = append(keys, string(k))
	}
	want := wanted(model, r)
	if !slices.Equal(got, want) || !slices.Equal(keys, want) {
		return fmt.Errorf("range %+v: %q and %q, want %q", r, got, keys, want)
	}
	k := drawKey(rt, "probe")
	v, err := c.Get(tx, k)
	has, herr := c.Has(tx, k)
	if w, ok := model[string(k)]; ok && (err != nil || v != w || !has || herr != nil) {
		return fmt.Errorf("get %x: %+v %v", k, v, err)
	} else if !ok && (!errors.Is(err, ErrNotFound) || has || herr != nil) {
		return fmt.Errorf("get absent %x: %+v %v", k, v, err)
	}
	return nil
}

func TestCollectionAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		path := filepath.Join(t.TempDir(), fmt.Sprint(rapid.Uint64().Draw(rt, "file")))
		o := Options{Keys: newTestKeys(), noSync: true}
		s, err := Create(ctx, path, o)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { s.Close() }()
		c := NewCollection[thing](s, "things", 1)
		model := map[string]thing{}
		for n := range rapid.IntRange(1, 20).Draw(rt, "transactions") {
			next := maps.Clone(model)
			keep := rapid.IntRange(0, 3).Draw(rt, "commit") > 0
			err := s.Update(ctx, func(tx *Tx) error {
				for i := range rapid.IntRange(1, 10).Draw(rt, "operations") {
					k := drawKey(rt, "key")
					v := thing{fmt.Sprint("thing ", n), i}
					switch rapid.IntRange(0, 3).Draw(rt, "what") {
					case 0:
						delete(next, string(k))
						if err := c.Delete(tx, k); err != nil {
							return err
						}
					case 1:
						next[string(k)] = v
						r, err := c.Seal(k, v)
						if err != nil {
							return err
						}
						if err := c.PutSealed(tx, r); err != nil {
							return err
						}
					default:
						next[string(k)] = v
						if err := c.Put(tx, k, v); err != nil {
							return err
						}
					}
				}
				if err := compareCollection(rt, tx, c, next); err != nil {
					return err
				}
				if !keep {
					return errRollback
				}
				return nil
			})
			if err != nil && !errors.Is(err, errRollback) {
				rt.Fatal(err)
			}
			if keep {
				model = next
			}
			if rapid.IntRange(0, 6).Draw(rt, "reopen") == 0 {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				if s, err = Open(ctx, path, o); err != nil {
					rt.Fatal(err)
				}
				c = NewCollection[thing](s, "things", 1)
			}
			if err := s.View(ctx, func(tx *Tx) error { return compareCollection(rt, tx, c, model) }); err != nil {
				rt.Fatal(err)
			}
		}
		if err := s.Check(ctx); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestChangeWhileIterating removes, replaces and adds records from inside the loop, in both directions, with the records still in memory (put
// in the same transaction) and in the file.
func TestChangeWhileIterating(t *testing.T) {
	const n = 1000
	for _, reverse := range []bool{false, true} {
		for _, same := range []bool{false, true} {
			s := newTestStore(t)
			c := NewCollection[int](s, "numbers", 1)
			fill := func(tx *Tx) error {
				for i := range n {
					if err := c.Put(tx, ID(uint64(i+1)*2), i); err != nil {
						return err
					}
				}
				return nil
			}
			change := func(tx *Tx) error {
				seen := 0
				for it, err := range c.All(tx, Range{Reverse: reverse}) {
					if err != nil {
						return err
					}
					id, _ := ParseID(it.Key)
					if want := seen; !reverse && it.Value != want || reverse && it.Value != n-1-want {
						t.Fatalf("reverse=%v same=%v: record %d holds %d after %d records", reverse, same, id, it.Value, seen)
					}
					seen++
					var e error
					switch it.Value % 3 {
					case 0:
						e = c.Delete(tx, it.Key)
					case 1:
						e = c.Put(tx, it.Key, -1)
					case 2:
						behind := id - 1
						if reverse {
							behind = id + 1
						}
						e = c.Put(tx, ID(behind), -1)
					}
					if e != nil {
						return e
					}
				}
				if seen != n {
					t.Errorf("reverse=%v same=%v: saw %d of %d", reverse, same, seen, n)
				}
				return nil
			}
			if same {
				update(t, s, func(tx *Tx) error { return errors.Join(fill(tx), change(tx)) })
			} else {
				update(t, s, fill)
				update(t, s, change)
			}
		}
	}
}

func TestSequence(t *testing.T) {
	s := newTestStore(t)
	c := NewCollection[int](s, "numbers", 1)
	next := func(tx *Tx, want uint64) error {
		n, err := c.NextID(tx)
		if err == nil && n != want {
			t.Errorf("got %d, want %d", n, want)
		}
		return err
	}
	update(t, s, func(tx *Tx) error { return errors.Join(next(tx, 1), next(tx, 2)) })
	_ = s.Update(t.Context(), func(tx *Tx) error { return errors.Join(next(tx, 3), errRollback) })
	update(t, s, func(tx *Tx) error { return next(tx, 3) })
}

func TestRecordIsBoundToItsPlace(t *testing.T) {
	s := newTestStore(t)
	a, b := NewCollection[int](s, "a", 1), NewCollection[int](s, "b", 1)
	update(t, s, func(tx *Tx) error {
		if err := errors.Join(a.Put(tx, ID(1), 1), a.Put(tx, ID(2), 2), b.Put(tx, ID(1), 3)); err != nil {
			return err
		}
		// What somebody with the file could do: move sealed records about.
		ab, err := tx.recordsOf("a", true)
		if err != nil {
			return err
		}
		bb, err := tx.recordsOf("b", true)
		if err != nil {
			return err
		}
		box := bytes.Clone(ab.Get(ID(1)))
		older := bytes.Clone(box)
		older[6] = 2 // schema version
		return errors.Join(ab.Put(ID(2), box), bb.Put(ID(1), box), ab.Put(ID(1), older))
	})
	view(t, s, func(tx *Tx) error {
		for _, get := range []func() (int, error){
			func() (int, error) { return a.Get(tx, ID(2)) },
			func() (int, error) { return b.Get(tx, ID(1)) },
			func() (int, error) { return a.Get(tx, ID(1)) },
		} {
			if v, err := get(); !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %d, %v", v, err)
			}
		}
		for _, err := range a.All(tx, Range{}) {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("iteration: %v", err)
			}
		}
		return nil
	})
	if err := s.Check(t.Context()); !errors.Is(err, ErrCorrupt) || strings.Count(err.Error(), "does not open") != 3 {
		t.Errorf("check: %v", err)
	}
}

// TestRecordFormat opens a record by hand, from nothing but the file and doc.go.
func TestRecordFormat(t *testing.T) {
	keys, path := newTestKeys(), filepath.Join(t.TempDir(), "s.db")
	s := newStoreAt(t, path, Options{Keys: keys})
	update(t, s, func(tx *Tx) error {
		return NewCollection[thing](s, "things", 258).Put(tx, []byte("the key"), thing{"Barbara", 5})
	})
	s.Close()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	field := func(b ...byte) []byte { return append([]byte{0, 0, 0, byte(len(b))}, b...) }
	err = db.View(func(b *bolt.Tx) error {
		id := b.Bucket([]byte("meta")).Get([]byte("id"))
		aad := slices.Concat(field([]byte("ihyid/store/1 wrapped key")...), field(id...), field([]byte("data")...), field(0, 0, 0, 1))
		raw, err := keys.Unwrap(t.Context(), b.Bucket([]byte("keys")).Get([]byte{0, 0, 0, 1}), aad)
		if err != nil {
			return err
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return err
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return err
		}
		box := b.Bucket([]byte("records")).Bucket([]byte("things")).Get([]byte("the key"))
		if !bytes.Equal(box[:7], []byte{1, 0, 0, 0, 1, 1, 2}) {
			t.Errorf("header %x", box[:7])
		}
		aad = slices.Concat(field(id...), field([]byte("things")...), field([]byte("the key")...), field(1, 2))
		plain, err := gcm.Open(nil, box[7:19], box[19:], aad)
		if string(plain) != `{"name":"Barbara","n":5}` {
			t.Errorf("%q", plain)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestEveryBitOfARecordCounts(t *testing.T) {
	s := newTestStore(t)
	c := NewCollection[thing](s, "things", 1)
	r, err := c.Seal(ID(7), thing{"Houman", 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.box {
		for bit := range 8 {
			box := bytes.Clone(r.box)
			box[i] ^= 1 << bit
			if _, err := s.open(nil, "things", ID(7), box); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
		}
	}
	for n := range len(r.box) {
		if _, err := s.open(nil, "things", ID(7), r.box[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d: %v", n, err)
		}
	}
}

func TestOtherVersion(t *testing.T) {
	s := newTestStore(t)
	old, now := NewCollection[thing](s, "things", 1), NewCollection[thing](s, "things", 2)
	update(t, s, func(tx *Tx) error { return old.Put(tx, ID(1), thing{"a", 1}) })
	view(t, s, func(tx *Tx) error {
		if _, err := now.Get(tx, ID(1)); !errors.Is(err, ErrVersion) {
			t.Errorf("got %v", err)
		}
		return nil
	})
}

func TestMisuse(t *testing.T) {
	s, other := newTestStore(t), newTestStore(t)
	c := NewCollection[int](s, "numbers", 1)
	x := NewIndex(s, "index")
	r, err := c.Seal(ID(1), 1)
	if err != nil {
		t.Fatal(err)
	}
	writes := func(tx *Tx) []error {
		_, insert := x.Insert(tx, []IndexEntry{{Value: []byte("v")}})
		_, next := c.NextID(tx)
		return []error{c.Put(tx, ID(1), 1), c.PutSealed(tx, r), c.Delete(tx, ID(1)), next, insert, x.Remove(tx, IndexEntry{Value: []byte("v")}), x.Clear(tx)}
	}
	reads := func(tx *Tx) []error {
		_, get := c.Get(tx, ID(1))
		_, has := c.Has(tx, ID(1))
		_, n := c.Len(tx)
		_, look := x.Lookup(tx, []byte("v"), 1)
		errs := []error{get, has, n, look}
		for _, err := range c.All(tx, Range{}) {
			errs = append(errs, err)
		}
		return errs
	}
	var kept *Tx
	view(t, s, func(tx *Tx) error {
		kept = tx
		for i, err := range writes(tx) {
			if !errors.Is(err, ErrReadOnly) {
				t.Errorf("write %d in a View: %v", i, err)
			}
		}
		return nil
	})
	for i, err := range append(writes(kept), reads(kept)...) {
		if !errors.Is(err, ErrTxClosed) {
			t.Errorf("%d after the end: %v", i, err)
		}
	}
	update(t, other, func(tx *Tx) error {
		for i, err := range append(writes(tx), reads(tx)...) {
			if err == nil || !strings.Contains(err.Error(), "another store") {
				t.Errorf("%d in another store's transaction: %v", i, err)
			}
		}
		return nil
	})
	update(t, s, func(tx *Tx) error {
		if err := NewCollection[int](s, "other", 1).PutSealed(tx, r); err == nil {
			t.Error("a record was stored in another collection")
		}
		for _, k := range [][]byte{nil, {}, make([]byte, MaxKeySize+1)} {
			if err := c.Put(tx, k, 1); !errors.Is(err, ErrKeySize) {
				t.Errorf("key of %d bytes: %v", len(k), err)
			}
		}
		if err := NewCollection[string](s, "texts", 1).Put(tx, ID(1), strings.Repeat("x", MaxRecordSize)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("large record: %v", err)
		}
		return nil
	})
	for _, name := range []string{"", "Upper", "sp ace", strings.Repeat("x", 65), "-a"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("name %q was taken", name)
				}
			}()
			NewCollection[int](s, name, 1)
		}()
	}
}

// lineCodec is the custom codec of a string.
type lineCodec struct{}

func (lineCodec) Append(dst []byte, v *string) ([]byte, error) { return append(dst, *v...), nil }
func (lineCodec) Decode(data []byte, v *string) error {
	if bytes.Contains(data, []byte("\n")) {
		return fmt.Errorf("line break in %q", data)
	}
	*v = string(data)
	return nil
}

func TestCodec(t *testing.T) {
	s := newTestStore(t)
	c := NewCollection(s, "lines", 1, WithCodec[string](lineCodec{}))
	update(t, s, func(tx *Tx) error {
		return errors.Join(c.Put(tx, ID(1), "a line"), c.Put(tx, ID(2), "Houman\n"))
	})
	view(t, s, func(tx *Tx) error {
		if v, err := c.Get(tx, ID(1)); v != "a line" {
			t.Errorf("%q %v", v, err)
		}
		if _, err := c.Get(tx, ID(2)); !errors.Is(err, ErrCorrupt) || strings.Contains(err.Error(), "Houman") {
			t.Errorf("%v", err)
		}
		return nil
	})
	if _, err := NewCollection[json.RawMessage](s, "raw", 1).Seal(ID(1), json.RawMessage("{")); err == nil {
		t.Error("sealed what cannot be encoded")
	}
}

func TestIterationHonoursContext(t *testing.T) {
	s := newTestStore(t)
	c := NewCollection[int](s, "numbers", 1)
	update(t, s, func(tx *Tx) error {
		for i := range 3 * checkEvery {
			if err := c.Put(tx, ID(uint64(i)), i); err != nil {
				return err
			}
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	err := s.View(ctx, func(tx *Tx) error {
		for _, err := range c.All(tx, Range{}) {
			if err != nil {
				return err
			}
			if seen++; seen == 10 {
				cancel()
			}
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || seen > checkEvery+1 {
		t.Errorf("saw %d, %v", seen, err)
	}
}
