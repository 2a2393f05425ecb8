// Package private reads files that hold secrets, and refuses those that others can read.
package private

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// ErrPermissions says that a file with a secret can be read by group or others.
var ErrPermissions = errors.New("file can be read by others")

// ReadFile reads a regular file that only its owner may read, of at most limit
// bytes. The caller wipes what it gets. Modes say nothing on Windows and are not
// looked at there.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := check(f); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		clear(b)
		return nil, fmt.Errorf("%s: longer than %d bytes", path, limit)
	}
	return b, nil
}

// check looks at the opened file and not at the path, which could be made to
// name another one in between.
func check(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", f.Name())
	}
	if perm := info.Mode().Perm(); runtime.GOOS != "windows" && perm&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %04o; run: chmod 600 %s", ErrPermissions, f.Name(), perm, f.Name())
	}
	return nil
}
