// Package kmstest is the behaviour that every key store must show, as a test
// that each back end runs on the real thing.
package kmstest

import (
	"bytes"
	"crypto/rand"
	"testing"

	"ihyid/kms"
)

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
