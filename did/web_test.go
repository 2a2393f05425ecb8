package did_test

import (
	"testing"

	"ihyid/did"
)

func TestWebURL(t *testing.T) {
	for in, want := range map[string]string{
		// printed in the did:web draft
		"did:web:w3c-ccg.github.io":             "https://w3c-ccg.github.io/.well-known/did.json",
		"did:web:w3c-ccg.github.io:user:alice":  "https://w3c-ccg.github.io/user/alice/did.json",
		"did:web:example.com%3A3000:user:alice": "https://example.com:3000/user/alice/did.json",
		// ours
		"did:web:node-a%3A8443":          "https://node-a:8443/.well-known/did.json",
		"did:web:xn--bcher-kva.example":  "https://xn--bcher-kva.example/.well-known/did.json",
		"did:web:a.example:x%20y:%C3%A9": "https://a.example/x%20y/%C3%A9/did.json",
		"did:web:a.example%3A443":        "https://a.example:443/.well-known/did.json",
		"did:web:1and1.example":          "https://1and1.example/.well-known/did.json",
		"did:web:a.example:127.0.0.1":    "https://a.example/127.0.0.1/did.json",
		"did:web:0xg.0xg":                "https://0xg.0xg/.well-known/did.json",
		"did:web:a.example:..a:a..:...":  "https://a.example/..a/a../.../did.json",
	} {
		got, err := did.WebURL(in)
		if err != nil || got != want {
			t.Errorf("WebURL(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestWebURLRefused(t *testing.T) {
	never := []string{
		"did:web:A.example", "did:web:a.example.", "did:web:.a", "did:web:a..b", "did:web:-a.example", "did:web:a-.example",
		"did:web:a_b.example", "did:web:%61.example", "did:web:a.example%3a8443", "did:web:a.example%2Fx", "did:web:a.example%3A",
		"did:web:a.example%3A0", "did:web:a.example%3A65536", "did:web:a.example%3A080", "did:web:a.example%3A-1", "did:web:a.example%3Ax",
		"did:web:a.example%3A80%3A80", "did:web:user%40a.example", "did:web:a.example%23x", "did:web::a", "did:web:%3A8443",
		"did:web:a.example::x", "did:web:a.example:.", "did:web:a.example:..", "did:web:a.example:%2e%2E:x", "did:web:a.example:%2e",
		"did:web:a.example:x%2Fy", "did:web:a.example:x%5Cy", "did:web:a.example:%00", "did:web:a.example:%0A", "did:web:a.example:%252e",
		"did:web:a.example:x%3Fy", "did:web:a.example:x%23y", "did:web:a.example:%7F",
		// IP addresses and what resolvers take for one
		"did:web:8.8.8.8", "did:web:10.0.0.1", "did:web:169.254.169.254", "did:web:0.0.0.0", "did:web:1", "did:web:2130706433",
		"did:web:0x7f000001", "did:web:0x7f.1", "did:web:127.1", "did:web:0177.0.0.1", "did:web:127.0.0.01", "did:web:0x", "did:web:a.0x1",
		"did:web:a.1", "did:web:256.1.1.1", "did:web:%5B%3A%3A1%5D", "did:web:%5B%3A%3A1%5D%3A443", "did:web:--1", "did:web:..1",
	}
	loopback := []string{
		"did:web:localhost", "did:web:localhost%3A8443", "did:web:node.localhost", "did:web:127.0.0.1%3A8443", "did:web:127.0.0.1", "did:web:127.9.9.9",
	}
	for _, w := range []did.Web{{}, {AllowLoopback: true}} {
		refused := never
		if !w.AllowLoopback {
			refused = append(refused, loopback...)
		}
		for _, in := range refused {
			if got, err := w.URL(in); err == nil {
				t.Errorf("%+v: URL(%q) = %q, want an error", w, in, got)
			} else if did.CodeOf(err) != did.InvalidDID {
				t.Errorf("%+v: URL(%q): code %q", w, in, did.CodeOf(err))
			}
		}
	}
	for _, in := range loopback {
		if _, err := (did.Web{AllowLoopback: true}).URL(in); err != nil {
			t.Errorf("with loopback allowed: %v", err)
		}
	}
	if _, err := did.WebURL("did:key:zDna"); did.CodeOf(err) != did.MethodNotSupported {
		t.Errorf("did:key taken for a did:web: %v", err)
	}
}

func TestWebDID(t *testing.T) {
	for _, c := range []struct {
		host string
		path []string
		want string
	}{
		{"Node.NGO.example", nil, "did:web:node.ngo.example"},
		{"ngo.example:443", nil, "did:web:ngo.example"},
		{"ngo.example:8443", []string{"country", "lb"}, "did:web:ngo.example%3A8443:country:lb"},
	} {
		if got, err := did.WebDID(c.host, c.path...); err != nil || got != c.want {
			t.Errorf("WebDID(%q, %q) = %q, %v", c.host, c.path, got, err)
		}
	}
	for _, c := range []struct {
		host string
		path []string
	}{
		{"", nil}, {"localhost:8443", nil}, {"127.0.0.1:8443", nil}, {"a.example:x", nil}, {"a.example:8443:1", nil}, {"a.example/x", nil},
		{"https://a.example", nil}, {"bücher.example", nil}, {"a.example", []string{""}}, {"a.example", []string{".."}},
		{"a.example", []string{"x/y"}}, {"a.example", []string{"x:y"}}, {"a.example", []string{"x y"}}, {"[::1]:8443", nil},
	} {
		if got, err := did.WebDID(c.host, c.path...); err == nil {
			t.Errorf("WebDID(%q, %q) = %q, want an error", c.host, c.path, got)
		}
	}
	w := did.Web{AllowLoopback: true}
	for host, want := range map[string]string{"localhost:8443": "did:web:localhost%3A8443", "127.0.0.1:8443": "did:web:127.0.0.1%3A8443"} {
		if got, err := w.DID(host); err != nil || got != want {
			t.Errorf("DID(%q) = %q, %v", host, got, err)
		}
	}
}
