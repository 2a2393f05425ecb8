//go:build cgo && unix && !nopkcs11

package pkcs11_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"ihyid/kms"
	"ihyid/kms/kmstest"
	"ihyid/kms/pkcs11"
	"ihyid/kms/pkcs11/softhsm"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if faultyLibrary.dir != "" {
			os.RemoveAll(faultyLibrary.dir)
		}
		os.Exit(code)
	}))
}

// folder prepares SoftHSM in a folder of the test's own. SoftHSM reads its
// environment variable when it is initialised, so tests that call this do not run in
// parallel.
func folder(t testing.TB) string {
	t.Helper()
	if _, err := softhsm.Library(); err != nil {
		if os.Getenv("IHYID_REQUIRE_SOFTHSM") == "1" {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED: %v (IHYID_REQUIRE_SOFTHSM=1 makes this a failure)", err)
	}
	dir := t.TempDir()
	conf, err := softhsm.Setup(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(softhsm.ConfVariable, conf)
	return dir
}

// newToken gives the options of a new, empty token.
func newToken(t testing.TB, dir, label string) pkcs11.Options {
	t.Helper()
	o, err := softhsm.NewToken(t.Context(), dir, label)
	if err != nil {
		t.Fatalf("NewToken: %v", err)
	}
	return o
}

func mustCreate(t testing.TB, o pkcs11.Options) *pkcs11.Store {
	t.Helper()
	s, err := pkcs11.Create(t.Context(), o)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustOpen(t testing.TB, o pkcs11.Options) *pkcs11.Store {
	t.Helper()
	s, err := pkcs11.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	for name, bare := range map[string]bool{"Copies": false, "NoCopies": true} {
		t.Run(name, func(t *testing.T) {
			kmstest.Run(t, func(t *testing.T) (kms.Store, func(*testing.T) kms.Store) {
				dir, label := folderOnce(t)
				o := newToken(t, dir, label)
				o.NoCopies = bare
				s := mustCreate(t, o)
				return s, func(t *testing.T) kms.Store { return mustOpen(t, o) }
			})
		})
	}
}

// folderOnce is folder for tests that open several tokens: they must lie in one folder.
func folderOnce(t *testing.T) (dir, label string) {
	t.Helper()
	if d := os.Getenv(folderVariable); d != "" {
		return d, "second"
	}
	dir = folder(t)
	t.Setenv(folderVariable, dir)
	return dir, "first"
}

const folderVariable = "IHYID_TEST_SOFTHSM_FOLDER"
