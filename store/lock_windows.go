package store

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockOffset lies past the note, so that others can read the note while the lock is held.
const lockOffset = 1 << 20

func tryLock(f *os.File) error {
	o := &windows.Overlapped{Offset: lockOffset}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, o)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return errHeld
	}
	return err
}

func unlock(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{Offset: lockOffset})
}

// fsyncDir does nothing: NTFS journals its names, and a directory cannot be flushed there.
func fsyncDir(*os.File) error { return nil }
