//go:build !race

package noise

import "testing"

// The race detector's own allocations would count.
func TestNoAllocationInTheLoop(t *testing.T) {
	k := newStateKernel()
	digests := digestsOf(0, 200)
	entry := new([EntrySize]byte)
	k.run(nil, entry, digests) // makes its buffers
	if n := testing.AllocsPerRun(10, func() { k.run(nil, entry, digests) }); n != 0 {
		t.Errorf("%v allocations in 200 pairs", n)
	}
}
