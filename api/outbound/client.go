package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// The defaults of [Options], and the fixed bounds.
const (
	DefaultConnectTimeout = 5 * time.Second
	DefaultHeaderTimeout  = 10 * time.Second
	DefaultTimeout        = 20 * time.Second
	// DefaultPeerHeaderTimeout leaves time for a peer to evaluate a chunk of 32,768 points on
	// a small machine before it answers.
	DefaultPeerHeaderTimeout = time.Minute
	// DefaultPeerTimeout leaves time for a chunk of 1 MiB on a line of 64 kbit/s.
	DefaultPeerTimeout = 5 * time.Minute

	MaxRedirects   = 3
	maxHeaderBytes = 64 << 10
)

// Options sets up [New]. The zero value reaches public addresses with publicly trusted
// certificates over TLS 1.3.
type Options struct {
	// AllowedNetworks are the networks with private, loopback or link-local addresses that
	// may be reached all the same.
	AllowedNetworks []netip.Prefix
	// ExtraRoots are root certificates trusted beside those of the system.
	ExtraRoots []*x509.Certificate
	// MinTLS is tls.VersionTLS13 (also if 0) or tls.VersionTLS12.
	MinTLS uint16
	// ConnectTimeout bounds connecting and, separately, the TLS handshake. HeaderTimeout
	// bounds the time from the request to the headers of the reply, and Timeout the whole,
	// of [Client.Fetch]; PeerHeaderTimeout and PeerTimeout do so for [Client.Do], with the
	// reading of its body. A deadline of the caller's context that is earlier holds. 0 is
	// the default of each.
	ConnectTimeout, HeaderTimeout, Timeout, PeerHeaderTimeout, PeerTimeout time.Duration
	// UserAgent is sent with every request that has none; "" is "ihyid".
	UserAgent string
}

// Client is the guarded HTTPS client. It is safe for concurrent use.
type Client struct {
	opts       Options
	guard      *ssrf.Guardian
	transports []*http.Transport
	// documents is for Fetch; peer and peerGet are for Do, and only peerGet follows
	// redirects.
	documents, peer, peerGet *http.Client
}

// New checks opts and makes a client. Close it when done.
func New(opts Options) (*Client, error) {
	setDefault(&opts.ConnectTimeout, DefaultConnectTimeout)
	setDefault(&opts.HeaderTimeout, DefaultHeaderTimeout)
	setDefault(&opts.Timeout, DefaultTimeout)
	setDefault(&opts.PeerHeaderTimeout, DefaultPeerHeaderTimeout)
	setDefault(&opts.PeerTimeout, DefaultPeerTimeout)
	if opts.UserAgent == "" {
		opts.UserAgent = "ihyid"
	}
	switch opts.MinTLS {
	case 0:
		opts.MinTLS = tls.VersionTLS13
	case tls.VersionTLS12, tls.VersionTLS13:
	default:
		return nil, fmt.Errorf("outbound: MinTLS %s: only TLS 1.2 and 1.3 are acceptable", tls.VersionName(opts.MinTLS))
	}
	var v4, v6 []netip.Prefix
	for _, p := range opts.AllowedNetworks {
		switch {
		case !p.IsValid() || p != p.Masked():
			return nil, fmt.Errorf("outbound: allowed network %s: not a network in CIDR form (did you mean %s?)", p, p.Masked())
		case p.Addr().Is4In6():
			return nil, fmt.Errorf("outbound: allowed network %s: write IPv4 networks in IPv4 form", p)
		case p.Addr().Is4():
			v4 = append(v4, p)
		default:
			v6 = append(v6, p)
		}
	}
	roots, err := rootPool(opts.ExtraRoots)
	if err != nil {
		return nil, err
	}
	c := &Client{
		opts:  opts,
		guard: ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...)),
	}
	dialer := &net.Dialer{Timeout: opts.ConnectTimeout, ControlContext: c.control}
	transport := func(headerTimeout time.Duration) *http.Transport {
		t := &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: opts.MinTLS, RootCAs: roots},
			TLSHandshakeTimeout:    opts.ConnectTimeout,
			ResponseHeaderTimeout:  headerTimeout,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeaderBytes,
			MaxIdleConns:           32,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        60 * time.Second,
		}
		c.transports = append(c.transports, t)
		return t
	}
	c.documents = &http.Client{Transport: transport(opts.HeaderTimeout), CheckRedirect: checkRedirect}
	peers := transport(opts.PeerHeaderTimeout)
	c.peerGet = &http.Client{Transport: peers, CheckRedirect: checkRedirect}
	c.peer = &http.Client{Transport: peers, CheckRedirect: func(*http.Request, []*http.Request) error {
		return fmt.Errorf("%w: this request has a body or credentials, which another address must not get; "+
			"the endpoint is to be named by its final URL", ErrRedirect)
	}}
	return c, nil
}

func setDefault(d *time.Duration, def time.Duration) {
	if *d <= 0 {
		*d = def
	}
}

func rootPool(extra []*x509.Certificate) (*x509.CertPool, error) {
	if len(extra) == 0 {
		return nil, nil // crypto/tls takes the system's, when it needs them
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("outbound: reading the system's root certificates: %w", err)
	}
	for _, cert := range extra {
		pool.AddCert(cert)
	}
	return pool, nil
}

// Close closes idle connections.
func (c *Client) Close() {
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}

// control sees the address of every single connection attempt, after name resolution and
// before any packet.
func (c *Client) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("outbound: %w: not a TCP address", ErrPrivateAddress)
	}
	// An IPv4 address in IPv6 clothes reaches the same host.
	addr := ap.Addr().Unmap().WithZone("")
	if c.guard.SafeAddr(addr) != nil {
		return &AddressError{Addr: addr}
	}
	// So does one behind a NAT64 gateway, whose prefix an operator may have allowed.
	if ssrf.IPv6NAT64Prefix.Contains(addr) {
		b := addr.As16()
		if v4 := netip.AddrFrom4([4]byte(b[12:])); c.guard.SafeAddr(v4) != nil {
			return &AddressError{Addr: v4}
		}
	}
	return nil
}

func checkURL(u *url.URL) error {
	switch {
	case u == nil || u.Scheme != "https":
		return errors.New("the scheme is not https")
	case u.Hostname() == "":
		return errors.New("no host")
	case u.User != nil:
		return errors.New("a user name in the URL")
	}
	return nil
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return fmt.Errorf("%w: more than %d redirects", ErrRedirect, MaxRedirects)
	}
	if err := checkURL(req.URL); err != nil {
		return fmt.Errorf("%w: %s redirects to an address that is not plain https: %w",
			ErrInsecureRedirect, via[len(via)-1].URL.Host, err)
	}
	return nil
}

// Fetch gets an https URL. It returns the body, at most maxBytes long, and the Content-Type
// as it was sent. A status other than 200 is a [*StatusError].
func (c *Client) Fetch(ctx context.Context, rawURL, accept string, maxBytes int64) ([]byte, string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, "", fmt.Errorf("%w: it cannot be parsed", ErrNotHTTPS)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := c.send(c.documents, req, maxBytes)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", &StatusError{Status: resp.StatusCode, Host: req.URL.Host}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, "", err
	}
	return body, resp.Header.Get("Content-Type"), nil
}

// Do sends a request to a peer. Any status is a reply; its body yields [ErrTooLarge] after
// maxBytes, and ends with [Options.PeerTimeout]. The caller closes it. Redirects are
// followed for a GET or HEAD without credentials, and refused otherwise. req is not
// modified; its own context is not used.
func (c *Client) Do(ctx context.Context, req *http.Request, maxBytes int64) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.PeerTimeout)
	req = req.Clone(ctx)
	client := c.peer
	if (req.Method == "" || req.Method == http.MethodGet || req.Method == http.MethodHead) &&
		req.Body == nil && req.Header.Get("Authorization") == "" && req.Header.Get("Cookie") == "" {
		client = c.peerGet
	}
	resp, err := c.send(client, req, maxBytes)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body.(*boundedBody).cancel = cancel
	return resp, nil
}

func (c *Client) send(client *http.Client, req *http.Request, maxBytes int64) (*http.Response, error) {
	if err := checkURL(req.URL); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotHTTPS, err)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.opts.UserAgent)
	}
	host := req.URL.Host
	resp, err := client.Do(req)
	if err != nil {
		return nil, explain(host, unwrapURL(err))
	}
	if resp.ContentLength > maxBytes {
		resp.Body.Close()
		return nil, tooLarge(host, maxBytes)
	}
	resp.Body = &boundedBody{ctx: req.Context(), body: resp.Body, left: maxBytes, max: maxBytes, host: host}
	return resp, nil
}

// unwrapURL drops the *url.Error of http.Client, which repeats the URL.
func unwrapURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func tooLarge(host string, max int64) error {
	return fmt.Errorf("%w: %s sends more than the %d bytes allowed here", ErrTooLarge, host, max)
}

// boundedBody reads at most left bytes, and fails rather than ends if there are more.
type boundedBody struct {
	ctx       context.Context // of the request
	body      io.ReadCloser
	left, max int64
	host      string
	err       error // sticky
	cancel    context.CancelFunc
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	// One byte more than allowed tells a long body from one that just fits.
	if int64(len(p))-1 > b.left {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), tooLarge(b.host, b.max)
	} else if err == io.EOF && b.ctx.Err() != nil {
		// A server that sees us hang up ends its reply as if that were all of it, and that end can still
		// arrive: what was read so far must not pass for the whole.
		err = explain(b.host, b.ctx.Err())
	} else if err != nil && err != io.EOF {
		err = explain(b.host, err)
	}
	b.left -= int64(n)
	b.err = err
	return n, err
}

// Close ends the request. What was not read is not waited for.
func (b *boundedBody) Close() error {
	if b.cancel != nil {
		b.cancel()
	}
	return b.body.Close()
}
