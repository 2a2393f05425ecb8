package file

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ihyid/kms"
	"ihyid/kms/internal/private"
)

// The errors of this back end besides those of package kms. They arrive wrapped.
var (
	ErrExists          = errors.New("key store exists already")
	ErrNotFound        = errors.New("key store not found")
	ErrWrongPassphrase = errors.New("wrong passphrase or key")
	ErrCorrupt         = errors.New("key store file is damaged")
	ErrPermissions     = private.ErrPermissions
	ErrLocked          = fmt.Errorf("%w: locked", kms.ErrBusy)
	ErrReplaced        = errors.New("key store file was replaced") // by another store or an older copy, while open
)

// DefaultLockTimeout is how long a change waits for another process to let go of the lock.
const DefaultLockTimeout = 10 * time.Second

// Options of a store. The zero value works: the secret is the key file beside
// the store.
type Options struct {
	Secret      Secret
	Argon2      Argon2           // for Create and ChangeSecret with a passphrase
	LockTimeout time.Duration    // 0: DefaultLockTimeout
	Clock       func() time.Time // nil: time.Now
	Rand        io.Reader        // nil: crypto/rand
}

func (o Options) withDefaults() Options {
	o.Argon2 = o.Argon2.withDefaults()
	if o.LockTimeout <= 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return o
}

// Store is a key store in a file. It implements [kms.Store] and
// [kms.WrapRotator].
type Store struct {
	path string
	o    Options // without the secret

	mu       sync.RWMutex
	closed   bool
	keys     *keys
	head     header // of the file as it was last read or written
	wrapping []*wrapping
	signing  []*signing
}

var (
	_ kms.Store       = (*Store)(nil)
	_ kms.WrapRotator = (*Store)(nil)
)

type wrapping struct {
	life
	aead cipher.AEAD
}

// signing is one key, shared by the store and the signers it gave out, so that
// these see its state change.
type signing struct {
	priv  *ecdsa.PrivateKey
	size  int                   // of the curve's order, in bytes
	info  kms.KeyInfo           // guarded by the store's mu
	fails atomic.Pointer[error] // why it no longer signs
}

// Create makes a key store with a wrapping key and no signing keys. It makes
// nothing where there is something already: [ErrExists]. With the zero Secret it
// also makes the key file PATH.key, or uses the one that is there.
func Create(path string, o Options) (*Store, error) {
	o = o.withDefaults()
	unlock, err := lock(context.Background(), path, o.LockTimeout)
	if err != nil {
		return nil, err
	}
	defer unlock()
	switch _, err := os.Lstat(path); {
	case err == nil:
		return nil, fmt.Errorf("%w: %s", ErrExists, path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("create the key store: %w", err)
	}
	if o.Secret.kind == defaultKeyFile {
		// An earlier attempt may have got this far and no further.
		if err := newKeyFile(path+".key", o.Rand); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	s := &Store{path: path, o: o}
	if _, err := io.ReadFull(o.Rand, s.head.store[:]); err != nil {
		return nil, fmt.Errorf("draw the store's id: %w", err)
	}
	k, h, err := s.newKeys(o.Secret, s.head)
	if err != nil {
		return nil, err
	}
	s.keys, s.head, s.o.Secret = k, h, Secret{}
	b := new(body)
	defer b.wipe()
	if err = s.addWrapping(b); err == nil {
		err = s.write(b, k, h)
	}
	if err != nil {
		k.wipe()
		return nil, err
	}
	return s, nil
}

// Open opens a key store. [ErrNotFound], [ErrWrongPassphrase], [ErrCorrupt],
// [ErrPermissions].
func Open(path string, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{path: path, o: o}
	s.o.Secret = Secret{}
	h, sealed, err := readFile(path)
	if err != nil {
		return nil, err
	}
	root, err := o.Secret.root(path, h)
	if err != nil {
		return nil, err
	}
	defer clear(root[:])
	if s.keys, err = deriveKeys(root[:], h.salt[:]); err != nil {
		return nil, err
	}
	s.head = *h
	b, err := s.decode(h, sealed)
	if err == nil {
		defer b.wipe()
		err = s.load(b, h)
	}
	if err != nil {
		s.keys.wipe()
		return nil, err
	}
	return s, nil
}

func readFile(path string) (*header, []byte, error) {
	b, err := private.ReadFile(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%w: %s", ErrNotFound, path)
	case err != nil:
		return nil, nil, fmt.Errorf("open the key store: %w", err)
	}
	h, sealed, err := parseFile(b)
	if err != nil {
		return nil, nil, fmt.Errorf("open the key store %s: %w", path, err)
	}
	return h, sealed, nil
}

// newKeys draws a salt and derives keys of a secret for it; the header it gives
// is complete but for the generation and what sealing sets.
func (s *Store) newKeys(secret Secret, old header) (*keys, header, error) {
	h := header{passphrase: secret.isPassphrase(), store: old.store, generation: old.generation}
	if h.passphrase {
		if h.cost = s.o.Argon2; h.cost.check() != nil {
			return nil, h, h.cost.check()
		}
		p, err := secret.read(s.path)
		if err != nil {
			return nil, h, err
		}
		clear(p)
		if len(p) < MinPassphrase {
			return nil, h, fmt.Errorf("the passphrase is too short: at least %d bytes, better four words or more", MinPassphrase)
		}
	}
	if _, err := io.ReadFull(s.o.Rand, h.salt[:]); err != nil {
		return nil, h, fmt.Errorf("draw a salt: %w", err)
	}
	root, err := secret.root(s.path, &h)
	if err != nil {
		return nil, h, err
	}
	defer clear(root[:])
	k, err := deriveKeys(root[:], h.salt[:])
	return k, h, err
}

// decode opens the sealed part of a file that was read; the caller wipes it.
func (s *Store) decode(h *header, sealed []byte) (*body, error) {
	switch {
	case h.store != s.head.store:
		return nil, fmt.Errorf("%w by another one: %s", ErrReplaced, s.path)
	case h.generation < s.head.generation:
		return nil, fmt.Errorf("%w by an older copy: %s", ErrReplaced, s.path)
	case !s.keys.fits(h):
		return nil, fmt.Errorf("%w for %s", ErrWrongPassphrase, s.path)
	}
	plain, err := s.keys.open(h, sealed)
	if err != nil {
		return nil, fmt.Errorf("open the key store %s: %w", s.path, err)
	}
	defer clear(plain)
	b, err := decodeBody(plain)
	if err != nil {
		return nil, fmt.Errorf("open the key store %s: %w", s.path, err)
	}
	return b, nil
}

// load takes over the contents of a file. Keys that were known before keep
// their signers. On an error nothing changes.
func (s *Store) load(b *body, h *header) error {
	known := make(map[string]*signing, len(s.signing))
	for _, k := range s.signing {
		known[k.info.ID] = k
	}
	ws := make([]*wrapping, 0, len(b.wrapping))
	for i := range b.wrapping {
		block, err := aes.NewCipher(b.wrapping[i].key[:])
		if err != nil {
			return err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return err
		}
		ws = append(ws, &wrapping{life: b.wrapping[i].life, aead: aead})
	}
	ks := make([]*signing, 0, len(b.signing))
	for i := range b.signing {
		k := known[b.signing[i].id.String()]
		if k == nil {
			priv, err := b.signing[i].private()
			if err != nil {
				return err
			}
			k = &signing{priv: priv, size: len(b.signing[i].scalar)}
		}
		ks = append(ks, k)
	}
	for i, k := range ks { // nothing fails from here on
		k.set(b.signing[i].info(&k.priv.PublicKey))
		delete(known, k.info.ID)
	}
	for _, k := range known {
		k.stop(fmt.Errorf("%w: %s", kms.ErrKeyNotFound, k.info.ID))
	}
	s.wrapping, s.signing, s.head = ws, ks, *h
	return nil
}

// write puts b into the file as the next generation and takes it over. The
// caller holds the lock of the file and s.mu.
func (s *Store) write(b *body, k *keys, h header) error {
	h.generation++
	if _, err := io.ReadFull(s.o.Rand, h.nonce[:]); err != nil {
		return fmt.Errorf("draw a nonce: %w", err)
	}
	plain := b.encode()
	defer clear(plain)
	content, err := k.sealFile(&h, plain)
	if err != nil {
		return err
	}
	if err := replace(s.path, content); err != nil {
		return err
	}
	return s.load(b, &h)
}

func (k *signing) set(info kms.KeyInfo) {
	if k.info = info; info.State == kms.Retired {
		k.stop(fmt.Errorf("%w: %s", kms.ErrKeyRetired, info.ID))
	}
}

func (k *signing) stop(why error) { k.fails.Store(&why) }

func (k *signing) Public() crypto.PublicKey { return &k.priv.PublicKey }
