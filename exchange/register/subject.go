package register

import (
	"context"
	"errors"
	"time"

	"ihyid/contacts"
	"ihyid/store"
)

// Subject is all that the register holds on one person.
type Subject struct {
	Contact   Stored          `json:"contact"`
	Originals []Stored        `json:"originals"`             // what it was merged of
	Merges    []MergeInfo     `json:"merges"`                // who merged them, and when
	Import    string          `json:"import,omitempty"`      // job of the list that brought it
	Line      int             `json:"line,omitempty"`        // its line there
	Last      string          `json:"last_import,omitempty"` // job of the list that last changed it
	Open      []SubjectPair   `json:"open"`                  // contacts that may be the same person
	Decisions []Decision      `json:"decisions"`             // what was decided about them
	Rows      []SubjectRow    `json:"rows"`                  // what reports of imports say of rows that are the person, or resemble it
	Records   []SubjectRecord `json:"records"`               // what matching works on: codes made of the above
	Erased    time.Time       `json:"erased_on,omitzero"`    // when the retention rule will erase it
}

// SubjectPair is a contact that may be the same person. The other one's data are not the subject's: only its number is told.
type SubjectPair struct {
	Contact uint64    `json:"contact"`
	Keys    []string  `json:"keys"`
	Found   time.Time `json:"found"`
}

// SubjectRow is what became of a row of a list, in whose report the person stands.
type SubjectRow struct {
	Import  string   `json:"import"` // job
	Line    int      `json:"line"`
	Outcome string   `json:"outcome"`           // of the row
	Changed []string `json:"changed,omitempty"` // fields that the row changed
	// Resembles: the row is another contact, which may be the same person. That contact's data are not the subject's.
	Resembles bool `json:"resembles,omitempty"`
}

// SubjectRecord is a phonetic record, code by code.
type SubjectRecord struct {
	Key   string            `json:"key"`
	Codes map[string]string `json:"codes"`
}

// MergeInfo says who made a contact of two, and when.
type MergeInfo struct {
	Into uint64    `json:"into"`
	Of   [2]uint64 `json:"of"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	// Of one that was undone: when, and by whom. Into is a number that nobody has any more then.
	Undone   time.Time `json:"undone,omitzero"`
	UndoneBy string    `json:"undone_by,omitempty"`
}

// Find gives the number of the contact with an external id, also of one that was merged. Errors: ErrNotFound.
func (r *Register) Find(ctx context.Context, externalID string) (id uint64, err error) {
	c := contacts.Contact{ExternalID: contacts.CleanText(externalID)}
	if c.ExternalID == "" {
		return 0, ErrNotFound
	}
	err = r.store.View(ctx, func(tx *store.Tx) error {
		hits, err := r.ids.Lookup(tx, identity(&c), 1)
		if err != nil {
			return err
		}
		if len(hits.Refs) == 0 {
			return ErrNotFound
		}
		id, err = r.top(tx, hits.Refs[0])
		return err
	})
	return id, err
}

// Subject gives all that is held on one contact, or on the one that it was merged into. Errors: ErrNotFound.
func (r *Register) Subject(ctx context.Context, id uint64) (Subject, error) {
	out := Subject{Originals: []Stored{}, Merges: []MergeInfo{}, Open: []SubjectPair{}, Decisions: []Decision{}, Rows: []SubjectRow{}, Records: []SubjectRecord{}}
	err := r.store.View(ctx, func(tx *store.Tx) error {
		id, err := r.top(tx, id)
		if err != nil {
			return err
		}
		if out.Contact, err = r.get(tx, id); err != nil {
			return err
		}
		rec, err := r.record(tx, id)
		if err != nil {
			return err
		}
		out.Import, out.Line, out.Last = rec.Import, rec.Line, rec.LastImport
		rule, err := r.retentionTx(tx)
		if err != nil {
			return err
		}
		out.Erased = rule.expires(rec)
		encoder := r.encoders.Get().(*contacts.Encoder)
		defer r.encoders.Put(encoder)
		for _, k := range encoder.Records(&rec.Contact) {
			s := SubjectRecord{Key: k.Key, Codes: map[string]string{}}
			for _, c := range k.Codes {
				s.Codes[c.Name] = c.Code
			}
			out.Records = append(out.Records, s)
		}
		all, err := r.lineage(tx, id)
		if err != nil {
			return err
		}
		for i, number := range all {
			if err := r.subjectOf(tx, &out, number, i > 0); err != nil {
				return err
			}
		}
		if out.Rows, err = r.rowsOf(tx, all); err != nil {
			return err
		}
		undone, err := r.undone(tx, all)
		if err != nil {
			return err
		}
		for _, number := range undone {
			m, err := r.merges.Get(tx, store.ID(number))
			if err != nil {
				return err
			}
			out.Merges = append(out.Merges, m.info(number))
		}
		return nil
	})
	return out, err
}

func (m *merge) info(made uint64) MergeInfo {
	return MergeInfo{Into: made, Of: m.Of, By: m.By, At: m.At, Undone: m.Undone, UndoneBy: m.UndoneBy}
}

func (r *Register) subjectOf(tx *store.Tx, out *Subject, number uint64, aside bool) error {
	if aside {
		o, err := r.originals.Get(tx, store.ID(number))
		if err != nil {
			return err
		}
		out.Originals = append(out.Originals, o.stored(number))
	}
	m, err := r.merges.Get(tx, store.ID(number))
	if err == nil {
		out.Merges = append(out.Merges, m.info(number))
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	others, err := partners(tx, r.duplicates, r.reverse, number)
	if err != nil {
		return err
	}
	for _, other := range others {
		d, err := r.duplicates.Get(tx, pairKey(number, other))
		if err != nil {
			return err
		}
		out.Open = append(out.Open, SubjectPair{Contact: other, Keys: r.profile.KeyNames(d.Keys), Found: d.Found})
	}
	if others, err = r.decisionsWith(tx, number); err != nil {
		return err
	}
	for _, other := range others {
		d, err := r.decisions.Get(tx, pairKey(number, other))
		if err != nil {
			return err
		}
		out.Decisions = append(out.Decisions, Decision{ID: pairID(number, other), Ruling: d.Ruling, Earlier: d.Earlier})
	}
	return nil
}
