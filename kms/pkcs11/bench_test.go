//go:build cgo && unix && !nopkcs11

package pkcs11_test

import (
	"crypto"
	"crypto/sha256"
	"testing"

	"ihyid/kms"
)

// BenchmarkSign signs from all cores. With NoCopies every signature reads the
// key from SoftHSM's files, under one lock.
func BenchmarkSign(b *testing.B) {
	for _, c := range []kms.Curve{kms.P256, kms.P384} {
		for name, bare := range map[string]bool{"Copies": false, "NoCopies": true} {
			b.Run(string(c)+"/"+name, func(b *testing.B) {
				o := newToken(b, folder(b), "bench")
				o.NoCopies = bare
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
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := sg.Sign(nil, d[:], crypto.SHA256); err != nil {
							b.Error(err)
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
			})
		}
	}
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
