//go:build unix

package exchange

import (
	"bytes"
	"os"
	"runtime/pprof"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ihyid/test/lists"
)

// BenchmarkRerun is two whole nodes in one process: a first exchange by voprf, then one thousandth of each list is new (half of it in
// common), then a second. It gives the elapsed and the processor time of both sides together for either, and what the second costs of the first.
// IHYID_RERUN_CONTACTS (20,000) is each list's size; IHYID_RERUN_PROFILE names a file for a profile of the second exchange alone.
func BenchmarkRerun(b *testing.B) {
	size := 20_000
	if n, err := strconv.Atoi(os.Getenv("IHYID_RERUN_CONTACTS")); err == nil && n > 0 {
		size = n
	}
	list := func(n int, seed uint64) [2]string {
		p, err := lists.New(lists.Options{N: n, Seed: seed, Organisations: []lists.Organisation{
			{Name: "a", Prefix: strconv.FormatUint(seed, 10) + "A"}, {Name: "b", Prefix: strconv.FormatUint(seed, 10) + "B"}}})
		must(b, err)
		var out [2]string
		for i := range out {
			var text bytes.Buffer
			must(b, p.WriteCSV(&text, i))
			out[i] = text.String()
		}
		return out
	}
	processor := func() time.Duration {
		var u syscall.Rusage
		must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before, more := list(size, 1), list(max(size/1000, 1), 2)
	var elapsed, used [2]time.Duration
	var wire [2]int
	for b.Loop() {
		w, x, y := friends(b)
		x.importCSV(before[0])
		y.importCSV(before[1])
		agree(b, x, y, AgreementRequest{PeerSize: uint64(2 * size), EvaluationsPerDay: uint64(10 * size)})
		sent := w.traffic()
		run := func(i int) {
			start, cpu := time.Now(), processor()
			if e := x.runBy(ProtocolVOPRF, y); e.State != StateDone || e.InCommon == 0 {
				b.Fatalf("%+v", e)
			}
			elapsed[i], used[i], wire[i] = time.Since(start), processor()-cpu, *sent
			*sent = 0
		}
		run(0)
		x.importCSV(more[0])
		y.importCSV(more[1])
		stop := func() {}
		if path := os.Getenv("IHYID_RERUN_PROFILE"); path != "" {
			f, err := os.Create(path)
			must(b, err)
			must(b, pprof.StartCPUProfile(f))
			stop = func() {
				pprof.StopCPUProfile()
				must(b, f.Close())
			}
		}
		run(1)
		stop()
	}
	b.ReportMetric(elapsed[0].Seconds(), "first-s")
	b.ReportMetric(elapsed[1].Seconds(), "second-s")
	b.ReportMetric(used[0].Seconds(), "first-cpu-s")
	b.ReportMetric(used[1].Seconds(), "second-cpu-s")
	b.ReportMetric(100*elapsed[1].Seconds()/elapsed[0].Seconds(), "time-%")
	b.ReportMetric(100*used[1].Seconds()/used[0].Seconds(), "cpu-%")
	b.ReportMetric(100*float64(wire[1])/float64(wire[0]), "wire-%")
	b.ReportMetric(0, "ns/op")
}
