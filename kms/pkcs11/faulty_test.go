//go:build cgo && unix && !nopkcs11

package pkcs11_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ihyid/kms/pkcs11"
	"ihyid/kms/pkcs11/softhsm"
)

// faultyLibrary is testdata/faulty.c, compiled once.
var faultyLibrary struct {
	sync.Once
	dir, path string
	err       error
}

func compileFaulty() {
	l := &faultyLibrary
	if l.dir, l.err = os.MkdirTemp("", "faulty"); l.err != nil {
		return
	}
	headers, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		l.err = err
		return
	}
	l.path = filepath.Join(l.dir, "faulty.so")
	out, err := exec.Command("cc", "-shared", "-fPIC", "-I"+strings.TrimSpace(string(headers)), "-o", l.path, "testdata/faulty.c", "-ldl").CombinedOutput()
	if err != nil {
		l.err = errors.Join(err, errors.New(string(out)))
	}
}

// rig is a new token behind the faulty library.
type rig struct {
	dir string
	o   pkcs11.Options
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := folder(t)
	library, err := softhsm.Library()
	if err != nil {
		t.Fatal(err)
	}
	faultyLibrary.Do(compileFaulty)
	if err := faultyLibrary.err; err != nil {
		if os.Getenv("IHYID_REQUIRE_SOFTHSM") == "1" {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED: the faulty library does not compile: %v (IHYID_REQUIRE_SOFTHSM=1 makes this a failure)", err)
	}
	t.Setenv("FAULTY_FOLDER", dir)
	t.Setenv("FAULTY_REAL", library)
	t.Setenv(softhsm.LibraryVariable, faultyLibrary.path)
	return &rig{dir: dir, o: newToken(t, dir, "faulty")}
}

// set makes the library fail in a way; see testdata/faulty.c.
func (r *rig) set(t *testing.T, fault string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, fault), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) unset(t *testing.T, fault string) {
	t.Helper()
	if err := os.Remove(filepath.Join(r.dir, fault)); err != nil {
		t.Fatal(err)
	}
}

// logins counts the PINs that the token was offered.
func (r *rig) logins(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "logins"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return len(b)
}

// hold stops the next signature inside the library; held returns once it is
// there, and the function it gives lets it go.
func (r *rig) hold(t *testing.T) (held func() (release func())) {
	t.Helper()
	name := filepath.Join(r.dir, "hold")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() func() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0) // until the library opens it for reading
		if err != nil {
			t.Error(err)
			return func() {}
		}
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
		return func() { f.Close() }
	}
}

// setPIN writes another PIN into the file that the options name.
func (r *rig) setPIN(t *testing.T, pin string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "faulty.pin"), []byte(pin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) pin(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "faulty.pin"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
