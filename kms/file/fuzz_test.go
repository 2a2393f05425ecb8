package file

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"ihyid/kms"
	"ihyid/kms/internal/envelope"
)

// FuzzBody: what decodes encodes to the same bytes; what does not is ErrCorrupt.
func FuzzBody(f *testing.F) {
	good := sampleBody().encode()
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := decodeBody(in)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if out := b.encode(); !bytes.Equal(in, out) {
			t.Fatalf("%x decodes, and encodes to %x", in, out)
		}
		for i := range b.signing {
			if _, err := b.signing[i].private(); err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("got %v", err)
			}
		}
	})
}

// FuzzFile: the outer form, with a checksum that fits so that the fuzzer gets past it.
func FuzzFile(f *testing.F) {
	k, err := deriveKeys(make([]byte, KeySize), make([]byte, 16))
	if err != nil {
		f.Fatal(err)
	}
	good, err := k.sealFile(new(header), sampleBody().encode())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:len(good)-sumSize])
	f.Add(good[:headerSize])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, in []byte) {
		sum := sha256.Sum256(in)
		h, sealed, err := parseFile(append(bytes.Clone(in), sum[:]...))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if out := h.append(nil); !bytes.Equal(out, in[:headerSize]) {
			t.Fatalf("header %x parses, and encodes to %x", in[:headerSize], out)
		}
		if len(sealed) != len(in)-headerSize || binary.BigEndian.Uint32(in[104:]) != uint32(len(sealed)) {
			t.Fatalf("sealed part of %d bytes in %d", len(sealed), len(in))
		}
		if h.passphrase && h.cost.check() != nil {
			t.Fatalf("cost out of bounds: %+v", h.cost)
		}
	})
}

func sampleBody() *body {
	return &body{
		wrapping: []wrappingKey{{life: life{id: envelope.ID{1}, retired: true, created: 5, retires: 9}}, {life: life{id: envelope.ID{2}, created: 9}}},
		signing: []signingKey{
			{life: life{id: envelope.ID{3}, created: 6}, curve: kms.P256, purpose: kms.AssertionMethod, scalar: bytes.Repeat([]byte{1}, 32)},
			{life: life{id: envelope.ID{4}, created: 7, retired: true, retires: 8}, curve: kms.P384, purpose: kms.Authentication, scalar: bytes.Repeat([]byte{2}, 48)},
		},
	}
}

// TestBodyRoundTrip: any body that the store could hold survives.
func TestBodyRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		next := byte(0)
		lives := func(retired bool) life {
			next++
			l := life{id: envelope.ID{next}, created: rapid.Int64().Draw(t, "created"), retired: retired}
			if retired {
				l.retires = rapid.Int64().Draw(t, "retired")
			}
			return l
		}
		b := new(body)
		for n, i := rapid.IntRange(1, 5).Draw(t, "wrapping"), 1; i <= n; i++ {
			b.wrapping = append(b.wrapping, wrappingKey{life: lives(i < n), key: [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))})
		}
		for range rapid.IntRange(0, 5).Draw(t, "signing") {
			b.signing = append(b.signing, signingKey{
				life:    lives(rapid.Bool().Draw(t, "retired")),
				curve:   rapid.SampledFrom([]kms.Curve{kms.P256, kms.P384}).Draw(t, "curve"),
				purpose: rapid.SampledFrom([]kms.Purpose{kms.AssertionMethod, kms.Authentication}).Draw(t, "purpose"),
				scalar:  rapid.SliceOfN(rapid.Byte(), 32, 48).Draw(t, "scalar"),
			})
		}
		enc := b.encode()
		got, err := decodeBody(enc)
		if err != nil {
			t.Fatalf("decodeBody: %v", err)
		}
		if !bytes.Equal(got.encode(), enc) {
			t.Fatal("not the same after a round trip")
		}
		for n := range len(enc) {
			if _, err := decodeBody(enc[:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("cut at %d of %d: %v", n, len(enc), err)
			}
		}
	})
}
