package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// SocketName is the name of the local API's socket within a node's data directory.
const SocketName = "ihyid.sock"

// Errors of listening.
var (
	ErrNotLoopback = errors.New("plain HTTP is allowed on a loopback address only")
	ErrInUse       = errors.New("another process serves this data directory")
)

// PublicListener listens for other nodes.
type PublicListener struct {
	net.Listener
	tls *tls.Config // nil: plain HTTP
}

// Secure reports whether the listener speaks TLS.
func (p *PublicListener) Secure() bool { return p.tls != nil }

func (p *PublicListener) listener(connections int) net.Listener {
	ln := net.Listener(limit(p.Listener, connections))
	if p.tls != nil {
		ln = tls.NewListener(ln, p.tls)
	}
	return ln
}

// ListenTLS listens on addr with TLS 1.3 and the certificate chain and key of the two PEM files,
// which are read again when they change, so that a certificate can be renewed under a running node.
func ListenTLS(ctx context.Context, addr, certFile, keyFile string) (*PublicListener, error) {
	certs := &certificate{certFile: certFile, keyFile: keyFile, now: time.Now}
	if err := certs.load(); err != nil {
		return nil, fmt.Errorf("reading the TLS certificate %s and key %s: %w", certFile, keyFile, err)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &PublicListener{Listener: ln, tls: &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The hybrids first: what is recorded today must not be read by a quantum computer later.
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		NextProtos:       []string{"h2", "http/1.1"},
		GetCertificate:   certs.get,
	}}, nil
}

// ListenPlain listens on addr without TLS, for a proxy on the same machine that ends TLS. Any address
// that is not loopback is refused with ErrNotLoopback.
func ListenPlain(ctx context.Context, addr string) (*PublicListener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil || host == "" {
		return nil, fmt.Errorf("%q: %w", addr, ErrNotLoopback)
	}
	for _, ip := range ips {
		if !ip.IP.IsLoopback() {
			return nil, fmt.Errorf("%q: %w", addr, ErrNotLoopback)
		}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if a, ok := ln.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		_ = ln.Close()
		return nil, fmt.Errorf("%q: %w", addr, ErrNotLoopback)
	}
	return &PublicListener{Listener: ln}, nil
}

// certificate is a certificate that follows its files.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time

	mu      sync.Mutex
	cert    *tls.Certificate
	stamp   [2]time.Time
	checked time.Time
}

// certificateAge is how long a certificate is used before its files are looked at again.
const certificateAge = 30 * time.Second

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.checked) >= certificateAge {
		// While the files do not fit each other (half renewed) the old pair goes on.
		_ = c.loadLocked()
	}
	return c.cert, nil
}

func (c *certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loadLocked()
}

func (c *certificate) loadLocked() error {
	c.checked = c.now()
	var stamp [2]time.Time
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		stamp[i] = info.ModTime()
	}
	if c.cert != nil && stamp == c.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.cert, c.stamp = &pair, stamp
	return nil
}

// ListenSocket listens on the Unix socket of a data directory, for the owner of the directory only.
// A socket that a dead process left behind is replaced; one that answers is ErrInUse.
func ListenSocket(ctx context.Context, dataDir string) (net.Listener, error) {
	path := filepath.Join(dataDir, SocketName)
	if conn, err := DialSocket(ctx, dataDir); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	// The socket is made in a directory of its own, which nobody else can enter, and moved to its
	// place once its mode is right: at no moment may anyone else connect.
	private, err := os.MkdirTemp(dataDir, ".socket-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	fresh := filepath.Join(private, SocketName)
	ln, err := listenUnix(ctx, fresh)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		_ = ln.Close()
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	return &socketListener{UnixListener: ln, path: path, file: info}, nil
}

func listenUnix(ctx context.Context, path string) (*net.UnixListener, error) {
	short, done, err := socketAddress(path)
	if err != nil {
		return nil, err
	}
	defer done()
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", short)
	if err != nil {
		return nil, err
	}
	unix := ln.(*net.UnixListener)
	unix.SetUnlinkOnClose(false)
	return unix, nil
}

// DialSocket connects to the node that serves dataDir. If no node does, the error is fs.ErrNotExist
// or syscall.ECONNREFUSED.
func DialSocket(ctx context.Context, dataDir string) (net.Conn, error) {
	short, done, err := socketAddress(filepath.Join(dataDir, SocketName))
	if err != nil {
		return nil, err
	}
	defer done()
	return new(net.Dialer).DialContext(ctx, "unix", short)
}

// maxSocketPath is the room for a path in sockaddr_un on the narrowest system (104 bytes with the
// closing zero on BSD and macOS; Linux has 108).
const maxSocketPath = 103

// socketAddress gives a form of path that fits a socket address: the path itself, or one through an
// open descriptor of its directory where the system has /proc. done must be called after use.
func socketAddress(path string) (short string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil {
		_ = dir.Close()
		return "", nil, fmt.Errorf("%s is longer than the %d bytes that a socket's path may have: choose a shorter data directory", path, maxSocketPath)
	}
	return short, func() { _ = dir.Close() }, nil
}

// socketListener removes its socket when it is closed, unless another one has taken its place.
type socketListener struct {
	*net.UnixListener
	path string
	file fs.FileInfo
	once sync.Once
}

func (l *socketListener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.file) {
			_ = os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}
