package register

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ihyid/contacts"
	"ihyid/store"
)

// A merge makes a new contact of two and puts the two aside as its originals: they are in no list and no exchange any more, but are kept as they
// are, and go on being known by their external ids and their spellings. So a list that brings them again finds the merged contact, and what it
// says that is new goes into the original and, where the merged contact has that original's value, into that. An original may itself be a merged
// contact.

// Errors of merging.
var (
	// ErrMerged is returned for what cannot be done because a contact was merged on.
	ErrMerged = errors.New("the contact was merged into another since")
	// ErrNotMerged is returned by Undo for a contact that no merge made.
	ErrNotMerged = errors.New("the contact is not the result of a merge")
	// ErrEdited is wrapped by EditedError.
	ErrEdited = errors.New("the merged contact was changed since")
)

// MergedError says where a contact is to be found that is no contact of its own any more.
type MergedError struct{ ID, Into uint64 }

func (e *MergedError) Error() string {
	return fmt.Sprintf("contact %d was merged into contact %d", e.ID, e.Into)
}

// Unwrap: for most it is a contact that is not there.
func (e *MergedError) Unwrap() error { return ErrNotFound }

// EditedError says which fields of a merged contact were changed since the merge, and would be lost by undoing it.
type EditedError struct{ Fields []string }

func (e *EditedError) Error() string {
	return fmt.Sprintf("%v (%s); undoing the merge would lose that", ErrEdited, strings.Join(e.Fields, ", "))
}

func (e *EditedError) Unwrap() error { return ErrEdited }

// original is a contact that was merged into another.
type original struct {
	record
	Into uint64 `json:"into"`
}

// merge is what is known of a merge, under the number of the contact that it made.
type merge struct {
	Of       [2]uint64         `json:"of"`
	Made     *contacts.Contact `json:"made,omitempty"` // the merged contact as the merge made it; nil once it is undone
	By       string            `json:"by"`
	At       time.Time         `json:"at"`
	Undone   time.Time         `json:"undone,omitzero"`
	UndoneBy string            `json:"undone_by,omitempty"`
}

// Merge makes one contact of two. Its fields are those of the older one, filled up from the younger; take names fields whose value comes from the contact with
// the number given instead, even if it is empty there. The two are kept, and Undo brings them back. Errors: ErrNotFound.
func (r *Register) Merge(ctx context.Context, pair string, take map[contacts.Field]uint64, by string) (s Stored, err error) {
	a, b, err := parsePair(pair)
	if err != nil {
		return s, err
	}
	for f, from := range take {
		if from != a && from != b {
			return s, &InvalidError{[]contacts.FieldError{{Field: f.String(), Reason: fmt.Sprintf("is to be taken from contact %d, which is neither of the two", from)}}}
		}
	}
	id, err := r.allocate(ctx, 1)
	if err != nil {
		return s, err
	}
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		one, err := r.record(tx, a)
		if err != nil {
			return err
		}
		two, err := r.record(tx, b)
		if err != nil {
			return err
		}
		c := one.Contact
		for f := range contacts.Field(contacts.NumFields) {
			from, chosen := take[f]
			if chosen && from == b || !chosen && c.Value(f) == "" {
				c.Set(f, two.Value(f))
			}
		}
		if err := clean(&c); err != nil {
			return err
		}
		now := r.now().UTC()
		// Its age is that of the elder: a merge must not keep anybody longer than the retention rule says.
		made := &record{Contact: c, Created: one.Created, CreatedBy: one.CreatedBy, Updated: now, UpdatedBy: clipBy(by)}
		if two.Created.Before(one.Created) {
			made.Created, made.CreatedBy = two.Created, two.CreatedBy
		}
		if err := r.merges.Put(tx, store.ID(id), merge{Of: [2]uint64{a, b}, Made: &c, By: clipBy(by), At: now}); err != nil {
			return err
		}
		changes, err := r.prepare([]edit{{id: id, after: made}, {id: a, before: one, into: id}, {id: b, before: two, into: id}})
		if err != nil {
			return err
		}
		for number, rec := range map[uint64]*record{a: one, b: two} {
			if err := r.originals.Put(tx, store.ID(number), original{*rec, id}); err != nil {
				return err
			}
		}
		changes.ids.drop, changes.keys.drop = nil, nil // both go on being known
		if _, err := r.rule(tx, a, b, Ruling{Verdict: Merged, By: clipBy(by), At: now, Into: id}); err != nil {
			return err
		}
		if _, err := r.keep(tx, by, changes, unlink); err != nil {
			return err
		}
		s = made.stored(id)
		s.Originals = []uint64{a, b}
		return nil
	})
	return s, err
}

// Undo takes a merge back: both originals are contacts again, as they were, with what lists have changed in them since; the merged contact is gone. If
// that was edited since, it is EditedError unless discard is set. Errors: ErrNotFound, ErrNotMerged, ErrMerged, EditedError.
func (r *Register) Undo(ctx context.Context, id uint64, discard bool, by string) (back []Stored, err error) {
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		m, err := r.merges.Get(tx, store.ID(id))
		if errors.Is(err, store.ErrNotFound) || err == nil && !m.Undone.IsZero() {
			if _, err := r.record(tx, id); err != nil {
				return err
			}
			return fmt.Errorf("%w: number %d", ErrNotMerged, id)
		}
		if err != nil {
			return err
		}
		rec, err := r.record(tx, id)
		var merged *MergedError
		if errors.As(err, &merged) {
			return fmt.Errorf("%w: number %d into %d; undo that merge first", ErrMerged, id, merged.Into)
		}
		if err != nil {
			return err
		}
		if fields := differing(&rec.Contact, m.Made); len(fields) > 0 && !discard {
			return &EditedError{fields}
		}
		edits := []edit{{id: id, before: rec}}
		now := r.now().UTC()
		m.Made, m.Undone, m.UndoneBy = nil, now, clipBy(by)
		if err := r.merges.Put(tx, store.ID(id), m); err != nil {
			return err
		}
		for _, number := range m.Of {
			if err := r.undoneOf.Put(tx, undoneKey(number, id), struct{}{}); err != nil {
				return err
			}
			o, err := r.originals.Get(tx, store.ID(number))
			if err != nil {
				return err
			}
			if err := r.originals.Delete(tx, store.ID(number)); err != nil {
				return err
			}
			edits = append(edits, edit{id: number, after: &o.record})
			back = append(back, o.stored(number))
		}
		changes, err := r.prepare(edits)
		if err != nil {
			return err
		}
		// Both never ceased to be known.
		changes.ids.add, changes.ids.addOf = nil, nil
		k := &changes.keys
		k.keep, k.keepOf, k.keepKey = k.add, k.addOf, k.addKey
		k.add, k.addOf, k.addKey = nil, nil, nil
		if err := r.forget(tx, id); err != nil {
			return err
		}
		if _, err := r.rule(tx, m.Of[0], m.Of[1], Ruling{Verdict: Open, By: clipBy(by), At: now}); err != nil {
			return err
		}
		_, err = r.keep(tx, by, changes, unlink)
		return err
	})
	return back, err
}

// undoneKey is the key under which it is found that a contact was part of a merge that was undone.
func undoneKey(number, made uint64) []byte { return append(store.ID(number), store.ID(made)...) }

// undone lists the merges that were undone in which contacts took part, themselves or in what an earlier one made of them.
func (r *Register) undone(tx *store.Tx, numbers []uint64) ([]uint64, error) {
	if n, err := r.undoneOf.Len(tx); err != nil || n == 0 {
		return nil, err
	}
	var made []uint64
	seen := map[uint64]bool{}
	for all := slices.Clone(numbers); len(all) > 0; all = all[1:] {
		for key, err := range r.undoneOf.Keys(tx, store.Range{Prefix: store.ID(all[0])}) {
			if err != nil {
				return nil, err
			}
			if id, _ := store.ParseID(key[8:]); !seen[id] {
				seen[id] = true
				made, all = append(made, id), append(all, id)
			}
		}
	}
	return made, nil
}

// forgetUndone removes what is known of merges that were undone in which contacts that go took part.
func (r *Register) forgetUndone(tx *store.Tx, numbers []uint64) error {
	made, err := r.undone(tx, numbers)
	if err != nil {
		return err
	}
	for _, id := range made {
		m, err := r.merges.Get(tx, store.ID(id))
		if err != nil {
			return err
		}
		err = errors.Join(r.merges.Delete(tx, store.ID(id)), r.undoneOf.Delete(tx, undoneKey(m.Of[0], id)), r.undoneOf.Delete(tx, undoneKey(m.Of[1], id)))
		if err != nil {
			return err
		}
	}
	return nil
}

func differing(a, b *contacts.Contact) (fields []string) {
	for f := range contacts.Field(contacts.NumFields) {
		if a.Value(f) != b.Value(f) {
			fields = append(fields, f.String())
		}
	}
	return fields
}

// top gives the contact that a number stands for: itself, or what it was merged into, however often.
func (r *Register) top(tx *store.Tx, id uint64) (uint64, error) {
	if n, err := r.originals.Len(tx); err != nil || n == 0 {
		return id, err
	}
	for {
		o, err := r.originals.Get(tx, store.ID(id))
		if errors.Is(err, store.ErrNotFound) {
			return id, nil
		}
		if err != nil {
			return 0, err
		}
		id = o.Into
	}
}

// lineage lists a contact and all that were merged into it, over any number of merges.
func (r *Register) lineage(tx *store.Tx, id uint64) ([]uint64, error) {
	all := []uint64{id}
	if n, err := r.originals.Len(tx); err != nil || n == 0 {
		return all, err
	}
	for i := 0; i < len(all); i++ {
		m, err := r.merges.Get(tx, store.ID(all[i]))
		if errors.Is(err, store.ErrNotFound) || err == nil && !m.Undone.IsZero() {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, m.Of[0], m.Of[1])
	}
	return all, nil
}
