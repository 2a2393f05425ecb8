package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ihyid/did"
	"ihyid/kms"
	"ihyid/store"
	"ihyid/store/jobs"
)

// DefaultOverlap is how long a key that was replaced stays good: longer than an exchange may rest, so that those under way end under the
// keys with which they began.
const DefaultOverlap = 48 * time.Hour

const (
	maxOverlap      = 365 * 24 * time.Hour
	maxDocumentKeys = 60 // of which each is two verification methods; did.MaxMethods is 128
	maxEndedLogins  = 8  // authentication keys that ended: nothing that lasts is signed with them
)

// KeyState is where a key of the node stands.
type KeyState string

// The states of a key.
const (
	KeyActive   KeyState = "active"   // signs
	KeyReplaced KeyState = "replaced" // signs what was begun with it, until it expires
	KeyRetired  KeyState = "retired"  // signs no more; what it signed needs evidence of its time
)

// Key is a key of the node, as its DID document shows it.
type Key struct {
	ID        string      `json:"id"`     // in the key store; of a key for key agreement, which it only wraps: the fragment of Method
	Method    string      `json:"method"` // the verification method, a DID URL
	Purpose   kms.Purpose `json:"purpose"`
	Curve     kms.Curve   `json:"curve"` // of a key for key agreement: did.HybridKEM
	State     KeyState    `json:"state"`
	Created   time.Time   `json:"created,omitzero"`
	Expires   time.Time   `json:"expires,omitzero"`
	Revoked   time.Time   `json:"revoked,omitzero"`
	Published bool        `json:"published"` // it stands in the DID document
}

// Change is one step in the history of the node's DID document: the next document, and the statement, signed with a key of the one before,
// that leads to it.
type Change struct {
	Document  json.RawMessage `json:"document"`
	Statement json.RawMessage `json:"statement"`
}

// Changes is what a node answers to who asks for its changes: the first ones after a document, in order.
type Changes struct {
	Changes []Change `json:"changes"`
}

// Keys lists the node's keys, the oldest first.
func (n *Node) Keys(context.Context) ([]Key, error) {
	id := n.self()
	doc, err := did.ParseDocument(id.Document)
	if err != nil {
		return nil, err
	}
	out := make([]Key, 0, len(id.Keys)+len(id.KeyAgreement))
	for i := range id.Keys {
		out = append(out, n.keyView(id, doc, i))
	}
	for i := range id.KeyAgreement {
		out = append(out, n.agreementKeyView(id, doc, i))
	}
	return out, nil
}

func (n *Node) keyView(id *identity, doc *did.Document, i int) Key {
	k := id.Keys[i]
	v := Key{
		ID: k.Key, Method: k.Method, Purpose: kms.Purpose(k.Purpose), Curve: k.Curve, State: KeyActive,
		Created: k.Created, Expires: k.Expires, Revoked: k.Revoked,
	}
	switch {
	case k.ended(n.now()):
		v.State = KeyRetired
	case !k.Expires.IsZero():
		v.State = KeyReplaced
	}
	_, v.Published = doc.Method(k.Method)
	return v
}

// RotateOptions say how to replace a key.
type RotateOptions struct {
	Curve   kms.Curve     // "": as the key that is replaced
	Overlap time.Duration // how long the replaced key stays good; 0: it is revoked at once, and what was begun under it fails
}

// RotateKey makes a new key for a purpose and publishes it; the one in use until now stays in the DID document and expires after the
// overlap. A key for key agreement (did.KeyAgreement) leaves the document then and is erased. The change is signed before it is published, with the key that was in use, so that peers who know that key accept the new one.
func (n *Node) RotateKey(ctx context.Context, purpose kms.Purpose, o RotateOptions) (Key, error) {
	if err := purpose.Check(); err != nil && purpose != did.KeyAgreement || purpose == kms.SignIn {
		return Key{}, fail(CodeInvalid, "the purpose of a key is assertionMethod, authentication or keyAgreement")
	}
	if o.Overlap < 0 || o.Overlap > maxOverlap {
		return Key{}, fail(CodeInvalid, "the time that a replaced key stays good is between 0 and %s", maxOverlap)
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	old := n.self()
	if purpose == did.KeyAgreement {
		return n.rotateAgreementKey(ctx, old, o)
	}
	curve := o.Curve
	number := 0
	for _, k := range old.Keys {
		if k.Purpose == string(purpose) && o.Curve == "" && k.Curve != "" {
			curve = k.Curve
		}
		_, fragment, _ := strings.Cut(k.Method, "#")
		if i, err := strconv.Atoi(strings.TrimPrefix(fragment, "key-")); err == nil {
			number = max(number, i)
		}
	}
	if curve == "" {
		curve = kms.P256
	}
	if _, err := curve.Elliptic(); err != nil {
		return Key{}, fail(CodeInvalid, "the curve of a key is P-256 or P-384")
	}
	if err := old.canChange(); err != nil {
		return Key{}, err
	}
	info, err := n.keys.Create(ctx, curve, purpose)
	if err != nil {
		return Key{}, fmt.Errorf("making the new key: %w", err)
	}
	now := n.now().UTC().Truncate(time.Second)
	err = n.change(ctx, old, func(next *identity) error {
		for i := range next.Keys {
			k := &next.Keys[i]
			if k.Purpose != string(purpose) || k.ended(now) {
				continue
			}
			if until := now.Add(o.Overlap); o.Overlap == 0 {
				k.Revoked = now
			} else if k.Expires.IsZero() || until.Before(k.Expires) {
				k.Expires = until
			}
		}
		next.Keys = append(next.Keys, identityKey{
			Key: info.ID, Method: fmt.Sprintf("%s#key-%d", next.DID, number+1), Purpose: string(purpose), Curve: curve, Created: now,
		})
		return nil
	}, &info)
	if err != nil {
		// Nobody has seen the new key.
		return Key{}, errors.Join(err, n.keys.Destroy(context.WithoutCancel(ctx), info.ID))
	}
	if err := n.retireEnded(ctx); err != nil {
		return Key{}, err
	}
	return n.lastKey()
}

func (n *Node) lastKey() (Key, error) {
	id := n.self()
	doc, err := did.ParseDocument(id.Document)
	if err != nil {
		return Key{}, err
	}
	return n.keyView(id, doc, len(id.Keys)-1), nil
}

// RetireKey revokes a key, named by its id in the key store, its verification method or that one's fragment. The key in use cannot be
// retired: it has to be replaced first. A key for key agreement is erased.
func (n *Node) RetireKey(ctx context.Context, name string) (Key, error) {
	n.changing.Lock()
	defer n.changing.Unlock()
	old := n.self()
	at := slices.IndexFunc(old.Keys, func(k identityKey) bool {
		_, fragment, _ := strings.Cut(k.Method, "#")
		return name != "" && (k.Key == name || k.Method == name || fragment == strings.TrimPrefix(name, "#"))
	})
	if at < 0 {
		if i := old.agreementKeyNamed(name); i >= 0 {
			return n.retireAgreementKey(ctx, old, i)
		}
		return Key{}, fail(CodeNotFound, "this node has no key %s", oneLine(name, 100))
	}
	if err := old.canChange(); err != nil {
		return Key{}, err
	}
	k := old.Keys[at]
	if !k.Revoked.IsZero() {
		return Key{}, fail(CodeConflict, "the key %s is retired already", k.Method)
	}
	newest := at
	for i := range old.Keys {
		if old.Keys[i].Purpose == k.Purpose && !old.Keys[i].ended(n.now()) {
			newest = i
		}
	}
	if newest <= at && !k.ended(n.now()) {
		return Key{}, fail(CodeConflict, "the key %s is the one in use for %s: replace it first (keys rotate)", k.Method, k.Purpose)
	}
	err := n.change(ctx, old, func(next *identity) error {
		next.Keys[at].Revoked = n.now().UTC().Truncate(time.Second)
		return nil
	}, nil)
	if err != nil {
		return Key{}, err
	}
	if err := n.retireEnded(ctx); err != nil {
		return Key{}, err
	}
	id := n.self()
	doc, err := did.ParseDocument(id.Document)
	if err != nil {
		return Key{}, err
	}
	return n.keyView(id, doc, at), nil
}

// canChange refuses a DID whose document cannot change.
func (id *identity) canChange() error {
	if !strings.HasPrefix(id.DID, "did:web:") {
		return fail(CodeUnsupported, "a did:key is its key: it cannot be changed; a node with a did:web can rotate its keys")
	}
	return nil
}

// change puts another identity in the place of old, which is the present one: document, statement, organisation credential and keys in one
// transaction. added is a key of the next identity that old does not have.
func (n *Node) change(ctx context.Context, old *identity, alter func(next *identity) error, added *kms.KeyInfo) error {
	before, err := did.ParseDocument(old.Document)
	if err != nil {
		return err
	}
	next := *old
	next.Keys = slices.Clone(old.Keys)
	if err := alter(&next); err != nil {
		return err
	}
	after, err := next.document(before, added, n.now())
	if err != nil {
		return err
	}
	next.Document = after.Bytes()
	signer, err := n.newestKey(ctx, old, did.AssertionMethod)
	if err != nil {
		return fmt.Errorf("signing the change: %w", err)
	}
	statement, err := did.SignChange(n.rand, before, after, signer.VerificationMethod, signer.Signer, n.now())
	if err != nil {
		return err
	}
	now, err := n.newestKey(ctx, &next, did.AssertionMethod)
	if err != nil {
		return err
	}
	if now.VerificationMethod != signer.VerificationMethod {
		if err := n.signOrganisation(ctx, &next); err != nil {
			return err
		}
	}
	digest := before.Digest()
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(
			n.kept.identity.Put(tx, identityRecordKey, next),
			n.putDocument(tx, before), n.putDocument(tx, after),
			n.kept.changes.Put(tx, digest[:], Change{Document: after.Bytes(), Statement: statement}),
		)
	})
	if err != nil {
		return fmt.Errorf("keeping the new identity: %w", err)
	}
	n.identity.Store(&next)
	n.log.Info("the node's DID document changed", "document", documentDigest(after))
	return nil
}

// document builds the DID document of an identity. The public halves come from the document before, which also shows keys that the key store
// may have given up since.
func (id *identity) document(before *did.Document, added *kms.KeyInfo, now time.Time) (*did.Document, error) {
	spec := did.DocumentSpec{ID: id.DID, Services: before.Services(), AlsoKnownAs: before.AlsoKnownAs()}
	endedLogins := 0
	for i := len(id.Keys) - 1; i >= 0; i-- {
		k := &id.Keys[i]
		_, fragment, _ := strings.Cut(k.Method, "#")
		s := did.SpecKey{Fragment: fragment, Relationships: []string{k.Purpose}, Expires: k.Expires, Revoked: k.Revoked}
		if added != nil && k.Key == added.ID {
			s.Public = added.Public
		} else {
			m, ok := before.Method(k.Method)
			if !ok {
				continue // left out before
			}
			var err error
			if s.Public, err = m.PublicKey(); err != nil {
				return nil, err
			}
		}
		if k.Purpose == did.Authentication && k.ended(now) {
			if endedLogins++; endedLogins > maxEndedLogins {
				continue
			}
		}
		spec.Keys = append(spec.Keys, s)
	}
	if len(spec.Keys) > maxDocumentKeys {
		return nil, fail(CodeTooMany, "the DID document shows %d keys, as many as it can: receipts need those that signed them", maxDocumentKeys)
	}
	slices.Reverse(spec.Keys)
	var err error
	if spec.Keys, err = id.agreementSpecs(spec.Keys, now); err != nil {
		return nil, err
	}
	return did.Build(spec)
}

// retireEnded has the key store give up what keys it may: those that were revoked or have expired. What a crash left undone is done later.
// The caller holds changing.
func (n *Node) retireEnded(ctx context.Context) error {
	errs := []error{n.eraseEndedAgreementKeys(ctx)}
	id := n.self()
	for i := range id.Keys {
		k := &id.Keys[i]
		if !k.ended(n.now()) {
			continue
		}
		info, err := n.keys.Get(ctx, k.Key)
		if errors.Is(err, kms.ErrKeyNotFound) || (err == nil && info.State == kms.Retired) {
			continue
		}
		if err == nil {
			err = n.keys.Retire(ctx, k.Key)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("retiring the key %s: %w", k.Method, err))
		}
	}
	return errors.Join(errs...)
}

// endKeys is retireEnded from outside a change.
func (n *Node) endKeys(ctx context.Context) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	return n.retireEnded(ctx)
}

// ownKey is the key that signs now, as others name it, and the digest of the document that shows it.
func (n *Node) ownKey(ctx context.Context) (method, document string, err error) {
	id := n.self()
	key, err := n.newestKey(ctx, id, did.AssertionMethod)
	if err != nil {
		return "", "", err
	}
	document, err = digestJSON(id.Document)
	return key.VerificationMethod, document, err
}

// Changes gives the first changes of the node's DID document after the one with the digest since (hex); none if it is the present one, or not
// one of the node's.
func (n *Node) Changes(ctx context.Context, since string) (Changes, error) {
	if !isHex(since, 32) {
		return Changes{}, fail(CodeInvalid, "since is the digest of a DID document: 32 bytes in lower-case hex")
	}
	out := Changes{Changes: []Change{}}
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for size := 0; len(out.Changes) < changesPerReply && size < maxChangesReply/2; {
			key, err := n.documentKey(since)
			if err != nil {
				return err
			}
			c, err := n.kept.changes.Get(tx, key)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			out.Changes = append(out.Changes, c)
			size += len(c.Document) + len(c.Statement)
			if since, err = digestJSON(c.Document); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// RotateDataKey begins to seal every record with a new data key, in a job; the old one is destroyed at the end.
func (n *Node) RotateDataKey(ctx context.Context) (j jobs.Job, err error) {
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		j, err = n.jobs.Enqueue(tx, jobs.KindRotateKeys, nil)
		return err
	})
	return j, err
}

// Rewrap has everything that the key store's wrapping key protects protected by another key store: the store's own keys, the keys for key
// agreement and the sealed VOPRF keys. It can be done again after a crash. The node must not be running.
func (n *Node) Rewrap(ctx context.Context, to kms.Store) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	n.sealing.Lock()
	defer n.sealing.Unlock()
	return n.rewrap(ctx, to)
}

func (n *Node) rewrap(ctx context.Context, to kms.Store) error {
	var id *identity
	err := n.store.Update(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.epochs.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			e := item.Value
			if e.Key == nil {
				continue // the initiator's side of an epoch has no key
			}
			if e.Key, err = kms.RewrapKey(ctx, n.keys, to, e.Key, epochLabel(item.Key, e.ID)); err != nil {
				return fmt.Errorf("wrapping a VOPRF key anew: %w", err)
			}
			if err := n.kept.epochs.Put(tx, item.Key, e); err != nil {
				return err
			}
		}
		var err error
		id, err = n.rewrapAgreementKeys(ctx, tx, to)
		return err
	})
	if err != nil {
		return err
	}
	n.identity.Store(id)
	if err := n.store.Rewrap(ctx, to); err != nil {
		return fmt.Errorf("wrapping the store's keys anew: %w", err)
	}
	return nil
}

// RotateWrappingKey makes a new wrapping key in the key store, wraps the store's keys with it, and destroys the former ones.
func (n *Node) RotateWrappingKey(ctx context.Context) error {
	rotator, ok := n.keys.(kms.WrapRotator)
	if !ok {
		return fail(CodeUnsupported, "the wrapping key of this key store cannot be rotated")
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	n.sealing.Lock()
	defer n.sealing.Unlock()
	fresh, err := rotator.RotateWrapping(ctx)
	if err != nil {
		return fmt.Errorf("making a new wrapping key: %w", err)
	}
	if err := n.rewrap(ctx, n.keys); err != nil {
		return err
	}
	all, err := rotator.WrappingKeys(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, k := range all {
		if k.ID != fresh.ID {
			errs = append(errs, rotator.DestroyWrapping(ctx, k.ID))
		}
	}
	return errors.Join(errs...)
}
