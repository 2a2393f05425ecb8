package accounts

import (
	"errors"
	"fmt"
	"time"
)

// The errors of this package. Their words are for people, and hold nothing that a caller sent.
var (
	// ErrSignIn says that name, password or code are wrong; not which.
	ErrSignIn = errors.New("the name or the password is wrong, or the account is disabled")
	// ErrSecondFactor says that the password was right, and a code is needed besides, or was wrong.
	ErrSecondFactor = errors.New("a code of the second factor is needed: that of the authenticator app now, or a recovery code")
	// ErrCode says that a code of the second factor is wrong.
	ErrCode = errors.New("the code is wrong, or was used already")
	// ErrCaller says that a token is not one of this node's, or no longer.
	ErrCaller = errors.New("the token is not valid, or no longer")
	// ErrNotFound says that there is no such account, token or sign-in.
	ErrNotFound = errors.New("there is no such account or token")
	// ErrExists says that the name is taken.
	ErrExists = errors.New("there is an account of that name")
	// ErrLastAdmin keeps a node from being left without anybody who may administer it.
	ErrLastAdmin = errors.New("this is the last admin: make another one first")
	// ErrName says that a name cannot be one.
	ErrName = errors.New("a name has 2 to 64 letters, digits or signs, without spaces")
	// ErrPassword says that a password will not do.
	ErrPassword = errors.New("the password will not do")
	// ErrBusy says that as many passwords are being checked as may be.
	ErrBusy = errors.New("as many sign-ins are under way as the node allows")
	// ErrVersion: somebody else changed the account since the caller read it.
	ErrVersion = errors.New("it was changed since it was read; nothing was done")
	// ErrState says that something is not in a state that allows what was asked.
	ErrState = errors.New("that is not possible now")
	// ErrProvider says that the provider of OpenID Connect could not be asked, or answered with an error.
	ErrProvider = errors.New("the sign-in provider could not be asked")
	// ErrNotMapped says that the provider knows who it is, but none of the roles that it states is one here.
	ErrNotMapped = errors.New("the sign-in provider states no role that this node knows: ask an admin of the node")
	// ErrInvalid says that what was asked for makes no sense.
	ErrInvalid = errors.New("that cannot be understood")
)

// ReuseError says that a refresh token came a second time, and that its sign-in has been ended. It is an ErrCaller.
type ReuseError struct{ Account string }

func (e *ReuseError) Error() string { return ErrCaller.Error() }

func (e *ReuseError) Unwrap() error { return ErrCaller }

// DelayError says that after failures a caller has to wait.
type DelayError struct{ Wait time.Duration }

func (e *DelayError) Error() string {
	return fmt.Sprintf("after failed sign-ins the next one is possible in %d seconds", int(e.Wait.Seconds()))
}
