//go:build cgo && !nopkcs11

package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/ThalesIgnite/crypto11"
	"github.com/miekg/pkcs11"

	"ihyid/kms"
	"ihyid/kms/internal/digest"
	"ihyid/kms/internal/envelope"
)

// key is what the signers of one key share.
type key struct {
	s     *Store
	id    envelope.ID
	pub   *ecdsa.PublicKey
	size  int                   // of the curve's order, in bytes
	fails atomic.Pointer[error] // why it no longer signs
}

func (k *key) stop(why error) { k.fails.Store(&why) }

func (k *key) Public() crypto.PublicKey { return k.pub }

// note tells signers that were given out what became of their key.
func (s *Store) note(o *object) {
	if o.label.retired.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[o.id]; k != nil {
		k.stop(fmt.Errorf("%w: %s", kms.ErrKeyRetired, o.id))
	}
}

func (s *Store) noteGone(id envelope.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[id]; k != nil {
		k.stop(fmt.Errorf("%w: %s", kms.ErrKeyNotFound, id))
		delete(s.keys, id)
	}
}

// Signer implements [kms.Store].
func (s *Store) Signer(ctx context.Context, id string) (crypto.Signer, error) {
	o, err := s.one(ctx, id, func(c *conn, h pkcs11.SessionHandle, k *object) error { return c.vet(h, k) })
	if err != nil {
		return nil, err
	}
	if !o.label.retired.IsZero() {
		return nil, fmt.Errorf("%w: %s", kms.ErrKeyRetired, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, kms.ErrClosed
	}
	k := s.keys[o.id]
	if k == nil {
		k = &key{s: s, id: o.id, pub: o.pub.key, size: (o.pub.key.Params().N.BitLen() + 7) / 8}
		s.keys[o.id] = k
	}
	return k, nil
}

// Sign implements [crypto.Signer] as [kms.Store] describes it. It waits within
// the store's limits for a session and for a token that is lost.
func (k *key) Sign(_ io.Reader, d []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	if d, err = digest.Prepare(d, opts, k.size); err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrUnsupported, err)
	}
	if why := k.fails.Load(); why != nil {
		return nil, *why
	}
	ctx := context.Background()
	err = k.s.do(ctx, func(c *conn) error {
		if _, err := take(ctx, c, c.sign); err != nil {
			return err
		}
		defer func() { c.sign <- struct{}{} }()
		signer, err := c.signer(ctx, k)
		if err == nil {
			sig, err = signer.Sign(nil, d, opts)
		}
		if judge(err) == suspect {
			c.forget(k.id) // perhaps another process did something to it: look again
			if signer, err = c.signer(ctx, k); err == nil {
				sig, err = signer.Sign(nil, d, opts)
			}
		}
		return err
	})
	if err != nil {
		if why := k.fails.Load(); why != nil { // it came to its end while we signed
			return nil, *why
		}
		if errors.Is(err, kms.ErrKeyNotFound) {
			k.s.noteGone(k.id)
		}
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}

// drop gives up the means of signing with a key.
func (c *conn) drop(h pkcs11.SessionHandle, id envelope.ID) {
	c.mu.Lock()
	copied, ok := c.copies[id]
	delete(c.copies, id)
	delete(c.signers, id)
	delete(c.proved, id)
	c.mu.Unlock()
	if ok {
		_ = c.lib.raw.DestroyObject(h, copied)
	}
}

func (c *conn) forget(id envelope.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.signers, id)
	delete(c.copies, id)
}

// signer gives crypto11's signer for a key, on a copy of it as a session object
// where the token makes one.
func (c *conn) signer(ctx context.Context, k *key) (crypto11.Signer, error) {
	c.mu.Lock()
	signer := c.signers[k.id]
	c.mu.Unlock()
	if signer != nil {
		return signer, nil
	}
	err := c.withAdmin(ctx, func(h pkcs11.SessionHandle) error {
		c.mu.Lock()
		signer = c.signers[k.id] // made while we waited
		c.mu.Unlock()
		if signer != nil {
			return nil
		}
		o, err := c.get(h, k.id)
		if err != nil {
			return err
		}
		if !o.label.retired.IsZero() {
			return fmt.Errorf("%w: %s", kms.ErrKeyRetired, k.id)
		}
		if !o.pub.key.Equal(k.pub) {
			return fmt.Errorf("%w: the token has another key under the id %s", kms.ErrKeyNotFound, k.id)
		}
		attrs, err := crypto11.NewAttributeSetWithID(k.id[:])
		if err != nil {
			return err
		}
		copied, isCopied := c.copyOf(h, o.handle)
		if isCopied {
			err = errors.Join(attrs.Set(crypto11.CkaToken, false), attrs.Set(crypto11.CkaLabel, c.mark))
		} else {
			err = attrs.Set(crypto11.CkaToken, true)
		}
		if err != nil {
			return err
		}
		if signer, err = c.p11.FindKeyPairWithAttributes(attrs); err != nil {
			return err
		}
		if signer == nil {
			return fmt.Errorf("%w: %s", kms.ErrKeyNotFound, k.id)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.signers[k.id] = signer
		if isCopied {
			c.copies[k.id] = copied
		}
		return nil
	})
	return signer, err
}

// copyOf makes a session copy. A token that makes none is no error: its own key
// is used then.
func (c *conn) copyOf(h pkcs11.SessionHandle, private pkcs11.ObjectHandle) (pkcs11.ObjectHandle, bool) {
	if c.bare {
		return 0, false
	}
	copied, err := c.lib.raw.CopyObject(h, private, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false), pkcs11.NewAttribute(pkcs11.CKA_LABEL, c.mark)})
	return copied, err == nil
}
