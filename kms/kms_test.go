package kms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"ihyid/kms"
	"ihyid/kms/file"
	"ihyid/kms/kmstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newStore(t *testing.T) *file.Store {
	t.Helper()
	s, err := file.Create(filepath.Join(t.TempDir(), "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func wantIs(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want an error that is %v", what, got, want)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestSealedKeys makes one key of each kind, carries it through JSON, and uses it.
func TestSealedKeys(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	through := func(k *kms.SealedKey, err error) *kms.SealedKey {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		again := new(kms.SealedKey)
		if err := json.Unmarshal(b, again); err != nil {
			t.Fatal(err)
		}
		return again
	}
	for kind, id := range map[kms.SealedKind]uint16{kms.HPKEHybrid: 0x647a, kms.HPKEX25519: 0x0020} {
		k := through(kms.GenerateHPKE(ctx, s, kind, "keyAgreement"))
		m, err := hpke.NewKEM(id) // of the registry, not of our making
		if err != nil {
			t.Fatal(err)
		}
		pub, err := m.NewPublicKey(k.Public)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		sealed, err := hpke.Seal(pub, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), []byte("a bundle"))
		if err != nil {
			t.Fatal(err)
		}
		priv := must[hpke.PrivateKey](t)(kms.OpenHPKE(ctx, s, k, "keyAgreement"))
		got, err := hpke.Open(priv, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte("info"), sealed)
		if err != nil || string(got) != "a bundle" {
			t.Errorf("%s: opened %q, %v", kind, got, err)
		}
	}

	k := through(kms.GenerateEd25519(ctx, s, "log"))
	priv := must[ed25519.PrivateKey](t)(kms.OpenEd25519(ctx, s, k, "log"))
	if sig := ed25519.Sign(priv, []byte("checkpoint")); !ed25519.Verify(k.Public, []byte("checkpoint"), sig) {
		t.Error("the Ed25519 signature does not verify")
	}

	var scalar, public [32]byte
	rand.Read(scalar[:])
	rand.Read(public[:])
	v := through(kms.SealVOPRF(ctx, s, "peer/profile/epoch", &scalar, public))
	if scalar == [32]byte{} {
		t.Error("the caller's scalar was wiped")
	}
	if got := must[*[32]byte](t)(kms.OpenVOPRF(ctx, s, v, "peer/profile/epoch")); *got != scalar || !bytes.Equal(v.Public, public[:]) {
		t.Error("the VOPRF key is not what it was")
	}
	if bytes.Contains(v.Wrapped, scalar[:]) {
		t.Error("the scalar shows")
	}
}

// TestSealedKeysBound: nothing about a sealed key can be exchanged.
func TestSealedKeysBound(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	gen := must[*kms.SealedKey](t)
	ed, ed2 := gen(kms.GenerateEd25519(ctx, s, "log")), gen(kms.GenerateEd25519(ctx, s, "log"))
	dh := gen(kms.GenerateHPKE(ctx, s, kms.HPKEX25519, "keyAgreement"))
	open := func(k kms.SealedKey, label string) error {
		_, err := kms.OpenEd25519(ctx, s, &k, label)
		return err
	}
	wantIs(t, "another label", open(*ed, "log2"), kms.ErrUnwrap)
	wantIs(t, "another's public half", open(kms.SealedKey{Kind: ed.Kind, Public: ed2.Public, Wrapped: ed.Wrapped}, "log"), kms.ErrUnwrap)
	wantIs(t, "another's private half", open(kms.SealedKey{Kind: ed.Kind, Public: ed.Public, Wrapped: dh.Wrapped}, "log"), kms.ErrUnwrap)
	wantIs(t, "a key of another kind", open(*dh, "keyAgreement"), kms.ErrSealedKey)
	wantIs(t, "a key said to be of another kind", open(kms.SealedKey{Kind: kms.Ed25519, Public: dh.Public, Wrapped: dh.Wrapped}, "keyAgreement"), kms.ErrUnwrap)
	wantIs(t, "a short public half", open(kms.SealedKey{Kind: ed.Kind, Public: ed.Public[:31], Wrapped: ed.Wrapped}, "log"), kms.ErrSealedKey)
	wantIs(t, "nothing", open(kms.SealedKey{}, ""), kms.ErrSealedKey)
	_, err := kms.OpenHPKE(ctx, s, ed, "log")
	wantIs(t, "an Ed25519 key for HPKE", err, kms.ErrSealedKey)
	_, err = kms.OpenVOPRF(ctx, s, ed, "log")
	wantIs(t, "an Ed25519 key for VOPRF", err, kms.ErrSealedKey)
	_, err = kms.OpenEd25519(ctx, newStore(t), ed, "log")
	wantIs(t, "another store", err, kms.ErrKeyNotFound)
	_, err = kms.GenerateHPKE(ctx, s, kms.Ed25519, "x")
	wantIs(t, "HPKE with Ed25519", err, kms.ErrUnsupported)
	_, err = kms.GenerateEd25519(ctx, s, strings.Repeat("x", kms.MaxLabel+1))
	wantIs(t, "a label too long", err, kms.ErrTooLarge)
	// The longest label fits, with the largest public half.
	k := gen(kms.GenerateHPKE(ctx, s, kms.HPKEHybrid, strings.Repeat("x", kms.MaxLabel)))
	if _, err := kms.OpenHPKE(ctx, s, k, strings.Repeat("x", kms.MaxLabel)); err != nil {
		t.Error(err)
	}
	// Label and kind are told apart by their lengths.
	k = gen(kms.GenerateEd25519(ctx, s, "ab"))
	wantIs(t, "a shorter label", open(*k, "a"), kms.ErrUnwrap)
}

// TestSuccession: a succession behaves as a store does.
func TestSuccession(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) (kms.Store, func(*testing.T) kms.Store) {
		var paths [2]string
		open := func(t *testing.T, f func(string, file.Options) (*file.Store, error)) kms.Store {
			var stores [2]*file.Store
			for i := range stores {
				s, err := f(paths[i], file.Options{})
				if err != nil {
					t.Fatal(err)
				}
				stores[i] = s
			}
			s := kms.Succession(stores[0], stores[1])
			t.Cleanup(func() { s.Close() })
			return s
		}
		for i := range paths {
			paths[i] = filepath.Join(t.TempDir(), "keys")
		}
		return open(t, file.Create), func(t *testing.T) kms.Store { return open(t, file.Open) }
	})
}

// TestMigrate goes the whole way from one store to another.
func TestMigrate(t *testing.T) {
	ctx := t.Context()
	old, current := newStore(t), newStore(t)
	oldKey := must[kms.KeyInfo](t)(old.Create(ctx, kms.P256, kms.AssertionMethod))
	blob := must[[]byte](t)(old.Wrap(ctx, []byte("data key"), []byte("store")))
	sealed := must[*kms.SealedKey](t)(kms.GenerateEd25519(ctx, old, "log"))

	s := kms.Succession(current, old)
	newKey := must[kms.KeyInfo](t)(s.Create(ctx, kms.P256, kms.AssertionMethod))
	if _, err := current.Get(ctx, newKey.ID); err != nil {
		t.Errorf("the new key is not in the current store: %v", err)
	}
	list := must[[]kms.KeyInfo](t)(s.List(ctx))
	if len(list) != 2 || list[0].ID != oldKey.ID || list[1].ID != newKey.ID {
		t.Errorf("List: %+v", list)
	}
	if k := must[kms.KeyInfo](t)(kms.NewestActive(ctx, s, kms.AssertionMethod)); k.ID != newKey.ID {
		t.Errorf("NewestActive: %s, want %s", k.ID, newKey.ID)
	}
	d := sha256.Sum256(nil)
	for _, k := range list {
		sg := must[crypto.Signer](t)(s.Signer(ctx, k.ID))
		if sig, err := sg.Sign(nil, d[:], crypto.SHA256); err != nil || !ecdsa.VerifyASN1(k.Public, d[:], sig) {
			t.Errorf("Sign: %v", err)
		}
	}
	if err := s.Retire(ctx, oldKey.ID); err != nil {
		t.Error(err)
	}
	if k := must[kms.KeyInfo](t)(old.Get(ctx, oldKey.ID)); k.State != kms.Retired {
		t.Errorf("the old key is %s", k.State)
	}

	for name, w := range map[string][]byte{"blob": blob, "sealed key": sealed.Wrapped} {
		if !must[bool](t)(kms.NeedsRewrap(ctx, s, w)) {
			t.Errorf("the %s of the old store needs no new wrapping", name)
		}
	}
	blob = must[[]byte](t)(kms.Rewrap(ctx, s, s, blob, []byte("store")))
	sealed = must[*kms.SealedKey](t)(kms.RewrapKey(ctx, s, s, sealed, "log"))
	for name, w := range map[string][]byte{"blob": blob, "sealed key": sealed.Wrapped} {
		if must[bool](t)(kms.NeedsRewrap(ctx, s, w)) {
			t.Errorf("the re-wrapped %s needs wrapping again", name)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if got := must[[]byte](t)(current.Unwrap(ctx, blob, []byte("store"))); string(got) != "data key" {
		t.Errorf("Unwrap: %q", got)
	}
	if _, err := kms.OpenEd25519(ctx, current, sealed, "log"); err != nil {
		t.Error(err)
	}

	// A rotation of the wrapping key is the same, within one store.
	must[kms.WrappingKeyInfo](t)(current.RotateWrapping(ctx))
	if !must[bool](t)(kms.NeedsRewrap(ctx, current, blob)) {
		t.Error("a blob under a retired wrapping key needs no new wrapping")
	}
	if _, err := kms.NeedsRewrap(ctx, current, []byte("no blob")); !errors.Is(err, kms.ErrUnwrap) {
		t.Errorf("NeedsRewrap of no blob: %v", err)
	}
	wantIs(t, "Rewrap with other additional data", func() error { _, err := kms.Rewrap(ctx, current, current, blob, nil); return err }(), kms.ErrUnwrap)
}
