package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A spool file is a header (spoolMagic, then the 16-byte id) and chunks of spoolChunk bytes of plaintext, the last one shorter, possibly
// empty. Each chunk is sealed with AES-256-GCM under a key of this spool alone; its nonce is an 11-byte counter, big-endian, and a byte
// that is 1 for the last chunk: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015), which shows chunks left out, swapped or
// cut off. The header is the additional data.
const (
	spoolMagic  = "ihyid/spool/1\n"
	spoolHeader = len(spoolMagic) + 16
	spoolChunk  = 64 << 10
	spoolDir    = ".spool"
	spoolPart   = ".part"

	spoolCollection = "store/spools"
	spoolVersion    = 1
)

// SpoolID names a spool: 32 hexadecimal digits.
type SpoolID string

func (id SpoolID) valid() bool {
	b, err := hex.DecodeString(string(id))
	return err == nil && len(b) == 16 && hex.EncodeToString(b) == string(id)
}

// spoolRecord is what the store keeps of a spool. With it, the file is readable; without, it is noise.
type spoolRecord struct {
	Key     []byte    `json:"key"`
	Size    int64     `json:"size"`
	Created time.Time `json:"created"`
}

// SpoolInfo describes a spool.
type SpoolInfo struct {
	ID      SpoolID
	Size    int64 // bytes of plaintext
	Created time.Time
}

type spools struct {
	dir string
	col *Collection[spoolRecord]

	mu   sync.Mutex
	open map[*SpoolWriter]struct{}
}

// openSpools removes what a break has left behind: files without a record and records without a file.
func (s *Store) openSpools(ctx context.Context) error {
	s.spools.dir = s.path + spoolDir
	s.spools.col = NewCollection[spoolRecord](s, spoolCollection, spoolVersion)
	s.spools.open = map[*SpoolWriter]struct{}{}
	files, err := os.ReadDir(s.spools.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("store: read spool directory: %w", err)
	}
	there := map[string]bool{}
	for _, f := range files {
		there[f.Name()] = false
	}
	var lost [][]byte
	err = s.View(ctx, func(tx *Tx) error {
		for key, err := range s.spools.col.Keys(tx, Range{}) {
			if err != nil {
				return err
			}
			if _, ok := there[string(key)]; ok {
				there[string(key)] = true
			} else {
				lost = append(lost, key)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, known := range there {
		if !known {
			if err := removeIfThere(filepath.Join(s.spools.dir, name)); err != nil {
				return fmt.Errorf("store: remove orphan spool: %w", err)
			}
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return s.Update(ctx, func(tx *Tx) error {
		for _, key := range lost {
			if err := s.spools.col.Delete(tx, key); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) spoolPath(id SpoolID) string { return filepath.Join(s.spools.dir, string(id)) }

// spoolAEAD seals and opens the chunks of one spool.
type spoolAEAD struct {
	cipher.AEAD
	header []byte
}

func newSpoolAEAD(key []byte, id SpoolID) (*spoolAEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(string(id))
	if err != nil {
		return nil, err
	}
	return &spoolAEAD{gcm, append([]byte(spoolMagic), raw...)}, nil
}

func spoolNonce(n uint64, last bool) (nonce [nonceSize]byte) {
	binary.BigEndian.PutUint64(nonce[3:11], n)
	if last {
		nonce[11] = 1
	}
	return nonce
}

// SpoolWriter writes a spool. It is for one goroutine. End it with Commit, CommitTx or Discard.
type SpoolWriter struct {
	s    *Store
	ctx  context.Context
	id   SpoolID
	key  []byte
	aead *spoolAEAD
	f    *os.File
	buf  []byte // plaintext not yet sealed, at most one chunk
	out  []byte
	n    uint64
	size int64
	err  error // the first failure; it stays
	done bool  // sealed to the end and on disk
	over bool  // committed or discarded
}

// NewSpool begins a spool: an encrypted file beside the database for things too large for a record, such as uploads. Nothing
// of it outlasts a crash before Commit.
func (s *Store) NewSpool(ctx context.Context) (*SpoolWriter, error) {
	if err := errors.Join(ctx.Err(), s.begun()); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.spools.dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: make spool directory: %w", err)
	}
	raw, key := make([]byte, 16), make([]byte, keySize)
	rand.Read(raw)
	rand.Read(key)
	w := &SpoolWriter{s: s, ctx: ctx, id: SpoolID(hex.EncodeToString(raw)), key: key, buf: make([]byte, 0, spoolChunk)}
	var err error
	if w.aead, err = newSpoolAEAD(key, w.id); err != nil {
		return nil, err
	}
	if w.f, err = os.OpenFile(s.spoolPath(w.id)+spoolPart, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode); err != nil {
		return nil, fmt.Errorf("store: make spool: %w", err)
	}
	if _, err := w.f.Write(w.aead.header); err != nil {
		return nil, errors.Join(fmt.Errorf("store: write spool: %w", err), w.Discard())
	}
	s.spools.mu.Lock()
	s.spools.open[w] = struct{}{}
	s.spools.mu.Unlock()
	return w, nil
}

// Size returns the number of bytes written so far.
func (w *SpoolWriter) Size() int64 { return w.size }

// Write appends to the spool.
func (w *SpoolWriter) Write(p []byte) (int, error) {
	if w.done || w.over {
		return 0, errors.New("store: write to a finished spool")
	}
	n := 0
	for len(p) > 0 && w.err == nil {
		if len(w.buf) == spoolChunk {
			// Only now is it certain that this chunk is not the last.
			w.flush(false)
			continue
		}
		k := copy(w.buf[len(w.buf):spoolChunk], p)
		w.buf = w.buf[:len(w.buf)+k]
		p = p[k:]
		n += k
		w.size += int64(k)
	}
	return n, w.err
}

func (w *SpoolWriter) flush(last bool) {
	if w.err = w.ctx.Err(); w.err != nil {
		return
	}
	nonce := spoolNonce(w.n, last)
	w.out = w.aead.Seal(w.out[:0], nonce[:], w.buf, w.aead.header)
	w.n++
	w.buf = w.buf[:0]
	if _, err := w.f.Write(w.out); err != nil {
		w.err = fmt.Errorf("store: write spool: %w", err)
	}
}

// Finish seals the last chunk and makes the file durable, but does not yet register it. CommitTx calls it where it was not called; calling it
// before the transaction keeps the slow part out of it.
func (w *SpoolWriter) Finish() error {
	if w.err != nil || w.done {
		return w.err
	}
	if w.over {
		return errors.New("store: the spool is over")
	}
	if w.flush(true); w.err != nil {
		return w.err
	}
	if err := errors.Join(w.f.Sync(), w.f.Close()); err != nil {
		w.err = fmt.Errorf("store: finish spool: %w", err)
		return w.err
	}
	path := w.s.spoolPath(w.id)
	if err := errors.Join(os.Rename(path+spoolPart, path), syncDir(w.s.spools.dir)); err != nil {
		w.err = fmt.Errorf("store: finish spool: %w", err)
		return w.err
	}
	w.done = true
	clear(w.buf[:cap(w.buf)])
	return nil
}

// Commit finishes the spool and registers it in a transaction of its own. On an error the spool is gone.
func (w *SpoolWriter) Commit(ctx context.Context) (SpoolID, error) {
	err := w.Finish()
	if err == nil {
		err = w.s.Update(ctx, func(tx *Tx) error {
			_, err := w.CommitTx(tx)
			return err
		})
	}
	if err != nil {
		return "", errors.Join(err, w.Discard())
	}
	return w.id, nil
}

// CommitTx finishes the spool and registers it as part of tx, together with, say, the job that is to read it. If tx does not
// commit, the spool is gone.
func (w *SpoolWriter) CommitTx(tx *Tx) (SpoolID, error) {
	if err := tx.check(w.s, true); err != nil {
		return "", err
	}
	if err := w.Finish(); err != nil {
		return "", err
	}
	if w.over {
		return "", errors.New("store: the spool is over")
	}
	rec := spoolRecord{Key: w.key, Size: w.size, Created: w.s.opt.Clock().UTC()}
	if err := w.s.spools.col.Put(tx, []byte(w.id), rec); err != nil {
		return "", err
	}
	tx.onCommit = append(tx.onCommit, func() { w.end() })
	tx.rollback = append(tx.rollback, func() {
		if err := w.Discard(); err != nil {
			w.s.opt.Logger.Warn("store: a spool of a transaction that was rolled back stays until the next start", "error", err)
		}
	})
	return w.id, nil
}

func (w *SpoolWriter) end() {
	w.over = true
	clear(w.key)
	w.s.spools.mu.Lock()
	delete(w.s.spools.open, w)
	w.s.spools.mu.Unlock()
}

// Discard gives the spool up and removes its file. After Commit it does nothing, so that it can be deferred.
func (w *SpoolWriter) Discard() error {
	if w.over {
		return nil
	}
	w.end()
	if !w.done {
		w.f.Close()
	}
	path := w.s.spoolPath(w.id)
	return errors.Join(removeIfThere(path+spoolPart), removeIfThere(path))
}

// discardAll ends what is being written when the store is closed.
func (p *spools) discardAll() error {
	p.mu.Lock()
	var open []*SpoolWriter
	for w := range p.open {
		open = append(open, w)
	}
	p.mu.Unlock()
	var errs []error
	for _, w := range open {
		if !w.done {
			errs = append(errs, w.f.Close())
		}
		path := w.s.spoolPath(w.id)
		errs = append(errs, removeIfThere(path+spoolPart), removeIfThere(path))
	}
	return errors.Join(errs...)
}

// Spools returns what spools there are.
func (s *Store) Spools(tx *Tx) ([]SpoolInfo, error) {
	var out []SpoolInfo
	for it, err := range s.spools.col.All(tx, Range{}) {
		if err != nil {
			return nil, err
		}
		out = append(out, SpoolInfo{SpoolID(it.Key), it.Value.Size, it.Value.Created})
	}
	return out, nil
}

// SpoolReader reads a spool. It is for one goroutine; close it.
type SpoolReader struct {
	ctx  context.Context
	f    *os.File
	aead *spoolAEAD
	size int64
	n    uint64 // next chunk
	last uint64 // number of the last chunk
	in   []byte
	out  []byte // plaintext not yet given out
	skip int
	err  error
}

// OpenSpool opens a spool for reading from the given byte on, without reading what is before it. Errors, also of Read: ErrNotFound;
// ErrCorrupt where the file was changed, cut short or put together from others.
func (s *Store) OpenSpool(ctx context.Context, id SpoolID, from int64) (*SpoolReader, error) {
	if !id.valid() {
		return nil, fmt.Errorf("%w: spool", ErrNotFound)
	}
	var rec spoolRecord
	err := s.View(ctx, func(tx *Tx) (err error) {
		rec, err = s.spools.col.Get(tx, []byte(id))
		return err
	})
	if err != nil {
		return nil, err
	}
	if from < 0 || from > rec.Size {
		return nil, fmt.Errorf("store: offset %d outside a spool of %d bytes", from, rec.Size)
	}
	r := &SpoolReader{ctx: ctx, size: rec.Size}
	if r.aead, err = newSpoolAEAD(rec.Key, id); err != nil {
		return nil, err
	}
	if r.f, err = os.Open(s.spoolPath(id)); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: the file of spool %s", ErrNotFound, id)
	} else if err != nil {
		return nil, fmt.Errorf("store: open spool: %w", err)
	}
	if err := r.start(from); err != nil {
		return nil, errors.Join(err, r.f.Close())
	}
	return r, nil
}

func (r *SpoolReader) start(from int64) error {
	// An empty spool has one empty chunk; otherwise the last chunk has at least one byte.
	r.last = uint64(max(r.size-1, 0) / spoolChunk)
	info, err := r.f.Stat()
	if err != nil {
		return err
	}
	if want := int64(spoolHeader) + r.size + int64(r.last+1)*tagSize; info.Size() != want {
		return fmt.Errorf("%w: a spool has %d bytes instead of %d", ErrCorrupt, info.Size(), want)
	}
	r.n = min(uint64(from/spoolChunk), r.last)
	r.skip = int(from - int64(r.n)*spoolChunk)
	_, err = r.f.Seek(int64(spoolHeader)+int64(r.n)*(spoolChunk+tagSize), io.SeekStart)
	return err
}

// Size returns the number of bytes of the whole spool.
func (r *SpoolReader) Size() int64 { return r.size }

// Read gives only bytes whose chunk has been authenticated.
func (r *SpoolReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.out) == 0 && r.err == nil {
		r.chunk()
	}
	if len(r.out) == 0 {
		return 0, r.err
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *SpoolReader) chunk() {
	if r.n > r.last {
		r.err = io.EOF
		return
	}
	if r.err = r.ctx.Err(); r.err != nil {
		return
	}
	size := spoolChunk
	if r.n == r.last {
		size = int(r.size - int64(r.last)*spoolChunk)
	}
	if r.in == nil {
		r.in = make([]byte, spoolChunk+tagSize)
	}
	in := r.in[:size+tagSize]
	if _, err := io.ReadFull(r.f, in); err != nil {
		r.err = fmt.Errorf("%w: read spool: %w", ErrCorrupt, err)
		return
	}
	nonce := spoolNonce(r.n, r.n == r.last)
	plain, err := r.aead.Open(in[:0], nonce[:], in, r.aead.header)
	if err != nil {
		r.err = fmt.Errorf("%w: chunk %d of a spool does not open", ErrCorrupt, r.n)
		return
	}
	r.n++
	r.out = plain[min(r.skip, len(plain)):]
	r.skip = 0
}

// Close closes the file.
func (r *SpoolReader) Close() error {
	r.err = os.ErrClosed
	r.out = nil
	return r.f.Close()
}

// RemoveSpool removes a spool and its key. There need not be one.
func (s *Store) RemoveSpool(ctx context.Context, id SpoolID) error {
	return s.Update(ctx, func(tx *Tx) error { return s.RemoveSpoolTx(tx, id) })
}

// RemoveSpoolTx removes a spool as part of tx; the file goes once tx is committed.
func (s *Store) RemoveSpoolTx(tx *Tx, id SpoolID) error {
	if !id.valid() {
		return nil
	}
	if err := s.spools.col.Delete(tx, []byte(id)); err != nil {
		return err
	}
	tx.onCommit = append(tx.onCommit, func() {
		if err := removeIfThere(s.spoolPath(id)); err != nil {
			s.opt.Logger.Warn("store: a removed spool's file stays until the next start", "error", err)
		}
	})
	return nil
}
