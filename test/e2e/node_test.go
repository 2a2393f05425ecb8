package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ihyid/exchange"
	"ihyid/test/harness"
)

// contents is every file of a directory with what is in it.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	harness.Check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", path, text)
		return err
	}))
	return b.String()
}

func TestInit(t *testing.T) {
	t.Parallel()
	world := harness.New(t, program)
	dir := filepath.Join(t.TempDir(), "node")
	org := []string{"--org-name", "Relief", "--org-number", "1", "--org-country", "LB"}
	init := func(args ...string) (string, string, int) {
		return world.Run(append(append([]string{"init", "--data", dir}, org...), args...)...)
	}
	for name, args := range map[string][]string{
		"no host":         {"--did", "web"},
		"a host for keys": {"--did", "key", "--host", "a.example"},
		"another method":  {"--did", "ion"},
		"another curve":   {"--curve", "P-521", "--host", "a.example"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, status := init(args...)
			refused(t, out, errs, status, 2, args[0])
		})
	}
	for name, args := range map[string][]string{
		"an IP address":      {"--host", "192.0.2.7"},
		"no country":         {"--host", "a.example", "--org-country", "Lebanon"},
		"a path that climbs": {"--host", "a.example", "--path", "../x"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, status := init(args...)
			refused(t, out, errs, status, 1, "no node was made")
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("it left %v behind", left)
			}
		})
	}
	out, errs, status := init("--host", "relief.example.org")
	if status != 0 || !strings.Contains(out, "did:web:relief.example.org") {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	before := contents(t, dir)
	t.Run("over a node", func(t *testing.T) {
		out, errs, status := init("--host", "relief.example.org")
		refused(t, out, errs, status, 1, "already")
		if contents(t, dir) != before {
			t.Error("the node that was there is not as it was")
		}
	})
	t.Run("over other files", func(t *testing.T) {
		other := t.TempDir()
		harness.Check(t, os.WriteFile(filepath.Join(other, "letter.txt"), []byte("mine"), 0o600))
		out, errs, status := world.Run(append([]string{"init", "--data", other, "--host", "a.example"}, org...)...)
		refused(t, out, errs, status, 1, "already")
		if got := contents(t, other); strings.Count(got, "\n") != 1 {
			t.Errorf("there are other files now: %s", got)
		}
	})
}

// TestListening holds what the node listens on against what it was allowed to.
func TestListening(t *testing.T) {
	t.Parallel()
	world := harness.New(t, program)
	dir := filepath.Join(t.TempDir(), "node")
	if out, errs, status := world.Run("init", "--data", dir, "--did", "key", "--org-name", "Relief", "--org-number", "1", "--org-country", "LB"); status != 0 {
		t.Fatalf("init: %s%s", out, errs)
	}
	cert, key := world.Certificate(t.TempDir())
	for _, tc := range []struct {
		name   string
		status int
		says   string
		args   []string
	}{
		{"nowhere", 2, "--listen", nil},
		{"without a certificate", 2, "TLS", []string{"--listen", "127.0.0.1:0"}},
		{"with half a certificate", 2, "TLS", []string{"--listen", "127.0.0.1:0", "--tls-cert", cert}},
		{"plain and with a certificate", 2, "TLS", []string{"--listen", "127.0.0.1:0", "--insecure-http-on-loopback", "--tls-cert", cert, "--tls-key", key}},
		{"no address", 2, "address", []string{"--listen", "here", "--tls-cert", cert, "--tls-key", key}},
		{"plain on all addresses", 1, "loopback", []string{"--listen", "0.0.0.0:0", "--insecure-http-on-loopback"}},
		{"plain on all addresses, unsaid", 1, "loopback", []string{"--listen", ":0", "--insecure-http-on-loopback"}},
		{"plain on a public address", 1, "loopback", []string{"--listen", "192.0.2.1:0", "--insecure-http-on-loopback"}},
		{"a certificate of another key", 1, "certificate", []string{"--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", cert}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, errs, status := world.Run(append([]string{"serve", "--data", dir}, tc.args...)...)
			refused(t, out, errs, status, tc.status, tc.says)
		})
	}

	t.Run("plain on loopback, asked for by name", func(t *testing.T) {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		harness.Check(t, err)
		addr := ln.Addr().String()
		harness.Check(t, ln.Close())
		cmd := exec.Command(program, "serve", "--data", dir, "--listen", addr, "--insecure-http-on-loopback")
		harness.Check(t, cmd.Start())
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		health(t, http.DefaultClient, "http://"+addr)
	})

	a := world.Add("alpha")
	addr := fmt.Sprintf("localhost:%d", a.Port)
	health(t, newWire(t, world).client, "https://"+addr)
	t.Run("plain HTTP to the TLS port", func(t *testing.T) {
		resp, err := http.Get("http://" + addr + "/.well-known/did.json")
		if err != nil {
			return
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadRequest || bytes.Contains(body, []byte("did:")) {
			t.Errorf("it answered %d: %s", resp.StatusCode, body)
		}
	})
	t.Run("TLS 1.2", func(t *testing.T) {
		trust := world.Trust()
		trust.MaxVersion = tls.VersionTLS12
		conn, err := tls.Dial("tcp", addr, trust)
		if err == nil {
			conn.Close()
			t.Error("the node speaks TLS 1.2")
		}
	})
}

// health waits until a node answers at the address.
func health(t *testing.T, client *http.Client, base string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Limit)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
		harness.Check(t, err)
		resp, err := client.Do(req)
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || string(body) != "{\"status\":\"ok\"}\n" {
				t.Errorf("it answers %d: %s", resp.StatusCode, body)
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestRegistration registers, refuses, suspends and resumes peers through the command line.
func TestRegistration(t *testing.T) {
	t.Parallel()
	world := harness.New(t, program)
	a, b := world.Add("alpha"), world.Add("beta")
	load(t, 200, a, b)
	expect := func(o exchange.Organisation) []string {
		return []string{"--expect-name", o.Name, "--expect-number", o.RegistrationNumber, "--expect-country", o.Country}
	}
	run := func(t *testing.T, n *harness.Node, says string, args ...string) {
		t.Helper()
		out, errs, status := n.Run(args...)
		if status != 0 || !strings.Contains(out, says) {
			t.Fatalf("%v: status %d: %s%s", args, status, out, errs)
		}
	}
	is := func(n, peer *harness.Node, want exchange.PeerState) {
		t.Helper()
		n.Until("the peer to be "+string(want), func(ctx context.Context) (bool, error) {
			p, err := n.Client.Peer(ctx, peer.DID)
			return p.State == want, err
		})
	}

	for _, tc := range []struct {
		field string
		org   exchange.Organisation
	}{
		{"name", exchange.Organisation{Name: "Organisation Beta", RegistrationNumber: b.Org.RegistrationNumber, Country: b.Org.Country}},
		{"registration number", exchange.Organisation{Name: b.Org.Name, RegistrationNumber: "R-gamma", Country: b.Org.Country}},
		{"country", exchange.Organisation{Name: b.Org.Name, RegistrationNumber: b.Org.RegistrationNumber, Country: "JO"}},
	} {
		t.Run("another "+tc.field, func(t *testing.T) {
			beforeA, beforeB := state(t, a), state(t, b)
			out, errs, status := a.Run(append([]string{"peers", "add", b.DID}, expect(tc.org)...)...)
			refused(t, out, errs, status, 1, "the "+tc.field+" of the organisation differs", "nothing was registered")
			unchanged(t, a, beforeA)
			unchanged(t, b, beforeB)
		})
	}
	t.Run("another country, nothing else said", func(t *testing.T) {
		out, errs, status := a.Run("peers", "add", b.DID, "--expect-country", "JO")
		refused(t, out, errs, status, 1, "the country of the organisation differs")
	})
	t.Run("itself", func(t *testing.T) {
		out, errs, status := a.Run(append([]string{"peers", "add", a.DID}, expect(a.Org)...)...)
		refused(t, out, errs, status, 1, "own DID")
	})
	t.Run("no DID", func(t *testing.T) {
		out, errs, status := a.Run(append([]string{"peers", "add", "https://localhost/"}, expect(b.Org)...)...)
		refused(t, out, errs, status, 1, "DID")
	})
	t.Run("an exchange with a stranger", func(t *testing.T) {
		out, errs, status := a.Run("exchange", "run", "--peer", b.DID, "--purpose", "none")
		refused(t, out, errs, status, 1, "not registered")
	})

	// Refused, and asked again.
	run(t, a, "invited", append([]string{"peers", "add", b.DID}, expect(b.Org)...)...)
	run(t, b, "requested", "peers", "show", a.DID)
	run(t, b, "refused", "peers", "refuse", a.DID, "--reason", "not known to us")
	is(a, b, exchange.PeerRefused)
	run(t, a, "not known to us", "peers", "show", b.DID)
	out, errs, status := a.Run("exchange", "run", "--peer", b.DID, "--purpose", "none")
	refused(t, out, errs, status, 1, "refused")
	run(t, a, b.Org.RegistrationNumber, "peers", "add", b.DID) // whoever it is: the fingerprint tells
	run(t, b, "approved", "peers", "approve", a.DID)
	is(a, b, exchange.PeerApproved)
	out, errs, status = b.Run("peers", "approve", a.DID)
	refused(t, out, errs, status, 1, "approved")
	run(t, a, b.Org.Name, "peers", "list")
	run(t, a, "done", "exchange", "run", "--peer", b.DID, "--purpose", "a test")

	// Suspended: neither side's exchanges run.
	run(t, b, "suspended", "peers", "suspend", a.DID, "--reason", "key lost")
	out, errs, status = b.Run("exchange", "run", "--peer", a.DID, "--purpose", "none")
	refused(t, out, errs, status, 1, "suspended")
	before := state(t, b)
	out, errs, status = a.Run("exchange", "run", "--peer", b.DID, "--purpose", "none")
	if status != 1 || !strings.Contains(out, "failed") || !strings.Contains(out, "suspended you") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	unchanged(t, b, before)
	run(t, b, "approved", "peers", "resume", a.DID)
	run(t, a, "done", "exchange", "run", "--peer", b.DID, "--purpose", "a test")
	out, errs, status = b.Run("peers", "resume", a.DID)
	refused(t, out, errs, status, 1, "not suspended")
}

// TestSuspendedHalfWay suspends a peer in the middle of its exchange, which fails and says why.
func TestSuspendedHalfWay(t *testing.T) {
	t.Parallel()
	world := harness.New(t, program)
	a := world.Add("alpha")
	b, line := behind(t, world, "beta")
	load(t, 200, a, b)
	harness.Befriend(a, b)
	reached, suspended := make(chan struct{}, 1), make(chan struct{})
	line.during(func(p passed) fault {
		if p.Kind != "IhyidAcceptanceRequest" {
			return pass
		}
		select {
		case reached <- struct{}{}:
		default:
		}
		select {
		case <-suspended:
		case <-t.Context().Done():
		}
		return pass
	})
	id := begin(t, a, b)
	<-reached
	_, err := b.Client.SuspendPeer(t.Context(), a.DID, "a test")
	harness.Check(t, err)
	close(suspended)
	if e := ended(a, id); e.State != exchange.StateFailed || !strings.Contains(e.Error, "suspended you") {
		t.Errorf("it ended as %s: %s", e.State, e.Error)
	}
	out, errs, status := a.Run("exchange", "show", id)
	if status != 0 || !strings.Contains(out, "suspended you") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
}
