package voprf

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"

	"ihyid/exchange/answer"
)

const (
	// ClaimSize is the size of an encoded claim in bytes: number of the committed set (uint32,
	// big-endian) ‖ index in it (uint32, big-endian) ‖ row (16) ‖ tag (16) ‖ sealed blinding (32).
	ClaimSize = 4 + 4 + answer.RowSize + TagSize + scalarSize
	// MaxRowsPerPoint is how many rows may claim one point: a digest shared by more of one's own
	// contacts identifies nobody and is not used.
	MaxRowsPerPoint = 3

	labelClaim = "ihyid/voprf/1 claim"
)

// ErrClaims says that a list of claims is not well-formed.
var ErrClaims = errors.New("invalid claims")

// Claim says that a blinded point to which the initiator committed is of a digest that the responder has too. The
// blinding is sealed under what only the digest's output gives: so who does not have the output cannot
// make a claim, and who does not have the digest and the key learns nothing from one. The transcript and the place
// of the point go into the seal, so a claim is good in one session and for one point only.
type Claim struct {
	Set    uint32     // number of the initiator's committed set within the epoch
	Index  uint32     // index of the point in that set
	Row    answer.Row // the initiator's contact
	Tag    [TagSize]byte
	Sealed [32]byte
}

// Withdrawal takes back a claim that was made earlier in the epoch: the row has that digest no more, or the initiator has the contact no more.
// It is encoded as a claim whose tag and sealed blinding are zero.
func Withdrawal(set, index uint32, row answer.Row) Claim {
	return Claim{Set: set, Index: index, Row: row}
}

// Withdrawn reports whether c is a [Withdrawal].
func (c *Claim) Withdrawn() bool { return c.Tag == [TagSize]byte{} && c.Sealed == [32]byte{} }

// Claim makes the claim of the digest with the given index, for one of the initiator's contacts. set is the number of this committed set
// within the epoch, out the digest's output. Its error wraps [ErrClaims].
func (s *BlindedSet) Claim(set uint32, digest int, row answer.Row, out *Output, transcript *[32]byte) (Claim, error) {
	if digest < 0 || digest >= len(s.digests) {
		return Claim{}, fmt.Errorf("voprf: claim of digest %d of %d: %w", digest, len(s.digests), ErrClaims)
	}
	c := Claim{Set: set, Index: s.at[digest], Row: row, Tag: out.Tag()}
	r := scalarBytes(&s.blindings[digest])
	pad := c.pad(out, transcript)
	subtle.XORBytes(c.Sealed[:], r[:], pad[:])
	return c, nil
}

// pad is what seals the blinding of a claim.
func (c *Claim) pad(out *Output, transcript *[32]byte) (pad [sha256.Size]byte) {
	m := hmac.New(sha256.New, out.sealing())
	m.Write([]byte(labelClaim))
	m.Write(transcript[:])
	var place [8]byte
	binary.BigEndian.PutUint32(place[:], c.Set)
	binary.BigEndian.PutUint32(place[4:], c.Index)
	m.Write(place[:])
	m.Sum(pad[:0])
	return pad
}

// sameOpening reports whether two claims differ in the row at most.
func (c *Claim) sameOpening(d *Claim) bool {
	return c.Set == d.Set && c.Index == d.Index && c.Tag == d.Tag && c.Sealed == d.Sealed
}

// Opening is a claim with what the responder holds against it.
type Opening struct {
	Claim  Claim
	Point  [PointSize]byte   // the point committed to at the claim's set and index
	Digest *[DigestSize]byte // the responder's own digest that has the claimed tag
	Output *Output           // its output
}

// claimGroup is how many claims are checked at once.
const claimGroup = 1 << 11

// CheckClaims checks that each committed point is a blinding of the responder's digest: that with r unsealed, Point = H(Digest) +
// r·G. It returns the indexes of the claims for which that is not so, in ascending order; none is the normal case. The claims must come from
// [DecodeClaims], in that order, and each must name a point of a set that was committed to and evaluated.
//
// The points are checked in groups, by one random linear combination with coefficients of 128 bits: a false claim
// passes with a probability of 2^-128. A group that fails is checked one by one. The
// coefficients are drawn here and forgotten, so that the time of the multi-scalar multiplication, which depends on them, tells nothing.
func CheckClaims(ctx context.Context, transcript *[32]byte, openings []Opening) (untrue []int, err error) {
	bad := make([]bool, len(openings))
	err = spread(ctx, len(openings), claimGroup, func() func(lo, hi int) error {
		g := &claimChecker{hasher: verifiable.hasher(), transcript: transcript}
		return func(lo, hi int) error {
			g.check(openings[lo:hi], bad[lo:hi])
			return nil
		}
	})
	if err != nil {
		return nil, err
	}
	for i := range bad {
		if bad[i] {
			untrue = append(untrue, i)
		}
	}
	return untrue, nil
}

// claimChecker checks groups of claims. It keeps its scratch.
type claimChecker struct {
	*hasher
	transcript *[32]byte

	blindings    [claimGroup]scalar.Scalar        // r
	differences  [claimGroup]curve.RistrettoPoint // Point − H(Digest), which is to be r·G
	coefficients [claimGroup]scalar.Scalar
	random       [claimGroup * scalarSize / 2]byte
	leader       [claimGroup]int // the first claim with the same opening
	members      []int           // leaders whose blinding was unsealed
}

func (g *claimChecker) check(openings []Opening, bad []bool) {
	g.members = g.members[:0]
	for i := range openings {
		o := &openings[i]
		if i > 0 && o.same(&openings[i-1]) { // another row of the same point
			g.leader[i] = g.leader[i-1]
			continue
		}
		g.leader[i] = i
		if g.open(i, o) {
			g.members = append(g.members, i)
		} else {
			bad[i] = true
		}
	}
	if !g.together() {
		var p curve.RistrettoPoint
		for _, i := range g.members {
			p.MulBasepoint(curve.RISTRETTO_BASEPOINT_TABLE, &g.blindings[i])
			bad[i] = p.Equal(&g.differences[i]) != 1
		}
	}
	for i := range openings {
		bad[i] = bad[g.leader[i]]
	}
}

func (o *Opening) same(p *Opening) bool {
	return o.Claim.sameOpening(&p.Claim) && o.Point == p.Point && o.Digest == p.Digest && o.Output == p.Output
}

// open unseals the blinding of claim i and subtracts the digest from its point.
func (g *claimChecker) open(i int, o *Opening) bool {
	tag := o.Output.Tag()
	if subtle.ConstantTimeCompare(tag[:], o.Claim.Tag[:]) != 1 {
		return false
	}
	pad := o.Claim.pad(o.Output, g.transcript)
	var r [scalarSize]byte
	subtle.XORBytes(r[:], pad[:], o.Claim.Sealed[:])
	if _, err := g.blindings[i].SetCanonicalBytes(r[:]); err != nil {
		return false
	}
	d := &g.differences[i]
	if decode(d, o.Point[:]) != nil {
		return false
	}
	var x curve.RistrettoPoint
	d.Sub(d, g.hashToGroup(&x, o.Digest[:]))
	return true
}

// together checks all members by one linear combination: Σ ρ·(Point − H(Digest)) = (Σ ρ·r)·G.
func (g *claimChecker) together() bool {
	if len(g.members) == 0 {
		return true
	}
	rand.Read(g.random[:len(g.members)*scalarSize/2])
	scalars := make([]*scalar.Scalar, 0, len(g.members))
	points := make([]*curve.RistrettoPoint, 0, len(g.members))
	sum, product := scalar.New(), scalar.New()
	var b [scalarSize]byte
	for k, i := range g.members {
		copy(b[:scalarSize/2], g.random[k*scalarSize/2:])
		c := &g.coefficients[k]
		if _, err := c.SetCanonicalBytes(b[:]); err != nil {
			panic("voprf: 128 bits are below the order of the group: " + err.Error())
		}
		sum.Add(sum, product.Mul(c, &g.blindings[i]))
		scalars, points = append(scalars, c), append(points, &g.differences[i])
	}
	var left, right curve.RistrettoPoint
	left.MultiscalarMulVartime(scalars, points)
	right.MulBasepoint(curve.RISTRETTO_BASEPOINT_TABLE, sum)
	return left.Equal(&right) == 1
}

func order(a, b Claim) int {
	return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(a.Index, b.Index), bytes.Compare(a.Row[:], b.Row[:]))
}

// checkLast checks the last claim of a list against those before it.
func checkLast(list []Claim) error {
	n := len(list)
	last := &list[n-1]
	if n > 1 && order(list[n-2], *last) >= 0 {
		return fmt.Errorf("not above the one before it: %w", ErrClaims)
	}
	rows := map[bool]int{last.Withdrawn(): 1}
	for i := n - 2; i >= 0 && list[i].Set == last.Set && list[i].Index == last.Index; i-- {
		before := &list[i]
		if !before.Withdrawn() && !last.Withdrawn() && !before.sameOpening(last) {
			return fmt.Errorf("opens its point in another way than one before it: %w", ErrClaims)
		}
		rows[before.Withdrawn()]++
	}
	if rows[true] > MaxRowsPerPoint || rows[false] > MaxRowsPerPoint {
		return fmt.Errorf("more than %d rows claim its point, or take a claim of it back: %w", MaxRowsPerPoint, ErrClaims)
	}
	return nil
}

// EncodeClaims returns the encoded list in ascending order, a committed set of package merkle; it sorts
// the given slice. It refuses, with [ErrClaims], what [DecodeClaims] would refuse.
func EncodeClaims(claims []Claim) ([]byte, error) {
	slices.SortFunc(claims, order)
	out := make([]byte, 0, len(claims)*ClaimSize)
	for i := range claims {
		c := &claims[i]
		if err := checkLast(claims[:i+1]); err != nil {
			return nil, fmt.Errorf("voprf: claim %d: %w", i, err)
		}
		out = binary.BigEndian.AppendUint32(out, c.Set)
		out = binary.BigEndian.AppendUint32(out, c.Index)
		out = append(out, c.Row[:]...)
		out = append(out, c.Tag[:]...)
		out = append(out, c.Sealed[:]...)
	}
	return out, nil
}

// DecodeClaims appends the claims encoded in data to dst and returns the extended slice. sizes are the numbers
// of points of the initiator's committed sets within the epoch, by their number: a claim must name a point of one of them. A list
// that comes in chunks is read by one call a chunk, in order; dst must then hold the last 2 × [MaxRowsPerPoint] claims of the
// chunks before, or all of them. On error, which wraps [ErrClaims], it returns dst unchanged.
func DecodeClaims(dst []Claim, data []byte, sizes []uint32) ([]Claim, error) {
	if len(data)%ClaimSize != 0 {
		return dst, fmt.Errorf("voprf: %d bytes are not a whole number of claims: %w", len(data), ErrClaims)
	}
	out := slices.Grow(dst, len(data)/ClaimSize)
	for i := 0; i < len(data); i += ClaimSize {
		b := data[i : i+ClaimSize]
		c := Claim{
			Set:    binary.BigEndian.Uint32(b),
			Index:  binary.BigEndian.Uint32(b[4:]),
			Row:    answer.Row(b[8:24]),
			Tag:    [TagSize]byte(b[24:40]),
			Sealed: [32]byte(b[40:]),
		}
		if uint64(c.Set) >= uint64(len(sizes)) || c.Index >= sizes[c.Set] {
			return dst, fmt.Errorf("voprf: claim %d: of point %d of set %d, which is not there: %w", i/ClaimSize, c.Index, c.Set, ErrClaims)
		}
		out = append(out, c)
		if err := checkLast(out); err != nil {
			return dst, fmt.Errorf("voprf: claim %d: %w", i/ClaimSize, err)
		}
	}
	return out, nil
}

// NewClaim is [BlindedSet.Claim] for a set that is not at hand any more: seed is that with which the digest was blinded, index where its point stood
// ([BlindedSet.At]).
func NewClaim(seed [32]byte, digest *[DigestSize]byte, set, index uint32, row answer.Row, out *Output, transcript *[32]byte) Claim {
	mac := hmac.New(sha256.New, seed[:])
	mac.Write(digest[:])
	blinding := mac.Sum(nil)
	var r scalar.Scalar
	h := verifiable.hasher()
	h.hashToScalar(&r, func() { h.h.Write(blinding) })
	c := Claim{Set: set, Index: index, Row: row, Tag: out.Tag()}
	b, pad := scalarBytes(&r), c.pad(out, transcript)
	subtle.XORBytes(c.Sealed[:], b[:], pad[:])
	return c
}
