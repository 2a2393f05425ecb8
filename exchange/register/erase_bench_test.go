package register_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"ihyid/exchange/register"
	"ihyid/test/lists"
)

// BenchmarkErase erases one contact, then 200, and has the rule of age erase one in a hundred, of IHYID_ERASE_CONTACTS (100,000) under levant/1. Some were changed
// before, as in any register in use: so the indexes have to be written anew.
func BenchmarkErase(b *testing.B) {
	size := 100_000
	if n, err := strconv.Atoi(os.Getenv("IHYID_ERASE_CONTACTS")); err == nil && n > 0 {
		size = n
	}
	ctx := context.Background()
	var ahead atomic.Int64
	n := open(b, b.TempDir(), "levant/1", func(o *register.Options) {
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	defer n.close()
	load := func(size int, seed uint64) {
		var text bytes.Buffer
		check(b, lists.WriteCSV(&text, lists.Options{N: size, Seed: seed}))
		job, err := n.StartImport(ctx, &text, register.ImportOptions{}, "local")
		check(b, err)
		n.await(b, job.ID)
	}
	// Registered ten years from now, so that no rule is about them.
	ahead.Store(int64(10 * 365 * 24 * time.Hour))
	load(size, 1)
	ahead.Store(0)
	next := uint64(1)
	for _, count := range []int{1, 200} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				ids := make([]uint64, count)
				for i := range ids {
					ids[i], next = next, next+1
				}
				// A former spelling of one of them.
				_, _, err := n.Update(ctx, ids[0], 0, register.Patch{0: fmt.Sprint("Before", next)}, "local")
				check(b, err)
				b.StartTimer()
				_, err = n.Erase(ctx, "local", ids...)
				check(b, err)
			}
		})
	}
	b.Run("retention", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			load(size/100, 2)
			ahead.Add(int64(48 * time.Hour))
			_, err := n.SetRetention(ctx, 1, register.SinceCreated, "local")
			check(b, err)
			before, err := n.Count(ctx)
			check(b, err)
			b.StartTimer()
			job, err := n.ApplyRetention(ctx)
			check(b, err)
			n.await(b, job.ID)
			b.StopTimer()
			after, err := n.Count(ctx)
			check(b, err)
			b.ReportMetric(float64(before-after), "erased")
			b.StartTimer()
		}
	})
}
