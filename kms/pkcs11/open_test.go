//go:build cgo && unix && !nopkcs11

package pkcs11_test

import (
	"bytes"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"
	"time"

	raw "github.com/miekg/pkcs11"

	"ihyid/kms"
	"ihyid/kms/pkcs11"
	"ihyid/kms/pkcs11/softhsm"
)

func TestOpen(t *testing.T) {
	dir := folder(t)
	o := newToken(t, dir, "one")
	_, err := pkcs11.Open(t.Context(), o)
	wantIs(t, "Open of an empty token", err, pkcs11.ErrNotFound)
	s := mustCreate(t, o)
	_, err = pkcs11.Create(t.Context(), o)
	wantIs(t, "Create again", err, pkcs11.ErrExists)
	k, _ := newKey(t, s)

	// The same token by each of its names.
	p := raw.New(o.Library)
	defer p.Destroy()
	slots, err := p.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	info, err := p.GetTokenInfo(slots[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, choose := range []func(*pkcs11.Options){
		func(o *pkcs11.Options) { o.TokenSerial = info.SerialNumber },
		func(o *pkcs11.Options) { o.Slot = &slots[0] },
		func(o *pkcs11.Options) { o.TokenLabel = "one" },
	} {
		c := o
		c.TokenLabel = ""
		choose(&c)
		s := mustOpen(t, c)
		if _, err := s.Get(t.Context(), k.ID); err != nil {
			t.Errorf("Get: %v", err)
		}
		s.Close()
	}
	for name, bad := range map[string]func(*pkcs11.Options){
		"no token":     func(o *pkcs11.Options) { o.TokenLabel = "" },
		"two names":    func(o *pkcs11.Options) { o.TokenSerial = info.SerialNumber },
		"no library":   func(o *pkcs11.Options) { o.Library = "" },
		"bad library":  func(o *pkcs11.Options) { o.Library = filepath.Join(dir, "softhsm2.conf") },
		"lost library": func(o *pkcs11.Options) { o.Library = filepath.Join(dir, "none.so") },
		"no PIN":       func(o *pkcs11.Options) { o.PIN = pkcs11.PIN{} },
		"no PIN file":  func(o *pkcs11.Options) { o.PIN = pkcs11.PINFile(filepath.Join(dir, "none")) },
		"no variable":  func(o *pkcs11.Options) { o.PIN = pkcs11.PINEnv("IHYID_TEST_NONE") },
		"few sessions": func(o *pkcs11.Options) { o.MaxSessions = 2 },
	} {
		c := o
		bad(&c)
		if _, err := pkcs11.Open(t.Context(), c); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	c := o
	c.TokenLabel = "none"
	_, err = pkcs11.Open(t.Context(), c)
	wantIs(t, "Open of no token", err, pkcs11.ErrTokenNotFound, kms.ErrUnavailable)

	// The failures above must not have ended the library under the store that is open.
	if _, err := s.Get(t.Context(), k.ID); err != nil {
		t.Errorf("Get: %v", err)
	}
}

func TestMissingMechanism(t *testing.T) {
	r := newRig(t)
	before := r.logins(t)
	r.set(t, "nogcm")
	_, err := pkcs11.Create(t.Context(), r.o)
	wantIs(t, "Create", err, kms.ErrUnsupported)
	if err != nil && !strings.Contains(err.Error(), "CKM_AES_GCM") {
		t.Errorf("the error does not say what is missing: %v", err)
	}
	if n := r.logins(t) - before; n != 0 {
		t.Errorf("%d log-ins", n)
	}
}

// TestOwnNonce: a token that draws nonces itself.
func TestOwnNonce(t *testing.T) {
	r := newRig(t)
	r.set(t, "ownnonce")
	r.o.NonceFromToken = true
	s := mustCreate(t, r.o)
	var blobs [2][]byte
	for i := range blobs {
		w, err := s.Wrap(t.Context(), []byte("secret"), []byte("aad"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(w, bytes.Repeat([]byte{0xa5}, 11)) {
			t.Errorf("the blob %x does not have the token's nonce", w)
		}
		blobs[i] = w
	}
	if bytes.Equal(blobs[0], blobs[1]) {
		t.Error("the same nonce twice")
	}
	for _, w := range blobs {
		if got, err := s.Unwrap(t.Context(), w, []byte("aad")); err != nil || string(got) != "secret" {
			t.Errorf("Unwrap: %q, %v", got, err)
		}
	}
	// A token that was said to draw nonces, and does not, must not seal with zeros.
	r.unset(t, "ownnonce")
	_, err := s.Wrap(t.Context(), []byte("secret"), nil)
	wantIs(t, "Wrap with no nonce drawn", err, kms.ErrUnsupported)
}

// TestNoCopy: a token that copies no objects signs with its own.
func TestNoCopy(t *testing.T) {
	r := newRig(t)
	r.set(t, "nocopy")
	s := mustCreate(t, r.o)
	k, sg := newKey(t, s)
	if err := sign(sg); err != nil {
		t.Error(err)
	}
	if err := s.Retire(t.Context(), k.ID); err != nil {
		t.Error(err)
	}
	wantIs(t, "Sign with a retired key", sign(sg), kms.ErrKeyRetired)
}

// TestAnotherStore has a token open twice: each learns what the other does.
func TestAnotherStore(t *testing.T) {
	for name, bare := range map[string]bool{"Copies": false, "NoCopies": true} {
		t.Run(name, func(t *testing.T) {
			o := newToken(t, folder(t), "one")
			o.NoCopies = bare
			a, b := mustCreate(t, o), mustOpen(t, o)
			k, asg := newKey(t, a)
			bsg, err := b.Signer(t.Context(), k.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := sign(bsg); err != nil {
				t.Fatal(err)
			}
			if err := sign(asg); err != nil {
				t.Fatal(err)
			}
			k2, sg2 := newKey(t, b)
			if err := a.Retire(t.Context(), k2.ID); err != nil {
				t.Fatal(err)
			}
			if got, err := b.Get(t.Context(), k2.ID); err != nil || got.State != kms.Retired {
				t.Errorf("the other store sees %+v, %v", got, err)
			}
			wantIs(t, "Sign with a key that the other store retired", sign(sg2), kms.ErrKeyRetired)
			if err := a.Destroy(t.Context(), k.ID); err != nil {
				t.Fatal(err)
			}
			if bare { // with a copy this is learnt only at the next call
				wantIs(t, "Sign with a key that is gone", sign(bsg), kms.ErrKeyNotFound)
			}
			_, err = b.Get(t.Context(), k.ID)
			wantIs(t, "Get of a key that is gone", err, kms.ErrKeyNotFound)
			wantIs(t, "Sign with a key that is gone", sign(bsg), kms.ErrKeyNotFound)

			old, err := b.Wrap(t.Context(), []byte("x"), nil)
			if err != nil {
				t.Fatal(err)
			}
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
			id, err := kms.WrappedBy(old)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.DestroyWrapping(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			_, err = b.Unwrap(t.Context(), old, nil)
			wantIs(t, "Unwrap under a key that is gone", err, kms.ErrUnwrap, kms.ErrKeyNotFound)
			if w, err := b.Wrap(t.Context(), []byte("y"), nil); err != nil {
				t.Errorf("Wrap after the key it knew is gone: %v", err)
			} else if got, err := a.Unwrap(t.Context(), w, nil); err != nil || string(got) != "y" {
				t.Errorf("Unwrap: %q, %v", got, err)
			}
			// Closing one leaves the other, and its copies, in peace.
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			_, sg3 := newKey(t, b)
			if err := sign(sg3); err != nil {
				t.Errorf("Sign after the other store was closed: %v", err)
			}
		})
	}
}

// TestForeignObjects puts other things into the token, among them a public key
// in the place of ours.
func TestForeignObjects(t *testing.T) {
	dir := folder(t)
	o := newToken(t, dir, "one")
	s := mustCreate(t, o)
	k, _ := newKey(t, s)
	other, _ := newKey(t, s)
	p := raw.New(o.Library)
	defer p.Destroy()
	slots, err := p.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	h, err := p.OpenSession(slots[0], raw.CKF_SERIAL_SESSION|raw.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	attr := raw.NewAttribute
	generate := func(label string, extractable bool) {
		_, _, err := p.GenerateKeyPair(h, []*raw.Mechanism{raw.NewMechanism(raw.CKM_EC_KEY_PAIR_GEN, nil)},
			[]*raw.Attribute{attr(raw.CKA_TOKEN, true), attr(raw.CKA_ID, []byte("0123456789abcdef")), attr(raw.CKA_EC_PARAMS, []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}), attr(raw.CKA_VERIFY, true)},
			[]*raw.Attribute{attr(raw.CKA_TOKEN, true), attr(raw.CKA_ID, []byte("0123456789abcdef")), attr(raw.CKA_LABEL, label), attr(raw.CKA_SIGN, true), attr(raw.CKA_SENSITIVE, !extractable), attr(raw.CKA_EXTRACTABLE, extractable)})
		if err != nil {
			t.Fatal(err)
		}
	}
	generate("a key of another program", true)
	if list, err := s.List(t.Context()); err != nil || len(list) != 2 {
		t.Fatalf("List: %+v, %v, want our two keys", list, err)
	}

	// The public half of k is exchanged for that of the other.
	find := func(id string) raw.ObjectHandle {
		t.Helper()
		b := unhex(t, id)
		if err := p.FindObjectsInit(h, []*raw.Attribute{attr(raw.CKA_CLASS, raw.CKO_PUBLIC_KEY), attr(raw.CKA_ID, b)}); err != nil {
			t.Fatal(err)
		}
		found, _, err := p.FindObjects(h, 10)
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		if err := p.FindObjectsFinal(h); err != nil {
			t.Fatal(err)
		}
		return found[0]
	}
	copied, err := p.CopyObject(h, find(other.ID), []*raw.Attribute{attr(raw.CKA_TOKEN, true)})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.DestroyObject(h, find(k.ID)); err != nil {
		t.Fatal(err)
	}
	if err := p.SetAttributeValue(h, copied, []*raw.Attribute{attr(raw.CKA_ID, unhex(t, k.ID))}); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, o)
	if got, err := again.Get(t.Context(), k.ID); err == nil {
		t.Errorf("a public key of another was told as ours: %+v", got)
	}
	if err := again.Destroy(t.Context(), k.ID); err != nil {
		t.Fatalf("a key that is not whole cannot be destroyed: %v", err)
	}
	if list, err := again.List(t.Context()); err != nil || len(list) != 1 {
		t.Fatalf("List: %+v, %v", list, err)
	}

	// A key with our label that could be taken out is refused.
	generate("ihyid/1 assert 20260301T120000.000000", true)
	if _, err := again.List(t.Context()); err == nil || !strings.Contains(err.Error(), "not extractable") {
		t.Errorf("List with an extractable key: %v", err)
	}
}

// TestClockSetBack keeps the order of creation when the clock runs backwards.
func TestClockSetBack(t *testing.T) {
	o := newToken(t, folder(t), "one")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	o.Clock = func() time.Time { now = now.Add(-time.Hour); return now }
	s := mustCreate(t, o)
	newKey(t, s)
	last, _ := newKey(t, s)
	if got, err := kms.NewestActive(t.Context(), s, kms.AssertionMethod); err != nil || got.ID != last.ID {
		t.Errorf("NewestActive: %+v, %v, want %s", got, err, last.ID)
	}
	w, err := s.RotateWrapping(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := s.WrappingKeys(t.Context()); err != nil || keys[1].ID != w.ID || keys[1].State != kms.Active {
		t.Errorf("WrappingKeys: %+v, %v", keys, err)
	}
}

func TestInitToken(t *testing.T) {
	dir := folder(t)
	newToken(t, dir, "one")
	_, err := softhsm.NewToken(t.Context(), dir, "one")
	wantIs(t, "NewToken of a label that is there", err, pkcs11.ErrExists)
	for _, label := range []string{"", ".", "..", "a/b", strings.Repeat("x", 33)} {
		if _, err := softhsm.NewToken(t.Context(), dir, label); err == nil {
			t.Errorf("NewToken of the label %q succeeded", label)
		}
	}
	// Three tokens at once, as the demonstration has them.
	for _, label := range []string{"two", "three"} {
		s := mustCreate(t, newToken(t, dir, label))
		_, sg := newKey(t, s)
		if err := sign(sg); err != nil {
			t.Error(err)
		}
	}
	// A second token of the same label, which only other tools would make.
	library, err := softhsm.Library()
	if err != nil {
		t.Fatal(err)
	}
	p := raw.New(library)
	defer p.Destroy()
	slots, err := p.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range slots {
		if info, err := p.GetTokenInfo(s); err == nil && info.Flags&raw.CKF_TOKEN_INITIALIZED == 0 {
			if err := p.InitToken(s, "12345678", "one"); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = pkcs11.Open(t.Context(), pkcs11.Options{Library: library, TokenLabel: "one", PIN: pkcs11.PINFile(filepath.Join(dir, "one.pin"))})
	wantIs(t, "Open by a label that two tokens have", err, pkcs11.ErrTokenAmbiguous)
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
