package replay

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"ihyid/exchange/register"
	"ihyid/store"
)

// Bounds.
const (
	Age        = 24 * time.Hour
	MaxEntries = 10_000
	MaxBody    = 256 << 10
	MaxKey     = 255 // bytes of a key
)

// Errors.
var (
	ErrReused = errors.New("the Idempotency-Key was used before with another body; use a new key for a new request")
	ErrUnder  = errors.New("a request with this Idempotency-Key is under way; ask again when it has ended")
	ErrFull   = errors.New("as many answers are remembered as may be; ask again without an Idempotency-Key, or later")
	ErrKey    = errors.New("an Idempotency-Key has 1 to 255 printable ASCII characters, and comes once")
)

// Answer is what was answered.
type Answer struct {
	Status      int       `json:"status"`
	ContentType string    `json:"content_type"`
	ETag        string    `json:"etag,omitempty"`
	Body        []byte    `json:"body"`
	Request     []byte    `json:"request"`            // SHA-256 of the request's body
	Personal    bool      `json:"personal,omitempty"` // it tells of contacts
	At          time.Time `json:"at"`
}

// Memory remembers answers. It is safe for concurrent use.
type Memory struct {
	store   *store.Store
	answers *store.Collection[Answer]
	now     func() time.Time

	mu    sync.Mutex
	under map[[32]byte]bool
	gone  uint64    // how often contacts went
	swept time.Time // when answers that are too old were last looked for
}

// sweepEvery is how long an answer may outlive Age while others come.
const sweepEvery = time.Hour

// New opens the memory in a store. clock nil is the time of day.
func New(s *store.Store, clock func() time.Time) *Memory {
	if clock == nil {
		clock = time.Now
	}
	return &Memory{store: s, answers: store.NewCollection[Answer](s, "idempotency", 1), now: clock, under: map[[32]byte]bool{}}
}

// place is where a key is kept: nothing of it can be read from the place.
func place(caller, operation, key string) [32]byte {
	h := sha256.New()
	for _, part := range []string{"ihyid/idempotency/1", caller, operation, key} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return [32]byte(h.Sum(nil))
}

// ValidKey says whether a key may be used.
func ValidKey(key string) bool {
	if key == "" || len(key) > MaxKey {
		return false
	}
	for i := range len(key) {
		if key[i] < 0x21 || key[i] > 0x7e {
			return false
		}
	}
	return true
}

// Begin gives the answer that a request got before; or none, and then the caller does the work and calls done once with what came of it, nil if it is not to be
// remembered. Errors: ErrReused, ErrUnder, ErrFull.
func (m *Memory) Begin(ctx context.Context, caller, operation, key string, body []byte) (before *Answer, done func(*Answer) error, err error) {
	at := place(caller, operation, key)
	digest := sha256.Sum256(body)
	m.mu.Lock()
	if m.under[at] {
		m.mu.Unlock()
		return nil, nil, ErrUnder
	}
	m.under[at] = true
	gone := m.gone
	m.mu.Unlock()
	release := func() {
		m.mu.Lock()
		delete(m.under, at)
		m.mu.Unlock()
	}
	full := false
	err = m.store.View(ctx, func(tx *store.Tx) error {
		a, err := m.answers.Get(tx, at[:])
		if errors.Is(err, store.ErrNotFound) {
			n, err := m.answers.Len(tx)
			full = n >= MaxEntries
			return err
		}
		if err == nil && m.now().Sub(a.At) < Age {
			before = &a
		}
		return err
	})
	if err == nil && before != nil && string(before.Request) != string(digest[:]) {
		before, err = nil, ErrReused
	}
	if err == nil && full {
		err = m.forget(ctx)
	}
	if err != nil || before != nil {
		release()
		return before, nil, err
	}
	return nil, func(a *Answer) error {
		defer release()
		if a == nil || len(a.Body) > MaxBody {
			return nil
		}
		a.Request, a.At = digest[:], m.now().UTC()
		now := m.now()
		m.mu.Lock()
		sweep := now.Sub(m.swept) >= sweepEvery
		if sweep {
			m.swept = now
		}
		m.mu.Unlock()
		// The work is done: the answer is kept even if the caller has gone.
		return m.store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
			if sweep {
				if _, err := m.drop(tx, m.tooOld); err != nil {
					return err
				}
			}
			m.mu.Lock()
			late := a.Personal && m.gone != gone // what it tells of may be erased by now
			m.mu.Unlock()
			if late {
				return nil
			}
			return m.answers.Put(tx, at[:], *a)
		})
	}, nil
}

func (m *Memory) tooOld(a *Answer) bool { return m.now().Sub(a.At) >= Age }

// drop removes the answers that which chooses, and counts them.
func (m *Memory) drop(tx *store.Tx, which func(*Answer) bool) (n int, err error) {
	for item, err := range m.answers.All(tx, store.Range{}) {
		if err != nil {
			return n, err
		}
		if !which(&item.Value) {
			continue
		}
		if err := m.answers.Delete(tx, item.Key); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// ContactsChanged forgets every answer that tells of contacts when one of them goes: what is deleted or erased must not be told again, nor stay in the file.
func (m *Memory) ContactsChanged(tx *store.Tx, _ string, changes []register.Change) error {
	if !slices.ContainsFunc(changes, func(c register.Change) bool { return c.After == nil && c.Into == 0 }) {
		return nil
	}
	m.mu.Lock()
	m.gone++
	m.mu.Unlock()
	_, err := m.drop(tx, func(a *Answer) bool { return a.Personal || m.tooOld(a) })
	return err
}

// forget makes room: answers that are too old go.
func (m *Memory) forget(ctx context.Context) error {
	return m.store.Update(ctx, func(tx *store.Tx) error {
		gone, err := m.drop(tx, m.tooOld)
		if err != nil {
			return err
		}
		if gone == 0 {
			return ErrFull
		}
		return nil
	})
}
