package match

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ihyid/contacts"
	"ihyid/contacts/list"
)

// List is a contact list on its way to its digests.
type List struct {
	Name    string   // for messages
	Columns []string // as they are named in the file; of JSON Lines, those that are mapped
	IDs     []string
	Digests *contacts.Digests
	Report  ListReport

	contacts []contacts.Contact // kept for decoys only
	rows     map[string]int     // place of the first contact with an external id
}

// ListReport says what became of a list's rows.
type ListReport struct {
	Contacts       int              `json:"contacts"`
	Rejected       int              `json:"rejected"`
	RepeatedIDs    int              `json:"repeated_external_ids"` // contacts whose external id an earlier one has
	WithoutKeys    int              `json:"without_match_keys"`    // contacts that lack what every match key needs: they match nobody
	IgnoredColumns []string         `json:"ignored_columns,omitempty"`
	Problems       []*list.RowError `json:"problems,omitempty"` // the first of the rejected rows
}

const (
	maxProblems = 10
	readBatch   = 8192
)

// Read reads a list and makes its digests batch by batch. keep has the contacts stay for [Decoys].
func Read(ctx context.Context, name string, in io.Reader, opts list.ReaderOptions, p *contacts.Profile, keep bool) (*List, error) {
	r, err := list.NewReader(in, opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l := &List{Name: name, Digests: contacts.NewDigests(p, 0), rows: map[string]int{}}
	l.Report.IgnoredColumns = r.Header().Unknown()
	for _, c := range r.Header().Columns {
		l.Columns = append(l.Columns, contacts.CleanText(c.Name))
	}
	for name := range r.Header().Map {
		l.Columns = append(l.Columns, name)
	}
	batch := make([]contacts.Contact, 0, readBatch)
	flush := func() error {
		d, err := contacts.EncodeAll(ctx, p, batch, nil)
		if err != nil {
			return err
		}
		for i := range batch {
			digests := d.At(i)
			if len(digests) == 0 {
				l.Report.WithoutKeys++
			}
			l.Digests.Append(digests)
		}
		if keep {
			l.contacts = append(l.contacts, batch...)
		}
		batch = batch[:0]
		return nil
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if row.Err != nil {
			l.Report.Rejected++
			if len(l.Report.Problems) < maxProblems {
				l.Report.Problems = append(l.Report.Problems, row.Err)
			}
			continue
		}
		id := row.Contact.ExternalID
		if id == "" {
			id = fmt.Sprintf("line:%d", row.Line)
		}
		if _, there := l.rows[id]; there {
			l.Report.RepeatedIDs++
		} else {
			l.rows[id] = len(l.IDs)
		}
		l.IDs = append(l.IDs, id)
		if batch = append(batch, row.Contact); len(batch) == cap(batch) {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	l.Report.Contacts = len(l.IDs)
	return l, nil
}
