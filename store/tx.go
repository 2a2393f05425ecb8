package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// fillPercent is how full a page of records is written.
const fillPercent = 0.9

// Tx is one transaction: a consistent view of the whole store, and for Update also the set of changes that
// become durable together. It is for one goroutine, and only until its function returns. Begin no other
// transaction inside it: a writer waits for itself, and a reader can wait for a writer that waits for it.
type Tx struct {
	s        *Store
	b        *bolt.Tx // nil once the transaction is over
	ctx      context.Context
	writable bool

	records  map[string]*bolt.Bucket
	counts   map[string]int64 // changes to the numbers of records
	indexes  map[*Index]*indexView
	sealed   bool   // a record was stored
	edits    uint64 // changes so far; tells an iterator to find its place again
	buf      []byte // plaintext of the record being read
	onCommit []func()
	after    []func()
	rollback []func()
}

// Context returns the context that the transaction was begun with.
func (tx *Tx) Context() context.Context { return tx.ctx }

// OnCommit has fn called once the transaction is durable, after its locks are given back, in order. It is not called on a
// rollback.
func (tx *Tx) OnCommit(fn func()) { tx.after = append(tx.after, fn) }

// check returns the error of using a transaction that is over, or of writing where one may only read.
func (tx *Tx) check(s *Store, write bool) error {
	switch {
	case tx.b == nil:
		return ErrTxClosed
	case tx.s != s:
		return errors.New("store: the transaction belongs to another store")
	case write && !tx.writable:
		return ErrReadOnly
	}
	return nil
}

func (s *Store) begun() error {
	select {
	case <-s.closed:
		return ErrClosed
	default:
		return nil
	}
}

// View runs fn with a read-only transaction on the state that is now committed. fn must not keep tx.
// The error is fn's, ctx's or ErrClosed. Any number of Views run at once, beside one Update.
func (s *Store) View(ctx context.Context, fn func(tx *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.gate.RUnlock()
	if err := s.begun(); err != nil {
		return err
	}
	b, err := s.db.Begin(false)
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	tx := &Tx{s: s, b: b, ctx: ctx}
	defer func() {
		tx.b = nil
		b.Rollback()
	}()
	return fn(tx)
}

// enter takes a reader's place, which can take a while only where readers are shut out.
func (s *Store) enter(ctx context.Context) error {
	if s.gate.TryRLock() {
		return nil
	}
	entered := make(chan struct{})
	go func() {
		s.gate.RLock()
		close(entered)
	}()
	select {
	case <-entered:
		return nil
	case <-ctx.Done():
		go func() {
			<-entered
			s.gate.RUnlock()
		}()
		return ctx.Err()
	}
}

// lockWriter waits for the right to write.
func (s *Store) lockWriter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return ErrClosed
	}
	if err := s.begun(); err != nil {
		<-s.writer
		return err
	}
	return nil
}

// Update runs fn with a read-write transaction and commits it. One runs at a time; the others wait, as long as ctx
// allows. Where fn returns an error or panics, or ctx ends before the commit begins, nothing is changed.
func (s *Store) Update(ctx context.Context, fn func(tx *Tx) error) error {
	after, err := s.update(ctx, fn)
	if err != nil {
		return err
	}
	for _, f := range after {
		f()
	}
	return nil
}

func (s *Store) update(ctx context.Context, fn func(tx *Tx) error) (after []func(), err error) {
	if err := s.lockWriter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-s.writer }()
	if s.ring.Load().active.seals.Load() >= s.sealLimit {
		if err := s.addDataKey(ctx); err != nil {
			return nil, err
		}
	}
	b, err := s.db.Begin(true)
	if err != nil {
		return nil, fmt.Errorf("store: begin: %w", err)
	}
	tx := &Tx{s: s, b: b, ctx: ctx, writable: true}
	committed := false
	defer func() {
		tx.b = nil
		if !committed {
			b.Rollback() // does nothing after a failed commit
			for _, f := range tx.rollback {
				f()
			}
		}
	}()
	if err := fn(tx); err != nil {
		return nil, err
	}
	if err := tx.accompany(); err != nil {
		return nil, err
	}
	if err := tx.finish(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := b.Commit(); err != nil {
		return nil, fmt.Errorf("store: commit: %w", err)
	}
	committed = true
	for _, f := range tx.onCommit {
		f()
	}
	return tx.after, nil
}

// finish writes what the transaction has kept in memory so far.
func (tx *Tx) finish() error {
	if tx.sealed {
		if err := tx.countSeals(); err != nil {
			return fmt.Errorf("store: count seals: %w", err)
		}
	}
	b := tx.b.Bucket(bucketCounts)
	for name, delta := range tx.counts {
		if delta == 0 {
			continue
		}
		n := countOf(b, name) + uint64(delta)
		if err := b.Put([]byte(name), binary.BigEndian.AppendUint64(nil, n)); err != nil {
			return fmt.Errorf("store: count records: %w", err)
		}
	}
	return nil
}

func countOf(b *bolt.Bucket, name string) uint64 {
	if v := b.Get([]byte(name)); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// recordsOf returns the bucket of a collection; nil where it has none yet and create is false.
func (tx *Tx) recordsOf(name string, create bool) (*bolt.Bucket, error) {
	if b, ok := tx.records[name]; ok {
		return b, nil
	}
	root := tx.b.Bucket(bucketRecords)
	b := root.Bucket([]byte(name))
	if b == nil {
		if !create {
			return nil, nil
		}
		var err error
		if b, err = root.CreateBucket([]byte(name)); err != nil {
			return nil, fmt.Errorf("store: make collection %s: %w", name, err)
		}
	}
	// Keys mostly come in ascending order, where bbolt's half-full pages would only double the file.
	b.FillPercent = fillPercent
	if tx.records == nil {
		tx.records = map[string]*bolt.Bucket{}
	}
	tx.records[name] = b
	return b, nil
}

// put stores a sealed record.
func (tx *Tx) put(collection string, key, box []byte) error {
	b, err := tx.recordsOf(collection, true)
	if err != nil {
		return err
	}
	if b.Get(key) == nil {
		tx.count(collection, 1)
	}
	tx.sealed = true
	tx.edits++
	if err := b.Put(key, box); err != nil {
		return fmt.Errorf("store: put into %s: %w", collection, err)
	}
	return nil
}

func (tx *Tx) count(collection string, delta int64) {
	if tx.counts == nil {
		tx.counts = map[string]int64{}
	}
	tx.counts[collection] += delta
}
