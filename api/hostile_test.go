package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"ihyid/api"
	"ihyid/api/accounts"
	"ihyid/api/policy"
	"ihyid/store/jobs"
)

// hostile is a server with all operations, a register of its own, and accounts.
func hostile(t *testing.T) (r *running, p *people, d described, count func() uint64) {
	t.Helper()
	p = newPeople(t, accounts.Options{})
	var reg api.Register
	r = serve(t, &fakeNode{}, kept(t), withPeople(p), func(o *api.Options) { o.DIDs, o.Credentials, reg = silentDIDs{}, realNode(t, "web"), o.Register })
	r.jobs.watch = func(context.Context, string) (<-chan jobs.Job, error) {
		ch := make(chan jobs.Job)
		close(ch)
		return ch, nil
	}
	_, raw := readSpec(t, r)
	if err := json.Unmarshal(raw, &d.doc); err != nil {
		t.Fatal(err)
	}
	return r, p, d, func() uint64 {
		n, err := reg.Count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// pathValues stand for the parameters of paths.
var pathValues = map[string]string{"number": "1", "id": "1", "did": "did:web:a.example", "profile": "soundex/1", "pair": "1-2", "account": "abcdef0123456789", "token": "abcdef0123456789"}

func filled(path string) string {
	for name, value := range pathValues {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	return path
}

// wrongParameters are what few parameters take, as they are before a URL escapes them.
var wrongParameters = []string{
	"", " ", "-1", "0", "1e9", "1.5", "99999999999999999999999", "true", "null", "\x00", "\xff\xfe", "zzzz-" + strings.Repeat("A", 3000), "../../etc/passwd", "..%2f..%2fetc%2fpasswd",
	"%2e%2e/%2e%2e/etc/passwd", `..\..\etc\passwd`, "1;DROP TABLE contacts", "\u202e\u200b", "٣", "2026-99-99T00:00:00Z", "9999999999-01-01T00:00:00Z", "AAAAAAAAAAA", strings.Repeat("AAAA", 256),
}

// TestFuzzOfParameters gives every parameter of every described operation what it does not take, twice, and parameters that there are not. No answer is a 5xx
// or repeats what was sent, and nothing is changed.
func TestFuzzOfParameters(t *testing.T) {
	r, _, d, count := hostile(t)
	before, sent, seen := count(), 0, map[string]bool{}
	send := func(method, at string, headers ...string) {
		t.Helper()
		sent++
		body := "{}"
		if method == "get" {
			body = ""
		}
		resp, got := ask(t, r.local, strings.ToUpper(method), "http://node"+at, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, headers...)...)
		if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s %.100q %.100q: %d %s", method, at, headers, resp.StatusCode, got)
		}
		if resp.StatusCode >= 400 && (strings.Contains(string(got), "passwd") || strings.Contains(string(got), "zzzz") || strings.Contains(string(got), "goroutine")) {
			t.Errorf("%s %.100q is answered with %s", method, at, got)
		}
	}
	for path, item := range d.doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			send(method, filled(path)+"?zzzz=1")
			parameters, _ := op.(map[string]any)["parameters"].([]any)
			for _, p := range parameters {
				name, in := p.(map[string]any)["name"].(string), p.(map[string]any)["in"].(string)
				seen[in+" "+name] = true
				for _, w := range wrongParameters {
					switch in {
					case "query":
						q := url.QueryEscape(name) + "=" + url.QueryEscape(w)
						send(method, filled(path)+"?"+q)
						send(method, filled(path)+"?"+q+"&"+q)
					case "header":
						if utf8.ValidString(w) && !strings.ContainsAny(w, "\x00\u202e٣") { // which net/http sends for nobody
							send(method, filled(path), name, w)
							send(method, filled(path), name, `"`+w+`"`)
						}
					case "path":
						if w != "" { // else it is another path
							send(method, filled(strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(w))))
						}
					default:
						t.Errorf("a parameter in %s", in)
					}
				}
			}
		}
	}
	for _, name := range []string{"query after", "query limit", "query state", "query peer", "query since", "query kind", "query role", "query outcome", "header If-Match", "header Last-Event-ID", "path did", "path number"} {
		if !seen[name] {
			t.Errorf("no operation is described with %s", name)
		}
	}
	if count() != before {
		t.Errorf("%d contacts, %d before", count(), before)
	}
	if sent < 2000 {
		t.Errorf("only %d requests", sent)
	}
	if strings.Contains(r.log.String(), "panic") {
		t.Error("a handler panicked")
	}
}

// TestTokensOfOthers: with a token whose header was changed, or of another node, every operation that is not for everybody answers a stranger's 401.
func TestTokensOfOthers(t *testing.T) {
	r, p, d, _ := hostile(t)
	signIn := func(p *people) string {
		p.add(t, "fatima", policy.Admin)
		tokens, err := p.SignIn(t.Context(), "fatima", goodPassword, "", "192.0.2.7")
		if err != nil {
			t.Fatal(err)
		}
		return tokens.Access
	}
	good := signIn(p)
	parts := strings.Split(good, ".")
	header := func(change map[string]any) string {
		text, _ := base64.RawURLEncoding.DecodeString(parts[0])
		h := map[string]any{}
		if err := json.Unmarshal(text, &h); err != nil {
			t.Fatal(err)
		}
		maps.Copy(h, change)
		text, _ = json.Marshal(h)
		return base64.RawURLEncoding.EncodeToString(text) + "." + parts[1] + "." + parts[2]
	}
	bad := map[string]string{
		"none": header(map[string]any{"alg": "none"}), "unsigned": strings.TrimSuffix(header(map[string]any{"alg": "none"}), parts[2]), "HS256": header(map[string]any{"alg": "HS256"}),
		"kid": header(map[string]any{"kid": "../../keys"}), "jku": header(map[string]any{"jku": "https://evil.example/keys"}),
		"another node's": signIn(newPeople(t, accounts.Options{Issuer: "did:web:other.example"})), "another node's of the same name": signIn(newPeople(t, accounts.Options{})),
		"an API token's form": "ihyid_" + strings.Repeat("A", 40),
	}
	if resp, body := ask(t, r.public, http.MethodGet, r.url+"/status", nil, "Authorization", "Bearer "+good); resp.StatusCode != http.StatusOK {
		t.Fatalf("the good token: %d %s", resp.StatusCode, body)
	}
	asked := 0
	for path, item := range d.doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			if needs, _ := op.(map[string]any)["security"].([]any); len(needs) == 0 {
				continue
			}
			for name, token := range bad {
				asked++
				resp, body := ask(t, r.public, strings.ToUpper(method), r.url+filled(path), strings.NewReader("{}"), "Content-Type", "application/json", "Authorization", "Bearer "+token)
				if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), "urn:ihyid:problem:unauthorized") {
					t.Errorf("%s: %s %s: %d %s", name, method, path, resp.StatusCode, body)
				}
			}
		}
	}
	if asked < 300 {
		t.Errorf("only %d requests", asked)
	}
}

// TestPathsThatClimb: no path with steps in it, in whatever writing, leads anywhere, and none is redirected.
func TestPathsThatClimb(t *testing.T) {
	r, _, _, _ := hostile(t)
	conn := func() net.Conn {
		c, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), r.public.Transport.(*http.Transport).TLSClientConfig)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, path := range []string{
		"/../../etc/passwd", "/contacts/../status", "/contacts/%2e%2e/status", "/contacts/..%2fstatus", "/contacts/.%2e/status", "/contacts//1", "//status", "/./status", "/docs/../openapi.json",
		"/docs/..%2f..%2f..%2fetc%2fpasswd", `/docs/..\..\etc\passwd`, "/docs/%5c..%5c..", "/jobs/%2e%2e%2f%2e%2e", "/node/exchanges/../../status", "/openapi.json/", "/status%00", "/status;x", "/receipts/..%00/x", "/%c0%ae%c0%ae/status",
	} {
		c := conn()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n", path)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		body, _ := io.ReadAll(resp.Body)
		c.Close()
		if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" || strings.Contains(string(body), "root:") {
			t.Errorf("%s: %d %v %s", path, resp.StatusCode, resp.Header, body)
		}
	}
}

// TestBodiesThatLie: a body that is shorter or longer than it says, or says two things, is refused or cut; nothing comes of it, and the next request is answered.
func TestBodiesThatLie(t *testing.T) {
	r, _, _, count := hostile(t)
	const contact = `{"first_name":"Houman","last_name":"Haddad","mother_first_name":"Barbara","father_first_name":"Michael","date_of_birth":"1976-05-07"}`
	before := count()
	for name, request := range map[string]string{
		"too long":           fmt.Sprintf("POST /contacts HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(contact)+5, contact),
		"negative":           "POST /contacts HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: -5\r\n\r\n" + contact,
		"no number":          "POST /contacts HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: many\r\n\r\n" + contact,
		"two":                fmt.Sprintf("POST /contacts HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: %d\r\nContent-Length: 5\r\n\r\n%s", len(contact), contact),
		"too short":          "POST /contacts HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n" + contact,
		"huge":               "POST /contacts HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: 9223372036854775807\r\n\r\n" + contact,
		"over all numbers":   "POST /contacts HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: 99999999999999999999999\r\n\r\n" + contact,
		"chunked, cut":       "POST /contacts HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + contact,
		"chunked, no number": "POST /contacts HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + contact + "\r\n0\r\n\r\n",
		"an unknown coding":  "POST /contacts HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"a list, cut":        "POST /contacts/import HTTP/1.1\r\nHost: node\r\nContent-Type: text/csv\r\nContent-Length: 5000\r\n\r\nfirst_name,last_name\r\nHouman,Haddad\r\n",
	} {
		c, err := api.DialSocket(t.Context(), r.data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			if !slices.Contains([]int{400, 413, 422, 501}, resp.StatusCode) {
				t.Errorf("%s: %d %s", name, resp.StatusCode, body)
			}
		}
		c.Close()
		if n := count(); n != before {
			t.Errorf("%s: %d contacts", name, n)
		}
		if resp, body := ask(t, r.local, http.MethodGet, "http://node/contacts", nil); resp.StatusCode != http.StatusOK {
			t.Errorf("after it: %d %s", resp.StatusCode, body)
		}
	}
	if strings.Contains(r.log.String(), "panic") {
		t.Error("a handler panicked")
	}
}
