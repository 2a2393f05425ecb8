package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	bolt "go.etcd.io/bbolt"
)

func TestRotation(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "s.db")
	o := Options{Keys: newTestKeys(), noSync: true}
	s := newStoreAt(t, path, o)
	a, b := NewCollection[int](s, "a", 1), NewCollection[int](s, "b", 3)
	update(t, s, func(tx *Tx) error {
		for i := range 500 {
			if err := errors.Join(a.Put(tx, ID(uint64(i)), i), b.Put(tx, ID(uint64(i)), -i)); err != nil {
				return err
			}
		}
		return nil
	})
	var wrapped []byte
	view(t, s, func(tx *Tx) error {
		return tx.b.Bucket(bucketKeys).ForEach(func(_, v []byte) error { wrapped = bytes.Clone(v); return nil })
	})
	late, err := a.Seal(ID(1000), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RotateKey(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.DropOldKeys(ctx); !errors.Is(err, ErrKeyInUse) {
		t.Errorf("got %v", err)
	}
	steps := 0
	for at, done := (Position{}), false; !done; steps++ {
		update(t, s, func(tx *Tx) (err error) {
			before := at
			at, done, err = s.Reseal(tx, at, 1+steps%3*69)
			if !done && at.Collection == before.Collection && bytes.Equal(at.Key, before.Key) {
				t.Fatal("it stands still")
			}
			return err
		})
		if steps == 5 {
			// A restart in between.
			s.Close()
			if s, err = Open(ctx, path, o); err != nil {
				t.Fatal(err)
			}
			a, b = NewCollection[int](s, "a", 1), NewCollection[int](s, "b", 3)
		}
	}
	defer func() { s.Close() }()
	if steps < 1000/139 {
		t.Errorf("%d steps", steps)
	}
	if n := count(t, path, [][]byte{wrapped}); n != 1 {
		t.Error("the wrapped key is not in the file: this test shows nothing")
	}
	if err := s.DropOldKeys(ctx); err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, [][]byte{wrapped}); n != 0 {
		t.Error("the wrapped key is still in the file")
	}
	// What was sealed before and is stored only now, by this process, must be readable by the next.
	update(t, s, func(tx *Tx) error { return a.PutSealed(tx, late) })
	if err := s.RotateKey(ctx); err != nil { // and the numbers of keys go on
		t.Fatal(err)
	}
	s.Close()
	if s, err = Open(ctx, path, o); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(ctx); err != nil {
		t.Fatal(err)
	}
	a, b = NewCollection[int](s, "a", 1), NewCollection[int](s, "b", 3)
	view(t, s, func(tx *Tx) error {
		for i := range 500 {
			va, erra := a.Get(tx, ID(uint64(i)))
			vb, errb := b.Get(tx, ID(uint64(i)))
			if va != i || vb != -i {
				t.Fatal(i, va, vb, erra, errb)
			}
		}
		v, err := a.Get(tx, ID(1000))
		if v != 1000 {
			t.Errorf("%d", v)
		}
		if n := len(s.ring.Load().byID); n != 2 || s.ring.Load().active.id != 3 {
			t.Errorf("%d data keys, active %d", n, s.ring.Load().active.id)
		}
		return err
	})
}

func TestRewrap(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "s.db")
	old, fresh := newTestKeys(), newTestKeys()
	s := newStoreAt(t, path, Options{Keys: old, noSync: true})
	c, x := NewCollection[int](s, "numbers", 1), NewIndex(s, "index")
	update(t, s, func(tx *Tx) error {
		_, err := x.Insert(tx, []IndexEntry{{Value: []byte("v"), Ref: 7}})
		return errors.Join(err, c.Put(tx, ID(1), 1))
	})
	var wrapped [][]byte
	view(t, s, func(tx *Tx) error {
		wrapped = append(wrapped, bytes.Clone(tx.b.Bucket(bucketMeta).Get(metaIndexKey)))
		return tx.b.Bucket(bucketKeys).ForEach(func(_, v []byte) error { wrapped = append(wrapped, bytes.Clone(v)); return nil })
	})
	if err := s.Rewrap(ctx, failingKeys{}); !errors.Is(err, errUnwrap) || count(t, path, wrapped) != 2 {
		t.Errorf("%v", err)
	}
	if err := s.Rewrap(ctx, fresh); err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, wrapped); n != 0 {
		t.Errorf("%d former wrappings are still in the file", n)
	}
	if err := s.RotateKey(ctx); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(ctx, path, Options{Keys: old}); !errors.Is(err, ErrWrongKey) {
		t.Errorf("got %v", err)
	}
	s, err := Open(ctx, path, Options{Keys: fresh})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, x = NewCollection[int](s, "numbers", 1), NewIndex(s, "index")
	view(t, s, func(tx *Tx) error {
		v, err := c.Get(tx, ID(1))
		h, err2 := x.Lookup(tx, []byte("v"), 2)
		if v != 1 || len(h.Refs) != 1 || h.Refs[0] != 7 {
			t.Error(v, h)
		}
		return errors.Join(err, err2)
	})
}

type thing2 struct {
	Name  string `json:"name"`
	Upper string `json:"upper"`
}

func TestMigrations(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "s.db")
	o := Options{Keys: newTestKeys(), noSync: true}
	s := newStoreAt(t, path, o)
	c := NewCollection[thing](s, "things", 1)
	update(t, s, func(tx *Tx) error {
		for i := range 1000 {
			if err := c.Put(tx, ID(uint64(i)), thing{"name", i}); err != nil {
				return err
			}
		}
		return nil
	})
	s.Close()
	ran := ""
	convert := func(ctx context.Context, s *Store, tx *Tx) error {
		ran += "1"
		old, now := NewCollection[thing](s, "things", 1), NewCollection[thing2](s, "things", 2)
		return Convert(tx, old, now, func(key []byte, v thing) (thing2, bool, error) {
			return thing2{v.Name, strings.ToUpper(v.Name)}, v.N%2 == 0, nil
		})
	}
	move := func(ctx context.Context, s *Store, tx *Tx) error {
		ran += "2"
		old, now := NewCollection[thing2](s, "things", 2), NewCollection[thing2](s, "moved", 1)
		return Convert(tx, old, now, func(key []byte, v thing2) (thing2, bool, error) { return v, true, nil })
	}
	broken := errors.New("broken")
	// The second fails: the first stays done, and of the second nothing.
	o.Migrations = []Migration{{1, "convert", convert}, {5, "move", func(ctx context.Context, s *Store, tx *Tx) error {
		return errors.Join(move(ctx, s, tx), broken)
	}}}
	if _, err := Open(ctx, path, o); !errors.Is(err, broken) || ran != "12" {
		t.Fatalf("%v, ran %s", err, ran)
	}
	o.Migrations[1].Run = move
	for range 2 {
		var err error
		if s, err = Open(ctx, path, o); err != nil {
			t.Fatal(err)
		}
		now := NewCollection[thing2](s, "moved", 1)
		view(t, s, func(tx *Tx) error {
			n, err := now.Len(tx)
			left, err2 := NewCollection[thing2](s, "things", 2).Len(tx)
			v, err3 := now.Get(tx, ID(2))
			if n != 500 || left != 0 || v.Upper != "NAME" {
				t.Errorf("%d records, %d left, %+v", n, left, v)
			}
			return errors.Join(err, err2, err3)
		})
		if err := s.Check(ctx); err != nil {
			t.Error(err)
		}
		s.Close()
	}
	if ran != "122" {
		t.Errorf("ran %s", ran)
	}
	o.Migrations = o.Migrations[:1]
	if _, err := Open(ctx, path, o); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("got %v", err)
	}
	for _, bad := range [][]Migration{{{0, "zero", move}}, {{2, "b", move}, {1, "a", move}}, {{1, "nothing", nil}}} {
		o.Migrations = bad
		if _, err := Create(ctx, path+"x", o); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	// A new store is at the last version at once.
	o.Migrations = []Migration{{7, "never", func(context.Context, *Store, *Tx) error { return broken }}}
	s = newStoreAt(t, filepath.Join(t.TempDir(), "new.db"), o)
	st, err := s.Stats(ctx)
	if err != nil || st.Schema != 7 {
		t.Errorf("%+v %v", st, err)
	}
}

func TestRestore(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	o := Options{Keys: newTestKeys(), noSync: true}
	s := newStoreAt(t, filepath.Join(dir, "s.db"), o)
	c := NewCollection[string](s, "texts", 1)
	update(t, s, func(tx *Tx) error {
		for i := range 500 {
			if err := c.Put(tx, ID(uint64(i)), strings.Repeat("y", i)); err != nil {
				return err
			}
		}
		return nil
	})
	spoolOf(t, s, content(100))
	var snap bytes.Buffer
	if err := s.Snapshot(ctx, &snap); err != nil {
		t.Fatal(err)
	}
	raw := snap.Bytes()
	path := filepath.Join(dir, "restored.db")
	flawed := bytes.Clone(raw)
	// Damage inside a record: only the check under the keys can see it.
	view(t, s, func(tx *Tx) error {
		b, err := tx.recordsOf("texts", false)
		flawed[bytes.Index(flawed, b.Get(ID(77)))+50] ^= 1
		return err
	})
	nothing := func(what string) {
		t.Helper()
		left, _ := filepath.Glob(path + "*")
		if len(left) != 1 || left[0] != path+lockSuffix {
			t.Errorf("%s: left %v", what, left)
		}
	}
	for _, f := range []struct {
		name string
		r    []byte
		o    Options
		want error
	}{
		{"cut short", raw[:len(raw)/2], o, ErrCorrupt},
		{"flawed", flawed, o, ErrCorrupt},
		{"foreign", []byte("hello"), o, ErrNotStore},
		{"empty", nil, o, ErrCorrupt},
		{"wrong key", raw, Options{Keys: newTestKeys()}, ErrWrongKey},
	} {
		if err := Restore(ctx, path, bytes.NewReader(f.r), f.o); !errors.Is(err, f.want) {
			t.Errorf("%s: %v", f.name, err)
		}
		nothing(f.name)
	}
	if err := Restore(ctx, path, iotest.ErrReader(errRollback), o); !errors.Is(err, errRollback) {
		t.Errorf("failing reader: %v", err)
	}
	nothing("failing reader")
	if err := Restore(ctx, path, bytes.NewReader(raw), o); err != nil {
		t.Fatal(err)
	}
	if err := Restore(ctx, path, bytes.NewReader(raw), o); !errors.Is(err, ErrExists) {
		t.Errorf("restored over a store: %v", err)
	}
	if err := Restore(ctx, filepath.Join(dir, "s.db"), bytes.NewReader(raw), o); !errors.Is(err, ErrLocked) {
		t.Errorf("restored over an open store: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
	r, err := Open(ctx, path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.ID() != s.ID() {
		t.Error("another store")
	}
	if r.ring.Load().active.id == s.ring.Load().active.id {
		t.Error("the copy seals under the key of the original")
	}
	if err := r.Check(ctx); err != nil {
		t.Error(err)
	}
	c = NewCollection[string](r, "texts", 1)
	view(t, r, func(tx *Tx) error {
		n, err := c.Len(tx)
		if n != 500 {
			t.Errorf("%d records", n)
		}
		return err
	})
	st, err := r.Stats(ctx)
	if err != nil || st.Spools != 0 {
		t.Errorf("%+v %v", st, err)
	}
}

func TestStats(t *testing.T) {
	s := newTestStore(t)
	c, x := NewCollection[int](s, "numbers", 1), NewIndex(s, "bench")
	fillIndex(t, s, x, 0, 1000, 500)
	update(t, s, func(tx *Tx) error {
		for i := range 10 {
			if err := c.Put(tx, ID(uint64(i)), i); err != nil {
				return err
			}
		}
		return x.Remove(tx, IndexEntry{Value: benchValue(make([]byte, 32), 5, 5), Ref: 5})
	})
	spoolOf(t, s, content(1234))
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.FileBytes < 1<<15 || st.FreeBytes <= 0 || st.DataKeys != 1 || st.Seals < 11 || st.Created.IsZero() || st.Spools != 1 || st.SpoolBytes != 1234 {
		t.Errorf("%+v", st)
	}
	want := map[string]uint64{"numbers": 10, spoolCollection: 1}
	for _, c := range st.Collections {
		if want[c.Name] != c.Records {
			t.Errorf("%+v", c)
		}
		delete(want, c.Name)
	}
	if len(want) > 0 || len(st.Indexes) != 1 || st.Indexes[0].Name != "bench" || st.Indexes[0].Entries < 6999 || st.Indexes[0].Runs == 0 {
		t.Errorf("%+v, missing %v", st.Indexes, want)
	}
}

// TestCheckSees breaks a store in ways that the file's own structure does not show.
func TestCheckSees(t *testing.T) {
	for name, damage := range map[string]func(b *bolt.Tx) error{
		"wrong count": func(b *bolt.Tx) error { return b.Bucket(bucketCounts).Put([]byte("numbers"), ID(99)) },
		"run missing": func(b *bolt.Tx) error { return b.Bucket(bucketIndexes).Bucket([]byte("bench")).DeleteBucket(runKey(0)) },
		"stray run": func(b *bolt.Tx) error {
			_, err := b.Bucket(bucketIndexes).Bucket([]byte("bench")).CreateBucket(runKey(77))
			return err
		},
		"state cut": func(b *bolt.Tx) error {
			x := b.Bucket(bucketIndexes).Bucket([]byte("bench"))
			return x.Put(keyState, bytes.Clone(x.Get(keyState)[:20]))
		},
		"out of order": func(b *bolt.Tx) error {
			r := b.Bucket(bucketIndexes).Bucket([]byte("bench")).Bucket(runKey(0))
			k, v := r.Cursor().First()
			v = bytes.Clone(v)
			copy(v[entrySize:], v[:entrySize])
			return r.Put(bytes.Clone(k), v)
		},
		"odd size": func(b *bolt.Tx) error {
			r := b.Bucket(bucketIndexes).Bucket([]byte("bench")).Bucket(runKey(0))
			k, v := r.Cursor().First()
			return r.Put(bytes.Clone(k), bytes.Clone(v[:len(v)-1]))
		},
		"entry lost": func(b *bolt.Tx) error {
			r := b.Bucket(bucketIndexes).Bucket([]byte("bench")).Bucket(runKey(0))
			k, v := r.Cursor().First()
			return r.Put(bytes.Clone(k), bytes.Clone(v[:len(v)-entrySize]))
		},
		"record header": func(b *bolt.Tx) error {
			return b.Bucket(bucketRecords).Bucket([]byte("numbers")).Put(ID(1), []byte{1, 2})
		},
		"unknown key": func(b *bolt.Tx) error {
			r := b.Bucket(bucketRecords).Bucket([]byte("numbers"))
			v := bytes.Clone(r.Get(ID(1)))
			v[4] = 200
			return r.Put(ID(1), v)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestStore(t)
			c, x := NewCollection[int](s, "numbers", 1), NewIndex(s, "bench")
			fillIndex(t, s, x, 0, 100, 100)
			update(t, s, func(tx *Tx) error { return c.Put(tx, ID(1), 1) })
			if err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.db.Update(damage); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(t.Context()); !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("cut short while open", func(t *testing.T) {
		s := newTestStore(t)
		c := NewCollection[string](s, "texts", 1)
		update(t, s, func(tx *Tx) error { return c.Put(tx, ID(1), strings.Repeat("x", 100_000)) })
		whole, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(s.path, 3*int64(os.Getpagesize())); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v", err)
		}
		// Back again, so that closing finds its pages.
		if err := os.WriteFile(s.path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	})
}
