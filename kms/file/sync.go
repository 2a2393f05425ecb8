package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"ihyid/kms"
)

// change runs one change: read the file anew under its lock, let f alter the
// contents, write them. If f fails or says that nothing changed, nothing does.
func (s *Store) change(ctx context.Context, f func(*body) (changed bool, err error)) error {
	return s.locked(ctx, func(b *body, h *header) error {
		changed, err := f(b)
		switch {
		case err != nil:
			return err
		case !changed:
			return s.load(b, h)
		}
		return s.write(b, s.keys, *h)
	})
}

// locked runs f on what the file holds now, under its lock and s.mu.
func (s *Store) locked(ctx context.Context, f func(*body, *header) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return kms.ErrClosed
	}
	unlock, err := lock(ctx, s.path, s.o.LockTimeout)
	if err != nil {
		return err
	}
	defer unlock()
	h, sealed, err := readFile(s.path)
	if err != nil {
		return s.gone(err)
	}
	b, err := s.decode(h, sealed)
	if err != nil {
		return err
	}
	defer b.wipe()
	return f(b, h)
}

// gone adds to an error over a file that vanished while it was open that it may come back.
func (s *Store) gone(err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", kms.ErrUnavailable, err)
	}
	return err
}

// fresh brings the memory up to the file, if another process changed it, and
// leaves s.mu read-locked if it answers nil.
func (s *Store) fresh(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return kms.ErrClosed
	}
	same, err := s.unchanged()
	if err == nil && same {
		return nil
	}
	s.mu.RUnlock()
	if err != nil {
		return err
	}

	s.mu.Lock()
	err = s.reload()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return kms.ErrClosed
	}
	return nil
}

func (s *Store) reload() error {
	if s.closed {
		return kms.ErrClosed
	}
	h, sealed, err := readFile(s.path)
	if err != nil {
		return s.gone(err)
	}
	b, err := s.decode(h, sealed)
	if err != nil {
		return err
	}
	defer b.wipe()
	return s.load(b, h)
}

// unchanged compares the header of the file with the one in memory: generation
// and nonce differ after any write. Times and inodes of files would not tell
// two quick writes apart.
func (s *Store) unchanged() (bool, error) {
	f, err := os.Open(s.path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w: %s", kms.ErrUnavailable, ErrNotFound, s.path)
		}
		return false, err
	}
	defer f.Close()
	var b [headerSize]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return false, fmt.Errorf("%w: %s is cut short", ErrCorrupt, s.path)
	}
	h, err := parseHeader(b[:])
	if err != nil {
		return false, fmt.Errorf("read the key store %s: %w", s.path, err)
	}
	return *h == s.head, nil
}
