package sealedfile

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"math/bits"
)

// Sizes, in bytes.
const (
	HeaderSize      = 14
	EncapsulatedKey = 1120 // ML-KEM-768 ciphertext and X25519 public key
	SegmentSize     = 16 << 10
	sealedSegment   = 1 + SegmentSize + 16

	MaxPresentation = 1 << 20
	MaxData         = 1<<20 + 64 // a chunk of a set, with a proof behind it
	maxSetName      = 32

	minSegments = 4

	// MaxRecipients is how many keys are tried on a file.
	MaxRecipients = 64
)

const (
	recordEnd          = 0x00
	recordPresentation = 0x01
	recordChunk        = 0x02
)

const (
	flagMore byte = 0
	flagLast byte = 1
)

var (
	// ErrNotAFile says that what was read is no sealed file of this version.
	ErrNotAFile = errors.New("this is not a file of an exchange, or of a later version than this program reads")
	// ErrNoKey says that none of the keys opens the file.
	ErrNoKey = errors.New("none of this node's keys opens the file: it is for another node, it was sealed to a key that is gone, or its beginning is damaged")
	// ErrDamaged says that the file was changed after it was sealed.
	ErrDamaged = errors.New("the file is damaged")
	// ErrCutShort says that the end of the file is missing.
	ErrCutShort = errors.New("the file is cut short: copy it again, whole")
	// ErrForm says that the file opens, but does not hold what it should: whoever sealed it does not follow the protocol.
	ErrForm = errors.New("the file does not have the form that the protocol asks for")
	// ErrTooLarge says that the file is larger than the reader allows.
	ErrTooLarge = errors.New("the file is larger than this node takes")
)

// header is the one that this program writes and reads.
var header = [HeaderSize]byte{'I', 'H', 'Y', 'I', 'D', 'S', 'F', 0x01, 0x64, 0x7a, 0x00, 0x01, 0x00, 0x02}

func suite() (hpke.KDF, hpke.AEAD) { return hpke.HKDFSHA256(), hpke.AES256GCM() }

// info binds the format and the receiver's DID document to the key schedule.
func info(document [32]byte) []byte {
	b := append([]byte("ihyid/file/1 "), header[:]...)
	return append(b, document[:]...)
}

// paddedSegments is how many segments a file of n has.
func paddedSegments(n uint64) uint64 {
	step := uint64(minSegments)
	if n > 0 {
		if log := bits.Len64(n) - 1; log > 4 {
			step = max(step, 1<<(log-4))
		}
	}
	return max((n+step-1)/step*step, minSegments)
}

// Size is the size of the file for so many bytes of records.
func Size(records uint64) uint64 {
	n := (records + 1 + SegmentSize - 1) / SegmentSize // the end takes a byte
	return HeaderSize + EncapsulatedKey + paddedSegments(n)*sealedSegment
}

// chunkHead is the beginning of the record of a chunk.
func chunkHead(set string, index uint32, size int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{recordChunk}, uint32(1+len(set)+4+size))
	b = append(b, byte(len(set)))
	b = append(b, set...)
	return binary.BigEndian.AppendUint32(b, index)
}

// A Digest is SHA-256 of the records of a file's chunks, in their order: what a signed credential states of them.
type Digest struct{ h hash.Hash }

// NewDigest begins a digest.
func NewDigest() *Digest { return &Digest{sha256.New()} }

// Add takes the next chunk in.
func (d *Digest) Add(set string, index uint32, data []byte) {
	d.h.Write(chunkHead(set, index, len(data)))
	d.h.Write(data)
}

// Sum gives the digest of all chunks so far.
func (d *Digest) Sum() [32]byte { return [32]byte(d.h.Sum(nil)) }
