package dataintegrity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"io"
	"maps"
	"math/big"
	"testing"
	"time"

	"ihyid/credentials/internal/testkeys"
)

func TestParseProof(t *testing.T) {
	good := map[string]any{"type": Type, "cryptosuite": "x", "proofPurpose": "assertionMethod", "verificationMethod": "did:ex:a#k", "proofValue": "z2",
		"created": "2026-01-01T00:00:00Z", "expires": "2026-01-02T00:00:00Z", "domain": []any{"a", "b"}, "challenge": "c", "previousProof": "urn:p", "id": "urn:q"}
	p, err := ParseProof(good)
	if err != nil {
		t.Fatal(err)
	}
	if p.ID != "urn:q" || len(p.Domain) != 2 || len(p.Previous) != 1 || !p.HasChallenge || p.Expires.Sub(p.Created) != 24*time.Hour {
		t.Errorf("%+v", p)
	}
	for field, bad := range map[string][]any{
		"type":               {nil, "Ed25519Signature2020", []any{Type}, 1.0},
		"cryptosuite":        {nil, "", 1.0},
		"proofPurpose":       {nil, "", []any{"assertionMethod"}},
		"verificationMethod": {nil, "", map[string]any{"id": "did:ex:a#k"}},
		"proofValue":         {nil, "", 1.0},
		"created":            {"", "yesterday", 1.0, nil},
		"expires":            {"2026-01-01"},
		"domain":             {"", []any{}, []any{"a", "a"}, []any{1.0}, []any{""}, 1.0},
		"challenge":          {"", 1.0},
		"previousProof":      {[]any{}, 1.0},
		"id":                 {"", 1.0},
	} {
		for _, v := range bad {
			m := maps.Clone(good)
			m[field] = v
			var coded *Error
			if _, err := ParseProof(m); !errors.As(err, &coded) || coded.Code != ProofVerification {
				t.Errorf("%s %v: %v", field, v, err)
			}
		}
	}
	if _, err := ParseProof("x"); err == nil {
		t.Error("a string is a proof")
	}
}

func TestSplitRefuses(t *testing.T) {
	proof := func(id string) map[string]any {
		return map[string]any{"type": Type, "cryptosuite": "x", "proofPurpose": "p", "verificationMethod": "v", "proofValue": "z2", "id": id}
	}
	for name, v := range map[string]any{
		"empty list":  []any{},
		"ids twice":   []any{proof("urn:a"), proof("urn:a")},
		"too many":    []any{proof("urn:a"), proof("urn:b"), proof("urn:c")},
		"not a proof": []any{1.0},
	} {
		if _, _, err := Split(map[string]any{"proof": v}, 2); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, proofs, err := Split(map[string]any{"a": "b"}, 0); err != nil || len(proofs) != 0 {
		t.Error(err, proofs)
	}
}

// oddSigner answers what a signer should not.
type oddSigner struct {
	crypto.Signer
	answer []byte
}

func (o oddSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return o.answer, nil }

func TestSignatures(t *testing.T) {
	suite := NewECDSAJCS2019()
	document := map[string]any{"a": "b"}
	config := map[string]any{"type": Type, "cryptosuite": ECDSAJCS2019, "proofPurpose": "assertionMethod", "verificationMethod": "did:ex:a#k"}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		size := (curve.Params().BitSize + 7) / 8
		for range 300 { // signatures whose r or s begins with zeros
			proof, err := Create(t.Context(), suite, document, config, k, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			p, err := ParseProof(proof)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := decodeBase58(p.Value); err != nil || len(b) != 2*size {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			if _, err := Verify(t.Context(), suite, document, p, k.Public()); err != nil {
				t.Fatal(err)
			}
		}
		der := func(v any) []byte {
			b, err := asn1.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		type pair struct{ R, S *big.Int }
		one := big.NewInt(1)
		huge := new(big.Int).Lsh(one, uint(size*8))
		good := der(pair{one, one})
		for name, answer := range map[string][]byte{
			"nothing": nil, "r‖s": make([]byte, 2*size), "zero": der(pair{big.NewInt(0), one}), "negative": der(pair{big.NewInt(-1), one}),
			"too large": der(pair{huge, one}), "something after": append(bytes.Clone(good), 0), "three": der(struct{ A, B, C *big.Int }{one, one, one}),
			"cut": good[:len(good)-1], "a text": der("x"),
		} {
			if _, err := Create(t.Context(), suite, document, config, oddSigner{k, answer}, rand.Reader); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]crypto.Signer{"P-521": p521, "Ed25519": testkeys.New("Ed25519").Signer} {
		if _, err := Create(t.Context(), suite, document, config, k, rand.Reader); err == nil {
			t.Errorf("signs with %s", name)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	k, other := testkeys.New("P-256"), testkeys.New("P-384")
	suite := NewECDSAJCS2019()
	document := map[string]any{"@context": []any{"urn:c"}, "a": "b"}
	config := map[string]any{"type": Type, "cryptosuite": ECDSAJCS2019, "proofPurpose": "assertionMethod", "verificationMethod": k.Method}
	proof, err := Create(t.Context(), suite, document, config, k.Signer, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	value, _ := proof["proofValue"].(string)
	check := func(name string, change func(map[string]any), document map[string]any, suite Suite, pub crypto.PublicKey) {
		m := maps.Clone(proof)
		change(m)
		p, err := ParseProof(m)
		if err != nil {
			t.Fatal(name, err)
		}
		var coded *Error
		if _, err := Verify(t.Context(), suite, document, p, pub); !errors.As(err, &coded) || coded.Code != ProofVerification {
			t.Errorf("%s: %v", name, err)
		}
	}
	same := func(map[string]any) {}
	check("another key", same, document, suite, other.Signer.Public())
	check("no key", same, document, suite, nil)
	check("another suite", same, document, NewEdDSAJCS2022(), k.Signer.Public())
	check("short value", func(m map[string]any) { m["proofValue"] = value[:len(value)-2] }, document, suite, k.Signer.Public())
	check("long value", func(m map[string]any) { m["proofValue"] = value + "11" }, document, suite, k.Signer.Public())
	check("base64url", func(m map[string]any) { m["proofValue"] = "uAAAA" }, document, suite, k.Signer.Public())
	check("not base58", func(m map[string]any) { m["proofValue"] = "z0OIl" }, document, suite, k.Signer.Public())
	check("other contexts", same, map[string]any{"@context": []any{"urn:d"}, "a": "b"}, suite, k.Signer.Public())
	check("fewer contexts", same, map[string]any{"a": "b"}, suite, k.Signer.Public())
	check("context put first", same, map[string]any{"@context": []any{"urn:d", "urn:c"}, "a": "b"}, suite, k.Signer.Public())
	p, err := ParseProof(proof)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := Verify(t.Context(), suite, map[string]any{"@context": []any{"urn:c", "urn:d"}, "a": "b"}, p, k.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := signed["@context"].([]any); len(list) != 1 {
		t.Error("an appended context counts as signed")
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-01-31T12:00:00Z":            "2026-01-31T12:00:00Z",
		"2026-01-31T12:00:00.5+05:30":     "2026-01-31T06:30:00.5Z",
		"2026-12-31T24:00:00Z":            "2027-01-01T00:00:00Z",
		"2024-02-29T00:00:00-00:00":       "2024-02-29T00:00:00Z",
		"2026-01-31T12:00:00.1234567891Z": "2026-01-31T12:00:00.123456789Z",
		"0001-01-01T00:00:00+14:00":       "0000-12-31T10:00:00Z",
	} {
		got, err := ParseTime(in)
		if err != nil || got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-01-31T12:00:00Z", "2026-01-31T24:00:00.000-14:00", "2026-02-30T00:00:00Z", "2026-01-31T12:00:00.Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mine, err := ParseTime(s)
		theirs, err2 := time.Parse(time.RFC3339Nano, s)
		if err2 == nil && err == nil && !mine.Equal(theirs) && len(s) < 30 {
			t.Fatalf("%s: %v, %v", s, mine, theirs)
		}
		if err == nil {
			if _, err := ParseTime(FormatTime(mine)); err != nil && mine.Year() >= 0 && mine.Year() < 10000 {
				t.Fatalf("%s: %v", s, err)
			}
		}
	})
}

func FuzzFixedWidth(f *testing.F) {
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Fuzz(func(t *testing.T, der []byte) {
		out, err := FixedWidth(der, 32)
		if err == nil && len(out) != 64 {
			t.Fatal(len(out))
		}
	})
}
