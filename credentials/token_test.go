package credentials

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"strings"
	"testing"
	"time"

	"ihyid/credentials/ijson"
	"ihyid/credentials/internal/testkeys"
	"ihyid/credentials/jose"
)

func TestTokens(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384"} {
		t.Run(kind, func(t *testing.T) {
			k := testkeys.New(kind)
			key := Key{k.Method, k.Signer}
			issuer := &Issuer{Suite: SuiteJOSE, Clock: testClock}
			vc, err := issuer.Credential(t.Context(), encode(t, credentialBy(k.DID)), key, ProofOptions{Expires: testTime.Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			r := testVerifier().Credential(t.Context(), vc, CredentialOptions{})
			expect(t, r)
			if r.Issuer != k.DID || r.Proofs[0].Controller != k.DID || !r.Proofs[0].Created.Equal(testTime) {
				t.Errorf("%+v", r)
			}
			expect(t, testVerifier().Credential(t.Context(), vc, CredentialOptions{At: testTime.Add(time.Hour)}), CheckTime)

			envelope, err := Embed(vc)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, testVerifier().Credential(t.Context(), encode(t, envelope), CredentialOptions{}))

			proved := issue(t, k, credentialBy(k.DID), ProofOptions{})
			p := presentationBy(t, k.DID, encode(t, envelope), proved)
			o := PresentationOptions{Challenge: "c", Domain: []string{"did:web:b.example"}, Holder: k.DID}
			// as a token, and with each of the embedded proofs around the same credentials
			for _, suite := range append([]string{SuiteJOSE}, suiteNames...) {
				vp, err := issuer.Presentation(t.Context(), encode(t, p), key, ProofOptions{Suite: suite, Challenge: "c", Domain: o.Domain})
				if err != nil {
					t.Fatal(suite, err)
				}
				r := testVerifier().Presentation(t.Context(), vp, o)
				expect(t, r)
				if len(r.Credentials) != 2 {
					t.Errorf("%d credentials", len(r.Credentials))
				}
				expect(t, testVerifier().Presentation(t.Context(), vp, PresentationOptions{Challenge: "d"}), CheckChallenge)
				expect(t, testVerifier().Presentation(t.Context(), vp, PresentationOptions{Domain: []string{"x"}}), CheckDomain)
				if suite == SuiteJOSE {
					enveloped := object{"@context": ContextV2, "type": "EnvelopedVerifiablePresentation", "id": "data:application/vp+jwt," + string(vp)}
					expect(t, testVerifier().Presentation(t.Context(), encode(t, enveloped), o))
				}
			}
		})
	}
}

func TestTokenFailures(t *testing.T) {
	k, other := testkeys.New("P-256"), testkeys.New("P-256")
	make := func(change func(h *jose.Header, payload object), signer testkeys.Key) []byte {
		payload := credentialBy(k.DID)
		h := jose.Header{Type: "vc+jwt", ContentType: "vc", KeyID: k.Method, Issuer: k.DID}
		change(&h, payload)
		b, err := ijson.Canonical(payload)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jose.Sign(b, h, signer.Signer)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for _, tt := range []struct {
		name   string
		change func(h *jose.Header, payload object)
		signer testkeys.Key
		failed []string
	}{
		{"as it should be", func(*jose.Header, object) {}, k, nil},
		{"least header", func(h *jose.Header, _ object) { h.ContentType, h.Issuer = "", "" }, k, nil},
		{"full media type", func(h *jose.Header, _ object) { h.Type, h.ContentType = "application/vc+jwt", "application/vc" }, k, nil},
		{"claims that agree", func(_ *jose.Header, p object) {
			p["iss"], p["sub"], p["jti"], p["nbf"] = k.DID, "did:web:node-a.example", p["id"], 1700000000.0
		}, k, nil},
		{"another's signature", func(*jose.Header, object) {}, other, []string{CheckProof}},
		{"another's key", func(h *jose.Header, _ object) { h.KeyID = other.Method }, other, []string{CheckIssuer}},
		{"no kid", func(h *jose.Header, _ object) { h.KeyID = "" }, k, []string{CheckKey, CheckIssuer}},
		{"kid without fragment", func(h *jose.Header, _ object) { h.KeyID = k.DID }, k, []string{CheckKey}},
		{"kid relative", func(h *jose.Header, _ object) { h.KeyID = "#key-1" }, k, []string{CheckKey, CheckIssuer}},
		{"no typ", func(h *jose.Header, _ object) { h.Type = "" }, k, []string{CheckSyntax}},
		{"typ of a presentation", func(h *jose.Header, _ object) { h.Type = "vp+jwt" }, k, []string{CheckSyntax}},
		{"typ JWT", func(h *jose.Header, _ object) { h.Type = "JWT" }, k, []string{CheckSyntax}},
		{"cty", func(h *jose.Header, _ object) { h.ContentType = "vp" }, k, []string{CheckSyntax}},
		{"iss in header", func(h *jose.Header, _ object) { h.Issuer = other.DID }, k, []string{CheckSyntax}},
		{"iss in payload", func(h *jose.Header, p object) { h.Issuer, p["iss"] = "", other.DID }, k, []string{CheckSyntax}},
		{"iss in both", func(_ *jose.Header, p object) { p["iss"] = other.DID }, k, []string{CheckSyntax}},
		{"sub", func(_ *jose.Header, p object) { p["sub"] = other.DID }, k, []string{CheckSyntax}},
		{"jti", func(_ *jose.Header, p object) { p["jti"] = "urn:x" }, k, []string{CheckSyntax}},
		{"vc claim", func(_ *jose.Header, p object) { p["vc"] = object{} }, k, []string{CheckSyntax}},
		{"embedded proof", func(_ *jose.Header, p object) { p["proof"] = object{} }, k, []string{CheckSyntax}},
		{"exp a string", func(_ *jose.Header, p object) { p["exp"] = "1" }, k, []string{CheckSyntax}},
		{"exp absurd", func(_ *jose.Header, p object) { p["exp"] = 1e300 }, k, []string{CheckSyntax}},
		{"expired", func(_ *jose.Header, p object) { p["exp"] = float64(testTime.Unix()) }, k, []string{CheckTime}},
		{"nbf ahead", func(_ *jose.Header, p object) { p["nbf"] = float64(testTime.Unix() + 3600) }, k, []string{CheckTime}},
		{"iat ahead", func(_ *jose.Header, p object) { p["iat"] = float64(testTime.Unix() + 3600) }, k, []string{CheckTime}},
		{"not a credential", func(_ *jose.Header, p object) { delete(p, "credentialSubject") }, k, []string{CheckSyntax}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, testVerifier().Credential(t.Context(), make(tt.change, tt.signer), CredentialOptions{}), tt.failed...)
		})
	}
	good := make(func(*jose.Header, object) {}, k)
	for name, envelope := range map[string]object{
		"another media type": {"@context": []any{ContextV2}, "type": envelopedCredential, "id": "data:application/jwt," + string(good)},
		"no context":         {"type": envelopedCredential, "id": "data:application/vc+jwt," + string(good)},
		"not a token":        {"@context": []any{ContextV2}, "type": envelopedCredential, "id": "data:application/vc+jwt,x"},
		"a link":             {"@context": []any{ContextV2}, "type": envelopedCredential, "id": "https://a.example/vc"},
	} {
		if r := testVerifier().Credential(t.Context(), encode(t, envelope), CredentialOptions{}); r.Check(CheckSyntax).Outcome != Failed {
			t.Errorf("%s: %v", name, r.Err())
		}
	}
	// a credential's token is no presentation
	if r := testVerifier().Presentation(t.Context(), good, PresentationOptions{}); r.Passed() {
		t.Error("a credential passes as a presentation")
	}
	// any character changed
	for i := 0; i < len(good); i += 17 {
		bad := []byte(string(good))
		bad[i] ^= 1
		if r := testVerifier().Credential(t.Context(), bad, CredentialOptions{}); r.Passed() {
			t.Fatalf("byte %d changed, and it passes", i)
		}
	}
}

func TestTokenIssueRefuses(t *testing.T) {
	k := testkeys.New("P-256")
	issuer := &Issuer{Suite: SuiteJOSE}
	key := Key{k.Method, k.Signer}
	for name, change := range map[string]func(object, *ProofOptions){
		"claim":    func(d object, _ *ProofOptions) { d["aud"] = "x" },
		"vc claim": func(d object, _ *ProofOptions) { d["vc"] = object{} },
		"chain":    func(_ object, o *ProofOptions) { o.Previous = []string{"urn:x"} },
		"id":       func(_ object, o *ProofOptions) { o.ID = "urn:x" },
	} {
		d, o := credentialBy(k.DID), ProofOptions{}
		change(d, &o)
		if out, err := issuer.Credential(t.Context(), encode(t, d), key, o); err == nil {
			t.Errorf("%s: %s", name, out)
		}
	}
	if _, err := Embed([]byte("x.y")); err == nil {
		t.Error("embeds what is no token")
	}
}

// Whatever stands where a document should be, the verifier answers with checks, and never with a pass.
func FuzzVerify(f *testing.F) {
	// one key for all processes of the fuzzer
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	k := testkeys.Of(private)
	for _, suite := range append([]string{SuiteJOSE}, suiteNames...) {
		issuer := &Issuer{Suite: suite, Clock: testClock}
		vc, err := issuer.Credential(f.Context(), encode(f, credentialBy(k.DID)), Key{k.Method, k.Signer}, ProofOptions{})
		if err != nil {
			f.Fatal(err)
		}
		e, err := Embed(vc)
		if err != nil {
			f.Fatal(err)
		}
		vp, err := issuer.Presentation(f.Context(), encode(f, presentationBy(f, k.DID, encode(f, e))), Key{k.Method, k.Signer}, ProofOptions{Challenge: "c"})
		if err != nil {
			f.Fatal(err)
		}
		// the seeds are spoilt so that nothing may pass
		f.Add([]byte(strings.Replace(string(vc), "m-0001", "m-0002", 1) + " "))
		f.Add([]byte(strings.Replace(string(vp), `"c"`, `"d"`, 1) + " "))
		f.Add(vc)
		f.Add(vp)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v := &Verifier{Keys: &keys{}, Clock: func() time.Time { return testTime }}
		for _, r := range []*Result{
			v.Credential(t.Context(), in, CredentialOptions{}),
			v.Presentation(t.Context(), in, PresentationOptions{Challenge: "c", Domain: []string{"never"}}),
		} {
			if len(r.Checks) == 0 {
				t.Fatal("no checks")
			}
			if r.Passed() && r.Issuer != k.DID {
				t.Fatalf("passes: %s", in)
			}
		}
	})
}
