//go:build unix

package search_test

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ihyid/exchange/register"
	"ihyid/exchange/register/search"
)

// size is how many contacts the benchmarks take: IHYID_SEARCH_CONTACTS, or a million.
func size(b *testing.B) int {
	if v := os.Getenv("IHYID_SEARCH_CONTACTS"); v != "" {
		n, err := strconv.Atoi(v)
		check(b, err)
		return n
	}
	if testing.Short() {
		return 100_000
	}
	return 1_000_000
}

// BenchmarkSearch searches a register of a million contacts.
func BenchmarkSearch(b *testing.B) {
	n := open(b, b.TempDir(), true)
	defer n.close()
	count := size(b)
	begun := time.Now()
	importList(b, n, count)
	b.Logf("imported %.0f contacts/s, making the list included", float64(count)/time.Since(begun).Seconds())
	some, err := n.List(context.Background(), uint64(count/2), 1)
	check(b, err)
	c := some[0]
	for _, q := range []struct {
		name  string
		query search.Query
	}{
		{"two letters", search.Query{Name: c.FirstName[:2], Match: search.Start}},
		{"first name", search.Query{Name: c.FirstName}},
		{"both names", search.Query{Name: c.FirstName + " " + c.LastName}},
		{"sound", search.Query{Name: c.FirstName + " " + c.LastName, Match: search.Sound}},
		{"arabic", search.Query{Name: "محمد أحمد"}},
		{"nobody", search.Query{Name: "Xyzzyx Qqqq"}},
		{"born", search.Query{Born: c.DateOfBirth}},
		{"phonetic id", search.Query{PhoneticID: c.PhoneticID}},
		{"external id", search.Query{ExternalID: c.ExternalID}},
	} {
		if q.query == (search.Query{}) {
			continue
		}
		b.Run(q.name, func(b *testing.B) {
			worst, after := time.Duration(0), uint64(0)
			for b.Loop() {
				begun := time.Now()
				p, err := n.index.Search(context.Background(), q.query, after, 100)
				check(b, err)
				worst, after = max(worst, time.Since(begun)), p.Next
			}
			b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
		})
	}
}

// processorTime is what this process has used of all processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak watches the heap until it is stopped, and gives the most that it saw, in MiB.
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

// take imports a file and reports how fast: per second as the clock has it, and in processor time, which a busy machine changes little.
func take(b *testing.B, n *node, file string, rows int, o register.ImportOptions) {
	b.Helper()
	f, err := os.Open(file)
	check(b, err)
	defer f.Close()
	runtime.GC()
	heap, used, begun := peak(), processorTime(b), time.Now()
	b.StartTimer()
	job, err := n.StartImport(context.Background(), f, o, "test")
	check(b, err)
	n.await(b, job.ID)
	b.StopTimer()
	b.ReportMetric(float64(rows)/time.Since(begun).Seconds(), "contacts/s")
	b.ReportMetric(float64((processorTime(b)-used).Nanoseconds())/float64(rows)/1000, "cpu-µs/contact")
	b.ReportMetric(heap(), "heap-MiB")
}

// BenchmarkImport imports a list with and without the search index, under the original profile and the one that a node has by default.
func BenchmarkImport(b *testing.B) {
	file := listFile(b, size(b))
	for _, profile := range []string{"soundex/1", "levant/1"} {
		for _, searching := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/search=%v", profile, searching), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					n := openUnder(b, b.TempDir(), profile, searching)
					take(b, n, file, size(b), register.ImportOptions{})
					n.close()
					b.StartTimer()
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkUpsert brings a list in for the second time, when every row is known and one in a hundred has another last name.
func BenchmarkUpsert(b *testing.B) {
	count := size(b)
	file := listFile(b, count)
	changed := filepath.Join(b.TempDir(), "changed.csv")
	check(b, changeEvery(file, changed, 100))
	for _, profile := range []string{"soundex/1", "levant/1"} {
		b.Run(profile, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				n := openUnder(b, b.TempDir(), profile, true)
				f, err := os.Open(file)
				check(b, err)
				job, err := n.StartImport(context.Background(), f, register.ImportOptions{}, "test")
				check(b, err)
				n.await(b, job.ID)
				check(b, f.Close())
				take(b, n, changed, count, register.ImportOptions{Update: true})
				n.close()
				b.StartTimer()
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// changeEvery copies a list with another last name in every so manieth row.
func changeEvery(from, to string, nth int) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	r, w := csv.NewReader(in), csv.NewWriter(out)
	header, err := r.Read()
	if err != nil {
		return err
	}
	column := slices.Index(header, "last_name")
	if column < 0 {
		return errors.New("the list has no last names")
	}
	for i, row := 0, header; ; i++ {
		if i > 0 && i%nth == 0 {
			row[column] += " Nasser"
		}
		if err := w.Write(row); err != nil {
			return err
		}
		if row, err = r.Read(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	w.Flush()
	return errors.Join(w.Error(), out.Close())
}
