package credentials

import (
	"testing"

	"ihyid/credentials/internal/testkeys"
)

// The benchmarks verify what a node verifies all day: P-256, keys at hand.
func bench(b *testing.B, suite string) (v *Verifier, vc, vp []byte) {
	b.Helper()
	k := testkeys.New("P-256")
	issuer := &Issuer{Suite: suite, Clock: testClock}
	key := Key{k.Method, k.Signer}
	vc, err := issuer.Credential(b.Context(), encode(b, credentialBy(k.DID)), key, ProofOptions{})
	if err != nil {
		b.Fatal(err)
	}
	e, err := Embed(vc)
	if err != nil {
		b.Fatal(err)
	}
	vp, err = issuer.Presentation(b.Context(), encode(b, presentationBy(b, k.DID, encode(b, e))), key, ProofOptions{Challenge: "c", Domain: []string{"d"}})
	if err != nil {
		b.Fatal(err)
	}
	v = testVerifier()
	v.Keys = &keys{named: map[string]KeyStatus{k.Method: {Public: k.Signer.Public(), Controller: k.DID, Authorized: true}}}
	return v, vc, vp
}

func BenchmarkVerify(b *testing.B) {
	for _, suite := range append([]string{SuiteJOSE}, suiteNames...) {
		v, vc, vp := bench(b, suite)
		b.Run("credential/"+suite, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := v.Credential(b.Context(), vc, CredentialOptions{}); !r.Passed() {
					b.Fatal(r.Err())
				}
			}
		})
		b.Run("presentation/"+suite, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := v.Presentation(b.Context(), vp, PresentationOptions{Challenge: "c"}); !r.Passed() {
					b.Fatal(r.Err())
				}
			}
		})
	}
}

func BenchmarkIssue(b *testing.B) {
	for _, suite := range append([]string{SuiteJOSE}, suiteNames...) {
		k := testkeys.New("P-256")
		issuer := &Issuer{Suite: suite}
		key, d := Key{k.Method, k.Signer}, encode(b, credentialBy(k.DID))
		b.Run(suite, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := issuer.Credential(b.Context(), d, key, ProofOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
