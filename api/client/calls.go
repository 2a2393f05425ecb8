package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ihyid/api"
	"ihyid/contacts/list"
	"ihyid/exchange"
	"ihyid/exchange/register"
)

func call[T any](ctx context.Context, c *Client, method, path string, query url.Values, in any) (T, error) {
	var out T
	err := c.do(ctx, method, path, query, in, &out)
	return out, err
}

// Filter chooses from a list; what is empty chooses nothing out. Not every list has every filter.
type Filter struct {
	State string    // of peers, exchanges, agreements, jobs
	Peer  string    // of exchanges, receipts, agreements: the peer's DID
	Kind  string    // of jobs
	Role  string    // of accounts
	Since time.Time // of exchanges, receipts: begun, or ended, from then on
	Limit int       // at most so many; 0: all
}

// partSize is how many items are asked for at once.
const partSize = 1000

func (f *Filter) query() url.Values {
	q := url.Values{"limit": {strconv.Itoa(partSize)}}
	for name, v := range map[string]string{"state": f.State, "peer": f.Peer, "kind": f.Kind, "role": f.Role} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339))
	}
	return q
}

// listed walks a list, as one filter (or none) chooses, part by part.
func listed[T any](ctx context.Context, c *Client, path string, filter []Filter) iter.Seq2[T, error] {
	var f Filter
	if len(filter) > 0 {
		f = filter[0]
	}
	q := f.query()
	if f.Limit > 0 && f.Limit < partSize {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	whole := pages(func(after string) (api.List[T], error) {
		if after != "" {
			q.Set("after", after)
		}
		return call[api.List[T]](ctx, c, http.MethodGet, path, q, nil)
	})
	if f.Limit <= 0 {
		return whole
	}
	return func(yield func(T, error) bool) {
		n := 0
		for item, err := range whole {
			if !yield(item, err) {
				return
			}
			if n++; n == f.Limit {
				return
			}
		}
	}
}

// all gives a list whole.
func all[T any](ctx context.Context, c *Client, path string, filter []Filter) ([]T, error) {
	var items []T
	for item, err := range listed[T](ctx, c, path, filter) {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func at(parts ...string) string {
	path := ""
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// Status asks the node who it is and what it holds.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	return call[api.Status](ctx, c, http.MethodGet, "/status", nil, nil)
}

// Document gives the node's DID document, byte by byte.
func (c *Client) Document(ctx context.Context) ([]byte, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, "/did-document", nil, nil)
}

// ImportContacts uploads a contact list and gives the job that imports it. The list is streamed. When
// ctx ends it returns at once; a Read of list that blocks then (a terminal, a pipe) is left to end by
// itself.
func (c *Client) ImportContacts(ctx context.Context, list io.Reader, o api.ImportOptions) (api.Job, error) {
	q := url.Values{}
	for name, v := range map[string]string{"comma": o.Comma, "date_order": o.DateOrder, "sheet": o.Sheet, "mapping": o.Mapping, "empty": o.Empty} {
		if v != "" {
			q.Set(name, v)
		}
	}
	for column, field := range o.Map {
		q.Add("map", field+"="+column)
	}
	for name, v := range map[string]bool{"update": o.Update, "dry_run": o.DryRun} {
		if v {
			q.Set(name, "true")
		}
	}
	return upload[api.Job](ctx, c, "/contacts/import", q, "text/csv", list)
}

// upload streams a body to the node.
func upload[T any](ctx context.Context, c *Client, path string, query url.Values, contentType string, from io.Reader) (out T, err error) {
	// net/http waits for a Read of the body that is under way even when the context has ended. A pipe
	// between lets go at once.
	body, feed := io.Pipe()
	defer body.Close()
	defer context.AfterFunc(ctx, func() { body.CloseWithError(context.Cause(ctx)) })()
	go func() {
		_, err := io.Copy(feed, from)
		feed.CloseWithError(err)
	}()
	resp, err := c.send(ctx, http.MethodPost, path, query, contentType, body)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&out); err != nil {
		return out, c.broken(ctx, err)
	}
	return out, nil
}

// ImportReport gives the rows of an import that were not plainly created, one after the other.
func (c *Client) ImportReport(ctx context.Context, job string) iter.Seq2[register.Outcome, error] {
	return pages(func(after string) (api.List[register.Outcome], error) {
		q := url.Values{"limit": {"10000"}}
		if after != "" {
			q.Set("from", after)
		}
		return call[api.List[register.Outcome]](ctx, c, http.MethodGet, at("contacts", "import", job, "report"), q, nil)
	})
}

// Contacts gives all contacts after the one numbered after, by number.
func (c *Client) Contacts(ctx context.Context, after uint64) iter.Seq2[register.Stored, error] {
	return pages(func(next string) (api.List[register.Stored], error) {
		q := url.Values{"limit": {"1000"}}
		if next == "" && after > 0 {
			next = strconv.FormatUint(after, 10)
		}
		if next != "" {
			q.Set("after", next)
		}
		return call[api.List[register.Stored]](ctx, c, http.MethodGet, "/contacts", q, nil)
	})
}

// SearchContacts gives the contacts that a request finds, by number; its After and Limit are set here.
func (c *Client) SearchContacts(ctx context.Context, q api.SearchRequest) iter.Seq2[register.Stored, error] {
	return pages(func(after string) (api.List[register.Stored], error) {
		q.After, q.Limit = after, 100
		return call[api.List[register.Stored]](ctx, c, http.MethodPost, "/contacts/search", nil, q)
	})
}

// Contact gives one contact.
func (c *Client) Contact(ctx context.Context, number uint64) (register.Stored, error) {
	return call[register.Stored](ctx, c, http.MethodGet, at("contacts", strconv.FormatUint(number, 10)), nil, nil)
}

// Duplicates gives the pairs of contacts that may be one person.
func (c *Client) Duplicates(ctx context.Context) iter.Seq2[register.DuplicatePair, error] {
	return pages(func(after string) (api.List[register.DuplicatePair], error) {
		q := url.Values{"limit": {"1000"}}
		if after != "" {
			q.Set("after", after)
		}
		return call[api.List[register.DuplicatePair]](ctx, c, http.MethodGet, "/contacts/duplicates", q, nil)
	})
}

// pages walks a list part by part.
func pages[T any](part func(after string) (api.List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for after := ""; ; {
			list, err := part(after)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range list.Items {
				if !yield(item, nil) {
					return
				}
			}
			if list.Next == "" || list.Next == after {
				return
			}
			after = list.Next
		}
	}
}

// ExportContacts writes all contacts to w, in the format given; "" is CSV.
func (c *Client) ExportContacts(ctx context.Context, w io.Writer, format list.Format) error {
	path := "/contacts/export"
	if format != "" {
		path += "?" + url.Values{"format": {string(format)}}.Encode()
	}
	return c.download(ctx, path, w)
}

// ExportMatches writes the matches of an exchange, with the own contacts, as CSV to w.
func (c *Client) ExportMatches(ctx context.Context, exchange string, w io.Writer) error {
	return c.download(ctx, at("exchanges", exchange, "matches", "export"), w)
}

func (c *Client) download(ctx context.Context, path string, w io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, path, nil, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	out := &writer{Writer: w}
	if _, err := io.Copy(out, resp.Body); err != nil {
		if out.err != nil {
			return out.err
		}
		return fmt.Errorf("what was written is not whole: %w", c.broken(ctx, err))
	}
	return nil
}

// writer keeps its own error apart from those of what it is fed from.
type writer struct {
	io.Writer
	err error
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// CheckAnonymous asks which of the anonymous contacts are known, in the prototype's form.
func (c *Client) CheckAnonymous(ctx context.Context, uscadis, secrets []string) ([]api.Known, error) {
	in := map[string][]string{"uscadis": uscadis, "secrets": secrets}
	return call[[]api.Known](ctx, c, http.MethodPost, "/rpc/check-anonymous", nil, in)
}

// Peers lists the peers by the names of their organisations.
func (c *Client) Peers(ctx context.Context, f ...Filter) ([]exchange.Peer, error) {
	list, err := all[exchange.Peer](ctx, c, "/peers", f)
	slices.SortStableFunc(list, func(a, b exchange.Peer) int { return strings.Compare(a.Organisation.Name, b.Organisation.Name) })
	return list, err
}

// Peer gives one peer.
func (c *Client) Peer(ctx context.Context, did string) (exchange.Peer, error) {
	return call[exchange.Peer](ctx, c, http.MethodGet, at("peers", did), nil, nil)
}

// AddPeer registers with another node, whose organisation must be as expected where a field is given.
func (c *Client) AddPeer(ctx context.Context, did string, expect exchange.Organisation) (exchange.Peer, error) {
	fields := map[string]string{"name": expect.Name, "registration_number": expect.RegistrationNumber, "country": expect.Country}
	return call[exchange.Peer](ctx, c, http.MethodPost, "/peers", nil, map[string]any{"did": did, "expect": fields})
}

// ApprovePeer approves a peer that asked to be registered.
func (c *Client) ApprovePeer(ctx context.Context, did string) (exchange.Peer, error) {
	return call[exchange.Peer](ctx, c, http.MethodPost, at("peers", did, "approve"), nil, nil)
}

// RefusePeer refuses a peer that asked to be registered.
func (c *Client) RefusePeer(ctx context.Context, did, reason string) (exchange.Peer, error) {
	return call[exchange.Peer](ctx, c, http.MethodPost, at("peers", did, "refuse"), nil, map[string]string{"reason": reason})
}

// SuspendPeer makes the node accept nothing more from a peer for now.
func (c *Client) SuspendPeer(ctx context.Context, did, reason string) (exchange.Peer, error) {
	return call[exchange.Peer](ctx, c, http.MethodPost, at("peers", did, "suspend"), nil, map[string]string{"reason": reason})
}

// ResumePeer ends a suspension.
func (c *Client) ResumePeer(ctx context.Context, did string) (exchange.Peer, error) {
	return call[exchange.Peer](ctx, c, http.MethodPost, at("peers", did, "resume"), nil, nil)
}

// RemovePeer forgets a peer.
func (c *Client) RemovePeer(ctx context.Context, did string) error {
	return c.do(ctx, http.MethodDelete, at("peers", did), nil, nil, nil)
}

// Fingerprint gives the digits to compare with a peer's administrator.
func (c *Client) Fingerprint(ctx context.Context, did string) (exchange.Fingerprint, error) {
	return call[exchange.Fingerprint](ctx, c, http.MethodGet, at("peers", did, "fingerprint"), nil, nil)
}

// ConfirmPeer pins a peer's keys after the fingerprint was compared.
func (c *Client) ConfirmPeer(ctx context.Context, did, digits string) (exchange.Peer, error) {
	return call[exchange.Peer](ctx, c, http.MethodPost, at("peers", did, "confirm"), nil, map[string]string{"fingerprint": digits})
}

// Keys lists the node's keys.
func (c *Client) Keys(ctx context.Context) ([]exchange.Key, error) {
	list, err := call[api.List[exchange.Key]](ctx, c, http.MethodGet, "/keys", nil, nil)
	return list.Items, err
}

// RotateKey replaces the key of a purpose ("assertion", "authentication", "agreement"); curve and overlap may be empty.
func (c *Client) RotateKey(ctx context.Context, purpose, curve, overlap string) (exchange.Key, error) {
	in := map[string]string{"purpose": purpose}
	if curve != "" {
		in["curve"] = curve
	}
	if overlap != "" {
		in["overlap"] = overlap
	}
	return call[exchange.Key](ctx, c, http.MethodPost, "/keys/rotate", nil, in)
}

// RetireKey revokes a key that was replaced.
func (c *Client) RetireKey(ctx context.Context, id string) (exchange.Key, error) {
	return call[exchange.Key](ctx, c, http.MethodPost, at("keys", id, "retire"), nil, nil)
}

// RotateDataKey begins to encrypt the store with a new key.
func (c *Client) RotateDataKey(ctx context.Context) (api.Job, error) {
	return call[api.Job](ctx, c, http.MethodPost, "/keys/data/rotate", nil, nil)
}

// RotateWrappingKey replaces the key of the key store that wraps the store's keys.
func (c *Client) RotateWrappingKey(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/keys/wrapping/rotate", nil, nil, nil)
}

// FlushDID makes the node forget what it resolved of a DID, of all for "".
func (c *Client) FlushDID(ctx context.Context, name string) error {
	path := "/did-cache"
	if name != "" {
		path = at("did-cache", name)
	}
	return c.do(ctx, http.MethodDelete, path, nil, nil, nil)
}

// StartExchange begins an exchange.
func (c *Client) StartExchange(ctx context.Context, r exchange.Request) (exchange.Exchange, error) {
	return call[exchange.Exchange](ctx, c, http.MethodPost, "/exchanges", nil, r)
}

// ExportStep writes the file of an exchange that is to be carried to the peer. It is whole only if no error is given.
func (c *Client) ExportStep(ctx context.Context, exchange string, w io.Writer) error {
	return c.download(ctx, at("exchanges", exchange, "file"), w)
}

// ImportStep uploads a file of an exchange that the peer exported. The file is streamed.
func (c *Client) ImportStep(ctx context.Context, file io.Reader) (exchange.StepFile, error) {
	return upload[exchange.StepFile](ctx, c, "/exchanges/files", nil, "application/octet-stream", file)
}

// Exchanges lists the node's exchanges, the newest first.
func (c *Client) Exchanges(ctx context.Context, f ...Filter) ([]exchange.Exchange, error) {
	return all[exchange.Exchange](ctx, c, "/exchanges", f)
}

// Exchange gives one exchange.
func (c *Client) Exchange(ctx context.Context, id string) (exchange.Exchange, error) {
	return call[exchange.Exchange](ctx, c, http.MethodGet, at("exchanges", id), nil, nil)
}

// Matches lists the own contacts that the peer of an exchange knows too.
func (c *Client) Matches(ctx context.Context, id string) ([]exchange.Match, error) {
	list, err := call[api.List[exchange.Match]](ctx, c, http.MethodGet, at("exchanges", id, "matches"), nil, nil)
	return list.Items, err
}

// Presentations gives the signed presentations of an exchange by step.
func (c *Client) Presentations(ctx context.Context, id string) (map[string]json.RawMessage, error) {
	return call[map[string]json.RawMessage](ctx, c, http.MethodGet, at("exchanges", id, "presentations"), nil, nil)
}

// RevokeReceipt takes back the node's signature under a receipt, for good.
func (c *Client) RevokeReceipt(ctx context.Context, id, reason string) (exchange.ReceiptStatus, error) {
	return call[exchange.ReceiptStatus](ctx, c, http.MethodPost, at("receipts", id, "revoke"), nil, map[string]string{"reason": reason})
}

// SuspendReceipt takes it back for now.
func (c *Client) SuspendReceipt(ctx context.Context, id, reason string) (exchange.ReceiptStatus, error) {
	return call[exchange.ReceiptStatus](ctx, c, http.MethodPost, at("receipts", id, "suspend"), nil, map[string]string{"reason": reason})
}

// ReinstateReceipt ends the suspension of a receipt.
func (c *Client) ReinstateReceipt(ctx context.Context, id string) (exchange.ReceiptStatus, error) {
	return call[exchange.ReceiptStatus](ctx, c, http.MethodPost, at("receipts", id, "reinstate"), nil, nil)
}

// Receipts lists match receipts.
func (c *Client) Receipts(ctx context.Context, f ...Filter) ([]exchange.ReceiptInfo, error) {
	return all[exchange.ReceiptInfo](ctx, c, "/receipts", f)
}

// Receipt gives a receipt file, byte by byte.
func (c *Client) Receipt(ctx context.Context, id string) ([]byte, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, at("receipts", id), nil, nil)
}

// Jobs gives jobs, the newest first.
func (c *Client) Jobs(ctx context.Context, f ...Filter) iter.Seq2[api.Job, error] {
	return listed[api.Job](ctx, c, "/jobs", f)
}

// Job gives one job.
func (c *Client) Job(ctx context.Context, id string) (api.Job, error) {
	return call[api.Job](ctx, c, http.MethodGet, at("jobs", id), nil, nil)
}

// CancelJob cancels a job.
func (c *Client) CancelJob(ctx context.Context, id string) (api.Job, error) {
	return call[api.Job](ctx, c, http.MethodPost, at("jobs", id, "cancel"), nil, nil)
}

// Profiles lists the matching profiles that the node knows.
func (c *Client) Profiles(ctx context.Context) ([]api.Profile, error) {
	list, err := call[api.List[api.Profile]](ctx, c, http.MethodGet, "/profiles", nil, nil)
	return list.Items, err
}

// Profile gives one matching profile by its name, such as "soundex/1".
func (c *Client) Profile(ctx context.Context, name string) (api.Profile, error) {
	return call[api.Profile](ctx, c, http.MethodGet, at("profiles", name), nil, nil)
}

// ProposeAgreement proposes to a peer what may be exchanged without asking each time.
func (c *Client) ProposeAgreement(ctx context.Context, r exchange.AgreementRequest) (exchange.Agreement, error) {
	return call[exchange.Agreement](ctx, c, http.MethodPost, "/agreements", nil, r)
}

// Agreements lists the agreements with all peers, the newest first.
func (c *Client) Agreements(ctx context.Context, f ...Filter) ([]exchange.Agreement, error) {
	return all[exchange.Agreement](ctx, c, "/agreements", f)
}

// Agreement gives one agreement.
func (c *Client) Agreement(ctx context.Context, id string) (exchange.Agreement, error) {
	return call[exchange.Agreement](ctx, c, http.MethodGet, at("agreements", id), nil, nil)
}

// ApproveAgreement signs an agreement that a peer proposed.
func (c *Client) ApproveAgreement(ctx context.Context, id string) (exchange.Agreement, error) {
	return call[exchange.Agreement](ctx, c, http.MethodPost, at("agreements", id, "approve"), nil, nil)
}

// RefuseAgreement refuses an agreement that a peer proposed.
func (c *Client) RefuseAgreement(ctx context.Context, id, reason string) (exchange.Agreement, error) {
	return call[exchange.Agreement](ctx, c, http.MethodPost, at("agreements", id, "refuse"), nil, map[string]string{"reason": reason})
}

// EndAgreement ends an agreement, or takes a proposal back.
func (c *Client) EndAgreement(ctx context.Context, id, reason string) (exchange.Agreement, error) {
	return call[exchange.Agreement](ctx, c, http.MethodPost, at("agreements", id, "end"), nil, map[string]string{"reason": reason})
}

// RollEpochs ends the epochs with a peer at once, and says how many there were.
func (c *Client) RollEpochs(ctx context.Context, did string) (int, error) {
	r, err := call[api.Rolled](ctx, c, http.MethodPost, at("peers", did, "roll"), nil, nil)
	return r.Epochs, err
}

// ApproveExchange lets an exchange run that waits for the node's operator.
func (c *Client) ApproveExchange(ctx context.Context, id string) (exchange.Exchange, error) {
	return call[exchange.Exchange](ctx, c, http.MethodPost, at("exchanges", id, "approve"), nil, nil)
}

// RefuseExchange refuses an exchange that waits for the node's operator.
func (c *Client) RefuseExchange(ctx context.Context, id, reason string) (exchange.Exchange, error) {
	return call[exchange.Exchange](ctx, c, http.MethodPost, at("exchanges", id, "refuse"), nil, map[string]string{"reason": reason})
}

// CancelExchange ends an exchange that has not ended. Where one side may know the result already, that has to be meant: c.Yes.
func (c *Client) CancelExchange(ctx context.Context, id string, how exchange.Cancellation) (exchange.Exchange, error) {
	return call[exchange.Exchange](ctx, c, http.MethodPost, at("exchanges", id, "cancel"), nil, map[string]any{"reason": how.Reason, "yes": how.Yes})
}

// ExcuseExchange excuses a peer from finishing an exchange that it left after the node had given it something.
func (c *Client) ExcuseExchange(ctx context.Context, id, reason string) (exchange.Exchange, error) {
	return call[exchange.Exchange](ctx, c, http.MethodPost, at("exchanges", id, "excuse"), nil, map[string]string{"reason": reason})
}
