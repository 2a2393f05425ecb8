package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"ihyid/api"
	"ihyid/did"
)

// fixedDIDs resolves documents at hand, and notes what was flushed.
type fixedDIDs struct {
	did.Dereferencer
	flushed []string
}

func (f *fixedDIDs) Get(ctx context.Context, identifier, query, accept string) did.Response {
	return f.Dereferencer.Get(ctx, identifier, query, accept)
}
func (f *fixedDIDs) Flush(name string) { f.flushed = append(f.flushed, name) }

// gone is a resolver of one DID that was deactivated.
type gone struct{ did.Fixed }

func (g gone) Resolve(ctx context.Context, name string) (*did.Resolution, error) {
	switch {
	case name == "did:web:gone.example.org":
		return nil, &did.Error{Code: did.Deactivated, DID: name}
	case strings.HasPrefix(name, "did:ion:"):
		return nil, &did.Error{Code: did.MethodNotSupported, DID: name}
	}
	return g.Fixed.Resolve(ctx, name)
}

func TestIdentifiers(t *testing.T) {
	const name = "did:web:localhost%3A8443:aid"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := did.Build(did.DocumentSpec{
		ID:       name,
		Keys:     []did.SpecKey{{Fragment: "key-1", Public: key.Public(), Relationships: []string{did.AssertionMethod}}},
		Services: []did.Service{{ID: "#node", Type: did.ServiceTypeNode, Endpoint: "https://localhost:8443/node"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dids := &fixedDIDs{Dereferencer: did.Dereferencer{Resolver: gone{did.Fixed{name: doc}}}}
	r := serve(t, &fakeNode{}, func(o *api.Options) { o.DIDs = dids })
	for _, c := range []struct {
		identifier, accept string
		status             int
		contentType, in    string
	}{
		{name, "", 200, did.MediaTypeResolution, `"didResolutionMetadata"`}, // as it is: its %3A is part of the DID
		{url.PathEscape(name), "", 200, did.MediaTypeResolution, `"versionId"`},
		{name, "application/did", 200, "application/did", `"assertionMethod"`},
		{name, "application/did+ld+json", 200, "application/did+ld+json", `"assertionMethod"`},
		{name, "text/plain", 406, "", "REPRESENTATION_NOT_SUPPORTED"},
		{url.PathEscape(name + "#key-1"), "", 200, did.MediaTypeDereferencing, `"publicKeyMultibase"`},
		{url.PathEscape(name + "#none"), "", 404, "", "NOT_FOUND"},
		{name + "?service=node", "text/uri-list", 303, "", ""},
		{"did:web:none.example.org", "", 404, "", "NOT_FOUND"},
		{"did:web:gone.example.org", "", 410, "", ""},
		{"did:ion:abc", "", 501, "", "METHOD_NOT_SUPPORTED"},
		{"nonsense", "", 400, "", "INVALID_DID"},
		{"did:web:a%zz", "", 400, "", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://node/", nil)
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(c.identifier, "?")
		req.URL.Opaque = "//node/1.0/identifiers/" + path // exactly these characters
		req.URL.RawQuery = query
		if c.accept != "" {
			req.Header.Set("Accept", c.accept)
		}
		resp, err := r.local.Transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.status || !strings.Contains(string(body), c.in) {
			t.Errorf("%s (%s): %d %s, want %d and %q", c.identifier, c.accept, resp.StatusCode, body, c.status, c.in)
		}
		if got := resp.Header.Get("Content-Type"); c.contentType != "" && got != c.contentType {
			t.Errorf("%s (%s): served as %q, want %q", c.identifier, c.accept, got, c.contentType)
		}
		if resp.Header.Get("Vary") != "Accept" && c.status != 400 {
			t.Errorf("%s: Vary: %q", c.identifier, resp.Header.Get("Vary"))
		}
		if c.status == 303 && resp.Header.Get("Location") != "https://localhost:8443/node" {
			t.Errorf("%s: Location %q", c.identifier, resp.Header.Get("Location"))
		}
	}
	for _, path := range []string{"/did-cache", "/did-cache/" + url.PathEscape(name)} {
		if resp, body := ask(t, r.local, "DELETE", "http://node"+path, nil); resp.StatusCode != http.StatusNoContent {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	if len(dids.flushed) != 2 || dids.flushed[0] != "" || dids.flushed[1] != name {
		t.Errorf("flushed: %q", dids.flushed)
	}
}
