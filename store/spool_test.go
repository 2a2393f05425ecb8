package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func spoolOf(t testing.TB, s *Store, data []byte) SpoolID {
	t.Helper()
	w, err := s.NewSpool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	id, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var spoolSizes = []int{0, 1, spoolChunk - 1, spoolChunk, spoolChunk + 1, 2 * spoolChunk, 2*spoolChunk + 7, 5 * spoolChunk}

func TestSpoolRoundTrip(t *testing.T) {
	s := newTestStore(t)
	for _, n := range spoolSizes {
		data := content(n)
		id := spoolOf(t, s, data)
		for _, from := range []int{0, 1, spoolChunk - 1, spoolChunk, spoolChunk + 1, 2 * spoolChunk, n - 1, n} {
			if from < 0 || from > n {
				continue
			}
			r, err := s.OpenSpool(t.Context(), id, int64(from))
			if err != nil {
				t.Fatalf("%d from %d: %v", n, from, err)
			}
			if r.Size() != int64(n) {
				t.Errorf("size %d, want %d", r.Size(), n)
			}
			if err := iotest.TestReader(r, data[from:]); err != nil {
				t.Errorf("%d from %d: %v", n, from, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
				t.Errorf("read after close: %v", err)
			}
		}
		for _, from := range []int64{-1, int64(n) + 1} {
			if _, err := s.OpenSpool(t.Context(), id, from); err == nil {
				t.Errorf("opened %d bytes from %d", n, from)
			}
		}
	}
}

func TestSpoolInPieces(t *testing.T) {
	s := newTestStore(t)
	rapid.Check(t, func(rt *rapid.T) {
		w, err := s.NewSpool(context.Background())
		if err != nil {
			rt.Fatal(err)
		}
		data := content(rapid.IntRange(0, 3*spoolChunk+10).Draw(rt, "size"))
		for rest := data; len(rest) > 0; {
			n := min(rapid.SampledFrom([]int{1, 1000, spoolChunk - 1, spoolChunk, spoolChunk + 1}).Draw(rt, "piece"), len(rest))
			if got, err := w.Write(rest[:n]); got != n || err != nil {
				rt.Fatal(got, err)
			}
			rest = rest[n:]
			if len(data)-len(rest) > 5000 && n == 1 {
				break
			}
		}
		size := w.Size()
		id, err := w.Commit(context.Background())
		if err != nil {
			rt.Fatal(err)
		}
		r, err := s.OpenSpool(context.Background(), id, 0)
		if err != nil {
			rt.Fatal(err)
		}
		defer r.Close()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[:size]) {
			rt.Fatal(len(got), err)
		}
	})
}

// TestSpoolTampering changes the file in every way that a STREAM is to show.
func TestSpoolTampering(t *testing.T) {
	s := newTestStore(t)
	data := content(3*spoolChunk + 100)
	id := spoolOf(t, s, data)
	other := spoolOf(t, s, data)
	path := s.spoolPath(id)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(s.spoolPath(other))
	if err != nil {
		t.Fatal(err)
	}
	const sealed = spoolChunk + tagSize
	at := func(i int) int { return spoolHeader + i*sealed }
	swapped := bytes.Clone(whole)
	copy(swapped[at(0):at(1)], whole[at(1):at(2)])
	copy(swapped[at(1):at(2)], whole[at(0):at(1)])
	doubled := bytes.Clone(whole)
	copy(doubled[at(1):at(2)], whole[at(0):at(1)])
	flipped := bytes.Clone(whole)
	flipped[at(2)+50] ^= 1
	for name, raw := range map[string][]byte{
		"cut by a byte":        whole[:len(whole)-1],
		"cut by a chunk":       whole[:at(3)],
		"cut to nothing":       {},
		"longer":               append(bytes.Clone(whole), 0),
		"swapped":              swapped,
		"doubled":              doubled,
		"flipped":              flipped,
		"of another spool":     foreign,
		"first chunk left out": append(bytes.Clone(whole[:at(0)]), append(whole[at(1):len(whole):len(whole)], make([]byte, sealed)...)...),
	} {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := s.OpenSpool(t.Context(), id, 0)
		var got []byte
		if err == nil {
			got, err = io.ReadAll(r)
			r.Close()
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.HasPrefix(data, got) {
			t.Errorf("%s: gave out what was not written", name)
		}
	}
	// A last chunk that is taken for a middle one, and the other way round, must not open: the size in the record would have to lie.
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *Tx) error {
		rec, err := s.spools.col.Get(tx, []byte(id))
		if err != nil {
			return err
		}
		rec.Size = 3 * spoolChunk
		return s.spools.col.Put(tx, []byte(id), rec)
	})
	if err := os.WriteFile(path, whole[:at(3)], 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenSpool(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a middle chunk was taken for the last: %v", err)
	}
}

func TestSpoolEnds(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "s.db")
	o := Options{Keys: newTestKeys(), noSync: true}
	s := newStoreAt(t, path, o)
	files := func() int {
		t.Helper()
		list, err := os.ReadDir(path + spoolDir)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	kept := spoolOf(t, s, content(10))

	w, err := s.NewSpool(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if files() != 2 {
		t.Errorf("%d files", files())
	}
	if err := errors.Join(w.Discard(), w.Discard()); err != nil {
		t.Error(err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("wrote to a discarded spool")
	}
	if _, err := w.Commit(ctx); err == nil {
		t.Error("committed a discarded spool")
	}

	// A transaction that does not commit takes the spool with it.
	if w, err = s.NewSpool(ctx); err != nil {
		t.Fatal(err)
	}
	err = s.Update(ctx, func(tx *Tx) error {
		_, err := w.CommitTx(tx)
		return errors.Join(err, errRollback)
	})
	if !errors.Is(err, errRollback) || files() != 1 {
		t.Errorf("%v, %d files", err, files())
	}
	if _, err := w.Commit(ctx); err == nil {
		t.Error("committed twice")
	}

	// Discard after Commit does nothing.
	if w, err = s.NewSpool(ctx); err != nil {
		t.Fatal(err)
	}
	second, err := w.Commit(ctx)
	if err != nil || w.Discard() != nil || files() != 2 {
		t.Errorf("%v, %d files", err, files())
	}
	view(t, s, func(tx *Tx) error {
		list, err := s.Spools(tx)
		if len(list) != 2 {
			t.Errorf("%+v", list)
		}
		return err
	})

	// The context of the upload ends.
	gone, cancel := context.WithCancel(ctx)
	if w, err = s.NewSpool(gone); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Write(content(3 * spoolChunk)); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
	if _, err := w.Commit(ctx); !errors.Is(err, context.Canceled) || files() != 2 {
		t.Errorf("commit: %v, %d files", err, files())
	}

	if err := errors.Join(s.RemoveSpool(ctx, second), s.RemoveSpool(ctx, second), s.RemoveSpool(ctx, "../../etc/passwd")); err != nil || files() != 1 {
		t.Errorf("%v, %d files", err, files())
	}
	for _, id := range []SpoolID{second, "", "../s.db", "0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF"} {
		if _, err := s.OpenSpool(ctx, id, 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}

	// One is being written when the store is closed.
	if _, err = s.NewSpool(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || files() != 1 {
		t.Errorf("%v, %d files", err, files())
	}

	// Orphans go at the next start; a record without its file goes too.
	for _, name := range []string{"0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210.part"} {
		if err := os.WriteFile(filepath.Join(path+spoolDir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = Open(ctx, path, o); err != nil {
		t.Fatal(err)
	}
	if files() != 1 {
		t.Errorf("%d files", files())
	}
	if err := os.Remove(s.spoolPath(kept)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenSpool(ctx, kept, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	s.Close()
	if s, err = Open(ctx, path, o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	view(t, s, func(tx *Tx) error {
		list, err := s.Spools(tx)
		if len(list) != 0 {
			t.Errorf("%+v", list)
		}
		return err
	})
}

func BenchmarkSpool(b *testing.B) {
	s := newTestStore(b)
	data := content(16 << 20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		id := spoolOf(b, s, data)
		r, err := s.OpenSpool(b.Context(), id, 0)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); n != int64(len(data)) {
			b.Fatal(n, err)
		}
		r.Close()
		if err := s.RemoveSpool(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}
