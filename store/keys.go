package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
)

// KeyWrapper seals the store's own keys; the node's key store is one.
type KeyWrapper interface {
	Wrap(ctx context.Context, plaintext, aad []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
}

const (
	keySize   = 32
	nonceSize = 12
	tagSize   = 16

	// sealLimit is the number of seals after which a new data key is made: with random 96-bit nonces, NIST
	// SP 800-38D section 8.3 allows 2^32 under one key; half of it leaves room for what is sealed meanwhile.
	sealLimit = 1 << 31
	// sealHardLimit is the number of seals at which Seal refuses.
	sealHardLimit = 1 << 32
	// sealBlock is how many seals are counted ahead in the file, so that not every transaction writes the count.
	sealBlock = 1 << 16
)

// dataKey is one key that records are sealed with.
type dataKey struct {
	id    uint32
	aead  cipher.AEAD   // random nonces, prepended
	seals atomic.Uint64 // made so far; never less than what the file holds
	// counted is what the file says, at least the number of seals in it. Only the writer touches it.
	counted uint64
	// dropped is set once the key is no longer in the file. It then only opens what was sealed but not yet stored.
	dropped atomic.Bool
}

// keyring holds the data keys that are in use. It is never changed, only replaced.
type keyring struct {
	active *dataKey
	byID   map[uint32]*dataKey
}

// with returns a ring in which k is the active key.
func (r *keyring) with(k *dataKey) *keyring {
	n := &keyring{active: k, byID: map[uint32]*dataKey{k.id: k}}
	if r != nil {
		for id, old := range r.byID {
			n.byID[id] = old
		}
	}
	return n
}

func newDataKey(id uint32, raw []byte) (*dataKey, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &dataKey{id: id, aead: aead}, nil
}

// appendField appends a length-prefixed field of additional data.
func appendField(dst, field []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(field)))
	return append(dst, field...)
}

// wrapAAD binds a wrapped key to its store, its use and its number.
func wrapAAD(storeID [16]byte, use string, id uint32) []byte {
	aad := appendField(nil, []byte("ihyid/store/1 wrapped key"))
	aad = appendField(aad, storeID[:])
	aad = appendField(aad, []byte(use))
	return appendField(aad, binary.BigEndian.AppendUint32(nil, id))
}

const (
	useData  = "data"
	useIndex = "index"
)

// wrapNew makes a random key and wraps it.
func (s *Store) wrapNew(ctx context.Context, use string, id uint32) (raw, wrapped []byte, err error) {
	raw = make([]byte, keySize)
	rand.Read(raw)
	wrapped, err = s.opt.Keys.Wrap(ctx, raw, wrapAAD(s.id, use, id))
	if err != nil {
		return nil, nil, fmt.Errorf("store: wrap %s key: %w", use, err)
	}
	return raw, wrapped, nil
}

func (s *Store) unwrap(ctx context.Context, use string, id uint32, wrapped []byte) ([]byte, error) {
	raw, err := s.opt.Keys.Unwrap(ctx, wrapped, wrapAAD(s.id, use, id))
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s key %d: %w", ErrWrongKey, use, id, err)
	}
	if len(raw) != keySize {
		return nil, fmt.Errorf("%w: %s key %d has %d bytes", ErrCorrupt, use, id, len(raw))
	}
	return raw, nil
}

// addDataKey makes a new data key and makes it the active one. The caller holds the writer's lock.
func (s *Store) addDataKey(ctx context.Context) error {
	// A number that was used must not come again, destroyed or not: what it sealed may lie in a backup.
	id := uint32(1)
	err := s.db.View(func(b *bolt.Tx) error {
		if last := b.Bucket(bucketMeta).Get(metaLastKey); len(last) == 4 {
			id = binary.BigEndian.Uint32(last) + 1
		}
		return nil
	})
	if err != nil {
		return err
	}
	raw, wrapped, err := s.wrapNew(ctx, useData, id)
	if err != nil {
		return err
	}
	k, err := newDataKey(id, raw)
	if err != nil {
		return err
	}
	err = s.db.Update(func(b *bolt.Tx) error {
		meta := b.Bucket(bucketMeta)
		return errors.Join(
			meta.Put(metaLastKey, binary.BigEndian.AppendUint32(nil, id)),
			meta.Put(metaActive, binary.BigEndian.AppendUint32(nil, id)),
			b.Bucket(bucketKeys).Put(binary.BigEndian.AppendUint32(nil, id), wrapped),
			b.Bucket(bucketSeals).Put(binary.BigEndian.AppendUint32(nil, id), make([]byte, 8)),
		)
	})
	if err != nil {
		return fmt.Errorf("store: record new data key: %w", err)
	}
	s.ring.Store(s.ring.Load().with(k))
	return nil
}

// loadKeys unwraps the keys of an existing store.
func (s *Store) loadKeys(ctx context.Context) error {
	type stored struct {
		id      uint32
		wrapped []byte
		seals   uint64
	}
	var keys []stored
	var wrappedIndex []byte
	var active uint32
	err := s.db.View(func(b *bolt.Tx) error {
		meta, kb, sb := b.Bucket(bucketMeta), b.Bucket(bucketKeys), b.Bucket(bucketSeals)
		wrappedIndex = append(wrappedIndex, meta.Get(metaIndexKey)...)
		a := meta.Get(metaActive)
		if kb == nil || sb == nil || len(a) != 4 || len(wrappedIndex) == 0 {
			return fmt.Errorf("%w: the store's keys are missing", ErrCorrupt)
		}
		active = binary.BigEndian.Uint32(a)
		return kb.ForEach(func(k, v []byte) error {
			seals := sb.Get(k)
			if len(k) != 4 || len(seals) != 8 {
				return fmt.Errorf("%w: data key table", ErrCorrupt)
			}
			keys = append(keys, stored{binary.BigEndian.Uint32(k), append([]byte(nil), v...), binary.BigEndian.Uint64(seals)})
			return nil
		})
	})
	if err != nil {
		return err
	}
	if s.indexKey, err = s.unwrap(ctx, useIndex, 0, wrappedIndex); err != nil {
		return err
	}
	ring := &keyring{byID: map[uint32]*dataKey{}}
	for _, k := range keys {
		raw, err := s.unwrap(ctx, useData, k.id, k.wrapped)
		if err != nil {
			return err
		}
		dk, err := newDataKey(k.id, raw)
		if err != nil {
			return err
		}
		dk.seals.Store(k.seals)
		dk.counted = k.seals
		ring.byID[k.id] = dk
	}
	if ring.active = ring.byID[active]; ring.active == nil {
		return fmt.Errorf("%w: the active data key %d is missing", ErrCorrupt, active)
	}
	s.ring.Store(ring)
	return nil
}

// recordAAD is the additional data of a record, PROTOCOL section 11.
func (s *Store) recordAAD(dst []byte, collection string, key []byte, version uint16) []byte {
	dst = appendField(dst, s.id[:])
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(collection)))
	dst = append(dst, collection...)
	dst = appendField(dst, key)
	return append(dst, 0, 0, 0, 2, byte(version>>8), byte(version))
}

// A sealed record is: format (1 byte, 1), data key (4), schema version (2), nonce (12), ciphertext, tag (16).
const (
	boxFormat   = 1
	boxHeader   = 1 + 4 + 2
	boxOverhead = boxHeader + nonceSize + tagSize
)

// seal seals a record's plaintext under the active data key.
func (s *Store) seal(collection string, key []byte, version uint16, plain []byte) ([]byte, error) {
	k := s.ring.Load().active
	if k.seals.Add(1) > s.sealHardLimit {
		return nil, ErrKeyExhausted
	}
	var aadBuf [160]byte
	aad := s.recordAAD(aadBuf[:0], collection, key, version)
	box := make([]byte, boxHeader, boxOverhead+len(plain))
	box[0] = boxFormat
	binary.BigEndian.PutUint32(box[1:], k.id)
	binary.BigEndian.PutUint16(box[5:], version)
	return k.aead.Seal(box, nil, plain, aad), nil
}

// boxKey and boxVersion read the header of a sealed record, which parseBox has checked.
func boxKey(box []byte) uint32     { return binary.BigEndian.Uint32(box[1:]) }
func boxVersion(box []byte) uint16 { return binary.BigEndian.Uint16(box[5:]) }

func parseBox(collection string, box []byte) error {
	if len(box) < boxOverhead || box[0] != boxFormat {
		return fmt.Errorf("%w: a record of collection %s has no valid header", ErrCorrupt, collection)
	}
	return nil
}

// open opens a sealed record, appending its plaintext to dst.
func (s *Store) open(dst []byte, collection string, key, box []byte) ([]byte, error) {
	if err := parseBox(collection, box); err != nil {
		return nil, err
	}
	k := s.ring.Load().byID[boxKey(box)]
	if k == nil {
		return nil, fmt.Errorf("%w: a record of collection %s is sealed with the unknown data key %d", ErrCorrupt, collection, boxKey(box))
	}
	var aadBuf [160]byte
	aad := s.recordAAD(aadBuf[:0], collection, key, boxVersion(box))
	plain, err := k.aead.Open(dst, nil, box[boxHeader:], aad)
	if err != nil {
		return nil, fmt.Errorf("%w: a record of collection %s does not open", ErrCorrupt, collection)
	}
	return plain, nil
}

// countSeals makes the file's count cover every seal made so far. It runs in each write transaction that
// stores a record, before it commits: what is not stored was never shown to anybody and need not count.
func (tx *Tx) countSeals() error {
	b := tx.b.Bucket(bucketSeals)
	for _, k := range tx.s.ring.Load().byID {
		made := k.seals.Load()
		if made <= k.counted || k.dropped.Load() {
			continue
		}
		ahead := made + sealBlock
		if err := b.Put(binary.BigEndian.AppendUint32(nil, k.id), binary.BigEndian.AppendUint64(nil, ahead)); err != nil {
			return err
		}
		tx.onCommit = append(tx.onCommit, func() { k.counted = ahead })
	}
	return nil
}
