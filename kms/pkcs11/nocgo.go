//go:build !cgo || nopkcs11

package pkcs11

import (
	"context"
	"fmt"

	"ihyid/kms"
)

// Store is a key store in a token. In this build there is none.
type Store struct {
	kms.Store
	kms.WrapRotator
}

// Create answers [ErrNotBuilt].
func Create(context.Context, Options) (*Store, error) {
	return nil, fmt.Errorf("create a key store: %w", ErrNotBuilt)
}

// Open answers [ErrNotBuilt].
func Open(context.Context, Options) (*Store, error) {
	return nil, fmt.Errorf("open a key store: %w", ErrNotBuilt)
}

// InitToken answers [ErrNotBuilt].
func InitToken(context.Context, TokenSpec) (string, error) {
	return "", fmt.Errorf("set up a token: %w", ErrNotBuilt)
}
