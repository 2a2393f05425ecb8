package exchange

import (
	"bytes"
	"os"
	"strconv"
	"testing"
	"time"

	"ihyid/test/lists"
)

// BenchmarkRerun is two whole nodes in one process: a first exchange by voprf, then one thousandth of each list is new (half of it in
// common), then a second. It gives both times and what the second costs of the first. IHYID_RERUN_CONTACTS (20,000) is each list's size.
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
	before, more := list(size, 1), list(max(size/1000, 1), 2)
	var first, second time.Duration
	var wire [2]int
	for b.Loop() {
		w, x, y := friends(b)
		x.importCSV(before[0])
		y.importCSV(before[1])
		agree(b, x, y, AgreementRequest{PeerSize: uint64(2 * size), EvaluationsPerDay: uint64(10 * size)})
		sent := w.traffic()
		run := func() (time.Duration, int) {
			start := time.Now()
			if e := x.runBy(ProtocolVOPRF, y); e.State != StateDone || e.InCommon == 0 {
				b.Fatalf("%+v", e)
			}
			n := *sent
			*sent = 0
			return time.Since(start), n
		}
		first, wire[0] = run()
		x.importCSV(more[0])
		y.importCSV(more[1])
		second, wire[1] = run()
	}
	b.ReportMetric(first.Seconds(), "first-s")
	b.ReportMetric(second.Seconds(), "second-s")
	b.ReportMetric(100*second.Seconds()/first.Seconds(), "time-%")
	b.ReportMetric(100*float64(wire[1])/float64(wire[0]), "wire-%")
	b.ReportMetric(0, "ns/op")
}
