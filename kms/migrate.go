package kms

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
)

// Rewrap opens a blob with one store and wraps it with another, or with the
// newer wrapping key of the same one. The plaintext is wiped.
func Rewrap(ctx context.Context, from, to Wrapper, wrapped, aad []byte) ([]byte, error) {
	plain, err := from.Unwrap(ctx, wrapped, aad)
	if err != nil {
		return nil, fmt.Errorf("rewrap: %w", err)
	}
	defer clear(plain)
	again, err := to.Wrap(ctx, plain, aad)
	if err != nil {
		return nil, fmt.Errorf("rewrap: %w", err)
	}
	return again, nil
}

// RewrapKey is [Rewrap] for a sealed key; label is the one that it was sealed under.
func RewrapKey(ctx context.Context, from, to Wrapper, k *SealedKey, label string) (*SealedKey, error) {
	aad, err := k.aad(label)
	if err != nil {
		return nil, err
	}
	again, err := Rewrap(ctx, from, to, k.Wrapped, aad)
	if err != nil {
		return nil, err
	}
	return &SealedKey{Kind: k.Kind, Public: bytes.Clone(k.Public), Wrapped: again}, nil
}

// NeedsRewrap tells whether a blob is wrapped by anything but the active wrapping
// key of a store: by one that was retired, or by another store's. When no blob does,
// retired wrapping keys and former stores can be destroyed.
func NeedsRewrap(ctx context.Context, s WrapRotator, wrapped []byte) (bool, error) {
	id, err := WrappedBy(wrapped)
	if err != nil {
		return false, err
	}
	keys, err := s.WrappingKeys(ctx)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(keys, func(k WrappingKeyInfo) bool { return k.ID == id && k.State == Active }), nil
}

// Successor is a store that takes the place of others, while a node moves from
// one back end to another: what is new is made in the current store, and what is in
// a former one can still be used, retired and destroyed. Signing keys do not move; a
// node makes new ones, publishes them, and retires the old.
type Successor struct {
	current Store
	former  []Store
}

var (
	_ Store       = (*Successor)(nil)
	_ WrapRotator = (*Successor)(nil)
)

// Succession joins a current store with former ones. Closing it closes them all.
func Succession(current Store, former ...Store) *Successor {
	return &Successor{current: current, former: former}
}

func (s *Successor) all() []Store { return append([]Store{s.current}, s.former...) }

// each tries f on the current store and then on the former ones while it says
// ErrKeyNotFound; where none has the key, that of the current store is the answer.
func (s *Successor) each(f func(Store) error) error {
	first := f(s.current)
	if first == nil || !errors.Is(first, ErrKeyNotFound) {
		return first
	}
	for _, st := range s.former {
		if err := f(st); err == nil || !errors.Is(err, ErrKeyNotFound) {
			return err
		}
	}
	return first
}

// Create implements [Store], in the current one.
func (s *Successor) Create(ctx context.Context, c Curve, p Purpose) (KeyInfo, error) {
	return s.current.Create(ctx, c, p)
}

// List implements [Store], over all of them.
func (s *Successor) List(ctx context.Context) ([]KeyInfo, error) {
	var all []KeyInfo
	stores := s.all()
	for i := range stores {
		// Former ones first: of two keys made at the same time the current one's is newer.
		keys, err := stores[len(stores)-1-i].List(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	slices.SortStableFunc(all, func(a, b KeyInfo) int { return a.Created.Compare(b.Created) })
	return all, nil
}

// Get implements [Store].
func (s *Successor) Get(ctx context.Context, id string) (k KeyInfo, err error) {
	err = s.each(func(st Store) error { k, err = st.Get(ctx, id); return err })
	return k, err
}

// Signer implements [Store].
func (s *Successor) Signer(ctx context.Context, id string) (k crypto.Signer, err error) {
	err = s.each(func(st Store) error { k, err = st.Signer(ctx, id); return err })
	return k, err
}

// Retire implements [Store].
func (s *Successor) Retire(ctx context.Context, id string) error {
	return s.each(func(st Store) error { return st.Retire(ctx, id) })
}

// Destroy implements [Store].
func (s *Successor) Destroy(ctx context.Context, id string) error {
	return s.each(func(st Store) error { return st.Destroy(ctx, id) })
}

// Wrap implements [Store], in the current one.
func (s *Successor) Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error) {
	return s.current.Wrap(ctx, plaintext, aad)
}

// Unwrap implements [Store], in whichever store has the wrapping key.
func (s *Successor) Unwrap(ctx context.Context, wrapped, aad []byte) (plain []byte, err error) {
	err = s.each(func(st Store) error { plain, err = st.Unwrap(ctx, wrapped, aad); return err })
	return plain, err
}

// Check implements [Store]: all of them must be well.
func (s *Successor) Check(ctx context.Context) error {
	var errs []error
	for _, st := range s.all() {
		errs = append(errs, st.Check(ctx))
	}
	return errors.Join(errs...)
}

// Close implements [Store].
func (s *Successor) Close() error {
	var errs []error
	for _, st := range s.all() {
		errs = append(errs, st.Close())
	}
	return errors.Join(errs...)
}

func (s *Successor) rotator() (WrapRotator, error) {
	if r, ok := s.current.(WrapRotator); ok {
		return r, nil
	}
	return nil, fmt.Errorf("%w: %T has one wrapping key only", ErrUnsupported, s.current)
}

// WrappingKeys implements [WrapRotator], for the current store.
func (s *Successor) WrappingKeys(ctx context.Context) ([]WrappingKeyInfo, error) {
	r, err := s.rotator()
	if err != nil {
		return nil, err
	}
	return r.WrappingKeys(ctx)
}

// RotateWrapping implements [WrapRotator], for the current store.
func (s *Successor) RotateWrapping(ctx context.Context) (WrappingKeyInfo, error) {
	r, err := s.rotator()
	if err != nil {
		return WrappingKeyInfo{}, err
	}
	return r.RotateWrapping(ctx)
}

// DestroyWrapping implements [WrapRotator], for the current store.
func (s *Successor) DestroyWrapping(ctx context.Context, id string) error {
	r, err := s.rotator()
	if err != nil {
		return err
	}
	return r.DestroyWrapping(ctx, id)
}
