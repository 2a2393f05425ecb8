package register_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/kms/file"
	"ihyid/store"
	"ihyid/store/jobs"
	"ihyid/test/lists"
)

// node is a register on a store in a directory, with its jobs running.
type node struct {
	*register.Register
	store *store.Store
	queue *jobs.Queue
	close func()
}

func open(tb testing.TB, dir, profile string, change ...func(*register.Options)) *node {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	keyPath, dbPath := filepath.Join(dir, "keys"), filepath.Join(dir, "node.db")
	keys, err := file.Open(keyPath, file.Options{})
	if err != nil {
		keys, err = file.Create(keyPath, file.Options{})
	}
	check(tb, err)
	s, err := store.Open(ctx, dbPath, store.Options{Keys: keys})
	if err != nil {
		s, err = store.Create(ctx, dbPath, store.Options{Keys: keys})
	}
	check(tb, err)
	queue := jobs.New(s, jobs.Options{})
	p, err := contacts.BuiltinProfile(profile)
	check(tb, err)
	o := register.Options{Store: s, Jobs: queue, Profile: p}
	for _, f := range change {
		f(&o)
	}
	r, err := register.New(o)
	check(tb, err)
	done := make(chan error, 1)
	go func() { done <- queue.Run(ctx) }()
	return &node{r, s, queue, func() {
		cancel()
		<-done
		check(tb, s.Close())
		check(tb, keys.Close())
	}}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// await waits for the end of a job and gives its result.
func (n *node) await(tb testing.TB, id string) (r register.ImportResult) {
	tb.Helper()
	changes, err := n.queue.Watch(context.Background(), id)
	check(tb, err)
	var last jobs.Job
	for j := range changes {
		last = j
	}
	if last.State != jobs.Done {
		tb.Fatalf("job %s: %s %s", last.Kind, last.State, last.Error)
	}
	check(tb, json.Unmarshal(last.Result, &r))
	return r
}

// contactsFile makes a list of n contacts once for all benchmarks of a run.
func contactsFile(tb testing.TB, n int) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "list.csv")
	f, err := os.Create(name)
	check(tb, err)
	defer f.Close()
	check(tb, lists.WriteCSV(f, lists.Options{N: n, Seed: 1}))
	return name
}

// peak watches the live heap until it is stopped, and gives the most that it saw, in MiB.
func peak() (stop func() float64) {
	var most atomic.Uint64
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse))
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	}()
	return func() float64 {
		close(quit)
		<-done
		return float64(most.Load()) / (1 << 20)
	}
}

func benchmarkImport(b *testing.B, size int, profile string) {
	list := contactsFile(b, size)
	for b.Loop() {
		b.StopTimer()
		n := open(b, b.TempDir(), profile)
		f, err := os.Open(list)
		check(b, err)
		runtime.GC()
		heap := peak()
		b.StartTimer()
		begun := time.Now()
		job, err := n.StartImport(context.Background(), f, register.ImportOptions{}, "local")
		check(b, err)
		r := n.await(b, job.ID)
		b.ReportMetric(float64(size)/time.Since(begun).Seconds(), "contacts/s")
		b.StopTimer()
		b.ReportMetric(heap(), "heap-MiB")
		if r.Created+r.Duplicates+r.Rejected != uint64(size) {
			b.Fatalf("%+v", r)
		}
		check(b, f.Close())
		n.close()
		b.StartTimer()
	}
}

// BenchmarkImport takes lists from CSV to encrypted, indexed and committed.
func BenchmarkImport(b *testing.B) {
	b.Run("100k", func(b *testing.B) { benchmarkImport(b, 100_000, "soundex/1") })
	b.Run("100k levant", func(b *testing.B) { benchmarkImport(b, 100_000, "levant/1") })
	b.Run("1M", func(b *testing.B) {
		if testing.Short() {
			b.Skip("a million contacts take a minute")
		}
		benchmarkImport(b, 1_000_000, "soundex/1")
	})
}

// BenchmarkOpen opens a register of a million contacts, as a node does at its start.
func BenchmarkOpen(b *testing.B) {
	size := 1_000_000
	if testing.Short() {
		size = 100_000
	}
	dir := b.TempDir()
	n := open(b, dir, "soundex/1")
	f, err := os.Open(contactsFile(b, size))
	check(b, err)
	defer f.Close()
	job, err := n.StartImport(context.Background(), f, register.ImportOptions{}, "local")
	check(b, err)
	n.await(b, job.ID)
	n.close()
	for b.Loop() {
		n := open(b, dir, "soundex/1")
		count, err := n.Count(context.Background())
		check(b, err)
		if count == 0 {
			b.Fatal("no contacts")
		}
		b.StopTimer()
		n.close()
		b.StartTimer()
	}
}

// BenchmarkDigests computes the digests of the whole register, as an exchange does when it begins.
func BenchmarkDigests(b *testing.B) {
	const size = 100_000
	n := open(b, b.TempDir(), "soundex/1")
	defer n.close()
	f, err := os.Open(contactsFile(b, size))
	check(b, err)
	defer f.Close()
	job, err := n.StartImport(context.Background(), f, register.ImportOptions{}, "local")
	check(b, err)
	n.await(b, job.ID)
	for b.Loop() {
		err := n.Digests(context.Background(), n.Profile(), nil, func(uint64, []contacts.KeyDigest) error { return nil })
		check(b, err)
	}
	b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "contacts/s")
}
