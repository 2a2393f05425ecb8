package voprf

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"
	"golang.org/x/sync/errgroup"
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

// BenchmarkAgainstCircl does the cryptography of one exchange twice, by this package and by circl's VOPRF, each time on all cores, and reports how many
// times longer circl takes: the responder's function of its own digests, the initiator's blinding, the evaluation with a proof for each 1,024, and the
// check of the proofs with the unblinding. Both sides have n digests; an element is one digest of one side.
func BenchmarkAgainstCircl(b *testing.B) {
	for _, n := range []int{1 << 10, 1 << 14} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k := mustKey(b)
			ours, theirs := digestsOf(0, n), digestsOf(n/2, n/2+n)
			var here, circl time.Duration
			var seed byte
			for b.Loop() {
				seed++
				begun := time.Now()
				mustOutputs(b, k, theirs)
				evaluateAll(b, k, mustBlind(b, ours, seed), n)
				here += time.Since(begun)
				begun = time.Now()
				circlJob(b, circlKey(b, k), ours, theirs)
				circl += time.Since(begun)
			}
			perElement := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(b.N) / float64(2*n) }
			b.ReportMetric(perElement(here), "µs/element")
			b.ReportMetric(perElement(circl), "circl-µs/element")
			b.ReportMetric(circl.Seconds()/here.Seconds(), "times-circl")
		})
	}
}

// circlJob is the job of the benchmark by circl, in batches of the same size, on all cores.
func circlJob(b *testing.B, sk *oprf.PrivateKey, ours, theirs [][DigestSize]byte) {
	client, server := oprf.NewVerifiableClient(oprf.SuiteRistretto255, sk.Public()), oprf.NewVerifiableServer(oprf.SuiteRistretto255, sk)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for batch := range slices.Chunk(theirs, MaxBatch) {
		g.Go(func() error {
			for _, d := range batch {
				if _, err := server.FullEvaluate(d[:]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for batch := range slices.Chunk(ours, MaxBatch) {
		g.Go(func() error {
			var inputs [][]byte
			for i := range batch {
				inputs = append(inputs, batch[i][:])
			}
			data, request, err := client.Blind(inputs)
			if err != nil {
				return err
			}
			evaluation, err := server.Evaluate(request)
			if err != nil {
				return err
			}
			_, err = client.Finalize(data, evaluation)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}
