package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"ihyid/api"
	"ihyid/exchange"
)

func TestTLS(t *testing.T) {
	r := serve(t, &fakeNode{})
	resp, body := ask(t, r.public, "GET", r.url+"/healthz", nil)
	if resp.StatusCode != 200 || string(body) != "{\"status\":\"ok\"}\n" {
		t.Errorf("healthz: %d %s", resp.StatusCode, body)
	}
	if resp.TLS.Version != tls.VersionTLS13 || resp.TLS.CurveID != tls.X25519MLKEM768 {
		t.Errorf("TLS %x with %v, want TLS 1.3 with X25519MLKEM768", resp.TLS.Version, resp.TLS.CurveID)
	}
	if resp.ProtoMajor != 2 {
		t.Errorf("protocol %s, want HTTP/2", resp.Proto)
	}
	config := r.public.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.MaxVersion = tls.VersionTLS12
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), config); err == nil {
		conn.Close()
		t.Error("TLS 1.2 was accepted")
	}
}

func TestDocument(t *testing.T) {
	node := &fakeNode{path: "/a{1}/b/did.json", document: []byte("{\n \"id\":\"x\"}")}
	r := serve(t, node)
	for _, c := range []struct{ accept, want string }{
		{"", "application/did+ld+json"},
		{"*/*", "application/did+ld+json"},
		{"application/did", "application/did"},
		{"application/did+json", "application/did+json"},
		{"application/did+json;q=0.5, application/did;q=0.9", "application/did"},
		{"application/json", "application/json"},
		{"text/html, application/*;q=0.1", "application/did+ld+json"},
		{"application/*, application/did+ld+json;q=0", "application/did+json"},
		{"APPLICATION/DID+JSON", "application/did+json"},
		{"text/html", ""},
		{"application/did;q=0", ""},
		{"application/did;q=NaN", ""},
	} {
		headers := []string{}
		if c.accept != "" {
			headers = []string{"Accept", c.accept}
		}
		resp, body := ask(t, r.public, "GET", r.url+"/a%7B1%7D/b/did.json", nil, headers...)
		if c.want == "" {
			wantProblem(t, resp, body, 406, "not-acceptable")
			continue
		}
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != c.want || !bytes.Equal(body, node.document) {
			t.Errorf("Accept %q: %d %s %s, want %s", c.accept, resp.StatusCode, resp.Header.Get("Content-Type"), body, c.want)
		}
	}
	resp, body := ask(t, r.public, "POST", r.url+"/a%7B1%7D/b/did.json", nil)
	wantProblem(t, resp, body, 405, "method-not-allowed")
	resp, body = ask(t, r.public, "GET", r.url+"/.well-known/did.json", nil)
	wantProblem(t, resp, body, 404, "not-found")
}

func TestUnknownRoutes(t *testing.T) {
	r := serve(t, &fakeNode{})
	for _, c := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/", 404, "not-found", ""},
		{"GET", "//healthz", 404, "not-found", ""},
		{"GET", "/healthz/", 404, "not-found", ""},
		{"GET", "/node/../healthz", 404, "not-found", ""},
		{"GET", "/node/%2e%2e/healthz", 404, "not-found", ""},
		{"GET", "/contacts", 404, "not-found", ""},
		{"GET", "/openapi.json", 404, "not-found", ""},
		{"GET", "/status", 404, "not-found", ""},
		{"GET", "/node/messages", 405, "method-not-allowed", "POST"},
		{"DELETE", "/healthz", 405, "method-not-allowed", "GET, HEAD"},
		{"BREW", "/node/challenges", 405, "method-not-allowed", "POST"},
		{"POST", "/node/exchanges/ab/bundle/chunks/0", 405, "method-not-allowed", "GET, PUT"},
		{"GET", "/node/exchanges/..%2f..%2fetc/bundle/chunks/0", 404, "not-found", ""},
		{"GET", "/node/exchanges/%2e%2e/bundle/chunks/0", 404, "not-found", ""},
		{"GET", "/node/exchanges/-x/bundle/chunks/0", 404, "not-found", ""},
		{"GET", "/node/exchanges/ab/..%2fx/chunks/0", 404, "not-found", ""},
		{"GET", "/node/exchanges/ab/Bundle/chunks/0", 404, "not-found", ""},
		{"GET", "/node/exchanges/ab/bundle/chunks/01", 404, "not-found", ""},
		{"GET", "/node/exchanges/ab/bundle/chunks/-1", 404, "not-found", ""},
		{"GET", "/node/exchanges/ab/bundle/chunks/4294967296", 404, "not-found", ""},
		{"GET", "/node/exchanges/ab/bundle/chunks/99999999999", 404, "not-found", ""},
		{"GET", "/node/exchanges/ab%00/bundle/chunks/1", 404, "not-found", ""},
		{"GET", "/node/exchanges/" + strings.Repeat("a", 129), 404, "not-found", ""},
	} {
		u, err := url.Parse(r.url)
		if err != nil {
			t.Fatal(err)
		}
		u.Opaque = "//" + u.Host + c.path // as it stands, dots and all
		req := &http.Request{Method: c.method, URL: u, Host: u.Host, Header: http.Header{"Authorization": {"Bearer abc"}}}
		resp, err := r.public.Do(req.WithContext(t.Context()))
		if err != nil {
			t.Fatalf("%s %s: %v", c.method, c.path, err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			wantProblem(t, resp, body, c.status, c.code)
			if allow := strings.Join(resp.Header.Values("Allow"), ", "); allow != c.allow {
				t.Errorf("Allow %q, want %q", allow, c.allow)
			}
		})
	}
}

func TestChallenge(t *testing.T) {
	var got exchange.ChallengeRequest
	var calls int
	r := serve(t, &fakeNode{challenge: func(_ context.Context, c exchange.ChallengeRequest) (exchange.Challenge, error) {
		calls++
		got = c
		return exchange.Challenge{Challenge: "00ff", Expires: time.Unix(0, 0).UTC()}, nil
	}})
	resp, body := ask(t, r.public, "POST", r.url+"/node/challenges", strings.NewReader(`{"sender":"did:web:a.example","action":"opening","exchange":"00"}`),
		"Content-Type", "application/json; charset=UTF-8")
	if resp.StatusCode != 200 || string(body) != `{"challenge":"00ff","expires":"1970-01-01T00:00:00Z"}`+"\n" {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if want := (exchange.ChallengeRequest{Sender: "did:web:a.example", Action: "opening", Exchange: "00"}); got != want {
		t.Errorf("asked %+v, want %+v", got, want)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		t.Error("a challenge may be cached")
	}

	calls = 0
	const good = `{"sender":"did:web:SECRET.example","action":"opening"}`
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		code                    string
	}{
		{"no content type", "", good, 415, "unsupported-media-type"},
		{"text", "text/plain", good, 415, "unsupported-media-type"},
		{"not a content type", "SECRET;;=", good, 415, "unsupported-media-type"},
		{"other character set", "application/json; charset=latin1", good, 415, "unsupported-media-type"},
		{"empty", "application/json", "", 400, "invalid"},
		{"truncated", "application/json", good[:len(good)-3], 400, "invalid"},
		{"trailing", "application/json", good + "{}", 400, "invalid"},
		{"duplicate", "application/json", `{"sender":"did:web:a.example","action":"x","sender":"did:web:SECRET.example"}`, 400, "invalid"},
		{"escaped duplicate", "application/json", `{"sender":"did:web:a.example","action":"x","\u0073ender":"did:web:SECRET.example"}`, 400, "invalid"},
		{"other case", "application/json", `{"Sender":"did:web:SECRET.example","action":"x"}`, 400, "invalid"},
		{"unknown", "application/json", `{"sender":"did:web:a.example","action":"x","SECRET":"x"}`, 400, "invalid"},
		{"number", "application/json", `{"sender":"did:web:a.example","action":7}`, 400, "invalid"},
		{"null", "application/json", `{"sender":"did:web:a.example","action":null}`, 400, "invalid"},
		{"array", "application/json", `["SECRET"]`, 400, "invalid"},
		{"deep", "application/json", strings.Repeat("[", 2000) + strings.Repeat("]", 2000), 400, "invalid"},
		{"no UTF-8", "application/json", "{\"sender\":\"did:web:SECRET\xff\",\"action\":\"x\"}", 400, "invalid"},
		{"lone surrogate", "application/json", `{"sender":"did:web:SECRET\ud800","action":"x"}`, 400, "invalid"},
		{"no action", "application/json", `{"sender":"did:web:SECRET.example"}`, 400, "invalid"},
		{"large", "application/json", `{"sender":"` + strings.Repeat("SECRET", 2000) + `","action":"x"}`, 413, "too-large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.contentType != "" {
				headers = []string{"Content-Type", c.contentType}
			}
			resp, body := ask(t, r.public, "POST", r.url+"/node/challenges", strings.NewReader(c.body), headers...)
			wantProblem(t, resp, body, c.status, c.code)
			if bytes.Contains(body, []byte("SECRET")) {
				t.Errorf("the answer repeats what was sent: %s", body)
			}
		})
	}
	resp, body = ask(t, r.public, "POST", r.url+"/node/challenges", strings.NewReader(good), "Content-Type", "application/json", "Content-Encoding", "gzip")
	wantProblem(t, resp, body, 415, "unsupported-media-type")
	resp, body = ask(t, r.public, "POST", r.url+"/node/challenges", strings.NewReader(good), "Content-Type", "application/json", "Content-Type", "text/plain")
	wantProblem(t, resp, body, 415, "unsupported-media-type")
	if calls != 0 {
		t.Errorf("the node was asked %d times", calls)
	}
	if strings.Contains(r.log.String(), "SECRET") {
		t.Errorf("the log repeats what was sent:\n%s", r.log)
	}
}

// hidden hides the length of a body, so that it is sent in chunks without one.
type hidden struct{ io.Reader }

func TestMessage(t *testing.T) {
	var calls atomic.Int32
	r := serve(t, &fakeNode{message: func(_ context.Context, p []byte) (exchange.Reply, error) {
		calls.Add(1)
		return exchange.Reply{Presentation: p, Token: "00"}, nil
	}})
	for _, contentType := range []string{"application/vp", "application/json"} {
		for _, body := range []io.Reader{strings.NewReader(`{"a":1}`), hidden{strings.NewReader(`{"a":1}`)}} {
			resp, got := ask(t, r.public, "POST", r.url+"/node/messages", body, "Content-Type", contentType)
			if resp.StatusCode != 200 || string(got) != `{"presentation":{"a":1},"token":"00"}`+"\n" {
				t.Errorf("%d %s", resp.StatusCode, got)
			}
		}
	}
	calls.Store(0)
	full := `{"a":"` + strings.Repeat("x", exchange.MaxPresentation-8) + `"}`
	resp, _ := ask(t, r.public, "POST", r.url+"/node/messages", strings.NewReader(full), "Content-Type", "application/vp")
	if resp.StatusCode != 200 || calls.Load() != 1 {
		t.Errorf("a message of exactly the limit: %d", resp.StatusCode)
	}
	calls.Store(0)
	for name, c := range map[string]struct {
		body   io.Reader
		status int
		code   string
	}{
		"truncated":          {strings.NewReader(full[:1000]), 400, "invalid"},
		"a byte too many":    {strings.NewReader(full + " "), 413, "too-large"},
		"no length, endless": {hidden{io.LimitReader(zeros{}, 1<<30)}, 413, "too-large"},
		"a JWT":              {strings.NewReader("eyJhbGciOiJub25lIn0.e30."), 400, "invalid"},
		"duplicate keys":     {strings.NewReader(`{"proof":{"x":1,"x":2}}`), 400, "invalid"},
		"nested":             {strings.NewReader(`{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}"), 400, "invalid"},
		"not an object":      {strings.NewReader(`[]`), 400, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := ask(t, r.public, "POST", r.url+"/node/messages", c.body, "Content-Type", "application/vp")
			wantProblem(t, resp, body, c.status, c.code)
		})
	}
	if calls.Load() != 0 {
		t.Errorf("the node saw %d bad messages", calls.Load())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// dialHTTP1 speaks HTTP/1.1 by hand.
func dialHTTP1(t *testing.T, r *running) *tls.Conn {
	t.Helper()
	config := r.public.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func readAnswer(t *testing.T, conn net.Conn) (*http.Response, []byte) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

const messageHead = "POST /node/messages HTTP/1.1\r\nHost: node\r\nContent-Type: application/vp\r\nContent-Length: %d\r\n\r\n"

// A length that promises more than comes, and a body that stops or crawls, are answered and reach
// the node never.
func TestLyingLengths(t *testing.T) {
	var calls atomic.Int32
	r := serve(t, &fakeNode{message: func(context.Context, []byte) (exchange.Reply, error) {
		calls.Add(1)
		return exchange.Reply{}, nil
	}}, withLimits(api.Limits{BodyGrace: 100 * time.Millisecond, BodyRate: 1 << 40}))

	t.Run("ends early", func(t *testing.T) {
		conn := dialHTTP1(t, r)
		fmt.Fprintf(conn, messageHead+`{"a":1}`, 5000)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, body := readAnswer(t, conn)
		wantProblem(t, resp, body, 400, "invalid")
	})
	t.Run("stops", func(t *testing.T) {
		conn := dialHTTP1(t, r)
		fmt.Fprintf(conn, messageHead+`{"a":1}`, 5000)
		resp, body := readAnswer(t, conn)
		wantProblem(t, resp, body, 408, "timeout")
	})
	t.Run("stops, HTTP/2", func(t *testing.T) {
		pr, pw := io.Pipe()
		defer pw.Close()
		go func() { _, _ = io.WriteString(pw, `{"a"`) }()
		resp, body := ask(t, r.public, "POST", r.url+"/node/messages", pr, "Content-Type", "application/vp")
		wantProblem(t, resp, body, 408, "timeout")
	})
	t.Run("crawls", func(t *testing.T) {
		// A byte at a time: each within the grace, all of them below the rate. Over HTTP/2, where an
		// answer does not get lost when the other side still sends.
		resp, body := ask(t, r.public, "POST", r.url+"/node/messages", hidden{iotest.OneByteReader(zeros{})}, "Content-Type", "application/vp")
		wantProblem(t, resp, body, 408, "timeout")
	})
	t.Run("too large to begin with", func(t *testing.T) {
		conn := dialHTTP1(t, r)
		fmt.Fprintf(conn, messageHead, 1<<40)
		resp, body := readAnswer(t, conn)
		wantProblem(t, resp, body, 413, "too-large")
	})
	t.Run("negative", func(t *testing.T) {
		conn := dialHTTP1(t, r)
		fmt.Fprintf(conn, messageHead, -1)
		if resp, _ := readAnswer(t, conn); resp.StatusCode != 400 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
	if calls.Load() != 0 {
		t.Errorf("the node saw %d bodies", calls.Load())
	}
}

// The deadline of a body ends with the body: a handler may take its time.
func TestDeadlineEndsWithBody(t *testing.T) {
	const grace = 60 * time.Millisecond
	r := serve(t, &fakeNode{message: func(ctx context.Context, _ []byte) (exchange.Reply, error) {
		select {
		case <-ctx.Done():
			return exchange.Reply{}, errors.New("the request's context ended while its caller waited")
		case <-time.After(5 * grace):
			return exchange.Reply{Presentation: []byte("{}")}, nil
		}
	}}, withLimits(api.Limits{BodyGrace: grace}))
	for range 2 { // the second time on a kept connection
		resp, body := ask(t, r.public, "POST", r.url+"/node/messages", strings.NewReader("{}"), "Content-Type", "application/vp")
		if resp.StatusCode != 200 {
			t.Errorf("HTTP/2: %d %s", resp.StatusCode, body)
		}
	}
	conn := dialHTTP1(t, r)
	for range 2 {
		fmt.Fprintf(conn, messageHead+"{}", 2)
		if resp, body := readAnswer(t, conn); resp.StatusCode != 200 {
			t.Errorf("HTTP/1.1: %d %s", resp.StatusCode, body)
		}
	}
}

func TestChunks(t *testing.T) {
	type call struct {
		token, id, set string
		index          uint32
		body           string
	}
	var got call
	node := &fakeNode{putChunk: func(_ context.Context, token, id, set string, index uint32, body []byte) error {
		got = call{token, id, set, index, string(body)}
		return nil
	}}
	r := serve(t, node)
	at := r.url + "/node/exchanges/00ff/bundle/chunks/4294967295"
	octets := []string{"Content-Type", "application/octet-stream", "Authorization", "Bearer t0K-._~+/="}
	resp, body := ask(t, r.public, "PUT", at, strings.NewReader("\x00\xff"), octets...)
	if resp.StatusCode != 204 || len(body) != 0 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if want := (call{"t0K-._~+/=", "00ff", "bundle", 1<<32 - 1, "\x00\xff"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	resp, body = ask(t, r.public, "GET", at, nil, octets[2:]...)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/octet-stream" || !bytes.Equal(body, []byte{0, 1, 2, 255}) {
		t.Errorf("%d %v %x", resp.StatusCode, resp.Header, body)
	}
	resp, body = ask(t, r.public, "GET", r.url+"/node/exchanges/00ff", nil, octets[2:]...)
	if resp.StatusCode != 200 || string(body) != `{"state":"matching","done":1,"total":2}`+"\n" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}

	node.putChunk = func(context.Context, string, string, string, uint32, []byte) error {
		t.Error("the node saw a bad chunk")
		return nil
	}
	for name, headers := range map[string][]string{
		"none":         nil,
		"basic":        {"Authorization", "Basic QUxBRERJTjpvcGVu"},
		"empty":        {"Authorization", "Bearer "},
		"two":          {"Authorization", "Bearer a", "Authorization", "Bearer b"},
		"two in one":   {"Authorization", "Bearer a, Bearer b"},
		"odd letters":  {"Authorization", "Bearer a\"b"},
		"long":         {"Authorization", "Bearer " + strings.Repeat("a", 513)},
		"in the query": {"X-Token", "abc"},
	} {
		t.Run("token "+name, func(t *testing.T) {
			for _, method := range []string{"PUT", "GET"} {
				resp, body := ask(t, r.public, method, at+"?access_token=abc", nil, append(headers, "Content-Type", "application/octet-stream")...)
				wantProblem(t, resp, body, 401, "token")
				if resp.Header.Get("WWW-Authenticate") == "" {
					t.Error("401 without WWW-Authenticate")
				}
			}
		})
	}
	resp, body = ask(t, r.public, "PUT", at, strings.NewReader("x"), "Content-Type", "application/json", "Authorization", "Bearer a")
	wantProblem(t, resp, body, 415, "unsupported-media-type")
	resp, body = ask(t, r.public, "PUT", at, hidden{io.LimitReader(zeros{}, exchange.MaxChunk+1)}, octets...)
	wantProblem(t, resp, body, 413, "too-large")
	resp, body = ask(t, r.public, "PUT", at, bytes.NewReader(make([]byte, exchange.MaxChunk+1)), octets...)
	wantProblem(t, resp, body, 413, "too-large")

	node.putChunk = nil
	node.err = &exchange.Error{Code: exchange.CodeCommitment, Detail: "chunk 3 does not fit its root"}
	resp, body = ask(t, r.public, "PUT", at, strings.NewReader("x"), octets...)
	if p := wantProblem(t, resp, body, 422, "commitment"); p.Detail != "chunk 3 does not fit its root" {
		t.Errorf("detail %q", p.Detail)
	}
}

// At most so many chunks are in memory at once; the others are told when to ask again.
func TestBusy(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	r := serve(t, &fakeNode{getChunk: func(context.Context, string, string, string, uint32) ([]byte, error) {
		inside <- struct{}{}
		<-leave
		return []byte("x"), nil
	}}, withLimits(api.Limits{Chunks: 1, PublicRequests: 2}))
	at := r.url + "/node/exchanges/00ff/bundle/chunks/1"
	first := make(chan int)
	go func() {
		resp, _ := ask(t, r.public, "GET", at, nil, "Authorization", "Bearer a")
		first <- resp.StatusCode
	}()
	<-inside
	resp, body := ask(t, r.public, "GET", at, nil, "Authorization", "Bearer a")
	wantProblem(t, resp, body, 503, "busy")
	if resp.Header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
	}
	if resp, _ := ask(t, r.public, "GET", r.url+"/healthz", nil); resp.StatusCode != 200 {
		t.Errorf("healthz while chunks are busy: %d", resp.StatusCode)
	}
	close(leave)
	if status := <-first; status != 200 {
		t.Errorf("the first: %d", status)
	}
	go func() { <-inside }()
	if resp, _ := ask(t, r.public, "GET", at, nil, "Authorization", "Bearer a"); resp.StatusCode != 200 {
		t.Errorf("after the first left: %d", resp.StatusCode)
	}
}

func TestPanic(t *testing.T) {
	r := serve(t, &fakeNode{message: func(context.Context, []byte) (exchange.Reply, error) { panic("SECRET of a person") }})
	resp, body := ask(t, r.public, "POST", r.url+"/node/messages", strings.NewReader("{}"), "Content-Type", "application/vp")
	p := wantProblem(t, resp, body, 500, "internal")
	if p.Detail != "" || bytes.Contains(body, []byte("goroutine")) || bytes.Contains(body, []byte("SECRET")) {
		t.Errorf("the answer tells too much: %s", body)
	}
	if log := r.log.String(); strings.Contains(log, "SECRET") || !strings.Contains(log, "support_test.go") || !strings.Contains(log, "panic with a string") {
		t.Errorf("the log should say where it happened, and not what: %s", log)
	}
	if resp, _ := ask(t, r.public, "GET", r.url+"/healthz", nil); resp.StatusCode != 200 {
		t.Errorf("healthz after a panic: %d", resp.StatusCode)
	}
}

func TestInternalError(t *testing.T) {
	r := serve(t, &fakeNode{err: errors.New("disk of SECRET failed")})
	resp, body := ask(t, r.public, "POST", r.url+"/node/messages", strings.NewReader("{}"), "Content-Type", "application/vp")
	p := wantProblem(t, resp, body, 500, "internal")
	if bytes.Contains(body, []byte("SECRET")) {
		t.Errorf("an internal error was sent: %s", body)
	}
	if log := r.log.String(); !strings.Contains(log, "disk of") || !strings.Contains(log, strings.TrimPrefix(p.Instance, "urn:ihyid:request:")) {
		t.Errorf("the log lacks the error or the request id: %s", log)
	}
}
