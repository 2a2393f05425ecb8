//go:build cgo && !nopkcs11

package pkcs11

import (
	"context"
	"fmt"

	"github.com/miekg/pkcs11"
)

// InitToken sets up a token in a slot that has an uninitialised one, gives it its
// user's PIN, and answers its serial number. It never touches a token that is
// set up already, and makes no second one of the same label: [ErrExists].
func InitToken(ctx context.Context, spec TokenSpec) (serial string, err error) {
	if spec.Label == "" || len(spec.Label) > 32 {
		return "", fmt.Errorf("set up a token: a label has 1 to 32 bytes, this one %d", len(spec.Label))
	}
	l, err := load(spec.Library)
	if err != nil {
		return "", err
	}
	so, err := spec.SOPIN.read(ctx, spec.Label)
	if err != nil {
		return "", fmt.Errorf("set up a token: security officer: %w", err)
	}
	user, err := spec.UserPIN.read(ctx, spec.Label)
	if err != nil {
		return "", fmt.Errorf("set up a token: user: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.with(func() error {
		all, err := l.tokens()
		if err != nil {
			return err
		}
		blank := -1
		for i, t := range all {
			switch {
			case t.info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0:
				blank = i
			case t.info.Label == spec.Label:
				return fmt.Errorf("%w: one labelled %q is there already", ErrExists, spec.Label)
			}
		}
		if blank < 0 {
			return fmt.Errorf("%w: no slot has an uninitialised token", ErrTokenNotFound)
		}
		if err := l.raw.InitToken(all[blank].slot, so, spec.Label); err != nil {
			return err
		}
		serial, err = l.setPIN(spec.Label, so, user)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("set up a token: %w", err)
	}
	return serial, nil
}

func (l *library) setPIN(label, so, user string) (string, error) {
	all, err := l.tokens()
	if err != nil {
		return "", err
	}
	t, err := pick(all, &Options{TokenLabel: label}) // its slot may have been numbered anew
	if err != nil {
		return "", err
	}
	s, err := l.raw.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return "", err
	}
	defer l.raw.CloseSession(s)
	if err := l.raw.Login(s, pkcs11.CKU_SO, so); err != nil {
		return "", err
	}
	defer l.raw.Logout(s)
	if err := l.raw.InitPIN(s, user); err != nil {
		return "", err
	}
	return t.info.SerialNumber, nil
}
