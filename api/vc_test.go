package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"ihyid/api"
	"ihyid/did"
	"ihyid/exchange"
	"ihyid/kms/file"
	"ihyid/store"
)

// realNode makes a node that signs, without anything that exchanges need.
func realNode(t *testing.T, method string) *exchange.Node {
	t.Helper()
	dir := t.TempDir()
	keys, err := file.Create(filepath.Join(dir, "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Create(t.Context(), filepath.Join(dir, "node.db"), store.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	n, err := exchange.Create(t.Context(), exchange.Options{Store: s, Keys: keys, Resolver: did.NewResolver(did.Options{})}, exchange.NewIdentity{
		Method: method, Host: "node.example", Organisation: exchange.Organisation{Name: "Relief", RegistrationNumber: "1", Country: "JO"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		keys.Close()
	})
	return n
}

type vcReply struct {
	status                 int
	VerifiableCredential   json.RawMessage
	VerifiablePresentation json.RawMessage
	Verified               bool
	ProblemDetails         []struct{ Type, Title, Detail string }
	Checks                 []struct{ Name, Outcome string }
	CredentialResults      []struct{ Verified bool }
	Type                   string
}

func askVC(t *testing.T, c *http.Client, url string, request any) vcReply {
	t.Helper()
	text, ok := request.(string)
	if !ok {
		b, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	resp, err := c.Post(url, "application/json", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := vcReply{status: resp.StatusCode}
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
	}
	return r
}

type m = map[string]any

// The VC API over HTTP: what it signs it verifies, what was changed it refuses with the names that the specifications have.
func TestVCAPI(t *testing.T) {
	node := realNode(t, "key")
	r := serve(t, &fakeNode{}, func(o *api.Options) { o.Credentials = node })
	ask := func(path string, request any) vcReply {
		t.Helper()
		return askVC(t, r.local, "http://node/vc"+path, request)
	}
	credential := func() m {
		return m{"@context": []any{"https://www.w3.org/ns/credentials/v2"}, "type": []any{"VerifiableCredential"}, "issuer": node.DID(),
			"validFrom": "2020-01-01T00:00:00Z", "credentialSubject": m{"id": "did:example:subject", "name": "A subject"}}
	}
	for _, proof := range []string{"rdfc", "jcs", "jose"} {
		t.Run(proof, func(t *testing.T) {
			issued := ask("/credentials/issue", m{"credential": credential(), "options": m{"proof": proof}})
			if issued.status != http.StatusCreated || len(issued.VerifiableCredential) == 0 {
				t.Fatalf("%+v", issued)
			}
			verified := ask("/credentials/verify", m{"verifiableCredential": issued.VerifiableCredential, "options": m{}})
			if verified.status != 200 || !verified.Verified || len(verified.ProblemDetails) != 0 || len(verified.Checks) < 9 {
				t.Fatalf("%+v", verified)
			}
			p := m{"@context": []any{"https://www.w3.org/ns/credentials/v2"}, "type": []any{"VerifiablePresentation"}, "holder": node.DID(),
				"verifiableCredential": []any{issued.VerifiableCredential}}
			proved := ask("/presentations", m{"presentation": p, "options": m{"proof": proof, "challenge": "c-1", "domain": "https://v.example"}})
			if proved.status != http.StatusCreated {
				t.Fatalf("%+v", proved)
			}
			options := m{"challenge": "c-1", "domain": "https://v.example"}
			verified = ask("/presentations/verify", m{"verifiablePresentation": proved.VerifiablePresentation, "options": options})
			if verified.status != 200 || !verified.Verified || len(verified.CredentialResults) != 1 {
				t.Fatalf("%+v", verified)
			}
			for member, name := range map[string]string{"challenge": "INVALID_CHALLENGE_ERROR", "domain": "INVALID_DOMAIN_ERROR"} {
				other := m{"challenge": "c-1", "domain": "https://v.example"}
				other[member] = "another"
				verified = ask("/presentations/verify", m{"verifiablePresentation": proved.VerifiablePresentation, "options": other})
				if verified.status != 400 || verified.Verified || len(verified.ProblemDetails) != 1 || verified.ProblemDetails[0].Type != "https://w3id.org/security#"+name {
					t.Errorf("%s: %+v", member, verified)
				}
			}
			if proof == "jose" {
				return
			}
			tampered := bytes.ReplaceAll(issued.VerifiableCredential, []byte("A subject"), []byte("B subject"))
			verified = ask("/credentials/verify", m{"verifiableCredential": json.RawMessage(tampered)})
			if verified.status != 400 || len(verified.ProblemDetails) != 1 || verified.ProblemDetails[0].Type != "https://w3id.org/security#PROOF_VERIFICATION_ERROR" {
				t.Errorf("%+v", verified)
			}
		})
	}
	expired := credential()
	expired["validUntil"] = "2021-01-01T00:00:00Z"
	issued := ask("/credentials/issue", m{"credential": expired})
	if v := ask("/credentials/verify", m{"verifiableCredential": issued.VerifiableCredential}); v.status != 400 || v.ProblemDetails[0].Type != "https://www.w3.org/TR/vc-data-model#RANGE_ERROR" {
		t.Errorf("expired: %+v", v)
	}
	if v := ask("/credentials/verify", m{"verifiableCredential": issued.VerifiableCredential, "options": m{"checks": []any{"proof"}}}); v.status != 200 {
		t.Errorf("expired, and only the proof asked for: %+v", v)
	}
	if v := ask("/credentials/verify", m{"verifiableCredential": credential(), "options": m{"checks": []any{}}}); v.status != 400 || v.Verified {
		t.Errorf("no proof: %+v", v)
	}
	if v := ask("/presentations/verify", m{"verifiablePresentation": issued.VerifiableCredential}); v.status != 400 || v.Verified {
		t.Errorf("a credential as a presentation: %+v", v)
	}
}

// What cannot be understood is a problem document; what would be another's word, or a message of the protocol, is not signed.
func TestVCAPIRefuses(t *testing.T) {
	node := realNode(t, "key")
	r := serve(t, &fakeNode{}, func(o *api.Options) { o.Credentials = node })
	with := func(change func(c m)) m {
		c := m{"@context": []any{"https://www.w3.org/ns/credentials/v2"}, "type": []any{"VerifiableCredential"}, "issuer": node.DID(), "credentialSubject": m{"id": "did:example:subject"}}
		change(c)
		return m{"credential": c}
	}
	for name, request := range map[string]any{
		"not JSON": "{", "twice": `{"credential":{},"credential":{}}`, "nothing": m{}, "a list": []any{}, "unknown member": m{"credential": m{}, "more": 1},
		"unknown option": m{"credential": m{}, "options": m{"x": "y"}}, "option form": m{"credential": m{}, "options": m{"challenge": 7}},
		"no credential":  m{"credential": m{}},
		"other issuer":   with(func(c m) { c["issuer"] = "did:example:other" }),
		"no issuer":      with(func(c m) { delete(c, "issuer") }),
		"undefined term": with(func(c m) { c["credentialSubject"] = m{"id": "did:example:s", "undefinedTerm": "x"} }),
		"unknown context": with(func(c m) {
			c["@context"] = []any{"https://www.w3.org/ns/credentials/v2", "https://context.example/v1"}
		}),
		"own type":     with(func(c m) { c["type"] = []any{"VerifiableCredential", "IhyidMatchReceipt"} }),
		"message type": with(func(c m) { c["type"] = []any{"VerifiableCredential", "IhyidBundle"} }),
		"proof":        m{"credential": with(func(m) {})["credential"], "options": m{"proof": "none"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := askVC(t, r.local, "http://node/vc/credentials/issue", request)
			if got.status/100 != 4 || !strings.HasPrefix(got.Type, "urn:ihyid:problem:") || len(got.VerifiableCredential) > 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	for _, proof := range []string{"jcs", "jose"} {
		request := with(func(c m) { c["credentialSubject"] = m{"id": "did:example:s", "undefinedTerm": "x"} })
		request["options"] = m{"proof": proof}
		if got := askVC(t, r.local, "http://node/vc/credentials/issue", request); got.status != 400 {
			t.Errorf("%s signs an undefined term: %+v", proof, got)
		}
	}
	message := with(func(c m) { c["type"] = []any{"VerifiableCredential", "IhyidBundle"} })["credential"]
	p := m{"@context": []any{"https://www.w3.org/ns/credentials/v2"}, "type": []any{"VerifiablePresentation"}, "holder": node.DID(), "verifiableCredential": []any{message}}
	if got := askVC(t, r.local, "http://node/vc/presentations", m{"presentation": p}); got.status != 400 {
		t.Errorf("a message is signed: %+v", got)
	}
}

// The public side publishes status lists, and verifies for anybody only if it is opened; it never signs.
func TestVCAPIPublic(t *testing.T) {
	node := realNode(t, "web")
	for _, open := range []bool{false, true} {
		r := serve(t, &fakeNode{}, func(o *api.Options) { o.Credentials, o.OpenVerify = node, open })
		for path, want := range map[string]int{"/vc/credentials/verify": 400, "/vc/presentations/verify": 400, "/vc/credentials/issue": 404, "/vc/presentations": 404} {
			if !open {
				want = 404
			}
			if got := askVC(t, r.public, r.url+path, m{"verifiableCredential": m{"type": "x"}}); got.status != want {
				t.Errorf("open %v: %s: %d, want %d", open, path, got.status, want)
			}
		}
		for path, want := range map[string]int{"/node/status/1/revocation": 404, "/node/status/0/revocation": 404, "/node/status/1/other": 404} {
			resp, err := r.public.Get(r.url + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: %d", path, resp.StatusCode)
			}
		}
	}
}
