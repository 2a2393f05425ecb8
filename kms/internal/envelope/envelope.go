// Package envelope is the form of a wrapped blob and of key ids, which all back
// ends share, so that a blob can be told apart from any other bytes and names
// the wrapping key that opens it.
//
// A blob is, in this order:
//
//	4   "IHKW"
//	1   version, 1
//	1   algorithm, 1 = AES-256-GCM
//	16  id of the wrapping key
//	12  nonce
//	…   ciphertext, with its 16-byte tag last
//
// The additional data given to GCM is the first 22 bytes followed by the
// caller's own: the header has one length, so the two cannot be shifted against
// each other.
package envelope

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Sizes in bytes.
const (
	IDSize       = 16
	NonceSize    = 12
	TagSize      = 16
	prefixSize   = 6 + IDSize
	headerSize   = prefixSize + NonceSize
	MaxPlaintext = 64 << 10
	MaxAAD       = 4 << 10
	MaxBlob      = headerSize + MaxPlaintext + TagSize
)

const prefix = "IHKW\x01\x01"

var (
	errNotBlob = errors.New("not a blob of this key store's form")
	errVersion = errors.New("blob of a newer form")
	errSize    = errors.New("blob of an impossible size")
)

// ID is the id of a key. Its text form is 32 lower-case hex digits.
type ID [IDSize]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// NewID draws an id.
func NewID(random io.Reader) (ID, error) {
	if random == nil {
		random = rand.Reader
	}
	var id ID
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return ID{}, fmt.Errorf("draw a key id: %w", err)
	}
	return id, nil
}

// ParseID reads the text form; anything but 32 lower-case hex digits is no id.
func ParseID(s string) (ID, bool) {
	var id ID
	if len(s) != 2*IDSize {
		return ID{}, false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ID{}, false
		}
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, false
	}
	return id, true
}

// Header is a parsed blob; its slices point into the blob.
type Header struct {
	KeyID      ID
	Nonce      []byte // 12 bytes
	Ciphertext []byte // with the tag
	prefix     []byte
}

// Parse takes a blob apart; it authenticates nothing.
func Parse(blob []byte) (Header, error) {
	switch {
	case len(blob) < headerSize+TagSize || len(blob) > MaxBlob:
		return Header{}, errSize
	case string(blob[:4]) != prefix[:4]:
		return Header{}, errNotBlob
	case string(blob[4:6]) != prefix[4:]:
		return Header{}, errVersion
	}
	h := Header{prefix: blob[:prefixSize:prefixSize], Nonce: blob[prefixSize:headerSize], Ciphertext: blob[headerSize:]}
	copy(h.KeyID[:], blob[6:])
	return h, nil
}

// AAD is the additional data for GCM: the header and the caller's own.
func (h Header) AAD(callers []byte) []byte {
	return append(append(make([]byte, 0, prefixSize+len(callers)), h.prefix...), callers...)
}

// New begins a blob: out holds the header with the nonce in place and has room
// for the ciphertext, aad is what GCM is given.
func New(id ID, nonce [NonceSize]byte, plaintextSize int, callers []byte) (out, aad []byte) {
	out = make([]byte, 0, headerSize+plaintextSize+TagSize)
	out = append(out, prefix...)
	out = append(out, id[:]...)
	aad = append(append(make([]byte, 0, prefixSize+len(callers)), out...), callers...)
	return append(out, nonce[:]...), aad
}
