package voprf

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

// hexes is a list of byte strings, in hexadecimal with commas between.
type hexes [][]byte

func (h *hexes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	for part := range strings.SplitSeq(s, ",") {
		v, err := hex.DecodeString(part)
		if err != nil {
			return err
		}
		*h = append(*h, v)
	}
	return nil
}

func (h hexes) flat() []byte { return bytes.Join(h, nil) }

type rfcSuite struct {
	Mode                                byte
	GroupDST, Seed, KeyInfo, SkSm, PkSm hexes
	Vectors                             []struct {
		Blind, BlindedElement, EvaluationElement, Input, Output hexes
		Proof                                                   struct{ Proof, R hexes }
	}
}

func rfcSuites(t *testing.T) []rfcSuite {
	t.Helper()
	b, err := os.ReadFile("testdata/rfc9497-ristretto255.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Suites []rfcSuite }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Suites) != 2 || file.Suites[0].Mode != modeOPRF || file.Suites[1].Mode != modeVOPRF {
		t.Fatalf("the file of vectors is not as expected")
	}
	return file.Suites
}

func mustScalar(t testing.TB, b []byte) *scalar.Scalar {
	t.Helper()
	s, err := scalar.NewFromCanonicalBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// deriveKey is DeriveKeyPair of RFC 9497, section 3.2.1, which the protocol does not use: its keys are random.
func deriveKey(s *suite, seed, info []byte) *scalar.Scalar {
	h := s.hasher()
	dst := "DeriveKeyPair" + strings.TrimPrefix(string(s.seed), "Seed-")
	message := binary.BigEndian.AppendUint16(bytes.Clone(seed), uint16(len(info)))
	message = append(message, info...)
	return wide(scalar.New(), h.expand(append([]byte(dst), byte(len(dst))), func() {
		h.h.Write(message)
		h.h.Write([]byte{0})
	}))
}

// The vectors blind by multiplication, as the RFC does; here that is done by hand, from the same
// parts of which additive blinding is made.
func TestRFC9497Vectors(t *testing.T) {
	for _, v := range rfcSuites(t) {
		s := newSuite(v.Mode)
		if want := v.GroupDST.flat(); !bytes.Equal(s.toGroup[:len(s.toGroup)-1], want) || int(s.toGroup[len(want)]) != len(want) {
			t.Errorf("mode %d: wrong DST of HashToGroup", v.Mode)
		}
		k := deriveKey(s, v.Seed.flat(), v.KeyInfo.flat())
		if b := scalarBytes(k); !bytes.Equal(b[:], v.SkSm.flat()) {
			t.Errorf("mode %d: derived key %x", v.Mode, b)
		}
		key, err := ParseKey(v.SkSm.flat())
		if err != nil {
			t.Fatal(err)
		}
		if v.Mode == modeVOPRF && !bytes.Equal(key.Public().Bytes(), v.PkSm.flat()) {
			t.Errorf("public key %x", key.Public().Bytes())
		}
		for n, c := range v.Vectors {
			h := s.hasher()
			var points []curve.RistrettoPoint
			for i, input := range c.Input {
				blind := mustScalar(t, c.Blind[i])
				var p, u curve.RistrettoPoint
				p.Mul(h.hashToGroup(&p, input), blind)
				var enc [PointSize]byte
				encode(enc[:], &p)
				if !bytes.Equal(enc[:], c.BlindedElement[i]) {
					t.Errorf("mode %d, vector %d: blinded element %x", v.Mode, n, enc)
				}
				points = append(points, p)

				if err := decode(&u, c.EvaluationElement[i]); err != nil {
					t.Fatal(err)
				}
				encode(enc[:], u.Mul(&u, scalar.New().Invert(blind)))
				if out := h.finalize(input, enc[:]); !bytes.Equal(out, c.Output[i]) {
					t.Errorf("mode %d, vector %d: output %x", v.Mode, n, out)
				}

				// Additive blinding has another blinded point, and the same output.
				p.MulBasepoint(curve.RISTRETTO_BASEPOINT_TABLE, blind)
				p.Add(&p, h.hashToGroup(&u, input))
				encode(enc[:], &p)
				evaluated, _, err := key.evaluate(context.Background(), s, enc[:])
				if err != nil {
					t.Fatal(err)
				}
				if err := decode(&u, evaluated); err != nil {
					t.Fatal(err)
				}
				p.MulBasepoint(key.Public().table(), blind)
				encode(enc[:], u.Sub(&u, &p))
				if out := h.finalize(input, enc[:]); !bytes.Equal(out, c.Output[i]) {
					t.Errorf("mode %d, vector %d: output by additive blinding %x", v.Mode, n, out)
				}
			}
			evaluated, proof, err := key.evaluate(context.Background(), s, c.BlindedElement.flat())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(evaluated, c.EvaluationElement.flat()) {
				t.Errorf("mode %d, vector %d: evaluated elements %x", v.Mode, n, evaluated)
			}
			if v.Mode != modeVOPRF {
				continue
			}
			if bytes.Equal(proof[:], c.Proof.Proof.flat()) {
				t.Errorf("vector %d: the proof's nonce is the vector's: it is not random", n)
			}
			st := &statement{suite: s, pk: key.Public().Bytes(), c: c.BlindedElement.flat(), d: evaluated}
			sums, err := st.combine(context.Background(), points)
			if err != nil {
				t.Fatal(err)
			}
			z := new(curve.RistrettoPoint).Mul(&sums[0], key.k)
			if got := st.proof(key.k, mustScalar(t, c.Proof.R.flat()), &sums[0], z); !bytes.Equal(got[:], c.Proof.Proof.flat()) {
				t.Errorf("vector %d: proof %x", n, got)
			}
			for name, p := range map[string][]byte{"own": proof[:], "the vector's": c.Proof.Proof.flat()} {
				if err := key.Public().Verify(context.Background(), c.BlindedElement.flat(), evaluated, p); err != nil {
					t.Errorf("vector %d: %s proof: %v", n, name, err)
				}
			}
		}
	}
}

// RFC 9496, appendix A.3: encodings that must be refused. testdata/rfc9496-invalid.txt names the source.
func TestRFC9496InvalidEncodings(t *testing.T) {
	file, err := os.ReadFile("testdata/rfc9496-invalid.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		b, err := hex.DecodeString(line)
		if err != nil || len(b) != PointSize {
			t.Fatalf("%q: %v", line, err)
		}
		var p curve.RistrettoPoint
		if err := decode(&p, b); !errors.Is(err, ErrPoint) {
			t.Errorf("%s: %v", line, err)
		}
		n++
	}
	if n < 29 {
		t.Errorf("only %d encodings", n)
	}
}

// Setting the hash to its state after Z_pad is a short cut only.
func TestHasherWithoutState(t *testing.T) {
	a, b := verifiable.hasher(), verifiable.hasher()
	if a.start == nil {
		t.Error("this Go release's SHA-512 cannot be set to a state: slower, but sound")
	}
	b.start = nil
	for n := range 300 {
		message := bytes.Repeat([]byte{byte(n)}, n)
		add := func(h *hasher) func() { return func() { h.h.Write(message) } }
		if a, b := a.hashToScalar(scalar.New(), add(a)), b.hashToScalar(scalar.New(), add(b)); a.Equal(b) != 1 {
			t.Fatalf("%d bytes: the two ways differ", n)
		}
	}
}
