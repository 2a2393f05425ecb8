// Package kmstest is the behaviour that every key store must show, as a test
// that each back end runs on the real thing.
package kmstest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"sync"
	"testing"

	"ihyid/kms"
)

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

// testEndAtWork retires, destroys and closes while others sign: they end with
// the right error and nothing worse.
func testEndAtWork(t *testing.T, open Opener) {
	s, _ := open(t)
	for _, end := range []struct {
		f    func(id string) error
		want error
	}{
		{func(id string) error { return s.Retire(t.Context(), id) }, kms.ErrKeyRetired},
		{func(id string) error { return s.Destroy(t.Context(), id) }, kms.ErrKeyNotFound},
		{func(string) error { return s.Close() }, kms.ErrClosed},
	} {
		k := create(t, s, kms.P256, kms.Authentication)
		sg := signer(t, s, k.ID)
		signed := make(chan struct{}, 1000)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				d := sha256.Sum256(nil)
				for {
					sig, err := sg.Sign(nil, d[:], crypto.SHA256)
					if err != nil {
						wantErr(t, "Sign at the end", err, end.want)
						return
					}
					if !ecdsa.VerifyASN1(k.Public, d[:], sig) {
						t.Error("the signature does not verify")
					}
					select {
					case signed <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 20 {
			<-signed
		}
		if err := end.f(k.ID); err != nil {
			t.Errorf("to end at %v: %v", end.want, err)
		}
		wg.Wait()
	}
}
