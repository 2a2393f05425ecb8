package file

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// Offsets and sizes of the file's form, which doc.go describes.
const (
	magic      = "IHYIDKMS"
	version    = 1
	checkSize  = 32
	nonceSize  = 12
	headerSize = 8 + 4 + 4 + 4 + 16 + 16 + checkSize + 8 + nonceSize + 4
	sumSize    = sha256.Size
	maxFile    = 8 << 20 // some 50,000 keys; a larger file is none of ours
)

type header struct {
	passphrase bool
	cost       Argon2 // zero unless passphrase
	salt       [16]byte
	store      [16]byte
	check      [checkSize]byte
	generation uint64
	nonce      [nonceSize]byte
	sealedSize uint32
}

func (h *header) append(b []byte) []byte {
	b = append(b, magic...)
	if h.passphrase {
		b = append(b, version, 1, argon2Version, h.cost.Lanes)
	} else {
		b = append(b, version, 0, 0, 0)
	}
	b = binary.BigEndian.AppendUint32(b, h.cost.Passes)
	b = binary.BigEndian.AppendUint32(b, h.cost.MemoryKiB)
	b = append(b, h.salt[:]...)
	b = append(b, h.store[:]...)
	b = append(b, h.check[:]...)
	b = binary.BigEndian.AppendUint64(b, h.generation)
	b = append(b, h.nonce[:]...)
	return binary.BigEndian.AppendUint32(b, h.sealedSize)
}

// parseHeader reads the first headerSize bytes.
func parseHeader(b []byte) (*header, error) {
	if len(b) < headerSize {
		return nil, fmt.Errorf("%w: cut short within its header", ErrCorrupt)
	}
	if string(b[:8]) != magic {
		return nil, fmt.Errorf("%w: it does not begin like a key store", ErrCorrupt)
	}
	if b[8] != version {
		return nil, fmt.Errorf("%w: form %d, and this program knows %d only", ErrCorrupt, b[8], version)
	}
	h := &header{
		passphrase: b[9] == 1,
		cost:       Argon2{Lanes: b[11], Passes: binary.BigEndian.Uint32(b[12:]), MemoryKiB: binary.BigEndian.Uint32(b[16:])},
		generation: binary.BigEndian.Uint64(b[84:]),
		sealedSize: binary.BigEndian.Uint32(b[104:]),
	}
	copy(h.salt[:], b[20:])
	copy(h.store[:], b[36:])
	copy(h.check[:], b[52:])
	copy(h.nonce[:], b[92:])
	switch {
	case b[9] == 0 && b[10] == 0 && h.cost == Argon2{}:
	case b[9] == 1 && b[10] == argon2Version:
		if err := h.cost.check(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	default:
		return nil, fmt.Errorf("%w: key derivation %d.%d is unknown", ErrCorrupt, b[9], b[10])
	}
	return h, nil
}

// parseFile checks the form and the checksum of a whole file and gives its sealed part.
func parseFile(b []byte) (h *header, sealed []byte, err error) {
	if h, err = parseHeader(b); err != nil {
		return nil, nil, err
	}
	if want := headerSize + int64(h.sealedSize) + sumSize; int64(len(b)) != want {
		return nil, nil, fmt.Errorf("%w: %d bytes where its header says %d", ErrCorrupt, len(b), want)
	}
	body := b[:len(b)-sumSize]
	if sum := sha256.Sum256(body); [sumSize]byte(b[len(body):]) != sum {
		return nil, nil, fmt.Errorf("%w: its checksum does not agree", ErrCorrupt)
	}
	return h, body[headerSize:], nil
}

// keys are what the root gives for one salt.
type keys struct {
	seal  [KeySize]byte
	check [checkSize]byte
}

func deriveKeys(root, salt []byte) (*keys, error) {
	k := new(keys)
	for info, dst := range map[string][]byte{"ihyid/kms/file/1 seal": k.seal[:], "ihyid/kms/file/1 check": k.check[:]} {
		b, err := hkdf.Key(sha256.New, root, salt, info, len(dst))
		if err != nil {
			return nil, fmt.Errorf("derive the file's keys: %w", err)
		}
		copy(dst, b)
		clear(b)
	}
	return k, nil
}

func (k *keys) fits(h *header) bool { return subtle.ConstantTimeCompare(k.check[:], h.check[:]) == 1 }

func (k *keys) wipe() { clear(k.seal[:]); clear(k.check[:]) }

func (k *keys) gcm() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.seal[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// open opens the sealed part of a file; the caller wipes what it gets.
func (k *keys) open(h *header, sealed []byte) ([]byte, error) {
	g, err := k.gcm()
	if err != nil {
		return nil, err
	}
	plain, err := g.Open(nil, h.nonce[:], sealed, h.append(nil))
	if err != nil {
		return nil, fmt.Errorf("%w: it was altered", ErrCorrupt)
	}
	return plain, nil
}

// sealFile writes a whole file; h's nonce must be fresh. It sets h.sealedSize and h.check.
func (k *keys) sealFile(h *header, plain []byte) ([]byte, error) {
	g, err := k.gcm()
	if err != nil {
		return nil, err
	}
	size := headerSize + len(plain) + g.Overhead() + sumSize
	if size > maxFile {
		return nil, errors.New("the key store is full: destroy retired keys first")
	}
	h.sealedSize = uint32(len(plain) + g.Overhead())
	h.check = k.check
	b := h.append(make([]byte, 0, size))
	b = g.Seal(b, h.nonce[:], plain, b[:headerSize:headerSize])
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}
