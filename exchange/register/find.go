package register

import (
	"iter"
	"slices"

	"ihyid/contacts"
	"ihyid/store"
)

// Read gives one contact within a transaction. Errors: ErrNotFound.
func (r *Register) Read(tx *store.Tx, id uint64) (Stored, error) { return r.get(tx, id) }

// From gives the contacts in the order of their numbers within a transaction, from the number given.
func (r *Register) From(tx *store.Tx, id uint64) iter.Seq2[Stored, error] { return r.all(tx, id) }

// Last is the highest number of a contact that is there, 0 if there is none.
func (r *Register) Last(tx *store.Tx) (uint64, error) {
	for key, err := range r.contacts.Keys(tx, store.Range{Reverse: true}) {
		id, _ := store.ParseID(key)
		return id, err
	}
	return 0, nil
}

// WithExternalID gives the numbers of the contacts that have an external id, or that were merged of one that has it.
func (r *Register) WithExternalID(tx *store.Tx, external string) ([]uint64, error) {
	c := contacts.Contact{ExternalID: contacts.CleanText(external)}
	if c.ExternalID == "" {
		return nil, nil
	}
	hits, err := r.ids.Lookup(tx, identity(&c), maxHits)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, ref := range hits.Refs {
		id, err := r.top(tx, ref)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out, nil
}
