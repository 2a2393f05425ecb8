package file

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/argon2"

	"ihyid/kms/internal/private"
)

// KeySize is the size of a key file, and of any key given in place of a
// passphrase, in bytes.
const KeySize = 32

// Bounds of a passphrase, in bytes. The lower one is asked for when a store is
// made or its secret changed, never when it is opened.
const (
	MinPassphrase = 8
	MaxPassphrase = 4096
)

// Argon2 holds the cost parameters of argon2id. The zero value means the
// defaults: 3 passes, 64 MiB, 4 lanes.
type Argon2 struct {
	Passes    uint32
	MemoryKiB uint32
	Lanes     uint8
}

// Costs accepted in a file. The lower bound of memory keeps anybody from writing
// stores that are cheap to guess at (19 MiB is the least that OWASP recommends);
// the upper bounds keep a hostile file from exhausting the machine that opens it.
const (
	minMemoryKiB = 19 << 10
	maxMemoryKiB = 1 << 20
	maxPasses    = 16
	maxLanes     = 16
)

const argon2Version = 0x13 // argon2.Version, the only one in use

func (a Argon2) withDefaults() Argon2 {
	if a == (Argon2{}) {
		return Argon2{Passes: 3, MemoryKiB: 64 << 10, Lanes: 4}
	}
	return a
}

func (a Argon2) check() error {
	if a.MemoryKiB < minMemoryKiB || a.MemoryKiB > maxMemoryKiB ||
		a.Passes < 1 || a.Passes > maxPasses || a.Lanes < 1 || a.Lanes > maxLanes {
		return fmt.Errorf("argon2id cost out of bounds: memory %d KiB (%d to %d), passes %d (1 to %d), lanes %d (1 to %d)",
			a.MemoryKiB, minMemoryKiB, maxMemoryKiB, a.Passes, maxPasses, a.Lanes, maxLanes)
	}
	return nil
}

type secretKind uint8

const (
	defaultKeyFile secretKind = iota
	passphrase
	passphraseFile
	passphraseEnv
	key
	keyFile
	keyEnv
)

// Secret is what a store is sealed with. The zero value stands for the key file
// beside the store, PATH.key. Files and variables are read when the store is
// created or opened.
type Secret struct {
	kind  secretKind
	name  string // path or variable
	value []byte
}

// Passphrase is a passphrase; it is copied.
func Passphrase(p []byte) Secret { return Secret{kind: passphrase, value: bytes.Clone(p)} }

// PassphraseFile reads a passphrase from a file, without the line ending at its end.
func PassphraseFile(path string) Secret { return Secret{kind: passphraseFile, name: path} }

// PassphraseEnv reads a passphrase from an environment variable.
func PassphraseEnv(variable string) Secret { return Secret{kind: passphraseEnv, name: variable} }

// Key is a key of KeySize random bytes; it is copied.
func Key(k []byte) Secret { return Secret{kind: key, value: bytes.Clone(k)} }

// KeyFile reads a key from a file of exactly KeySize bytes.
func KeyFile(path string) Secret { return Secret{kind: keyFile, name: path} }

// KeyEnv reads a key from an environment variable: KeySize bytes as 64 hex digits or in base64.
func KeyEnv(variable string) Secret { return Secret{kind: keyEnv, name: variable} }

// Wipe clears the copy of a passphrase or key that a secret holds. It cannot be
// used any more.
func (s Secret) Wipe() { clear(s.value) }

func (s Secret) isPassphrase() bool {
	return s.kind == passphrase || s.kind == passphraseFile || s.kind == passphraseEnv
}

// NewKeyFile writes a key file of KeySize random bytes, readable by its owner
// only. It never overwrites: [os.ErrExist].
func NewKeyFile(path string) error { return newKeyFile(path, rand.Reader) }

func newKeyFile(path string, random io.Reader) (err error) {
	k := make([]byte, KeySize)
	defer clear(k)
	if _, err := io.ReadFull(random, k); err != nil {
		return fmt.Errorf("draw a key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make the key file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(path) // a part of a key is no key
		}
	}()
	_, err = f.Write(k)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	return syncDir(path)
}

// read fetches the bytes of the secret: a passphrase, or KeySize bytes. The
// caller wipes them. storePath says where the default key file is.
func (s Secret) read(storePath string) ([]byte, error) {
	var b []byte
	var err error
	switch s.kind {
	case passphrase, key:
		b = bytes.Clone(s.value)
	case passphraseEnv, keyEnv:
		v, ok := os.LookupEnv(s.name)
		if !ok || v == "" {
			return nil, fmt.Errorf("environment variable %s is not set", s.name)
		}
		if b = []byte(v); s.kind == keyEnv {
			if b, err = decodeKey(v); err != nil {
				return nil, fmt.Errorf("environment variable %s: %w", s.name, err)
			}
		}
	case passphraseFile:
		if b, err = private.ReadFile(s.name, MaxPassphrase+2); err != nil {
			return nil, fmt.Errorf("read the passphrase: %w", err)
		}
		b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	case keyFile, defaultKeyFile:
		name := s.name
		if s.kind == defaultKeyFile {
			name = storePath + ".key"
		}
		if b, err = private.ReadFile(name, KeySize); err != nil {
			return nil, fmt.Errorf("read the key file: %w", err)
		}
	}
	switch {
	case !s.isPassphrase() && len(b) != KeySize:
		err = fmt.Errorf("%w: a key is %d bytes, this one has %d", ErrWrongPassphrase, KeySize, len(b))
	case s.isPassphrase() && len(b) == 0:
		err = fmt.Errorf("%w: the passphrase is empty", ErrWrongPassphrase)
	case s.isPassphrase() && len(b) > MaxPassphrase:
		err = fmt.Errorf("%w: the passphrase is over %d bytes", ErrWrongPassphrase, MaxPassphrase)
	}
	if err != nil {
		clear(b)
		return nil, err
	}
	return b, nil
}

// root derives the root of all keys of the file by the header's parameters.
func (s Secret) root(storePath string, h *header) (root [KeySize]byte, err error) {
	if h.passphrase != s.isPassphrase() {
		if h.passphrase {
			return root, fmt.Errorf("%w: this key store is sealed with a passphrase, and none was given", ErrWrongPassphrase)
		}
		return root, fmt.Errorf("%w: this key store is sealed with a key, and a passphrase was given", ErrWrongPassphrase)
	}
	b, err := s.read(storePath)
	if err != nil {
		return root, err
	}
	defer clear(b)
	if !h.passphrase {
		return [KeySize]byte(b), nil
	}
	k := argon2.IDKey(b, h.salt[:], h.cost.Passes, h.cost.MemoryKiB, h.cost.Lanes, KeySize)
	defer clear(k)
	return [KeySize]byte(k), nil
}

func decodeKey(v string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if b, err := decode(v); err == nil && len(b) == KeySize {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: not %d bytes in hex or base64", ErrWrongPassphrase, KeySize)
}
