package credentials

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/statuslist"
)

// The purposes of status lists that decide whether a credential is good.
const (
	Revocation = "revocation" // for good
	Suspension = "suspension" // until the bit is cleared
)

const (
	statusEntryType = "BitstringStatusListEntry"
	statusListType  = "BitstringStatusList"
	statusListVC    = "BitstringStatusListCredential"
)

// StatusLists fetches status list credentials. Implementations bound time and size.
type StatusLists interface {
	StatusList(ctx context.Context, url string) (secured []byte, err error)
}

const (
	// DefaultStatusAge is for how long a status list is used that says nothing of it itself.
	DefaultStatusAge = 5 * time.Minute
	// MaxStatusAge bounds what a list may ask for.
	MaxStatusAge = 24 * time.Hour
	// maxLists is how many decoded lists a verifier keeps, of at most 1 MiB each.
	maxLists = 32
)

// StatusEntry is the value of `credentialStatus` for an entry of a list at an address.
func StatusEntry(listURL, purpose string, index int) map[string]any {
	return map[string]any{
		"id":                   listURL + "#" + strconv.Itoa(index),
		"type":                 statusEntryType,
		"statusPurpose":        purpose,
		"statusListIndex":      strconv.Itoa(index),
		"statusListCredential": listURL,
	}
}

// StatusListCredential is the unsecured credential that publishes a list at an address. It is valid from
// now until the given time, after which verifiers ask again or give up.
func StatusListCredential(issuer, url, purpose string, list *statuslist.List, now, until time.Time) (map[string]any, error) {
	if purpose != Revocation && purpose != Suspension {
		return nil, fmt.Errorf("status purpose %q is not known here", purpose)
	}
	encoded, err := list.Encode()
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"@context":   []any{ContextV2},
		"id":         url,
		"type":       []any{"VerifiableCredential", statusListVC},
		"issuer":     issuer,
		"validFrom":  dataintegrity.FormatTime(now),
		"validUntil": dataintegrity.FormatTime(until),
		"credentialSubject": map[string]any{
			"id":            url + "#list",
			"type":          statusListType,
			"statusPurpose": purpose,
			"encodedList":   encoded,
		},
	}, nil
}

// StatusError says why the status of a credential could not be told, or that it is bad.
type StatusError struct {
	Purpose string // of the entry; empty where that is not known
	Err     error
}

func (e *StatusError) Error() string {
	if e.Purpose == "" {
		return e.Err.Error()
	}
	return e.Purpose + ": " + e.Err.Error()
}

func (e *StatusError) Unwrap() error { return e.Err }

var (
	// ErrRevoked and ErrSuspended say what a status list says of a credential.
	ErrRevoked   = errors.New("the credential is revoked")
	ErrSuspended = errors.New("the credential is suspended")
	// ErrStatusUnknown says that the status of a credential cannot be told.
	ErrStatusUnknown = errors.New("the status of the credential cannot be told")
)

// status checks every entry of credentialStatus (Bitstring Status List section 3.2).
func (r *run) status(ctx context.Context, c *credential, o CredentialOptions) {
	if !c.status {
		r.skip(CheckStatus, "the credential has no status")
		return
	}
	if o.SkipStatus != "" {
		r.skip(CheckStatus, o.SkipStatus)
		return
	}
	for i, e := range each(r.document["credentialStatus"]) {
		if err := r.statusEntry(ctx, c, e.(map[string]any)); err != nil {
			r.fail(CheckStatus, fmt.Errorf("credentialStatus[%d]: %w", i, err))
			return
		}
	}
	r.pass(CheckStatus)
}

func (r *run) statusEntry(ctx context.Context, c *credential, e map[string]any) error {
	unknown := func(format string, args ...any) error {
		return &StatusError{Err: fmt.Errorf("%w: %w", ErrStatusUnknown, fmt.Errorf(format, args...))}
	}
	if !hasType(e, statusEntryType) {
		return unknown("its type is not %s", statusEntryType)
	}
	purpose, _ := e["statusPurpose"].(string)
	url, _ := e["statusListCredential"].(string)
	text, _ := e["statusListIndex"].(string)
	index, err := strconv.Atoi(text)
	switch {
	case err != nil || strconv.Itoa(index) != text || index < 0:
		return unknown("statusListIndex is not a whole number as a string")
	case !isURL(url):
		return unknown("statusListCredential is not a URL")
	case purpose == "":
		return unknown("statusPurpose is missing")
	}
	if size, ok := e["statusSize"]; ok && size != 1.0 {
		return unknown("statusSize is not 1")
	}
	if purpose != Revocation && purpose != Suspension {
		return nil // such as "message": says nothing of whether the credential is good
	}
	list, err := r.v.list(ctx, url, purpose, c.issuer, r.now)
	if err != nil {
		return &StatusError{Purpose: purpose, Err: fmt.Errorf("%w: %w", ErrStatusUnknown, err)}
	}
	set, err := list.Get(index)
	switch {
	case err != nil:
		return &StatusError{Purpose: purpose, Err: fmt.Errorf("%w: %w", ErrStatusUnknown, err)}
	case set && purpose == Revocation:
		return &StatusError{Purpose: purpose, Err: ErrRevoked}
	case set:
		return &StatusError{Purpose: purpose, Err: ErrSuspended}
	}
	return nil
}

// list gives a verified status list, from the cache while it is fresh.
func (v *Verifier) list(ctx context.Context, url, purpose, issuer string, now time.Time) (*statuslist.List, error) {
	key := listKey{url, purpose, issuer}
	if l := v.lists.get(key, now); l != nil {
		return l, nil
	}
	if v.StatusLists == nil {
		return nil, errors.New("nothing is set up here to fetch status lists")
	}
	secured, err := v.StatusLists.StatusList(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("fetch the status list: %w", err)
	}
	result := v.Credential(ctx, secured, CredentialOptions{SkipStatus: "a status list has none"})
	if err := result.Err(); err != nil {
		return nil, fmt.Errorf("the status list credential: %w", err)
	}
	d := result.Document
	if _, ok := d["credentialStatus"]; ok {
		return nil, errors.New("the status list credential has a status itself")
	}
	// Whoever answers for the address could else put another's list there.
	if result.Issuer != issuer {
		return nil, errors.New("the status list is by another issuer")
	}
	if id, ok := d["id"]; ok && id != url {
		return nil, errors.New("the status list credential has another id than its address")
	}
	if !hasType(d, statusListVC) {
		return nil, fmt.Errorf("the status list credential is not of type %s", statusListVC)
	}
	subject, ok := d["credentialSubject"].(map[string]any)
	if !ok || !hasType(subject, statusListType) {
		return nil, fmt.Errorf("the status list is not of type %s", statusListType)
	}
	listed := false
	for _, p := range each(subject["statusPurpose"]) {
		listed = listed || p == purpose
	}
	if !listed {
		return nil, errors.New("the status list is for another purpose")
	}
	encoded, _ := subject["encodedList"].(string)
	l, err := statuslist.Decode(encoded)
	if err != nil {
		return nil, err
	}
	v.lists.put(key, l, now, freshUntil(d, subject, now))
	return l, nil
}

// freshUntil is when a list has to be fetched again: after its ttl (milliseconds), its validity or a default.
func freshUntil(d, subject map[string]any, now time.Time) time.Time {
	age := DefaultStatusAge
	if ttl, ok := subject["ttl"].(float64); ok && ttl >= 0 {
		age = MaxStatusAge
		if ttl < float64(MaxStatusAge/time.Millisecond) {
			age = time.Duration(ttl) * time.Millisecond
		}
	}
	until := now.Add(age)
	if end, err := moment(d, "validUntil"); err == nil && !end.IsZero() && end.Before(until) {
		until = end
	}
	return until
}

// listKey names a list as it was asked for: what was verified for one issuer says nothing for another.
type listKey struct{ url, purpose, issuer string }

// listCache keeps decoded lists, which nobody changes.
type listCache struct {
	mu      sync.Mutex
	entries map[listKey]listEntry
}

type listEntry struct {
	list  *statuslist.List
	until time.Time
}

func (c *listCache) get(key listKey, now time.Time) *statuslist.List {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok && now.Before(e.until) {
		return e.list
	}
	return nil
}

func (c *listCache) put(key listKey, l *statuslist.List, now, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[listKey]listEntry{}
	}
	for k, e := range c.entries {
		if !now.Before(e.until) {
			delete(c.entries, k)
		}
	}
	for k := range c.entries {
		if len(c.entries) < maxLists {
			break
		}
		delete(c.entries, k)
	}
	c.entries[key] = listEntry{l, until}
}
