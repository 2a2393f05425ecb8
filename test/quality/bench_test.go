package quality

import (
	"context"
	"testing"

	"ihyid/contacts"
)

// BenchmarkMatch is the whole of matching two lists of 100,000 under levant/1: records, digests, join, tiers.
func BenchmarkMatch(b *testing.B) {
	const n = 100_000
	names, err := LevantNames()
	if err != nil {
		b.Fatal(err)
	}
	s := Simulate(names, n, DefaultRates(), 1)
	p, err := contacts.BuiltinProfile("levant/1")
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		x, err := contacts.EncodeAll(ctx, p, s.A, nil)
		if err != nil {
			b.Fatal(err)
		}
		y, err := contacts.EncodeAll(ctx, p, s.B, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := contacts.Match(ctx, p, x, y, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*2*n/b.Elapsed().Seconds(), "contacts/s")
}
