package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"regexp"
	"slices"
)

const (
	// MaxKeySize is the largest record key, in bytes.
	MaxKeySize = 512
	// MaxRecordSize is the largest encoded record, in bytes. Larger things are spools or many records.
	MaxRecordSize = 16 << 20
	// checkEvery is how many records an iteration reads between two looks at its context.
	checkEvery = 256
)

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9/._-]{0,63}$`)

// Codec turns values into bytes and back, where JSON is too slow.
type Codec[T any] interface {
	Append(dst []byte, v *T) ([]byte, error)
	Decode(data []byte, v *T) error // must not keep data
}

type jsonCodec[T any] struct{}

func (jsonCodec[T]) Append(dst []byte, v *T) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

func (jsonCodec[T]) Decode(data []byte, v *T) error { return json.Unmarshal(data, v) }

// Collection is a set of records of one type under byte-string keys, ordered by key. Every record is sealed
// and bound to its collection, key and version. KEYS ARE NOT SEALED: they must hold nothing personal; use
// numbers (see ID) or keyed hashes.
type Collection[T any] struct {
	s       *Store
	name    string
	version uint16
	codec   Codec[T]
}

// CollectionOption changes how a collection works.
type CollectionOption[T any] func(*Collection[T])

// WithCodec has records encoded by c instead of as JSON.
func WithCodec[T any](c Codec[T]) CollectionOption[T] {
	return func(col *Collection[T]) { col.codec = c }
}

// NewCollection returns the collection of the given name (lower-case letters, digits and ./_-, at most 64 bytes;
// anything else panics), whose records have the schema version given. Reading a record of another version is ErrVersion:
// a Migration brings old records up. The collection comes into being with its first record.
func NewCollection[T any](s *Store, name string, version uint16, options ...CollectionOption[T]) *Collection[T] {
	if !validName.MatchString(name) {
		panic("store: invalid collection name " + name)
	}
	c := &Collection[T]{s: s, name: name, version: version, codec: jsonCodec[T]{}}
	for _, o := range options {
		o(c)
	}
	return c
}

// Name returns the collection's name.
func (c *Collection[T]) Name() string { return c.name }

// ID returns the record key of a number: 8 bytes, big-endian, so that records stand in numeric order.
func ID(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// ParseID returns the number of a key made by ID.
func ParseID(key []byte) (uint64, bool) {
	if len(key) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}

// Sealed is a record ready to be stored by PutSealed.
type Sealed struct {
	collection string
	key, box   []byte
}

// Seal encodes and seals a record for the key. It needs no transaction and may be called concurrently, so that the
// expensive part of a large import runs on all cores.
func (c *Collection[T]) Seal(key []byte, v T) (Sealed, error) {
	if len(key) == 0 || len(key) > MaxKeySize {
		return Sealed{}, ErrKeySize
	}
	var buf [1024]byte
	plain, err := c.codec.Append(buf[:0], &v)
	if err != nil {
		return Sealed{}, fmt.Errorf("store: encode record of %s: %w", c.name, err)
	}
	if len(plain) > MaxRecordSize {
		return Sealed{}, fmt.Errorf("%w: %d bytes in %s", ErrTooLarge, len(plain), c.name)
	}
	box, err := c.s.seal(c.name, key, c.version, plain)
	if err != nil {
		return Sealed{}, err
	}
	return Sealed{c.name, bytes.Clone(key), box}, nil
}

// PutSealed stores a record that Seal has made, in place of any record under its key.
func (c *Collection[T]) PutSealed(tx *Tx, r Sealed) error {
	if err := tx.check(c.s, true); err != nil {
		return err
	}
	if r.collection != c.name {
		return fmt.Errorf("store: record sealed for %q, not for %q", r.collection, c.name)
	}
	if boxKey(r.box) != c.s.ring.Load().active.id {
		// The data key has changed since: the old one may soon be destroyed, so nothing new goes under it.
		plain, err := c.s.open(nil, c.name, r.key, r.box)
		if err != nil {
			return err
		}
		if r.box, err = c.s.seal(c.name, r.key, boxVersion(r.box), plain); err != nil {
			return err
		}
	}
	return tx.put(c.name, r.key, r.box)
}

// Put stores v under key, in place of any record there.
func (c *Collection[T]) Put(tx *Tx, key []byte, v T) error {
	if err := tx.check(c.s, true); err != nil {
		return err
	}
	r, err := c.Seal(key, v)
	if err != nil {
		return err
	}
	return tx.put(c.name, r.key, r.box)
}

// Get returns the record under key, or ErrNotFound.
func (c *Collection[T]) Get(tx *Tx, key []byte) (T, error) {
	var v T
	if err := tx.check(c.s, false); err != nil {
		return v, err
	}
	b, err := tx.recordsOf(c.name, false)
	if err != nil {
		return v, err
	}
	var box []byte
	if b != nil {
		box = b.Get(key)
	}
	if box == nil {
		return v, fmt.Errorf("%w: no such record in %s", ErrNotFound, c.name)
	}
	err = c.decode(tx, key, box, &v)
	return v, err
}

// Has reports whether there is a record under key.
func (c *Collection[T]) Has(tx *Tx, key []byte) (bool, error) {
	if err := tx.check(c.s, false); err != nil {
		return false, err
	}
	b, err := tx.recordsOf(c.name, false)
	return b != nil && b.Get(key) != nil, err
}

func (c *Collection[T]) decode(tx *Tx, key, box []byte, v *T) error {
	plain, err := c.s.open(tx.buf[:0], c.name, key, box)
	if err != nil {
		return err
	}
	tx.buf = plain[:0]
	if got := boxVersion(box); got != c.version {
		return fmt.Errorf("%w: %s has %d, wanted %d", ErrVersion, c.name, got, c.version)
	}
	if err := c.codec.Decode(plain, v); err != nil {
		// The decoder's own message may quote the record, which may be personal.
		return fmt.Errorf("%w: a record of %s does not decode", ErrCorrupt, c.name)
	}
	return nil
}

// Delete removes the record under key; there need not be one. Its bytes stay in the file's free pages until
// they are used again; Store.Erase has them gone at once.
func (c *Collection[T]) Delete(tx *Tx, key []byte) error {
	if err := tx.check(c.s, true); err != nil {
		return err
	}
	b, err := tx.recordsOf(c.name, false)
	if err != nil || b == nil || b.Get(key) == nil {
		return err
	}
	tx.count(c.name, -1)
	tx.edits++
	if err := b.Delete(key); err != nil {
		return fmt.Errorf("store: delete from %s: %w", c.name, err)
	}
	return nil
}

// Len returns the number of records, without counting them.
func (c *Collection[T]) Len(tx *Tx) (uint64, error) {
	if err := tx.check(c.s, false); err != nil {
		return 0, err
	}
	return countOf(tx.b.Bucket(bucketCounts), c.name) + uint64(tx.counts[c.name]), nil
}

// NextID returns the next number of the collection's own sequence, from 1 on. A rolled-back transaction gives its numbers back.
func (c *Collection[T]) NextID(tx *Tx) (uint64, error) {
	if err := tx.check(c.s, true); err != nil {
		return 0, err
	}
	b, err := tx.recordsOf(c.name, true)
	if err != nil {
		return 0, err
	}
	return b.NextSequence()
}

// Range says which records an iteration gives, in the order of their keys. The zero Range is all of them.
type Range struct {
	Prefix  []byte // only keys that begin so
	From    []byte // begin at this key: the first one not before it, or not after it if Reverse
	Reverse bool   // from the highest key down
}

// Item is one record of an iteration. Its key may be kept.
type Item[T any] struct {
	Key   []byte
	Value T
}

// All iterates over the records of a range. The loop may change the collection. A record that cannot be read gives an
// error and ends the iteration, as does the end of the transaction's context.
func (c *Collection[T]) All(tx *Tx, r Range) iter.Seq2[Item[T], error] {
	return func(yield func(Item[T], error) bool) {
		var none Item[T]
		for raw, err := range c.boxes(tx, r) {
			if err != nil {
				yield(none, err)
				return
			}
			it := Item[T]{Key: bytes.Clone(raw.key)}
			if err := c.decode(tx, raw.key, raw.box, &it.Value); err != nil {
				yield(none, err)
				return
			}
			if !yield(it, nil) {
				return
			}
		}
	}
}

// Keys iterates over the keys of a range without opening the records. A key may be kept.
func (c *Collection[T]) Keys(tx *Tx, r Range) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for raw, err := range c.boxes(tx, r) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(bytes.Clone(raw.key), nil) {
				return
			}
		}
	}
}

type rawRecord struct{ key, box []byte }

func (c *Collection[T]) boxes(tx *Tx, r Range) iter.Seq2[rawRecord, error] {
	return func(yield func(rawRecord, error) bool) {
		if err := tx.check(c.s, false); err != nil {
			yield(rawRecord{}, err)
			return
		}
		b, err := tx.recordsOf(c.name, false)
		if err != nil || b == nil {
			if err != nil {
				yield(rawRecord{}, err)
			}
			return
		}
		cur := b.Cursor()
		// seek finds the first key at or after k, or the last at or before it; nil means the end of the range.
		seek := func(k []byte) (key, box []byte) {
			if !r.Reverse {
				if len(k) == 0 {
					return cur.First()
				}
				return cur.Seek(k)
			}
			if k == nil {
				return cur.Last()
			}
			key, box = cur.Seek(k)
			if key == nil {
				return cur.Last()
			}
			if !bytes.Equal(key, k) {
				return cur.Prev()
			}
			return key, box
		}
		start := r.From
		if !r.Reverse && bytes.Compare(start, r.Prefix) < 0 {
			start = r.Prefix
		}
		if end := prefixEnd(r.Prefix); r.Reverse && (start == nil || (end != nil && bytes.Compare(start, end) > 0)) {
			start = end
		}
		key, box := seek(start)
		if r.Reverse && key != nil && len(r.Prefix) > 0 && !bytes.HasPrefix(key, r.Prefix) && bytes.Compare(key, r.Prefix) > 0 {
			key, box = cur.Prev() // the key that ends the prefix is itself a record
		}
		edits := tx.edits
		for n := 0; key != nil && bytes.HasPrefix(key, r.Prefix); n++ {
			if n%checkEvery == 0 {
				if err := tx.ctx.Err(); err != nil {
					yield(rawRecord{}, err)
					return
				}
			}
			last := key
			if !yield(rawRecord{key, box}, nil) {
				return
			}
			if tx.b == nil {
				yield(rawRecord{}, ErrTxClosed)
				return
			}
			if tx.edits != edits {
				// The tree has changed under the cursor: find the place again.
				edits = tx.edits
				last = bytes.Clone(last)
				if key, box = seek(last); key == nil || !bytes.Equal(key, last) {
					continue
				}
			}
			if r.Reverse {
				key, box = cur.Prev()
			} else {
				key, box = cur.Next()
			}
		}
	}
}

// prefixEnd returns the first key after all keys with the prefix; nil where there is none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := slices.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}
