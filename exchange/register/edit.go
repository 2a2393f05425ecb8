package register

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ihyid/contacts"
	"ihyid/store"
)

// MaxBy is the longest name, in bytes, of who does something.
const MaxBy = 200

// InvalidError says which fields keep a contact from being kept. It holds no value.
type InvalidError struct{ Fields []contacts.FieldError }

func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		texts[i] = f.Error()
	}
	return ErrInvalid.Error() + ": " + strings.Join(texts, "; ")
}

func (e *InvalidError) Unwrap() error { return ErrInvalid }

// ExistsError says which contact stands in the way: it has the same external id or, if neither has one, the very same content.
type ExistsError struct {
	ID         uint64 // of that contact
	ExternalID bool   // it has the same external id
}

func (e *ExistsError) Error() string {
	if e.ExternalID {
		return fmt.Sprintf("contact %d has the same external id; change that contact, or give another id", e.ID)
	}
	return fmt.Sprintf("contact %d is exactly the same; if they are two people, an external id tells them apart", e.ID)
}

func (e *ExistsError) Unwrap() error { return ErrExists }

// Patch are the fields of a contact that change, with their new values; "" empties a field.
type Patch map[contacts.Field]string

// allocate gives n numbers that no contact has had, the first of them. They are used up even where no contact comes of them.
func (r *Register) allocate(ctx context.Context, n int) (uint64, error) {
	r.counter.Lock()
	defer r.counter.Unlock()
	if r.next == 0 {
		err := r.store.View(ctx, func(tx *store.Tx) error {
			last := uint64(0)
			for key, err := range r.contacts.Keys(tx, store.Range{Reverse: true}) {
				if err != nil {
					return err
				}
				last, _ = store.ParseID(key)
				break
			}
			c, err := r.numbers.Get(tx, numbersKey)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			r.next = max(last, c.Last) + 1
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	first := r.next
	r.next += uint64(n)
	return first, nil
}

// Create registers a contact, brought into form by [contacts.Contact.Clean], and gives the pairs that it may be a duplicate in. Errors: InvalidError,
// ExistsError.
func (r *Register) Create(ctx context.Context, c contacts.Contact, by string) (s Stored, pairs []DuplicatePair, err error) {
	return r.CreateIf(ctx, c, by, nil)
}

// CreateIf is Create where may, asked in the transaction that would keep the contact, gives no error: what it finds cannot change in between. Nil asks nothing.
func (r *Register) CreateIf(ctx context.Context, c contacts.Contact, by string, may func(tx *store.Tx) error) (s Stored, pairs []DuplicatePair, err error) {
	if err := clean(&c); err != nil {
		return s, nil, err
	}
	id, err := r.allocate(ctx, 1)
	if err != nil {
		return s, nil, err
	}
	rec := &record{Contact: c, Created: r.now().UTC(), CreatedBy: clipBy(by)}
	changes, err := r.prepare([]edit{{id: id, after: rec}})
	if err != nil {
		return s, nil, err
	}
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		if may != nil {
			if err := may(tx); err != nil {
				return err
			}
		}
		if err := r.free(tx, id, &c); err != nil {
			return err
		}
		found, err := r.keep(tx, by, changes, unlink)
		if err != nil {
			return err
		}
		pairs, err = r.show(tx, found[0])
		return err
	})
	return rec.stored(id), pairs, err
}

// Update changes fields of a contact. version is the one that the caller has read, 0 for any; if the contact has changed since, it is ErrVersion. A patch
// that changes nothing leaves the version. Errors: ErrNotFound, ErrVersion, InvalidError, ExistsError.
func (r *Register) Update(ctx context.Context, id, version uint64, p Patch, by string) (s Stored, pairs []DuplicatePair, err error) {
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		before, err := r.record(tx, id)
		if err != nil {
			return err
		}
		if version != 0 && version != max(before.Version, 1) {
			return fmt.Errorf("contact %d: %w", id, ErrVersion)
		}
		c := before.Contact
		for f, v := range p {
			c.Set(f, v)
		}
		if err := clean(&c); err != nil {
			return err
		}
		if c == before.Contact {
			s = before.stored(id)
			return nil
		}
		if err := r.free(tx, id, &c); err != nil {
			return err
		}
		after := before.changed(c, r.now().UTC(), clipBy(by))
		found, err := r.change(tx, by, []edit{{id: id, before: before, after: after}}, unlink)
		if err != nil {
			return err
		}
		s = after.stored(id)
		pairs, err = r.show(tx, found[0])
		return err
	})
	return s, pairs, err
}

// Delete removes contacts, all or none, with what they were merged of and what was decided about them. They are not to be found any more at once, and an exchange
// that is going on ends without them; the last of their bytes leave the file within a day or two (see Tidy). Erase has them gone when it returns. Errors: ErrNotFound.
func (r *Register) Delete(ctx context.Context, by string, ids ...uint64) error {
	return r.store.Update(ctx, func(tx *store.Tx) error { return r.delete(tx, by, ids...) })
}

func (r *Register) delete(tx *store.Tx, by string, ids ...uint64) error {
	if err := r.remove(tx, by, ids, unlink); err != nil {
		return err
	}
	return r.noteDeletion(tx)
}

// DeleteVersion is Delete of one contact that must still be of the version in which it was read. Errors: ErrVersion too.
func (r *Register) DeleteVersion(ctx context.Context, by string, id, version uint64) error {
	return r.store.Update(ctx, func(tx *store.Tx) error {
		before, err := r.record(tx, id)
		if err != nil {
			return err
		}
		if version != 0 && version != max(before.Version, 1) {
			return fmt.Errorf("contact %d: %w", id, ErrVersion)
		}
		return r.delete(tx, by, id)
	})
}

func (r *Register) remove(tx *store.Tx, by string, ids []uint64, how removal) error {
	edits := make([]edit, 0, len(ids))
	seen := make(map[uint64]bool, len(ids))
	gone := make(map[uint64]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		before, err := r.record(tx, id)
		if err != nil {
			return err
		}
		edits = append(edits, edit{id: id, before: before})
		// What it was merged of goes with it.
		all, err := r.lineage(tx, id)
		if err != nil {
			return err
		}
		for _, number := range all[1:] {
			o, err := r.originals.Get(tx, store.ID(number))
			if err != nil {
				return err
			}
			edits = append(edits, edit{id: number, before: &o.record})
		}
		if err := r.forgetUndone(tx, all); err != nil {
			return err
		}
		for _, number := range all {
			gone[number] = true
			err := errors.Join(r.forget(tx, number), r.originals.Delete(tx, store.ID(number)), r.merges.Delete(tx, store.ID(number)))
			if err != nil {
				return err
			}
		}
	}
	if err := r.blank(tx, gone); err != nil {
		return err
	}
	_, err := r.change(tx, by, edits, how)
	return err
}

// change prepares edits and makes them.
func (r *Register) change(tx *store.Tx, by string, edits []edit, how removal) ([][]duplicatePair, error) {
	c, err := r.prepare(edits)
	if err != nil {
		return nil, err
	}
	return r.keep(tx, by, c, how)
}

// record reads one contact.
func (r *Register) record(tx *store.Tx, id uint64) (*record, error) {
	rec, err := r.contacts.Get(tx, store.ID(id))
	if errors.Is(err, store.ErrNotFound) {
		if into, err := r.top(tx, id); err != nil || into != id {
			return nil, errors.Join(err, &MergedError{id, into})
		}
		return nil, fmt.Errorf("%w: number %d", ErrNotFound, id)
	}
	return &rec, err
}

// free makes sure that no other contact is known by the same.
func (r *Register) free(tx *store.Tx, id uint64, c *contacts.Contact) error {
	hits, err := r.ids.Lookup(tx, identity(c), maxHits)
	if err != nil {
		return err
	}
	for _, ref := range hits.Refs {
		there, err := r.top(tx, ref)
		if err != nil {
			return err
		}
		if there != id {
			return &ExistsError{ID: there, ExternalID: c.ExternalID != ""}
		}
	}
	return nil
}

func clean(c *contacts.Contact) error {
	c.Clean()
	if errs := c.Validate(); errs != nil {
		return &InvalidError{errs}
	}
	return nil
}

func clipBy(by string) string { return by[:min(len(by), MaxBy)] }
