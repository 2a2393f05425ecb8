package sealedfile

import (
	"bytes"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Recipient is a key that a file may have been sealed to, with the digest of the DID document that it stood in.
type Recipient struct {
	Key      hpke.PrivateKey
	Document [32]byte
}

// Chunk is one chunk of a set. Data is good until the next call.
type Chunk struct {
	Set   string
	Index uint32
	Data  []byte
}

// A Reader opens one file.
type Reader struct {
	in           io.Reader
	left         int64 // bytes of the file that may still be read
	recipient    *hpke.Recipient
	to           Recipient
	sealed       []byte
	plain        []byte // opened and not read yet
	last         bool   // the last segment has been opened
	segments     uint64
	presentation []byte
	record       []byte
	err          error // of the first failure, or io.EOF; it stays
}

// NewReader begins to read a file of at most max bytes, with the first of the keys that opens it. Its errors, and those of
// [Reader.Next], are or wrap those of this package, or are those of in.
func NewReader(in io.Reader, max int64, keys []Recipient) (*Reader, error) {
	r := &Reader{in: in, left: max, sealed: make([]byte, sealedSegment)}
	head := make([]byte, HeaderSize+EncapsulatedKey)
	if n, err := r.readFull(head); err != nil {
		if errors.Is(err, ErrCutShort) && (n < len(header) || !bytes.Equal(head[:len(header)], header[:])) {
			err = ErrNotAFile
		}
		return nil, err
	}
	if !bytes.Equal(head[:HeaderSize], header[:]) {
		return nil, ErrNotAFile
	}
	if _, err := r.readFull(r.sealed); err != nil {
		return nil, err
	}
	if len(keys) > MaxRecipients {
		keys = keys[:MaxRecipients]
	}
	kdf, aead := suite()
	for _, k := range keys {
		recipient, err := hpke.NewRecipient(head[HeaderSize:], k.Key, kdf, aead, info(k.Document))
		if err != nil {
			continue // a key of another kind, or a point that this key does not take
		}
		if plain, err := recipient.Open(r.sealed[:1], r.sealed[1:]); err == nil {
			r.recipient, r.to = recipient, k
			if err := r.opened(plain); err != nil {
				return nil, err
			}
			break
		}
	}
	if r.recipient == nil {
		return nil, ErrNoKey
	}
	typ, length, err := r.head()
	if err != nil {
		return nil, err
	}
	if typ != recordPresentation || length == 0 || length > MaxPresentation {
		return nil, fmt.Errorf("%w: it does not begin with a presentation", ErrForm)
	}
	r.presentation = make([]byte, length)
	return r, r.read(r.presentation)
}

// Presentation is the file's presentation. Nothing vouches for it but its own signature.
func (r *Reader) Presentation() []byte { return r.presentation }

// Recipient is the key that opened the file.
func (r *Reader) Recipient() Recipient { return r.to }

// Next gives the next chunk, or io.EOF once all of the file has been opened and was as it should be.
func (r *Reader) Next() (Chunk, error) {
	if r.err != nil {
		return Chunk{}, r.err
	}
	c, err := r.next()
	r.err = err
	return c, err
}

func (r *Reader) next() (Chunk, error) {
	typ, length, err := r.head()
	if err != nil {
		return Chunk{}, err
	}
	if typ == recordEnd {
		if err := r.end(); err != nil {
			return Chunk{}, err
		}
		return Chunk{}, io.EOF
	}
	if typ != recordChunk || length < 1+1+4 || length > 1+maxSetName+4+MaxData {
		return Chunk{}, fmt.Errorf("%w: a record of type %d and %d bytes", ErrForm, typ, length)
	}
	if cap(r.record) < int(length) {
		r.record = make([]byte, length)
	}
	b := r.record[:length]
	if err := r.read(b); err != nil {
		return Chunk{}, err
	}
	n := int(b[0])
	if n == 0 || n > maxSetName || 1+n+4 > len(b) || len(b)-1-n-4 > MaxData {
		return Chunk{}, fmt.Errorf("%w: a chunk without a set", ErrForm)
	}
	return Chunk{Set: string(b[1 : 1+n]), Index: binary.BigEndian.Uint32(b[1+n:]), Data: b[1+n+4:]}, nil
}

// head reads the type of the next record and its length.
func (r *Reader) head() (typ byte, length uint32, err error) {
	var b [4]byte
	if err := r.read(b[:1]); err != nil || b[0] == recordEnd {
		return b[0], 0, err
	}
	typ = b[0]
	err = r.read(b[:])
	return typ, binary.BigEndian.Uint32(b[:]), err
}

// end makes sure that nothing but zeros follows, to the last segment, that there are as many segments as padding gives, and that the file
// ends there.
func (r *Reader) end() error {
	needed := r.segments // the end of the records is in this one
	for {
		for _, b := range r.plain {
			if b != 0 {
				return fmt.Errorf("%w: its padding is not zero", ErrForm)
			}
		}
		r.plain = nil
		if r.last {
			break
		}
		if err := r.open(); err != nil {
			return err
		}
	}
	if r.segments != paddedSegments(needed) {
		return fmt.Errorf("%w: its padding is not as long as it should be", ErrForm)
	}
	var b [1]byte
	switch n, err := io.ReadFull(r.in, b[:]); {
	case n > 0:
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	case err != io.EOF:
		return err
	}
	return nil
}

// read fills p from what the segments hold.
func (r *Reader) read(p []byte) error {
	for len(p) > 0 {
		if len(r.plain) == 0 {
			if r.last {
				return fmt.Errorf("%w: a record goes on after the last segment", ErrForm)
			}
			if err := r.open(); err != nil {
				return err
			}
		}
		n := copy(p, r.plain)
		p, r.plain = p[n:], r.plain[n:]
	}
	return nil
}

// open reads and opens the next segment.
func (r *Reader) open() error {
	if _, err := r.readFull(r.sealed); err != nil {
		return err
	}
	plain, err := r.recipient.Open(r.sealed[:1], r.sealed[1:])
	if err != nil {
		return fmt.Errorf("%w: its part %d does not open", ErrDamaged, r.segments+1)
	}
	return r.opened(plain)
}

func (r *Reader) opened(plain []byte) error {
	r.plain, r.last = plain, r.sealed[0] == flagLast
	r.segments++
	if !r.last && r.sealed[0] != flagMore {
		return fmt.Errorf("%w: a segment is neither the last nor one before it", ErrForm)
	}
	return nil
}

func (r *Reader) readFull(p []byte) (int, error) {
	if r.left -= int64(len(p)); r.left < 0 {
		return 0, ErrTooLarge
	}
	n, err := io.ReadFull(r.in, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = ErrCutShort
	}
	return n, err
}
