//go:build !cgo || nopkcs11

package pkcs11_test

import (
	"errors"
	"testing"

	"ihyid/kms/pkcs11"
)

func TestNotBuilt(t *testing.T) {
	_, err1 := pkcs11.Open(t.Context(), pkcs11.Options{})
	_, err2 := pkcs11.Create(t.Context(), pkcs11.Options{})
	_, err3 := pkcs11.InitToken(t.Context(), pkcs11.TokenSpec{})
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, pkcs11.ErrNotBuilt) {
			t.Errorf("got %v", err)
		}
	}
}
