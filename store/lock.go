package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// lockRetry is how often a held lock is tried again until Options.LockTimeout.
const lockRetry = 20 * time.Millisecond

// lockSuffix names the lock file. It is a file of its own, and never removed, because the store's file
// itself can be replaced (Restore): a lock on a replaced file would guard nothing.
const lockSuffix = ".lock"

// errHeld is returned by tryLock where another process has the lock.
var errHeld = errors.New("held")

// fileLock is a lock between processes, with a note inside that says who has it.
type fileLock struct{ f *os.File }

type lockNote struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Program string    `json:"program"`
	Since   time.Time `json:"since"`
}

// acquireLock takes the lock of the store at path, waiting at most timeout.
func acquireLock(ctx context.Context, path string, timeout time.Duration, now time.Time) (*fileLock, error) {
	f, err := os.OpenFile(path+lockSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, max(timeout, 0))
	defer cancel()
	for {
		err := tryLock(f)
		if err == nil {
			break
		}
		if !errors.Is(err, errHeld) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			defer f.Close()
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return nil, cause
			}
			return nil, lockedError(f, path)
		case <-time.After(lockRetry):
		}
	}
	note := lockNote{PID: os.Getpid(), Program: filepath.Base(os.Args[0]), Since: now.UTC().Truncate(time.Second)}
	note.Host, _ = os.Hostname()
	text, err := json.Marshal(note)
	if err == nil {
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt(append(text, '\n'), 0)
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write lock note: %w", err)
	}
	return &fileLock{f}, nil
}

func lockedError(f *os.File, path string) error {
	e := &LockedError{Path: path}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	var note lockNote
	if err == nil && json.Unmarshal(text, &note) == nil {
		e.PID, e.Host, e.Program, e.Since = note.PID, note.Host, note.Program, note.Since
	}
	return e
}

// release gives the lock back. The file stays: removing it would let two processes lock two files of one name.
func (l *fileLock) release() error {
	return errors.Join(l.f.Truncate(0), unlock(l.f), l.f.Close())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(fsyncDir(d), d.Close())
}
