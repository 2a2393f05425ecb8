package did_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/multiformats/go-multibase"
	"pgregory.net/rapid"

	"ihyid/did"
)

type keyVectors struct {
	Supported []struct {
		DID             string          `json:"did"`
		PublicKeyJwk    map[string]any  `json:"publicKeyJwk"`
		PublicKeyBase58 string          `json:"publicKeyBase58"`
		KeyAgreement    string          `json:"keyAgreement"`
		Document        json.RawMessage `json:"document"`
	} `json:"supported"`
	Unsupported []string `json:"unsupported"`
}

func readKeyVectors(t testing.TB) keyVectors {
	t.Helper()
	b, err := os.ReadFile("testdata/did-key.json")
	if err != nil {
		t.Fatal(err)
	}
	var v keyVectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Supported) < 10 {
		t.Fatal("vectors are missing")
	}
	return v
}

// The published vectors of the did:key specification.
func TestKeyVectors(t *testing.T) {
	v := readKeyVectors(t)
	for _, c := range v.Supported {
		t.Run(c.DID, func(t *testing.T) {
			doc, err := did.KeyDocument(c.DID)
			if err != nil {
				t.Fatal(err)
			}
			multikey := strings.TrimPrefix(c.DID, "did:key:")
			m, ok := doc.Method("#" + multikey)
			if !ok || doc.ID() != c.DID || m.ID != c.DID+"#"+multikey || m.Controller != c.DID || m.Type != "Multikey" {
				t.Fatalf("method: %+v", m)
			}
			pub, err := m.PublicKey()
			if err != nil {
				t.Fatal(err)
			}
			if back, err := did.KeyDID(pub); err != nil || back != c.DID {
				t.Errorf("KeyDID = %q, %v", back, err)
			}
			if c.PublicKeyJwk != nil {
				k := pub.(*ecdsa.PublicKey)
				raw, err := k.Bytes()
				if err != nil {
					t.Fatal(err)
				}
				n := len(raw) / 2
				b64 := base64.RawURLEncoding
				if k.Curve.Params().Name != c.PublicKeyJwk["crv"] ||
					b64.EncodeToString(raw[1:1+n]) != c.PublicKeyJwk["x"] || b64.EncodeToString(raw[1+n:]) != c.PublicKeyJwk["y"] {
					t.Error("another key than the vector's JWK")
				}
			}
			if c.PublicKeyBase58 != "" {
				_, want, err := multibase.Decode("z" + c.PublicKeyBase58)
				if err != nil || !pub.(ed25519.PublicKey).Equal(ed25519.PublicKey(want)) {
					t.Errorf("another key than the vector's base58: %v", err)
				}
			}
			for _, rel := range []string{did.Authentication, did.AssertionMethod, did.CapabilityDelegation, did.CapabilityInvocation} {
				if !doc.Authorizes(rel, m.ID) {
					t.Errorf("not authorised for %s", rel)
				}
			}
			if doc.Authorizes(did.KeyAgreement, m.ID) {
				t.Error("a signing key is authorised for keyAgreement")
			}
			if c.KeyAgreement != "" {
				x, ok := doc.Method("#" + c.KeyAgreement)
				if !ok || !doc.Authorizes(did.KeyAgreement, x.ID) || doc.Authorizes(did.AssertionMethod, x.ID) {
					t.Errorf("derived key: %v, %v", x, ok)
				}
			}
			if c.Document != nil {
				want, err := did.ParseDocument(c.Document)
				if err != nil {
					t.Fatal(err)
				}
				if doc.Digest() != want.Digest() {
					t.Errorf("another document than the printed one:\n%s", doc.Bytes())
				}
			}
		})
	}
	for _, s := range v.Unsupported {
		if _, err := did.KeyDocument(s); did.CodeOf(err) != did.FeatureNotSupported || !errors.Is(err, did.ErrUnsupportedKey) {
			t.Errorf("KeyDocument(%q): %v", s, err)
		}
	}
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func multikeyOf(t testing.TB, hexBytes string) string {
	t.Helper()
	s, err := multibase.Encode(multibase.Base58BTC, mustHex(t, hexBytes))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDecodeMultikeyRefused(t *testing.T) {
	const (
		p256, p384, ed, x25519 = "8024", "8124", "ed01", "ec01"
		zeros                  = "0000000000000000000000000000000000000000000000000000000000000000"
		p25519                 = "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f" // the field prime, little-endian
	)
	for name, c := range map[string]struct {
		in          string
		unsupported bool
	}{
		"empty":                      {"", false},
		"other multibase":            {"f8024", false},
		"not base58":                 {"z0OIl", false},
		"only the prefix":            {"z", false},
		"one byte":                   {multikeyOf(t, "80"), false},
		"codec without key":          {multikeyOf(t, p256), false},
		"P-256 short":                {multikeyOf(t, p256+"02"+zeros[2:]), false},
		"P-256 long":                 {multikeyOf(t, p256+"02"+zeros+"00"), false},
		"P-256 uncompressed":         {multikeyOf(t, p256+"04"+zeros+zeros), false},
		"P-256 infinity":             {multikeyOf(t, p256+"00"), false},
		"P-256 infinity padded":      {multikeyOf(t, p256+"00"+zeros), false},
		"P-256 bad tag":              {multikeyOf(t, p256+"05"+zeros), false},
		"P-256 off the curve":        {multikeyOf(t, p256+"02"+zeros[:62]+"01"), false},
		"P-256 x not reduced":        {multikeyOf(t, p256+"02"+strings.Repeat("ff", 32)), false},
		"P-256 point under P-384":    {multikeyOf(t, p384+"02"+zeros), false},
		"P-384 off the curve":        {multikeyOf(t, p384+"02"+zeros+"00000000000000000000000000000001"), false},
		"Ed25519 short":              {multikeyOf(t, ed+zeros[2:]), false},
		"Ed25519 identity":           {multikeyOf(t, ed+"01"+zeros[2:]), false},
		"Ed25519 order 2":            {multikeyOf(t, ed+"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), false},
		"Ed25519 order 4":            {multikeyOf(t, ed+zeros), false},
		"Ed25519 order 8":            {multikeyOf(t, ed+"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), false},
		"Ed25519 y not reduced":      {multikeyOf(t, ed+p25519), false},
		"Ed25519 identity with sign": {multikeyOf(t, ed+"01"+zeros[2:62]+"80"), false},
		"Ed25519 off the curve":      {multikeyOf(t, ed+"02"+zeros[2:]), false},
		"X25519 zero":                {multikeyOf(t, x25519+zeros), false},
		"X25519 one":                 {multikeyOf(t, x25519+"01"+zeros[2:]), false},
		"X25519 prime":               {multikeyOf(t, x25519+p25519), false},
		"X25519 order 8":             {multikeyOf(t, x25519+"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"), false},
		"X25519 long":                {multikeyOf(t, x25519+zeros+"00"), false},
		"leading zero byte":          {"z1" + strings.TrimPrefix(multikeyOf(t, p256), "z"), true},
		"secp256k1":                  {multikeyOf(t, "e701"+"02"+zeros), true},
		"P-521":                      {multikeyOf(t, "8224"+"02"+zeros), true},
		"a secret P-256 key":         {multikeyOf(t, "8626"+zeros), true},
		"varint not minimal":         {multikeyOf(t, "ed8100"+zeros), true},
		"longer than any key":        {"z" + strings.Repeat("2", 2000), false},
		"white space":                {" " + multikeyOf(t, p256+"02"+zeros), false},
	} {
		pub, err := did.DecodeMultikey(c.in)
		want := did.ErrBadKey
		if c.unsupported {
			want = did.ErrUnsupportedKey
		}
		if err == nil || !errors.Is(err, want) {
			t.Errorf("%s: %v, %v; want %v", name, pub, err, want)
		}
	}
}

func TestEncodeMultikeyRefused(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecdhP256, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 a broken key is wanted, and there is no other way to make one
	broken := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int), Y: new(big.Int)}
	for name, k := range map[string]any{
		"nil": nil, "P-521": &p521.PublicKey, "a secret key": p521, "ECDH on P-256": ecdhP256.PublicKey(), "a string": "key",
		"nil ECDSA": (*ecdsa.PublicKey)(nil), "empty ECDSA": &ecdsa.PublicKey{}, "nil ECDH": (*ecdh.PublicKey)(nil),
		"infinity": broken, "short Ed25519": ed25519.PublicKey{1}, "Ed25519 of order 4": make(ed25519.PublicKey, 32),
	} {
		if s, err := did.EncodeMultikey(k); err == nil {
			t.Errorf("%s: EncodeMultikey = %q", name, s)
		}
		if s, err := did.KeyDID(k); err == nil {
			t.Errorf("%s: KeyDID = %q", name, s)
		}
	}
	if s, err := did.KeyDID(x.PublicKey()); err == nil {
		t.Errorf("KeyDID of a key that cannot sign = %q", s)
	}
}

func genKey(t *rapid.T) any {
	switch rapid.SampledFrom([]string{"P-256", "P-384", "Ed25519", "X25519"}).Draw(t, "kind") {
	case "P-256":
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &k.PublicKey
	case "P-384":
		k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &k.PublicKey
	case "Ed25519":
		k, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k.PublicKey()
}

func equalKeys(a, b any) bool {
	k, ok := a.(interface{ Equal(any) bool })
	if !ok {
		return reflect.DeepEqual(a, b)
	}
	return k.Equal(b)
}

// Every key survives the way through both of its forms, and no flipped bit goes unnoticed.
func TestKeyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pub := genKey(t)
		s, err := did.EncodeMultikey(pub)
		if err != nil {
			t.Fatal(err)
		}
		back, err := did.DecodeMultikey(s)
		if err != nil || !equalKeys(pub, back) {
			t.Fatalf("%T: %v", back, err)
		}
		doc, err := did.Build(did.DocumentSpec{ID: "did:web:a.example", Keys: []did.SpecKey{
			{Fragment: "k", Public: pub, Relationships: []string{did.AssertionMethod}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"#k", "#k-jwk"} {
			m, ok := doc.Method(id)
			if !ok {
				t.Fatalf("no %s", id)
			}
			if k, err := m.PublicKey(); err != nil || !equalKeys(pub, k) {
				t.Fatalf("%s: another key, or %v", id, err)
			}
		}
		_, raw, err := multibase.Decode(s)
		if err != nil {
			t.Fatal(err)
		}
		i := rapid.IntRange(0, len(raw)*8-1).Draw(t, "bit")
		raw[i/8] ^= 1 << (i % 8)
		s2, err := multibase.Encode(multibase.Base58BTC, raw)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := did.DecodeMultikey(s2); err == nil {
			if equalKeys(pub, k) {
				t.Fatal("two spellings of one key")
			}
			if again, err := did.EncodeMultikey(k); err != nil || again != s2 {
				t.Fatalf("decoded, but encoded as %q, %v", again, err)
			}
		}
	})
}

func TestKeyDocumentRefused(t *testing.T) {
	good := readKeyVectors(t).Supported[0].DID
	for in, code := range map[string]did.Code{
		"did:key:":                            did.InvalidDID,
		"did:key:z":                           did.InvalidDID,
		"did:key:zzz":                         did.FeatureNotSupported,
		good + "0":                            did.InvalidDID,
		good[:len(good)-1]:                    did.FeatureNotSupported,
		good + "%41":                          did.InvalidDID,
		"did:key:1:" + good[len("did:key:"):]: did.InvalidDID,
		good + "#x":                           did.InvalidDID,
		"did:web:a.example":                   did.MethodNotSupported,
		"did:key:z6LSj72tK8brWgZja8NLRwPigth2T9QRiG1uH9oKZuKjdh9p": did.FeatureNotSupported,
	} {
		if _, err := did.KeyDocument(in); did.CodeOf(err) != code {
			t.Errorf("KeyDocument(%q): %v, want %s", in, err, code)
		}
	}
}

// A key of MLKEM768-X25519 is published as a JsonWebKey, once, and read back; one of an algorithm that is not known is kept.
func TestHybridKey(t *testing.T) {
	m := hpke.MLKEM768X25519()
	private, err := m.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := did.Build(did.DocumentSpec{ID: "did:web:ngo.example", Keys: []did.SpecKey{{Fragment: "hpke-1", Public: private.PublicKey(), Relationships: []string{did.KeyAgreement}}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(doc.Methods()); n != 1 {
		t.Errorf("%d methods", n)
	}
	method, ok := doc.Method("#hpke-1")
	if !ok || method.Type != "JsonWebKey" || !doc.Authorizes(did.KeyAgreement, "#hpke-1") || doc.Authorizes(did.AssertionMethod, "#hpke-1") {
		t.Fatalf("the method: %+v", method)
	}
	public, err := method.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := hpke.Seal(public.(hpke.PublicKey), hpke.HKDFSHA256(), hpke.AES256GCM(), nil, []byte("a bundle"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), nil, sealed); err != nil || string(plain) != "a bundle" {
		t.Errorf("opened %q, %v", plain, err)
	}

	other, err := did.ParseDocument([]byte(strings.Replace(string(doc.Bytes()), did.HybridKEM, "ML-KEM-2048", 1)))
	if err != nil {
		t.Fatal(err)
	}
	method, _ = other.Method("#hpke-1")
	if _, err := method.PublicKey(); !errors.Is(err, did.ErrUnsupportedKey) {
		t.Errorf("another algorithm: %v", err)
	}
	classic, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := did.Build(did.DocumentSpec{ID: "did:web:ngo.example", Keys: []did.SpecKey{{Fragment: "hpke-1", Public: classic.PublicKey(), Relationships: []string{did.KeyAgreement}}}}); !errors.Is(err, did.ErrUnsupportedKey) {
		t.Errorf("another KEM: %v", err)
	}
}
