package store

import (
	"context"
	"sync"
)

// companion is what goes along with one change of a context.
type companion struct {
	mu   sync.Mutex
	fn   func(tx *Tx) error
	done bool
}

type companionKey struct{}

// Accompany gives a context with which fn is run once, as the last step of the first Update of the context that
// changes something, in the same transaction: the two become durable together or not at all. Where that Update is rolled
// back, fn goes along with the next one. An error of fn rolls its Update back. An Update that changes no record is not accompanied.
// With nil for fn, nothing goes along, whatever ctx said before.
func Accompany(ctx context.Context, fn func(tx *Tx) error) context.Context {
	return context.WithValue(ctx, companionKey{}, &companion{fn: fn})
}

// accompany runs the companion of the transaction's context, if it has one that has not gone along yet.
func (tx *Tx) accompany() error {
	c, _ := tx.ctx.Value(companionKey{}).(*companion)
	if c == nil || c.fn == nil || tx.edits == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return nil
	}
	c.done = true
	tx.rollback = append(tx.rollback, func() {
		c.mu.Lock()
		c.done = false
		c.mu.Unlock()
	})
	return c.fn(tx)
}
