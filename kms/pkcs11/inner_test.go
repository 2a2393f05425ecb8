//go:build cgo && unix && !nopkcs11

package pkcs11

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ihyid/kms"
)

// FuzzLabel: what parses is written again as it was.
func FuzzLabel(f *testing.F) {
	f.Add("ihyid/1 assert 20260301T120000.123456")
	f.Add("ihyid/1 auth 20260301T120000.123456 20260401T120000.123456")
	f.Add("ihyid/1 wrap 20260301T120000.123456")
	f.Add("ihyid/1 assert 20260301T120000,123456")
	f.Add("ihyid/1 ")
	f.Add("something else")
	f.Fuzz(func(t *testing.T, s string) {
		l, ours, err := parseLabel(s)
		if err == nil && ours && l.String() != s {
			t.Fatalf("%q parses to %q", s, l)
		}
		if err != nil && !ours {
			t.Fatalf("%q is not ours, and an error: %v", s, err)
		}
	})
}

func TestLabel(t *testing.T) {
	for _, s := range []string{"ihyid/1", "ihyid/1 ", "ihyid/1 assert", "ihyid/1 sign 20260301T120000.123456",
		"ihyid/1 assert 20260301T120000.12345", "ihyid/1 assert 20261301T120000.123456", "ihyid/1 assert  20260301T120000.123456",
		"ihyid/1 assert 20260301T120000.123456 x", "ihyid/1 assert 20260301T120000.123456 20260301T120000.123456 x"} {
		if l, ours, err := parseLabel(s); ours == (err == nil) {
			t.Errorf("parseLabel(%q) = %v, %v, %v", s, l, ours, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string) time.Time {
			return time.UnixMicro(rapid.Int64Range(0, 250e15).Draw(t, name)).UTC()
		}
		l := label{created: at("created")}
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			l.wrapping = true
		case 1:
			l.purpose = kms.AssertionMethod
		case 2:
			l.purpose = kms.Authentication
		}
		if rapid.Bool().Draw(t, "is retired") {
			l.retired = at("retired")
		}
		got, ours, err := parseLabel(l.String())
		if err != nil || !ours || got != l {
			t.Fatalf("%q parses to %+v, %v, %v, want %+v", l, got, ours, err, l)
		}
		if n := len(l.String()); n > 64 {
			t.Fatalf("a label of %d bytes", n)
		}
	})
}

// FuzzPublic: what parses is a point of its curve.
func FuzzPublic(f *testing.F) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	der, err := asn1.Marshal(point)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(curves[kms.P256], der)
	f.Add(curves[kms.P256], point)
	f.Add(curves[kms.P384], der)
	f.Add([]byte{}, []byte{4})
	f.Fuzz(func(t *testing.T, params, point []byte) {
		pub, err := parsePublic(params, point)
		if err != nil {
			return
		}
		if _, err := pub.key.ECDH(); err != nil {
			t.Fatalf("not a point of its curve: %v", err)
		}
		if pub.key.Curve.Params().Name != string(pub.curve) {
			t.Fatalf("%s on %s", pub.curve, pub.key.Curve.Params().Name)
		}
	})
}

// TestPINMemory: a refusal outlives the process, and only that of the same PIN
// for the same token.
func TestPINMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "refused")
	if err := newPINMemory().remember(file, "serial", "1234", time.Now()); err != nil {
		t.Fatal(err)
	}
	restarted := newPINMemory()
	if err := restarted.check(file, "serial", "1234"); !errors.Is(err, ErrWrongPIN) {
		t.Errorf("the same PIN after a restart: %v", err)
	}
	if err := restarted.check(file, "other", "1234"); err != nil {
		t.Errorf("the same PIN for another token: %v", err)
	}
	// 8 bits tell two PINs apart but once in 256 times.
	passed := 0
	for i := range 40 {
		if restarted.check(file, "serial", string(rune('a'+i))+"5678") == nil {
			passed++
		}
	}
	if passed < 30 {
		t.Errorf("%d of 40 other PINs passed", passed)
	}
	restarted.forget(file, "other")
	if err := restarted.check(file, "serial", "1234"); !errors.Is(err, ErrWrongPIN) {
		t.Errorf("after another token took its PIN: %v", err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := restarted.check(file, "serial", "5678"); err == nil {
		t.Error("a damaged memory lets a PIN pass")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := restarted.check(file, "serial", "1234"); err != nil {
		t.Errorf("after the operator removed the file: %v", err)
	}
	if err := restarted.remember(filepath.Join(file, "none"), "serial", "1234", time.Now()); err == nil {
		t.Error("a memory that cannot be written is no error")
	}
	if err := restarted.check("", "serial", "1234"); !errors.Is(err, ErrWrongPIN) {
		t.Errorf("the process forgot: %v", err)
	}
}
