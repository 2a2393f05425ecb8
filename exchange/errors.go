package exchange

import (
	"errors"
	"fmt"
)

// Code names a kind of failure; api maps every code to one problem type and HTTP status.
type Code string

// The codes.
const (
	CodeInvalid         Code = "invalid"             // what was sent cannot be understood
	CodePresentation    Code = "presentation"        // a presentation or credential did not verify
	CodeChallenge       Code = "challenge"           // challenge unknown, used, expired or bound to something else
	CodeUnknownPeer     Code = "unknown-peer"        // the sender is not registered here
	CodePeerSuspended   Code = "peer-suspended"      // the sender is registered, and suspended
	CodePeerState       Code = "peer-state"          // the peer is not in a state that allows this
	CodeMismatch        Code = "mismatch"            // two sides state different things
	CodeUnknownProfile  Code = "unknown-profile"     // no profile with that name or digest here
	CodeUnknownExchange Code = "unknown-exchange"    // no such exchange, or not the sender's
	CodeExchangeState   Code = "exchange-state"      // the exchange is not at that step
	CodeCommitment      Code = "commitment"          // bytes that do not fit what was committed to
	CodeToken           Code = "token"               // bearer token missing, wrong or expired
	CodeTooLarge        Code = "too-large"           // over a limit of this node
	CodeTooMany         Code = "too-many"            // too many at once; try again later
	CodeUnreachable     Code = "unreachable"         // the other node could not be reached
	CodePeerError       Code = "peer-error"          // the other node answered with an error
	CodeNotFound        Code = "not-found"           // no such thing here
	CodeConflict        Code = "conflict"            // already there, or changed meanwhile
	CodePrecondition    Code = "precondition-failed" // not any more the version that the caller read
	CodeResolution      Code = "did-resolution"      // a DID could not be resolved
	CodeUnfinished      Code = "unfinished"          // an exchange was left after the result was known
	CodeCancelled       Code = "cancelled"           // an operator ended the exchange, on one side or the other
	CodeEpoch           Code = "epoch"               // the epoch is over, or what stands in it is not what the other side means
	CodeBudget          Code = "budget"              // a budget of the agreement is used up
	CodeFile            Code = "file"                // a file of an exchange that cannot be taken
	CodeUnsupported     Code = "unsupported"         // a protocol or option that this node does not speak
)

// Error is a failure that a person or a peer can act on. Detail never holds personal data.
type Error struct {
	Code   Code
	Detail string
	Err    error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Detail + ": " + e.Err.Error()
	}
	return e.Detail
}

func (e *Error) Unwrap() error { return e.Err }

// fail makes an Error; a %w in format is kept for errors.Is.
func fail(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Detail: err.Error(), Err: nil}
}

// CodeOf gives the code of the first Error in err's chain, or "".
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
