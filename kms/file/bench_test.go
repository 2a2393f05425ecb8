package file

import (
	"crypto"
	"crypto/sha256"
	"path/filepath"
	"testing"

	"ihyid/kms"
)

func BenchmarkSign(b *testing.B) {
	for _, c := range []kms.Curve{kms.P256, kms.P384} {
		b.Run(string(c), func(b *testing.B) {
			s, err := Create(filepath.Join(b.TempDir(), "keys"), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
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

func BenchmarkUnwrap(b *testing.B) {
	s, err := Create(filepath.Join(b.TempDir(), "keys"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
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

// BenchmarkCreate measures a change of the store, flushed to the disk.
func BenchmarkCreate(b *testing.B) {
	s, err := Create(filepath.Join(b.TempDir(), "keys"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		k, err := s.Create(b.Context(), kms.P256, kms.AssertionMethod)
		if err == nil {
			err = s.Destroy(b.Context(), k.ID)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "changes/s")
}

// BenchmarkOpen measures the default cost of a passphrase.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys")
	o := Options{Secret: Passphrase([]byte("correct horse battery"))}
	s, err := Create(path, o)
	if err != nil {
		b.Fatal(err)
	}
	s.Close()
	for b.Loop() {
		s, err := Open(path, o)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
