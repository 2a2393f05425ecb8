package file

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ihyid/kms"
	"ihyid/kms/kmstest"
)

// cheap is the least cost that a store accepts, to keep the tests quick.
var cheap = Argon2{Passes: 1, MemoryKiB: minMemoryKiB, Lanes: 1}

func TestStore(t *testing.T) {
	t.Parallel()
	kmstest.Run(t, func(t *testing.T) (kms.Store, func(*testing.T) kms.Store) {
		path := filepath.Join(t.TempDir(), "keys")
		s := mustCreate(t, path, Options{})
		return s, func(t *testing.T) kms.Store { return mustOpen(t, path, Options{}) }
	})
}

func mustCreate(t *testing.T, path string, o Options) *Store {
	t.Helper()
	s, err := Create(path, o)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustOpen(t *testing.T, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newKey(t *testing.T, s *Store) kms.KeyInfo {
	t.Helper()
	k, err := s.Create(t.Context(), kms.P256, kms.AssertionMethod)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func write(t *testing.T, name string, b []byte, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(name, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // the umask may have taken bits away
		t.Fatal(err)
	}
	return name
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantIs(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want an error that is %v", what, got, want)
	}
}

// TestSecrets opens a store by every kind of secret, and by a wrong one.
func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	k := bytes.Repeat([]byte{0x5a}, KeySize)
	wrong := bytes.Repeat([]byte{0x5b}, KeySize)
	t.Setenv("IHYID_TEST_HEX", hex.EncodeToString(k))
	t.Setenv("IHYID_TEST_BASE64", base64.StdEncoding.EncodeToString(k))
	t.Setenv("IHYID_TEST_BASE64URL", base64.RawURLEncoding.EncodeToString(k))
	t.Setenv("IHYID_TEST_WORDS", "correct horse battery")
	wordFile := write(t, filepath.Join(dir, "words"), []byte("correct horse battery\r\n"), 0o600)
	rawFile := write(t, filepath.Join(dir, "raw"), k, 0o400)
	short := write(t, filepath.Join(dir, "short"), k[:31], 0o600)
	long := write(t, filepath.Join(dir, "long"), append(bytes.Clone(k), '\n'), 0o600)

	keyed, worded := filepath.Join(dir, "keyed"), filepath.Join(dir, "worded")
	id := newKey(t, mustCreate(t, keyed, Options{Secret: Key(k)})).ID
	wid := newKey(t, mustCreate(t, worded, Options{Secret: Passphrase([]byte("correct horse battery")), Argon2: cheap})).ID

	for name, s := range map[string]Secret{"Key": Key(k), "KeyFile": KeyFile(rawFile), "hex": KeyEnv("IHYID_TEST_HEX"),
		"base64": KeyEnv("IHYID_TEST_BASE64"), "base64url": KeyEnv("IHYID_TEST_BASE64URL")} {
		if _, err := mustOpen(t, keyed, Options{Secret: s}).Get(t.Context(), id); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, err := Open(worded, Options{Secret: s})
		wantIs(t, "a key for a store with a passphrase", err, ErrWrongPassphrase)
	}
	for name, s := range map[string]Secret{"Passphrase": Passphrase([]byte("correct horse battery")),
		"PassphraseFile": PassphraseFile(wordFile), "PassphraseEnv": PassphraseEnv("IHYID_TEST_WORDS")} {
		if _, err := mustOpen(t, worded, Options{Secret: s}).Get(t.Context(), wid); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, err := Open(keyed, Options{Secret: s})
		wantIs(t, "a passphrase for a store with a key", err, ErrWrongPassphrase)
	}
	for name, c := range map[string]struct {
		path string
		s    Secret
	}{
		"wrong key":        {keyed, Key(wrong)},
		"short key":        {keyed, Key(k[:31])},
		"short key file":   {keyed, KeyFile(short)},
		"no hex":           {keyed, KeyEnv("IHYID_TEST_WORDS")},
		"wrong passphrase": {worded, Passphrase([]byte("correct horse batterz"))},
		"empty passphrase": {worded, Passphrase(nil)},
		"huge passphrase":  {worded, Passphrase(make([]byte, MaxPassphrase+1))},
	} {
		before := read(t, c.path)
		_, err := Open(c.path, Options{Secret: c.s})
		wantIs(t, name, err, ErrWrongPassphrase)
		if err != nil && (strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), "ZFpa")) {
			t.Errorf("%s: the error shows the secret", name)
		}
		if !bytes.Equal(before, read(t, c.path)) {
			t.Errorf("%s: the store changed", name)
		}
	}
	for name, s := range map[string]Secret{"default": {}, "absent file": KeyFile(filepath.Join(dir, "none")),
		"absent variable": KeyEnv("IHYID_TEST_NONE"), "key file too long": KeyFile(long)} {
		if _, err := Open(keyed, Options{Secret: s}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := os.Stat(keyed + ".key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key file was made although a key was given (%v)", err)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	_, err := Open(path, Options{})
	wantIs(t, "Open of nothing", err, ErrNotFound)
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 0 {
		t.Errorf("Open of nothing made %v", names)
	}

	s := mustCreate(t, path, Options{})
	id := newKey(t, s).ID
	for _, name := range []string{path, path + ".key", path + ".lock"} {
		if info, err := os.Stat(name); err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
			t.Errorf("%s: %v, %v, want mode 0600", name, info, err)
		}
	}
	if n := len(read(t, path+".key")); n != KeySize {
		t.Errorf("key file of %d bytes", n)
	}
	_, err = Create(path, Options{})
	wantIs(t, "Create again", err, ErrExists)
	if _, err := mustOpen(t, path, Options{}).Get(t.Context(), id); err != nil {
		t.Errorf("after the second Create: %v", err)
	}

	// A Create that was broken off after the key file is taken up again.
	second := filepath.Join(t.TempDir(), "keys")
	if err := NewKeyFile(second + ".key"); err != nil {
		t.Fatal(err)
	}
	before := read(t, second+".key")
	mustCreate(t, second, Options{})
	if !bytes.Equal(before, read(t, second+".key")) {
		t.Error("Create replaced a key file")
	}
	wantIs(t, "NewKeyFile again", NewKeyFile(second+".key"), fs.ErrExist)

	_, err = Create(filepath.Join(t.TempDir(), "keys"), Options{Secret: Passphrase([]byte("short"))})
	if err == nil || !strings.Contains(err.Error(), "too short") {
		t.Errorf("short passphrase: %v", err)
	}
	for _, a := range []Argon2{{1, minMemoryKiB - 1, 1}, {1, maxMemoryKiB + 1, 1}, {0, minMemoryKiB, 1}, {maxPasses + 1, minMemoryKiB, 1}, {1, minMemoryKiB, 0}, {1, minMemoryKiB, maxLanes + 1}} {
		path := filepath.Join(t.TempDir(), "keys")
		if _, err := Create(path, Options{Secret: Passphrase([]byte("long enough")), Argon2: a}); err == nil {
			t.Errorf("cost %+v was accepted", a)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("cost %+v left a store", a)
		}
	}
}

// TestHeader holds the file against the layout that doc.go promises, with the
// default costs.
func TestHeader(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	mustCreate(t, path, Options{Secret: Passphrase([]byte("correct horse battery"))})
	b := read(t, path)
	if string(b[:8]) != "IHYIDKMS" || !bytes.Equal(b[8:12], []byte{1, 1, 0x13, 4}) ||
		binary.BigEndian.Uint32(b[12:]) != 3 || binary.BigEndian.Uint32(b[16:]) != 64<<10 || binary.BigEndian.Uint64(b[84:]) != 1 {
		t.Errorf("header: %x", b[:headerSize])
	}
	if want := headerSize + int(binary.BigEndian.Uint32(b[104:])) + 32; len(b) != want {
		t.Errorf("%d bytes, want %d", len(b), want)
	}
	if sum := sha256.Sum256(b[:len(b)-32]); !bytes.Equal(sum[:], b[len(b)-32:]) {
		t.Error("the checksum is not the SHA-256 of what stands before it")
	}
}

// TestDamaged cuts the file at every length and alters every byte of it.
func TestDamaged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	s := mustCreate(t, path, Options{})
	newKey(t, s)
	good := read(t, path)
	for n := range len(good) {
		write(t, path, good[:n], 0o600)
		_, err := Open(path, Options{})
		wantIs(t, "cut", err, ErrCorrupt)
		bad := bytes.Clone(good)
		bad[n] ^= 0x20
		write(t, path, bad, 0o600)
		_, err = Open(path, Options{})
		wantIs(t, "altered", err, ErrCorrupt)
		if t.Failed() {
			t.Fatalf("at byte %d", n)
		}
		// The lock, the key and the file itself are all that is there: nothing was made anew.
		if !bytes.Equal(read(t, path), bad) {
			t.Fatal("Open wrote to a damaged store")
		}
	}
	write(t, path, append(bytes.Clone(good), 0), 0o600)
	_, err := Open(path, Options{})
	wantIs(t, "one byte more", err, ErrCorrupt)
	_, err = s.List(t.Context())
	if err != nil {
		// The header is whole, so a store that is open notices only when it reads all.
		t.Errorf("List: %v", err)
	}
	wantIs(t, "Check of a damaged store", s.Check(t.Context()), ErrCorrupt)
	_, err = s.Create(t.Context(), kms.P256, kms.Authentication)
	wantIs(t, "Create in a damaged store", err, ErrCorrupt)
	write(t, path, good, 0o600)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check of the mended store: %v", err)
	}
}

// TestForged alters every byte before the checksum and makes the checksum fit:
// what an attacker without the secret can do.
func TestForged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	newKey(t, mustCreate(t, path, Options{}))
	good := read(t, path)
	for n := range len(good) - sumSize {
		bad := bytes.Clone(good)
		bad[n] ^= 1
		sum := sha256.Sum256(bad[:len(bad)-sumSize])
		copy(bad[len(bad)-sumSize:], sum[:])
		write(t, path, bad, 0o600)
		_, err := Open(path, Options{})
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrWrongPassphrase) {
			t.Fatalf("byte %d: %v", n, err)
		}
	}
}

// TestCostBounds offers files that ask for costs out of bounds; they must be
// refused before any is paid.
func TestCostBounds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	mustCreate(t, path, Options{Secret: Passphrase([]byte("correct horse battery")), Argon2: cheap})
	good := read(t, path)
	for _, c := range []struct {
		at    int
		value []byte
	}{{16, []byte{0xff, 0xff, 0xff, 0xff}}, {16, []byte{0, 0, 0x4b, 0xff}}, {12, []byte{0, 0, 0, 0}}, {12, []byte{0xff, 0, 0, 0}}, {11, []byte{0}}, {11, []byte{17}}, {10, []byte{0x10}}, {9, []byte{2}}} {
		bad := bytes.Clone(good)
		copy(bad[c.at:], c.value)
		sum := sha256.Sum256(bad[:len(bad)-sumSize])
		copy(bad[len(bad)-sumSize:], sum[:])
		write(t, path, bad, 0o600)
		_, err := Open(path, Options{Secret: Passphrase([]byte("correct horse battery"))})
		wantIs(t, "cost out of bounds", err, ErrCorrupt)
	}
}

func TestPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("file modes say nothing there")
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	s := mustCreate(t, path, Options{})
	for _, name := range []string{path, path + ".key"} {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path, Options{})
			wantIs(t, "Open", err, ErrPermissions)
			if err == nil || !strings.Contains(err.Error(), "chmod 600 "+name) {
				t.Errorf("%s with mode %o: the error does not say what to do: %v", name, mode, err)
			}
		}
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newKey(t, s)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("after a change: %v, %v", info.Mode(), err)
	}
}

func TestChangeSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	s := mustCreate(t, path, Options{Argon2: cheap})
	id := newKey(t, s).ID
	other := mustOpen(t, path, Options{})
	words := Passphrase([]byte("correct horse battery"))
	if err := s.ChangeSecret(t.Context(), words); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, Options{})
	wantIs(t, "Open with the old secret", err, ErrWrongPassphrase)
	_, err = other.List(t.Context())
	wantIs(t, "List of a store opened before", err, ErrWrongPassphrase)
	again := newKey(t, s).ID
	opened := mustOpen(t, path, Options{Secret: words})
	for _, id := range []string{id, again} {
		if _, err := opened.Get(t.Context(), id); err != nil {
			t.Errorf("Get: %v", err)
		}
	}
	if err := opened.ChangeSecret(t.Context(), KeyFile(path+".absent")); err == nil {
		t.Error("changed to a key file that is not there")
	}
	if err := opened.Check(t.Context()); err != nil {
		t.Errorf("after a failed change: %v", err)
	}
	if err := opened.ChangeSecret(t.Context(), Secret{}); err != nil { // PATH.key is still there
		t.Fatal(err)
	}
	if _, err := mustOpen(t, path, Options{}).Get(t.Context(), again); err != nil {
		t.Errorf("Get after changing back: %v", err)
	}
}

// TestReplaced puts another store, or an older copy, in the place of an open one.
func TestReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	k := Key(bytes.Repeat([]byte{1}, KeySize))
	s := mustCreate(t, path, Options{Secret: k})
	older := read(t, path)
	newKey(t, s)
	newer := read(t, path)
	mustCreate(t, filepath.Join(dir, "other"), Options{Secret: k})

	for name, b := range map[string][]byte{"another store": read(t, filepath.Join(dir, "other")), "an older copy": older} {
		write(t, path, b, 0o600)
		_, err := s.List(t.Context())
		wantIs(t, name, err, ErrReplaced)
		_, err = s.Create(t.Context(), kms.P256, kms.Authentication)
		wantIs(t, name, err, ErrReplaced)
		if !bytes.Equal(read(t, path), b) {
			t.Errorf("%s: overwritten", name)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := s.Create(t.Context(), kms.P256, kms.Authentication)
	wantIs(t, "Create in a store that is gone", err, kms.ErrUnavailable)
	_, err = s.List(t.Context())
	wantIs(t, "List of a store that is gone", err, kms.ErrUnavailable)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a store that is gone was made anew (%v)", err)
	}
	write(t, path, newer, 0o600)
	newKey(t, s)
}

// TestTwoStores has the same file open twice: each sees what the other does.
func TestTwoStores(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	a := mustCreate(t, path, Options{})
	b := mustOpen(t, path, Options{})
	k := newKey(t, a)
	sg, err := b.Signer(t.Context(), k.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Retire(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(t.Context(), k.ID); err != nil || got.State != kms.Retired {
		t.Errorf("the other store sees %+v, %v", got, err)
	}
	_, err = sg.Sign(nil, make([]byte, 32), nil)
	wantIs(t, "Sign by the other store", err, kms.ErrKeyRetired)
	if _, err := a.RotateWrapping(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := a.Wrap(t.Context(), []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Unwrap(t.Context(), w, nil); err != nil || string(got) != "x" {
		t.Errorf("the other store unwraps %q, %v", got, err)
	}
}

func TestLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	s := mustCreate(t, path, Options{LockTimeout: 20 * time.Millisecond})
	unlock, err := lock(t.Context(), path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Create(t.Context(), kms.P256, kms.Authentication)
	wantIs(t, "Create under a foreign lock", err, ErrLocked)
	wantIs(t, "Create under a foreign lock", err, kms.ErrBusy)
	if _, err := s.List(t.Context()); err != nil {
		t.Errorf("List under a foreign lock: %v", err)
	}
	unlock()
	newKey(t, s)
}

// TestLeftovers finds what a crash left behind, and is not misled by it.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	s := mustCreate(t, path, Options{})
	stale := write(t, filepath.Join(filepath.Dir(path), ".keys.123.tmp"), read(t, path)[:50], 0o600)
	foreign := write(t, filepath.Join(filepath.Dir(path), ".other.123.tmp"), nil, 0o600)
	id := newKey(t, s).ID
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the leftover is still there (%v)", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("another file was removed: %v", err)
	}
	if _, err := mustOpen(t, path, Options{}).Get(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// TestClockSetBack keeps the order of creation when the clock runs backwards.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := mustCreate(t, filepath.Join(t.TempDir(), "keys"), Options{Clock: func() time.Time { now = now.Add(-time.Hour); return now }})
	newKey(t, s)
	last := newKey(t, s)
	if got, err := kms.NewestActive(t.Context(), s, kms.AssertionMethod); err != nil || got.ID != last.ID {
		t.Errorf("NewestActive: %+v, %v, want %s", got, err, last.ID)
	}
}
