package did

import (
	"container/list"
	"time"
)

// lru is a map bounded in entries and in their total weight. It forgets the longest unused
// entry first, and entries past their time. The caller locks.
type lru struct {
	max, maxWeight int
	weight         int
	order          *list.List // most recently used first
	entries        map[string]*list.Element
}

type lruEntry struct {
	key     string
	value   any
	weight  int
	expires time.Time // zero: never
}

func newLRU(max, maxWeight int) *lru {
	return &lru{max: max, maxWeight: maxWeight, order: list.New(), entries: map[string]*list.Element{}}
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

func (c *lru) put(key string, value any, weight int, expires time.Time) {
	c.remove(key)
	c.entries[key] = c.order.PushFront(&lruEntry{key, value, weight, expires})
	c.weight += weight
	for c.order.Len() > c.max || c.weight > c.maxWeight {
		c.remove(c.order.Back().Value.(*lruEntry).key)
	}
}

func (c *lru) remove(key string) {
	if el, ok := c.entries[key]; ok {
		c.order.Remove(el)
		delete(c.entries, key)
		c.weight -= el.Value.(*lruEntry).weight
	}
}
