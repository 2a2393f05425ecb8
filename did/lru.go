package did

import (
	"container/list"
	"time"
)

// lru is a bounded map that forgets the longest unused entry first, and entries past their
// time. The caller locks.
type lru struct {
	max     int
	order   *list.List // most recently used first
	entries map[string]*list.Element
}

type lruEntry struct {
	key     string
	value   any
	expires time.Time // zero: never
}

func newLRU(max int) *lru {
	return &lru{max: max, order: list.New(), entries: map[string]*list.Element{}}
}

func (c *lru) get(key string, now time.Time) (any, bool) {
	el, ok := c.entries[key]
	if !ok {
		return nil, false
	}
	e := el.Value.(*lruEntry)
	if !e.expires.IsZero() && !now.Before(e.expires) {
		c.remove(key)
		return nil, false
	}
	c.order.MoveToFront(el)
	return e.value, true
}

func (c *lru) put(key string, value any, expires time.Time) {
	c.remove(key)
	c.entries[key] = c.order.PushFront(&lruEntry{key, value, expires})
	for c.order.Len() > c.max {
		c.remove(c.order.Back().Value.(*lruEntry).key)
	}
}

func (c *lru) remove(key string) {
	if el, ok := c.entries[key]; ok {
		c.order.Remove(el)
		delete(c.entries, key)
	}
}
