package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// ErrKeyInUse is returned by DropOldKeys while records are still sealed under an old data key.
var ErrKeyInUse = errors.New("store: records are still sealed under an old data key")

// RotateKey makes a new data key, which seals everything from now on. What is there stays under the old keys until Reseal has gone over it;
// then DropOldKeys destroys them. jobs.RotateKeys does all three.
func (s *Store) RotateKey(ctx context.Context) error {
	if err := s.lockWriter(ctx); err != nil {
		return err
	}
	defer func() { <-s.writer }()
	return s.addDataKey(ctx)
}

// Position is a place in the order of all records of a store, for work that goes over all of them in steps. The zero Position is the
// beginning.
type Position struct {
	Collection string `json:"collection,omitempty"`
	Key        []byte `json:"key,omitempty"` // the last one dealt with
}

// Reseal looks at up to limit records after a position and seals those anew, under the active data key, that are under another. It reports where it has
// come to, and whether that is the end.
func (s *Store) Reseal(tx *Tx, after Position, limit int) (at Position, done bool, err error) {
	if err := tx.check(s, true); err != nil {
		return after, false, err
	}
	active := s.ring.Load().active.id
	root := tx.b.Bucket(bucketRecords)
	at = after
	names := root.Cursor()
	for name, _ := names.Seek([]byte(after.Collection)); name != nil; name, _ = names.Next() {
		b, err := tx.recordsOf(string(name), false)
		if err != nil {
			return after, false, err
		}
		type found struct{ key, box []byte }
		var stale []found
		c := b.Cursor()
		key, box := c.First()
		if string(name) == after.Collection && after.Key != nil {
			if key, box = c.Seek(after.Key); string(key) == string(after.Key) {
				key, box = c.Next()
			}
		}
		for ; key != nil && limit > 0; key, box = c.Next() {
			limit--
			at = Position{string(name), append([]byte(nil), key...)}
			if err := parseBox(string(name), box); err != nil {
				return after, false, err
			}
			if boxKey(box) != active {
				stale = append(stale, found{at.Key, box})
			}
		}
		for _, f := range stale {
			plain, err := s.open(tx.buf[:0], string(name), f.key, f.box)
			if err != nil {
				return after, false, err
			}
			tx.buf = plain[:0]
			fresh, err := s.seal(string(name), f.key, boxVersion(f.box), plain)
			if err != nil {
				return after, false, err
			}
			if err := tx.put(string(name), f.key, fresh); err != nil {
				return after, false, err
			}
		}
		if limit <= 0 {
			return at, false, nil
		}
	}
	return at, true, nil
}

// DropOldKeys destroys all data keys but the active one, and overwrites what was left of them in the file. ErrKeyInUse
// where a record still needs one. This process keeps them in memory until it ends, for records that were sealed but not yet stored.
func (s *Store) DropOldKeys(ctx context.Context) error {
	return s.Erase(ctx, func(tx *Tx) error {
		ring := s.ring.Load()
		root := tx.b.Bucket(bucketRecords)
		err := root.ForEachBucket(func(name []byte) error {
			n := 0
			return root.Bucket(name).ForEach(func(_, box []byte) error {
				if n++; n%checkEvery == 0 {
					if err := tx.ctx.Err(); err != nil {
						return err
					}
				}
				if err := parseBox(string(name), box); err != nil {
					return err
				}
				if id := boxKey(box); id != ring.active.id {
					return fmt.Errorf("%w: key %d, in collection %s", ErrKeyInUse, id, name)
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
		for id, k := range ring.byID {
			if id == ring.active.id || k.dropped.Load() {
				continue
			}
			err := errors.Join(
				tx.b.Bucket(bucketKeys).Delete(binary.BigEndian.AppendUint32(nil, id)),
				tx.b.Bucket(bucketSeals).Delete(binary.BigEndian.AppendUint32(nil, id)),
			)
			if err != nil {
				return fmt.Errorf("store: drop data key: %w", err)
			}
			tx.onCommit = append(tx.onCommit, func() { k.dropped.Store(true) })
		}
		return nil
	})
}

// Rewrap wraps the store's keys anew with another key store, or with the same one after its own wrapping key has changed, and overwrites the former wrappings. From
// then on the store opens with that key store only.
func (s *Store) Rewrap(ctx context.Context, keys KeyWrapper) error {
	if err := s.lockWriter(ctx); err != nil {
		return err
	}
	err := s.rewrap(ctx, keys)
	<-s.writer
	if err != nil {
		return err
	}
	return s.Scrub(ctx)
}

func (s *Store) rewrap(ctx context.Context, keys KeyWrapper) error {
	again := func(use string, id uint32, wrapped []byte) ([]byte, error) {
		raw, err := s.unwrap(ctx, use, id, wrapped)
		if err != nil {
			return nil, err
		}
		defer clear(raw)
		out, err := keys.Wrap(ctx, raw, wrapAAD(s.id, use, id))
		if err != nil {
			return nil, fmt.Errorf("store: wrap %s key: %w", use, err)
		}
		return out, nil
	}
	err := s.db.Update(func(b *bolt.Tx) error {
		meta, kb := b.Bucket(bucketMeta), b.Bucket(bucketKeys)
		index, err := again(useIndex, 0, meta.Get(metaIndexKey))
		if err != nil {
			return err
		}
		type pair struct{ id, wrapped []byte }
		var data []pair
		err = kb.ForEach(func(k, v []byte) error {
			w, err := again(useData, binary.BigEndian.Uint32(k), v)
			data = append(data, pair{append([]byte(nil), k...), w})
			return err
		})
		if err != nil {
			return err
		}
		for _, p := range data {
			if err := kb.Put(p.id, p.wrapped); err != nil {
				return err
			}
		}
		return errors.Join(meta.Put(metaIndexKey, index), meta.Put(metaScrub, []byte{1}))
	})
	if err == nil {
		s.opt.Keys = keys
	}
	return err
}
