package dataintegrity

import "fmt"

// Code is the name of an error type of Data Integrity 1.0 section 4.7.
type Code string

// The error types of Data Integrity 1.0; PARSING_ERROR belongs to Verifiable Credentials 2.0.
const (
	ProofGeneration     Code = "PROOF_GENERATION_ERROR"
	ProofVerification   Code = "PROOF_VERIFICATION_ERROR"
	ProofTransformation Code = "PROOF_TRANSFORMATION_ERROR"
	InvalidDomain       Code = "INVALID_DOMAIN_ERROR"
	InvalidChallenge    Code = "INVALID_CHALLENGE_ERROR"
	Parsing             Code = "PARSING_ERROR"
)

// Error is an error with its name in the specification.
type Error struct {
	Code Code
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func failf(code Code, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}
