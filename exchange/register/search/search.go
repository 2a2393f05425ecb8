package search

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/store"
)

// Query says whom to search for. All that is given must hold; at least one field must be given.
type Query struct {
	Name       string // words of first and last name, in any script
	Mother     string // first name, by its sound
	Father     string
	Born       string // YYYY-MM-DD
	PhoneticID string // of the original scheme; parts may be *
	ExternalID string // whole
	Match      Match
}

// Match says how the words of Query.Name are compared.
type Match string

// The ways to compare a word.
const (
	Any   Match = ""      // its beginning, or its sound
	Start Match = "start" // its beginning
	Sound Match = "sound"
)

// ErrQuery is wrapped by errors about what was asked for. Their texts hold nothing of it.
var ErrQuery = errors.New("this cannot be searched for")

// Page is a part of what was found, in the order of the contacts' numbers.
type Page struct {
	Contacts []register.Stored
	Next     uint64 // give it as after to get the next page; 0: this was the last
}

// timeCheck is how many segments are searched between looks at the context.
const timeCheck = 16

// maxCompared bounds how many contacts one page is compared with beyond what their tokens say.
const maxCompared = 10_000

// Search gives the contacts that a query finds, after the number given. A page may be shorter than limit, even empty, and yet have a next one. Errors: ErrQuery, ErrBuilding.
func (x *Index) Search(ctx context.Context, q Query, after uint64, limit int) (Page, error) {
	p, err := x.plan(q)
	if err != nil {
		return Page{}, err
	}
	var page Page
	err = x.store.View(ctx, func(tx *store.Tx) error {
		page, err = x.part(tx, p, q.ExternalID, after, limit)
		return err
	})
	return page, err
}

// SearchTx is Search within a transaction: it sees what the transaction has changed, and what it finds stays so until the transaction ends.
func (x *Index) SearchTx(tx *store.Tx, q Query, after uint64, limit int) (Page, error) {
	p, err := x.plan(q)
	if err != nil {
		return Page{}, err
	}
	return x.part(tx, p, q.ExternalID, after, limit)
}

func (x *Index) part(tx *store.Tx, p *plan, externalID string, after uint64, limit int) (Page, error) {
	if externalID != "" {
		return x.byExternalID(tx, p, externalID, after)
	}
	complete, err := x.complete(tx)
	if err == nil && !complete {
		err = ErrBuilding
	}
	if err != nil {
		return Page{}, err
	}
	return x.page(tx, p, after, limit)
}

// byExternalID looks at the few contacts of that id instead of at lists.
func (x *Index) byExternalID(tx *store.Tx, p *plan, external string, after uint64) (page Page, err error) {
	ids, err := x.register.WithExternalID(tx, external)
	if err != nil {
		return page, err
	}
	slices.Sort(ids)
	for _, id := range ids {
		if id <= after {
			continue
		}
		s, err := x.register.Read(tx, id)
		if err != nil {
			return page, err
		}
		if p.holds(&s.Contact) && p.found(x.termsOf(&s.Contact)) {
			page.Contacts = append(page.Contacts, s)
		}
	}
	return page, nil
}

// termsOf gives the terms of a contact.
func (x *Index) termsOf(c *contacts.Contact) map[store.Term]bool {
	out := map[store.Term]bool{}
	for _, v := range values(nil, c) {
		for _, t := range x.terms.get(v) {
			out[t] = true
		}
	}
	return out
}

func (x *Index) page(tx *store.Tx, p *plan, after uint64, limit int) (page Page, err error) {
	last, err := x.register.Last(tx)
	if err != nil {
		return page, err
	}
	compared := 0
	for segment := (after + 1) >> segmentBits; segment <= last>>segmentBits; segment++ {
		if segment%timeCheck == 0 && tx.Context().Err() != nil {
			return page, tx.Context().Err()
		}
		found, err := x.segment(tx, p, uint32(segment))
		if err != nil {
			return page, err
		}
		if segment == (after+1)>>segmentBits {
			found.below(uint16((after + 1) % segmentSize))
		}
		full := false
		found.each(func(n uint16) bool {
			id := segment<<segmentBits + uint64(n)
			var s register.Stored
			if s, err = x.register.Read(tx, id); err != nil {
				return false
			}
			compared++
			if p.compare == nil || p.holds(&s.Contact) {
				page.Contacts = append(page.Contacts, s)
			}
			if len(page.Contacts) >= limit || compared >= maxCompared {
				full, page.Next = true, id
			}
			return !full
		})
		if err != nil {
			return page, fmt.Errorf("reading what the search index found: %w", err)
		}
		if full {
			if page.Next >= last {
				page.Next = 0
			}
			return page, nil
		}
	}
	return page, nil
}

// segment gives what a plan finds in one segment.
func (x *Index) segment(tx *store.Tx, p *plan, segment uint32) (*set, error) {
	found, begun := &set{}, false
	for _, either := range p.all {
		var s set
		for _, both := range either {
			part, err := x.every(tx, both, segment)
			if err != nil {
				return nil, err
			}
			s.or(part)
		}
		if !begun {
			*found, begun = s, true
		} else {
			found.and(&s)
		}
		if found.empty() {
			break
		}
	}
	return found, nil
}

// every gives the contacts of a segment that have one token of each group.
func (x *Index) every(tx *store.Tx, groups [][]store.Term, segment uint32) (*set, error) {
	var out set
	for i, group := range groups {
		var s set
		for _, term := range group {
			key := cell{segment, term}.key()
			if there, err := x.lists.Has(tx, key); err != nil || !there {
				if err != nil {
					return nil, err
				}
				continue
			}
			l, err := x.lists.Get(tx, key)
			if err != nil {
				return nil, err
			}
			l.into(&s)
		}
		if i == 0 {
			out = s
		} else {
			out.and(&s)
		}
		if out.empty() {
			break
		}
	}
	return &out, nil
}
