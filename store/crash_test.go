package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const (
	crashBatch = 300 // with crashKeys each, so that merges of all kinds come soon
	crashKeys  = 7
)

// crashingImport inserts and removes until it is killed, and says after each commit how far it is.
func crashingImport(t *testing.T, path string) {
	ctx := context.Background()
	s, err := Open(ctx, path, Options{Keys: fileKeys(t, path)})
	if err != nil {
		t.Fatal(err)
	}
	c, x := NewCollection[uint64](s, "contacts", 1), NewIndex(s, "contacts")
	for {
		if w, err := s.NewSpool(ctx); err != nil {
			t.Fatal(err)
		} else if _, err := w.Write(make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		first := uint64(0)
		run, remove := s.Update, x.Remove
		if rand.IntN(4) == 0 {
			run = func(ctx context.Context, fn func(*Tx) error) error { return s.Erase(ctx, fn, x) }
			if rand.IntN(2) == 0 {
				remove = x.Erase
			}
		}
		err := run(ctx, func(tx *Tx) error {
			var entries []IndexEntry
			for i := range crashBatch {
				n, err := c.NextID(tx)
				if err != nil {
					return err
				}
				if i == 0 {
					first = n
				}
				if err := c.Put(tx, ID(n), n); err != nil {
					return err
				}
				for k := range crashKeys {
					v := benchValue(make([]byte, 32), n, k)
					entries = append(entries, IndexEntry{v, x.Hash(v), n})
				}
			}
			if _, err := x.Insert(tx, entries); err != nil {
				return err
			}
			// Some of the ones before go again.
			if first == 1 {
				return nil
			}
			entries = entries[:0]
			for n := first - crashBatch; n < first; n += 10 {
				if err := c.Delete(tx, ID(n)); err != nil {
					return err
				}
				for k := range crashKeys {
					entries = append(entries, IndexEntry{Value: benchValue(make([]byte, 32), n, k), Ref: n})
				}
			}
			return remove(tx, entries...)
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(first + crashBatch - 1)
	}
}

// TestKill kills a process that imports, at random moments, again and again on the same store. What it said it has committed must be there,
// and records and index must agree.
func TestKill(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "s.db")
	o := Options{Keys: fileKeys(t, path)}
	s := newStoreAt(t, path, o)
	s.Close()
	for round := range rounds {
		cmd := helper(t, "import", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		said := uint64(0)
		wait := 1 + rand.IntN(6)
		for n := 0; n < wait && lines.Scan(); n++ {
			if said, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				t.Fatalf("the import says %q", lines.Text())
			}
		}
		// Not to wait for anything, only to hit another moment each time.
		time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
		for lines.Scan() {
			if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
				said = n
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the import ended by itself")
		}
		s, err := Open(ctx, path, o)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkCrashed(t, s, said)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func checkCrashed(t *testing.T, s *Store, said uint64) {
	t.Helper()
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if spools, err := os.ReadDir(s.spools.dir); err != nil || len(spools) > 0 {
		t.Errorf("%d spools left, %v", len(spools), err)
	}
	c, x := NewCollection[uint64](s, "contacts", 1), NewIndex(s, "contacts")
	view(t, s, func(tx *Tx) error {
		last := uint64(0)
		for it, err := range c.All(tx, Range{Reverse: true}) {
			if err != nil {
				return err
			}
			last = it.Value
			break
		}
		if last < said || last%crashBatch != 0 {
			t.Fatalf("the last record is %d, %d were committed", last, said)
		}
		var buf [32]byte
		for n := uint64(1); n <= last; n++ {
			removed := (n-1)%10 == 0 && n <= last-crashBatch
			v, err := c.Get(tx, ID(n))
			if removed != errors.Is(err, ErrNotFound) || (!removed && (err != nil || v != n)) {
				t.Fatalf("record %d of %d: %v", n, last, err)
			}
			for k := range crashKeys {
				// All keys of the newest, one each of the others: the check is to take no longer than the import.
				if n+3*crashBatch < last && k != int(n%crashKeys) {
					continue
				}
				h, err := x.Lookup(tx, benchValue(buf[:], n, k), 3)
				if err != nil {
					return err
				}
				if removed != (len(h.Refs) == 0) || (!removed && (len(h.Refs) != 1 || h.Refs[0] != n)) {
					t.Fatalf("record %d of %d, key %d: %+v", n, last, k, h)
				}
			}
		}
		return nil
	})
}
