package interop

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ihyid/credentials"
	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/ijson"
	"ihyid/credentials/jsonld"
	"ihyid/credentials/rdfc"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := ijson.Canonical(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func issuer(suite string) *credentials.Issuer {
	return &credentials.Issuer{Suite: suite, Clock: func() time.Time { return now }}
}

func verifier() *credentials.Verifier {
	// the foreign implementation stamps presentations with the time of day
	return &credentials.Verifier{Keys: keyResolver{}, Clock: func() time.Time { return now.AddDate(100, 0, 0) }}
}

var kinds = []string{"P-256", "P-384"}

// Both sides turn the same random documents into the same canonical RDF.
func TestCanonicalRDF(t *testing.T) {
	f := start(t)
	p, err := jsonld.New(jsonld.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rounds() {
		m := newMaker(uint64(i))
		m.alike = true
		d := m.credential("did:web:issuer.example")
		if i%3 == 0 {
			vc := m.credential("did:web:issuer.example")
			vc["proof"] = object{"type": "DataIntegrityProof", "cryptosuite": "x", "proofPurpose": "assertionMethod", "created": m.date(),
				"verificationMethod": m.iri(), "proofValue": "zzz"}
			d = m.presentation("did:web:holder.example", vc, m.credential("did:web:issuer.example"))
		}
		for hash, name := range map[crypto.Hash]string{crypto.SHA256: "SHA-256", crypto.SHA384: "SHA-384"} {
			theirs := f.ask(t, object{"op": "canonize", "document": d, "hash": name})
			quads, err := p.Quads(t.Context(), parse(t, d))
			var mine []byte
			if err == nil {
				mine, err = rdfc.Canonicalize(t.Context(), quads, rdfc.Options{Hash: hash})
			}
			if err != nil || theirs["nquads"] != string(mine) {
				t.Fatalf("document %d, %s: %v; theirs: %v\n%s\n%s", i, name, err, theirs["error"], difference(theirs["nquads"], mine), encode(t, d))
			}
		}
	}
}

// difference shows the lines that only one side has.
func difference(theirs any, mine []byte) string {
	text, _ := theirs.(string)
	count := map[string]int{}
	for _, l := range strings.Split(text, "\n") {
		count["theirs: "+l]++
		count["mine:   "+l]--
	}
	for _, l := range strings.Split(string(mine), "\n") {
		count["mine:   "+l]++
		count["theirs: "+l]--
	}
	var out []string
	for l, n := range count {
		if n > 0 {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// parse gives a document as the strict parser reads it.
func parse(t testing.TB, d object) object {
	t.Helper()
	out, err := ijson.ParseObject(encode(t, d), ijson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Datasets full of blank nodes that look alike.
func TestCanonicalQuads(t *testing.T) {
	f := start(t)
	for i := range rounds() {
		m := newMaker(uint64(i) + 1<<32)
		n := 2 + m.IntN(5)
		var quads []rdfc.Quad
		var text strings.Builder
		blank := func() rdfc.Term { return rdfc.Term{Kind: rdfc.Blank, Value: fmt.Sprint("b", m.IntN(n))} }
		for range 1 + m.IntN(2*n) {
			q := rdfc.Quad{Subject: blank(), Predicate: rdfc.Term{Kind: rdfc.IRI, Value: fmt.Sprint("urn:p", m.IntN(2))}, Object: blank()}
			if m.IntN(5) == 0 {
				q.Object = rdfc.Term{Kind: rdfc.Literal, Value: "x"}
			}
			if m.IntN(4) == 0 {
				q.Graph = blank()
			}
			quads = append(quads, q)
			fmt.Fprintf(&text, "_:%s <%s> ", q.Subject.Value, q.Predicate.Value)
			if q.Object.Kind == rdfc.Literal {
				text.WriteString(`"x"`)
			} else {
				text.WriteString("_:" + q.Object.Value)
			}
			if q.Graph.Kind != rdfc.Default {
				text.WriteString(" _:" + q.Graph.Value)
			}
			text.WriteString(" .\n")
		}
		mine, err := rdfc.Canonicalize(t.Context(), quads, rdfc.Options{MaxWork: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		theirs := f.ask(t, object{"op": "canonizeQuads", "nquads": text.String(), "hash": "SHA-256"})
		if theirs["nquads"] != string(mine) {
			t.Fatalf("%s\ntheirs: %v\n%v\nmine:\n%s", text.String(), theirs["error"], theirs["nquads"], mine)
		}
	}
}

// tooDeep reports whether the foreign implementation gave up on blank nodes that look alike, of which its
// default limit takes next to none.
func tooDeep(answer object) bool {
	text, _ := answer["error"].(string)
	return strings.Contains(text, "Maximum deep iterations exceeded")
}

// What is issued here verifies there.
func TestIssuedHere(t *testing.T) {
	f := start(t)
	verified := 0
	for i := range rounds() {
		m := newMaker(uint64(i) + 2<<32)
		k := newKey(t, kinds[i%2])
		var vcs []any
		for range 1 + m.IntN(2) {
			vc, err := issuer(dataintegrity.ECDSARDFC2019).Credential(t.Context(), encode(t, m.credential(k.did)), k.key, credentials.ProofOptions{})
			if err != nil {
				t.Fatal(err)
			}
			d := decode(t, vc)
			answer := f.ask(t, object{"op": "verify", "document": d})
			if tooDeep(answer) {
				continue
			}
			if answer["error"] != nil {
				t.Fatalf("credential %d: %v\n%s", i, answer["error"], vc)
			}
			vcs = append(vcs, d)
		}
		vp, err := issuer(dataintegrity.ECDSARDFC2019).Presentation(t.Context(), encode(t, m.presentation(k.did, vcs...)), k.key,
			credentials.ProofOptions{Challenge: "c" + m.text(), Domain: []string{"did:web:b.example"}})
		if err != nil {
			t.Fatal(err)
		}
		d := decode(t, vp)
		ask := object{"op": "verifyPresentation", "document": d, "challenge": d["proof"].(object)["challenge"], "domain": "did:web:b.example"}
		answer := f.ask(t, ask)
		if tooDeep(answer) {
			continue
		}
		if answer["error"] != nil {
			t.Fatalf("presentation %d: %v\n%s", i, answer["error"], vp)
		}
		verified++
		ask["challenge"] = "another"
		if answer := f.ask(t, ask); answer["error"] == nil {
			t.Fatal("the foreign implementation accepts anything")
		}
	}
	t.Logf("%d of %d presentations verified", verified, rounds())
	if verified < rounds()*3/4 {
		t.Error("too few")
	}
}

// The JCS suite, checked with a foreign JCS and a foreign ECDSA.
func TestIssuedHereJCS(t *testing.T) {
	f := start(t)
	for i := range rounds() {
		m := newMaker(uint64(i) + 3<<32)
		k := newKey(t, kinds[i%2])
		vc, err := issuer(dataintegrity.ECDSAJCS2019).Credential(t.Context(), encode(t, m.credential(k.did)), k.key, credentials.ProofOptions{})
		if err != nil {
			t.Fatal(err)
		}
		d := decode(t, vc)
		if answer := f.ask(t, object{"op": "verifyJCS", "document": d}); answer["error"] != nil {
			t.Fatalf("credential %d: %v\n%s", i, answer["error"], vc)
		}
		d["issuer"] = "did:web:another.example"
		if answer := f.ask(t, object{"op": "verifyJCS", "document": d}); answer["error"] == nil {
			t.Fatal("the foreign implementation accepts anything")
		}
	}
}

// The same from there: signed with a foreign JCS and a foreign ECDSA or Ed25519.
func TestIssuedThereJCS(t *testing.T) {
	f := start(t)
	kinds := []string{"P-256", "P-384", "Ed25519"}
	for i := range rounds() {
		m := newMaker(uint64(i) + 7<<32)
		kind := kinds[i%3]
		did, _ := f.ask(t, object{"op": "did", "kind": kind})["did"].(string)
		answer := f.ask(t, object{"op": "issueJCS", "kind": kind, "document": m.credential(did)})
		if answer["error"] != nil {
			t.Fatal(answer["error"])
		}
		vc := encode(t, answer["document"])
		if r := verifier().Credential(t.Context(), vc, credentials.CredentialOptions{At: now}); !r.Passed() {
			t.Fatalf("credential %d: %v\n%s", i, r.Err(), vc)
		}
		changed := decode(t, vc)
		changed["validFrom"] = "2001-01-01T00:00:00Z"
		if r := verifier().Credential(t.Context(), encode(t, changed), credentials.CredentialOptions{At: now}); r.Passed() {
			t.Fatal("a changed credential passes")
		}
	}
}

// What is issued there verifies here, and not when changed.
func TestIssuedThere(t *testing.T) {
	f := start(t)
	all := []string{"P-256", "P-384", "Ed25519"}
	dids := map[string]string{}
	for _, kind := range all {
		dids[kind], _ = f.ask(t, object{"op": "did", "kind": kind})["did"].(string)
	}
	verified := 0
	for i := range rounds() {
		m := newMaker(uint64(i) + 4<<32)
		kind := all[i%3]
		var vcs []any
		for range 1 + m.IntN(2) {
			d := m.credential(dids[kind])
			answer := f.ask(t, object{"op": "issue", "kind": kind, "document": d})
			if tooDeep(answer) {
				continue
			}
			if answer["error"] != nil {
				t.Fatalf("%v\n%s", answer["error"], encode(t, d))
			}
			vc := encode(t, answer["document"])
			if r := verifier().Credential(t.Context(), vc, credentials.CredentialOptions{At: now}); !r.Passed() {
				t.Fatalf("credential %d: %v\n%s", i, r.Err(), vc)
			}
			changed := decode(t, vc)
			changed["validFrom"] = "2001-01-01T00:00:00Z"
			if r := verifier().Credential(t.Context(), encode(t, changed), credentials.CredentialOptions{At: now}); r.Passed() {
				t.Fatal("a changed credential passes")
			}
			vcs = append(vcs, answer["document"])
		}
		answer := f.ask(t, object{"op": "present", "kind": kind, "document": m.presentation(dids[kind], vcs...), "challenge": "c", "domain": "https://b.example"})
		if tooDeep(answer) || len(vcs) == 0 {
			continue
		}
		if answer["error"] != nil {
			t.Fatal(answer["error"])
		}
		verified++
		vp := encode(t, answer["document"])
		o := credentials.PresentationOptions{Challenge: "c", Domain: []string{"https://b.example"}, At: now}
		if r := verifier().Presentation(t.Context(), vp, o); !r.Passed() {
			t.Fatalf("presentation %d: %v\n%s", i, r.Err(), vp)
		}
	}
	t.Logf("%d of %d presentations verified", verified, rounds())
	if verified < rounds()*3/4 {
		t.Error("too few")
	}
}

func TestTokens(t *testing.T) {
	f := start(t)
	for i := range rounds() {
		m := newMaker(uint64(i) + 5<<32)
		k := newKey(t, kinds[i%2])
		token, err := issuer(credentials.SuiteJOSE).Credential(t.Context(), encode(t, m.credential(k.did)), k.key, credentials.ProofOptions{})
		if err != nil {
			t.Fatal(err)
		}
		answer := f.ask(t, object{"op": "verifyJWT", "token": string(token), "jwk": k.jwk(), "alg": map[string]string{"P-256": "ES256", "P-384": "ES384"}[kinds[i%2]]})
		header, _ := answer["header"].(object)
		if answer["error"] != nil || header["typ"] != "vc+jwt" || header["cty"] != "vc" || header["kid"] != k.key.VerificationMethod {
			t.Fatalf("%v %v", answer["error"], header)
		}
		enveloped, err := credentials.Embed(token)
		if err != nil {
			t.Fatal(err)
		}
		vp, err := issuer(credentials.SuiteJOSE).Presentation(t.Context(), encode(t, m.presentation(k.did, enveloped)), k.key, credentials.ProofOptions{Challenge: "c"})
		if err != nil {
			t.Fatal(err)
		}
		answer = f.ask(t, object{"op": "verifyJWT", "token": string(vp), "jwk": k.jwk(), "alg": map[string]string{"P-256": "ES256", "P-384": "ES384"}[kinds[i%2]]})
		if header, _ := answer["header"].(object); answer["error"] != nil || header["typ"] != "vp+jwt" || header["cty"] != "vp" {
			t.Fatalf("%v %v", answer["error"], header)
		}
		kind := []string{"P-256", "P-384", "Ed25519"}[i%3]
		did, _ := f.ask(t, object{"op": "did", "kind": kind})["did"].(string)
		presentation := m.presentation(did, enveloped)
		presentation["nonce"] = "c"
		answer = f.ask(t, object{"op": "signJWT", "kind": kind, "document": presentation, "typ": "vp+jwt", "cty": "vp"})
		theirVP, _ := answer["token"].(string)
		if r := verifier().Presentation(t.Context(), []byte(theirVP), credentials.PresentationOptions{Challenge: "c", At: now}); !r.Passed() {
			t.Fatalf("%v: %v", answer["error"], r.Err())
		}
		answer = f.ask(t, object{"op": "signJWT", "kind": kind, "document": m.credential(did), "typ": "vc+jwt", "cty": "vc"})
		theirs, _ := answer["token"].(string)
		if r := verifier().Credential(t.Context(), []byte(theirs), credentials.CredentialOptions{At: now}); !r.Passed() {
			t.Fatalf("%v: %v", answer["error"], r.Err())
		}
	}
}

func TestCanonicalJSON(t *testing.T) {
	f := start(t)
	for i := range rounds() {
		m := newMaker(uint64(i) + 6<<32)
		v := m.json(5)
		if answer := f.ask(t, object{"op": "jcs", "document": v}); answer["text"] != string(encode(t, v)) {
			t.Fatalf("theirs %v, mine %s", answer["text"], encode(t, v))
		}
	}
}

func decode(t testing.TB, b []byte) object {
	t.Helper()
	var d object
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// testKey is a key pair made here.
type testKey struct {
	private *ecdsa.PrivateKey
	did     string
	key     credentials.Key
}

func newKey(t testing.TB, kind string) *testKey {
	t.Helper()
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384()}[kind]
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := multikey(t, k)
	did := "did:key:" + id
	return &testKey{private: k, did: did, key: credentials.Key{VerificationMethod: did + "#" + id, Signer: k}}
}

func (k *testKey) jwk() object {
	b, err := k.private.PublicKey.Bytes() // 04 ‖ x ‖ y
	if err != nil {
		panic(err)
	}
	n := (len(b) - 1) / 2
	u := base64.RawURLEncoding.EncodeToString
	return object{"kty": "EC", "crv": k.private.Curve.Params().Name, "x": u(b[1 : 1+n]), "y": u(b[1+n:])}
}

// keyResolver resolves did:key.
type keyResolver struct{}

func (keyResolver) Key(_ context.Context, method, _ string) (credentials.KeyStatus, error) {
	pub, did, err := publicKey(method)
	return credentials.KeyStatus{Public: pub, Controller: did, Authorized: true}, err
}
