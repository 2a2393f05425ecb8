package file

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"time"

	"ihyid/kms"
	"ihyid/kms/internal/digest"
	"ihyid/kms/internal/envelope"
)

// Create implements [kms.Store].
func (s *Store) Create(ctx context.Context, c kms.Curve, p kms.Purpose) (kms.KeyInfo, error) {
	curve, err := c.Elliptic()
	if err != nil {
		return kms.KeyInfo{}, err
	}
	if err := p.Check(); err != nil {
		return kms.KeyInfo{}, err
	}
	var info kms.KeyInfo
	err = s.change(ctx, func(b *body) (bool, error) {
		priv, err := ecdsa.GenerateKey(curve, s.o.Rand)
		if err != nil {
			return false, fmt.Errorf("make a key: %w", err)
		}
		k := signingKey{curve: c, purpose: p}
		var last int64
		if n := len(b.signing); n > 0 {
			last = b.signing[n-1].created
		}
		if k.life, err = s.born(last); err != nil {
			return false, err
		}
		if k.scalar, err = priv.Bytes(); err != nil {
			return false, fmt.Errorf("make a key: %w", err)
		}
		b.signing = append(b.signing, k)
		info = k.info(&priv.PublicKey)
		return true, nil
	})
	if err != nil {
		return kms.KeyInfo{}, err
	}
	return info, nil
}

// born begins the life of a key, never before that of the last one: where the
// clock was set back, the order of creation still stands.
func (s *Store) born(last int64) (life, error) {
	id, err := envelope.NewID(s.o.Rand)
	return life{id: id, created: max(last, s.o.Clock().UnixNano())}, err
}

// List implements [kms.Store].
func (s *Store) List(ctx context.Context) ([]kms.KeyInfo, error) {
	if err := s.fresh(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	infos := make([]kms.KeyInfo, len(s.signing))
	for i, k := range s.signing {
		infos[i] = k.info
	}
	return infos, nil
}

// Get implements [kms.Store].
func (s *Store) Get(ctx context.Context, id string) (kms.KeyInfo, error) {
	if err := s.fresh(ctx); err != nil {
		return kms.KeyInfo{}, err
	}
	defer s.mu.RUnlock()
	k, err := s.find(id)
	if err != nil {
		return kms.KeyInfo{}, err
	}
	return k.info, nil
}

func (s *Store) find(id string) (*signing, error) {
	for _, k := range s.signing {
		if k.info.ID == id {
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: %.40q", kms.ErrKeyNotFound, id)
}

// Signer implements [kms.Store].
func (s *Store) Signer(ctx context.Context, id string) (crypto.Signer, error) {
	if err := s.fresh(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	k, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if k.info.State == kms.Retired {
		return nil, fmt.Errorf("%w: %s", kms.ErrKeyRetired, id)
	}
	return k, nil
}

// Sign implements [crypto.Signer] as [kms.Store] describes it.
func (k *signing) Sign(_ io.Reader, d []byte, opts crypto.SignerOpts) ([]byte, error) {
	d, err := digest.Prepare(d, opts, k.size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrUnsupported, err)
	}
	if why := k.fails.Load(); why != nil {
		return nil, *why
	}
	return ecdsa.SignASN1(rand.Reader, k.priv, d)
}

// Retire implements [kms.Store].
func (s *Store) Retire(ctx context.Context, id string) error {
	return s.change(ctx, func(b *body) (bool, error) {
		i, err := indexOf(b.signing, id)
		if err != nil || b.signing[i].retired {
			return false, err
		}
		b.signing[i].retire(s.o.Clock())
		return true, nil
	})
}

func (l *life) retire(now time.Time) { l.retired, l.retires = true, now.UnixNano() }

// Destroy implements [kms.Store].
func (s *Store) Destroy(ctx context.Context, id string) error {
	return s.change(ctx, func(b *body) (bool, error) {
		i, err := indexOf(b.signing, id)
		if err != nil {
			return false, err
		}
		clear(b.signing[i].scalar)
		b.signing = slices.Delete(b.signing, i, i+1)
		return true, nil
	})
}

func (l life) name() envelope.ID { return l.id }

func indexOf[T interface{ name() envelope.ID }](list []T, id string) (int, error) {
	i := slices.IndexFunc(list, func(k T) bool { return k.name().String() == id })
	if i < 0 {
		return 0, fmt.Errorf("%w: %.40q", kms.ErrKeyNotFound, id)
	}
	return i, nil
}

// Wrap implements [kms.Store].
func (s *Store) Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error) {
	if len(plaintext) > kms.MaxPlaintext || len(aad) > kms.MaxAAD {
		return nil, fmt.Errorf("wrap: %w", kms.ErrTooLarge)
	}
	if err := s.fresh(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	var nonce [envelope.NonceSize]byte
	if _, err := io.ReadFull(s.o.Rand, nonce[:]); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	w := s.wrapping[len(s.wrapping)-1]
	out, ad := envelope.New(w.id, nonce, len(plaintext), aad)
	return w.aead.Seal(out, nonce[:], plaintext, ad), nil
}

// Unwrap implements [kms.Store].
func (s *Store) Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	h, err := envelope.Parse(wrapped)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrUnwrap, err)
	}
	if len(aad) > kms.MaxAAD {
		return nil, fmt.Errorf("unwrap: %w", kms.ErrTooLarge)
	}
	if err := s.fresh(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	for _, w := range s.wrapping {
		if w.id == h.KeyID {
			plain, err := w.aead.Open(nil, h.Nonce, h.Ciphertext, h.AAD(aad))
			if err != nil {
				return nil, fmt.Errorf("%w: altered, or bound to something else", kms.ErrUnwrap)
			}
			return plain, nil
		}
	}
	return nil, fmt.Errorf("%w: %w: wrapping key %s", kms.ErrUnwrap, kms.ErrKeyNotFound, h.KeyID)
}

// WrappingKeys implements [kms.WrapRotator].
func (s *Store) WrappingKeys(ctx context.Context) ([]kms.WrappingKeyInfo, error) {
	if err := s.fresh(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	infos := make([]kms.WrappingKeyInfo, len(s.wrapping))
	for i, w := range s.wrapping {
		infos[i] = w.info()
	}
	return infos, nil
}

func (l *life) info() kms.WrappingKeyInfo {
	i := kms.WrappingKeyInfo{ID: l.id.String(), Created: time.Unix(0, l.created).UTC()}
	i.State, i.Retired = l.state()
	return i
}

// RotateWrapping implements [kms.WrapRotator].
func (s *Store) RotateWrapping(ctx context.Context) (kms.WrappingKeyInfo, error) {
	var info kms.WrappingKeyInfo
	err := s.change(ctx, func(b *body) (bool, error) {
		if err := s.addWrapping(b); err != nil {
			return false, err
		}
		info = b.wrapping[len(b.wrapping)-1].life.info()
		return true, nil
	})
	if err != nil {
		return kms.WrappingKeyInfo{}, err
	}
	return info, nil
}

// addWrapping makes a wrapping key the active one and retires the one before.
func (s *Store) addWrapping(b *body) error {
	var k wrappingKey
	var last int64
	if n := len(b.wrapping); n > 0 {
		last = b.wrapping[n-1].created
	}
	var err error
	if k.life, err = s.born(last); err != nil {
		return err
	}
	if _, err := io.ReadFull(s.o.Rand, k.key[:]); err != nil {
		return fmt.Errorf("draw a wrapping key: %w", err)
	}
	if n := len(b.wrapping); n > 0 {
		b.wrapping[n-1].retire(s.o.Clock())
	}
	b.wrapping = append(b.wrapping, k)
	return nil
}

// DestroyWrapping implements [kms.WrapRotator].
func (s *Store) DestroyWrapping(ctx context.Context, id string) error {
	return s.change(ctx, func(b *body) (bool, error) {
		i, err := indexOf(b.wrapping, id)
		if err != nil {
			return false, err
		}
		if !b.wrapping[i].retired {
			return false, fmt.Errorf("%w: %s", kms.ErrWrappingKeyActive, id)
		}
		clear(b.wrapping[i].key[:])
		b.wrapping = slices.Delete(b.wrapping, i, i+1)
		return true, nil
	})
}

// ChangeSecret seals the store with another secret from now on. Other processes
// that have it open must open it again. A secret that names a key file needs the
// file to be there: see [NewKeyFile]. Copies of the file made before keep the old
// secret.
func (s *Store) ChangeSecret(ctx context.Context, secret Secret) error {
	return s.locked(ctx, func(b *body, old *header) error {
		k, h, err := s.newKeys(secret, *old)
		if err != nil {
			return err
		}
		if err := s.write(b, k, h); err != nil {
			k.wipe()
			return err
		}
		s.keys.wipe()
		s.keys = k
		return nil
	})
}

// Check implements [kms.Store]: it reads and opens the whole file.
func (s *Store) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reload()
}

// Close implements [kms.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.keys.wipe()
	for _, k := range s.signing {
		k.stop(kms.ErrClosed)
	}
	s.wrapping, s.signing = nil, nil
	return nil
}
