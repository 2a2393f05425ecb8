package exchange

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"ihyid/credentials"
	"ihyid/did"
	"ihyid/store"
)

// documentRecord is one version of a DID document that this node published or saw. Every version is kept: an old receipt
// may need it.
type documentRecord struct {
	DID      string          `json:"did"`
	Document json.RawMessage `json:"document"`
	Seen     time.Time       `json:"seen"`
}

func documentDigest(d *did.Document) string {
	sum := d.Digest()
	return hex.EncodeToString(sum[:])
}

// putDocument keeps a document by its digest; one that is there already stays as it is.
func (n *Node) putDocument(tx *store.Tx, d *did.Document) error {
	digest := d.Digest()
	if _, err := n.kept.documents.Get(tx, digest[:]); err == nil {
		return nil
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return n.kept.documents.Put(tx, digest[:], documentRecord{DID: d.ID(), Document: d.Bytes(), Seen: n.now().UTC()})
}

// document gives the kept document with that digest (hex).
func (n *Node) document(tx *store.Tx, digest string) (documentRecord, error) {
	key, err := n.documentKey(digest)
	if err != nil {
		return documentRecord{}, err
	}
	return n.kept.documents.Get(tx, key)
}

func (n *Node) documentKey(digest string) ([]byte, error) {
	key, err := hex.DecodeString(digest)
	if err != nil || len(key) != 32 {
		return nil, errors.New("that is not the digest of a document")
	}
	return key, nil
}

// documentKeys answers a verifier's question for a key from resolved DID documents, and remembers which it used.
type documentKeys struct {
	resolver did.Resolver
	refresh  func(ctx context.Context, name string) (*did.Document, error) // resolves anew, past caches; nil, nil: it cannot

	mu        sync.Mutex
	docs      map[string]*did.Document // by DID
	refreshed map[string]bool
	err       error
}

// Key implements credentials.KeyResolver. In one verification a DID has one document, even if it changes meanwhile, unless that
// document lacks the key: then its owner may have rotated its keys since it was cached, and it is resolved once more.
func (k *documentKeys) Key(ctx context.Context, method, purpose string) (credentials.KeyStatus, error) {
	subject := ownerOf(method)
	d := k.document(subject)
	if d == nil {
		res, err := k.resolver.Resolve(ctx, subject)
		if err != nil {
			return credentials.KeyStatus{}, k.failed(err)
		}
		d = res.Document
		k.keep(subject, d)
	}
	status, err := keyStatus(d, method, purpose)
	if (err != nil || !status.Authorized) && k.again(ctx, subject) {
		return keyStatus(k.document(subject), method, purpose)
	}
	return status, err
}

// again resolves a DID anew, at most once in a verification; it reports whether the document is another one now.
func (k *documentKeys) again(ctx context.Context, subject string) bool {
	k.mu.Lock()
	done := k.refreshed[subject]
	if k.refreshed == nil {
		k.refreshed = map[string]bool{}
	}
	k.refreshed[subject] = true
	k.mu.Unlock()
	if done || k.refresh == nil {
		return false
	}
	d, err := k.refresh(ctx, subject)
	if err != nil {
		_ = k.failed(err)
		return false
	}
	old := k.document(subject)
	if d == nil || old != nil && old.Digest() == d.Digest() {
		return false
	}
	k.keep(subject, d)
	return true
}

func (k *documentKeys) keep(subject string, d *did.Document) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.docs == nil {
		k.docs = map[string]*did.Document{}
	}
	k.docs[subject] = d
}

func (k *documentKeys) failed(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
	return err
}

func (k *documentKeys) document(subject string) *did.Document {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.docs[subject]
}

// keyStatus says what a document says of one of its verification methods.
func keyStatus(d *did.Document, method, purpose string) (credentials.KeyStatus, error) {
	vm, ok := d.Method(method)
	if !ok {
		return credentials.KeyStatus{}, fmt.Errorf("the DID document has no verification method %s", method)
	}
	public, err := vm.PublicKey()
	if err != nil {
		return credentials.KeyStatus{}, err
	}
	return credentials.KeyStatus{
		Public: public, Controller: vm.Controller, Authorized: d.Authorizes(purpose, method),
		Expires: vm.Expires, Revoked: vm.Revoked,
	}, nil
}

// failure is the last error of the resolver, if one stood in the way.
func (k *documentKeys) failure() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// History gives the versions of its own document and of its peers' that the node keeps.
func (n *Node) History() did.History { return history{n} }

type history struct{ n *Node }

// Seen keeps nothing: the node keeps what it publishes itself and what it is shown by peers.
func (history) Seen(context.Context, *did.Document, time.Time) error { return nil }

// Version gives a kept version by its digest.
func (h history) Version(ctx context.Context, name, versionID string) (*did.Version, error) {
	return h.find(ctx, name, func(digest string, _ documentRecord) bool { return digest == versionID })
}

// VersionAt gives the version that was the last to be kept at a time.
func (h history) VersionAt(ctx context.Context, name string, at time.Time) (*did.Version, error) {
	return h.find(ctx, name, func(_ string, r documentRecord) bool { return !r.Seen.After(at) })
}

func (h history) find(ctx context.Context, name string, fits func(digest string, r documentRecord) bool) (*did.Version, error) {
	var best *documentRecord
	err := h.n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range h.n.kept.documents.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			if r := item.Value; r.DID == name && fits(hex.EncodeToString(item.Key), r) && (best == nil || r.Seen.After(best.Seen)) {
				best = &r
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if best == nil {
		return nil, &did.Error{Code: did.NotFound, DID: name, Err: errors.New("no such version is kept here")}
	}
	d, err := did.ParseDocument(best.Document)
	if err != nil {
		return nil, err
	}
	return &did.Version{Document: d, DocumentMetadata: did.DocumentMetadata{VersionID: did.VersionID(d), Updated: best.Seen}}, nil
}

// NewKeys answers a verifier's questions for keys from DID documents that r resolves. In its life a DID has one document: make one for each verification.
func NewKeys(r did.Resolver) credentials.KeyResolver { return &documentKeys{resolver: r} }
