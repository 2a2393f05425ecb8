package did

import (
	"errors"
	"net/http"
)

// Code is an error code of DID Resolution 1.0 section 11, in the spelling of DID Core 1.0
// section 7 ("notFound"); [Code.URI] gives the spelling of DID Resolution 1.0.
type Code string

// The error codes.
const (
	// InvalidDID: the input is not a DID, or breaks the rules of its method.
	InvalidDID Code = "invalidDid"
	// InvalidDIDURL: the input is not a DID URL.
	InvalidDIDURL Code = "invalidDidUrl"
	// InvalidDIDDocument: what was found is not an acceptable DID document.
	InvalidDIDDocument Code = "invalidDidDocument"
	// NotFound: there is no document, or no such part in it.
	NotFound Code = "notFound"
	// Deactivated: the DID was given up by its owner (HTTP 410 where did:web looks).
	// DID Resolution has this as metadata beside an absent document and names no error
	// for it; as an error, no caller can overlook it.
	Deactivated Code = "deactivated"
	// MethodNotSupported: the resolver does not know the DID's method.
	MethodNotSupported Code = "methodNotSupported"
	// RepresentationNotSupported: no media type that was asked for can be produced.
	RepresentationNotSupported Code = "representationNotSupported"
	// FeatureNotSupported: a resolution option, DID parameter or kind of key that is not
	// implemented.
	FeatureNotSupported Code = "featureNotSupported"
	// InvalidOptions: a resolution option or DID parameter with a bad value.
	InvalidOptions Code = "invalidOptions"
	// InvalidVerificationMethod: a verification method was asked for, and there is something
	// else (Controlled Identifiers 1.0 section 3.5).
	InvalidVerificationMethod Code = "invalidVerificationMethod"
	// InvalidRelationship: the verification method is not listed under the relationship
	// that was asked for (Controlled Identifiers 1.0 section 3.5).
	InvalidRelationship Code = "invalidRelationshipForVerificationMethod"
	// InternalError: everything else, such as a host that cannot be reached.
	InternalError Code = "internalError"
)

var codes = map[Code]struct {
	status int
	name   string
	title  string
}{
	InvalidDID:                 {http.StatusBadRequest, "INVALID_DID", "Invalid DID"},
	InvalidDIDURL:              {http.StatusBadRequest, "INVALID_DID_URL", "Invalid DID URL"},
	InvalidDIDDocument:         {http.StatusInternalServerError, "INVALID_DID_DOCUMENT", "Invalid DID document"},
	NotFound:                   {http.StatusNotFound, "NOT_FOUND", "DID not found"},
	Deactivated:                {http.StatusGone, "DEACTIVATED", "DID deactivated"},
	MethodNotSupported:         {http.StatusNotImplemented, "METHOD_NOT_SUPPORTED", "DID method not supported"},
	RepresentationNotSupported: {http.StatusNotAcceptable, "REPRESENTATION_NOT_SUPPORTED", "Representation not supported"},
	FeatureNotSupported:        {http.StatusNotImplemented, "FEATURE_NOT_SUPPORTED", "Feature not supported"},
	InvalidOptions:             {http.StatusBadRequest, "INVALID_OPTIONS", "Invalid options"},
	InvalidVerificationMethod:  {http.StatusInternalServerError, "INVALID_VERIFICATION_METHOD", "Invalid verification method"},
	InvalidRelationship:        {http.StatusInternalServerError, "INVALID_RELATIONSHIP_FOR_VERIFICATION_METHOD", "Invalid relationship for verification method"},
	InternalError:              {http.StatusInternalServerError, "INTERNAL_ERROR", "DID resolution failed"},
}

// HTTPStatus returns the status that goes with the code in the HTTP(S) binding of DID
// Resolution (section 12); 500 for a code that is not known.
func (c Code) HTTPStatus() int {
	if k, ok := codes[c]; ok {
		return k.status
	}
	return http.StatusInternalServerError
}

// URI returns the code as the problem type of DID Resolution 1.0 section 11, such as
// https://www.w3.org/ns/did#NOT_FOUND, or of Controlled Identifiers 1.0 section 3.5.
func (c Code) URI() string {
	k, ok := codes[c]
	if !ok {
		k = codes[InternalError]
	}
	if c == InvalidVerificationMethod || c == InvalidRelationship {
		return "https://w3id.org/security#" + k.name
	}
	return "https://www.w3.org/ns/did#" + k.name
}

// Title returns a short text for people.
func (c Code) Title() string {
	k, ok := codes[c]
	if !ok {
		k = codes[InternalError]
	}
	return k.title
}

// Error is what all functions of this package fail with. DID is the DID or DID URL that
// was worked on, where there is one and it is well-formed.
type Error struct {
	Code Code
	DID  string
	Err  error
}

// Error says what kind of failure it is, with which DID, and why.
func (e *Error) Error() string {
	s := e.Code.Title()
	if e.DID != "" {
		s += ": " + e.DID
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first [*Error] in err's chain, [InternalError] for any
// other error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return InternalError
}

var (
	// ErrUnsupportedKey is the cause when key material may be sound but is of a kind
	// that this package does not read, such as secp256k1 or RSA.
	ErrUnsupportedKey = errors.New("kind of key not supported (P-256, P-384, Ed25519 and X25519 are)")
	// ErrBadKey is the cause when key material is broken: wrong length, not a point of
	// its curve, or the identity.
	ErrBadKey = errors.New("not a valid public key")
)
