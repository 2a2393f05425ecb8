//go:build cgo && !nopkcs11

package pkcs11

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/ThalesIgnite/crypto11"
	"github.com/miekg/pkcs11"

	"ihyid/kms"
	"ihyid/kms/internal/envelope"
)

type wrappingKey struct {
	id     envelope.ID
	handle pkcs11.ObjectHandle
	label  label
}

// loadWrapping reads the wrapping keys from the token.
func (c *conn) loadWrapping(h pkcs11.SessionHandle) error {
	found, err := c.find(h, pkcs11.CKO_SECRET_KEY, nil)
	if err != nil {
		return err
	}
	var all []wrappingKey
	for _, o := range found {
		a, err := c.lib.raw.GetAttributeValue(h, o, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil), pkcs11.NewAttribute(pkcs11.CKA_ID, nil)})
		if err != nil {
			return fmt.Errorf("read a key's label: %w", err)
		}
		l, ours, err := parseLabel(string(a[0].Value))
		if err != nil {
			return err
		}
		if !ours || !l.wrapping {
			continue
		}
		if len(a[1].Value) != envelope.IDSize {
			return fmt.Errorf("the key labelled %q has an id of %d bytes", l, len(a[1].Value))
		}
		if err := c.guarded(h, o); err != nil {
			return fmt.Errorf("wrapping key %x: %w", a[1].Value, err)
		}
		all = append(all, wrappingKey{id: envelope.ID(a[1].Value), handle: o, label: l})
	}
	slices.SortFunc(all, func(a, b wrappingKey) int {
		return cmp.Or(a.label.created.Compare(b.label.created), bytes.Compare(a.id[:], b.id[:]))
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(all) == 0 && len(c.wrapping) > 0 {
		// The active one is never destroyed, so this is what a token that is gone looks like.
		return fmt.Errorf("%w: the wrapping keys are gone from the token", kms.ErrKeyNotFound)
	}
	c.wrapping = all
	return nil
}

// activeWrapping is the newest wrapping key. ErrKeyNotFound.
func (c *conn) activeWrapping() (wrappingKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.wrapping); n > 0 {
		return c.wrapping[n-1], nil
	}
	return wrappingKey{}, fmt.Errorf("%w: the token has no wrapping key", kms.ErrKeyNotFound)
}

func (c *conn) wrappingKey(id envelope.ID) (wrappingKey, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.wrapping, func(w wrappingKey) bool { return w.id == id })
	if i < 0 {
		return wrappingKey{}, false
	}
	return c.wrapping[i], true
}

// Wrap implements [kms.Store].
func (s *Store) Wrap(ctx context.Context, plaintext, aad []byte) (blob []byte, err error) {
	if len(plaintext) > kms.MaxPlaintext || len(aad) > kms.MaxAAD {
		return nil, fmt.Errorf("wrap: %w", kms.ErrTooLarge)
	}
	err = s.do(ctx, func(c *conn) (err error) {
		blob, err = c.wrap(ctx, s.o.NonceFromToken, plaintext, aad)
		return err
	})
	return blob, err
}

func (c *conn) wrap(ctx context.Context, nonceFromToken bool, plaintext, aad []byte) (blob []byte, err error) {
	w, err := c.activeWrapping()
	if err != nil {
		return nil, err
	}
	err = c.withRaw(ctx, func(h pkcs11.SessionHandle) error {
		var nonce [envelope.NonceSize]byte
		if !nonceFromToken { // else the token fills in the zeros
			rand.Read(nonce[:]) // never fails
		}
		_, ad := envelope.New(w.id, nonce, 0, aad)
		params := pkcs11.NewGCMParams(nonce[:], ad, 8*envelope.TagSize)
		defer params.Free()
		if err := c.lib.raw.EncryptInit(h, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, w.handle); err != nil {
			return fmt.Errorf("wrap: %w", err)
		}
		ct, err := c.lib.raw.Encrypt(h, plaintext)
		if err != nil {
			return fmt.Errorf("wrap: %w", err)
		}
		if nonceFromToken {
			if n := copy(nonce[:], params.IV()); n != len(nonce) || nonce == [envelope.NonceSize]byte{} {
				return fmt.Errorf("wrap: %w: the token drew no nonce of %d bytes", kms.ErrUnsupported, len(nonce))
			}
		}
		if len(ct) != len(plaintext)+envelope.TagSize {
			return fmt.Errorf("wrap: the token gave %d bytes for %d", len(ct), len(plaintext))
		}
		blob, _ = envelope.New(w.id, nonce, len(plaintext), nil)
		blob = append(blob, ct...)
		return nil
	})
	return blob, err
}

// Unwrap implements [kms.Store].
func (s *Store) Unwrap(ctx context.Context, wrapped, aad []byte) (plain []byte, err error) {
	if len(aad) > kms.MaxAAD {
		return nil, fmt.Errorf("unwrap: %w", kms.ErrTooLarge)
	}
	if _, err := envelope.Parse(wrapped); err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrUnwrap, err)
	}
	err = s.do(ctx, func(c *conn) (err error) {
		plain, err = c.unwrap(ctx, wrapped, aad)
		return err
	})
	if badCiphertext(err) {
		return nil, fmt.Errorf("%w: altered, or bound to something else", kms.ErrUnwrap)
	}
	return plain, err
}

func (c *conn) unwrap(ctx context.Context, wrapped, aad []byte) (plain []byte, err error) {
	env, err := envelope.Parse(wrapped)
	if err != nil {
		return nil, err
	}
	// Another process may have rotated the wrapping keys, or destroyed this one:
	// where what we know does not fit, look into the token, once.
	for looked := false; ; looked = true {
		if w, ok := c.wrappingKey(env.KeyID); ok {
			if plain, err = c.decrypt(ctx, w, env, aad); !staleHandle(err) || looked {
				return plain, err
			}
		} else if looked {
			return nil, fmt.Errorf("%w: %w: wrapping key %s", kms.ErrUnwrap, kms.ErrKeyNotFound, env.KeyID)
		}
		if err := c.withAdmin(ctx, c.loadWrapping); err != nil {
			return nil, err
		}
	}
}

func (c *conn) decrypt(ctx context.Context, w wrappingKey, env envelope.Header, aad []byte) (plain []byte, err error) {
	err = c.withRaw(ctx, func(h pkcs11.SessionHandle) (err error) {
		params := pkcs11.NewGCMParams(env.Nonce, env.AAD(aad), 8*envelope.TagSize)
		defer params.Free()
		if err = c.lib.raw.DecryptInit(h, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, w.handle); err == nil {
			plain, err = c.lib.raw.Decrypt(h, env.Ciphertext)
		}
		if err != nil {
			return fmt.Errorf("unwrap: %w", err)
		}
		return nil
	})
	return plain, err
}

// WrappingKeys implements [kms.WrapRotator].
func (s *Store) WrappingKeys(ctx context.Context) (infos []kms.WrappingKeyInfo, err error) {
	err = s.withSession(ctx, func(c *conn, h pkcs11.SessionHandle) error {
		if err := c.loadWrapping(h); err != nil {
			return err
		}
		if _, err := c.activeWrapping(); err != nil {
			return err
		}
		infos = c.wrappingInfos()
		return nil
	})
	return infos, err
}

// wrappingInfos has each key but the newest retired by the making of the next.
func (c *conn) wrappingInfos() []kms.WrappingKeyInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	infos := make([]kms.WrappingKeyInfo, len(c.wrapping))
	for i, w := range c.wrapping {
		infos[i] = kms.WrappingKeyInfo{ID: w.id.String(), State: kms.Active, Created: w.label.created}
		if i+1 < len(c.wrapping) {
			infos[i].State, infos[i].Retired = kms.Retired, c.wrapping[i+1].label.created
		}
	}
	return infos
}

// RotateWrapping implements [kms.WrapRotator].
func (s *Store) RotateWrapping(ctx context.Context) (info kms.WrappingKeyInfo, err error) {
	id, err := envelope.NewID(nil)
	if err != nil {
		return info, err
	}
	err = s.withSession(ctx, func(c *conn, h pkcs11.SessionHandle) error {
		if err := c.loadWrapping(h); err != nil {
			return err
		}
		if _, made := c.wrappingKey(id); !made { // else an attempt before this one got it made
			l := label{wrapping: true, created: s.now()}
			if last, err := c.activeWrapping(); err == nil {
				l.created = later(l.created, last.label.created)
			}
			template, err := crypto11.NewAttributeSetWithIDAndLabel(id[:], []byte(l.String()))
			if err != nil {
				return err
			}
			if err := errors.Join(template.Set(crypto11.CkaPrivate, true), template.Set(crypto11.CkaWrap, false), template.Set(crypto11.CkaUnwrap, false)); err != nil {
				return err
			}
			if _, err := c.p11.GenerateSecretKeyWithAttributes(template, 256, crypto11.CipherAES); err != nil {
				return fmt.Errorf("make a wrapping key in the token: %w", err)
			}
			if err := c.loadWrapping(h); err != nil {
				return err
			}
		}
		infos := c.wrappingInfos()
		if info = infos[len(infos)-1]; info.ID != id.String() {
			return fmt.Errorf("%w: the new wrapping key", kms.ErrKeyNotFound)
		}
		return nil
	})
	return info, err
}

// DestroyWrapping implements [kms.WrapRotator].
func (s *Store) DestroyWrapping(ctx context.Context, text string) error {
	id, ok := envelope.ParseID(text)
	begun := false
	err := s.withSession(ctx, func(c *conn, h pkcs11.SessionHandle) error {
		if err := c.loadWrapping(h); err != nil {
			return err
		}
		w, found := c.wrappingKey(id)
		if !ok || !found {
			return fmt.Errorf("%w: %.40q", kms.ErrKeyNotFound, text)
		}
		if active, err := c.activeWrapping(); err != nil || active.id == id {
			return errors.Join(err, fmt.Errorf("%w: %s", kms.ErrWrappingKeyActive, id))
		}
		begun = true // if the connection is lost now, not finding it on the next try is success
		if err := c.lib.raw.DestroyObject(h, w.handle); err != nil {
			return fmt.Errorf("erase a wrapping key from the token: %w", err)
		}
		return c.loadWrapping(h)
	})
	if begun && errors.Is(err, kms.ErrKeyNotFound) {
		return nil
	}
	return err
}
