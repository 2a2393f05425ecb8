package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ihyid/test/harness"
)

// proxy stands before a node under the node's own name, ends TLS, and does to what passes what a test wants.
type proxy struct {
	port   int
	server *httptest.Server
	client *http.Client

	mu     sync.Mutex
	target string // of the node behind it
	seen   []passed
	fault  func(passed) fault
}

// passed is one request that came.
type passed struct {
	Kind   string // of a message: the type of its first credential; else the method and the last word of the route
	Method string
	Path   string
	Body   []byte
	Header http.Header
}

// fault is what becomes of a request.
type fault int

const (
	pass     fault = iota
	cut            // the connection ends before the request has reached the node
	halfway        // the node gets the request; of its answer one half arrives, then the connection ends
	drip           // the node gets the request; its answer comes at one byte a second
	swallow        // the request is taken, and nothing ever answered
	stopping       // HTTP 503
)

// behind makes a node with a proxy before it.
func behind(t *testing.T, net_ *harness.Net, name string, serve ...string) (*harness.Node, *proxy) {
	t.Helper()
	p := &proxy{client: &http.Client{Transport: &http.Transport{TLSClientConfig: net_.Trust()}}}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	harness.Check(t, err)
	p.server = &httptest.Server{Listener: ln, Config: &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}}
	tlsConfig := net_.Trust()
	tlsConfig.Certificates = append(tlsConfig.Certificates, net_.KeyPair("localhost"))
	p.server.TLS = tlsConfig
	p.server.StartTLS()
	p.port = ln.Addr().(*net.TCPAddr).Port
	node := net_.AddBehind(name, p.port, serve...)
	p.mu.Lock()
	p.target = fmt.Sprintf("https://localhost:%d", node.Port)
	p.mu.Unlock()
	t.Cleanup(func() {
		p.server.CloseClientConnections()
		p.server.Close()
		p.client.CloseIdleConnections()
	})
	return node, p
}

// during sets what becomes of requests from now on; nil lets all pass. f is called by many at once.
func (p *proxy) during(f func(passed) fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// heal lets everything pass from now on, and ends the connections that still suffer.
func (p *proxy) heal() {
	p.during(nil)
	p.server.CloseClientConnections()
}

// messages gives the bodies of the messages of a kind that passed.
func (p *proxy) messages(kind string) (bodies [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.seen {
		if s.Kind == kind {
			bodies = append(bodies, s.Body)
		}
	}
	return bodies
}

func kindOf(r *http.Request, body []byte) string {
	if !strings.HasSuffix(r.URL.Path, "/node/messages") {
		switch {
		case strings.Contains(r.URL.Path, "/chunks/"):
			return r.Method + " chunk"
		case strings.HasPrefix(r.URL.Path, "/node/exchanges/"):
			return "progress"
		}
		return r.URL.Path
	}
	var m struct {
		Credentials []struct {
			Type []string `json:"type"`
		} `json:"verifiableCredential"`
	}
	if json.Unmarshal(body, &m) == nil && len(m.Credentials) > 0 && len(m.Credentials[0].Type) == 2 {
		return m.Credentials[0].Type[1]
	}
	return "message"
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s := passed{kindOf(r, body), r.Method, r.URL.Path, body, r.Header.Clone()}
	p.mu.Lock()
	p.seen = append(p.seen, s)
	target, decide := p.target, p.fault
	p.mu.Unlock()
	what := pass
	if decide != nil {
		what = decide(s)
	}
	switch what {
	case cut:
		panic(http.ErrAbortHandler)
	case swallow:
		<-r.Context().Done()
		return
	case stopping:
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Header = r.Header.Clone()
	resp, err := p.client.Do(out)
	if err != nil {
		panic(http.ErrAbortHandler) // the node is away: so is the proxy
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	if resp.StatusCode != http.StatusNoContent {
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	}
	switch what {
	case halfway:
		if resp.StatusCode != http.StatusNoContent {
			w.WriteHeader(resp.StatusCode)
			_, _ = w.Write(answer[:len(answer)/2])
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	case drip:
		w.WriteHeader(resp.StatusCode)
		crawl(w, r, answer)
	default:
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(answer)
	}
}

// crawl writes at one byte a second until all is written or the other side is gone.
func crawl(w http.ResponseWriter, r *http.Request, body []byte) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for _, b := range body {
		if _, err := w.Write([]byte{b}); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}
