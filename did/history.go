package did

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"
)

// History keeps versions of documents. did:web has none of its own, so these are the
// versions that this node has seen, and the times of its seeing them.
//
// It must be safe for concurrent use.
type History interface {
	// Seen is told of every document fetched, whether it is new or not. Which DIDs are
	// worth keeping is the implementation's to decide: anybody can make a node resolve
	// DIDs, so one that keeps all can be filled up. An error fails the resolution.
	Seen(ctx context.Context, d *Document, at time.Time) error
	// Version returns the version with a version id, [VersionID] of its document; an
	// [*Error] of code [NotFound] if there is none.
	Version(ctx context.Context, did, versionID string) (*Version, error)
	// VersionAt returns the version that was the latest seen at a time.
	VersionAt(ctx context.Context, did string, at time.Time) (*Version, error)
}

// Version is one version of a document.
type Version struct {
	Document *Document
	DocumentMetadata
}

// VersionID returns the versionId of a document: its digest in lower-case hexadecimal.
func VersionID(d *Document) string {
	digest := d.Digest()
	return hex.EncodeToString(digest[:])
}

// MemoryHistory is a [History] in memory. The zero value keeps up to 4096 versions of any
// DIDs.
type MemoryHistory struct {
	// Keep says whether to keep the versions of a DID; nil keeps all.
	Keep func(did string) bool
	// Max is the greatest number of changes recorded; then Seen fails. 0 is 4096.
	Max int

	mu      sync.Mutex
	changes int
	seen    map[string][]sighting // by DID, in order of time
}

type sighting struct {
	doc   *Document
	since time.Time
}

// Seen records d if it is another version than the last one of its DID.
func (h *MemoryHistory) Seen(_ context.Context, d *Document, at time.Time) error {
	if h.Keep != nil && !h.Keep(d.ID()) {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.seen[d.ID()]
	if n := len(list); n > 0 && list[n-1].doc.Digest() == d.Digest() {
		return nil
	}
	limit := h.Max
	if limit <= 0 {
		limit = 4096
	}
	if h.changes >= limit {
		return fmt.Errorf("did: the history is full (%d versions)", limit)
	}
	h.changes++
	if h.seen == nil {
		h.seen = map[string][]sighting{}
	}
	h.seen[d.ID()] = append(list, sighting{d, at})
	return nil
}

// Version returns a version by its id. If it was current more than once, the last time
// counts.
func (h *MemoryHistory) Version(_ context.Context, did, versionID string) (*Version, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.seen[did]
	for i := len(list) - 1; i >= 0; i-- {
		if VersionID(list[i].doc) == versionID {
			return version(list, i), nil
		}
	}
	return nil, &Error{Code: NotFound, DID: did, Err: errors.New("no such version is known here")}
}

// VersionAt returns the version that was the latest seen at a time.
func (h *MemoryHistory) VersionAt(_ context.Context, did string, at time.Time) (*Version, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.seen[did]
	for i := len(list) - 1; i >= 0; i-- {
		if !list[i].since.After(at) {
			return version(list, i), nil
		}
	}
	return nil, &Error{Code: NotFound, DID: did, Err: errors.New("no version is known here of that time")}
}

func version(list []sighting, i int) *Version {
	v := &Version{Document: list[i].doc, DocumentMetadata: DocumentMetadata{VersionID: VersionID(list[i].doc)}}
	if i > 0 {
		v.Updated = list[i].since
	}
	if i+1 < len(list) {
		v.NextUpdate = list[i+1].since
		v.NextVersionID = VersionID(list[i+1].doc)
	}
	return v
}
