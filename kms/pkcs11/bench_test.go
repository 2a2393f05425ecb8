//go:build cgo && unix && !nopkcs11

package pkcs11_test

import (
	"crypto"
	"crypto/sha256"
	"syscall"
	"testing"
	"time"

	"ihyid/kms"
)

// BenchmarkSign signs from all cores. With NoCopies every signature reads the
// key from SoftHSM's files, under one lock.
func BenchmarkSign(b *testing.B) {
	for _, c := range []kms.Curve{kms.P256, kms.P384} {
		for _, m := range []struct {
			name    string
			bare    bool
			callers int // a core
		}{{"Copies", false, 1}, {"Copies/16callers", false, 16}, {"NoCopies", true, 1}} {
			b.Run(string(c)+"/"+m.name, func(b *testing.B) {
				o := newToken(b, folder(b), "bench")
				o.NoCopies = m.bare
				s := mustCreate(b, o)
				k, err := s.Create(b.Context(), c, kms.AssertionMethod)
				if err != nil {
					b.Fatal(err)
				}
				sg, err := s.Signer(b.Context(), k.ID)
				if err != nil {
					b.Fatal(err)
				}
				d := sha256.Sum256(nil)
				b.SetParallelism(m.callers)
				b.ResetTimer()
				before := cpuTime(b)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := sg.Sign(nil, d[:], crypto.SHA256); err != nil {
							b.Error(err)
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
				b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/signature")
			})
		}
	}
}

// cpuTime is what the process has used so far. On a machine that is busy with
// other things it says more than the time that passed.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkUnwrap(b *testing.B) {
	s := mustCreate(b, newToken(b, folder(b), "bench"))
	w, err := s.Wrap(b.Context(), make([]byte, 32), nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Unwrap(b.Context(), w, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "unwraps/s")
}
