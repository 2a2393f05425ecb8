//go:build cgo && unix && !nopkcs11

package pkcs11_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	raw "github.com/miekg/pkcs11"

	"ihyid/kms"
	"ihyid/kms/pkcs11"
)

func TestPINSources(t *testing.T) {
	dir := folder(t)
	o := newToken(t, dir, "one")
	pin, err := os.ReadFile(filepath.Join(dir, "one.pin"))
	if err != nil {
		t.Fatal(err)
	}
	pin = bytes.TrimSpace(pin)
	t.Setenv("IHYID_TEST_PIN", string(pin))
	mustCreate(t, o).Close()
	asked := 0
	given := bytes.Clone(pin)
	for _, p := range []pkcs11.PIN{
		pkcs11.PINFile(filepath.Join(dir, "one.pin")), pkcs11.PINEnv("IHYID_TEST_PIN"),
		pkcs11.PINPrompt(func(_ context.Context, token string) ([]byte, error) {
			asked++
			if token != "one" {
				t.Errorf("asked for the PIN of %q", token)
			}
			return given, nil
		}),
	} {
		o.PIN = p
		mustOpen(t, o).Close()
	}
	if asked != 1 {
		t.Errorf("asked for the PIN %d times", asked)
	}
	if !bytes.Equal(given, make([]byte, len(given))) {
		t.Error("the PIN was not wiped")
	}
	if err := os.Chmod(filepath.Join(dir, "one.pin"), 0o640); err != nil {
		t.Fatal(err)
	}
	o.PIN = pkcs11.PINFile(filepath.Join(dir, "one.pin"))
	if _, err := pkcs11.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("PIN file that others can read: %v", err)
	}
}

// TestWrongPIN: a wrong PIN is offered once, whatever is tried.
func TestWrongPIN(t *testing.T) {
	r := newRig(t)
	r.o.PINMemory = filepath.Join(r.dir, "refused")
	mustCreate(t, r.o).Close()
	good, before := r.pin(t), r.logins(t)
	r.setPIN(t, "wrong")
	for range 3 {
		_, err := pkcs11.Open(t.Context(), r.o)
		wantIs(t, "Open with a wrong PIN", err, pkcs11.ErrWrongPIN)
		if err != nil && strings.Contains(err.Error(), "wrong\"") {
			t.Errorf("the error shows the PIN: %v", err)
		}
	}
	if n := r.logins(t) - before; n != 1 {
		t.Errorf("the token was offered the PIN %d times, want once", n)
	}
	if b, err := os.ReadFile(r.o.PINMemory); err != nil || bytes.Contains(b, []byte("wrong")) {
		t.Errorf("memory of refused PINs: %q, %v", b, err)
	}
	r.setPIN(t, good)
	s := mustOpen(t, r.o)
	if _, err := os.Stat(r.o.PINMemory); !os.IsNotExist(err) {
		t.Errorf("the refusal is still remembered after a good log-in (%v)", err)
	}
	newKey(t, s)
}

// TestPINChanged changes the PIN while the token is out: one attempt, and then
// calls fail with the reason until the store is opened with the new PIN.
func TestPINChanged(t *testing.T) {
	r := newRig(t)
	s := mustCreate(t, r.o)
	_, sg := newKey(t, s)
	p := raw.New(r.o.Library)
	defer p.Destroy()
	slots, err := p.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	h, err := p.OpenSession(slots[0], raw.CKF_SERIAL_SESSION|raw.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetPIN(h, r.pin(t), "another-pin"); err != nil {
		t.Fatal(err)
	}
	r.set(t, "removed")
	wantIs(t, "Check", s.Check(t.Context()), kms.ErrUnavailable)
	before := r.logins(t)
	r.unset(t, "removed")
	for range 3 {
		wantIs(t, "Sign", sign(sg), kms.ErrUnavailable, pkcs11.ErrWrongPIN)
		_, err := s.Wrap(t.Context(), nil, nil)
		wantIs(t, "Wrap", err, pkcs11.ErrWrongPIN)
		wantIs(t, "Check", s.Check(t.Context()), pkcs11.ErrWrongPIN)
	}
	if n := r.logins(t) - before; n != 1 {
		t.Errorf("the token was offered the PIN %d times, want once", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	r.setPIN(t, "another-pin")
	s = mustOpen(t, r.o)
	if list, err := s.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("List: %+v, %v", list, err)
	}
}

func TestPINFlags(t *testing.T) {
	r := newRig(t)
	mustCreate(t, r.o).Close()
	before := r.logins(t)
	for _, fault := range []string{"locked", "finaltry"} {
		r.set(t, fault)
		_, err := pkcs11.Open(t.Context(), r.o)
		wantIs(t, "Open of a token that says "+fault, err, pkcs11.ErrPINLocked)
		if fault == "locked" {
			r.unset(t, fault)
		}
	}
	if n := r.logins(t) - before; n != 0 {
		t.Errorf("the token was offered the PIN %d times, want not at all", n)
	}
	r.o.UseFinalTry = true
	mustOpen(t, r.o)
}
