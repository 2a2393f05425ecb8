//go:build cgo && !nopkcs11

package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/pkcs11"

	"ihyid/kms"
	"ihyid/kms/internal/envelope"
)

// Store is a key store in a token. It implements [kms.Store] and
// [kms.WrapRotator].
type Store struct {
	o   Options
	lib *library
	pin string

	end    context.Context // ends the recovery
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu          sync.Mutex
	closed      bool
	conn        *conn // nil while it is lost
	why         error // it was lost, or could not be opened again
	fatal       error // it will not be opened again: the PIN is wrong
	changed     chan struct{}
	keys        map[envelope.ID]*key // those that signers were given out for
	nextRestart time.Time
	restartWait time.Duration
}

var (
	_ kms.Store       = (*Store)(nil)
	_ kms.WrapRotator = (*Store)(nil)
)

// Pauses between attempts to open a lost token, and between restarts of a
// library that other stores use too.
const (
	firstPause   = 50 * time.Millisecond
	lastPause    = 5 * time.Second
	firstRestart = time.Second
	lastRestart  = time.Minute
)

// Create makes a key store in a token that holds none: it makes the wrapping
// key. [ErrExists], and the errors of [Open].
func Create(ctx context.Context, o Options) (*Store, error) {
	s, err := begin(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := s.conn.activeWrapping(); err == nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrExists, s.o.token()), s.Close())
	}
	if _, err := s.RotateWrapping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("create the key store: %w", err), s.Close())
	}
	return s, nil
}

// Open opens the key store in a token. [ErrTokenNotFound], [ErrTokenAmbiguous],
// [ErrNotFound], [ErrWrongPIN], [ErrPINLocked], and [kms.ErrUnsupported] for a
// token that lacks a mechanism.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := begin(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := s.conn.activeWrapping(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: the token %s", ErrNotFound, s.o.token()), s.Close())
	}
	return s, nil
}

func begin(ctx context.Context, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open the key store: %w", err)
	}
	s := &Store{o: o, changed: make(chan struct{}), keys: make(map[envelope.ID]*key), restartWait: firstRestart}
	if s.lib, err = load(o.Library); err != nil {
		return nil, err
	}
	if s.pin, err = o.PIN.read(ctx, o.TokenLabel); err != nil {
		return nil, err
	}
	if s.conn, err = s.lib.connect(ctx, &s.o, s.pin, true); err != nil {
		return nil, fmt.Errorf("open the key store: %w", err)
	}
	s.end, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Close implements [kms.Store]. It waits for calls to the token that are under way.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	c := s.conn
	s.closed, s.conn = true, nil
	for _, k := range s.keys {
		k.stop(kms.ErrClosed)
	}
	s.tell()
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
	if c != nil {
		s.lib.release(c)
	}
	return nil
}

// tell wakes whoever waits for a change. The caller holds mu.
func (s *Store) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// maxTries bounds how often an operation may lose its connection: a token that
// always fails in the same way should not be opened again and again for one call.
const maxTries = 10

// do runs f on the connection. Where that is lost it waits for another and runs
// f again, so f must bear being run twice.
func (s *Store) do(ctx context.Context, f func(*conn) error) error {
	var limit *time.Timer
	for try := 0; ; try++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.mu.Lock()
		c, why, fatal, closed, changed := s.conn, s.why, s.fatal, s.closed, s.changed
		s.mu.Unlock()
		switch {
		case closed:
			return kms.ErrClosed
		case fatal != nil:
			return fmt.Errorf("%w: %w", kms.ErrUnavailable, fatal)
		case c != nil: // and if it is lost, changed tells of the next
			err := c.run(func() error { return f(c) })
			if err == nil {
				return nil
			}
			if !c.lost(err) {
				return busy(err)
			}
			s.lose(c, err)
			if why = err; try >= maxTries {
				return fmt.Errorf("%w: %w", kms.ErrUnavailable, err)
			}
		}
		if limit == nil {
			limit = time.NewTimer(s.o.RecoverLimit)
			defer limit.Stop()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("%w: waited %v for the token: %w", kms.ErrUnavailable, s.o.RecoverLimit, why)
		}
	}
}

// lose gives up a connection and begins to open another.
func (s *Store) lose(c *conn, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c || s.closed {
		return
	}
	s.conn, s.why = nil, why
	if !errors.Is(why, errDead) { // else it was closed to restart the library, and nothing is wrong
		s.o.Logger.Warn("connection to the token lost", "token", s.o.token(), "error", why)
	}
	s.wg.Go(func() { s.recover(c) })
}

func (s *Store) recover(old *conn) {
	s.lib.release(old)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		s.mu.Lock()
		restart := !time.Now().Before(s.nextRestart)
		s.mu.Unlock()
		c, err := s.lib.connect(s.end, &s.o, s.pin, restart)
		if err == nil {
			if _, err = c.activeWrapping(); err != nil {
				s.lib.release(c)
				err = fmt.Errorf("%w: the token %s", ErrNotFound, s.o.token())
			}
		}
		if s.took(c, err, restart) {
			return
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-s.end.Done():
			wait.Stop()
			return
		}
	}
}

// took ends a try to open the token again, and tells whether it was the last.
func (s *Store) took(c *conn, err error, restarted bool) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		if err == nil {
			s.lib.release(c)
		}
		return true
	}
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.conn, s.why, s.nextRestart, s.restartWait = c, nil, time.Time{}, firstRestart
		s.o.Logger.Info("connected to the token", "token", s.o.token())
	case errors.Is(err, ErrWrongPIN), errors.Is(err, ErrPINLocked):
		s.fatal = err
		s.o.Logger.Error("the token refuses the PIN; correct it and open the key store again", "token", s.o.token(), "error", err)
	default:
		if s.why = err; restarted {
			s.nextRestart = time.Now().Add(s.restartWait)
			s.restartWait = min(2*s.restartWait, lastRestart)
		}
		return false
	}
	s.tell()
	return true
}

// Check implements [kms.Store]: it looks at the token and wraps and unwraps a
// few bytes. It does not wait for a token that is lost.
func (s *Store) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	c, why, fatal, closed := s.conn, s.why, s.fatal, s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return kms.ErrClosed
	case fatal != nil:
		return fmt.Errorf("%w: %w", kms.ErrUnavailable, fatal)
	case c == nil:
		return fmt.Errorf("%w: %w", kms.ErrUnavailable, why)
	}
	err := c.run(func() error {
		if err := c.alive(); err != nil {
			return lostError{err}
		}
		blob, err := c.wrap(ctx, s.o.NonceFromToken, []byte("health check"), nil)
		if err == nil {
			_, err = c.unwrap(ctx, blob, nil)
		}
		return err
	})
	var l lostError
	if err != nil && (errors.As(err, &l) || c.lost(err)) {
		s.lose(c, err)
		return fmt.Errorf("%w: %w", kms.ErrUnavailable, err)
	}
	return err
}

// lostError is the finding of a health check.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

// withSession runs f with the session that manages keys.
func (s *Store) withSession(ctx context.Context, f func(*conn, pkcs11.SessionHandle) error) error {
	return s.do(ctx, func(c *conn) error {
		return c.withAdmin(ctx, func(h pkcs11.SessionHandle) error { return f(c, h) })
	})
}
