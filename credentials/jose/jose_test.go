package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
)

// hsm hides its key, as a security module does: nothing but crypto.Signer is there.
type hsm struct{ key *ecdsa.PrivateKey }

func (h hsm) Public() crypto.PublicKey { return h.key.Public() }
func (h hsm) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return h.key.Sign(r, digest, o)
}

func newKey(t testing.TB, c elliptic.Curve) hsm {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return hsm{k}
}

var testHeader = Header{Type: TypeCredential, ContentType: "vc", KeyID: "did:web:a.example#k1", Issuer: "did:web:a.example"}

func TestRoundTrip(t *testing.T) {
	for alg, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384()} {
		k, other := newKey(t, curve), newKey(t, curve)
		for range 20 { // signatures with short r or s
			token, err := Sign([]byte(`{"a":1}`), testHeader, k)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Parse(token, 0)
			if err != nil {
				t.Fatal(err)
			}
			want := testHeader
			want.Algorithm = alg
			if p.Header != want || string(p.Payload) != `{"a":1}` {
				t.Fatalf("%+v %s", p.Header, p.Payload)
			}
			if err := p.Verify(k.Public()); err != nil {
				t.Fatal(err)
			}
			if err := p.Verify(other.Public()); !errors.Is(err, ErrSignature) {
				t.Fatal(err)
			}
		}
	}
}

func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestEdDSA(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{"EdDSA", "Ed25519"} {
		input := segment(`{"alg":"`+alg+`"}`) + "." + segment("x")
		token := input + "." + segment(string(ed25519.Sign(priv, []byte(input))))
		p, err := Parse([]byte(token), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Verify(pub); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
	if _, err := Sign(nil, testHeader, priv); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("signs with Ed25519: %v", err)
	}
}

func TestAlgorithmIsTheKeys(t *testing.T) {
	p256, p384 := newKey(t, elliptic.P256()), newKey(t, elliptic.P384())
	token, err := Sign([]byte("x"), testHeader, p256)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(token), ".")
	spki, err := x509.MarshalPKIXPublicKey(p256.Public())
	if err != nil {
		t.Fatal(err)
	}
	mac := func(header string) string { // an HMAC with the public key as its secret
		m := hmac.New(sha256.New, spki)
		m.Write([]byte(header + "." + parts[1]))
		return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	for _, alg := range []string{"none", "None", "NONE", "HS256", "ES384", "ES512", "RS256", "EdDSA", "es256", "ES256K"} {
		h := segment(`{"alg":"` + alg + `"}`)
		for _, sig := range []string{parts[2], mac(h), segment("\x00")} {
			p, err := Parse([]byte(h+"."+parts[1]+"."+sig), 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Verify(p256.Public()); !errors.Is(err, ErrAlgorithm) {
				t.Errorf("%s: %v", alg, err)
			}
		}
	}
	p, err := Parse(token, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(p384.Public()); !errors.Is(err, ErrAlgorithm) {
		t.Error(err)
	}
	if err := p.Verify([]byte("secret")); !errors.Is(err, ErrAlgorithm) {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	good := segment(`{"alg":"ES256"}`) + "." + segment("x") + "." + segment("s")
	if _, err := Parse([]byte(good), 0); err != nil {
		t.Fatal(err)
	}
	h := func(header string) string { return segment(header) + "." + segment("x") + "." + segment("s") }
	for name, token := range map[string]string{
		"empty":              "",
		"two parts":          segment(`{"alg":"ES256"}`) + "." + segment("x"),
		"four parts":         good + "." + segment("s"),
		"no signature":       segment(`{"alg":"ES256"}`) + "." + segment("x") + ".",
		"padding":            good + "=",
		"line end":           good + "\n",
		"line end inside":    strings.Replace(good, ".", "\n.", 1),
		"space before":       " " + good,
		"not canonical":      segment(`{"alg":"ES256"}`) + "." + "eB" + "." + segment("s"), // "eA" with a stray bit
		"standard alphabet":  segment(`{"alg":"ES256"}`) + "." + "+/+/" + "." + segment("s"),
		"header not JSON":    h(`{`),
		"header a list":      h(`[]`),
		"duplicate alg":      h(`{"alg":"ES256","alg":"none"}`),
		"no alg":             h(`{}`),
		"alg a number":       h(`{"alg":1}`),
		"kid a number":       h(`{"alg":"ES256","kid":1}`),
		"crit":               h(`{"alg":"ES256","crit":["x"]}`),
		"b64":                h(`{"alg":"ES256","b64":false}`),
		"JSON serialization": `{"payload":"eA","protected":"e30","signature":"eA"}`,
	} {
		if _, err := Parse([]byte(token), 0); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse([]byte(good), len(good)-1); !errors.Is(err, ErrToken) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	k := newKey(f, elliptic.P256())
	token, err := Sign([]byte(`{"a":1}`), testHeader, k)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add([]byte("e30.e30.e30"))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := Parse(in, 0)
		if err != nil {
			return
		}
		if p.Verify(k.Public()) == nil && string(p.Payload) != `{"a":1}` {
			t.Fatalf("another payload verifies: %q", p.Payload)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	k := newKey(b, elliptic.P256())
	token, err := Sign([]byte(strings.Repeat("x", 1000)), testHeader, k)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p, err := Parse(token, 0)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Verify(k.Public()); err != nil {
			b.Fatal(err)
		}
	}
}
