package voprf

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// spread runs work over the indexes 0 to n on all cores, in ranges of at most step. Each worker calls setup once for
// a function with scratch of its own. After the first error, or when ctx is done, no new
// range begins; the error is returned once all have ended.
func spread(ctx context.Context, n, step int, setup func() func(lo, hi int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+step-1)/step) {
		wg.Go(func() {
			work := setup()
			for ctx.Err() == nil {
				lo := int(next.Add(int64(step))) - step
				if lo >= n {
					return
				}
				if err := work(lo, min(lo+step, n)); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("voprf: %w", err)
	}
	return nil
}

// counter adds up what workers have done and tells about it, one call at a time.
type counter struct {
	mu   sync.Mutex
	done int
	tell func(done int)
}

func (c *counter) add(n int) {
	if c.tell == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += n
	c.tell(c.done)
}
