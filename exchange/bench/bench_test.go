package bench

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	for _, p := range []Protocol{Noise, VOPRF} {
		for _, n := range [][3]int{{0, 0, 0}, {0, 5, 0}, {5, 0, 0}, {1, 1, 1}, {300, 500, 120}} {
			seen := make(map[string]uint64)
			f, err := Run(context.Background(), Spec{
				Protocol: p, Initiator: n[0], Responder: n[1], Common: n[2],
				Progress: func(stage string, done, total uint64) {
					if done > total || done < seen[stage] {
						t.Errorf("%s: %d of %d after %d", stage, done, total, seen[stage])
					}
					seen[stage] = done
				},
			})
			if err != nil {
				t.Fatalf("%s %v: %v", p, n, err)
			}
			if len(f.Stages) < 4 || len(seen) != len(f.Stages) {
				t.Errorf("%s %v: %d stages, told of %d", p, n, len(f.Stages), len(seen))
			}
			var sum time.Duration
			for _, s := range f.Stages {
				sum += s.Elapsed
				if seen[s.Name] != s.Count || s.Unit == "" {
					t.Errorf("%s: %+v, told of %d", p, s, seen[s.Name])
				}
			}
			if sum > f.Elapsed || f.PeakHeap == 0 || f.Sent[0] == 0 || f.Sent[1] == 0 || f.Cores == 0 {
				t.Errorf("%s %v: %+v", p, n, f)
			}
		}
	}
}

// What crosses the wire can be counted by hand: padded sets, and beside them commitments and proofs.
func TestBytesOnTheWire(t *testing.T) {
	for p, want := range map[Protocol][2]uint64{
		VOPRF: {512*32 + 100*72, 768*16 + 512*32 + 100*37},
		Noise: {512*64 + 100*37, 100 * 52},
	} {
		f, err := Run(context.Background(), Spec{Protocol: p, Initiator: 400, Responder: 600, Common: 100})
		if err != nil {
			t.Fatal(err)
		}
		for side, sent := range f.Sent {
			if sent < want[side] || sent > want[side]+1024 {
				t.Errorf("%s: side %d sent %d bytes, about %d expected", p, side, sent, want[side])
			}
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for name, s := range map[string]Spec{
		"no protocol":      {Initiator: 1},
		"unknown protocol": {Protocol: "psi", Initiator: 1},
		"negative":         {Protocol: VOPRF, Initiator: -1},
		"too much common":  {Protocol: VOPRF, Initiator: 1, Responder: 2, Common: 2},
		"too many":         {Protocol: VOPRF, Initiator: 1 << 27},
	} {
		if _, err := Run(context.Background(), s); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, p := range []Protocol{Noise, VOPRF} {
		if _, err := Run(ctx, Spec{Protocol: p, Initiator: 300, Responder: 300}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", p, err)
		}
	}
}

// BenchmarkRun is a whole run, half of the smaller side in common. Larger ones: ihyid bench match.
func BenchmarkRun(b *testing.B) {
	for _, s := range []Spec{
		{Protocol: Noise, Initiator: 2000, Responder: 2000, Common: 1000},
		{Protocol: VOPRF, Initiator: 10_000, Responder: 10_000, Common: 5000},
	} {
		b.Run(fmt.Sprintf("%s-%dx%d", s.Protocol, s.Initiator, s.Responder), func(b *testing.B) {
			var cpu time.Duration
			for b.Loop() {
				f, err := Run(context.Background(), s)
				if err != nil {
					b.Fatal(err)
				}
				cpu += f.CPU[0] + f.CPU[1]
			}
			n := float64(b.N * (s.Initiator + s.Responder))
			b.ReportMetric(n/b.Elapsed().Seconds(), "elements/s")
			b.ReportMetric(float64(cpu.Microseconds())/n, "cpu-µs/element")
		})
	}
}
