//go:build cgo && !nopkcs11

package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThalesIgnite/crypto11"
	"github.com/miekg/pkcs11"

	"ihyid/kms"
	"ihyid/kms/internal/envelope"
)

// Create implements [kms.Store].
func (s *Store) Create(ctx context.Context, curve kms.Curve, p kms.Purpose) (kms.KeyInfo, error) {
	ec, err := curve.Elliptic()
	if err != nil {
		return kms.KeyInfo{}, err
	}
	if err := p.Check(); err != nil {
		return kms.KeyInfo{}, err
	}
	id, err := envelope.NewID(nil)
	if err != nil {
		return kms.KeyInfo{}, err
	}
	var made *object
	err = s.withSession(ctx, func(c *conn, h pkcs11.SessionHandle) error {
		all, err := c.list(h)
		if err != nil {
			return err
		}
		l := label{purpose: p, created: s.now()}
		for _, k := range all {
			if k.id == id { // an attempt before this one got it made
				made = k
				return nil
			}
			l.created = later(l.created, k.label.created)
		}
		public, err := crypto11.NewAttributeSetWithIDAndLabel(id[:], []byte(l.String()))
		if err != nil {
			return err
		}
		private := public.Copy()
		if err := errors.Join(private.Set(crypto11.CkaPrivate, true), private.Set(crypto11.CkaDerive, false)); err != nil {
			return err
		}
		if _, err := c.p11.GenerateECDSAKeyPairWithAttributes(public, private, ec); err != nil {
			return fmt.Errorf("make a key in the token: %w", err)
		}
		made, err = c.get(h, id)
		if err != nil {
			return errors.Join(err, c.destroy(h, id))
		}
		return nil
	})
	if err != nil {
		return kms.KeyInfo{}, err
	}
	return made.info(), nil
}

// now is the time as labels hold it.
func (s *Store) now() time.Time { return s.o.Clock().UTC().Truncate(time.Microsecond) }

// later puts a key's making after that of another, so that the order of
// creation is plain even where the clock was set back.
func later(t, after time.Time) time.Time {
	if !t.After(after) {
		return after.Add(time.Microsecond)
	}
	return t
}

// List implements [kms.Store].
func (s *Store) List(ctx context.Context) ([]kms.KeyInfo, error) {
	var all []*object
	err := s.withSession(ctx, func(c *conn, h pkcs11.SessionHandle) (err error) {
		if all, err = c.list(h); err != nil {
			return err
		}
		// A token that is gone looks empty: make sure that it was there.
		return c.alive()
	})
	if err != nil {
		return nil, err
	}
	infos := make([]kms.KeyInfo, len(all))
	for i, k := range all {
		infos[i] = k.info()
		s.note(k)
	}
	return infos, nil
}

// Get implements [kms.Store].
func (s *Store) Get(ctx context.Context, id string) (kms.KeyInfo, error) {
	k, err := s.one(ctx, id, func(c *conn, h pkcs11.SessionHandle, k *object) error { return c.vet(h, k) })
	if err != nil {
		return kms.KeyInfo{}, err
	}
	return k.info(), nil
}

// one finds one key and runs f on it.
func (s *Store) one(ctx context.Context, text string, f func(*conn, pkcs11.SessionHandle, *object) error) (*object, error) {
	id, ok := envelope.ParseID(text)
	if !ok {
		// It can be no key of ours, but a closed store says so first.
		return nil, s.do(ctx, func(*conn) error { return fmt.Errorf("%w: %.40q", kms.ErrKeyNotFound, text) })
	}
	var k *object
	err := s.withSession(ctx, func(c *conn, h pkcs11.SessionHandle) (err error) {
		if k, err = c.locate(h, id); err == nil {
			err = f(c, h, k)
		}
		return err
	})
	if err != nil {
		if errors.Is(err, kms.ErrKeyNotFound) {
			s.noteGone(id)
		}
		return nil, err
	}
	s.note(k)
	return k, nil
}

// Retire implements [kms.Store].
func (s *Store) Retire(ctx context.Context, id string) error {
	_, err := s.one(ctx, id, func(c *conn, h pkcs11.SessionHandle, k *object) error {
		if !k.label.retired.IsZero() {
			return nil
		}
		l := k.label
		if l.retired = s.now(); l.retired.Before(l.created) {
			l.retired = l.created
		}
		text := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, l.String())}
		if err := c.lib.raw.SetAttributeValue(h, k.handle, text); err != nil {
			return fmt.Errorf("mark the key as retired: %w", err)
		}
		k.label = l
		s.note(k) // before the copy goes, so that whoever signs with it is told why
		c.drop(h, k.id)
		// The public half's label is for people with other tools only.
		if halves, err := c.find(h, pkcs11.CKO_PUBLIC_KEY, &k.id); err == nil {
			for _, p := range halves {
				_ = c.lib.raw.SetAttributeValue(h, p, text)
			}
		}
		return nil
	})
	return err
}

// Destroy implements [kms.Store].
func (s *Store) Destroy(ctx context.Context, id string) error {
	gone := false
	_, err := s.one(ctx, id, func(c *conn, h pkcs11.SessionHandle, k *object) error {
		gone = true // if the connection is lost now, not finding it on the next try is success
		s.noteGone(k.id)
		return c.destroy(h, k.id)
	})
	if gone && errors.Is(err, kms.ErrKeyNotFound) {
		return nil
	}
	return err
}
