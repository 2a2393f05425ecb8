package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Erase runs fn as Update does, and returns once what fn deleted (Collection.Delete, Index.Erase) is gone from the file too, and not only
// unreachable; of the indexes given, also what Remove took out of them, then or before. It waits for the readers of before. A crash in between is made
// good by the next Open. Backups made before still hold what was erased, and a disk may keep old blocks of its own; there it is sealed.
func (s *Store) Erase(ctx context.Context, fn func(tx *Tx) error, indexes ...*Index) error {
	err := s.Update(ctx, func(tx *Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.EraseLater(indexes...)
	})
	if err != nil {
		return err
	}
	return s.FinishErase(ctx)
}

// EraseLater notes, in the transaction that deletes something, that it is to be gone from the file, and with it what was removed from the indexes given. The note stays
// until FinishErase has done that; Open does it, too. So work that deletes in steps can leave the rewriting for its end.
func (tx *Tx) EraseLater(indexes ...*Index) error {
	if err := tx.check(tx.s, true); err != nil {
		return err
	}
	meta := tx.b.Bucket(bucketMeta)
	// What was noted later than the work began must not be taken for done with it: so the note tells which transaction it is of.
	mark := binary.BigEndian.AppendUint64(nil, uint64(tx.b.ID()))
	for _, x := range indexes {
		if err := meta.Put(compactKey(x.name), mark); err != nil {
			return err
		}
	}
	return meta.Put(metaScrub, mark)
}

func compactKey(index string) []byte { return append(bytes.Clone(metaCompact), index...) }

// ErasePending says whether something waits for FinishErase.
func (s *Store) ErasePending(ctx context.Context) (pending bool, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		meta := tx.b.Bucket(bucketMeta)
		k, _ := meta.Cursor().Seek(metaCompact)
		pending = meta.Get(metaScrub) != nil || bytes.HasPrefix(k, metaCompact)
		return nil
	})
	return pending, err
}

// FinishErase does what EraseLater has noted, and returns when nothing of it is left in the file. Where nothing is noted it does nothing.
func (s *Store) FinishErase(ctx context.Context) error {
	select { // two would undo each other's work on an index
	case s.erasing <- struct{}{}:
		defer func() { <-s.erasing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	notes := map[string][]byte{}
	err := s.View(ctx, func(tx *Tx) error {
		c := tx.b.Bucket(bucketMeta).Cursor()
		for k, v := c.Seek(metaCompact); bytes.HasPrefix(k, metaCompact); k, v = c.Next() {
			notes[string(k[len(metaCompact):])] = bytes.Clone(v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, mark := range notes {
		if err := s.compactNoted(ctx, name, mark); err != nil {
			return err
		}
	}
	pending, err := s.ErasePending(ctx)
	if err != nil || !pending {
		return err
	}
	return s.Scrub(ctx)
}

// compactNoted compacts an index that a note names, and takes the note away. The program may not have opened the index yet.
func (s *Store) compactNoted(ctx context.Context, name string, mark []byte) error {
	x := NewIndex(s, name)
	err := s.View(ctx, func(tx *Tx) error {
		b := tx.b.Bucket(bucketIndexes).Bucket([]byte(name))
		if b == nil {
			return nil
		}
		set, err := decodeRunSet(b.Get(keyState))
		if err != nil {
			return err
		}
		x.maxEqual = uint32(set.maxEqual)
		return nil
	})
	if err == nil {
		err = x.Compact(ctx)
	}
	if err != nil {
		return fmt.Errorf("store: compact index %s: %w", name, err)
	}
	return s.Update(ctx, func(tx *Tx) error {
		meta := tx.b.Bucket(bucketMeta)
		if !bytes.Equal(meta.Get(compactKey(name)), mark) {
			return nil
		}
		// What was compacted is in free pages now.
		return errors.Join(meta.Delete(compactKey(name)), tx.EraseLater())
	})
}

// scrubChunk is how much of the file is read and overwritten at once.
const scrubChunk = 1 << 20

// Scrub overwrites all pages of the file that hold nothing that is in use, with readers and writers shut out for as long as
// that takes. bbolt leaves the bytes of freed pages where they are, as a file system does; they are sealed or keyed hashes, but whoever has the keys
// could read them.
//
// It is as safe against a crash as any commit: a page that is free now is not part of the state that the next Open finds.
func (s *Store) Scrub(ctx context.Context) error {
	mark, err := s.scrub(ctx)
	if err != nil {
		return fmt.Errorf("store: overwrite free pages: %w", err)
	}
	return s.scrubbed(ctx, mark)
}

// scrubbed takes a note away that has been dealt with.
func (s *Store) scrubbed(ctx context.Context, mark []byte) error {
	if mark == nil {
		return nil
	}
	return s.Update(ctx, func(tx *Tx) error {
		meta := tx.b.Bucket(bucketMeta)
		if !bytes.Equal(meta.Get(metaScrub), mark) {
			return nil // something was deleted since, and is to be overwritten too
		}
		return meta.Delete(metaScrub)
	})
}

// shutReadersOut waits until no reader is left and keeps new ones waiting.
func (s *Store) shutReadersOut(ctx context.Context) error {
	locked := make(chan struct{})
	go func() {
		s.gate.Lock()
		close(locked)
	}()
	select {
	case <-locked:
		return nil
	case <-ctx.Done():
		go func() {
			<-locked
			s.gate.Unlock()
		}()
		return ctx.Err()
	}
}

// scrub gives the note that it has dealt with.
func (s *Store) scrub(ctx context.Context) (mark []byte, err error) {
	if err := s.lockWriter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-s.writer }()
	if err := s.shutReadersOut(ctx); err != nil {
		return nil, err
	}
	defer s.gate.Unlock()
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// With no reader left, beginning a write transaction makes every page free that any former one has freed.
	b, err := s.db.Begin(true)
	if err != nil {
		return nil, err
	}
	defer b.Rollback()
	mark = bytes.Clone(b.Bucket(bucketMeta).Get(metaScrub))
	w := &wiper{ctx: ctx, f: f, buf: make([]byte, scrubChunk), zero: make([]byte, scrubChunk)}
	size := int64(s.db.Info().PageSize)
	pages := b.Size() / size
	for page := int64(2); page < pages; page++ {
		info, err := b.Page(int(page))
		if err != nil {
			return nil, err
		}
		if info.Type != "free" {
			// The header of a page in use tells how many pages follow it that have none.
			page += int64(info.OverflowCount)
			continue
		}
		if err := w.add(page*size, size); err != nil {
			return nil, err
		}
	}
	// Past the last page there can be remains of a commit that failed.
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if err := w.add(pages*size, max(end-pages*size, 0)); err != nil {
		return nil, err
	}
	if err := w.flush(); err != nil {
		return nil, err
	}
	return mark, f.Sync()
}

// wiper overwrites spans of a file with zeros, where they are not zeros already.
type wiper struct {
	ctx        context.Context
	f          *os.File
	at, length int64 // the span that is being collected
	buf, zero  []byte
}

func (w *wiper) add(at, length int64) error {
	if at == w.at+w.length {
		w.length += length
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.at, w.length = at, length
	return nil
}

func (w *wiper) flush() error {
	for w.length > 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		n := min(w.length, int64(len(w.buf)))
		if _, err := io.ReadFull(io.NewSectionReader(w.f, w.at, n), w.buf[:n]); err != nil {
			return err
		}
		if !bytes.Equal(w.buf[:n], w.zero[:n]) {
			if _, err := w.f.WriteAt(w.zero[:n], w.at); err != nil {
				return err
			}
		}
		w.at += n
		w.length -= n
	}
	return nil
}

// Erase removes pairs as Remove does, and rewrites the segments that held them, so that no trace of them is left in the index. Within Store.Erase the old
// segments' bytes go from the file as well.
func (x *Index) Erase(tx *Tx, entries ...IndexEntry) error {
	v, edits, err := x.removal(tx, entries)
	if err != nil || len(edits) == 0 {
		return err
	}
	if err := v.change(); err != nil {
		return err
	}
	// Merges in progress hold copies of what is to go.
	if err := v.cancelMerges(); err != nil {
		return err
	}
	v.set.erased++
	if err := v.rewrite(sortedEdits(edits)); err != nil {
		return err
	}
	return v.save()
}

// rewrite applies edits to the runs themselves: a term that is removed goes from all runs; a term with a new reference gets it in the newest run that
// has the term, and goes from the others.
func (v *indexView) rewrite(edits []entry) error {
	placed := make([]bool, len(edits))
	runs := slices.Clone(v.set.runs)
	for i, old := range slices.Backward(runs) {
		rr, err := v.reader(old)
		if err != nil {
			return err
		}
		r := *old
		r.fences = slices.Clone(old.fences)
		changed := false
		for from := 0; from < len(edits); {
			at := rr.find(edits[from])
			to := from + 1
			for to < len(edits) && rr.find(edits[to]) == at {
				to++
			}
			if at >= 0 {
				did, err := rr.rewriteSegment(&r, at, edits[from:to], placed[from:to])
				if err != nil {
					return err
				}
				changed = changed || did
			}
			from = to
		}
		if !changed {
			continue
		}
		r.fences = slices.DeleteFunc(r.fences, func(e entry) bool { return e.ref == goneFence })
		runs[i] = &r
		delete(v.readers, r.id)
		if r.count == 0 {
			if err := v.dropRun(r.id); err != nil {
				return err
			}
			runs[i] = nil
		}
	}
	v.set.runs = slices.DeleteFunc(runs, func(r *run) bool { return r == nil })
	return nil
}

// goneFence marks, in a run that is being rewritten, the fence of a segment that has become empty.
const goneFence = deadFlag

// rewriteSegment applies edits to one segment and keeps the counts and fences of the new version of its run.
func (rr *runReader) rewriteSegment(r *run, at int, edits []entry, placed []bool) (changed bool, err error) {
	seg, err := rr.segment(at)
	if err != nil {
		return false, err
	}
	edited := bytes.Clone(seg)
	out := segment(edited[:0])
	from := 0
	for i, e := range edits {
		pos, ok := seg.search(e)
		if !ok {
			continue
		}
		changed = true
		out = append(out, seg[from*entrySize:pos*entrySize]...)
		from = pos + 1
		if seg.at(pos).dead() {
			r.dead--
		}
		if e.dead() || placed[i] {
			r.count--
			continue
		}
		placed[i] = true
		out = appendEntry(out, e)
	}
	if !changed {
		return false, nil
	}
	out = append(out, seg[from*entrySize:]...)
	key := rr.fences[at].term()
	if len(out) == 0 {
		r.fences[at].ref = goneFence
		err = rr.b.Delete(key[:])
	} else {
		// The segment's key is its first term, which may be what goes.
		first := out.at(0).term()
		if first != key {
			r.fences[at] = out.at(0)
			r.fences[at].ref = 0
			err = rr.b.Delete(key[:])
		}
		err = errors.Join(err, rr.b.Put(first[:], out[:len(out):len(out)]))
	}
	if err != nil {
		return false, fmt.Errorf("store: rewrite index segment: %w", err)
	}
	return true, nil
}
