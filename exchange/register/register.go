package register

import (
	"context"
	"encoding/hex"
	"errors"
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
	// ErrVersion: somebody else changed the contact, or the rule, since the caller read it.
	ErrVersion = errors.New("it was changed since it was read; nothing was done")
	// ErrExists is wrapped by ExistsError.
	ErrExists = errors.New("there is such a contact already")
	// ErrInvalid is wrapped by InvalidError.
	ErrInvalid = errors.New("the contact cannot be kept")
	// ErrHeld is what a Watcher's error wraps where a contact cannot be erased yet.
	ErrHeld = errors.New("it cannot be erased yet")
)

// Options are what a Register stands on; Store, Jobs and Profile are needed.
type Options struct {
	Store   *store.Store
	Jobs    *jobs.Queue
	Profile *contacts.Profile // local duplicates are found under it
	Indexes []FurtherIndex    // kept in step with the contacts, beside the register's own
	Clock   func() time.Time
	Logger  *slog.Logger // never sees personal data
}

// FurtherIndex is an index over contacts that the register keeps in the same transaction as the contacts themselves: values are hashed on all
// cores, inserted, removed, and erased where the contact is erased.
type FurtherIndex struct {
	Index *store.Index
	// Values appends what a contact is to be found by, each value once. It is called concurrently, and gives the same values for the same contact.
	Values func(dst [][]byte, c *contacts.Contact) [][]byte
}

// Change is what became of one contact in a transaction.
type Change struct {
	ID     uint64
	Before *contacts.Contact // nil: it was not there
	After  *contacts.Contact // nil: it is gone
	Into   uint64            // of a contact that is gone because it was merged: the one that it is part of now
	Erased bool              // it is gone for good: nothing about it may stay when Store.FinishErase has run, which follows
}

// Watcher is told of every change of contacts in the transaction that makes it; its error undoes all of it.
type Watcher interface {
	ContactsChanged(tx *store.Tx, by string, changes []Change) error
}

// Preparer is a Watcher that does beforehand what it can do without a transaction. Where many contacts change at once, as in an import, the register
// has it prepare while the transaction before goes on, and calls Keep of what it gave in place of ContactsChanged.
type Preparer interface {
	Watcher
	// PrepareChanges may be called concurrently. The changes are not made yet, and may never be.
	PrepareChanges(changes []Change) PreparedChanges
}

// PreparedChanges are changes that a Preparer is prepared for.
type PreparedChanges interface {
	// Keep does the rest, in the transaction that makes the changes. without are the numbers of contacts whose change is not made after all; each
	// would have been a new contact. Its error undoes all.
	Keep(tx *store.Tx, without []uint64) error
}

// Indexer is a Watcher that keeps indexes over contacts itself: where contacts are erased, they are rid of what was removed from them.
type Indexer interface {
	Indexes() []*store.Index
}

// Register is the node's own contacts. It is safe for concurrent use.
//
// Everything that changes contacts takes by: who does it, the id of an account, or "local" for whoever may use the node's socket. It is kept
// with the contact.
type Register struct {
	store    *store.Store
	jobs     *jobs.Queue
	profile  *contacts.Profile
	further  []FurtherIndex
	watchers []Watcher
	encoders sync.Pool // of *contacts.Encoder for profile
	now      func() time.Time
	log      *slog.Logger

	contacts    *store.Collection[record]
	duplicates  *store.Collection[duplicate] // open pairs
	reverse     *store.Collection[struct{}]  // the same, the younger contact first
	decisions   *store.Collection[decision]
	decisionsOf *store.Collection[struct{}] // the same, the younger contact first
	originals   *store.Collection[original]
	merges      *store.Collection[merge]
	outcomes    *store.Collection[[]Outcome]
	index       *store.Index // match digests under the profile
	ids         *store.Index // external ids, and whole records
	numbers     *store.Collection[numbers]
	undoneOf    *store.Collection[struct{}] // of merges that were undone: a contact that was merged, what that made
	named       *store.Collection[[]uint64] // contacts that outcomes name, under the same keys
	changed     *store.Collection[[]byte]   // the log of changes
	retention   *store.Collection[Retention]
	deleted     *store.Collection[deletions]
	mappings    *store.Collection[Mapping]

	batch     int // rows of an import in one transaction
	importing sync.Mutex
	counter   sync.Mutex
	next      uint64 // number of the next contact; 0: not read yet
}

// New opens the register in a store, and takes its jobs upon it.
func New(o Options) (*Register, error) {
	if o.Store == nil || o.Jobs == nil || o.Profile == nil {
		return nil, errors.New("register: store, jobs and profile are needed")
	}
	r := &Register{store: o.Store, jobs: o.Jobs, profile: o.Profile, further: o.Indexes, now: o.Clock, log: o.Logger, batch: importBatch}
	r.encoders.New = func() any { return o.Profile.NewEncoder() }
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	digest := o.Profile.Digest()
	under := hex.EncodeToString(digest[:8])
	r.contacts = store.NewCollection[record](o.Store, "contacts", 1, store.WithCodec[record](recordCodec{}))
	r.duplicates = store.NewCollection[duplicate](o.Store, "duplicates/"+under, 1)
	r.reverse = store.NewCollection[struct{}](o.Store, "duplicates-of/"+under, 1)
	r.decisions = store.NewCollection[decision](o.Store, "decisions", 1)
	r.decisionsOf = store.NewCollection[struct{}](o.Store, "decisions-of", 1)
	r.originals = store.NewCollection[original](o.Store, "originals", 1)
	r.merges = store.NewCollection[merge](o.Store, "merges", 1)
	r.outcomes = store.NewCollection[[]Outcome](o.Store, "outcomes", 1)
	r.undoneOf = store.NewCollection[struct{}](o.Store, "merges-undone", 1)
	r.named = store.NewCollection[[]uint64](o.Store, "outcomes-of", 1, store.WithCodec[[]uint64](numbersCodec{}))
	r.deleted = store.NewCollection[deletions](o.Store, "deleted", 1)
	r.mappings = store.NewCollection[Mapping](o.Store, "mappings", 1)
	r.retention = store.NewCollection[Retention](o.Store, "retention", 1)
	r.numbers = store.NewCollection[numbers](o.Store, "numbers", 1)
	r.changed = store.NewCollection[[]byte](o.Store, "changed", 1, store.WithCodec[[]byte](rawCodec{}))
	// The name is so short that a term is one block of its keyed hash. The digests name the whole profile.
	r.index = store.NewIndex(o.Store, "keys/"+under[:10], store.MaxEqual(maxAlike), store.MaxHits(maxAlike))
	r.ids = store.NewIndex(o.Store, "ids", store.MaxEqual(maxKnown), store.MaxHits(maxHits))
	r.jobs.Handle(JobImport, r.runImport)
	r.jobs.Handle(JobRetention, r.runRetention)
	r.jobs.Handle(JobDuplicates, r.runFind)
	return r, nil
}

const (
	// maxAlike is how many contacts a match key finds: a digest that more have tells nobody apart, and the rest are only counted.
	maxAlike = 8
	// maxKnown is how many contacts of one external id, or of one content, are kept apart; there are several only where contacts were merged.
	maxKnown = 1024
	// maxHits is how many of them are looked at.
	maxHits = 8
)

// Watch adds a watcher. Call it before anything changes contacts.
func (r *Register) Watch(w Watcher) { r.watchers = append(r.watchers, w) }

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
	rec, err := r.record(tx, id)
	if err != nil {
		return Stored{}, err
	}
	s := rec.stored(id)
	m, err := r.merges.Get(tx, store.ID(id))
	if err == nil && m.Undone.IsZero() {
		s.Originals = m.Of[:]
	}
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return s, err
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
