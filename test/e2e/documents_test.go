package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ihyid/exchange"
	"ihyid/test/harness"
)

// host is a web server that is no node, at an address of this machine.
type host struct {
	did  string
	port int
	sent atomic.Int64
}

// serveAs starts a server with this certificate.
func serveAs(t *testing.T, address string, cert tls.Certificate, handler func(h *host, w http.ResponseWriter, r *http.Request)) *host {
	t.Helper()
	ln, err := net.Listen("tcp4", address+":0")
	harness.Check(t, err)
	h := &host{port: ln.Addr().(*net.TCPAddr).Port}
	h.did = fmt.Sprintf("did:web:127.0.0.1%%3A%d", h.port)
	s := &httptest.Server{Listener: ln, Config: &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(h, w, r) }),
		ErrorLog: log.New(io.Discard, "", 0),
	}}
	if cert.Certificate != nil {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return h
}

// pour writes up to n bytes that could be the beginning of a DID document, and counts those that were taken.
func (h *host) pour(w http.ResponseWriter, n int64) {
	piece := bytes.Repeat([]byte(`"https://www.w3.org/ns/did/v1",`), 1000)
	_, _ = io.WriteString(w, `{"@context":[`)
	for n > 0 {
		m, err := w.Write(piece)
		h.sent.Add(int64(m))
		if n -= int64(m); err != nil {
			return
		}
	}
}

// peakMemory is the most memory that a node's process has had, in bytes.
func peakMemory(t *testing.T, n *harness.Node) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Log("NOT CHECKED: memory is measured on Linux only")
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID()))
	harness.Check(t, err)
	_, text, ok := bytes.Cut(text, []byte("VmHWM:"))
	line, _, _ := bytes.Cut(text, []byte("kB"))
	kB, err := strconv.ParseInt(strings.TrimSpace(string(line)), 10, 64)
	if !ok || err != nil {
		t.Fatal("no VmHWM")
	}
	return kB << 10
}

// TestHostileDocuments has a node resolve the DIDs of hosts that mean harm.
func TestHostileDocuments(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	net.Private = "127.0.0.1/32"
	a := net.Add("alpha")
	load(t, 100, a)
	here := net.KeyPair("127.0.0.1")

	var other sync.Map // hosts that others lead to, and whether they were reached
	elsewhere := func(name, address string, cert tls.Certificate) *host {
		return serveAs(t, address, cert, func(_ *host, w http.ResponseWriter, _ *http.Request) { other.Store(name, true) })
	}
	private := elsewhere("private", "127.0.0.2", net.KeyPair("127.0.0.2"))
	plain := elsewhere("plain", "127.0.0.1", tls.Certificate{})
	document := func(did string) string {
		return `{"@context":["https://www.w3.org/ns/did/v1"],"id":"` + did + `"}`
	}
	redirect := func(to string) func(*host, http.ResponseWriter, *http.Request) {
		return func(_ *host, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	answer := func(contentType, text string) func(*host, http.ResponseWriter, *http.Request) {
		return func(_ *host, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(w, text)
		}
	}
	const gigabyte = 1 << 30
	for _, tc := range []struct {
		name    string
		cert    tls.Certificate
		handler func(*host, http.ResponseWriter, *http.Request)
		says    []string
	}{
		{"a gigabyte", here, func(h *host, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/did+json")
			w.Header().Set("Content-Length", strconv.Itoa(gigabyte))
			h.pour(w, gigabyte)
		}, []string{"more than", "bytes"}},
		{"a gigabyte of unsaid length", here, func(h *host, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/did+json")
			h.pour(w, gigabyte)
		}, []string{"more than", "bytes"}},
		{"a document without end", here, func(h *host, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				h.pour(w, 1<<20)
			}
		}, []string{"more than", "bytes"}},
		{"a header without end", here, func(_ *host, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		}, []string{"failed"}},
		{"a redirect to a private address", here, redirect(fmt.Sprintf("https://127.0.0.2:%d/.well-known/did.json", private.port)), []string{"127.0.0.2", "private"}},
		{"a redirect into a private network", here, redirect("https://10.1.2.3/.well-known/did.json"), []string{"10.1.2.3", "private"}},
		{"a redirect to the cloud's own address", here, redirect("https://169.254.169.254/latest/meta-data"), []string{"169.254.169.254"}},
		{"a redirect to IPv6 loopback", here, redirect("https://[::1]/.well-known/did.json"), []string{"::1"}},
		{"a redirect to plain HTTP", here, redirect(fmt.Sprintf("http://127.0.0.1:%d/.well-known/did.json", plain.port)), []string{"redirect", "https"}},
		{"a redirect in a circle", here, redirect("/.well-known/did.json"), []string{"redirect"}},
		{"a certificate of another host", net.KeyPair("relief.example.org"), answer("application/json", "{}"), []string{"certificate"}},
		{"a certificate of nobody's", selfSigned(t), answer("application/json", "{}"), []string{"certificate"}},
		{"a DID document of another DID", here, answer("application/did+json", document("did:web:relief.example.org")), []string{"Invalid DID document"}},
		{"no JSON", here, answer("application/did+json", "<html>hello</html>"), []string{"Invalid DID document"}},
		{"a page", here, answer("text/html", "<html>hello</html>"), nil},
		{"a truncated document", here, answer("application/did+json", `{"id":"did:web:`), []string{"Invalid DID document"}},
		{"a member twice", here, answer("application/did+json", `{"id":"did:web:a.example",`+document("did:web:b.example")[1:]), []string{"Invalid DID document"}},
		{"deep nesting", here, answer("application/did+json", strings.Repeat("[", 60_000)), []string{"Invalid DID document"}},
		{"nothing there", here, func(_ *host, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, []string{"DID not found"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := serveAs(t, "127.0.0.1", tc.cert, tc.handler)
			before, memory := state(t, a), peakMemory(t, a)
			out, errs, status := a.Run("peers", "add", h.did, "--expect-name", "Relief", "--expect-number", "1", "--expect-country", "JO")
			refused(t, out, errs, status, 1, append(tc.says, h.did)...)
			unchanged(t, a, before)
			if more := peakMemory(t, a) - memory; more > 32<<20 {
				t.Errorf("the node took %d MiB more memory", more>>20)
			}
			if sent := h.sent.Load(); sent > 16<<20 {
				t.Errorf("the node let itself be sent %d MiB", sent>>20)
			}
			out, errs, status = net.Run("did", "resolve", h.did, "--allow-private", "127.0.0.1/32", "--ca-file", net.CAFile)
			refused(t, out, errs, status, 1, append(tc.says, h.did)...)
		})
	}
	other.Range(func(name, _ any) bool {
		t.Errorf("the %v host was reached", name)
		return true
	})
	// Without leave, not even this machine is asked.
	t.Run("no network allowed", func(t *testing.T) {
		h := serveAs(t, "127.0.0.1", here, func(_ *host, _ http.ResponseWriter, _ *http.Request) { t.Error("it was asked") })
		out, errs, status := net.Run("did", "resolve", h.did, "--ca-file", net.CAFile)
		refused(t, out, errs, status, 1, h.did)
	})
}

// selfSigned is a certificate for this machine by an authority that the nodes do not know.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	return harness.New(t, program).KeyPair("127.0.0.1")
}

// TestCrawlingDocument has a node resolve a DID document that comes at one byte a second: it gives up, and does its other
// work meanwhile.
func TestCrawlingDocument(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	a, b := net.Add("alpha"), net.Add("beta")
	asked := make(chan struct{}, 1)
	h := serveAs(t, "127.0.0.1", net.KeyPair("127.0.0.1"), func(_ *host, w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		w.Header().Set("Content-Type", "application/did+json")
		crawl(w, r, bytes.Repeat([]byte(" "), 1000))
	})
	var errs string
	var status int
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, errs, status = a.Run("peers", "add", h.did, "--expect-name", "Relief", "--expect-number", "1", "--expect-country", "JO")
	}()
	<-asked
	load(t, 200, a, b)
	harness.Befriend(a, b)
	done(t, a, b, begin(t, a, b))
	ctx, cancel := context.WithTimeout(t.Context(), harness.Limit)
	defer cancel()
	select {
	case <-over:
	case <-ctx.Done():
		t.Fatal("the node waits for the document without end")
	}
	refused(t, "", errs, status, 1, "in time", h.did)
	if peers, err := a.Client.Peers(t.Context()); err != nil || len(peers) != 1 || peers[0].State != exchange.PeerApproved {
		t.Errorf("the node's peers are %v, %v", peers, err)
	}
}
