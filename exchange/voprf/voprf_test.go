package voprf

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/cryptotest"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// digestsOf returns the digests of the numbers first up to last.
func digestsOf(first, last int) [][DigestSize]byte {
	out := make([][DigestSize]byte, 0, last-first)
	for i := first; i < last; i++ {
		out = append(out, sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))))
	}
	return out
}

func mustKey(t testing.TB) *Key {
	t.Helper()
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustBlind(t testing.TB, digests [][DigestSize]byte, seed byte) *BlindedSet {
	t.Helper()
	s, err := Blind(context.Background(), digests, [32]byte{seed}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustOutputs(t testing.TB, k *Key, digests [][DigestSize]byte) []Output {
	t.Helper()
	out := make([]Output, len(digests))
	if err := k.Outputs(context.Background(), digests, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// evaluateAll lets k evaluate the whole set and unblinds it.
func evaluateAll(t testing.TB, k *Key, s *BlindedSet, digests int) []Output {
	t.Helper()
	out := make([]Output, digests)
	for i := range s.Chunks() {
		evaluated, proof, err := k.Evaluate(context.Background(), s.Chunk(i))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Unblind(context.Background(), k.Public(), i, evaluated, proof[:], out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// checkChunks holds the chunks in which a set is evaluated against those of its commitment.
func checkChunks(t *testing.T, s *BlindedSet) {
	t.Helper()
	c, err := merkle.Commit(s.Points, PointSize)
	if err != nil {
		t.Fatal(err)
	}
	if c.ChunkEntries != MaxBatch || c.Chunks() != s.Chunks() || c.Count != uint64(s.Len()) || s.Chunk(-1) != nil || s.Chunk(s.Chunks()) != nil {
		t.Fatalf("%d chunks of %d points, committed to %d of %d", s.Chunks(), s.Len(), c.Chunks(), c.Count)
	}
	for i := range s.Chunks() {
		if err := c.VerifyChunk(i, s.Chunk(i), merkle.Neighbours{}); err != nil {
			t.Error(err)
		}
	}
}

// The initiator's outputs are the responder's, and what both have is found; over several chunks too.
func TestBothSidesAgree(t *testing.T) {
	for _, n := range []struct{ theirs, from, to int }{{0, 0, 3}, {1, 0, 1}, {300, 200, 450}, {MaxBatch + 200, MaxBatch, MaxBatch + 500}} {
		k := mustKey(t)
		theirs, ours := digestsOf(0, n.theirs), digestsOf(n.from, n.to)
		s := mustBlind(t, theirs, 1)
		checkChunks(t, s)
		got := evaluateAll(t, k, s, len(theirs))
		// Only a part is computed again by the responder's way, but on all of it the two must agree by tag.
		sample := theirs[max(0, len(theirs)-300):]
		if want := mustOutputs(t, k, sample); !slices.Equal(got[len(got)-len(sample):], want) {
			t.Errorf("%d digests: the two sides compute different outputs", n.theirs)
		}
		tags, err := NewTagSet(mustOutputs(t, k, ours), [32]byte{7})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := merkle.Commit(tags.Tags, TagSize); err != nil {
			t.Fatal(err)
		}
		common := Common(got, tags.Tags)
		if want := max(0, min(n.theirs, n.to)-n.from); len(common) != want {
			t.Errorf("%d in common, want %d", len(common), want)
		}
		for _, i := range common {
			j, ok := tags.Lookup(got[i].Tag())
			if !ok || ours[j] != theirs[i] {
				t.Errorf("digest %d is looked up as %d, %t", i, j, ok)
			}
		}
	}
}

func TestBlindIsAFunctionOfTheSet(t *testing.T) {
	digests := digestsOf(0, 300)
	a := mustBlind(t, digests, 1)
	shuffled := slices.Clone(digests)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	told := 0
	b, err := Blind(context.Background(), shuffled, [32]byte{1}, func(done int) {
		if done <= told {
			t.Errorf("told of %d points after %d", done, told)
		}
		told = done
	})
	if err != nil {
		t.Fatal(err)
	}
	if told != b.Len() {
		t.Errorf("told of %d points of %d", told, b.Len())
	}
	if !bytes.Equal(a.Points, b.Points) {
		t.Error("the order of the digests shows in the set")
	}
	other := mustBlind(t, digests, 2)
	seen := make(map[[PointSize]byte]bool)
	for i := range a.Len() {
		seen[[PointSize]byte(a.Points[i*PointSize:])] = true
		seen[[PointSize]byte(other.Points[i*PointSize:])] = true
		d, ok := a.Digest(i)
		if e, same := b.Digest(i); ok != same || ok && digests[d] != shuffled[e] {
			t.Fatalf("point %d is of digest %d here and %d there", i, d, e)
		}
	}
	if len(seen) != a.Len()+other.Len() {
		t.Error("two sets, or two points of a set, share a point")
	}
	if _, err := Blind(context.Background(), append(digests, digests[17]), [32]byte{1}, nil); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a digest twice: %v", err)
	}
}

// Every point, padding too, is the blinding that the protocol says.
func TestBlindedPointsOpen(t *testing.T) {
	digests := digestsOf(0, 100)
	s := mustBlind(t, digests, 5)
	h := verifiable.hasher()
	open := make(map[[PointSize]byte]int)
	for i := range s.Len() {
		mac := hmac.New(sha256.New, append([]byte{5}, make([]byte, 31)...))
		if i < len(digests) {
			mac.Write(digests[i][:])
		} else {
			mac.Write([]byte("ihyid/voprf/1 padding"))
			mac.Write(binary.BigEndian.AppendUint32(nil, uint32(i-len(digests))))
		}
		var r scalar.Scalar
		var p, x curve.RistrettoPoint
		p.MulBasepoint(curve.RISTRETTO_BASEPOINT_TABLE, h.hashToScalar(&r, func() { h.h.Write(mac.Sum(nil)) }))
		if i < len(digests) {
			p.Add(&p, h.hashToGroup(&x, digests[i][:]))
		}
		var enc [PointSize]byte
		encode(enc[:], &p)
		open[enc] = i
	}
	for i := range s.Len() {
		k, ok := open[[PointSize]byte(s.Points[i*PointSize:])]
		if !ok {
			t.Fatalf("point %d does not open", i)
		}
		if d, ok := s.Digest(i); ok != (k < len(digests)) || ok && d != k {
			t.Fatalf("point %d opens to %d, but is said to be of %d, %t", i, k, d, ok)
		}
	}
	for _, i := range []int{-1, s.Len()} {
		if _, ok := s.Digest(i); ok {
			t.Errorf("there is a point %d", i)
		}
	}
}

func TestUnblindRefuses(t *testing.T) {
	k, other := mustKey(t), mustKey(t)
	digests := digestsOf(0, 300)
	s := mustBlind(t, digests, 1)
	good, proof, err := k.Evaluate(context.Background(), s.Chunk(0))
	if err != nil {
		t.Fatal(err)
	}
	another, anotherProof, err := other.Evaluate(context.Background(), s.Chunk(0))
	if err != nil {
		t.Fatal(err)
	}
	prefix, prefixProof, err := k.Evaluate(context.Background(), s.Chunk(0)[:256*PointSize])
	if err != nil {
		t.Fatal(err)
	}
	change := func(b []byte, f func([]byte)) []byte { b = bytes.Clone(b); f(b); return b }
	point := func(b []byte, i int) []byte { return b[i*PointSize : (i+1)*PointSize] }
	// The order of the group, which is zero but not canonical.
	order := []byte("\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10")
	for name, tc := range map[string]struct {
		pk               *PublicKey
		chunk            int
		evaluated, proof []byte
		want             error
	}{
		"another public key":      {other.Public(), 0, good, proof[:], ErrProof},
		"evaluated with another":  {k.Public(), 0, another, anotherProof[:], ErrProof},
		"another's proof":         {k.Public(), 0, good, anotherProof[:], ErrProof},
		"one point of another":    {k.Public(), 0, change(good, func(b []byte) { copy(point(b, 299), point(another, 299)) }), proof[:], ErrProof},
		"two points swapped":      {k.Public(), 0, change(good, func(b []byte) { copy(point(b, 0), point(good, 1)); copy(point(b, 1), point(good, 0)) }), proof[:], ErrProof},
		"the points as they were": {k.Public(), 0, s.Chunk(0), proof[:], ErrProof},
		"a bit of the challenge":  {k.Public(), 0, good, change(proof[:], func(b []byte) { b[0] ^= 1 }), ErrProof},
		"a bit of the response":   {k.Public(), 0, good, change(proof[:], func(b []byte) { b[32] ^= 1 }), ErrProof},
		"challenge not canonical": {k.Public(), 0, good, change(proof[:], func(b []byte) { copy(b, order) }), ErrProof},
		"response not canonical":  {k.Public(), 0, good, change(proof[:], func(b []byte) { b[63] |= 0x80 }), ErrProof},
		"short proof":             {k.Public(), 0, good, proof[:63], ErrProof},
		"long proof":              {k.Public(), 0, good, append(bytes.Clone(proof[:]), 0), ErrProof},
		"no proof":                {k.Public(), 0, good, nil, ErrProof},
		"zero proof":              {k.Public(), 0, good, make([]byte, ProofSize), ErrProof},
		"a part, with its proof":  {k.Public(), 0, prefix, prefixProof[:], ErrSize},
		"half a point":            {k.Public(), 0, good[:len(good)-1], proof[:], ErrSize},
		"no such chunk":           {k.Public(), 1, good, proof[:], ErrSize},
		"chunk -1":                {k.Public(), -1, good, proof[:], ErrSize},
		"the identity":            {k.Public(), 0, change(good, func(b []byte) { clear(point(b, 7)) }), proof[:], ErrPoint},
		"no point":                {k.Public(), 0, change(good, func(b []byte) { b[0] |= 1 }), proof[:], ErrPoint},
	} {
		out := make([]Output, len(digests))
		err := s.Unblind(context.Background(), tc.pk, tc.chunk, tc.evaluated, tc.proof, out)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(out, make([]Output, len(digests))) {
			t.Errorf("%s: something was unblinded", name)
		}
	}
	if err := s.Unblind(context.Background(), k.Public(), 0, good, proof[:], make([]Output, 299)); !errors.Is(err, ErrSize) {
		t.Errorf("no room: %v", err)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	k := mustKey(t)
	s := mustBlind(t, nil, 1)
	good := s.Chunk(0)
	for name, tc := range map[string]struct {
		blinded []byte
		want    error
	}{
		"nothing":      {nil, ErrSize},
		"half a point": {good[:PointSize+1], ErrSize},
		"too many":     {make([]byte, (MaxBatch+1)*PointSize), ErrSize},
		"the identity": {append(bytes.Clone(good), make([]byte, PointSize)...), ErrPoint},
		"no point":     {append(bytes.Clone(good), bytes.Repeat([]byte{0xff}, PointSize)...), ErrPoint},
	} {
		evaluated, _, err := k.Evaluate(context.Background(), tc.blinded)
		if !errors.Is(err, tc.want) || evaluated != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := k.Public().Verify(context.Background(), tc.blinded, tc.blinded, make([]byte, ProofSize)); !errors.Is(err, tc.want) {
			t.Errorf("%s: Verify: %v", name, err)
		}
	}
	if err := k.Outputs(context.Background(), digestsOf(0, 3), make([]Output, 2)); !errors.Is(err, ErrSize) {
		t.Errorf("no room: %v", err)
	}
}

func TestContextIsHonoured(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("the operator said so")
	cancel(why)
	k := mustKey(t)
	digests := digestsOf(0, 10)
	s := mustBlind(t, digests, 1)
	evaluated, proof, err := k.Evaluate(context.Background(), s.Points)
	if err != nil {
		t.Fatal(err)
	}
	_, blind := Blind(ctx, digests, [32]byte{}, nil)
	_, _, evaluate := k.Evaluate(ctx, s.Points)
	_, claims := CheckClaims(ctx, new([32]byte), make([]Opening, 1))
	for name, err := range map[string]error{
		"Blind":       blind,
		"Evaluate":    evaluate,
		"Outputs":     k.Outputs(ctx, digests, make([]Output, 10)),
		"Unblind":     s.Unblind(ctx, k.Public(), 0, evaluated, proof[:], make([]Output, 10)),
		"CheckClaims": claims,
	} {
		if !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// In the middle of the work.
	ctx, cancel = context.WithCancelCause(context.Background())
	if _, err := Blind(ctx, digestsOf(0, 5000), [32]byte{}, func(int) { cancel(why) }); !errors.Is(err, why) {
		t.Errorf("Blind in the middle: %v", err)
	}
}

func TestKeys(t *testing.T) {
	k := mustKey(t)
	again, err := ParseKey(k.Bytes())
	if err != nil || !bytes.Equal(again.Bytes(), k.Bytes()) || !bytes.Equal(again.Public().Bytes(), k.Public().Bytes()) {
		t.Errorf("a key does not survive: %v", err)
	}
	pk, err := ParsePublicKey(k.Public().Bytes())
	if err != nil || !bytes.Equal(pk.Bytes(), k.Public().Bytes()) {
		t.Errorf("a public key does not survive: %v", err)
	}
	if bytes.Equal(mustKey(t).Bytes(), k.Bytes()) {
		t.Error("the same key twice")
	}
	one := make([]byte, KeySize)
	one[0] = 1
	if _, err := ParseKey(one); err != nil {
		t.Errorf("one: %v", err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "short": k.Bytes()[1:], "long": append(k.Bytes(), 0), "zero": make([]byte, KeySize),
		"not canonical": bytes.Repeat([]byte{0xff}, KeySize),
	} {
		if _, err := ParseKey(b); !errors.Is(err, ErrKey) {
			t.Errorf("secret key, %s: %v", name, err)
		}
		if _, err := ParsePublicKey(b); !errors.Is(err, ErrKey) || !errors.Is(err, ErrPoint) {
			t.Errorf("public key, %s: %v", name, err)
		}
	}
}

// No two proofs share a nonce, not even of the same statement.
func TestProofNonces(t *testing.T) {
	k := mustKey(t)
	s := mustBlind(t, nil, 1)
	seen := make(map[[PointSize]byte]bool)
	for range 20 {
		evaluated, proof, err := k.Evaluate(context.Background(), s.Points)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Public().Verify(context.Background(), s.Points, evaluated, proof[:]); err != nil {
			t.Fatal(err)
		}
		// t2 = s·G + c·pk is nonce·G.
		var t2 curve.RistrettoPoint
		t2.DoubleScalarMulBasepointVartime(mustScalar(t, proof[:32]), &k.public.point, mustScalar(t, proof[32:]))
		var enc [PointSize]byte
		encode(enc[:], &t2)
		seen[enc] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d nonces in 20 proofs", len(seen))
	}
	// The statement and the key go in as well.
	st := &statement{suite: verifiable, pk: k.public.enc[:]}
	var m curve.RistrettoPoint
	m.MulBasepoint(curve.RISTRETTO_BASEPOINT_TABLE, scalar.New().One())
	if a, b := st.nonce(k.k, &m, &m), st.nonce(k.k, &m, &m); a.Equal(b) == 1 {
		t.Error("the nonce is not fresh")
	}
}

func TestTagSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 600).Draw(t, "n")
		outputs := make([]Output, n)
		for i := range outputs {
			h := sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i)))
			copy(outputs[i][:], h[:])
		}
		seed := [32]byte{rapid.Byte().Draw(t, "seed")}
		s, err := NewTagSet(outputs, seed)
		if err != nil {
			t.Fatal(err)
		}
		if s.Len() != int(merkle.PaddedCount(uint64(n))) || len(s.Tags) != s.Len()*TagSize {
			t.Fatalf("%d tags of %d outputs", s.Len(), n)
		}
		found := 0
		for i := range s.Len() {
			tag := [TagSize]byte(s.Tags[i*TagSize:])
			if at, ok := FindTag(s.Tags, tag); !ok || at != i {
				t.Fatalf("tag %d is found at %d, %t", i, at, ok)
			}
			if d, ok := s.Lookup(tag); ok {
				found++
				if outputs[d].Tag() != tag {
					t.Fatalf("tag %d is looked up as %d", i, d)
				}
			}
			tag[15] ^= 1
			if _, ok := s.Lookup(tag); ok {
				t.Fatal("a tag that is not there is found")
			}
		}
		if found != n {
			t.Fatalf("%d of %d tags are found", found, n)
		}
		again, err := NewTagSet(outputs, seed)
		if err != nil || !bytes.Equal(again.Tags, s.Tags) {
			t.Fatalf("not reproducible: %v", err)
		}
		if n > 0 {
			if _, err := NewTagSet(append(outputs, outputs[n/2]), seed); !errors.Is(err, ErrDuplicate) {
				t.Fatalf("a tag twice: %v", err)
			}
		}
	})
}

func FuzzPoints(f *testing.F) {
	k := mustKey(f)
	s := mustBlind(f, digestsOf(0, 2), 1)
	evaluated, proof, err := k.Evaluate(context.Background(), s.Points[:2*PointSize])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Points[:2*PointSize], evaluated, proof[:])
	f.Add(s.Points[:PointSize], evaluated[:PointSize], proof[:])
	f.Add([]byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, blinded, evaluated, proof []byte) {
		if len(blinded) > 8*PointSize {
			return
		}
		if err := k.Public().Verify(context.Background(), blinded, evaluated, proof); err == nil {
			want, _, err := k.Evaluate(context.Background(), blinded)
			if err != nil || !bytes.Equal(want, evaluated) {
				t.Fatal("a false evaluation is proved")
			}
		}
		got, p, err := k.Evaluate(context.Background(), blinded)
		if err == nil {
			if err := k.Public().Verify(context.Background(), blinded, got, p[:]); err != nil {
				t.Fatal(err)
			}
		}
		if pk, err := ParsePublicKey(evaluated); err == nil && !bytes.Equal(pk.Bytes(), evaluated) {
			t.Fatal("a second encoding of a point")
		}
		if k, err := ParseKey(proof); err == nil && !bytes.Equal(k.Bytes(), proof) {
			t.Fatal("a second encoding of a key")
		}
	})
}

// With a generator of randomness that is stuck, proofs of different statements or by different keys still never share a nonce: two such proofs would give the key away.
func TestProofNoncesWithoutRandomness(t *testing.T) {
	nonce := func(k *Key, points []byte) string {
		cryptotest.SetGlobalRandom(t, 1) // the same bytes each time
		evaluated, proof, err := k.Evaluate(context.Background(), points)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Public().Verify(context.Background(), points, evaluated, proof[:]); err != nil {
			t.Fatal(err)
		}
		var t2 curve.RistrettoPoint
		t2.DoubleScalarMulBasepointVartime(mustScalar(t, proof[:32]), &k.public.point, mustScalar(t, proof[32:]))
		var enc [PointSize]byte
		encode(enc[:], &t2)
		return string(enc[:])
	}
	k, other := mustKey(t), mustKey(t)
	points := mustBlind(t, nil, 1).Points
	first := nonce(k, points)
	if second := nonce(k, points); first != second {
		t.Fatal("the randomness is not stuck: this test shows nothing")
	}
	seen := map[string]string{}
	for name, n := range map[string]string{
		"the batch": nonce(k, points), "another key": nonce(other, points), "other points": nonce(k, mustBlind(t, nil, 2).Points),
		"a point less": nonce(k, points[:len(points)-PointSize]), "another order": nonce(k, append(bytes.Clone(points[PointSize:]), points[:PointSize]...)),
	} {
		if was, ok := seen[n]; ok {
			t.Errorf("%s and %s have one nonce", name, was)
		}
		seen[n] = name
	}
}

// Two digests whose tags are equal (one chance in 2^128 for each pair; here the outputs are made up) are no set, and a claim of such a tag opens for
// none but the digest behind it.
func TestTagsThatCollide(t *testing.T) {
	k := mustKey(t)
	digests := [][DigestSize]byte{{1}, {2}}
	out := make([]Output, 2)
	if err := k.Outputs(context.Background(), digests, out); err != nil {
		t.Fatal(err)
	}
	twin := out[1]
	copy(twin[:TagSize], out[0][:TagSize])
	if _, err := NewTagSet([]Output{out[0], twin}, [32]byte{}); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a set of two equal tags: %v", err)
	}
	set, err := Blind(context.Background(), digests, [32]byte{3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	transcript := [32]byte{4}
	// The initiator has the first; the responder has the second, under the same tag.
	c, err := set.Claim(0, 0, answer.Row{5}, &out[0], &transcript)
	if err != nil {
		t.Fatal(err)
	}
	point := [PointSize]byte(set.Points[int(set.At(0))*PointSize:])
	check := func(digest *[DigestSize]byte, out *Output) int {
		untrue, err := CheckClaims(context.Background(), &transcript, []Opening{{Claim: c, Point: point, Digest: digest, Output: out}})
		if err != nil {
			t.Fatal(err)
		}
		return len(untrue)
	}
	if check(&digests[0], &out[0]) != 0 {
		t.Error("a true claim is refused")
	}
	if check(&digests[1], &twin) != 1 {
		t.Error("a claim of one digest passes as one of another with the same tag")
	}
}
