package voprf

import (
	"crypto/sha512"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

const (
	// PointSize is the size of an encoded point in bytes (RFC 9496, section 4.3.2).
	PointSize = curve.CompressedPointSize
	// DigestSize is the size of an input to the function in bytes.
	DigestSize = 32

	scalarSize = scalar.ScalarSize
)

// The modes of RFC 9497, section 3.1, of which the protocol uses the second. The first is there for
// the RFC's test vectors.
const (
	modeOPRF  = 0x00
	modeVOPRF = 0x01
)

// suite holds the domain separation tags of ristretto255-SHA512 (RFC 9497, section 4.1) in one mode.
type suite struct {
	toGroup, toScalar tag
	seed              []byte
}

// tag is DST_prime of RFC 9380, section 5.3.1: the tag followed by its length in one byte.
type tag []byte

func newSuite(mode byte) *suite {
	context := "OPRFV1-" + string([]byte{mode}) + "-ristretto255-SHA512"
	prime := func(label string) tag {
		dst := label + context
		return append([]byte(dst), byte(len(dst)))
	}
	return &suite{
		toGroup:  prime("HashToGroup-"),
		toScalar: prime("HashToScalar-"),
		seed:     []byte("Seed-" + context),
	}
}

// verifiable is the suite of the protocol. It is never written to.
var verifiable = newSuite(modeVOPRF)

// hasher computes the suite's hash functions. It keeps its scratch, so it allocates once; it is not safe for
// concurrent use. None of them branches on its input.
type hasher struct {
	*suite
	h     hash.Hash
	start []byte // the encoded state of h after Z_pad, or nil where h cannot be set to a state
	out   [sha512.Size]byte
	two   [2]byte
}

func (s *suite) hasher() *hasher {
	h := &hasher{suite: s, h: sha512.New()}
	if state, ok := h.h.(encoding.BinaryAppender); ok {
		h.h.Write(block)
		if start, err := state.AppendBinary(nil); err == nil {
			h.start = start
		}
	}
	return h
}

// begin sets the hash to where Z_pad has been written: one compression of four less.
func (h *hasher) begin() {
	if state, ok := h.h.(encoding.BinaryUnmarshaler); ok && h.start != nil && state.UnmarshalBinary(h.start) == nil {
		return
	}
	h.h.Reset()
	h.h.Write(block)
}

// Constant parts of what is hashed, as slices so that nothing is allocated for them. They are never written to.
var (
	// Of RFC 9380, section 5.3.1: Z_pad; what follows the message, the length of the output in two
	// bytes and the number of b_0; the number of b_1.
	block  = make([]byte, sha512.BlockSize)
	zeroth = []byte{0, sha512.Size, 0}
	first  = []byte{1}
	// Of RFC 9497, sections 2.2.1 and 3.3.1.
	composite = []byte("Composite")
	challenge = []byte("Challenge")
	finalize  = []byte("Finalize")
)

// expand is expand_message_xmd of RFC 9380, section 5.3.1, with SHA-512 and an output of 64 bytes, which takes one
// round. The message is what add writes. The result is valid until the next call.
func (h *hasher) expand(dst tag, add func()) []byte {
	h.begin()
	add()
	h.h.Write(zeroth)
	h.h.Write(dst)
	b0 := h.h.Sum(h.out[:0])
	h.h.Reset()
	h.h.Write(b0)
	h.h.Write(first)
	h.h.Write(dst)
	return h.h.Sum(h.out[:0])
}

// field writes bytes preceded by their length in two bytes, as all transcripts of RFC 9497 have them.
func (h *hasher) field(b []byte) {
	binary.BigEndian.PutUint16(h.two[:], uint16(len(b)))
	h.h.Write(h.two[:])
	h.h.Write(b)
}

// hashToGroup is HashToGroup of RFC 9497, section 4.1, in constant time. It sets and returns p.
func (h *hasher) hashToGroup(p *curve.RistrettoPoint, input []byte) *curve.RistrettoPoint {
	uniform := h.expand(h.toGroup, func() { h.h.Write(input) })
	if _, err := p.SetUniformBytes(uniform); err != nil {
		panic("voprf: SetUniformBytes takes 64 bytes: " + err.Error())
	}
	return p
}

// hashToScalar is HashToScalar of RFC 9497, section 4.1, of what add writes. It sets and returns s.
func (h *hasher) hashToScalar(s *scalar.Scalar, add func()) *scalar.Scalar {
	return wide(s, h.expand(h.toScalar, add))
}

// wide reduces 64 bytes, little-endian, modulo the order of the group.
func wide(s *scalar.Scalar, b []byte) *scalar.Scalar {
	if _, err := s.SetBytesModOrderWide(b); err != nil {
		panic("voprf: SetBytesModOrderWide takes 64 bytes: " + err.Error())
	}
	return s
}

// finalize is the last hash of Finalize and Evaluate of RFC 9497, sections 3.3.1 and 3.3.2. The result is
// valid until the next call.
func (h *hasher) finalize(input, point []byte) []byte {
	h.h.Reset()
	h.field(input)
	h.field(point)
	h.h.Write(finalize)
	return h.h.Sum(h.out[:0])
}

// ErrPoint says that 32 bytes from outside are not the canonical encoding of a point other than the identity.
var ErrPoint = errors.New("not a valid point")

// decode sets p to an encoded point from outside. Non-canonical encodings and the identity are
// refused (RFC 9497, sections 4.1 and 5.1).
func decode(p *curve.RistrettoPoint, b []byte) error {
	var c curve.CompressedRistretto
	if _, err := c.SetBytes(b); err != nil {
		return fmt.Errorf("%d bytes: %w", len(b), ErrPoint)
	}
	if c == (curve.CompressedRistretto{}) { // the only encoding of the identity
		return fmt.Errorf("the identity: %w", ErrPoint)
	}
	if _, err := p.SetCompressed(&c); err != nil {
		return ErrPoint
	}
	return nil
}

// encode writes the encoding of p.
func encode(dst []byte, p *curve.RistrettoPoint) {
	var c curve.CompressedRistretto
	c.SetRistrettoPoint(p)
	copy(dst, c[:])
}

func scalarBytes(s *scalar.Scalar) (out [scalarSize]byte) {
	if err := s.ToBytes(out[:]); err != nil {
		panic("voprf: ToBytes takes 32 bytes: " + err.Error())
	}
	return out
}
