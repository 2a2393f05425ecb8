package voprf

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

// KeySize is the size of a secret key in bytes, a scalar other than zero, little-endian.
const KeySize = scalarSize

const (
	// OutputSize is the size of an [Output] in bytes.
	OutputSize = TagSize + 32
	// TagSize is the size of a tag in bytes.
	TagSize = 16
)

var (
	// ErrKey says that bytes are not a key.
	ErrKey = errors.New("not a valid key")
	// ErrSize says that bytes are not a whole number of points, or too many or too few.
	ErrSize = errors.New("wrong number of points")
)

// Output is what the protocol uses of the function's 64-byte value for a digest: its first 16
// bytes are the tag, the next 32 the secret under which claims of the digest are sealed. The rest is not used.
//
// Who has the output of a digest knows, or has learned by an evaluation, that digest. It is to be sealed at rest, and destroyed with
// the key.
type Output [OutputSize]byte

// Tag returns the tag, which the responder publishes for each of its digests.
func (o *Output) Tag() [TagSize]byte { return [TagSize]byte(o[:TagSize]) }

func (o *Output) sealing() []byte { return o[TagSize:] }

// Key is the responder's secret for one peer, profile, purpose and epoch. It is safe for
// concurrent use.
type Key struct {
	k      *scalar.Scalar
	public *PublicKey
}

// NewKey draws a key.
func NewKey() (*Key, error) {
	k, err := scalar.New().SetRandom(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("voprf: drawing a key: %w", err)
	}
	b := scalarBytes(k)
	return ParseKey(b[:])
}

// ParseKey reads a key. Its error wraps [ErrKey].
func ParseKey(b []byte) (*Key, error) {
	k, err := scalar.NewFromCanonicalBytes(b)
	if err != nil || k.Equal(scalar.New()) == 1 {
		return nil, fmt.Errorf("voprf: secret key: %w", ErrKey)
	}
	var p curve.RistrettoPoint
	p.MulBasepoint(curve.RISTRETTO_BASEPOINT_TABLE, k)
	var enc [PointSize]byte
	encode(enc[:], &p)
	public, err := ParsePublicKey(enc[:])
	if err != nil {
		return nil, err
	}
	return &Key{k: k, public: public}, nil
}

// Bytes returns the key, [KeySize] bytes, to be sealed.
func (k *Key) Bytes() []byte {
	b := scalarBytes(k.k)
	return b[:]
}

// Public returns the public key.
func (k *Key) Public() *PublicKey { return k.public }

// PublicKey is the point to which a responder commits for an epoch. It is safe for concurrent use.
type PublicKey struct {
	point curve.RistrettoPoint
	enc   [PointSize]byte
	table func() *curve.RistrettoBasepointTable
}

// ParsePublicKey reads a public key, an encoded point. Its error wraps [ErrKey] and [ErrPoint].
func ParsePublicKey(b []byte) (*PublicKey, error) {
	pk := new(PublicKey)
	if err := decode(&pk.point, b); err != nil {
		return nil, fmt.Errorf("voprf: public key: %w: %w", err, ErrKey)
	}
	copy(pk.enc[:], b)
	pk.table = sync.OnceValue(func() *curve.RistrettoBasepointTable {
		return curve.NewRistrettoBasepointTable(&pk.point)
	})
	return pk, nil
}

// Bytes returns the encoded point.
func (pk *PublicKey) Bytes() []byte { return append([]byte(nil), pk.enc[:]...) }

// stride is how many points a worker takes at a time: a few milliseconds of work.
const stride = 64

// Evaluate multiplies a batch of blinded points with the key, in constant time, and proves it. Points are encoded one after
// another, at most [MaxBatch]; the evaluated points come in the same order. The caller evaluates only what lies under
// a committed root, counts it, and keeps the answer: the same request must get the same answer, not another proof.
// Errors: [ErrSize], [ErrPoint], that of ctx.
func (k *Key) Evaluate(ctx context.Context, blinded []byte) (evaluated []byte, proof Proof, err error) {
	return k.evaluate(ctx, verifiable, blinded)
}

func (k *Key) evaluate(ctx context.Context, s *suite, blinded []byte) ([]byte, Proof, error) {
	n, err := batch(blinded)
	if err != nil {
		return nil, Proof{}, err
	}
	points := make([]curve.RistrettoPoint, n)
	evaluated := make([]byte, len(blinded))
	err = spread(ctx, n, stride, func() func(lo, hi int) error {
		var p curve.RistrettoPoint
		return func(lo, hi int) error {
			for i := lo; i < hi; i++ {
				if err := decode(&points[i], blinded[i*PointSize:(i+1)*PointSize]); err != nil {
					return fmt.Errorf("blinded point %d: %w", i, err)
				}
				encode(evaluated[i*PointSize:], p.Mul(&points[i], k.k))
			}
			return nil
		}
	})
	if err != nil {
		return nil, Proof{}, err
	}
	st := &statement{suite: s, pk: k.public.enc[:], c: blinded, d: evaluated}
	proof, err := st.prove(ctx, k.k, points)
	if err != nil {
		return nil, Proof{}, err
	}
	return evaluated, proof, nil
}

func batch(points []byte) (int, error) {
	n := len(points) / PointSize
	if len(points)%PointSize != 0 || n == 0 || n > MaxBatch {
		return 0, fmt.Errorf("voprf: %d bytes of points, of %d each and at most %d: %w", len(points), PointSize, MaxBatch, ErrSize)
	}
	return n, nil
}

// Verify checks the proof that evaluated holds the points of blinded multiplied with the secret behind pk.
// Errors: [ErrSize], [ErrPoint], [ErrProof], that of ctx.
func (pk *PublicKey) Verify(ctx context.Context, blinded, evaluated, proof []byte) error {
	n, err := batch(blinded)
	if err != nil {
		return err
	}
	cs := make([]curve.RistrettoPoint, n)
	if err := decodeAll(ctx, cs, "blinded", blinded); err != nil {
		return err
	}
	_, err = pk.verify(ctx, blinded, cs, evaluated, proof)
	return err
}

// verify takes the blinded points decoded as well, and returns the evaluated ones decoded.
func (pk *PublicKey) verify(ctx context.Context, blinded []byte, cs []curve.RistrettoPoint, evaluated, proof []byte) ([]curve.RistrettoPoint, error) {
	if len(evaluated) != len(blinded) {
		return nil, fmt.Errorf("voprf: %d points evaluated, %d asked for: %w", len(evaluated)/PointSize, len(cs), ErrSize)
	}
	ds := make([]curve.RistrettoPoint, len(cs))
	if err := decodeAll(ctx, ds, "evaluated", evaluated); err != nil {
		return nil, err
	}
	st := &statement{suite: verifiable, pk: pk.enc[:], c: blinded, d: evaluated}
	if err := st.verify(ctx, &pk.point, cs, ds, proof); err != nil {
		return nil, err
	}
	return ds, nil
}

// decodeAll decodes as many points as there is room for.
func decodeAll(ctx context.Context, points []curve.RistrettoPoint, what string, b []byte) error {
	return spread(ctx, len(points), stride, func() func(lo, hi int) error {
		return func(lo, hi int) error {
			for i := lo; i < hi; i++ {
				if err := decode(&points[i], b[i*PointSize:(i+1)*PointSize]); err != nil {
					return fmt.Errorf("%s point %d: %w", what, i, err)
				}
			}
			return nil
		}
	})
}

// Outputs computes the function of the responder's own digests, in constant time: out[i] is that of digests[i]. It may be called for
// parts of a register, which is also how to show progress and to stop and go on; outputs are kept (sealed) for the epoch, so
// an increment costs only what is new.
func (k *Key) Outputs(ctx context.Context, digests [][DigestSize]byte, out []Output) error {
	if len(out) != len(digests) {
		return fmt.Errorf("voprf: room for %d outputs of %d digests: %w", len(out), len(digests), ErrSize)
	}
	return spread(ctx, len(digests), stride, func() func(lo, hi int) error {
		h := verifiable.hasher()
		var p curve.RistrettoPoint
		var enc [PointSize]byte
		return func(lo, hi int) error {
			for i := lo; i < hi; i++ {
				p.Mul(h.hashToGroup(&p, digests[i][:]), k.k)
				encode(enc[:], &p)
				copy(out[i][:], h.finalize(digests[i][:], enc[:]))
			}
			return nil
		}
	})
}
