package did_test

import (
	"strings"
	"testing"

	"ihyid/did"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, method, id string }{
		{"did:example:123", "example", "123"},
		{"did:web:ngo.example", "web", "ngo.example"},
		{"did:web:localhost%3A8443:node:a", "web", "localhost%3A8443:node:a"},
		{"did:web:127.0.0.1%3A8443", "web", "127.0.0.1%3A8443"},
		{"did:a1:-_.%aF", "a1", "-_.%aF"},
		{"did:x::a", "x", ":a"}, // *( *idchar ":" ) 1*idchar
		{"did:x:a::b", "x", "a::b"},
		{"did:0:0", "0", "0"},
	} {
		d, err := did.Parse(c.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
			continue
		}
		if d.String() != c.in || d.Method() != c.method || d.ID() != c.id {
			t.Errorf("Parse(%q) = %q %q %q", c.in, d.String(), d.Method(), d.ID())
		}
	}
	if d := (did.DID{}); !d.IsZero() || d.String() != "" || d.Method() != "" || d.ID() != "" {
		t.Error("the zero DID is not empty")
	}
}

func TestParseMalformed(t *testing.T) {
	for _, in := range []string{
		"", "d", "did", "did:", "did:a", "did:a:", "did:a:b:", "did::b", "did::", ":a:b", "urn:a:b",
		"DID:a:b", "Did:a:b", "did:A:b", "did:aB:b", "did:a-b:c", "did:a.b:c", "did:a_b:c", "did:é:b",
		" did:a:b", "did:a:b ", "did: a:b", "did:a:b c", "did:a:b\n", "did:a:b\x00", "did:a:bé", "did:a:b\xff",
		"did:a:b/", "did:a:b/c", "did:a:b?c", "did:a:b#c", "did:a:b#", "did:a:b;c", "did:a:b@c", "did:a:b!",
		"did:a:b~c", "did:a:b+c", "did:a:b=c", "did:a:b,c", "did:a:b*", "did:a:(b)", "did:a:b$", "did:a:b&c", "did:a:b'c",
		"did:a:[::1]", "did:a:%", "did:a:%4", "did:a:%4g", "did:a:%g4", "did:a:b%", "did:a:b%2", "did:a:b%%41", `did:a:b\c`,
		"did:a:" + strings.Repeat("b", did.MaxDIDLength),
	} {
		d, err := did.Parse(in)
		if err == nil {
			t.Errorf("Parse(%q) = %v, want an error", in, d)
		} else if did.CodeOf(err) != did.InvalidDID {
			t.Errorf("Parse(%q): code %q", in, did.CodeOf(err))
		}
	}
}

func TestParseURL(t *testing.T) {
	for _, c := range []struct{ in, did, path, query, fragment string }{
		{"did:a:b", "did:a:b", "", "", ""},
		{"did:a:b/", "did:a:b", "/", "", ""},
		{"did:a:b#", "did:a:b", "", "", ""},
		{"did:a:b?", "did:a:b", "", "", ""},
		{"did:a:b?#", "did:a:b", "", "", ""},
		{"did:a:b#key-1", "did:a:b", "", "", "key-1"},
		{"did:a:b/p//q;x=1,2?s=a/b?c&t=%2F#f/g?h", "did:a:b", "/p//q;x=1,2", "s=a/b?c&t=%2F", "f/g?h"},
		{"did:a:b?service=files&relativeRef=%2Fx", "did:a:b", "", "service=files&relativeRef=%2Fx", ""},
		{"did:a:b/p@:!$&'()*+,;=~", "did:a:b", "/p@:!$&'()*+,;=~", "", ""},
	} {
		u, err := did.ParseURL(c.in)
		if err != nil {
			t.Errorf("ParseURL(%q): %v", c.in, err)
			continue
		}
		if u.DID.String() != c.did || u.Path != c.path || u.Query != c.query || u.Fragment != c.fragment {
			t.Errorf("ParseURL(%q) = %+v", c.in, u)
		}
		if u.String() != c.in {
			t.Errorf("ParseURL(%q).String() = %q", c.in, u.String())
		}
		if u.IsDID() != (c.in == c.did) {
			t.Errorf("ParseURL(%q).IsDID() = %v", c.in, u.IsDID())
		}
	}
}

func TestParseURLMalformed(t *testing.T) {
	for _, c := range []struct{ in, says string }{
		{"", "did:"},
		{"#key", "did:"},
		{"/path", "did:"},
		{"https://a.example/", "did:"},
		{"did:a:#x", "no identifier"},
		{"did:a:b c#x", "column 8"},
		{"did:a:b/p q", "column 10"},
		{"did:a:b?q\x7f", "column 10: character not allowed in the query"},
		{"did:a:b/p?q#f g", "column 14: character not allowed in the fragment"},
		{"did:a:b#f#g", "column 10: character not allowed in the fragment"},
		{"did:a:b/%zz", "column 9"},
		{"did:a:b?%2", "column 9"},
		{"did:a:b#[x]", "column 9"},
		{`did:a:b/\`, "column 9"},
		{"did:a:b/é", "column 9"},
		{"did:a:b#" + strings.Repeat("f", did.MaxURLLength), "longer"},
	} {
		u, err := did.ParseURL(c.in)
		if err == nil {
			t.Errorf("ParseURL(%q) = %v, want an error", c.in, u)
			continue
		}
		if did.CodeOf(err) != did.InvalidDIDURL || !strings.Contains(err.Error(), c.says) {
			t.Errorf("ParseURL(%q): %v, want %q in it", c.in, err, c.says)
		}
	}
}

func TestDIDText(t *testing.T) {
	var d did.DID
	if err := d.UnmarshalText([]byte("did:a:b")); err != nil {
		t.Fatal(err)
	}
	if b, err := d.MarshalText(); err != nil || string(b) != "did:a:b" {
		t.Errorf("MarshalText = %q, %v", b, err)
	}
	if err := d.UnmarshalText([]byte("did:a:")); err == nil || d.String() != "did:a:b" {
		t.Errorf("a bad DID was taken, or changed the good one: %v, %v", d, err)
	}
}
