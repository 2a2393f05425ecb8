package voprf

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"
)

func circlKey(t testing.TB, k *Key) *oprf.PrivateKey {
	t.Helper()
	sk := new(oprf.PrivateKey)
	if err := sk.UnmarshalBinary(oprf.SuiteRistretto255, k.Bytes()); err != nil {
		t.Fatal(err)
	}
	return sk
}

func circlPoints(t testing.TB, b []byte) (list []group.Element) {
	t.Helper()
	for ; len(b) > 0; b = b[PointSize:] {
		e := group.Ristretto255.NewElement()
		if err := e.UnmarshalBinary(b[:PointSize]); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func circlBytes(t testing.TB, list []group.Element) (out []byte) {
	t.Helper()
	for _, e := range list {
		b, err := e.MarshalBinaryCompress()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

// Our initiator, with its additive blinding, against circl's server.
func TestCirclAsResponder(t *testing.T) {
	for _, n := range []int{1, 40, 300} {
		k := mustKey(t)
		server := oprf.NewVerifiableServer(oprf.SuiteRistretto255, circlKey(t, k))
		pk, err := server.PublicKey().MarshalBinary()
		if err != nil || !bytes.Equal(pk, k.Public().Bytes()) {
			t.Fatalf("public key %x, %v", pk, err)
		}
		digests := digestsOf(n, 2*n)
		s := mustBlind(t, digests, byte(n))
		request := &oprf.EvaluationRequest{Elements: circlPoints(t, s.Chunk(0))}
		evaluation, err := server.Evaluate(request)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := evaluation.Proof.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		evaluated := circlBytes(t, evaluation.Elements)
		if ours, _, err := k.Evaluate(context.Background(), s.Chunk(0)); err != nil || !bytes.Equal(ours, evaluated) {
			t.Fatalf("the evaluated points differ, %v", err)
		}
		out := make([]Output, n)
		if err := s.Unblind(context.Background(), k.Public(), 0, evaluated, proof, out); err != nil {
			t.Fatal(err)
		}
		ours := mustOutputs(t, k, digests)
		for i, d := range digests {
			want, err := server.FullEvaluate(d[:])
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out[i][:], want[:OutputSize]) || ours[i] != out[i] {
				t.Fatalf("digest %d: the outputs differ", i)
			}
		}
	}
}

// circl's client, with the RFC's multiplicative blinding, against our responder.
func TestCirclAsInitiator(t *testing.T) {
	for _, n := range []int{1, 40, 300} {
		k := mustKey(t)
		digests := digestsOf(0, n)
		var inputs [][]byte
		for i := range digests {
			inputs = append(inputs, digests[i][:])
		}
		client := oprf.NewVerifiableClient(oprf.SuiteRistretto255, circlKey(t, k).Public())
		data, request, err := client.Blind(inputs)
		if err != nil {
			t.Fatal(err)
		}
		blinded := circlBytes(t, request.Elements)
		evaluated, proof, err := k.Evaluate(context.Background(), blinded)
		if err != nil {
			t.Fatal(err)
		}
		theirs := new(dleq.Proof)
		if err := theirs.UnmarshalBinary(group.Ristretto255, proof[:]); err != nil {
			t.Fatal(err)
		}
		outputs, err := client.Finalize(data, &oprf.Evaluation{Elements: circlPoints(t, evaluated), Proof: theirs})
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range mustOutputs(t, k, digests) {
			if !bytes.Equal(outputs[i][:OutputSize], o[:]) {
				t.Fatalf("digest %d: the outputs differ", i)
			}
		}
	}
}

// BenchmarkAgainstCircl runs the whole function for one batch, both sides one after the other: blind, evaluate with
// proof, verify and unblind. circl uses one core, ours all.
func BenchmarkAgainstCircl(b *testing.B) {
	const n = 1024
	k := mustKey(b)
	digests := digestsOf(0, n)
	var inputs [][]byte
	for i := range digests {
		inputs = append(inputs, digests[i][:])
	}
	perElement := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/element")
	}
	b.Run(fmt.Sprintf("ours-%d", n), func(b *testing.B) {
		for b.Loop() {
			var seed [32]byte
			rand.Read(seed[:])
			evaluateAll(b, k, mustBlind(b, digests, seed[0]), n)
		}
		perElement(b)
	})
	b.Run(fmt.Sprintf("circl-%d", n), func(b *testing.B) {
		sk := circlKey(b, k)
		client, server := oprf.NewVerifiableClient(oprf.SuiteRistretto255, sk.Public()), oprf.NewVerifiableServer(oprf.SuiteRistretto255, sk)
		for b.Loop() {
			data, request, err := client.Blind(inputs)
			if err != nil {
				b.Fatal(err)
			}
			evaluation, err := server.Evaluate(request)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := client.Finalize(data, evaluation); err != nil {
				b.Fatal(err)
			}
		}
		perElement(b)
	})
}
