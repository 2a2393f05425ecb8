// Package statuslist holds the bit strings by which issuers tell which of their credentials are revoked or
// suspended (W3C Bitstring Status List 1.0): one bit a credential, the first bit of a byte its highest.
//
// A list has at least 131,072 entries, so that asking for it tells nobody which credential is meant, and entries
// are handed out at random, so that an index tells nothing of when. An issuer keeps three lists of one
// length: which entries are handed out, which are revoked, which are suspended.
//
// Standards: sections 3.3 (bitstring generation), 3.4 (expansion) and 2.3 (errors).
package statuslist

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
)

const (
	// MinEntries is the least number of entries of a list (section 2.2 and 5.1: 16 KiB).
	MinEntries = 131_072
	// MaxEntries is the largest number of entries that Decode takes: a list of 1 MiB.
	MaxEntries = 8 << 20
)

// The errors carry the names of section 2.3.
var (
	ErrLength    = errors.New("STATUS_LIST_LENGTH_ERROR: the status list has fewer entries than required, or more than allowed")
	ErrRange     = errors.New("RANGE_ERROR: the index lies outside the status list")
	ErrMalformed = errors.New("MALFORMED_VALUE_ERROR: the status list is not a multibase base64url GZIP value")
	// ErrFull says that every entry of a list is set.
	ErrFull = errors.New("the status list has no free entry")
)

// List is a bit string. It is not safe for concurrent changes.
type List struct{ bits []byte }

// New makes a list of n entries, rounded up to whole bytes and to MinEntries.
func New(n int) (*List, error) {
	if n > MaxEntries || n < 0 {
		return nil, ErrLength
	}
	return &List{bits: make([]byte, (max(n, MinEntries)+7)/8)}, nil
}

// FromBytes makes a list of raw bits, such as Bytes gave.
func FromBytes(bits []byte) (*List, error) {
	if len(bits)*8 < MinEntries || len(bits)*8 > MaxEntries {
		return nil, ErrLength
	}
	return &List{bits: bytes.Clone(bits)}, nil
}

// Bytes gives the raw bits.
func (l *List) Bytes() []byte { return bytes.Clone(l.bits) }

// Len is the number of entries.
func (l *List) Len() int { return len(l.bits) * 8 }

// Get tells whether an entry is set.
func (l *List) Get(i int) (bool, error) {
	if i < 0 || i >= l.Len() {
		return false, ErrRange
	}
	return l.bits[i/8]&(0x80>>(i%8)) != 0, nil
}

// Set sets or clears an entry.
func (l *List) Set(i int, value bool) error {
	if i < 0 || i >= l.Len() {
		return ErrRange
	}
	if value {
		l.bits[i/8] |= 0x80 >> (i % 8)
	} else {
		l.bits[i/8] &^= 0x80 >> (i % 8)
	}
	return nil
}

// Assign picks one of the free entries at random, each equally likely, sets it and gives its index.
// random may be nil for crypto/rand.
func (l *List) Assign(random io.Reader) (int, error) {
	if random == nil {
		random = rand.Reader
	}
	free := 0
	for _, b := range l.bits {
		free += zeros(b)
	}
	if free == 0 {
		return 0, ErrFull
	}
	n, err := rand.Int(random, big.NewInt(int64(free)))
	if err != nil {
		return 0, fmt.Errorf("pick a status list entry: %w", err)
	}
	left := int(n.Int64())
	for i, b := range l.bits {
		if z := zeros(b); left >= z {
			left -= z
			continue
		}
		for k := range 8 {
			if b&(0x80>>k) != 0 {
				continue
			}
			if left == 0 {
				return i*8 + k, l.Set(i*8+k, true)
			}
			left--
		}
	}
	return 0, ErrFull
}

func zeros(b byte) int {
	n := 0
	for k := range 8 {
		if b&(1<<k) == 0 {
			n++
		}
	}
	return n
}

// Encode gives the value of `encodedList`: the bits compressed with GZIP, in multibase base64url.
func (l *List) Encode() (string, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(l.bits)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", fmt.Errorf("encode status list: %w", err)
	}
	return "u" + base64.RawURLEncoding.EncodeToString(b.Bytes()), nil
}

// Decode reads the value of `encodedList`. It takes one GZIP member with nothing after it and never
// decompresses more than MaxEntries bits.
func Decode(s string) (*List, error) {
	if len(s) == 0 || s[0] != 'u' {
		return nil, ErrMalformed
	}
	compressed, err := base64.RawURLEncoding.Strict().DecodeString(s[1:])
	if err != nil || len(compressed) > MaxEntries/8+1024 {
		return nil, ErrMalformed
	}
	in := bytes.NewReader(compressed)
	r, err := gzip.NewReader(in)
	if err != nil {
		return nil, ErrMalformed
	}
	r.Multistream(false)
	bits, err := io.ReadAll(io.LimitReader(r, MaxEntries/8+1))
	if err != nil {
		return nil, ErrMalformed
	}
	if len(bits)*8 > MaxEntries || len(bits)*8 < MinEntries {
		return nil, ErrLength
	}
	if in.Len() != 0 {
		return nil, ErrMalformed
	}
	return &List{bits: bits}, nil
}
