package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// replace puts content in the place of path: a crash at any moment leaves the
// old file or the new one. The caller holds the lock.
func replace(path string, content []byte) error {
	dir, base := filepath.Split(path)
	// What an earlier crash left behind is of no use to anybody.
	prefix, suffix := "."+base+".", ".tmp"
	if names, err := os.ReadDir(filepath.Dir(path)); err == nil {
		for _, e := range names {
			if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), suffix) {
				_ = os.Remove(filepath.Join(dir, e.Name()))
			}
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), prefix+"*"+suffix) // mode 0600
	if err != nil {
		return fmt.Errorf("write the key store: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write the key store: %w", err)
	}
	return syncDir(path)
}

// syncDir makes the name of path durable.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be flushed there; renames are journalled
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("flush the directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("flush the directory: %w", err)
	}
	return nil
}

// lock takes the lock of the store at path, which stands in a file of its own
// because the store's is replaced at every write. It waits at most limit.
func lock(ctx context.Context, path string, limit time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the key store: %w", err)
	}
	wait := time.NewTicker(5 * time.Millisecond)
	defer wait.Stop()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		held, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock the key store: %w", err)
		}
		if held {
			return func() { f.Close() }, nil // closing lets go
		}
		select {
		case <-wait.C:
		case <-deadline.C:
			f.Close()
			return nil, fmt.Errorf("%w: another process holds %s.lock", ErrLocked, path)
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock the key store: %w", ctx.Err())
		}
	}
}
