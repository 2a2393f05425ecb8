package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"ihyid/api"
	"ihyid/contacts"
	"ihyid/exchange"
	"ihyid/exchange/register"
)

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// CreateContact registers a contact.
func (c *Client) CreateContact(ctx context.Context, contact contacts.Contact) (api.Kept, error) {
	return call[api.Kept](ctx, c, http.MethodPost, "/contacts", nil, contact)
}

// UpdateContact changes fields of a contact, by name; an empty text empties one.
func (c *Client) UpdateContact(ctx context.Context, n uint64, fields map[string]string) (api.Kept, error) {
	return call[api.Kept](ctx, c, http.MethodPatch, at("contacts", number(n)), nil, fields)
}

// DeleteContact deletes a contact.
func (c *Client) DeleteContact(ctx context.Context, n uint64) error {
	return c.do(ctx, http.MethodDelete, at("contacts", number(n)), nil, nil, nil)
}

// EraseContacts erases contacts for good.
func (c *Client) EraseContacts(ctx context.Context, e api.Erasing) (exchange.Erasure, error) {
	return call[exchange.Erasure](ctx, c, http.MethodPost, "/contacts/erase", nil, e)
}

// FindContact gives the contact with an external id.
func (c *Client) FindContact(ctx context.Context, externalID string) (register.Stored, error) {
	return call[register.Stored](ctx, c, http.MethodPost, "/contacts/find", nil, map[string]string{"external_id": externalID})
}

// SubjectReport tells all that is held on one person.
func (c *Client) SubjectReport(ctx context.Context, n uint64) (exchange.SubjectReport, error) {
	return call[exchange.SubjectReport](ctx, c, http.MethodGet, at("contacts", number(n), "subject-report"), nil, nil)
}

// FindDuplicates begins the job that compares all contacts with each other.
func (c *Client) FindDuplicates(ctx context.Context) (api.Job, error) {
	return call[api.Job](ctx, c, http.MethodPost, "/contacts/duplicates/find", nil, nil)
}

// DecideDuplicate says whether two contacts are one person.
func (c *Client) DecideDuplicate(ctx context.Context, pair string, v register.Verdict) (register.Decision, error) {
	return call[register.Decision](ctx, c, http.MethodPost, at("contacts", "duplicates", pair, "decision"), nil, map[string]register.Verdict{"verdict": v})
}

// MergeContacts makes one contact of two.
func (c *Client) MergeContacts(ctx context.Context, pair string, take map[string]uint64) (register.Stored, error) {
	return call[register.Stored](ctx, c, http.MethodPost, at("contacts", "duplicates", pair, "merge"), nil, api.Merging{Take: take})
}

// UndoMerge takes a merge back and gives both contacts.
func (c *Client) UndoMerge(ctx context.Context, n uint64, discard bool) ([]register.Stored, error) {
	back, err := call[api.List[register.Stored]](ctx, c, http.MethodPost, at("contacts", number(n), "undo-merge"), nil, map[string]bool{"discard_changes": discard})
	return back.Items, err
}

// Decisions gives what was decided about pairs of contacts.
func (c *Client) Decisions(ctx context.Context) iter.Seq2[register.Decision, error] {
	return pages(func(after string) (api.List[register.Decision], error) {
		q := url.Values{"limit": {"1000"}}
		if after != "" {
			q.Set("after", after)
		}
		return call[api.List[register.Decision]](ctx, c, http.MethodGet, "/contacts/decisions", q, nil)
	})
}

// Retention gives the rule by which old contacts are erased.
func (c *Client) Retention(ctx context.Context) (register.Retention, error) {
	return call[register.Retention](ctx, c, http.MethodGet, "/contacts/retention", nil, nil)
}

// SetRetention sets it.
func (c *Client) SetRetention(ctx context.Context, rule api.RetentionRule) (register.Retention, error) {
	return call[register.Retention](ctx, c, http.MethodPut, "/contacts/retention", nil, rule)
}

// RetentionDue counts what a rule would erase now.
func (c *Client) RetentionDue(ctx context.Context, rule api.RetentionRule) (uint64, error) {
	due, err := call[api.Due](ctx, c, http.MethodPost, "/contacts/retention/preview", nil, rule)
	return due.Due, err
}

// RunRetention applies the rule now.
func (c *Client) RunRetention(ctx context.Context) (api.Job, error) {
	return call[api.Job](ctx, c, http.MethodPost, "/contacts/retention/run", nil, nil)
}

// Mappings lists the remembered ways to read lists.
func (c *Client) Mappings(ctx context.Context) ([]register.Mapping, error) {
	all, err := call[api.List[register.Mapping]](ctx, c, http.MethodGet, "/contacts/mappings", nil, nil)
	return all.Items, err
}

// SaveMapping remembers one.
func (c *Client) SaveMapping(ctx context.Context, m register.Mapping) (register.Mapping, error) {
	return call[register.Mapping](ctx, c, http.MethodPost, "/contacts/mappings", nil, m)
}

// DeleteMapping forgets one.
func (c *Client) DeleteMapping(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPost, "/contacts/mappings/delete", nil, map[string]string{"name": name}, nil)
}
