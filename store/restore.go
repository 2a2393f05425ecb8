package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Restore makes a new store at path from what Snapshot has written. The copy is read and checked whole, under its keys, before the file gets its name: what
// is there afterwards is sound, or there is nothing. Its data key is replaced by a new one for what is written from now on, because the store that the snapshot was taken from
// may have gone on sealing under the old one. Errors as of Create and Open.
func Restore(ctx context.Context, path string, r io.Reader, o Options) (err error) {
	if o, err = o.withDefaults(); err != nil {
		return err
	}
	lock, err := acquireLock(ctx, path, o.LockTimeout, o.Clock())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: %s", ErrExists, path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp := path + ".restore"
	defer func() { err = errors.Join(err, removeIfThere(temp)) }()
	if err := copyFile(ctx, temp, r); err != nil {
		return fmt.Errorf("store: restore: %w", err)
	}
	if err := verify(ctx, temp, o); err != nil {
		return fmt.Errorf("store: restore: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("store: restore: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func copyFile(ctx context.Context, path string, r io.Reader) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.CopyN(f, r, 4<<20); err == io.EOF {
			return f.Sync()
		} else if err != nil {
			return err
		}
	}
}

// verify opens a restored file, checks it and gives it a new data key.
func verify(ctx context.Context, path string, o Options) error {
	o.noMerge = true
	s, err := open(ctx, path, o, nil)
	if err != nil {
		return err
	}
	err = s.Check(ctx)
	if err == nil {
		err = s.RotateKey(ctx)
	}
	return errors.Join(err, s.Close())
}
