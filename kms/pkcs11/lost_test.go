//go:build cgo && unix && !nopkcs11

package pkcs11_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	raw "github.com/miekg/pkcs11"

	"ihyid/kms"
	"ihyid/kms/pkcs11"
)

func wantIs(t *testing.T, what string, got error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(got, w) {
			t.Errorf("%s: got %v, want an error that is %v", what, got, w)
		}
	}
}

func newKey(t testing.TB, s kms.Store) (kms.KeyInfo, crypto.Signer) {
	t.Helper()
	k, err := s.Create(t.Context(), kms.P256, kms.AssertionMethod)
	if err != nil {
		t.Fatal(err)
	}
	sg, err := s.Signer(t.Context(), k.ID)
	if err != nil {
		t.Fatal(err)
	}
	return k, sg
}

func sign(sg crypto.Signer) error {
	d := sha256.Sum256([]byte("x"))
	sig, err := sg.Sign(nil, d[:], crypto.SHA256)
	if err == nil && !ecdsa.VerifyASN1(sg.Public().(*ecdsa.PublicKey), d[:], sig) {
		err = errors.New("the signature does not verify")
	}
	return err
}

// TestRemoved takes the token out while many goroutines work, and puts it back,
// several times: they wait, and none fails.
func TestRemoved(t *testing.T) {
	r := newRig(t)
	s := mustCreate(t, r.o)
	k, sg := newKey(t, s)
	blob, err := s.Wrap(t.Context(), []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		r.set(t, "removed")
		wantIs(t, "Check without the token", s.Check(t.Context()), kms.ErrUnavailable)
		wantIs(t, "Check without the token, again", s.Check(t.Context()), kms.ErrUnavailable)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := s.List(ctx)
		wantIs(t, "List that was given up", err, context.DeadlineExceeded)
		cancel()

		var wg sync.WaitGroup
		begun := make(chan struct{}, 100)
		for i := range 4 {
			wg.Go(func() {
				begun <- struct{}{}
				for range 5 {
					if err := sign(sg); err != nil {
						t.Errorf("Sign: %v", err)
					}
					if got, err := s.Unwrap(t.Context(), blob, nil); err != nil || string(got) != "secret" {
						t.Errorf("Unwrap: %q, %v", got, err)
					}
					if got, err := s.Get(t.Context(), k.ID); err != nil || !got.Public.Equal(k.Public) {
						t.Errorf("Get: %v", err)
					}
				}
				if i == 0 {
					newKey(t, s)
				}
			})
		}
		for range 4 {
			<-begun
		}
		r.unset(t, "removed")
		wg.Wait()
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check after the token came back: %v", err)
		}
		if list, err := s.List(t.Context()); err != nil || len(list) != round+2 {
			t.Errorf("List: %d keys, %v, want %d", len(list), err, round+2)
		}
	}
}

// TestRemovedAtWork takes the token out in the midst of work.
func TestRemovedAtWork(t *testing.T) {
	r := newRig(t)
	s := mustCreate(t, r.o)
	_, sg := newKey(t, s)
	stop := make(chan struct{})
	signed := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if err := sign(sg); err != nil {
					t.Errorf("Sign: %v", err)
				}
				select {
				case signed <- struct{}{}:
				case <-stop:
					return
				}
			}
		})
	}
	for range 5 {
		for range 20 {
			<-signed
		}
		r.set(t, "removed")
		for range 4 { // what was under way comes to its end, and what begins now waits
			select {
			case <-signed:
			case <-time.After(20 * time.Millisecond):
			}
		}
		r.unset(t, "removed")
		<-signed
	}
	close(stop)
	wg.Wait()
}

// TestRemovedForGood: calls wait no longer than the limit.
func TestRemovedForGood(t *testing.T) {
	r := newRig(t)
	r.o.RecoverLimit = 30 * time.Millisecond
	s := mustCreate(t, r.o)
	_, sg := newKey(t, s)
	r.set(t, "removed")
	wantIs(t, "Sign", sign(sg), kms.ErrUnavailable)
	_, err := s.Wrap(t.Context(), nil, nil)
	wantIs(t, "Wrap", err, kms.ErrUnavailable)
	_, err = s.Create(t.Context(), kms.P256, kms.Authentication)
	wantIs(t, "Create", err, kms.ErrUnavailable)
	_, err = pkcs11.Open(t.Context(), r.o)
	wantIs(t, "Open", err, pkcs11.ErrTokenNotFound, kms.ErrUnavailable)
	// Closing does not wait for a token that does not come.
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wantIs(t, "Sign after Close", sign(sg), kms.ErrClosed)
}

// TestClosedWhileWaiting ends those who wait for a lost token.
func TestClosedWhileWaiting(t *testing.T) {
	r := newRig(t)
	r.o.RecoverLimit = time.Hour
	s := mustCreate(t, r.o)
	_, sg := newKey(t, s)
	r.set(t, "removed")
	wantIs(t, "Check", s.Check(t.Context()), kms.ErrUnavailable)
	done := make(chan error)
	go func() { done <- sign(sg) }()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wantIs(t, "Sign", <-done, kms.ErrClosed)
}

// TestFolderAway takes SoftHSM's own files away: the library sees a token that
// came back only after it was finalised, so a second store on another token is
// reopened with it, and notices nothing.
func TestFolderAway(t *testing.T) {
	for name, bare := range map[string]bool{"Copies": false, "NoCopies": true} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			one := newToken(t, dir, "one")
			one.NoCopies = bare
			files, err := filepath.Glob(filepath.Join(dir, "tokens", "*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("%v, %v", files, err)
			}
			s := mustCreate(t, one)
			other := mustCreate(t, newToken(t, dir, "two"))
			k, sg := newKey(t, s)
			_, osg := newKey(t, other)

			if err := os.Rename(files[0], filepath.Join(dir, "away")); err != nil {
				t.Fatal(err)
			}
			wantIs(t, "Check without the token", s.Check(t.Context()), kms.ErrUnavailable)
			// SoftHSM finds no objects in a token that is gone; that must not pass for a
			// key that is not there.
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			_, err = s.Get(ctx, k.ID)
			wantIs(t, "Get without the token", err, context.DeadlineExceeded)
			list, err := s.List(ctx)
			wantIs(t, "List without the token", err, context.DeadlineExceeded)
			if list != nil {
				t.Errorf("List without the token: %+v", list)
			}
			cancel()
			if err := sign(osg); err != nil {
				t.Errorf("Sign with the other token: %v", err)
			}
			done := make(chan error)
			go func() { done <- sign(sg) }()
			if err := os.Rename(filepath.Join(dir, "away"), files[0]); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Errorf("Sign after the token came back: %v", err)
			}
			if err := sign(osg); err != nil {
				t.Errorf("Sign with the other token: %v", err)
			}
			for _, st := range []*pkcs11.Store{s, other} {
				if list, err := st.List(t.Context()); err != nil || len(list) != 1 {
					t.Errorf("List: %+v, %v", list, err)
				}
				if err := st.Check(t.Context()); err != nil {
					t.Errorf("Check: %v", err)
				}
			}
		})
	}
}

// TestNotNoticed takes SoftHSM's files away and asks without any health check before.
func TestNotNoticed(t *testing.T) {
	dir := folder(t)
	o := newToken(t, dir, "one")
	o.NoCopies = true
	s := mustCreate(t, o)
	k, sg := newKey(t, s)
	blob, err := s.Wrap(t.Context(), []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(context.Context) error{
		"Sign":   func(context.Context) error { return sign(sg) },
		"Get":    func(ctx context.Context) error { _, err := s.Get(ctx, k.ID); return err },
		"Signer": func(ctx context.Context) error { _, err := s.Signer(ctx, k.ID); return err },
		"Create": func(ctx context.Context) error { _, err := s.Create(ctx, kms.P384, kms.Authentication); return err },
		"Unwrap": func(ctx context.Context) error { _, err := s.Unwrap(ctx, blob, nil); return err },
		"Wrap":   func(ctx context.Context) error { _, err := s.Wrap(ctx, nil, nil); return err },
		"Rotate": func(ctx context.Context) error { _, err := s.RotateWrapping(ctx); return err },
		"List": func(ctx context.Context) error {
			list, err := s.List(ctx)
			if err == nil && len(list) == 0 {
				err = errors.New("nothing is listed")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.Rename(filepath.Join(dir, "tokens"), filepath.Join(dir, "away")); err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() { done <- f(t.Context()) }()
			select {
			case err := <-done: // before the token came back; only what needs no files may succeed
				done = nil
				if err != nil {
					t.Errorf("failed instead of waiting: %v", err)
				}
			case <-time.After(30 * time.Millisecond):
			}
			if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "tokens")); err != nil {
				t.Fatal(err)
			}
			if done != nil {
				if err := <-done; err != nil {
					t.Errorf("after the token came back: %v", err)
				}
			}
		})
	}
}

// TestSessionsEnded ends all sessions, and finalises the library, behind the
// store's back: what another user of the library in this process could do.
func TestSessionsEnded(t *testing.T) {
	dir := folder(t)
	o := newToken(t, dir, "one")
	s := mustCreate(t, o)
	_, sg := newKey(t, s)
	p := raw.New(o.Library)
	defer p.Destroy()
	slots, err := p.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]func() error{
		"CloseAllSessions": func() error { return p.CloseAllSessions(slots[0]) },
		"Finalize":         p.Finalize,
		"Logout": func() error {
			h, err := p.OpenSession(slots[0], raw.CKF_SERIAL_SESSION)
			if err != nil {
				return err
			}
			defer p.CloseSession(h)
			return p.Logout(h)
		},
	} {
		if err := fault(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := sign(sg); err != nil {
			t.Errorf("Sign after %s: %v", name, err)
		}
		if w, err := s.Wrap(t.Context(), []byte("x"), nil); err != nil {
			t.Errorf("Wrap after %s: %v", name, err)
		} else if got, err := s.Unwrap(t.Context(), w, nil); err != nil || !bytes.Equal(got, []byte("x")) {
			t.Errorf("Unwrap after %s: %q, %v", name, got, err)
		}
	}
}

// TestBusy has the only session that signs held up inside the library.
func TestBusy(t *testing.T) {
	r := newRig(t)
	r.o.MaxSessions = 7
	r.o.WaitLimit = 20 * time.Millisecond
	s := mustCreate(t, r.o)
	_, sg := newKey(t, s)
	if err := sign(sg); err != nil {
		t.Fatal(err)
	}
	held := r.hold(t)
	done := make(chan error)
	go func() { done <- sign(sg) }()
	release := held()
	wantIs(t, "Sign with no session free", sign(sg), kms.ErrBusy)
	if w, err := s.Wrap(t.Context(), []byte("x"), nil); err != nil {
		t.Errorf("Wrap meanwhile: %v", err)
	} else if _, err := s.Unwrap(t.Context(), w, nil); err != nil {
		t.Errorf("Unwrap meanwhile: %v", err)
	}
	release()
	if err := <-done; err != nil {
		t.Errorf("Sign that was held up: %v", err)
	}
	if err := sign(sg); err != nil {
		t.Errorf("Sign afterwards: %v", err)
	}
}

// TestManySigners has far more callers than sessions: all are served.
func TestManySigners(t *testing.T) {
	dir := folder(t)
	o := newToken(t, dir, "one")
	o.MaxSessions = 7
	s := mustCreate(t, o)
	_, sg := newKey(t, s)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 5 {
				if err := sign(sg); err != nil {
					t.Errorf("Sign: %v", err)
				}
			}
		})
	}
	wg.Wait()
}
