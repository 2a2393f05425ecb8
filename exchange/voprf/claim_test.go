package voprf

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"

	"ihyid/exchange/answer"
)

// claimed is a session just before the claims are checked.
type claimed struct {
	digests    [][DigestSize]byte
	set        *BlindedSet
	outputs    []Output
	transcript [32]byte
	claims     []Claim
	sizes      []uint32
}

// claimAll makes true claims of all of n digests; of every tenth by three rows.
func claimAll(t testing.TB, n int) *claimed {
	t.Helper()
	c := &claimed{digests: digestsOf(0, n), transcript: sha256.Sum256([]byte("transcript")), sizes: []uint32{9, 1 << 20}}
	c.set = mustBlind(t, c.digests, 1)
	c.outputs = mustOutputs(t, mustKey(t), c.digests)
	for i := range c.digests {
		for r := range 1 + i%10/9*2 {
			row := answer.Row{byte(i), byte(i >> 8), byte(r)}
			claim, err := c.set.Claim(1, i, row, &c.outputs[i], &c.transcript)
			if err != nil {
				t.Fatal(err)
			}
			c.claims = append(c.claims, claim)
		}
	}
	data, err := EncodeClaims(c.claims)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeClaims(nil, data, c.sizes)
	if err != nil || !slices.Equal(back, c.claims) {
		t.Fatalf("the claims do not survive: %v", err)
	}
	return c
}

// openings looks up what the responder holds against each claim.
func (c *claimed) openings(t testing.TB) []Opening {
	t.Helper()
	tags, err := NewTagSet(c.outputs, [32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	var list []Opening
	for _, claim := range c.claims {
		i, ok := tags.Lookup(claim.Tag)
		if !ok {
			t.Fatal("a claim has no tag of the responder's")
		}
		list = append(list, Opening{
			Claim:  claim,
			Point:  [PointSize]byte(c.set.Points[int(claim.Index)*PointSize:]),
			Digest: &c.digests[i],
			Output: &c.outputs[i],
		})
	}
	return list
}

func TestClaims(t *testing.T) {
	c := claimAll(t, 2500)
	untrue, err := CheckClaims(context.Background(), &c.transcript, c.openings(t))
	if err != nil || len(untrue) != 0 {
		t.Errorf("%d of %d claims are found untrue, %v", len(untrue), len(c.claims), err)
	}
	if untrue, err := CheckClaims(context.Background(), &c.transcript, nil); err != nil || untrue != nil {
		t.Errorf("no claims: %v, %v", untrue, err)
	}
}

// A claim is made as the protocol says, computed by hand.
func TestClaimByHand(t *testing.T) {
	c := claimAll(t, 20)
	for _, claim := range c.claims {
		i, ok := c.set.Digest(int(claim.Index))
		if !ok {
			t.Fatal("a claim of padding")
		}
		m := hmac.New(sha256.New, c.outputs[i][16:48])
		m.Write([]byte("ihyid/voprf/1 claim"))
		m.Write(c.transcript[:])
		m.Write(binary.BigEndian.AppendUint32(nil, claim.Set))
		m.Write(binary.BigEndian.AppendUint32(nil, claim.Index))
		r := m.Sum(nil)
		for k := range r {
			r[k] ^= claim.Sealed[k]
		}
		seeded := hmac.New(sha256.New, append([]byte{1}, make([]byte, 31)...))
		seeded.Write(c.digests[i][:])
		h := verifiable.hasher()
		want := scalarBytes(h.hashToScalar(scalar.New(), func() { h.h.Write(seeded.Sum(nil)) }))
		if !bytes.Equal(r, want[:]) || claim.Tag != c.outputs[i].Tag() {
			t.Fatal("a claim is not what the protocol says")
		}
	}
}

func TestClaimsThatAreNotTrue(t *testing.T) {
	c := claimAll(t, 2500)
	good := c.openings(t)
	other := claimAll(t, 2500) // another key, another session
	other.transcript[0] ^= 1
	cheats := map[string]func(o *Opening){
		"one bit of the seal":           func(o *Opening) { o.Claim.Sealed[3] ^= 1 },
		"not a scalar":                  func(o *Opening) { o.Claim.Sealed[31] ^= 0xe0 },
		"another point":                 func(o *Opening) { o.Point = good[0].Point },
		"no point":                      func(o *Opening) { o.Point = [PointSize]byte{1} },
		"the identity":                  func(o *Opening) { o.Point = [PointSize]byte{} },
		"another place":                 func(o *Opening) { o.Claim.Index ^= 1 },
		"another set":                   func(o *Opening) { o.Claim.Set ^= 1 },
		"another tag":                   func(o *Opening) { o.Claim.Tag[15] ^= 1 },
		"another digest of the other's": func(o *Opening) { o.Digest = good[0].Digest },
		"another output":                func(o *Opening) { o.Output = good[0].Output },
		"replayed from another session": func(o *Opening) {
			i := slices.IndexFunc(other.digests, func(d [DigestSize]byte) bool { return d == *o.Digest })
			claim, err := other.set.Claim(1, i, o.Claim.Row, &c.outputs[i], &other.transcript)
			if err != nil {
				t.Fatal(err)
			}
			o.Claim = claim
		},
		// Knows the output, but committed to something else: the point minus the digest is not r·G for a known r.
		"a point of an unknown blinding": func(o *Opening) {
			var p curve.RistrettoPoint
			p.MulBasepoint(curve.RISTRETTO_BASEPOINT_TABLE, scalar.NewFromUint64(7))
			encode(o.Point[:], &p)
		},
	}
	for name, cheat := range cheats {
		for _, at := range [][]int{{0}, {len(good) - 1}, {1000, 1001, claimGroup}} {
			list := slices.Clone(good)
			var want []int
			for _, i := range at {
				if list[i].Digest == good[0].Digest && i > 0 {
					t.Fatal("the test is not testing")
				}
				cheat(&list[i])
				if list[i] != good[i] {
					want = append(want, i)
				}
			}
			untrue, err := CheckClaims(context.Background(), &c.transcript, list)
			if err != nil || !slices.Equal(untrue, want) {
				t.Errorf("%s at %v: found %v, want %v, %v", name, at, untrue, want, err)
			}
		}
	}
	// All of them at once.
	wrong := c.transcript
	wrong[31] ^= 1
	if untrue, err := CheckClaims(context.Background(), &wrong, good); err != nil || len(untrue) != len(good) {
		t.Errorf("another transcript: %d of %d found untrue, %v", len(untrue), len(good), err)
	}
	// Two errors that cancel out in a plain sum, but not in a random combination.
	list := slices.Clone(good)
	list[1].Point, list[2].Point = shifted(t, list[1].Point, 1), shifted(t, list[2].Point, -1)
	if untrue, err := CheckClaims(context.Background(), &c.transcript, list); err != nil || !slices.Equal(untrue, []int{1, 2}) {
		t.Errorf("errors that cancel out: found %v, %v", untrue, err)
	}
}

// shifted returns the point with n·G added.
func shifted(t *testing.T, point [PointSize]byte, n int) (out [PointSize]byte) {
	var p, g curve.RistrettoPoint
	if err := decode(&p, point[:]); err != nil {
		t.Fatal(err)
	}
	g.MulBasepoint(curve.RISTRETTO_BASEPOINT_TABLE, scalar.New().One())
	if n < 0 {
		g.Neg(&g)
	}
	encode(out[:], p.Add(&p, &g))
	return out
}

// Rows of one point share a verdict, whether it is true or not.
func TestRowsOfOnePoint(t *testing.T) {
	c := claimAll(t, 40)
	list := c.openings(t)
	shared := slices.IndexFunc(list, func(o Opening) bool { return o.Claim.Row[2] > 0 }) - 1
	if shared < 0 || !list[shared+2].Claim.sameOpening(&list[shared].Claim) {
		t.Fatal("the test is not testing")
	}
	for k := range 3 {
		list[shared+k].Claim.Sealed[0] ^= 1
	}
	untrue, err := CheckClaims(context.Background(), &c.transcript, list)
	if err != nil || !slices.Equal(untrue, []int{shared, shared + 1, shared + 2}) {
		t.Errorf("found %v, want the three from %d, %v", untrue, shared, err)
	}
	list = c.openings(t)
	list[shared+1].Claim.Sealed[0] ^= 1 // the codec refuses this; the check must find just it
	if untrue, err := CheckClaims(context.Background(), &c.transcript, list); err != nil || !slices.Equal(untrue, []int{shared + 1}) {
		t.Errorf("found %v, want %d, %v", untrue, shared+1, err)
	}
}

func TestClaimCodecRefuses(t *testing.T) {
	claim := func(set, index uint32, row byte) Claim {
		return Claim{Set: set, Index: index, Row: answer.Row{15: row}, Sealed: [32]byte{9: 1}}
	}
	otherSeal := claim(1, 4, 2)
	otherSeal.Sealed[0] = 1
	otherTag := claim(1, 4, 2)
	otherTag.Tag[0] = 1
	for name, list := range map[string][]Claim{
		"twice":                                 {claim(1, 4, 1), claim(1, 4, 1)},
		"four rows":                             {claim(1, 4, 1), claim(1, 4, 2), claim(1, 4, 3), claim(1, 4, 4)},
		"another opening":                       {claim(1, 4, 1), otherSeal},
		"another tag":                           {claim(1, 4, 1), otherTag},
		"four taken back":                       {Withdrawal(1, 4, answer.Row{1}), Withdrawal(1, 4, answer.Row{2}), Withdrawal(1, 4, answer.Row{3}), Withdrawal(1, 4, answer.Row{4})},
		"another opening behind one taken back": {claim(1, 4, 1), Withdrawal(1, 4, answer.Row{1}), {Set: 1, Index: 4, Row: answer.Row{2}, Tag: [TagSize]byte{1}}},
	} {
		if _, err := EncodeClaims(list); !errors.Is(err, ErrClaims) {
			t.Errorf("%s: %v", name, err)
		}
	}
	changes := []Claim{claim(1, 4, 1), Withdrawal(1, 4, answer.Row{1}), claim(1, 4, 2), Withdrawal(1, 4, answer.Row{2}), claim(1, 4, 3), Withdrawal(1, 4, answer.Row{3})}
	if data, err := EncodeClaims(changes); err != nil {
		t.Errorf("three rows take the place of three: %v", err)
	} else if got, err := DecodeClaims(nil, data, []uint32{0, 5}); err != nil || !slices.Equal(got, changes) {
		t.Errorf("%v %v", got, err)
	}
	three := []Claim{claim(0, 8, 1), claim(0, 8, 2), claim(0, 8, 3)}
	good, err := EncodeClaims(append(slices.Clone(three), claim(1, 0, 1)))
	if err != nil {
		t.Fatal(err)
	}
	part := func(i, j int) []byte { return bytes.Clone(good[i*ClaimSize : j*ClaimSize]) }
	change := func(i, at int, b byte) []byte { d := part(i, i+1); d[at] = b; return d }
	sizes := []uint32{9, 1}
	for name, tc := range map[string]struct {
		dst  []Claim
		data []byte
	}{
		"half":                       {nil, good[:ClaimSize/2]},
		"out of order":               {nil, append(part(1, 2), part(0, 1)...)},
		"twice":                      {nil, append(part(1, 2), part(1, 2)...)},
		"no such set":                {nil, change(3, 3, 2)},
		"no such point":              {nil, change(0, 7, 9)},
		"far beyond":                 {nil, bytes.Repeat([]byte{0xff}, ClaimSize)},
		"four rows":                  {nil, append(part(0, 3), change(2, 23, 4)...)},
		"four rows over two chunks":  {three, change(2, 23, 4)},
		"another opening":            {nil, append(part(0, 1), change(1, ClaimSize-1, 1)...)},
		"another tag":                {nil, append(part(0, 1), change(1, 24, 1)...)},
		"not above the chunk before": {three, part(2, 4)},
	} {
		got, err := DecodeClaims(tc.dst, tc.data, sizes)
		if !errors.Is(err, ErrClaims) || !slices.Equal(got, tc.dst) {
			t.Errorf("%s: %d claims, %v", name, len(got), err)
		}
	}
	if got, err := DecodeClaims(three, part(3, 4), sizes); err != nil || len(got) != 4 {
		t.Errorf("a good chunk after another: %d claims, %v", len(got), err)
	}
	if _, err := DecodeClaims(nil, part(0, 1), nil); !errors.Is(err, ErrClaims) {
		t.Errorf("no sets: %v", err)
	}
	c := claimAll(t, 1)
	for _, i := range []int{-1, 1} {
		if _, err := c.set.Claim(1, i, answer.Row{}, &c.outputs[0], &c.transcript); !errors.Is(err, ErrClaims) {
			t.Errorf("a claim of digest %d: %v", i, err)
		}
	}
}

func FuzzDecodeClaims(f *testing.F) {
	c := claimAll(f, 20)
	data, err := EncodeClaims(c.claims)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, uint32(9), uint32(256))
	f.Add(data[:3], uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, data []byte, first, second uint32) {
		list, err := DecodeClaims(nil, data, []uint32{first, second})
		if err != nil {
			return
		}
		for _, c := range list {
			if c.Set > 1 || c.Index >= []uint32{first, second}[c.Set] {
				t.Fatal("a claim of a point that is not there")
			}
		}
		back, err := EncodeClaims(list)
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("accepted what it would not write: %v", err)
		}
	})
}
