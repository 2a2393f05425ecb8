package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var errUnwrap = errors.New("unwrap failed")

// testKeys is a key store: one AES key in memory.
type testKeys struct{ aead cipher.AEAD }

func newTestKeys() *testKeys {
	key := make([]byte, 32)
	rand.Read(key)
	return testKeysOf(key)
}

func testKeysOf(key []byte) *testKeys {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &testKeys{aead}
}

func (k *testKeys) Wrap(_ context.Context, plain, aad []byte) ([]byte, error) {
	return k.aead.Seal(nil, nil, plain, aad), nil
}

func (k *testKeys) Unwrap(_ context.Context, wrapped, aad []byte) ([]byte, error) {
	b, err := k.aead.Open(nil, nil, bytes.Clone(wrapped), aad)
	if err != nil {
		return nil, errUnwrap
	}
	return b, nil
}

func newStoreAt(tb testing.TB, path string, o Options) *Store {
	tb.Helper()
	if o.Keys == nil {
		o.Keys = newTestKeys()
	}
	s, err := Create(context.Background(), path, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			tb.Error(err)
		}
	})
	return s
}

func newTestStore(tb testing.TB) *Store {
	return newStoreAt(tb, filepath.Join(tb.TempDir(), "store.db"), Options{noSync: true})
}

func update(tb testing.TB, s *Store, fn func(tx *Tx) error) {
	tb.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		tb.Fatal(err)
	}
}

func view(tb testing.TB, s *Store, fn func(tx *Tx) error) {
	tb.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		tb.Fatal(err)
	}
}
