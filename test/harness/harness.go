package harness

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ihyid/api"
	"ihyid/api/client"
	"ihyid/exchange"
	"ihyid/exchange/register"
)

// Limit is how long anything may take that a test waits for. A test with more work than others may raise it at its start.
var Limit = 2 * time.Minute

// Build builds the real program once for all tests of a package and gives its path; call it from TestMain. With GOFLAGS=-race in
// the environment the nodes, too, look for data races.
func Build() (program string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "ihyid-test-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	program = filepath.Join(dir, "ihyid")
	cmd := exec.Command("go", "build", "-o", program, "ihyid/cmd/ihyid")
	if out, err := cmd.CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("building ihyid: %w\n%s", err, out)
	}
	return program, remove, nil
}

// Net is a few nodes on one machine, under a certificate authority of their own.
type Net struct {
	tb      testing.TB
	Program string
	Dir     string
	CAFile  string
	Private string // the private networks that nodes added from now on may reach

	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
	count atomic.Int64
}

// New makes an empty net in a temporary directory.
func New(tb testing.TB, program string) *Net {
	tb.Helper()
	n := &Net{tb: tb, Program: program, Dir: tb.TempDir(), Private: "127.0.0.0/8,::1/128"}
	var err error
	n.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Check(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, n.caKey.Public(), n.caKey)
	Check(tb, err)
	n.ca, err = x509.ParseCertificate(der)
	Check(tb, err)
	n.CAFile = filepath.Join(n.Dir, "ca.pem")
	writePEM(tb, n.CAFile, "CERTIFICATE", der)
	return n
}

// Check ends the test on an error.
func Check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func writePEM(tb testing.TB, file, kind string, der []byte) {
	tb.Helper()
	Check(tb, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// Certificate issues a certificate for this machine's loopback names and the given further ones, as files.
func (n *Net) Certificate(dir string, names ...string) (certFile, keyFile string) {
	n.tb.Helper()
	cert := n.KeyPair(append([]string{"localhost", "127.0.0.1"}, names...)...)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	Check(n.tb, err)
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writePEM(n.tb, certFile, "CERTIFICATE", cert.Certificate[0])
	writePEM(n.tb, keyFile, "PRIVATE KEY", pkcs8)
	return certFile, keyFile
}

// KeyPair issues a certificate for these hosts, names or addresses, and no others.
func (n *Net) KeyPair(hosts ...string) tls.Certificate {
	n.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Check(n.tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(n.count.Add(1) + 1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, n.ca, key.Public(), n.caKey)
	Check(n.tb, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Trust gives the settings of a TLS client that trusts the net's authority.
func (n *Net) Trust() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(n.ca)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Node is one node; Client speaks to it while it runs.
type Node struct {
	net    *Net
	tb     testing.TB
	Name   string
	Data   string
	DID    string
	Port   int // where it listens on loopback
	Org    exchange.Organisation
	Client *client.Client

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	serve  []string
}

// Add makes a node and starts it. Further arguments go to `ihyid serve`.
func (n *Net) Add(name string, serve ...string) *Node {
	n.tb.Helper()
	return n.AddBehind(name, 0, serve...)
}

// AddBehind is Add for a node that others reach at another port than its own: that of something that stands before it.
func (n *Net) AddBehind(name string, public int, serve ...string) *Node {
	n.tb.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	Check(n.tb, err)
	node := &Node{
		net: n, tb: n.tb, Name: name, Data: filepath.Join(n.Dir, name), Port: ln.Addr().(*net.TCPAddr).Port,
		Org: exchange.Organisation{Name: "Organisation " + name, RegistrationNumber: "R-" + name, Country: "LB"},
	}
	if public == 0 {
		public = node.Port
	}
	node.DID = fmt.Sprintf("did:web:localhost%%3A%d", public)
	out, err := exec.Command(n.Program, "init", "--data", node.Data, "--did", "web", "--host", fmt.Sprintf("localhost:%d", public),
		"--org-name", node.Org.Name, "--org-number", node.Org.RegistrationNumber, "--org-country", node.Org.Country).CombinedOutput()
	if err != nil {
		n.tb.Fatalf("init: %v: %s", err, out)
	}
	cert, key := n.Certificate(node.Data)
	node.serve = append([]string{"serve", "--data", node.Data, "--listen", fmt.Sprintf("127.0.0.1:%d", node.Port), "--tls-cert", cert, "--tls-key", key,
		"--ca-file", n.CAFile, "--allow-private", n.Private}, serve...)
	Check(n.tb, ln.Close())
	node.Start()
	n.tb.Cleanup(func() {
		node.Kill()
		node.sound()
	})
	return node
}

// sound fails the test if the node has panicked somewhere, or was built with the race detector and raced.
func (n *Node) sound() {
	log, err := os.ReadFile(n.LogFile())
	if err != nil {
		n.tb.Error(err)
	}
	for _, sign := range []string{"DATA RACE", "panic"} {
		if _, after, found := bytes.Cut(log, []byte(sign)); found {
			n.tb.Errorf("%s: %s%s", n.Name, sign, after[:min(len(after), 4000)])
		}
	}
}

// LogFile is where the node's output goes.
func (n *Node) LogFile() string { return filepath.Join(n.net.Dir, n.Name+".log") }

// Start starts the node's process and waits until it answers.
func (n *Node) Start() {
	n.tb.Helper()
	log, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	Check(n.tb, err)
	defer log.Close()
	cmd := exec.Command(n.net.Program, n.serve...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	Check(n.tb, cmd.Start())
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	n.mu.Lock()
	n.cmd, n.exited = cmd, exited
	n.mu.Unlock()
	c, err := client.New(client.Options{DataDir: n.Data})
	Check(n.tb, err)
	n.Client = c
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := c.Status(ctx); err == nil {
			return
		}
		select {
		case <-exited:
			text, _ := os.ReadFile(n.LogFile())
			n.tb.Fatalf("%s ended at its start: %s", n.Name, tail(text))
		case <-ctx.Done():
			n.tb.Fatalf("%s does not answer", n.Name)
		case <-tick.C:
		}
	}
}

func tail(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// PID is the number of the node's process.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cmd.Process.Pid
}

// Kill ends the process as a power cut would (SIGKILL), and waits until it is gone.
func (n *Node) Kill() { n.signal(syscall.SIGKILL) }

// Stop asks the process to stop, and waits until it has.
func (n *Node) Stop() { n.signal(syscall.SIGTERM) }

func (n *Node) signal(s syscall.Signal) {
	n.mu.Lock()
	cmd, exited := n.cmd, n.exited
	n.mu.Unlock()
	if cmd == nil {
		return
	}
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		n.tb.Error(err)
	}
	<-exited
	if n.Client != nil {
		n.Client.Close()
	}
}

// Befriend registers b with a.
func Befriend(a, b *Node) {
	a.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	_, err := a.Client.AddPeer(ctx, b.DID, b.Org)
	Check(a.tb, err)
	_, err = b.Client.ApprovePeer(ctx, a.DID)
	Check(a.tb, err)
	a.Until("the approval of "+b.Name, func(ctx context.Context) (bool, error) {
		p, err := a.Client.Peer(ctx, b.DID)
		return p.State == exchange.PeerApproved, err
	})
}

// Until asks again and again until done says so; errors are asked away while the node is down.
func (n *Node) Until(what string, done func(ctx context.Context) (bool, error)) {
	n.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if ok && err == nil {
			return
		}
		select {
		case <-ctx.Done():
			n.tb.Fatalf("%s: waited too long for %s (last error: %v)", n.Name, what, err)
		case <-tick.C:
		}
	}
}

// Import sends a list and gives the job; it does not wait for it.
func (n *Node) Import(list []byte) (api.Job, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	return n.Client.ImportContacts(ctx, bytes.NewReader(list), register.ImportOptions{})
}

// Job waits for the end of a job, across restarts of the node.
func (n *Node) Job(id string) api.Job {
	n.tb.Helper()
	var j api.Job
	n.Until("job "+id, func(ctx context.Context) (bool, error) {
		var err error
		j, err = n.Client.Job(ctx, id)
		return err == nil && j.State.Final(), err
	})
	return j
}

// Export gives all contacts as CSV.
func (n *Node) Export() []byte {
	n.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	var b bytes.Buffer
	Check(n.tb, n.Client.ExportContacts(ctx, &b, ""))
	return b.Bytes()
}

// Run runs the command line on this node's directory.
func (n *Node) Run(args ...string) (stdout, stderr string, status int) {
	n.tb.Helper()
	return n.net.Run(append(args, "--data", n.Data)...)
}

// Run runs the command line.
func (n *Net) Run(args ...string) (stdout, stderr string, status int) {
	n.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, n.Program, args...)
	cmd.SysProcAttr = childAttributes()
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.tb.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
