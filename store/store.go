package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// formatVersion is the version of the file layout that doc.go describes.
const formatVersion = 1

const fileMode = 0o600

// The buckets of the file and the keys of its meta bucket.
var (
	bucketMeta    = []byte("meta")
	bucketKeys    = []byte("keys")    // data key number → wrapped key
	bucketSeals   = []byte("seals")   // data key number → seals made, at least
	bucketCounts  = []byte("counts")  // collection → number of records
	bucketRecords = []byte("records") // collection → bucket of record key → sealed record
	bucketIndexes = []byte("indexes") // index → bucket, see index_state.go

	metaFormat   = []byte("format")
	metaID       = []byte("id")
	metaCreated  = []byte("created")
	metaSchema   = []byte("schema")
	metaActive   = []byte("active-key")
	metaLastKey  = []byte("last-key")
	metaIndexKey = []byte("index-key")
	metaScrub    = []byte("scrub")    // there while free pages may hold what was erased
	metaCompact  = []byte("compact/") // with the name of an index: there while the index may hold what was erased
)

// mapSize is the address space that is mapped at once. A larger file is mapped anew in steps, for which the
// writer has to wait for all readers; this much is only address space and costs nothing.
const mapSize = 64 << 30

// Options are the settings of a store. Keys is required, the rest has working defaults.
type Options struct {
	Keys        KeyWrapper       // seals the store's own keys
	Clock       func() time.Time // default time.Now
	Logger      *slog.Logger     // default: silent
	LockTimeout time.Duration    // how long to wait for another process to let go; default: not at all
	Migrations  []Migration      // what brings an older store up, by ascending version

	noSync  bool // tests only: a crash of the machine may lose the file
	noMerge bool // tests only: no background merging of indexes
}

func (o Options) withDefaults() (Options, error) {
	if o.Keys == nil {
		return o, errors.New("store: Options.Keys is required")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, checkMigrations(o.Migrations)
}

// Store is one open store. It is safe for concurrent use.
type Store struct {
	path string
	opt  Options
	id   [16]byte
	lock *fileLock
	db   *bolt.DB

	indexKey      []byte
	ring          atomic.Pointer[keyring]
	sealLimit     uint64
	sealHardLimit uint64

	writer  chan struct{} // holds one token while a write transaction runs
	erasing chan struct{} // holds one token while FinishErase is at work
	gate    sync.RWMutex  // read-held by every View; held by what must shut readers out
	closed  chan struct{}
	once    sync.Once

	merger *merger
	spools spools
}

// Create makes a new store at path and opens it. Its file is readable by the owner only. Where there is a
// file already, ErrExists.
func Create(ctx context.Context, path string, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	lock, err := acquireLock(ctx, path, o.LockTimeout, o.Clock())
	if err != nil {
		return nil, err
	}
	s, err := create(ctx, path, o, lock)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	return s, nil
}

func create(ctx context.Context, path string, o Options, lock *fileLock) (*Store, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%w: %s", ErrExists, path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// The file gets its name only once it is whole, so that a break here leaves no half-made store.
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := initialise(ctx, temp, o); err != nil {
		return nil, errors.Join(err, removeIfThere(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, errors.Join(err, removeIfThere(temp))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return open(ctx, path, o, lock)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func initialise(ctx context.Context, path string, o Options) (err error) {
	db, err := openBolt(path, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s := newStore(path, o, db)
	rand.Read(s.id[:])
	_, wrappedIndex, err := s.wrapNew(ctx, useIndex, 0)
	if err != nil {
		return err
	}
	err = db.Update(func(b *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketKeys, bucketSeals, bucketCounts, bucketRecords, bucketIndexes} {
			if _, err := b.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := b.Bucket(bucketMeta)
		return errors.Join(
			meta.Put(metaFormat, []byte{0, formatVersion}),
			meta.Put(metaID, s.id[:]),
			meta.Put(metaCreated, []byte(o.Clock().UTC().Format(time.RFC3339))),
			// A new store has nothing to migrate.
			meta.Put(metaSchema, binary.BigEndian.AppendUint32(nil, lastMigration(o.Migrations))),
			meta.Put(metaIndexKey, wrappedIndex),
		)
	})
	if err != nil {
		return err
	}
	return s.addDataKey(ctx)
}

// Open opens the store at path. Errors: ErrNotFound, ErrLocked (LockedError), ErrNotStore, ErrCorrupt,
// ErrNewerSchema, ErrWrongKey.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	// Before the lock, so that asking for a store that is not there leaves no lock file behind.
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, path)
	}
	lock, err := acquireLock(ctx, path, o.LockTimeout, o.Clock())
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, path, o, lock)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	return s, nil
}

func open(ctx context.Context, path string, o Options, lock *fileLock) (_ *Store, err error) {
	if err := preflight(path); err != nil {
		return nil, err
	}
	db, err := openBolt(path, o)
	if err != nil {
		return nil, err
	}
	s := newStore(path, o, db)
	s.lock = lock
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if err := s.readMeta(); err != nil {
		return nil, err
	}
	if err := s.loadKeys(ctx); err != nil {
		return nil, err
	}
	if err := s.openSpools(ctx); err != nil {
		return nil, err
	}
	if err := s.removeSnapshots(); err != nil {
		return nil, err
	}
	if err := s.FinishErase(ctx); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	s.merger = startMerger(s)
	return s, nil
}

// openBolt opens the bbolt file. A damaged file makes bbolt panic; that becomes ErrCorrupt.
func openBolt(path string, o Options) (db *bolt.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("%w: %s: %v", ErrCorrupt, path, r)
		}
	}()
	bo := &bolt.Options{
		Timeout:         time.Second, // the store's own lock is held: nobody else should be there
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: mapSize,
		NoSync:          o.noSync,
	}
	if uint64(^uint(0)) < mapSize || runtime.GOOS == "windows" {
		bo.InitialMmapSize = 0 // too little address space, or bbolt would make the file so large
	}
	db, err = bolt.Open(path, fileMode, bo)
	if errors.Is(err, syscall.ENOMEM) {
		bo.InitialMmapSize = 0 // address space is limited (ulimit -v)
		db, err = bolt.Open(path, fileMode, bo)
	}
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, &LockedError{Path: path}
	} else if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", path, err)
	}
	db.AllocSize = 4 << 20
	return db, nil
}

func newStore(path string, o Options, db *bolt.DB) *Store {
	return &Store{
		path: path, opt: o, db: db,
		sealLimit: sealLimit, sealHardLimit: sealHardLimit,
		writer:  make(chan struct{}, 1),
		erasing: make(chan struct{}, 1),
		closed:  make(chan struct{}),
	}
}

func (s *Store) readMeta() error {
	return s.db.View(func(b *bolt.Tx) error {
		meta := b.Bucket(bucketMeta)
		if meta == nil {
			return fmt.Errorf("%w: %s", ErrNotStore, s.path)
		}
		format, id := meta.Get(metaFormat), meta.Get(metaID)
		if len(format) != 2 || len(id) != len(s.id) {
			return fmt.Errorf("%w: %s", ErrNotStore, s.path)
		}
		if v := binary.BigEndian.Uint16(format); v > formatVersion {
			return fmt.Errorf("%w: its file format is %d, this program knows %d", ErrNewerSchema, v, formatVersion)
		}
		for _, name := range [][]byte{bucketKeys, bucketSeals, bucketCounts, bucketRecords, bucketIndexes} {
			if b.Bucket(name) == nil {
				return fmt.Errorf("%w: bucket %s is missing", ErrCorrupt, name)
			}
		}
		copy(s.id[:], id)
		return nil
	})
}

// Path returns the path of the store's file.
func (s *Store) Path() string { return s.path }

// ID returns the store's random identifier.
func (s *Store) ID() [16]byte { return s.id }

// Close ends the background work, waits for running transactions and closes the file.
func (s *Store) Close() error {
	err := ErrClosed
	s.once.Do(func() {
		close(s.closed)
		s.merger.stop()
		s.writer <- struct{}{} // wait for the writer
		s.gate.Lock()          // and for the readers
		err = errors.Join(s.spools.discardAll(), s.db.Close())
		if s.lock != nil {
			err = errors.Join(err, s.lock.release())
		}
		s.gate.Unlock()
		<-s.writer
	})
	return err
}
