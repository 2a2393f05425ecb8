package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// copyBytes is how much a compacting copy writes in one transaction.
const copyBytes = 16 << 20

// Snapshot writes a consistent copy of the store to w: a store file of its own, which Restore reads. It is copied record by record,
// not page by page, so that nothing deleted is in it. Records stay sealed; reading them takes the same key store. Spools are not
// part of it. The copy is first made beside the store's file, so the disk must have room for it; writing goes on meanwhile.
func (s *Store) Snapshot(ctx context.Context, w io.Writer) (err error) {
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".snapshot-*")
	if err != nil {
		return fmt.Errorf("store: snapshot: %w", err)
	}
	temp := f.Name()
	defer func() { err = errors.Join(err, f.Close(), removeIfThere(temp)) }()
	if err := s.copyTo(ctx, temp); err != nil {
		return fmt.Errorf("store: snapshot: %w", err)
	}
	buf := bufio.NewReaderSize(f, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.CopyN(w, buf, 4<<20); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("store: snapshot: %w", err)
		}
	}
}

// removeSnapshots removes half-made copies that a crash has left: what is erased from the store must not be found beside it.
func (s *Store) removeSnapshots() error {
	dir, base := filepath.Split(s.path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), base+".snapshot-") {
			if err := removeIfThere(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("store: remove what a snapshot left: %w", err)
			}
		}
	}
	return nil
}

// copyTo makes a compacted copy of the current state in the file at path.
func (s *Store) copyTo(ctx context.Context, path string) (err error) {
	// One sync at the end is enough: a half-made copy is worth nothing.
	dst, err := openBolt(path, Options{noSync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	err = s.View(ctx, func(tx *Tx) error {
		c := &copier{ctx: ctx, db: dst}
		if err := c.begin(); err != nil {
			return err
		}
		err := tx.b.ForEach(func(name []byte, b *bolt.Bucket) error { return c.bucket([][]byte{name}, b) })
		if err != nil {
			return errors.Join(err, c.tx.Rollback())
		}
		return c.tx.Commit()
	})
	if err != nil {
		return err
	}
	// The file has grown ahead of its content; what is not content only costs room and time.
	err = dst.View(func(b *bolt.Tx) error { return os.Truncate(path, b.Size()) })
	return errors.Join(err, dst.Sync())
}

// copier copies buckets into another file, in transactions of bounded size.
type copier struct {
	ctx  context.Context
	db   *bolt.DB
	tx   *bolt.Tx
	size int
}

func (c *copier) begin() (err error) {
	c.size = 0
	c.tx, err = c.db.Begin(true)
	return err
}

// at finds, or makes, the bucket of a path in the current transaction.
func (c *copier) at(path [][]byte) (b *bolt.Bucket, err error) {
	if b, err = c.tx.CreateBucketIfNotExists(path[0]); err != nil {
		return nil, err
	}
	for _, name := range path[1:] {
		if b, err = b.CreateBucketIfNotExists(name); err != nil {
			return nil, err
		}
	}
	b.FillPercent = 1
	return b, nil
}

func (c *copier) bucket(path [][]byte, src *bolt.Bucket) error {
	dst, err := c.at(path)
	if err != nil {
		return err
	}
	if err := dst.SetSequence(src.Sequence()); err != nil {
		return err
	}
	return src.ForEach(func(k, v []byte) error {
		if v == nil {
			if err := c.bucket(append(path[:len(path):len(path)], k), src.Bucket(k)); err != nil {
				return err
			}
			// The transaction may have changed meanwhile, and with it the bucket.
			dst, err = c.at(path)
			return err
		}
		if c.size += len(k) + len(v); c.size > copyBytes {
			if err := c.ctx.Err(); err != nil {
				return err
			}
			if err := c.tx.Commit(); err != nil {
				return err
			}
			if err := c.begin(); err != nil {
				return err
			}
			if dst, err = c.at(path); err != nil {
				return err
			}
		}
		return dst.Put(k, v)
	})
}
