// Package kmstest is the behaviour that every key store must show, as a test
// that each back end runs on the real thing.
package kmstest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"slices"
	"testing"

	"ihyid/kms"
)

// Opener makes a new, empty store for one test. The second result opens the
// same keys again, after the first store was closed. The opener sees to the
// closing of both at the end of the test.
type Opener func(t *testing.T) (s kms.Store, again func(t *testing.T) kms.Store)

// Run runs all of it.
func Run(t *testing.T, open Opener) {
	for name, f := range map[string]func(*testing.T, Opener){
		"Create":            testCreate,
		"Sign":              testSign,
		"SignDigests":       testSignDigests,
		"Retire":            testRetire,
		"Destroy":           testDestroy,
		"NotFound":          testNotFound,
		"Wrap":              testWrap,
		"WrapAltered":       testWrapAltered,
		"WrapBounds":        testWrapBounds,
		"RotateWrapping":    testRotate,
		"Reopen":            testReopen,
		"Closed":            testClosed,
		"ContextEnded":      testContextEnded,
		"Concurrent":        testConcurrent,
		"ConcurrentChanges": testConcurrentChanges,
		"EndAtWork":         testEndAtWork,
	} {
		t.Run(name, func(t *testing.T) { f(t, open) })
	}
}

func create(t *testing.T, s kms.Store, c kms.Curve, p kms.Purpose) kms.KeyInfo {
	t.Helper()
	k, err := s.Create(t.Context(), c, p)
	if err != nil {
		t.Fatalf("Create(%s, %s): %v", c, p, err)
	}
	return k
}

func signer(t *testing.T, s kms.Store, id string) crypto.Signer {
	t.Helper()
	k, err := s.Signer(t.Context(), id)
	if err != nil {
		t.Fatalf("Signer: %v", err)
	}
	return k
}

func wantErr(t *testing.T, what string, got error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(got, w) {
			t.Errorf("%s: got error %v, want one that is %v", what, got, w)
		}
	}
}

func testCreate(t *testing.T, open Opener) {
	s, _ := open(t)
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("List of a new store: %v, %v", list, err)
	}
	var made []kms.KeyInfo
	for _, c := range []kms.Curve{kms.P256, kms.P384} {
		for _, p := range []kms.Purpose{kms.AssertionMethod, kms.Authentication, kms.SignIn} {
			k := create(t, s, c, p)
			if k.Curve != c || k.Purpose != p || k.State != kms.Active || k.Created.IsZero() || !k.Retired.IsZero() {
				t.Errorf("created key is %+v", k)
			}
			if len(k.ID) != 32 {
				t.Errorf("id %q is not 32 digits", k.ID)
			}
			if got := k.Public.Curve.Params().Name; got != string(c) {
				t.Errorf("public key is on %s, want %s", got, c)
			}
			made = append(made, k)
		}
	}
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(list, made, same) {
		t.Errorf("List: got %+v, want the keys in the order of their making: %+v", list, made)
	}
	for _, k := range made {
		if got, err := s.Get(t.Context(), k.ID); err != nil || !same(got, k) {
			t.Errorf("Get: got %+v, %v, want %+v", got, err, k)
		}
	}
	newest, err := kms.NewestActive(t.Context(), s, kms.AssertionMethod)
	if err != nil || newest.ID != made[3].ID {
		t.Errorf("NewestActive: got %+v, %v, want %s", newest, err, made[3].ID)
	}
	_, err = s.Create(t.Context(), "P-521", kms.Authentication)
	wantErr(t, "Create on P-521", err, kms.ErrUnsupported)
	_, err = s.Create(t.Context(), kms.P256, "keyAgreement")
	wantErr(t, "Create for keyAgreement", err, kms.ErrUnsupported)
}

func same(a, b kms.KeyInfo) bool {
	return a.ID == b.ID && a.Curve == b.Curve && a.Purpose == b.Purpose && a.State == b.State &&
		a.Created.Equal(b.Created) && a.Retired.Equal(b.Retired) && a.Public.Equal(b.Public)
}

func testSign(t *testing.T, open Opener) {
	s, _ := open(t)
	for _, c := range []kms.Curve{kms.P256, kms.P384} {
		k := create(t, s, c, kms.AssertionMethod)
		sg := signer(t, s, k.ID)
		if !k.Public.Equal(sg.Public()) {
			t.Errorf("%s: the signer's public key is not the key's", c)
		}
		d := sha256.Sum256([]byte("a receipt"))
		sig, err := sg.Sign(rand.Reader, d[:], crypto.SHA256)
		if err != nil {
			t.Fatalf("%s: Sign: %v", c, err)
		}
		if !ecdsa.VerifyASN1(k.Public, d[:], sig) {
			t.Errorf("%s: the signature does not verify", c)
		}
		d[0] ^= 1
		if ecdsa.VerifyASN1(k.Public, d[:], sig) {
			t.Errorf("%s: the signature verifies over another digest", c)
		}
	}
}

// testSignDigests signs digests longer and shorter than the curve's order, and
// refuses what is no digest.
func testSignDigests(t *testing.T, open Opener) {
	s, _ := open(t)
	long, mid, short := sha512.Sum512([]byte("x")), sha512.Sum384([]byte("x")), sha256.Sum256([]byte("x"))
	for _, c := range []kms.Curve{kms.P256, kms.P384} {
		k := create(t, s, c, kms.Authentication)
		sg := signer(t, s, k.ID)
		for _, g := range []struct {
			d    []byte
			opts crypto.SignerOpts
		}{{long[:], crypto.SHA512}, {mid[:], crypto.SHA384}, {short[:], crypto.SHA256}, {short[:], nil}, {mid[:20], crypto.Hash(0)}} {
			before := bytes.Clone(g.d)
			sig, err := sg.Sign(nil, g.d, g.opts)
			if err != nil {
				t.Errorf("%s: Sign of %d bytes: %v", c, len(g.d), err)
			} else if !ecdsa.VerifyASN1(k.Public, g.d, sig) {
				t.Errorf("%s: the signature of %d bytes does not verify", c, len(g.d))
			}
			if !bytes.Equal(before, g.d) {
				t.Errorf("%s: Sign wrote to the digest", c)
			}
		}
		for _, b := range []struct {
			d    []byte
			opts crypto.SignerOpts
		}{{nil, nil}, {long[:19], nil}, {append(long[:], 0), nil}, {long[:], crypto.SHA256}, {short[:], crypto.SHA384}} {
			if _, err := sg.Sign(nil, b.d, b.opts); err == nil {
				t.Errorf("%s: signed %d bytes with %v", c, len(b.d), b.opts)
			} else {
				wantErr(t, "Sign of a wrong digest", err, kms.ErrUnsupported)
			}
		}
	}
}

func testRetire(t *testing.T, open Opener) {
	s, _ := open(t)
	old, other := create(t, s, kms.P256, kms.AssertionMethod), create(t, s, kms.P256, kms.AssertionMethod)
	sg := signer(t, s, other.ID)
	if err := s.Retire(t.Context(), other.ID); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), other.ID)
	if err != nil || got.State != kms.Retired || got.Retired.IsZero() || got.Retired.Before(got.Created) {
		t.Errorf("retired key is %+v, %v", got, err)
	}
	if !got.Public.Equal(other.Public) {
		t.Error("the public key of a retired key changed")
	}
	_, err = s.Signer(t.Context(), other.ID)
	wantErr(t, "Signer of a retired key", err, kms.ErrKeyRetired)
	d := sha256.Sum256(nil)
	_, err = sg.Sign(nil, d[:], crypto.SHA256)
	wantErr(t, "Sign by a signer handed out before", err, kms.ErrKeyRetired)
	if err := s.Retire(t.Context(), other.ID); err != nil {
		t.Errorf("Retire again: %v", err)
	}
	if again, err := s.Get(t.Context(), other.ID); err != nil || !again.Retired.Equal(got.Retired) {
		t.Errorf("Retire again moved the time from %v to %v (%v)", got.Retired, again.Retired, err)
	}
	if newest, err := kms.NewestActive(t.Context(), s, kms.AssertionMethod); err != nil || newest.ID != old.ID {
		t.Errorf("NewestActive: got %s, %v, want the one left: %s", newest.ID, err, old.ID)
	}
	_, err = kms.NewestActive(t.Context(), s, kms.Authentication)
	wantErr(t, "NewestActive of none", err, kms.ErrKeyNotFound)
}

func testDestroy(t *testing.T, open Opener) {
	s, _ := open(t)
	a, b := create(t, s, kms.P256, kms.AssertionMethod), create(t, s, kms.P384, kms.Authentication)
	sa, sb := signer(t, s, a.ID), signer(t, s, b.ID)
	if err := s.Destroy(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	d := sha256.Sum256(nil)
	_, err := sa.Sign(nil, d[:], crypto.SHA256)
	wantErr(t, "Sign with a destroyed key", err, kms.ErrKeyNotFound)
	_, err = s.Get(t.Context(), a.ID)
	wantErr(t, "Get of a destroyed key", err, kms.ErrKeyNotFound)
	wantErr(t, "Destroy again", s.Destroy(t.Context(), a.ID), kms.ErrKeyNotFound)
	if _, err := sb.Sign(nil, d[:], crypto.SHA256); err != nil {
		t.Errorf("the other key no longer signs: %v", err)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 1 || list[0].ID != b.ID {
		t.Errorf("List: %+v, %v", list, err)
	}
}

func testNotFound(t *testing.T, open Opener) {
	s, _ := open(t)
	create(t, s, kms.P256, kms.AssertionMethod)
	for _, id := range []string{"", "x", "00112233445566778899aabbccddeeff", "00112233445566778899AABBCCDDEEFF", string(make([]byte, 1000))} {
		_, err := s.Get(t.Context(), id)
		wantErr(t, "Get", err, kms.ErrKeyNotFound)
		_, err = s.Signer(t.Context(), id)
		wantErr(t, "Signer", err, kms.ErrKeyNotFound)
		wantErr(t, "Retire", s.Retire(t.Context(), id), kms.ErrKeyNotFound)
		wantErr(t, "Destroy", s.Destroy(t.Context(), id), kms.ErrKeyNotFound)
	}
}

func testReopen(t *testing.T, open Opener) {
	s, again := open(t)
	a, b := create(t, s, kms.P256, kms.AssertionMethod), create(t, s, kms.P384, kms.Authentication)
	if err := s.Retire(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	w, err := s.Wrap(t.Context(), []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = again(t)
	got, err := s.List(t.Context())
	if err != nil || !slices.EqualFunc(got, want, same) {
		t.Errorf("List after opening again: %+v, %v, want %+v", got, err, want)
	}
	d := sha256.Sum256(nil)
	sig, err := signer(t, s, a.ID).Sign(nil, d[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(a.Public, d[:], sig) {
		t.Errorf("Sign after opening again: %v", err)
	}
	_, err = s.Signer(t.Context(), b.ID)
	wantErr(t, "Signer of a retired key", err, kms.ErrKeyRetired)
	if plain, err := s.Unwrap(t.Context(), w, nil); err != nil || string(plain) != "secret" {
		t.Errorf("Unwrap after opening again: %q, %v", plain, err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func testClosed(t *testing.T, open Opener) {
	s, _ := open(t)
	k := create(t, s, kms.P256, kms.AssertionMethod)
	sg := signer(t, s, k.ID)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	d := sha256.Sum256(nil)
	_, err := sg.Sign(nil, d[:], crypto.SHA256)
	wantErr(t, "Sign", err, kms.ErrClosed)
	for what, f := range calls(t.Context(), s, k.ID) {
		wantErr(t, what, f(), kms.ErrClosed)
	}
}

func testContextEnded(t *testing.T, open Opener) {
	s, _ := open(t)
	k := create(t, s, kms.P256, kms.AssertionMethod)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, f := range calls(ctx, s, k.ID) {
		wantErr(t, what, f(), context.Canceled)
	}
	if got, err := s.Get(t.Context(), k.ID); err != nil || got.State != kms.Active {
		t.Errorf("after cancelled calls the key is %+v, %v", got, err)
	}
}

func calls(ctx context.Context, s kms.Store, id string) map[string]func() error {
	return map[string]func() error{
		"Create":  func() error { _, err := s.Create(ctx, kms.P256, kms.Authentication); return err },
		"List":    func() error { _, err := s.List(ctx); return err },
		"Get":     func() error { _, err := s.Get(ctx, id); return err },
		"Signer":  func() error { _, err := s.Signer(ctx, id); return err },
		"Retire":  func() error { return s.Retire(ctx, id) },
		"Destroy": func() error { return s.Destroy(ctx, id) },
		"Wrap":    func() error { _, err := s.Wrap(ctx, nil, nil); return err },
		"Unwrap": func() error {
			_, err := s.Unwrap(ctx, append([]byte("IHKW\x01\x01"), make([]byte, 60)...), nil)
			return err
		},
		"Check": func() error { return s.Check(ctx) },
	}
}
