package voprf

import (
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

// ProofSize is the size of a proof in bytes: two scalars, c ‖ s, little-endian.
const ProofSize = 2 * scalarSize

// MaxBatch is the most points that one proof covers. The RFC's index has two bytes, so 65,535 is
// the limit; half of it is a chunk of a committed set of points.
const MaxBatch = 1 << 15

// Proof shows that every point of a batch was multiplied with the one secret behind a public key
// (RFC 9497, section 2.2).
type Proof [ProofSize]byte

// ErrProof says that a proof does not hold: the points were not all multiplied with the secret of that public key.
var ErrProof = errors.New("evaluation proof does not hold")

// statement is what a proof is about: the public key, the points before (C) and after (D), encoded.
type statement struct {
	*suite
	pk   []byte
	c, d []byte
}

// piece is how many points go through one multi-scalar multiplication. The cost of a point falls with their
// number; but beyond some thousand the tables (160 bytes a point) leave the second cache, and all cores shall have work
// within a chunk.
const piece = 1 << 12

// combine computes the RFC's composites (section 2.2.1, ComputeComposites): for each of the given lists of points, the
// sum of the points with the weights d_i. Weights and points are public, so this may take variable time.
func (s *statement) combine(ctx context.Context, lists ...[]curve.RistrettoPoint) ([]curve.RistrettoPoint, error) {
	h := s.hasher()
	h.h.Reset()
	h.field(s.pk)
	h.field(s.seed)
	seed := h.h.Sum(nil)

	sums := make([]curve.RistrettoPoint, len(lists))
	for l := range sums {
		sums[l].Identity()
	}
	var mu sync.Mutex
	err := spread(ctx, len(lists[0]), piece, func() func(lo, hi int) error {
		h := s.hasher()
		var weights [piece]scalar.Scalar
		var scalars [piece]*scalar.Scalar
		var points [piece]*curve.RistrettoPoint
		var index [2]byte
		return func(lo, hi int) error {
			for i := lo; i < hi; i++ {
				scalars[i-lo] = h.hashToScalar(&weights[i-lo], func() {
					h.field(seed)
					binary.BigEndian.PutUint16(index[:], uint16(i))
					h.h.Write(index[:])
					h.field(s.c[i*PointSize : (i+1)*PointSize])
					h.field(s.d[i*PointSize : (i+1)*PointSize])
					h.h.Write(composite)
				})
			}
			for l := range lists {
				for i := lo; i < hi; i++ {
					points[i-lo] = &lists[l][i]
				}
				var part curve.RistrettoPoint
				part.MultiscalarMulVartime(scalars[:hi-lo], points[:hi-lo])
				mu.Lock()
				sums[l].Add(&sums[l], &part)
				mu.Unlock()
			}
			return nil
		}
	})
	return sums, err
}

// challenge is the hash of the proof's transcript (section 2.2.1).
func (s *statement) challenge(points ...*curve.RistrettoPoint) *scalar.Scalar {
	h := s.hasher()
	return h.hashToScalar(scalar.New(), func() {
		h.field(s.pk)
		var b [PointSize]byte
		for _, p := range points {
			encode(b[:], p)
			h.field(b[:])
		}
		h.h.Write(challenge)
	})
}

// prove is GenerateProof of section 2.2.1, with the composites computed by the shortcut that the secret
// allows (ComputeCompositesFast). points are the decoded C.
func (s *statement) prove(ctx context.Context, k *scalar.Scalar, points []curve.RistrettoPoint) (Proof, error) {
	sums, err := s.combine(ctx, points)
	if err != nil {
		return Proof{}, err
	}
	m := &sums[0]
	z := new(curve.RistrettoPoint).Mul(m, k)
	return s.proof(k, s.nonce(k, m, z), m, z), nil
}

// nonce draws the proof's one-time secret. A nonce used for two challenges, or one that can be guessed, gives away k; so
// it is hashed from k, fresh randomness and the statement. A bad random generator then leaves it what a
// deterministic nonce is, and a fault that repeats the statement cannot repeat the nonce. M stands
// for the whole batch, whose hash its weights are.
func (s *statement) nonce(k *scalar.Scalar, m, z *curve.RistrettoPoint) *scalar.Scalar {
	h := sha512.New()
	h.Write([]byte("ihyid/voprf/1 proof nonce"))
	secret := scalarBytes(k)
	h.Write(secret[:])
	var b [PointSize]byte
	rand.Read(b[:])
	h.Write(b[:])
	h.Write(s.pk)
	for _, p := range []*curve.RistrettoPoint{m, z} {
		encode(b[:], p)
		h.Write(b[:])
	}
	return wide(scalar.New(), h.Sum(nil))
}

// proof is the Schnorr part, in constant time.
func (s *statement) proof(k, r *scalar.Scalar, m, z *curve.RistrettoPoint) Proof {
	var t2, t3 curve.RistrettoPoint
	t2.MulBasepoint(curve.RISTRETTO_BASEPOINT_TABLE, r)
	t3.Mul(m, r)
	c := s.challenge(m, z, &t2, &t3)
	answer := scalar.New().Mul(c, k)
	answer.Sub(r, answer)
	var p Proof
	left, right := scalarBytes(c), scalarBytes(answer)
	copy(p[:scalarSize], left[:])
	copy(p[scalarSize:], right[:])
	return p
}

// verify is VerifyProof of section 2.2.2. cs and ds are the decoded points.
func (s *statement) verify(ctx context.Context, pk *curve.RistrettoPoint, cs, ds []curve.RistrettoPoint, p []byte) error {
	if len(p) != ProofSize {
		return fmt.Errorf("voprf: a proof of %d bytes: %w", len(p), ErrProof)
	}
	c, errC := scalar.NewFromCanonicalBytes(p[:scalarSize])
	answer, errS := scalar.NewFromCanonicalBytes(p[scalarSize:])
	if errC != nil || errS != nil {
		return fmt.Errorf("voprf: a scalar of the proof is not canonical: %w", ErrProof)
	}
	sums, err := s.combine(ctx, cs, ds)
	if err != nil {
		return err
	}
	m, z := &sums[0], &sums[1]
	var t2, t3 curve.RistrettoPoint
	t2.DoubleScalarMulBasepointVartime(c, pk, answer)
	t3.MultiscalarMulVartime([]*scalar.Scalar{answer, c}, []*curve.RistrettoPoint{m, z})
	if s.challenge(m, z, &t2, &t3).Equal(c) != 1 {
		return fmt.Errorf("voprf: %w", ErrProof)
	}
	return nil
}
