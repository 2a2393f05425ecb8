package exchange

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"ihyid/credentials"
	"ihyid/credentials/statuslist"
	"ihyid/did"
	"ihyid/store"
)

// Status lists (Bitstring Status List 1.0): with them a node takes back what it has signed. Each receipt of ours has an entry of its own, at a random
// place, the same in the list of revocations and in that of suspensions.

const (
	statusPath = "/status/" // below the service endpoint; the list's number and its purpose follow
	// statusLife is for how long a published list is valid; statusFresh for how long it is given out before it is signed anew.
	statusLife  = 24 * time.Hour
	statusFresh = time.Hour
)

// statusLists is one numbered set of lists of one length, as raw bits.
type statusLists struct {
	Assigned  []byte `json:"assigned"`
	Revoked   []byte `json:"revoked"`
	Suspended []byte `json:"suspended"`
}

func (l *statusLists) bits(purpose string) ([]byte, bool) {
	switch purpose {
	case credentials.Revocation:
		return l.Revoked, true
	case credentials.Suspension:
		return l.Suspended, true
	}
	return nil, false
}

// The states of a receipt that this node signed.
const (
	StatusGood      = "good"
	StatusRevoked   = "revoked" // for good
	StatusSuspended = "suspended"
)

// ReceiptStatus is what this node says of its own signature under a receipt. What the other side says of its own stands in that side's lists.
type ReceiptStatus struct {
	State   string    `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	Changed time.Time `json:"changed,omitzero"`
}

// published keeps signed lists as long as they are fresh.
type published struct {
	mu    sync.Mutex
	lists map[string]publishedList
}

type publishedList struct {
	body        []byte
	contentType string
	made        time.Time
}

func listKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// statusBase is the address below which this node's lists are; "" if it has none.
func (n *Node) statusBase() string {
	d, err := did.ParseDocument(n.self().Document)
	if err != nil {
		return ""
	}
	service, ok := d.Service(did.ServiceTypeNode)
	if !ok {
		return ""
	}
	return strings.TrimSuffix(service.Endpoint, "/") + statusPath
}

func listURL(base string, number uint64, purpose string) string {
	return base + strconv.FormatUint(number, 10) + "/" + purpose
}

// newStatus hands out an entry and gives the credentialStatus that names it; nil if the node has no address.
func (n *Node) newStatus(ctx context.Context) ([]any, error) {
	base := n.statusBase()
	if base == "" {
		return nil, nil
	}
	var number uint64
	var index int
	err := n.store.Update(ctx, func(tx *store.Tx) error {
		for number = 1; ; number++ {
			lists, err := n.kept.lists.Get(tx, listKey(number))
			if errors.Is(err, store.ErrNotFound) {
				empty, err := statuslist.New(0)
				if err != nil {
					return err
				}
				lists = statusLists{Assigned: empty.Bytes(), Revoked: empty.Bytes(), Suspended: empty.Bytes()}
			} else if err != nil {
				return err
			}
			assigned, err := statuslist.FromBytes(lists.Assigned)
			if err != nil {
				return err
			}
			if index, err = assigned.Assign(n.rand); errors.Is(err, statuslist.ErrFull) {
				continue
			} else if err != nil {
				return err
			}
			lists.Assigned = assigned.Bytes()
			return n.kept.lists.Put(tx, listKey(number), lists)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("handing out an entry of the status lists: %w", err)
	}
	var out []any
	for _, purpose := range []string{credentials.Revocation, credentials.Suspension} {
		out = append(out, credentials.StatusEntry(listURL(base, number, purpose), purpose, index))
	}
	return out, nil
}

// issueReceipt signs a receipt with the key of one of this node's verification methods.
func (n *Node) issueReceipt(ctx context.Context, method string, st Statement) ([]byte, error) {
	key, err := n.signingKey(ctx, did.AssertionMethod)
	if method != "" {
		key, err = n.keyOf(ctx, method)
	}
	if err != nil {
		return nil, err
	}
	status, err := n.newStatus(ctx)
	if err != nil {
		return nil, err
	}
	return n.issueStated(ctx, key, typeReceipt, st, receiptLife, status)
}

// StatusList gives a status list as the node publishes it, a signed credential, and its media type.
func (n *Node) StatusList(ctx context.Context, number uint64, purpose string) (body []byte, contentType string, err error) {
	name := strconv.FormatUint(number, 10) + "/" + purpose
	n.published.mu.Lock()
	defer n.published.mu.Unlock()
	now := n.now().UTC().Truncate(time.Second)
	if l, ok := n.published.lists[name]; ok && now.Before(l.made.Add(statusFresh)) && !now.Before(l.made) {
		return l.body, l.contentType, nil
	}
	var lists statusLists
	err = n.store.View(ctx, func(tx *store.Tx) (err error) {
		lists, err = n.kept.lists.Get(tx, listKey(number))
		return err
	})
	raw, known := lists.bits(purpose)
	base := n.statusBase()
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (!known || base == ""):
		return nil, "", fail(CodeNotFound, "there is no such status list here")
	case err != nil:
		return nil, "", err
	}
	bits, err := statuslist.FromBytes(raw)
	if err != nil {
		return nil, "", err
	}
	unsecured, err := credentials.StatusListCredential(n.DID(), listURL(base, number, purpose), purpose, bits, now, now.Add(statusLife))
	if err != nil {
		return nil, "", err
	}
	key, err := n.signingKey(ctx, did.AssertionMethod)
	if err != nil {
		return nil, "", err
	}
	if body, err = n.issuer.Credential(ctx, canonical(unsecured), key, credentials.ProofOptions{Suite: n.evidence, Created: now}); err != nil {
		return nil, "", fmt.Errorf("signing a status list: %w", err)
	}
	contentType = "application/vc"
	if n.evidence == credentials.SuiteJOSE {
		contentType = "application/vc+jwt"
	}
	if n.published.lists == nil {
		n.published.lists = map[string]publishedList{}
	}
	n.published.lists[name] = publishedList{body, contentType, now} // as many as there are lists: one for 131,072 receipts
	return body, contentType, nil
}

// RevokeReceipt takes back this node's signature under a receipt, for good.
func (n *Node) RevokeReceipt(ctx context.Context, id, reason string) (ReceiptStatus, error) {
	return n.setStatus(ctx, id, ReceiptStatus{State: StatusRevoked, Reason: reason})
}

// SuspendReceipt takes back this node's signature under a receipt until ReinstateReceipt.
func (n *Node) SuspendReceipt(ctx context.Context, id, reason string) (ReceiptStatus, error) {
	return n.setStatus(ctx, id, ReceiptStatus{State: StatusSuspended, Reason: reason})
}

// ReinstateReceipt ends the suspension of a receipt.
func (n *Node) ReinstateReceipt(ctx context.Context, id string) (ReceiptStatus, error) {
	return n.setStatus(ctx, id, ReceiptStatus{State: StatusGood})
}

const maxStatusReason = 500

func (n *Node) setStatus(ctx context.Context, id string, to ReceiptStatus) (ReceiptStatus, error) {
	if to.State != StatusGood && strings.TrimSpace(to.Reason) == "" {
		return to, fail(CodeInvalid, "say why: a reason is kept beside the receipt")
	}
	if oneLine(to.Reason, maxStatusReason) != to.Reason {
		return to, fail(CodeInvalid, "the reason is one line of at most %d bytes", maxStatusReason)
	}
	to.Changed = n.now().UTC().Truncate(time.Second)
	n.published.mu.Lock() // so that no list is published that was read before the change
	defer n.published.mu.Unlock()
	err := n.store.Update(ctx, func(tx *store.Tx) error {
		r, err := n.kept.receipts.Get(tx, []byte(id))
		if errors.Is(err, store.ErrNotFound) {
			return fail(CodeNotFound, "there is no receipt %s here", oneLine(id, 64))
		}
		if err != nil {
			return err
		}
		before := statusIn(r)
		switch {
		case before.State == to.State:
			to = before // nothing to do: the reason that stands is that of the first time
			return nil
		case before.State == StatusRevoked:
			return fail(CodeConflict, "the receipt is revoked, and that is for good")
		}
		number, index, ok := n.entryOf(r)
		if !ok {
			return fail(CodeUnsupported, "this receipt was signed without a status: it cannot be taken back")
		}
		lists, err := n.kept.lists.Get(tx, listKey(number))
		if err != nil {
			return fmt.Errorf("reading status list %d: %w", number, err)
		}
		if lists.Revoked, err = setBit(lists.Revoked, index, to.State == StatusRevoked); err != nil {
			return err
		}
		if lists.Suspended, err = setBit(lists.Suspended, index, to.State == StatusSuspended); err != nil {
			return err
		}
		r.Status = &to
		if err := n.kept.lists.Put(tx, listKey(number), lists); err != nil {
			return err
		}
		return n.writeReceipt(tx, r)
	})
	if err == nil {
		n.published.lists = nil
	}
	return to, err
}

func statusIn(r receiptRecord) ReceiptStatus {
	if r.Status == nil {
		return ReceiptStatus{State: StatusGood}
	}
	return *r.Status
}

func setBit(raw []byte, index int, value bool) ([]byte, error) {
	l, err := statuslist.FromBytes(raw)
	if err == nil {
		err = l.Set(index, value)
	}
	if err != nil {
		return nil, err
	}
	return l.Bytes(), nil
}

// entryOf finds the entry of this node's own credential of a receipt.
func (n *Node) entryOf(r receiptRecord) (number uint64, index int, ok bool) {
	own := r.Initiator
	if r.Statement.Responder == n.DID() {
		own = r.Responder
	}
	o, err := object(own)
	if err != nil {
		return 0, 0, false
	}
	document, _ := opened(o)
	entries, _ := document["credentialStatus"].([]any)
	for _, e := range entries {
		m, _ := e.(map[string]any)
		// The address may have changed since; the list's number has not.
		_, rest, found := strings.Cut(text(m, "statusListCredential"), statusPath)
		digits, purpose, _ := strings.Cut(rest, "/")
		number, err1 := strconv.ParseUint(digits, 10, 64)
		index, err2 := strconv.Atoi(text(m, "statusListIndex"))
		if found && purpose == credentials.Revocation && err1 == nil && err2 == nil {
			return number, index, true
		}
	}
	return 0, 0, false
}
