package exchange

import (
	"context"
	"sync"
	"time"
)

// sessionLocks serialises what happens to one exchange: its job, messages of its peer, its chunks.
type sessionLocks struct {
	mu   sync.Mutex
	held map[string]*sessionLock
}

type sessionLock struct {
	mu    sync.Mutex
	users int
}

func (l *sessionLocks) lock(id string) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*sessionLock{}
	}
	k := l.held[id]
	if k == nil {
		k = &sessionLock{}
		l.held[id] = k
	}
	k.users++
	l.mu.Unlock()
	k.mu.Lock()
	return func() { l.unlock(id, k) }
}

// lockWithin locks if that can be had in time.
func (l *sessionLocks) lockWithin(ctx context.Context, id string, patience time.Duration) (unlock func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if unlock, ok = l.tryLock(id); ok {
			return unlock, true
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(wait):
		}
	}
}

// tryLock locks if nobody holds the lock.
func (l *sessionLocks) tryLock(id string) (unlock func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[id] != nil {
		return nil, false
	}
	if l.held == nil {
		l.held = map[string]*sessionLock{}
	}
	k := &sessionLock{users: 1}
	k.mu.Lock()
	l.held[id] = k
	return func() { l.unlock(id, k) }, true
}

func (l *sessionLocks) unlock(id string, k *sessionLock) {
	k.mu.Unlock()
	l.mu.Lock()
	if k.users--; k.users == 0 {
		delete(l.held, id)
	}
	l.mu.Unlock()
}
