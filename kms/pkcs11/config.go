//go:build cgo && !nopkcs11

package pkcs11

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// minSessions: two of crypto11's own, one for its key generation, one to
// manage keys, two to wrap, one for health checks.
const minSessions = 7

func (o Options) withDefaults() (Options, error) {
	ways := 0
	for _, given := range []bool{o.TokenLabel != "", o.TokenSerial != "", o.Slot != nil} {
		if given {
			ways++
		}
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = DefaultMaxSessions
	}
	switch {
	case o.Library == "":
		return o, errors.New("no PKCS #11 library is given")
	case ways != 1:
		return o, errors.New("give exactly one of the token's label, its serial number and its slot")
	case o.PIN.kind == noPIN:
		return o, errors.New("no source of the token's PIN is given")
	case o.MaxSessions < minSessions:
		return o, fmt.Errorf("%d sessions are too few: at least %d", o.MaxSessions, minSessions)
	}
	if o.WaitLimit <= 0 {
		o.WaitLimit = DefaultWaitLimit
	}
	if o.RecoverLimit <= 0 {
		o.RecoverLimit = DefaultRecoverLimit
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// token names the token that is looked for, in words.
func (o *Options) token() string {
	switch {
	case o.Slot != nil:
		return fmt.Sprintf("in slot %d", *o.Slot)
	case o.TokenSerial != "":
		return fmt.Sprintf("with serial number %q", o.TokenSerial)
	}
	return fmt.Sprintf("labelled %q", o.TokenLabel)
}
