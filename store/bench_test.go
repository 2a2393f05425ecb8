package store

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// value returns the 32-byte value of key k of contact n.
func benchValue(buf []byte, n uint64, k int) []byte {
	clear(buf[:32])
	binary.BigEndian.PutUint64(buf, n)
	buf[31] = byte(k)
	return buf[:32]
}

const benchKeys = 7

func fillIndex(tb testing.TB, s *Store, x *Index, from, to, batch int) {
	entries := make([]IndexEntry, 0, batch*benchKeys)
	values := make([]byte, batch*benchKeys*32)
	for at := from; at < to; at += batch {
		n := min(batch, to-at)
		entries = entries[:0]
		for i := range n {
			for k := range benchKeys {
				v := benchValue(values[(i*benchKeys+k)*32:][:32:32], uint64(at+i), k)
				entries = append(entries, IndexEntry{v, x.Hash(v), uint64(at + i)})
			}
		}
		update(tb, s, func(tx *Tx) error {
			_, err := x.Insert(tx, entries)
			return err
		})
	}
}

// heapPeak samples the live heap until the function it returns is called.
func heapPeak() func() uint64 {
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		var peak uint64
		var m runtime.MemStats
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				done <- peak
				return
			case <-tick.C:
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
		}
	}()
	return func() uint64 { close(stop); return <-done }
}

// BenchmarkIndexImport inserts a million contacts of seven keys each, in batches of 10,000 contacts, a durable transaction each.
func BenchmarkIndexImport(b *testing.B) {
	contacts := 1_000_000
	if testing.Short() {
		contacts = 100_000
	}
	for b.Loop() {
		s := newStoreAt(b, filepath.Join(b.TempDir(), "s.db"), Options{})
		x := NewIndex(s, "bench")
		peak := heapPeak()
		start := time.Now()
		fillIndex(b, s, x, 0, contacts, 10_000)
		took := time.Since(start)
		b.ReportMetric(float64(contacts)/took.Seconds(), "contacts/s")
		b.ReportMetric(float64(peak())/(1<<20), "heap-MiB")
		b.ReportMetric(float64(len(x.published.Load().runs)), "runs")
		s.Close()
	}
}

type benchContact struct {
	FirstName   string `json:"first_name"`
	LastName    string `json:"last_name"`
	Mother      string `json:"mother_first_name"`
	Father      string `json:"father_first_name"`
	DateOfBirth string `json:"date_of_birth"`
	Phone       string `json:"phone"`
	ExternalID  string `json:"external_id"`
}

func newBenchContact() benchContact {
	return benchContact{"Houman", "Haddad", "Barbara", "Michael", "1976-05-07", "+41791234567", "X-0012345678"}
}

func BenchmarkSeal(b *testing.B) {
	s := newTestStore(b)
	c := NewCollection[benchContact](s, "contacts", 1)
	v, key := newBenchContact(), ID(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Seal(key, v); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkOpen(b *testing.B) {
	s := newTestStore(b)
	c := NewCollection[benchContact](s, "contacts", 1)
	update(b, s, func(tx *Tx) error { return c.Put(tx, ID(1), newBenchContact()) })
	view(b, s, func(tx *Tx) error {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Get(tx, ID(1)); err != nil {
				b.Fatal(err)
			}
		}
		return nil
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkHash(b *testing.B) {
	s := newTestStore(b)
	x := NewIndex(s, "bench")
	v := make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		x.Hash(v)
	}
}

// BenchmarkImport does what an import does: two workers seal records and hash values, one writer stores both.
func BenchmarkImport(b *testing.B) {
	contacts := 1_000_000
	if testing.Short() {
		contacts = 100_000
	}
	const batch = 5_000
	for b.Loop() {
		s := newStoreAt(b, filepath.Join(b.TempDir(), "s.db"), Options{})
		c, x := NewCollection[benchContact](s, "contacts", 1), NewIndex(s, "bench")
		peak := heapPeak()
		start := time.Now()
		type part struct {
			sealed  []Sealed
			entries []IndexEntry
		}
		work, parts := make(chan int), make(chan part, 1)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for at := range work {
					p := part{make([]Sealed, 0, batch), make([]IndexEntry, 0, batch*benchKeys)}
					values := make([]byte, batch*benchKeys*32)
					for i := range batch {
						r, err := c.Seal(ID(uint64(at+i)), newBenchContact())
						if err != nil {
							b.Error(err)
							return
						}
						p.sealed = append(p.sealed, r)
						for k := range benchKeys {
							v := benchValue(values[(i*benchKeys+k)*32:][:32:32], uint64(at+i), k)
							p.entries = append(p.entries, IndexEntry{v, x.Hash(v), uint64(at + i)})
						}
					}
					parts <- p
				}
			})
		}
		go func() {
			for at := 0; at < contacts; at += batch {
				work <- at
			}
			close(work)
			wg.Wait()
			close(parts)
		}()
		for p := range parts {
			update(b, s, func(tx *Tx) error {
				for _, r := range p.sealed {
					if err := c.PutSealed(tx, r); err != nil {
						return err
					}
				}
				_, err := x.Insert(tx, p.entries)
				return err
			})
		}
		b.ReportMetric(float64(contacts)/time.Since(start).Seconds(), "contacts/s")
		b.ReportMetric(float64(peak())/(1<<20), "heap-MiB")
		s.Close()
	}
}

func BenchmarkLookup(b *testing.B) {
	contacts := 1_000_000
	if testing.Short() {
		contacts = 100_000
	}
	keys, path := newTestKeys(), filepath.Join(b.TempDir(), "s.db")
	s := newStoreAt(b, path, Options{Keys: keys})
	x := NewIndex(s, "bench")
	fillIndex(b, s, x, 0, contacts, 10_000)
	view(b, s, func(tx *Tx) error {
		var buf [32]byte
		b.Run("hit", func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = (n + 7919) % contacts
				if h, err := x.Lookup(tx, benchValue(buf[:], uint64(n), 3), 4); err != nil || len(h.Refs) != 1 {
					b.Fatal(h, err)
				}
			}
		})
		b.Run("miss", func(b *testing.B) {
			n := contacts
			for b.Loop() {
				n++
				if h, err := x.Lookup(tx, benchValue(buf[:], uint64(n), 3), 4); err != nil || len(h.Refs) != 0 {
					b.Fatal(h, err)
				}
			}
		})
		return nil
	})
	s.Close()
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s, err := Open(context.Background(), path, Options{Keys: keys})
			if err != nil {
				b.Fatal(err)
			}
			if err := NewIndex(s, "bench").warm(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			s.Close()
			b.StartTimer()
		}
	})
}
