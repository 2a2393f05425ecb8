package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
)

// What of bbolt's file format (version 2) has to be known to tell a whole file from a damaged one before it
// is mapped: a mapped file that is shorter than its own meta page says ends the process with a bus error.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltPageHeader = 16
	boltMetaSize   = 64
	boltMetaSum    = 56 // the checksum follows so many bytes of the meta
	boltMinPage    = 1 << 10
	boltMaxPage    = 1 << 24
)

type boltMeta struct {
	pageSize int64
	pages    int64 // high-water mark
	txid     uint64
}

// preflight checks that the file at path is a whole bbolt file. It changes nothing.
func preflight(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotFound, path)
	} else if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is no regular file", ErrNotStore, path)
	}
	if info.Size() == 0 {
		return fmt.Errorf("%w: %s is empty", ErrCorrupt, path)
	}
	m0, magic0 := readMeta(f, 0)
	var m1 *boltMeta
	magic1 := false
	if m0 != nil {
		m1, magic1 = readMeta(f, m0.pageSize)
	} else {
		for size := int64(boltMinPage); size <= boltMaxPage && m1 == nil; size <<= 1 {
			var magic bool
			m1, magic = readMeta(f, size)
			magic1 = magic1 || magic
			if m1 != nil && m1.pageSize != size {
				m1 = nil
			}
		}
	}
	best := m0
	if best == nil || (m1 != nil && m1.txid > best.txid) {
		best = m1
	}
	switch {
	case best == nil && (magic0 || magic1):
		return fmt.Errorf("%w: %s: both meta pages are damaged", ErrCorrupt, path)
	case best == nil:
		return fmt.Errorf("%w: %s", ErrNotStore, path)
	case best.pages > info.Size()/best.pageSize:
		return fmt.Errorf("%w: %s is cut short (%d of %d bytes)", ErrCorrupt, path, info.Size(), best.pages*best.pageSize)
	}
	return nil
}

// readMeta reads the meta page at an offset; nil where it is not valid, and whether it looks like one at all.
func readMeta(r io.ReaderAt, at int64) (m *boltMeta, magic bool) {
	var buf [boltPageHeader + boltMetaSize]byte
	if _, err := r.ReadAt(buf[:], at); err != nil {
		return nil, false
	}
	b, ne := buf[boltPageHeader:], binary.NativeEndian
	if ne.Uint32(b) != boltMagic || ne.Uint32(b[4:]) != boltVersion {
		return nil, false
	}
	h := fnv.New64a()
	h.Write(b[:boltMetaSum])
	if h.Sum64() != ne.Uint64(b[boltMetaSum:]) {
		return nil, true
	}
	m = &boltMeta{pageSize: int64(ne.Uint32(b[8:])), pages: int64(ne.Uint64(b[40:])), txid: ne.Uint64(b[48:])}
	if m.pageSize < boltMinPage || m.pageSize > boltMaxPage || m.pages < 0 {
		return nil, true
	}
	return m, true
}
