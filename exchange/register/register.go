package register

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"ihyid/contacts"
	"ihyid/store"
	"ihyid/store/jobs"
)

// Errors.
var (
	ErrNotFound = errors.New("there is no such contact")
	ErrNoReport = errors.New("there is no import with that job")
)

// Options are what a Register stands on; all but Clock and Logger are needed.
type Options struct {
	Store   *store.Store
	Jobs    *jobs.Queue
	Profile *contacts.Profile // local duplicates are found under it
	Clock   func() time.Time
	Logger  *slog.Logger // never sees personal data
}

// Register is the node's own contacts. It is safe for concurrent use.
type Register struct {
	store   *store.Store
	jobs    *jobs.Queue
	profile *contacts.Profile
	now     func() time.Time
	log     *slog.Logger

	contacts   *store.Collection[record]
	duplicates *store.Collection[duplicate]
	outcomes   *store.Collection[[]Outcome]
	index      *store.Index // match digests under the profile
	ids        *store.Index // external ids, and whole records
	numbers    *store.Collection[numbers]

	importing sync.Mutex
}

// record is a contact as it is kept.
type record struct {
	contacts.Contact
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated,omitzero"`
	Import  string    `json:"import,omitempty"` // job
	Line    int       `json:"line,omitempty"`
}

// Stored is a contact with its number.
type Stored struct {
	ID uint64 `json:"id"`
	contacts.Contact
	PhoneticID string    `json:"phonetic_id,omitempty"` // of the original scheme, where all its parts are there
	Created    time.Time `json:"created"`
	Updated    time.Time `json:"updated"`
}

// duplicate is a pair of contacts that agree in match keys, to be decided by a person.
type duplicate struct {
	Keys  uint32    `json:"keys"`
	Found time.Time `json:"found"`
}

// DuplicatePair is such a pair with both contacts.
type DuplicatePair struct {
	ID   string   `json:"id"` // "17-204"
	A    Stored   `json:"a"`
	B    Stored   `json:"b"`
	Tier string   `json:"tier"`
	Keys []string `json:"keys"` // names of the match keys that agree
}

// New opens the register in a store, and takes its jobs upon it.
func New(o Options) (*Register, error) {
	if o.Store == nil || o.Jobs == nil || o.Profile == nil {
		return nil, errors.New("register: store, jobs and profile are needed")
	}
	r := &Register{store: o.Store, jobs: o.Jobs, profile: o.Profile, now: o.Clock, log: o.Logger}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	digest := o.Profile.Digest()
	r.contacts = store.NewCollection[record](o.Store, "contacts", 1, store.WithCodec[record](recordCodec{}))
	r.duplicates = store.NewCollection[duplicate](o.Store, "duplicates/"+hex.EncodeToString(digest[:8]), 1)
	r.outcomes = store.NewCollection[[]Outcome](o.Store, "outcomes", 1)
	r.numbers = store.NewCollection[numbers](o.Store, "numbers", 1)
	r.index = store.NewIndex(o.Store, "digests/"+hex.EncodeToString(digest[:8]), store.MaxEqual(maxEqual), store.MaxHits(maxHits))
	r.ids = store.NewIndex(o.Store, "ids", store.MaxEqual(maxEqual), store.MaxHits(maxHits))
	r.jobs.Handle(JobImport, r.runImport)
	return r, nil
}

// Limits of the index: a value that more contacts share tells nobody apart.
const (
	maxEqual = 1024
	maxHits  = 8
)

// recordCodec writes records as JSON; the hot path of an import must not go through reflection.
type recordCodec struct{}

func (recordCodec) Append(dst []byte, r *record) ([]byte, error) {
	dst = append(dst, '{')
	for _, f := range contacts.Fields() {
		v := r.Value(f)
		if v == "" {
			continue
		}
		dst = append(dst, '"')
		dst = append(dst, f.String()...)
		dst = append(dst, `":`...)
		dst = appendString(dst, v)
		dst = append(dst, ',')
	}
	dst = append(dst, `"created":"`...)
	dst = r.Created.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	if !r.Updated.IsZero() {
		dst = append(dst, `,"updated":"`...)
		dst = r.Updated.AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	if r.Import != "" {
		dst = append(dst, `,"import":`...)
		dst = appendString(dst, r.Import)
		dst = fmt.Appendf(dst, `,"line":%d`, r.Line)
	}
	return append(dst, '}'), nil
}

// appendString writes a JSON string; contacts hold valid UTF-8 only.
func appendString(dst []byte, s string) []byte {
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == '"' || s[i] == '\\' {
			plain = false
			break
		}
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return append(dst, `""`...)
	}
	return append(dst, quoted...)
}

func (recordCodec) Decode(data []byte, r *record) error { return json.Unmarshal(data, r) }

func (r *record) stored(id uint64) Stored {
	s := Stored{ID: id, Contact: r.Contact, Created: r.Created, Updated: r.Updated}
	if s.Updated.IsZero() {
		s.Updated = s.Created
	}
	if p, ok := contacts.PhoneticID(&r.Contact); ok {
		s.PhoneticID = p
	}
	return s
}

// Profile is the one under which local duplicates are found.
func (r *Register) Profile() *contacts.Profile { return r.profile }

// Count gives the number of contacts.
func (r *Register) Count(ctx context.Context) (n uint64, err error) {
	err = r.store.View(ctx, func(tx *store.Tx) error {
		n, err = r.contacts.Len(tx)
		return err
	})
	return n, err
}

// Get gives one contact. Errors: ErrNotFound.
func (r *Register) Get(ctx context.Context, id uint64) (s Stored, err error) {
	err = r.store.View(ctx, func(tx *store.Tx) error {
		s, err = r.get(tx, id)
		return err
	})
	return s, err
}

func (r *Register) get(tx *store.Tx, id uint64) (Stored, error) {
	rec, err := r.contacts.Get(tx, store.ID(id))
	if errors.Is(err, store.ErrNotFound) {
		return Stored{}, fmt.Errorf("%w: number %d", ErrNotFound, id)
	}
	if err != nil {
		return Stored{}, err
	}
	return rec.stored(id), nil
}

// List gives up to limit contacts in the order of their numbers, from the first after the number given.
func (r *Register) List(ctx context.Context, after uint64, limit int) ([]Stored, error) {
	out := []Stored{}
	err := r.store.View(ctx, func(tx *store.Tx) error {
		for s, err := range r.all(tx, after+1) {
			if err != nil {
				return err
			}
			if out = append(out, s); len(out) >= limit {
				break
			}
		}
		return nil
	})
	return out, err
}

func (r *Register) all(tx *store.Tx, from uint64) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for item, err := range r.contacts.All(tx, store.Range{From: store.ID(from)}) {
			if err != nil {
				yield(Stored{}, err)
				return
			}
			id, _ := store.ParseID(item.Key)
			if !yield(item.Value.stored(id), nil) {
				return
			}
		}
	}
}

// batchSize is how many contacts one read transaction covers: long readers make the database file grow.
const batchSize = 5000

// each calls fn for every contact, in batches of one read transaction each. Contacts that are registered meanwhile are seen, those that are
// deleted meanwhile may not be.
func (r *Register) each(ctx context.Context, fn func(batch []Stored) error) error {
	for after := uint64(0); ; {
		batch, err := r.List(ctx, after, batchSize)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			return nil
		}
		if err := fn(batch); err != nil {
			return err
		}
		after = batch[len(batch)-1].ID
	}
}

// Duplicates lists up to limit pairs of contacts that may be the same person, after the pair with the id given ("" for the first).
// Pairs of which a contact is gone are left out.
func (r *Register) Duplicates(ctx context.Context, after string, limit int) ([]DuplicatePair, error) {
	out := []DuplicatePair{}
	from, err := pairKeyAfter(after)
	if err != nil {
		return nil, err
	}
	err = r.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range r.duplicates.All(tx, store.Range{From: from}) {
			if err != nil {
				return err
			}
			if bytes.Equal(item.Key, from) {
				continue
			}
			p, err := r.pair(tx, item.Key, item.Value)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if out = append(out, p); len(out) >= limit {
				break
			}
		}
		return nil
	})
	return out, err
}

func (r *Register) pair(tx *store.Tx, key []byte, d duplicate) (DuplicatePair, error) {
	if len(key) != 16 {
		return DuplicatePair{}, errors.New("a kept pair of duplicates is damaged")
	}
	a, _ := store.ParseID(key[:8])
	b, _ := store.ParseID(key[8:])
	p := DuplicatePair{ID: fmt.Sprintf("%d-%d", a, b), Tier: r.profile.Tier(d.Keys).String(), Keys: r.profile.KeyNames(d.Keys)}
	var err error
	if p.A, err = r.get(tx, a); err != nil {
		return p, err
	}
	p.B, err = r.get(tx, b)
	return p, err
}

// pairKey is the key of a pair: the older contact first.
func pairKey(a, b uint64) []byte {
	return append(store.ID(min(a, b)), store.ID(max(a, b))...)
}

func pairKeyAfter(id string) ([]byte, error) {
	if id == "" {
		return nil, nil
	}
	var a, b uint64
	if _, err := fmt.Sscanf(id, "%d-%d", &a, &b); err != nil || fmt.Sprintf("%d-%d", a, b) != id {
		return nil, fmt.Errorf("%w: a pair of duplicates is named like 17-204", ErrNotFound)
	}
	return pairKey(a, b), nil
}
