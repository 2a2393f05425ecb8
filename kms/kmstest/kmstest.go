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
	"sync"
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
		"Create":          testCreate,
		"Sign":            testSign,
		"SignDigests":     testSignDigests,
		"Retire":          testRetire,
		"Destroy":         testDestroy,
		"NotFound":        testNotFound,
		"Wrap":            testWrap,
		"WrapAltered":     testWrapAltered,
		"WrapBounds":      testWrapBounds,
		"RotateWrapping":  testRotate,
		"Reopen":          testReopen,
		"Closed":          testClosed,
		"ContextEnded":    testContextEnded,
		"Concurrent":      testConcurrent,
		"ConcurrentPairs": testConcurrentChanges,
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
		for _, p := range []kms.Purpose{kms.AssertionMethod, kms.Authentication} {
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
	if err != nil || newest.ID != made[2].ID {
		t.Errorf("NewestActive: got %+v, %v, want %s", newest, err, made[2].ID)
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

func testWrap(t *testing.T, open Opener) {
	s, _ := open(t)
	other, _ := open(t)
	for _, size := range []int{0, 1, 15, 16, 17, 32, 4096, kms.MaxPlaintext} {
		plain := make([]byte, size)
		rand.Read(plain)
		for _, aad := range [][]byte{nil, []byte("store/1"), bytes.Repeat([]byte{7}, kms.MaxAAD)} {
			w, err := s.Wrap(t.Context(), plain, aad)
			if err != nil {
				t.Fatalf("Wrap of %d bytes with %d: %v", size, len(aad), err)
			}
			if size >= 16 && bytes.Contains(w, plain[:16]) {
				t.Error("the blob shows the plaintext")
			}
			got, err := s.Unwrap(t.Context(), w, aad)
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("Unwrap of %d bytes with %d: %d bytes, %v", size, len(aad), len(got), err)
			}
			again, err := s.Wrap(t.Context(), plain, aad)
			if err != nil || bytes.Equal(again, w) {
				t.Errorf("wrapping twice gives the same blob (%v)", err)
			}
			_, err = s.Unwrap(t.Context(), w, append(bytes.Clone(aad), 'x')[:min(len(aad)+1, kms.MaxAAD)])
			if len(aad) < kms.MaxAAD {
				wantErr(t, "Unwrap with other additional data", err, kms.ErrUnwrap)
			}
		}
	}
	w, err := s.Wrap(t.Context(), []byte("a key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Unwrap(t.Context(), w, nil)
	wantErr(t, "Unwrap by another store", err, kms.ErrUnwrap, kms.ErrKeyNotFound)
}

func testWrapAltered(t *testing.T, open Opener) {
	s, _ := open(t)
	w, err := s.Wrap(t.Context(), []byte("0123456789abcdef"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range w {
		bad := bytes.Clone(w)
		bad[i] ^= 1
		_, err := s.Unwrap(t.Context(), bad, []byte("aad"))
		wantErr(t, "Unwrap of an altered blob", err, kms.ErrUnwrap)
	}
	for n := range len(w) {
		_, err := s.Unwrap(t.Context(), w[:n], []byte("aad"))
		wantErr(t, "Unwrap of a cut blob", err, kms.ErrUnwrap)
	}
	_, err = s.Unwrap(t.Context(), append(bytes.Clone(w), 0), []byte("aad"))
	wantErr(t, "Unwrap of a longer blob", err, kms.ErrUnwrap)
	if got, err := s.Unwrap(t.Context(), w, []byte("aad")); err != nil || string(got) != "0123456789abcdef" {
		t.Errorf("the good blob after the bad ones: %q, %v", got, err)
	}
}

func testWrapBounds(t *testing.T, open Opener) {
	s, _ := open(t)
	_, err := s.Wrap(t.Context(), make([]byte, kms.MaxPlaintext+1), nil)
	wantErr(t, "Wrap of too much", err, kms.ErrTooLarge)
	_, err = s.Wrap(t.Context(), nil, make([]byte, kms.MaxAAD+1))
	wantErr(t, "Wrap with too much", err, kms.ErrTooLarge)
	_, err = s.Unwrap(t.Context(), make([]byte, kms.MaxPlaintext+1000), nil)
	wantErr(t, "Unwrap of too much", err, kms.ErrUnwrap)
}

func testRotate(t *testing.T, open Opener) {
	s, again := open(t)
	r, ok := s.(kms.WrapRotator)
	if !ok {
		t.Fatalf("%T rotates no wrapping keys", s)
	}
	before, err := r.WrappingKeys(t.Context())
	if err != nil || len(before) != 1 || before[0].State != kms.Active {
		t.Fatalf("wrapping keys of a new store: %+v, %v", before, err)
	}
	wrap := func() []byte {
		w, err := s.Wrap(t.Context(), []byte("secret"), []byte("aad"))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	by := func(w []byte) string {
		id, err := kms.WrappedBy(w)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	old := wrap()
	if by(old) != before[0].ID {
		t.Errorf("wrapped by %s, want %s", by(old), before[0].ID)
	}
	made, err := r.RotateWrapping(t.Context())
	if err != nil || made.ID == before[0].ID || made.State != kms.Active {
		t.Fatalf("RotateWrapping: %+v, %v", made, err)
	}
	fresh := wrap()
	if by(fresh) != made.ID {
		t.Errorf("wrapped by %s, want the new key %s", by(fresh), made.ID)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = again(t)
	r = s.(kms.WrapRotator)
	keys, err := r.WrappingKeys(t.Context())
	if err != nil || len(keys) != 2 || keys[0].ID != before[0].ID || keys[0].State != kms.Retired || keys[0].Retired.IsZero() ||
		keys[1].ID != made.ID || keys[1].State != kms.Active {
		t.Fatalf("wrapping keys after the rotation: %+v, %v", keys, err)
	}
	for _, w := range [][]byte{old, fresh, wrap()} {
		if got, err := s.Unwrap(t.Context(), w, []byte("aad")); err != nil || string(got) != "secret" {
			t.Errorf("Unwrap after the rotation: %q, %v", got, err)
		}
	}
	wantErr(t, "DestroyWrapping of the active key", r.DestroyWrapping(t.Context(), made.ID), kms.ErrWrappingKeyActive)
	wantErr(t, "DestroyWrapping of none", r.DestroyWrapping(t.Context(), "x"), kms.ErrKeyNotFound)
	if err := r.DestroyWrapping(t.Context(), before[0].ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.Unwrap(t.Context(), old, []byte("aad"))
	wantErr(t, "Unwrap after the key was destroyed", err, kms.ErrUnwrap, kms.ErrKeyNotFound)
	if got, err := s.Unwrap(t.Context(), fresh, []byte("aad")); err != nil || string(got) != "secret" {
		t.Errorf("Unwrap of the new blob: %q, %v", got, err)
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

// testConcurrent signs, wraps, reads and creates at once; the race detector
// looks on.
func testConcurrent(t *testing.T, open Opener) {
	s, _ := open(t)
	k := create(t, s, kms.P256, kms.AssertionMethod)
	sg := signer(t, s, k.ID)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				d := sha256.Sum256([]byte{byte(g), byte(i)})
				if sig, err := sg.Sign(nil, d[:], crypto.SHA256); err != nil || !ecdsa.VerifyASN1(k.Public, d[:], sig) {
					t.Errorf("Sign: %v", err)
				}
				w, err := s.Wrap(t.Context(), d[:], nil)
				if err != nil {
					t.Errorf("Wrap: %v", err)
					return
				}
				if got, err := s.Unwrap(t.Context(), w, nil); err != nil || !bytes.Equal(got, d[:]) {
					t.Errorf("Unwrap: %v", err)
				}
				if _, err := s.Get(t.Context(), k.ID); err != nil {
					t.Errorf("Get: %v", err)
				}
				if g == 0 && i%5 == 0 {
					if _, err := s.Create(t.Context(), kms.P256, kms.Authentication); err != nil {
						t.Errorf("Create: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	if list, err := s.List(t.Context()); err != nil || len(list) != 5 {
		t.Errorf("List: %d keys, %v, want 5", len(list), err)
	}
}

// testConcurrentChanges creates, retires and destroys from many goroutines:
// nothing is lost.
func testConcurrentChanges(t *testing.T, open Opener) {
	s, _ := open(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			keep, err := s.Create(t.Context(), kms.P256, kms.Authentication)
			if err != nil {
				t.Errorf("Create: %v", err)
				return
			}
			drop, err := s.Create(t.Context(), kms.P256, kms.AssertionMethod)
			if err != nil {
				t.Errorf("Create: %v", err)
				return
			}
			if err := s.Retire(t.Context(), keep.ID); err != nil {
				t.Errorf("Retire: %v", err)
			}
			if err := s.Destroy(t.Context(), drop.ID); err != nil {
				t.Errorf("Destroy: %v", err)
			}
		})
	}
	wg.Wait()
	list, err := s.List(t.Context())
	if err != nil || len(list) != 6 {
		t.Fatalf("List: %d keys, %v, want 6", len(list), err)
	}
	for _, k := range list {
		if k.State != kms.Retired || k.Purpose != kms.Authentication {
			t.Errorf("left over: %+v", k)
		}
	}
}
