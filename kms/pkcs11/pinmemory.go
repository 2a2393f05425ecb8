//go:build cgo && !nopkcs11

package pkcs11

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ihyid/kms/internal/private"
)

// read gives the PIN. It is a string, which cannot be wiped, because the
// libraries below take one; and it is kept, because a token that came back wants it
// again.
func (p PIN) read(ctx context.Context, token string) (string, error) {
	var b []byte
	var err error
	switch p.kind {
	case pinFile:
		if b, err = private.ReadFile(p.name, MaxPIN+2); err != nil {
			return "", fmt.Errorf("read the PIN: %w", err)
		}
		defer clear(b)
		b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	case pinEnv:
		v, ok := os.LookupEnv(p.name)
		if !ok {
			return "", fmt.Errorf("read the PIN: environment variable %s is not set", p.name)
		}
		b = []byte(v)
	case pinPrompt:
		if b, err = p.prompt(ctx, token); err != nil {
			return "", fmt.Errorf("ask for the PIN: %w", err)
		}
		defer clear(b)
	}
	if len(b) == 0 || len(b) > MaxPIN {
		return "", fmt.Errorf("a PIN has 1 to %d bytes, this one has %d", MaxPIN, len(b))
	}
	return string(b), nil
}

// pinMemory remembers PINs that a token refused, so that none is offered twice.
type pinMemory struct {
	mu      sync.Mutex
	key     [32]byte            // of this process
	refused map[string][32]byte // token serial → HMAC of the PIN
}

func newPINMemory() *pinMemory {
	m := &pinMemory{refused: make(map[string][32]byte)}
	rand.Read(m.key[:]) // never fails
	return m
}

// refusal is the file. Of the PIN it holds 8 bits of a salted hash: enough to
// see that another one was put in its place, and next to nothing for who steals
// the file and wants to guess the right one from the wrong.
type refusal struct {
	Token string    `json:"token_serial"`
	Time  time.Time `json:"time"`
	Salt  []byte    `json:"salt"`
	Tag   byte      `json:"tag"`
}

const maxRefusal = 4 << 10

func (m *pinMemory) mac(serial, pin string) (sum [32]byte) {
	h := hmac.New(sha256.New, m.key[:])
	fmt.Fprintf(h, "%q %q", serial, pin)
	h.Sum(sum[:0])
	return sum
}

func fileTag(salt []byte, serial, pin string) byte {
	h := hmac.New(sha256.New, salt)
	fmt.Fprintf(h, "%q %q", serial, pin)
	return h.Sum(nil)[0]
}

// check answers ErrWrongPIN if the token refused this PIN before.
func (m *pinMemory) check(file, serial, pin string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if sum, ok := m.refused[serial]; ok && sum == m.mac(serial, pin) {
		return fmt.Errorf("%w: the token refused this PIN before, so it is not asked again: correct the PIN", ErrWrongPIN)
	}
	if file == "" {
		return nil
	}
	b, err := private.ReadFile(file, maxRefusal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var r refusal
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		// Not knowing is no reason to spend an attempt.
		return fmt.Errorf("read the memory of refused PINs (if it is damaged, remove %s): %w", file, err)
	}
	if r.Token == serial && r.Tag == fileTag(r.Salt, serial, pin) {
		return fmt.Errorf("%w: the token refused this PIN on %s, so it is not asked again: correct the PIN, or remove %s if the token's PIN was changed to it",
			ErrWrongPIN, r.Time.UTC().Format(time.RFC3339), file)
	}
	return nil
}

// remember keeps a refusal; an error says that only this process does.
func (m *pinMemory) remember(file, serial, pin string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused[serial] = m.mac(serial, pin)
	if file == "" {
		return nil
	}
	r := refusal{Token: serial, Time: now.UTC(), Salt: make([]byte, 16)}
	rand.Read(r.Salt) // never fails
	r.Tag = fileTag(r.Salt, serial, pin)
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".pin.*.tmp") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// forget drops what is remembered of a token, once it took a PIN.
func (m *pinMemory) forget(file, serial string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.refused, serial)
	if file == "" {
		return
	}
	var r refusal
	if b, err := private.ReadFile(file, maxRefusal); err == nil && json.Unmarshal(b, &r) == nil && r.Token == serial {
		_ = os.Remove(file)
	}
}
