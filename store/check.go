package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

// maxProblems is how many problems Check reports before it gives up.
const maxProblems = 20

// Check reads the whole store and reports what is wrong with it: the structure of the file, every record (it must be authentic under its key),
// the numbers of records, the order and the counts of the indexes, the files of the spools. nil means whole. It takes a while on a large store; reading and
// writing go on, but for the check of the file's structure, which holds the writer up.
func (s *Store) Check(ctx context.Context) (err error) {
	// A file that was cut short under the mapping makes a fault; better an error than the end of the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		}
	}()
	if err := preflight(s.path); err != nil {
		return err
	}
	if err := s.checkPages(ctx); err != nil {
		return err
	}
	return s.View(ctx, func(tx *Tx) error {
		p := &problems{}
		if err := s.checkRecords(tx, p); err != nil {
			return err
		}
		if err := s.checkIndexes(tx, p); err != nil {
			return err
		}
		if err := s.checkSpools(tx, p); err != nil {
			return err
		}
		return errors.Join(p.errs...)
	})
}

type problems struct{ errs []error }

func (p *problems) add(format string, args ...any) {
	if len(p.errs) < maxProblems {
		p.errs = append(p.errs, fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...))
	}
}

// checkPages has bbolt check its own structure. No writer may be at work meanwhile.
func (s *Store) checkPages(ctx context.Context) error {
	if err := s.lockWriter(ctx); err != nil {
		return err
	}
	defer func() { <-s.writer }()
	return s.View(ctx, func(tx *Tx) error {
		p := &problems{}
		for err := range tx.b.Check() {
			p.add("%w", err)
		}
		return errors.Join(p.errs...)
	})
}

func (s *Store) checkRecords(tx *Tx, p *problems) error {
	root, counts := tx.b.Bucket(bucketRecords), tx.b.Bucket(bucketCounts)
	return root.ForEachBucket(func(name []byte) error {
		n := uint64(0)
		err := root.Bucket(name).ForEach(func(key, box []byte) error {
			if n++; n%checkEvery == 0 {
				if err := tx.ctx.Err(); err != nil {
					return err
				}
			}
			plain, err := s.open(tx.buf[:0], string(name), key, box)
			if err != nil {
				p.add("record %x: %w", key, err)
				return nil
			}
			tx.buf = plain[:0]
			return nil
		})
		if err != nil {
			return err
		}
		if want := countOf(counts, string(name)); n != want {
			p.add("collection %s has %d records, its count says %d", name, n, want)
		}
		return nil
	})
}

func (s *Store) checkIndexes(tx *Tx, p *problems) error {
	root := tx.b.Bucket(bucketIndexes)
	return root.ForEachBucket(func(name []byte) error {
		b := root.Bucket(name)
		set, err := decodeRunSet(b.Get(keyState))
		if err != nil {
			p.add("index %s: %w", name, err)
			return nil
		}
		known := map[uint64]bool{}
		runs := set.runs
		for _, m := range set.merges {
			runs = append(runs, m.out)
		}
		for _, r := range runs {
			known[r.id] = true
			rb := b.Bucket(runKey(r.id))
			if rb == nil {
				p.add("index %s: run %d is missing", name, r.id)
				continue
			}
			if err := checkRun(tx, rb, r); err != nil {
				if tx.ctx.Err() != nil {
					return err
				}
				p.add("index %s: run %d: %w", name, r.id, err)
			}
		}
		return b.ForEachBucket(func(k []byte) error {
			if len(k) != 8 || !known[bytesID(k)] {
				p.add("index %s: a run that nothing refers to", name)
			}
			return nil
		})
	})
}

func bytesID(k []byte) uint64 { n, _ := ParseID(k); return n }

func checkRun(tx *Tx, b *bolt.Bucket, r *run) error {
	var last entry
	var count, dead uint64
	first := true
	err := b.ForEach(func(k, v []byte) error {
		if err := tx.ctx.Err(); err != nil {
			return err
		}
		if len(k) != len(Term{}) || len(v) == 0 || len(v)%entrySize != 0 {
			return errors.New("segment of odd size")
		}
		if bytes.Compare(k, v[:len(k)]) > 0 {
			return errors.New("segment begins below its key")
		}
		for i := range segment(v).len() {
			e := segment(v).at(i)
			if !first && !last.less(e) {
				return errors.New("entries out of order")
			}
			last, first = e, false
			count++
			if e.dead() {
				dead++
			}
		}
		return nil
	})
	if err == nil && (count != r.count || dead != r.dead) {
		return fmt.Errorf("%d entries, %d of them removals; its description says %d and %d", count, dead, r.count, r.dead)
	}
	return err
}

func (s *Store) checkSpools(tx *Tx, p *problems) error {
	infos, err := s.Spools(tx)
	if err != nil {
		return err
	}
	for _, i := range infos {
		// A spool that is removed while the check runs has a record in this transaction's view but no file: no damage.
		info, err := os.Stat(s.spoolPath(i.ID))
		if err == nil && info.Size() < int64(spoolHeader)+i.Size {
			p.add("spool %s is cut short", i.ID)
		}
	}
	return nil
}
