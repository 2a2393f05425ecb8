package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

func TestCreateAndOpen(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "s.db")
	o := Options{Keys: newTestKeys()}
	if _, err := Open(ctx, path, o); !errors.Is(err, ErrNotFound) {
		t.Errorf("open what is not there: %v", err)
	}
	if names, _ := filepath.Glob(path + "*"); len(names) > 0 {
		t.Errorf("a failed open left %v", names)
	}
	s := newStoreAt(t, path, o)
	id := s.ID()
	c := NewCollection[string](s, "texts", 1)
	update(t, s, func(tx *Tx) error { return c.Put(tx, ID(1), "kept") })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("close twice: %v", err)
	}
	if err := s.View(ctx, func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("view after close: %v", err)
	}
	if err := s.Update(ctx, func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("update after close: %v", err)
	}
	if _, err := s.NewSpool(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("spool after close: %v", err)
	}
	if _, err := Create(ctx, path, o); !errors.Is(err, ErrExists) {
		t.Errorf("create over: %v", err)
	}
	for _, name := range []string{path, path + lockSuffix} {
		info, err := os.Stat(name)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	s, err := Open(ctx, path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.ID() != id || s.Path() != path {
		t.Error("another store")
	}
	c = NewCollection[string](s, "texts", 1)
	view(t, s, func(tx *Tx) error {
		v, err := c.Get(tx, ID(1))
		if v != "kept" {
			t.Errorf("%q %v", v, err)
		}
		return nil
	})
	if _, err := Create(ctx, path+"2", Options{}); err == nil {
		t.Error("a store without a key store")
	}
}

func TestCreateThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.db")
	if _, err := Create(t.Context(), path, Options{Keys: failingKeys{}}); !errors.Is(err, errUnwrap) {
		t.Errorf("got %v", err)
	}
	names, _ := os.ReadDir(dir)
	for _, n := range names {
		if n.Name() != "s.db"+lockSuffix {
			t.Errorf("left %s", n.Name())
		}
	}
	s := newStoreAt(t, path, Options{}) // and it can be made afterwards
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

type failingKeys struct{}

func (failingKeys) Wrap(context.Context, []byte, []byte) ([]byte, error)   { return nil, errUnwrap }
func (failingKeys) Unwrap(context.Context, []byte, []byte) ([]byte, error) { return nil, errUnwrap }

func TestWrongKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := newStoreAt(t, path, Options{})
	s.Close()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{Keys: newTestKeys()}); !errors.Is(err, ErrWrongKey) || !errors.Is(err, errUnwrap) {
		t.Errorf("got %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a failed open changed the file (%v)", err)
	}
}

func TestDamagedFiles(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	keys := newTestKeys()
	path := filepath.Join(dir, "s.db")
	s := newStoreAt(t, path, Options{Keys: keys})
	c := NewCollection[string](s, "texts", 1)
	update(t, s, func(tx *Tx) error {
		for i := range 2000 {
			if err := c.Put(tx, ID(uint64(i)), strings.Repeat("x", 200)); err != nil {
				return err
			}
		}
		return nil
	})
	var used int64
	view(t, s, func(tx *Tx) error { used = tx.b.Size(); return nil })
	s.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	foreign := filepath.Join(dir, "foreign.db")
	db, err := bolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	bolted, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]struct {
		content []byte
		want    error
	}{
		"empty":             {nil, ErrCorrupt},
		"one byte":          {[]byte{0}, ErrNotStore},
		"text":              {bytes.Repeat([]byte("not a store\n"), 5000), ErrNotStore},
		"zeros":             {make([]byte, 1<<20), ErrNotStore},
		"another bbolt":     {bolted, ErrNotStore},
		"cut to a page":     {whole[:page], ErrCorrupt},
		"cut to half":       {whole[:used/2], ErrCorrupt},
		"cut by a page":     {whole[:used-int64(page)], ErrCorrupt},
		"both metas broken": {broken(broken(whole, 16+20), page+16+20), ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			p := filepath.Join(t.TempDir(), "s.db")
			if err := os.WriteFile(p, f.content, 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(ctx, p, Options{Keys: keys}); !errors.Is(err, f.want) {
				t.Errorf("got %v, want %v", err, f.want)
				if err == nil {
					s.Close()
				}
			}
		})
	}
	t.Run("one meta broken", func(t *testing.T) {
		// bbolt keeps two for this; whichever is left is a whole store.
		for _, at := range []int{16 + 20, page + 16 + 20} {
			p := filepath.Join(t.TempDir(), "s.db")
			if err := os.WriteFile(p, broken(whole, at), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(ctx, p, Options{Keys: keys})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Check(ctx); err != nil {
				t.Error(err)
			}
			s.Close()
		}
	})
	t.Run("any bit", func(t *testing.T) {
		// Wherever the damage, Open or Check must see it, or it is in a page that is not in use; nothing may crash.
		seen := 0
		for at := 2*page + 5; at < int(used); at += 2*page - 127 {
			p := filepath.Join(t.TempDir(), "s.db")
			if err := os.WriteFile(p, broken(whole, at), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(ctx, p, Options{Keys: keys})
			if err == nil {
				err = s.Check(ctx)
				s.Close()
			}
			if err != nil {
				seen++
			}
		}
		if seen == 0 {
			t.Error("no damage was noticed")
		}
	})
	t.Run("directory", func(t *testing.T) {
		if _, err := Open(ctx, t.TempDir(), Options{Keys: keys}); !errors.Is(err, ErrNotStore) {
			t.Errorf("got %v", err)
		}
	})
}

func broken(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x10
	return b
}

func TestNewerFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	keys := newTestKeys()
	s := newStoreAt(t, path, Options{Keys: keys})
	if err := s.db.Update(func(b *bolt.Tx) error { return b.Bucket(bucketMeta).Put(metaFormat, []byte{0, formatVersion + 1}) }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(t.Context(), path, Options{Keys: keys}); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("got %v", err)
	}
}

const (
	helperEnv   = "IHYID_STORE_TEST_HELPER"
	helperStore = "IHYID_STORE_TEST_PATH"
)

// helper runs this test binary again, as another process, in a role.
func helper(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$", "-test.v=false")
	cmd.Env = append(os.Environ(), helperEnv+"="+role, helperStore+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// TestHelperProcess is what the other process runs; in the test run itself it does nothing.
func TestHelperProcess(t *testing.T) {
	path := os.Getenv(helperStore)
	switch os.Getenv(helperEnv) {
	case "hold":
		s, err := Open(t.Context(), path, Options{Keys: fileKeys(t, path)})
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("held\n")
		var b [1]byte
		os.Stdin.Read(b[:])
		s.Close()
	case "import":
		crashingImport(t, path)
	}
}

// fileKeys is a key store that two processes share: a key in a file beside the store.
func fileKeys(t *testing.T, path string) *testKeys {
	t.Helper()
	name := path + ".testkey"
	key, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		rand.Read(key)
		err = os.WriteFile(name, key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return testKeysOf(key)
}

func TestLocked(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "s.db")
	o := Options{Keys: fileKeys(t, path)}
	s := newStoreAt(t, path, o)
	// In the same process too.
	var le *LockedError
	if _, err := Open(ctx, path, o); !errors.Is(err, ErrLocked) || !errors.As(err, &le) || le.PID != os.Getpid() {
		t.Errorf("same process: %v", err)
	}
	s.Close()

	cmd := helper(t, "hold", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var line [5]byte
	if _, err := out.Read(line[:]); err != nil {
		t.Fatal(err)
	}
	_, err = Open(ctx, path, o)
	if !errors.Is(err, ErrLocked) || !errors.As(err, &le) || le.PID != cmd.Process.Pid || le.Since.IsZero() || le.Program == "" {
		t.Errorf("another process: %v", err)
	}
	if _, err := Create(ctx, path, o); !errors.Is(err, ErrLocked) {
		t.Errorf("create: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Open(gone, path, Options{Keys: o.Keys, LockTimeout: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	// Waiting pays: the other process lets go.
	var wg sync.WaitGroup
	wg.Go(func() {
		s, err := Open(ctx, path, Options{Keys: o.Keys, LockTimeout: time.Minute})
		if err != nil {
			t.Error(err)
			return
		}
		s.Close()
	})
	in.Close()
	wg.Wait()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestTransactions(t *testing.T) {
	s := newTestStore(t)
	c := NewCollection[int](s, "numbers", 1)
	ctx, cancel := context.WithCancel(t.Context())
	// The context ends while the function runs: nothing is changed.
	err := s.Update(ctx, func(tx *Tx) error {
		cancel()
		return c.Put(tx, ID(1), 1)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := s.View(ctx, func(*Tx) error { t.Error("run"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// A panic goes through, and changes nothing.
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("no panic")
			}
		}()
		_ = s.Update(t.Context(), func(tx *Tx) error {
			if err := c.Put(tx, ID(1), 1); err != nil {
				return err
			}
			tx.OnCommit(func() { t.Error("called") })
			panic("boom")
		})
	}()
	// A writer that waits gives up when its context ends.
	update(t, s, func(*Tx) error {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Update(ctx, func(*Tx) error { t.Error("run"); return nil }) }()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		return nil
	})
	order := ""
	update(t, s, func(tx *Tx) error {
		tx.OnCommit(func() { order += "a" })
		tx.OnCommit(func() {
			order += "b"
			update(t, s, func(*Tx) error { return nil }) // the locks are given back
		})
		return nil
	})
	if order != "ab" {
		t.Errorf("order %q", order)
	}
	view(t, s, func(tx *Tx) error {
		if n, err := c.Len(tx); n != 0 {
			t.Errorf("%d records, %v", n, err)
		}
		return nil
	})
}

// TestNoPlaintextInTheFiles searches the raw files for what went in.
func TestNoPlaintextInTheFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.db")
	s := newStoreAt(t, path, Options{})
	c := NewCollection[thing](s, "things", 1)
	x := NewIndex(s, "names")
	marks := []string{"Houman-Haddad-7c1f", "Barbara-91ab"}
	secrets := [][]byte{[]byte(marks[0]), []byte(marks[1]), s.indexKey}
	for _, m := range marks {
		sum := sha256.Sum256([]byte(m))
		secrets = append(secrets, sum[:16])
	}
	spool, err := s.NewSpool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		if i%500 == 0 {
			update(t, s, func(tx *Tx) error {
				_, err := x.Insert(tx, []IndexEntry{{Value: []byte(marks[i/500%2]), Ref: uint64(i)}})
				return errors.Join(err, c.Put(tx, ID(uint64(i)), thing{marks[i/500%2], i}))
			})
		}
		if _, err := spool.Write([]byte(marks[i%2])); err != nil {
			t.Fatal(err)
		}
	}
	secrets = append(secrets, bytes.Clone(spool.key))
	id, err := spool.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	public := 0
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(p)
		for _, secret := range secrets {
			if bytes.Contains(raw, secret) {
				t.Errorf("%s holds %q", p, secret)
			}
		}
		if bytes.Contains(raw, []byte("things")) || strings.HasSuffix(p, string(id)) {
			public++ // the search does find what is there
		}
		return err
	})
	if err != nil || public != 2 {
		t.Errorf("found %d files, %v", public, err)
	}
}

func TestSealsAreCountedAndKeysReplaced(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "s.db")
	o := Options{Keys: newTestKeys(), noSync: true}
	s := newStoreAt(t, path, o)
	c := NewCollection[int](s, "numbers", 1)
	s.sealLimit = 100
	var early Sealed
	for i := range 250 {
		r, err := c.Seal(ID(uint64(i)), i)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			early = r
			continue
		}
		update(t, s, func(tx *Tx) error { return c.PutSealed(tx, r) })
	}
	if n := len(s.ring.Load().byID); n != 3 {
		t.Errorf("%d data keys after 250 seals with a limit of 100", n)
	}
	// What was sealed under a key that is no longer the active one is sealed anew when it is stored.
	update(t, s, func(tx *Tx) error { return c.PutSealed(tx, early) })
	view(t, s, func(tx *Tx) error {
		b, err := tx.recordsOf("numbers", false)
		if err != nil {
			return err
		}
		if got, want := boxKey(b.Get(ID(0))), s.ring.Load().active.id; got != want {
			t.Errorf("under key %d, want %d", got, want)
		}
		return nil
	})
	made := s.ring.Load().active.seals.Load()
	s.Close()
	s, err := Open(ctx, path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := s.ring.Load().active.seals.Load(); n < made || n > made+sealBlock {
		t.Errorf("%d seals counted after opening, %d made", n, made)
	}
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
	s.sealHardLimit = s.ring.Load().active.seals.Load() + 1
	c = NewCollection[int](s, "numbers", 1)
	if _, err := c.Seal(ID(1), 1); err != nil {
		t.Error(err)
	}
	if _, err := c.Seal(ID(1), 1); !errors.Is(err, ErrKeyExhausted) {
		t.Errorf("got %v", err)
	}
}

func TestSnapshot(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	o := Options{Keys: newTestKeys(), noSync: true}
	s := newStoreAt(t, filepath.Join(dir, "s.db"), o)
	c, x := NewCollection[int](s, "numbers", 1), NewIndex(s, "bench")
	for round := range 5 {
		fillIndex(t, s, x, round*3000, round*3000+3000, 3000)
		update(t, s, func(tx *Tx) error {
			for i := range 3000 {
				if err := c.Put(tx, ID(uint64(i)), i); err != nil {
					return err
				}
			}
			_, err := c.NextID(tx)
			return err
		})
	}
	out := filepath.Join(dir, "copy.db")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	// Writing goes on during the copy and is not part of it.
	done := make(chan error)
	go func() {
		done <- s.Update(ctx, func(tx *Tx) error { return c.Put(tx, ID(1<<40), 1) })
	}()
	if err := errors.Join(s.Snapshot(ctx, f), f.Close(), <-done); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*.snapshot-*"))
	if len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
	copied, err := Open(ctx, out, o)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if err := copied.Check(ctx); err != nil {
		t.Error(err)
	}
	c2, x2 := NewCollection[int](copied, "numbers", 1), NewIndex(copied, "bench")
	update(t, copied, func(tx *Tx) error {
		if n, err := c2.NextID(tx); n != 6 {
			t.Errorf("sequence at %d, %v", n, err)
		}
		var buf [32]byte
		for n := range uint64(15000) {
			if h, err := x2.Lookup(tx, benchValue(buf[:], n, int(n%benchKeys)), 2); err != nil || len(h.Refs) != 1 || h.Refs[0] != n {
				t.Fatalf("%d: %+v %v", n, h, err)
			}
		}
		v, err := c2.Get(tx, ID(2999))
		if v != 2999 {
			t.Errorf("%d %v", v, err)
		}
		return nil
	})
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Snapshot(gone, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
