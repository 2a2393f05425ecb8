package outbound_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ihyid/api/outbound"
	"ihyid/did"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// authority is a certificate authority of the test's own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = a.sign(t, template, template, &a.key.PublicKey)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) sign(t testing.TB, template, parent *x509.Certificate, pub any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (a *authority) leaf(t testing.TB, notAfter time.Time, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	k := newKey(t)
	return tls.Certificate{Certificate: [][]byte{a.sign(t, template, a.cert, &k.PublicKey).Raw}, PrivateKey: k}
}

// serve starts an HTTPS server on a loopback address, with a certificate for names, or for
// the address and localhost.
func (a *authority) serve(t testing.TB, ip string, h http.HandlerFunc, names ...string) *httptest.Server {
	t.Helper()
	if len(names) == 0 {
		names = []string{ip, "localhost"}
	}
	return serve(t, ip, h, &tls.Config{Certificates: []tls.Certificate{a.leaf(t, time.Now().Add(time.Hour), names...)}})
}

func serve(t testing.TB, ip string, h http.HandlerFunc, conf *tls.Config) *httptest.Server {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = ln
	s.TLS = conf
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail here on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func newClient(t testing.TB, opts outbound.Options) *outbound.Client {
	t.Helper()
	c, err := outbound.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestFetch(t *testing.T) {
	a := newAuthority(t)
	s := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.Version != tls.VersionTLS13 {
			t.Errorf("TLS version %x", r.TLS.Version)
		}
		w.Header().Set("Content-Type", "text/x-echo")
		fmt.Fprintf(w, "%s %s %s %q", r.Method, r.URL, r.Header.Get("Accept"), r.Header.Get("User-Agent"))
	})
	c := newClient(t, outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}})
	want := `GET /x?y application/did "ihyid"`
	body, typ, err := c.Fetch(t.Context(), s.URL+"/x?y", "application/did", int64(len(want)))
	if err != nil || string(body) != want || typ != "text/x-echo" {
		t.Errorf("%q, %q, %v", body, typ, err)
	}
	if _, _, err = c.Fetch(t.Context(), s.URL+"/x?y", "application/did", int64(len(want))-1); !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("one byte too long: %v", err)
	}
}

func TestStatus(t *testing.T) {
	a := newAuthority(t)
	s := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusGone) })
	c := newClient(t, outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}})
	_, _, err := c.Fetch(t.Context(), s.URL, "", 100)
	if e, ok := errors.AsType[*outbound.StatusError](err); !ok || e.HTTPStatus() != http.StatusGone {
		t.Errorf("%v", err)
	}
}

func TestURLRefused(t *testing.T) {
	c := newClient(t, outbound.Options{AllowedNetworks: loopback})
	for _, u := range []string{"", "http://127.0.0.1/", "ftp://127.0.0.1/", "file:///etc/passwd", "https://", "https:///x", "https://user:secret@127.0.0.1/",
		"//127.0.0.1/", "127.0.0.1:443", "https://127.0.0.1:port/", "https://127.0.0.1/\x00"} {
		_, _, err := c.Fetch(t.Context(), u, "", 100)
		if !errors.Is(err, outbound.ErrNotHTTPS) {
			t.Errorf("%q: %v", u, err)
		}
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("the error tells a password: %v", err)
		}
	}
}

// Nothing private is reached unless allowed, by whatever name.
func TestPrivateAddress(t *testing.T) {
	a := newAuthority(t)
	var hits atomic.Int32
	s := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) { hits.Add(1) })
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	roots := []*x509.Certificate{a.cert}
	c := newClient(t, outbound.Options{ExtraRoots: roots, AllowedNetworks: []netip.Prefix{
		netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("127.0.0.2/32"), netip.MustParsePrefix("64:ff9b::/96"),
	}})
	for host, addr := range map[string]string{
		"127.0.0.1": "127.0.0.1", "localhost": "", "[::ffff:127.0.0.1]": "127.0.0.1", "[64:ff9b::7f00:1]": "127.0.0.1", "[64:ff9b::a01:203]": "10.1.2.3",
		"0.0.0.0": "", "[::1]": "::1", "[::]": "", "10.1.2.3": "10.1.2.3", "172.16.0.1": "172.16.0.1", "192.168.0.1": "192.168.0.1", "169.254.169.254": "169.254.169.254",
		"100.64.0.1": "100.64.0.1", "[fe80::1]": "fe80::1", "[fd00::1]": "fd00::1", "[2002:7f00:1::]": "2002:7f00:1::", "224.0.0.1": "224.0.0.1", "255.255.255.255": "255.255.255.255",
	} {
		_, _, err := c.Fetch(t.Context(), "https://"+host+":"+port+"/", "", 100)
		if !errors.Is(err, outbound.ErrPrivateAddress) {
			// A host may lack IPv6 altogether; then nothing was reached either.
			if strings.Contains(host, ":") && errors.Is(err, outbound.ErrUnreachable) {
				continue
			}
			t.Errorf("%s: %v", host, err)
			continue
		}
		if !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "add a network that contains it, such as") {
			t.Errorf("%s: the message does not help: %v", host, err)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("the server was reached %d times", hits.Load())
	}
	ok := newClient(t, outbound.Options{ExtraRoots: roots, AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		if _, _, err := ok.Fetch(t.Context(), "https://"+host+":"+port+"/", "", 100); err != nil {
			t.Errorf("%s, allowed: %v", host, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	a := newAuthority(t)
	inner := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "inner") })
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("plain HTTP was used") }))
	t.Cleanup(plain.Close)
	outer := a.serve(t, "127.0.0.2", func(w http.ResponseWriter, r *http.Request) {
		switch p := r.URL.Path; p {
		case "/http":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case "/inner":
			http.Redirect(w, r, inner.URL, http.StatusFound)
		case "/user":
			http.Redirect(w, r, "https://a:b@"+r.Host+"/0", http.StatusFound)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/0":
			fmt.Fprint(w, "end")
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default: // /3 → /2 → /1 → /0
			http.Redirect(w, r, fmt.Sprintf("/%d", p[1]-'1'), http.StatusPermanentRedirect)
		}
	})
	c := newClient(t, outbound.Options{ExtraRoots: []*x509.Certificate{a.cert}, AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}})
	for path, want := range map[string]error{
		"/http": outbound.ErrInsecureRedirect, "/user": outbound.ErrInsecureRedirect, "/file": outbound.ErrInsecureRedirect,
		"/inner": outbound.ErrPrivateAddress, "/loop": outbound.ErrRedirect, "/4": outbound.ErrRedirect, "/3": nil, "/0": nil,
	} {
		body, _, err := c.Fetch(t.Context(), outer.URL+path, "", 100)
		if !errors.Is(err, want) || err == nil && string(body) != "end" {
			t.Errorf("%s: %q, %v; want %v", path, body, err, want)
		}
	}

	// A request with a body or credentials stays where it was sent.
	for name, req := range map[string]*http.Request{
		"POST":          request(t, http.MethodPost, outer.URL+"/3", strings.NewReader("x"), ""),
		"empty POST":    request(t, http.MethodPost, outer.URL+"/3", nil, ""),
		"authorization": request(t, http.MethodGet, outer.URL+"/3", nil, "Bearer x"),
	} {
		if _, err := c.Do(t.Context(), req, 100); !errors.Is(err, outbound.ErrRedirect) {
			t.Errorf("%s: %v", name, err)
		}
	}
	resp, err := c.Do(t.Context(), request(t, http.MethodGet, outer.URL+"/3", nil, ""), 100)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "end" {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
}

func request(t *testing.T, method, url string, body io.Reader, auth string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	return r
}

// A stream of a gigabyte is stopped soon after the limit.
func TestEndlessStream(t *testing.T) {
	a := newAuthority(t)
	sent := make(chan int64, 10)
	s := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		var n int64
		for n < 1<<30 {
			m, err := w.Write(chunk)
			n += int64(m)
			if err != nil {
				break
			}
		}
		sent <- n
	})
	c := newClient(t, outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}})
	if _, _, err := c.Fetch(t.Context(), s.URL, "", 1<<20); !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("Fetch: %v", err)
	}
	if n := <-sent; n >= 1<<28 {
		t.Errorf("the server could send %d bytes", n)
	}
	resp, err := c.Do(t.Context(), request(t, http.MethodPost, s.URL, strings.NewReader("x"), ""), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if n != 1<<20 || !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("Do: %d bytes, %v", n, err)
	}
	if n, err := resp.Body.Read(make([]byte, 10)); n != 0 || !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("reading on: %d, %v", n, err)
	}
	resp.Body.Close()
	if n := <-sent; n >= 1<<28 {
		t.Errorf("the server could send %d bytes", n)
	}
}

// A reply that says beforehand that it is too long is not read at all; one that promises
// more than it holds is an error.
func TestContentLength(t *testing.T) {
	a := newAuthority(t)
	s := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		if r.URL.Path == "/short" {
			fmt.Fprint(w, "short")
			return
		}
		_, _ = w.Write(make([]byte, 1000))
	})
	c := newClient(t, outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}})
	if _, err := c.Do(t.Context(), request(t, http.MethodGet, s.URL, nil, ""), 999); !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if b, _, err := c.Fetch(t.Context(), s.URL, "", 1000); err != nil || len(b) != 1000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, _, err := c.Fetch(t.Context(), s.URL+"/short", "", 1000); err == nil {
		t.Error("a truncated body was accepted")
	}
}

// Compressed replies are handed on as they are: a bomb stays folded.
func TestNoDecompression(t *testing.T) {
	a := newAuthority(t)
	s := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		if e := r.Header.Get("Accept-Encoding"); e != "" {
			t.Errorf("Accept-Encoding %q", e)
		}
		w.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(w, "not gzip at all")
	})
	c := newClient(t, outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}})
	if b, _, err := c.Fetch(t.Context(), s.URL, "", 100); err != nil || string(b) != "not gzip at all" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestHugeHeader(t *testing.T) {
	a := newAuthority(t)
	s := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 1<<20))
	})
	c := newClient(t, outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}})
	if _, _, err := c.Fetch(t.Context(), s.URL, "", 100); err == nil {
		t.Error("a header of 1 MiB was accepted")
	}
}

func TestSlowServer(t *testing.T) {
	a := newAuthority(t)
	s := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			fmt.Fprint(w, "begin")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
	// silent accepts connections and never says a word of TLS.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	base := outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}}
	with := func(f func(*outbound.Options)) *outbound.Client {
		o := base
		f(&o)
		return newClient(t, o)
	}
	const soon = 20 * time.Millisecond
	connect := with(func(o *outbound.Options) { o.ConnectTimeout = soon })
	header := with(func(o *outbound.Options) { o.HeaderTimeout, o.PeerHeaderTimeout = soon, soon })
	whole := with(func(o *outbound.Options) { o.Timeout, o.PeerTimeout = soon, soon })
	patient := with(func(*outbound.Options) {})

	fetch := func(c *outbound.Client, ctx context.Context, url string) error {
		_, _, err := c.Fetch(ctx, url, "", 100)
		return err
	}
	if err := fetch(connect, t.Context(), "https://"+silent.Addr().String()); !errors.Is(err, outbound.ErrTimeout) {
		t.Errorf("handshake: %v", err)
	}
	if err := fetch(header, t.Context(), s.URL); !errors.Is(err, outbound.ErrTimeout) {
		t.Errorf("header: %v", err)
	}
	if _, err := header.Do(t.Context(), request(t, http.MethodGet, s.URL, nil, ""), 100); !errors.Is(err, outbound.ErrTimeout) {
		t.Errorf("header of Do: %v", err)
	}
	if err := fetch(whole, t.Context(), s.URL+"/body"); !errors.Is(err, outbound.ErrTimeout) {
		t.Errorf("body: %v", err)
	}
	resp, err := whole.Do(t.Context(), request(t, http.MethodGet, s.URL+"/body", nil, ""), 100)
	if err == nil { // the headers came in time
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if !errors.Is(err, outbound.ErrTimeout) {
		t.Errorf("body of Do: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := fetch(patient, ctx, s.URL+"/body"); !errors.Is(err, outbound.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := fetch(patient, ctx, s.URL); !errors.Is(err, context.Canceled) || errors.Is(err, outbound.ErrTimeout) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestCertificates(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	h := func(w http.ResponseWriter, r *http.Request) { t.Error("a request was sent") }
	c := newClient(t, outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}})
	expired := serve(t, "127.0.0.1", h, &tls.Config{Certificates: []tls.Certificate{a.leaf(t, time.Now().Add(-time.Minute), "127.0.0.1")}})
	tls12 := serve(t, "127.0.0.1", h, &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{a.leaf(t, time.Now().Add(time.Hour), "127.0.0.1")}})
	plain := httptest.NewServer(http.HandlerFunc(h))
	t.Cleanup(plain.Close)
	for name, x := range map[string]struct {
		url  string
		want error
		says string
	}{
		"of another host":   {a.serve(t, "127.0.0.1", h, "other.example").URL, outbound.ErrCertificate, "for other names"},
		"of an unknown one": {stranger.serve(t, "127.0.0.1", h).URL, outbound.ErrCertificate, "extra root certificates"},
		"expired":           {expired.URL, outbound.ErrCertificate, "expired"},
		"TLS 1.2":           {tls12.URL, outbound.ErrTLS, "protocol version"},
		"no TLS":            {strings.Replace(plain.URL, "http:", "https:", 1), outbound.ErrTLS, "does not speak TLS"},
		"nobody there":      {"https://127.0.0.1:1/", outbound.ErrUnreachable, "refused"},
		"no such name":      {"https://no-such-host.invalid/", outbound.ErrUnreachable, "looked up"},
	} {
		_, _, err := c.Fetch(t.Context(), x.url, "", 100)
		if !errors.Is(err, x.want) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v; want %v with %q", name, err, x.want, x.says)
		}
	}
}

func TestMinTLS(t *testing.T) {
	a := newAuthority(t)
	s := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {},
		&tls.Config{MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{a.leaf(t, time.Now().Add(time.Hour), "127.0.0.1")}})
	c := newClient(t, outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}, MinTLS: tls.VersionTLS12})
	if _, _, err := c.Fetch(t.Context(), s.URL, "", 100); err != nil {
		t.Error(err)
	}
}

func TestBadOptions(t *testing.T) {
	for name, o := range map[string]outbound.Options{
		"TLS 1.1":   {MinTLS: tls.VersionTLS11},
		"host bits": {AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")}},
		"mapped":    {AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}},
		"zero":      {AllowedNetworks: []netip.Prefix{{}}},
	} {
		if _, err := outbound.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDo(t *testing.T) {
	a := newAuthority(t)
	s := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Header.Get("Authorization"), r.Header.Get("User-Agent"), b)
	})
	c := newClient(t, outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}})
	req := request(t, http.MethodPut, s.URL, bytes.NewReader([]byte("chunk")), "Bearer t")
	req.Header.Set("User-Agent", "mine")
	resp, err := c.Do(t.Context(), req, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusConflict || string(b) != "PUT Bearer t mine chunk" {
		t.Errorf("%d %q, %v", resp.StatusCode, b, err)
	}
	if _, err := c.Do(t.Context(), request(t, http.MethodGet, "http://127.0.0.1/", nil, ""), 10); !errors.Is(err, outbound.ErrNotHTTPS) {
		t.Errorf("%v", err)
	}
}

// The client under the resolver: the ways in which a did:web can go wrong.
func TestResolveWeb(t *testing.T) {
	a := newAuthority(t)
	var self string
	s := a.serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/did+json")
		switch r.URL.Path {
		case "/.well-known/did.json":
			fmt.Fprintf(w, `{"id":%q}`, self)
		case "/node/lb/did.json":
			fmt.Fprintf(w, `{"id":%q}`, self+":node:lb")
		case "/other/did.json":
			fmt.Fprint(w, `{"id":"did:web:bank.example"}`)
		case "/huge/did.json":
			fmt.Fprintf(w, `{"id":%q,"x":%q}`, self+":huge", strings.Repeat("x", 5<<20))
		case "/html/did.json":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, `{"id":%q}`, self+":html")
		case "/gone/did.json":
			w.WriteHeader(http.StatusGone)
		case "/plain/did.json":
			http.Redirect(w, r, "http://127.0.0.1/", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	})
	self, err := did.Web{AllowLoopback: true}.DID(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, outbound.Options{AllowedNetworks: loopback, ExtraRoots: []*x509.Certificate{a.cert}})
	var _ did.Fetcher = c
	r := did.NewResolver(did.Options{Web: c, WebRules: did.Web{AllowLoopback: true}})
	for path, want := range map[string]struct {
		code  did.Code
		cause error
	}{
		"": {}, ":node:lb": {}, ":other": {code: did.InvalidDIDDocument}, ":huge": {did.InternalError, outbound.ErrTooLarge}, ":html": {code: did.InvalidDIDDocument},
		":gone": {code: did.Deactivated}, ":none": {code: did.NotFound}, ":plain": {did.InternalError, outbound.ErrInsecureRedirect},
	} {
		res, err := r.Resolve(t.Context(), self+path)
		if did.CodeOf(err) != want.code || want.cause != nil && !errors.Is(err, want.cause) {
			t.Errorf("%q: %v; want %s", path, err, want.code)
		}
		if err == nil && res.Document.ID() != self+path {
			t.Errorf("%q: got %s", path, res.Document.ID())
		}
	}
	guarded := did.NewResolver(did.Options{Web: newClient(t, outbound.Options{}), WebRules: did.Web{AllowLoopback: true}})
	if _, err := guarded.Resolve(t.Context(), self); !errors.Is(err, outbound.ErrPrivateAddress) {
		t.Errorf("%v", err)
	}
}
