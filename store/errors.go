package store

import (
	"errors"
	"fmt"
	"time"
)

// The errors that callers tell apart. Functions wrap them with what was being done.
var (
	// ErrExists is returned by Create and Restore where there is a file already.
	ErrExists = errors.New("store: a file of this name exists already")
	// ErrNotFound is returned by Open for a missing file and by Get for a missing record or spool.
	ErrNotFound = errors.New("store: not found")
	// ErrLocked is returned by Open and Create while another process holds the store; see LockedError.
	ErrLocked = errors.New("store: in use by another process")
	// ErrWrongKey is returned by Open where the key store does not open the store's data keys.
	ErrWrongKey = errors.New("store: the key store does not open the data keys of this store")
	// ErrNewerSchema is returned by Open for a store written by a later version of the program.
	ErrNewerSchema = errors.New("store: written by a later version of this program")
	// ErrNotStore is returned by Open for a file that is something else.
	ErrNotStore = errors.New("store: not an Ihyid store")
	// ErrCorrupt is returned where stored bytes are damaged, cut short or not authentic.
	ErrCorrupt = errors.New("store: damaged or not authentic")
	// ErrClosed is returned by everything after Close.
	ErrClosed = errors.New("store: closed")
	// ErrTxClosed is returned where a transaction is used after its function has returned.
	ErrTxClosed = errors.New("store: the transaction is over")
	// ErrReadOnly is returned where a View transaction is asked to change something.
	ErrReadOnly = errors.New("store: the transaction is read-only")
	// ErrKeySize is returned for a record key that is empty or longer than MaxKeySize.
	ErrKeySize = errors.New("store: record key empty or too long")
	// ErrTooLarge is returned for a record larger than MaxRecordSize.
	ErrTooLarge = errors.New("store: record too large")
	// ErrVersion is returned for a record of another schema version than its collection's.
	ErrVersion = errors.New("store: record has another schema version")
	// ErrBusy is returned by Index.Compact, and by what needs it, if others change the index so often that it does not get to its end.
	ErrBusy = errors.New("store: the index is changed too often at the moment to be written anew; try again")
	// ErrRef is returned for an index reference above MaxRef.
	ErrRef = errors.New("store: index reference too large")
	// ErrKeyExhausted is returned where a data key has sealed as much as it safely can and could not be replaced.
	ErrKeyExhausted = errors.New("store: the data key is used up")
)

// LockedError says who holds a store. errors.Is(err, ErrLocked) holds for it.
type LockedError struct {
	Path    string    // the store's file
	PID     int       // 0 where the holder left no note
	Host    string    // the machine the holder runs on
	Program string    // the holder's program name
	Since   time.Time // when the holder opened the store
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%v: %s is held by a process that left no note; look for another running ihyid node", ErrLocked, e.Path)
	}
	return fmt.Sprintf("%v: %s is held by process %d (%s on %s, since %s); stop that process, or talk to it through its socket",
		ErrLocked, e.Path, e.PID, e.Program, e.Host, e.Since.UTC().Format(time.RFC3339))
}

// Unwrap makes errors.Is(err, ErrLocked) hold.
func (e *LockedError) Unwrap() error { return ErrLocked }
