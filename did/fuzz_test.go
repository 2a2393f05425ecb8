package did_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gowebpki/jcs"

	"ihyid/did"
)

// The ABNF of DID Core 1.0 section 3 as regular expressions: a second opinion.
var (
	didABNF = regexp.MustCompile(`^did:[a-z0-9]+:((` + idchar + `)*:)*(` + idchar + `)+$`)
	urlABNF = regexp.MustCompile(`^(did:[a-z0-9]+:((` + idchar + `)*:)*(` + idchar + `)+)(/(` + pchar + `)*)*(\?(` + pchar + `|[/?])*)?(#(` + pchar + `|[/?])*)?$`)
)

const (
	idchar = `[A-Za-z0-9._-]|%[0-9A-Fa-f]{2}`
	pchar  = `[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}`
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "did:a:b", "did:web:localhost%3A8443:x", "did:x::a", "did:x:a:", "did:a:%4g", "did:A:b", "did:key:" + keyP256, "did:a:b#c", "did:a:b\n", "did:a:é",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := did.Parse(s)
		if want := didABNF.MatchString(s) && !strings.HasSuffix(s, "\n") && len(s) <= did.MaxDIDLength; (err == nil) != want {
			t.Fatalf("Parse(%q): %v, the ABNF says %v", s, err, want)
		}
		if err == nil && (d.String() != s || "did:"+d.Method()+":"+d.ID() != s) {
			t.Fatalf("Parse(%q) = %q, %q, %q", s, d, d.Method(), d.ID())
		}
	})
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"did:a:b", "did:a:b/", "did:a:b/c/d?e=f#g", "did:a:b?#", "did:a:b#c#d", "did:a:b?service=files&relativeRef=%2Fx", "did:a:b//", "did:a:b?/?", "did:a:b/%zz", "#k",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := did.ParseURL(s)
		if m := urlABNF.FindStringSubmatch(s); (err == nil) != (m != nil && !strings.HasSuffix(s, "\n") && len(s) <= did.MaxURLLength && len(m[1]) <= did.MaxDIDLength) {
			t.Fatalf("ParseURL(%q): %v, the ABNF matches %q", s, err, m)
		}
		if err != nil {
			return
		}
		if u.String() != s || !strings.HasPrefix(s, u.DID.String()) || u.IsDID() != (u.DID.String() == s) {
			t.Fatalf("ParseURL(%q) = %+v", s, u)
		}
	})
}

func FuzzWebURL(f *testing.F) {
	for _, s := range []string{
		"did:web:a.example", "did:web:a.example%3A8443:x:y", "did:web:127.0.0.1", "did:web:0x7f.1", "did:web:a.example:%2e%2e", "did:web:a.example:..", "did:web:a.example%3A",
		"did:web:a.example:x%2Fy", "did:web:[::1]", "did:web:2130706433", "did:web:localhost",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw, err := did.WebURL(s)
		if err != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Host == "" {
			t.Fatalf("WebURL(%q) = %q", s, raw)
		}
		if path.Clean(u.Path) != u.Path || !strings.HasSuffix(u.Path, "/did.json") {
			t.Fatalf("WebURL(%q) = %q: the path is not what it seems", s, raw)
		}
		if _, err := netip.ParseAddr(u.Hostname()); err == nil || u.Hostname() == "localhost" {
			t.Fatalf("WebURL(%q) = %q: an address", s, raw)
		}
		if _, err := did.WebURL("did:web:" + strings.TrimPrefix(s, "did:web:")); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeMultikey(f *testing.F) {
	f.Add("")
	f.Add("z")
	f.Add(keyP256)
	f.Add("zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpw")
	f.Add("z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9")
	f.Add("z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")
	f.Add("z6LSj72tK8brWgZja8NLRwPigth2T9QRiG1uH9oKZuKjdh9p")
	f.Add("zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := did.DecodeMultikey(s)
		if err != nil {
			return
		}
		// A key has one spelling.
		if back, err := did.EncodeMultikey(k); err != nil || back != s {
			t.Fatalf("DecodeMultikey(%q) is encoded as %q, %v", s, back, err)
		}
	})
}

func FuzzParseDocument(f *testing.F) {
	f.Add([]byte(served))
	f.Add([]byte(document("")))
	f.Add([]byte(document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"` + subject + `","publicKeyJwk":` + jwkP256 + `}]`)))
	f.Add([]byte(`{"id":"did:a:b","x":[1.50,-0,1e3,"\ud83d\ude00",null,true]}`))
	f.Add([]byte(`{"id":"did:a:b","\u0069d":"did:a:c"}`))
	f.Add([]byte(`{"id":"did:a:b","x":"\ud800"}`))
	f.Add([]byte(`{"id":"did:a:b","x":9007199254740993}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := did.ParseDocument(b)
		if err != nil {
			if did.CodeOf(err) != did.InvalidDIDDocument || !utf8.ValidString(err.Error()) {
				t.Fatalf("%v", err)
			}
			return
		}
		if !bytes.Equal(d.Bytes(), b) || !json.Valid(b) {
			t.Fatalf("not the bytes that were parsed, or no JSON: %q", b)
		}
		canonical, err := jcs.Transform(b)
		if err != nil {
			t.Fatalf("no canonical form: %v", err)
		}
		if d.Digest() != sha256.Sum256(canonical) {
			t.Fatal("another digest than that of the canonical form")
		}
		// The canonical form says the same, and nothing in it was rounded or merged.
		again, err := did.ParseDocument(canonical)
		if err != nil || again.Digest() != d.Digest() || again.ID() != d.ID() || len(again.Methods()) != len(d.Methods()) {
			t.Fatalf("the canonical form is another document: %v", err)
		}
		for i, m := range d.Methods() {
			if again.Methods()[i].ID != m.ID || !strings.HasPrefix(m.ID, d.ID()) {
				t.Fatalf("method %q", m.ID)
			}
			if got, ok := d.Method(m.ID); !ok || got != m {
				t.Fatalf("method %q is not found by its id", m.ID)
			}
		}
		if e, err := d.Expanded(); err == nil && len(e.Methods()) != len(d.Methods()) {
			t.Fatal("expanding lost a method")
		}
		for _, typ := range []string{did.MediaTypeJSON, did.MediaTypeDID, did.MediaTypeJSONLD} {
			if r, err := d.Represent(typ); err == nil && !json.Valid(r) {
				t.Fatalf("%s: %q", typ, r)
			}
		}
	})
}

func FuzzJudgeChange(f *testing.F) {
	pinned := mustParse(f, document(`"verificationMethod":[{"id":"#k","type":"Multikey","controller":"`+subject+`","publicKeyMultibase":"`+keyP256+`"}],"assertionMethod":["#k"]`))
	next := mustParse(f, document(`"verificationMethod":[{"id":"#n","type":"Multikey","controller":"`+subject+`","publicKeyMultibase":"`+keyP256+`"}]`))
	stmt, err := json.Marshal(did.Change{
		DID: subject, Old: did.VersionID(pinned), New: did.VersionID(next), VerificationMethod: subject + "#k",
		Created: "2026-11-22T08:00:00Z", Signature: strings.Repeat("01", 64),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stmt)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v := did.JudgeChange(pinned, next, b, changeTime); v.Decision != did.NeedsFingerprint {
			t.Fatalf("%s: %+v", b, v)
		}
	})
}

func FuzzGet(f *testing.F) {
	f.Add(subject, "", "")
	f.Add(subject, "service=files&relativeRef=%2Fx", "text/uri-list")
	f.Add("did%3Aweb%3Ango.example%23k", "verificationRelationship=assertionMethod", "application/did;q=0.1, */*")
	f.Add("%", "%", `a/b;c="\`)
	d := newDereferencer(f)
	f.Fuzz(func(t *testing.T, id, query, accept string) {
		r := d.Get(t.Context(), id, query, accept)
		switch {
		case r.Status == 303:
			u, err := url.Parse(r.Location)
			if err != nil || u.Hostname() != "ngo.example" && u.Scheme != "mailto" || strings.ContainsAny(r.Location, "\r\n") {
				t.Fatalf("led to %q", r.Location)
			}
		case r.ContentType == "" || !json.Valid(r.Body):
			t.Fatalf("%d %s %q", r.Status, r.ContentType, r.Body)
		case (r.Status == 200) != (r.Err == nil):
			t.Fatalf("%d with %v", r.Status, r.Err)
		}
	})
}
