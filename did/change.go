package did

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"slices"
	"time"

	"github.com/gowebpki/jcs"
)

// changeLabel separates signatures of changes from all others by the same keys.
const changeLabel = "ihyid/did/1 change"

// maxChangeSize bounds a change statement; DIDs and keys at their longest take 6 KiB.
const maxChangeSize = 8 << 10

// Change is the statement by which the holder of a pinned key vouches for a new version of
// the pinned document. As JSON, all members are strings: did; old and new, the digests of
// the two documents in lower-case hex; verificationMethod, the id of the key in the old
// document; created, a time in UTC; signature, in lower-case hex.
//
// The signature is ECDSA, r‖s each of the length of the curve's field, over SHA-256 (P-256)
// or SHA-384 (P-384) of the label "ihyid/did/1 change" followed by the RFC 8785 form of the
// statement without its signature.
type Change struct {
	DID                string `json:"did"`
	Old                string `json:"old"`
	New                string `json:"new"`
	VerificationMethod string `json:"verificationMethod"`
	Created            string `json:"created"` // the signer's word, for people to read
	Signature          string `json:"signature,omitempty"`
}

// message returns what is signed.
func (c Change) message() ([]byte, error) {
	c.Signature = ""
	b, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if b, err = jcs.Transform(b); err != nil {
		return nil, err
	}
	return append([]byte(changeLabel), b...), nil
}

func changeDigest(pub *ecdsa.PublicKey, message []byte) (digest []byte, hash crypto.Hash) {
	if pub.Curve.Params().BitSize == 384 {
		d := sha512.Sum384(message)
		return d[:], crypto.SHA384
	}
	d := sha256.Sum256(message)
	return d[:], crypto.SHA256
}

// SignChange makes the statement for a change from old to next, two documents of one DID.
// methodID is a verification method that old lists under assertionMethod, and signer its
// key, ECDSA on P-256 or P-384, which signs a digest and answers in ASN.1 DER as
// [ecdsa.PrivateKey] does. rand is handed to it.
func SignChange(rand io.Reader, old, next *Document, methodID string, signer crypto.Signer, at time.Time) ([]byte, error) {
	b, err := signChange(rand, old, next, methodID, signer, at)
	if err != nil {
		return nil, fmt.Errorf("did: signing a change of %s: %w", old.ID(), err)
	}
	return b, nil
}

func signChange(rand io.Reader, old, next *Document, methodID string, signer crypto.Signer, at time.Time) ([]byte, error) {
	if old.DID() != next.DID() {
		return nil, errors.New("the two documents are of different DIDs")
	}
	m, pub, err := changeKey(old, methodID, at)
	if err != nil {
		return nil, err
	}
	if !pub.Equal(signer.Public()) {
		return nil, errors.New("the signer has another key than the verification method")
	}
	c := Change{DID: old.ID(), Old: VersionID(old), New: VersionID(next), VerificationMethod: m.ID, Created: formatTime(at)}
	message, err := c.message()
	if err != nil {
		return nil, err
	}
	digest, hash := changeDigest(pub, message)
	der, err := signer.Sign(rand, digest, hash)
	if err != nil {
		return nil, err
	}
	raw, err := rawSignature(pub, der)
	if err != nil {
		return nil, err
	}
	c.Signature = hex.EncodeToString(raw)
	b, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(b)
}

// changeKey finds the key that may sign a change of a document at a time.
func changeKey(old *Document, methodID string, at time.Time) (*VerificationMethod, *ecdsa.PublicKey, error) {
	m, ok := old.Method(methodID)
	if !ok || !old.Authorizes(AssertionMethod, m.ID) {
		return nil, nil, errors.New("the key is not under assertionMethod in the old document")
	}
	if m.Controller != old.ID() {
		return nil, nil, errors.New("the key is controlled by another DID")
	}
	// Inclusive: a key is retired from the second that is named.
	if !m.Revoked.IsZero() && !at.Before(m.Revoked) {
		return nil, nil, errors.New("the key is revoked in the old document")
	}
	if !m.Expires.IsZero() && !at.Before(m.Expires) {
		return nil, nil, errors.New("the key has expired by the old document")
	}
	key, err := m.PublicKey()
	if err != nil {
		return nil, nil, err
	}
	pub, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, nil, errors.New("the key is not an ECDSA key")
	}
	return m, pub, nil
}

// rawSignature turns ASN.1 DER into r‖s.
func rawSignature(pub *ecdsa.PublicKey, der []byte) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &sig)
	n := (pub.Curve.Params().BitSize + 7) / 8
	if err != nil || len(rest) != 0 || sig.R.Sign() <= 0 || sig.S.Sign() <= 0 || sig.R.BitLen() > 8*n || sig.S.BitLen() > 8*n {
		return nil, errors.New("the signer's signature is not ASN.1 DER of two numbers of the curve's size")
	}
	raw := make([]byte, 2*n)
	sig.R.FillBytes(raw[:n])
	sig.S.FillBytes(raw[n:])
	return raw, nil
}

// ParseChange reads a statement strictly. Its signature is not checked.
func ParseChange(b []byte) (*Change, error) {
	if len(b) > maxChangeSize {
		return nil, fmt.Errorf("did: change statement: more than %d bytes", maxChangeSize)
	}
	v, err := parseJSON(b)
	if err != nil {
		return nil, fmt.Errorf("did: change statement: %w", err)
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("did: change statement: not a JSON object")
	}
	var c Change
	members := map[string]*string{
		"did": &c.DID, "old": &c.Old, "new": &c.New, "verificationMethod": &c.VerificationMethod, "created": &c.Created, "signature": &c.Signature,
	}
	for name, to := range members {
		if *to, ok = fields[name].(string); !ok {
			return nil, fmt.Errorf("did: change statement: %s: missing or no string", name)
		}
	}
	if len(fields) != len(members) {
		return nil, errors.New("did: change statement: a member that is not known")
	}
	if _, err := time.Parse("2006-01-02T15:04:05Z", c.Created); err != nil {
		return nil, errors.New("did: change statement: created: not a time in UTC such as 2026-01-31T12:00:00Z")
	}
	return &c, nil
}

// Decision is what to do with a new version of a pinned document.
type Decision string

const (
	// Unchanged: the two documents have one digest.
	Unchanged Decision = "unchanged"
	// Accepted: the new document may be pinned in the place of the old.
	Accepted Decision = "accepted"
	// NeedsFingerprint: the peer is to be suspended until the fingerprint of the new
	// document has been compared.
	NeedsFingerprint Decision = "needsFingerprint"
)

// Verdict is a decision and, for people, its reason.
type Verdict struct {
	Decision Decision
	Reason   string
}

// JudgeChange decides whether a new version of a pinned document may be trusted. It is
// accepted if it gives no key more than the pinned one does, and the node no new address:
// keys removed, revoked or made to expire sooner, other services changed. (A new address
// would let one who controls the web server collect what is meant for the peer, such as a
// bundle that can be guessed at.) For anything more, change must be a statement made by
// [SignChange] from exactly the pinned to exactly the next document, with a key that the
// pinned document does not call expired or revoked at the time at, which is now. change may
// be nil. To follow several changes, judge them one after the other.
//
// What this cannot stop: one who holds a pinned key can sign a change, and one who controls
// the web server can take keys away. The owner can see the first in the log, and the second
// only does harm to the owner.
func JudgeChange(pinned, next *Document, change []byte, at time.Time) Verdict {
	if pinned.DID() != next.DID() {
		return Verdict{NeedsFingerprint, "the new document is of another DID"}
	}
	if pinned.Digest() == next.Digest() {
		return Verdict{Unchanged, "the document is the same"}
	}
	more := widened(pinned, next)
	if more == "" {
		return Verdict{Accepted, "no key was added or given more rights"}
	}
	if len(change) == 0 {
		return Verdict{NeedsFingerprint, more + ", and no pinned key has signed for it"}
	}
	signer, err := verifyChange(pinned, next, change, at)
	if err != nil {
		return Verdict{NeedsFingerprint, more + ", and the statement does not vouch for it: " + err.Error()}
	}
	return Verdict{Accepted, more + "; signed for by " + signer}
}

func verifyChange(pinned, next *Document, change []byte, at time.Time) (signer string, err error) {
	c, err := ParseChange(change)
	if err != nil {
		return "", err
	}
	switch {
	case c.DID != pinned.ID():
		return "", errors.New("it is about another DID")
	case c.Old != VersionID(pinned):
		return "", errors.New("it begins at another version than the pinned one")
	case c.New != VersionID(next):
		return "", errors.New("it leads to another version than this one")
	}
	m, pub, err := changeKey(pinned, c.VerificationMethod, at)
	if err != nil {
		return "", err
	}
	message, err := c.message()
	if err != nil {
		return "", err
	}
	digest, _ := changeDigest(pub, message)
	raw, err := hex.DecodeString(c.Signature)
	n := (pub.Curve.Params().BitSize + 7) / 8
	if err != nil || len(raw) != 2*n || hex.EncodeToString(raw) != c.Signature {
		return "", fmt.Errorf("signature: not %d bytes in lower-case hex", 2*n)
	}
	if !ecdsa.Verify(pub, digest, new(big.Int).SetBytes(raw[:n]), new(big.Int).SetBytes(raw[n:])) {
		return "", errors.New("the signature is not by the key that it names")
	}
	return m.ID, nil
}

// widened says in what next gives a key more than pinned does; "" if in nothing.
func widened(pinned, next *Document) string {
	for _, c := range next.controllers {
		if !slices.Contains(pinned.controllers, c) {
			return "the document has a new controller"
		}
	}
	for _, m := range next.methods {
		old := pinned.byID[m.ID]
		switch {
		case old == nil:
			return "the key #" + m.Fragment() + " is new"
		case !sameKey(old, m):
			return "the key #" + m.Fragment() + " was replaced"
		case !old.Revoked.IsZero() && (m.Revoked.IsZero() || m.Revoked.After(old.Revoked)):
			return "the key #" + m.Fragment() + " is less revoked than before"
		case !old.Expires.IsZero() && (m.Expires.IsZero() || m.Expires.After(old.Expires)):
			return "the key #" + m.Fragment() + " expires later than before"
		}
	}
	for _, rel := range relationships {
		for id := range next.authorized[rel] {
			if !pinned.authorized[rel][id] {
				return "a key was put under " + rel
			}
		}
	}
	for _, s := range next.services {
		if slices.Contains(s.types, ServiceTypeNode) && !slices.ContainsFunc(pinned.services, func(old serviceEntry) bool {
			return slices.Contains(old.types, ServiceTypeNode) && slices.Equal(old.endpoints, s.endpoints)
		}) {
			return "the node has another address"
		}
	}
	return ""
}

// sameKey compares all properties but the id, which may be relative in one, and the dates.
func sameKey(a, b *VerificationMethod) bool {
	strip := func(m *VerificationMethod) map[string]any {
		out := make(map[string]any, len(m.fields))
		for k, v := range m.fields {
			if k != "id" && k != "expires" && k != "revoked" {
				out[k] = v
			}
		}
		return out
	}
	return reflect.DeepEqual(strip(a), strip(b))
}
