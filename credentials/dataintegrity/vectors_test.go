package dataintegrity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ihyid/credentials/ijson"
	"ihyid/credentials/internal/testkeys"
	"ihyid/credentials/jsonld"
)

// examples is the context that the W3C examples are written with. It gives every name a meaning, so it is
// for tests only.
const examples = `{"@context":{"@vocab":"https://www.w3.org/ns/credentials/examples#"}}`

func processor(t testing.TB) *jsonld.Processor {
	t.Helper()
	p, err := jsonld.New(jsonld.Options{Contexts: map[string][]byte{"https://www.w3.org/ns/credentials/examples/v2": []byte(examples)}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func load(t testing.TB, name string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	d, err := ijson.ParseObject(b, ijson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The keys of the EdDSA vectors stand in the fragments of their methods.
func vectorKey(t *testing.T, method string) crypto.PublicKey {
	t.Helper()
	_, id, _ := strings.Cut(method, "#")
	pub, err := testkeys.Public(t.Context(), "did:key:"+id+"#"+id)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func TestW3CVectors(t *testing.T) {
	p := processor(t)
	suites := map[string]Suite{}
	for _, s := range []Suite{NewECDSAJCS2019(), NewECDSARDFC2019(p, 0), NewEdDSAJCS2022(), NewEdDSARDFC2022(p, 0)} {
		suites[s.Name()] = s
	}
	files, err := filepath.Glob("testdata/w3c-*.json")
	if err != nil || len(files) != 7 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			unsecured, proofs, err := Split(load(t, filepath.Base(file)), 0)
			if err != nil {
				t.Fatal(err)
			}
			for i, proof := range proofs {
				pub := vectorKey(t, proof.VerificationMethod)
				signed, err := Signed(unsecured, proofs, proof.Previous)
				if err != nil {
					t.Fatal(err)
				}
				suite := suites[proof.Suite]
				if _, err := Verify(t.Context(), suite, signed, proof, pub); err != nil {
					t.Errorf("proof %d: %v", i+1, err)
				}
				changed := maps.Clone(signed)
				changed["name"] = "Another Credential"
				var coded *Error
				if _, err := Verify(t.Context(), suite, changed, proof, pub); !errors.As(err, &coded) || coded.Code != ProofVerification {
					t.Errorf("proof %d, document changed: %v", i+1, err)
				}
				config := proof.Config()
				config["created"] = "2023-02-24T23:36:39Z"
				config["proofValue"] = proof.Value
				moved, err := ParseProof(config)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := Verify(t.Context(), suite, signed, moved, pub); err == nil {
					t.Errorf("proof %d, proof changed: verifies", i+1)
				}
			}
		})
	}
}

// The hashes printed for the JCS vectors, proof configuration first.
func TestW3CHashesJCS(t *testing.T) {
	for name, want := range map[string]string{
		"w3c-ecdsa-jcs-2019-p256.json": "59b7cb6251b8991add1ce0bc83107e3db9dbbab5bd2c28f687db1a03abc92f19",
		"w3c-ecdsa-jcs-2019-p384.json": "3e0be671cc1881035d463158c80921973dab3534d4f8dfacf4ff2725a4115eb718e49d66de0e90e7365cd6062abf2259",
	} {
		unsecured, proofs, err := Split(load(t, name), 0)
		if err != nil {
			t.Fatal(err)
		}
		hash, _ := hashFor(vectorKey(t, proofs[0].VerificationMethod))
		data, err := NewECDSAJCS2019().HashData(t.Context(), unsecured, proofs[0].Config(), hash)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(data[hash.Size():]); got != want {
			t.Errorf("%s: document hash %s", name, got)
		}
	}
}

// The other direction: with the keys that the specifications print, a proof made here is the printed one (Ed25519), or verifies with the printed
// key (ECDSA, which is random).
func TestW3CVectorsMade(t *testing.T) {
	p := processor(t)
	seed := func(text string) []byte {
		b, err := DecodeMultibase(text)
		if err != nil || len(b) < 34 {
			t.Fatal(err)
		}
		return b[2:] // after the multicodec
	}
	ed := ed25519.NewKeyFromSeed(seed("z3u2en7t5LR2WtQH5PfFqMqwVHBeXouLzo6haApm8XHqvjxq"))                         // EdDSA Cryptosuites appendix B
	ec, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed("z42twTcNeSYcnqg1FLuSFs2bsGH3ZqbRHFmvS9XMsYhjxvHN")) // ECDSA Cryptosuites appendix A
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		suite  Suite
		signer crypto.Signer
	}{
		"w3c-eddsa-rdfc-2022.json":      {NewEdDSARDFC2022(p, 0), ed},
		"w3c-eddsa-jcs-2022.json":       {NewEdDSAJCS2022(), ed},
		"w3c-ecdsa-rdfc-2019-p256.json": {NewECDSARDFC2019(p, 0), ec},
		"w3c-ecdsa-jcs-2019-p256.json":  {NewECDSAJCS2019(), ec},
	} {
		unsecured, proofs, err := Split(load(t, name), 0)
		if err != nil {
			t.Fatal(err)
		}
		printed := proofs[0]
		pub := vectorKey(t, printed.VerificationMethod)
		if own := tt.signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !own.Equal(pub) {
			t.Fatalf("%s: the printed key pair is another", name)
		}
		config := printed.Config()
		delete(config, "@context") // the suite adds it where it belongs
		made, err := Create(t.Context(), tt.suite, unsecured, config, tt.signer, rand.Reader)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, isEd := tt.signer.(ed25519.PrivateKey); isEd && made["proofValue"] != printed.Value {
			t.Errorf("%s: %v, printed is %s", name, made["proofValue"], printed.Value)
		}
		parsed, err := ParseProof(made)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(t.Context(), tt.suite, unsecured, parsed, pub); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
