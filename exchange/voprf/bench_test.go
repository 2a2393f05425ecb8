package voprf

import (
	"context"
	"testing"
)

// The steps of a run, each on all cores. b.N counts chunks of this many elements.
const benchElements = 4096

func perElement(b *testing.B) {
	b.ReportAllocs()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1000/float64(b.N)/benchElements, "µs/element")
}

func BenchmarkBlind(b *testing.B) {
	digests := digestsOf(0, benchElements)
	for b.Loop() {
		mustBlind(b, digests, 1)
	}
	perElement(b)
}

func BenchmarkOutputs(b *testing.B) {
	k, digests := mustKey(b), digestsOf(0, benchElements)
	for b.Loop() {
		mustOutputs(b, k, digests)
	}
	perElement(b)
}

func BenchmarkEvaluate(b *testing.B) {
	k, s := mustKey(b), mustBlind(b, digestsOf(0, benchElements), 1)
	for b.Loop() {
		if _, _, err := k.Evaluate(context.Background(), s.Points); err != nil {
			b.Fatal(err)
		}
	}
	perElement(b)
}

func BenchmarkUnblind(b *testing.B) {
	k, s := mustKey(b), mustBlind(b, digestsOf(0, benchElements), 1)
	evaluated, proof, err := k.Evaluate(context.Background(), s.Points)
	if err != nil {
		b.Fatal(err)
	}
	out := make([]Output, benchElements)
	for b.Loop() {
		if err := s.Unblind(context.Background(), k.Public(), 0, evaluated, proof[:], out); err != nil {
			b.Fatal(err)
		}
	}
	perElement(b)
}

func BenchmarkVerify(b *testing.B) {
	k, s := mustKey(b), mustBlind(b, digestsOf(0, benchElements), 1)
	evaluated, proof, err := k.Evaluate(context.Background(), s.Points)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := k.Public().Verify(context.Background(), s.Points, evaluated, proof[:]); err != nil {
			b.Fatal(err)
		}
	}
	perElement(b)
}

func BenchmarkCheckClaims(b *testing.B) {
	c := claimAll(b, benchElements)
	list := c.openings(b)
	for b.Loop() {
		if untrue, err := CheckClaims(context.Background(), &c.transcript, list); err != nil || untrue != nil {
			b.Fatal(untrue, err)
		}
	}
	perElement(b)
}
