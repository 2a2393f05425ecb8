package pkcs11

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ihyid/kms"
)

// The errors of this back end besides those of package kms. They arrive wrapped.
var (
	ErrNotBuilt       = errors.New("this program was built without PKCS #11 (it needs cgo)")
	ErrExists         = errors.New("the token holds a key store already")
	ErrNotFound       = errors.New("the token holds no key store")
	ErrTokenNotFound  = fmt.Errorf("%w: token not found", kms.ErrUnavailable)
	ErrTokenAmbiguous = errors.New("more than one token fits")
	ErrWrongPIN       = errors.New("wrong PIN")
	ErrPINLocked      = errors.New("PIN cannot be used") // locked, expired, not set, or at its last attempt
)

// Defaults of Options.
const (
	DefaultMaxSessions  = 16
	DefaultWaitLimit    = 10 * time.Second
	DefaultRecoverLimit = 30 * time.Second
)

// Options say which token, and how to use it. Library, PIN and exactly one of
// TokenLabel, TokenSerial and Slot must be given.
type Options struct {
	Library     string // path of the PKCS #11 library
	TokenLabel  string
	TokenSerial string
	Slot        *uint
	PIN         PIN

	MaxSessions  int           // with the token, at least 7; 0: DefaultMaxSessions. The token's own limit is kept too.
	WaitLimit    time.Duration // for a session to become free; 0: DefaultWaitLimit
	RecoverLimit time.Duration // for a lost token to come back; 0: DefaultRecoverLimit

	// NonceFromToken is for modules that draw AES-GCM nonces themselves and
	// write them into the mechanism's parameters (AWS CloudHSM does).
	NonceFromToken bool
	NoCopies       bool   // sign with the keys in the token's storage, not with session copies
	PINMemory      string // file that remembers a refused PIN across restarts; "": only this process does
	UseFinalTry    bool   // log in even if the token says that a wrong PIN would lock it

	Clock  func() time.Time // nil: time.Now
	Logger *slog.Logger     // told of tokens lost and found; nil: silent
}
