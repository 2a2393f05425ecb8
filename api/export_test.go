package api

import (
	"crypto/tls"
	"testing"
	"time"
)

// CertificateOf gives what a TLS listener takes its certificate from, and a function that lets the
// time pass after which it looks at the files again.
func CertificateOf(t *testing.T, certFile, keyFile string) (get func() *tls.Certificate, age func()) {
	t.Helper()
	now := time.Now()
	c := &certificate{certFile: certFile, keyFile: keyFile, now: func() time.Time { return now }}
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	return func() *tls.Certificate {
		cert, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}, func() { now = now.Add(certificateAge) }
}

var WithoutPatterns = withoutPatterns
