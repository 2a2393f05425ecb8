package api_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ihyid/api"
	"ihyid/exchange"
)

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	if _, err := api.DialSocket(t.Context(), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
	ln, err := api.ListenSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, api.SocketName)
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode()&fs.ModeSocket == 0 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the socket: %v, %v", entries, err)
	}
	if _, err := api.ListenSocket(t.Context(), dir); !errors.Is(err, api.ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// A socket that a killed process left behind is replaced.
func TestStaleSocket(t *testing.T) {
	dir := t.TempDir()
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, api.SocketName), Net: "unix"})
	if err != nil {
		t.Skipf("the directory for temporary files has a name too long for this test: %v", err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	if _, err := api.DialSocket(t.Context(), dir); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a stale socket: %v", err)
	}
	ln, err := api.ListenSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := api.DialSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// A socket's path may be longer than a socket address.
func TestLongSocketPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := api.ListenSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := api.DialSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestListenPlain(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "no such host.invalid:0"} {
		ln, err := api.ListenPlain(t.Context(), addr)
		if !errors.Is(err, api.ErrNotLoopback) {
			t.Errorf("%s: %v", addr, err)
		}
		if err == nil {
			ln.Close()
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0"} {
		ln, err := api.ListenPlain(t.Context(), addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if ln.Secure() {
			t.Error("it claims to be secure")
		}
		ln.Close()
	}
}

func TestListenTLSRefuses(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := certificate(t, dir)
	if _, err := api.ListenTLS(t.Context(), "127.0.0.1:0", cert, filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), cert) {
		t.Errorf("a key that is not there: %v", err)
	}
	if _, err := api.ListenTLS(t.Context(), "127.0.0.1:0", key, cert); err == nil {
		t.Error("key and certificate mixed up were accepted")
	}
}

// A renewed certificate is served without a restart; a half-renewed pair is not.
func TestCertificateRenewed(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, _ := certificate(t, dir)
	get, age := api.CertificateOf(t, certFile, keyFile)
	first := get()
	other := t.TempDir()
	newCert, newKey, _ := certificate(t, other)
	replace := func(from, to string) {
		t.Helper()
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Minute) // so that a coarse file system shows the change
		if err := os.Chtimes(to, later, later); err != nil {
			t.Fatal(err)
		}
	}
	replace(newCert, certFile)
	age()
	if get() != first {
		t.Error("a certificate without its key was taken")
	}
	replace(newKey, keyFile)
	if get() != first {
		t.Error("the files are looked at again before their time")
	}
	age()
	if get() == first {
		t.Error("the new certificate was not taken")
	}
}

// A request under way when the node stops is finished; a new one finds nobody.
func TestDrain(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	r := serve(t, &fakeNode{message: func(ctx context.Context, p []byte) (exchange.Reply, error) {
		close(inside)
		<-leave
		return exchange.Reply{Presentation: p}, ctx.Err()
	}})
	status := make(chan int)
	go func() {
		resp, _ := ask(t, r.public, "POST", r.url+"/node/messages", strings.NewReader("{}"), "Content-Type", "application/vp")
		status <- resp.StatusCode
	}()
	<-inside
	r.stop()
	// The listeners go at once.
	for {
		if _, err := api.DialSocket(t.Context(), r.data); err != nil {
			break
		}
	}
	close(leave)
	if got := <-status; got != 200 {
		t.Errorf("the request under way: %d", got)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	r.ended <- nil
	if _, err := r.public.Get(r.url + "/healthz"); err == nil {
		t.Error("somebody still listens")
	}
}

// What does not end within the drain is cut.
func TestDrainEnds(t *testing.T) {
	inside := make(chan struct{})
	r := serve(t, &fakeNode{message: func(ctx context.Context, _ []byte) (exchange.Reply, error) {
		close(inside)
		<-ctx.Done()
		return exchange.Reply{}, ctx.Err()
	}}, withLimits(api.Limits{Drain: 10 * time.Millisecond}))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/node/messages", strings.NewReader("{}"))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/vp")
		if resp, err := r.public.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	<-inside
	r.stop()
	<-ended
}

// One side that cannot serve ends the other.
func TestServeFails(t *testing.T) {
	server, err := api.New(api.Options{Node: &fakeNode{}, Register: &fakeRegister{}, Jobs: &fakeJobs{}})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := api.ListenSocket(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	public, err := api.ListenPlain(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	public.Close()
	if err := server.Serve(t.Context(), api.Listeners{Public: public, Local: socket}); err == nil || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("Serve: %v", err)
	}
}

// Where all connections are taken, one without a request gives way; those with one under way do not, and who comes then waits.
func TestConnectionLimit(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	node := &fakeNode{challenge: func(context.Context, exchange.ChallengeRequest) (exchange.Challenge, error) {
		close(arrived)
		<-finish
		return exchange.Challenge{Challenge: strings.Repeat("0", 64)}, nil
	}}
	r := serve(t, node, withLimits(api.Limits{Connections: 1}))
	config := r.public.Transport.(*http.Transport).TLSClientConfig
	slow, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), config)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	working := make(chan int)
	go func() {
		resp, _ := ask(t, r.public, "POST", r.url+"/node/challenges", strings.NewReader(`{"sender":"did:web:relief.example.org","action":"IhyidBundle"}`), "Content-Type", "application/json")
		working <- resp.StatusCode
	}()
	<-arrived
	if _, err := slow.Read(make([]byte, 1)); err == nil {
		t.Error("the connection without a request is still open")
	}
	waiting := make(chan int)
	other := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	defer other.CloseIdleConnections()
	go func() {
		resp, _ := ask(t, other, "GET", r.url+"/healthz", nil)
		waiting <- resp.StatusCode
	}()
	close(finish)
	if got := <-working; got != 200 {
		t.Errorf("the request under way is answered %d", got)
	}
	if got := <-waiting; got != 200 {
		t.Errorf("who waited is answered %d", got)
	}
}
