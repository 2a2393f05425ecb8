package exchange

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"ihyid/credentials/ijson"
)

// Everything that comes from outside is read from the one parsed form that package ijson gives, by exact names. Package
// encoding/json matches names without regard to case: two readers of one document could see two different things.

// object parses strict JSON that must be an object.
func object(raw []byte) (map[string]any, error) { return ijson.ParseObject(raw, ijson.Limits{}) }

// canonical is the RFC 8785 form of a parsed value.
func canonical(v any) []byte {
	b, err := ijson.Canonical(v)
	if err != nil {
		return nil // what ijson has parsed it can write; a nil digest matches nothing
	}
	return b
}

// digestJSON is SHA-256 of the RFC 8785 form of doc, in lower-case hex.
func digestJSON(doc []byte) (string, error) {
	v, err := ijson.Parse(doc, ijson.Limits{})
	if err != nil {
		return "", &Error{Code: CodeInvalid, Detail: "JSON that has no canonical form (RFC 8785)", Err: err}
	}
	sum := sha256.Sum256(canonical(v))
	return hex.EncodeToString(sum[:]), nil
}

// sameJSON reports whether two documents have one RFC 8785 form.
func sameJSON(a, b []byte) bool {
	da, err1 := digestJSON(a)
	db, err2 := digestJSON(b)
	return err1 == nil && err2 == nil && da == db
}

// readExact decodes a document into a struct and makes sure that the struct says all that the document says, and the document all
// that the struct asks for: written again, it is the same.
func readExact(raw []byte, into any) error {
	bad := fail(CodeInvalid, "the document does not have the form that its type asks for")
	parsed, err := object(raw)
	if err != nil {
		return bad
	}
	want := canonical(parsed)
	dec := json.NewDecoder(bytes.NewReader(want))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return bad
	}
	again, err := json.Marshal(into)
	if err != nil {
		return bad
	}
	if got, err := ijson.Parse(again, ijson.Limits{}); err != nil || !bytes.Equal(canonical(got), want) {
		return bad
	}
	return nil
}

// text reads a string member by its exact name.
func text(o map[string]any, name string) string {
	s, _ := o[name].(string)
	return s
}

// typeAndSubject reads the one type of ours that a credential has, and its subject.
func typeAndSubject(credential map[string]any) (string, []byte, error) {
	bad := fail(CodeInvalid, "a message's credential has two types, VerifiableCredential and its own, and one subject")
	types, _ := credential["type"].([]any)
	if len(types) != 2 || types[0] != "VerifiableCredential" {
		return "", nil, bad
	}
	typ, ok := types[1].(string)
	subject, isObject := credential["credentialSubject"].(map[string]any)
	if !ok || !isObject {
		return "", nil, bad
	}
	return typ, canonical(subject), nil
}

// signer is the verification method of the one proof of a document, "" if it has none or several.
func signer(document map[string]any) string {
	proof, ok := document["proof"].(map[string]any)
	if !ok {
		return ""
	}
	return text(proof, "verificationMethod")
}

// suiteOf is the cryptosuite of the one proof of a document.
func suiteOf(document map[string]any) string {
	proof, _ := document["proof"].(map[string]any)
	return text(proof, "cryptosuite")
}

// signedWith reports whether a credential's one proof names the verification method.
func signedWith(credential []byte, method string) bool {
	o, err := object(credential)
	if err != nil || method == "" {
		return false
	}
	_, have := opened(o)
	return have == method
}

// ofDID reports whether a DID URL names a verification method of a DID.
func ofDID(method, name string) bool {
	return strings.HasPrefix(method, name+"#") && len(method) < 1024 && oneLine(method, 1024) == method
}

// ownerOf is the DID of a verification method.
func ownerOf(method string) string {
	name, _, _ := strings.Cut(method, "#")
	return name
}
