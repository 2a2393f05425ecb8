package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
)

// The sentinel errors. Those that are returned wrap one of them and say more.
var (
	// ErrPrivateAddress: the address to be dialled is not public, and not allowed.
	ErrPrivateAddress = errors.New("private address refused")
	// ErrTooLarge: the reply is longer than the caller allows.
	ErrTooLarge = errors.New("reply too large")
	// ErrNotHTTPS: the URL that was asked for is not a plain https URL.
	ErrNotHTTPS = errors.New("not an https URL")
	// ErrInsecureRedirect: a redirect leads to something else than a plain https URL.
	ErrInsecureRedirect = errors.New("insecure redirect refused")
	// ErrRedirect: too many redirects, or one that is not followed because the request has
	// a body or credentials.
	ErrRedirect = errors.New("redirect not followed")
	// ErrTimeout: one of the client's own time limits has passed.
	ErrTimeout = errors.New("timed out")
	// ErrCertificate: the server's certificate is not acceptable.
	ErrCertificate = errors.New("certificate not accepted")
	// ErrTLS: no TLS connection of an acceptable version.
	ErrTLS = errors.New("no acceptable TLS connection")
	// ErrUnreachable: the host name is not known, or nothing answers.
	ErrUnreachable = errors.New("host not reachable")
)

// StatusError is a reply to [Client.Fetch] whose status is not 200.
type StatusError struct {
	Status int
	Host   string
}

// Error names the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered with HTTP status %d", e.Host, e.Status)
}

// HTTPStatus returns the status; the did package looks for this method.
func (e *StatusError) HTTPStatus() int { return e.Status }

// AddressError is an address that was refused. It matches [ErrPrivateAddress].
type AddressError struct {
	Addr netip.Addr
}

// Error says how to allow the address.
func (e *AddressError) Error() string {
	return fmt.Sprintf("connection to %s refused: it is a private, loopback, link-local or otherwise special address. "+
		"If the host is to be reached there, add a network that contains it, such as %s, to the allowed networks",
		e.Addr, netip.PrefixFrom(e.Addr, e.Addr.BitLen()))
}

// Is matches [ErrPrivateAddress].
func (e *AddressError) Is(target error) bool { return target == ErrPrivateAddress }

// explain turns an error of net/http into one that says what can be done. The URL is left
// out: its host is named, its path may hold tokens.
func explain(host string, err error) error {
	if addr, ok := errors.AsType[*AddressError](err); ok {
		return fmt.Errorf("%w (host %s)", addr, host)
	}
	for _, known := range []error{ErrInsecureRedirect, ErrRedirect, ErrTooLarge, ErrTimeout} {
		if errors.Is(err, known) {
			return err
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("request to %s: %w", host, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return fmt.Errorf("%w: %s did not answer in time: %w", ErrTimeout, host, err)
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("%w: the certificate that %s shows is for other names: %w", ErrCertificate, host, e)
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("%w: the certificate of %s is signed by an authority that this node does not know; "+
			"if it is a private one, add its root certificate to the extra root certificates: %w", ErrCertificate, host, e)
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w: %s: %w", ErrCertificate, host, e.Err)
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("%w: the name %s cannot be looked up: %s", ErrUnreachable, host, e.Err)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		if e.Op == "dial" {
			return fmt.Errorf("%w: %s: %w", ErrUnreachable, host, e.Err)
		}
		if e.Op == "remote error" || e.Op == "local error" {
			return fmt.Errorf("%w with %s: %w", ErrTLS, host, e.Err)
		}
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return fmt.Errorf("%w with %s: the port does not speak TLS", ErrTLS, host)
	}
	return fmt.Errorf("request to %s failed: %w", host, err)
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}
