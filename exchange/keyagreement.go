package exchange

import (
	"context"
	"crypto/hpke"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ihyid/did"
	"ihyid/kms"
	"ihyid/store"
)

// What travels as a file is sealed to its receiver with HPKE (RFC 9180, MLKEM768-X25519). A node makes a key pair for that, whose private half the
// key store wraps. A did:web publishes the public half in its DID document, under keyAgreement. The document of a did:key follows from the DID
// alone; such a node states its key in its organisation credential, which its one key signs.

// agreementKey is a key pair for key agreement. Once it has ended it is erased: what was sealed to it cannot be opened any more, by anybody.
type agreementKey struct {
	Method  string         `json:"method"` // DID URL
	Sealed  *kms.SealedKey `json:"sealed"`
	Created time.Time      `json:"created"`
	Expires time.Time      `json:"expires,omitzero"` // replaced: good until then
}

func (k *agreementKey) ended(now time.Time) bool {
	return !k.Expires.IsZero() && !now.Before(k.Expires)
}

const agreementFragment = "hpke-"

// agreementLabel is the label under which the key store seals the key of a verification method.
func agreementLabel(method string) string { return "keyAgreement " + method }

func isDIDKey(name string) bool { return strings.HasPrefix(name, "did:key:") }

// encodeAgreementKey writes the public half as an organisation credential states it: base64url without padding, of the 1216 bytes of the encapsulation key.
func encodeAgreementKey(public []byte) string { return base64.RawURLEncoding.EncodeToString(public) }

func decodeAgreementKey(s string) (hpke.PublicKey, error) {
	bad := fail(CodeInvalid, "the key agreement key of an organisation credential is not a public key of %s in base64url", did.HybridKEM)
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, bad
	}
	k, err := hpke.MLKEM768X25519().NewPublicKey(b)
	if err != nil {
		return nil, bad
	}
	return k, nil
}

// addAgreementKey makes a new key pair, the one in use from then on.
func (n *Node) addAgreementKey(ctx context.Context, id *identity) error {
	number := 1
	for _, k := range id.KeyAgreement {
		_, fragment, _ := strings.Cut(k.Method, "#")
		if i, err := strconv.Atoi(strings.TrimPrefix(fragment, agreementFragment)); err == nil {
			number = max(number, i+1)
		}
	}
	k := agreementKey{Method: id.DID + "#" + agreementFragment + strconv.Itoa(number), Created: n.now().UTC().Truncate(time.Second)}
	var err error
	if k.Sealed, err = kms.GenerateHPKE(ctx, n.keys, kms.HPKEHybrid, agreementLabel(k.Method)); err != nil {
		return fmt.Errorf("making the keyAgreement key: %w", err)
	}
	id.KeyAgreement = append(slices.Clone(id.KeyAgreement), k)
	return nil
}

// agreementSpecs appends the keys that a DID document shows: those that have not ended.
func (id *identity) agreementSpecs(keys []did.SpecKey, now time.Time) ([]did.SpecKey, error) {
	for _, k := range id.KeyAgreement {
		if k.ended(now) {
			continue
		}
		public, err := hpke.MLKEM768X25519().NewPublicKey(k.Sealed.Public)
		if err != nil {
			return nil, fmt.Errorf("reading the key %s: %w", k.Method, err)
		}
		_, fragment, _ := strings.Cut(k.Method, "#")
		keys = append(keys, did.SpecKey{Fragment: fragment, Public: public, Relationships: []string{did.KeyAgreement}, Expires: k.Expires})
	}
	return keys, nil
}

// ensureAgreementKey gives a node that was made before there were such keys one.
func (n *Node) ensureAgreementKey(ctx context.Context) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	old := n.self()
	if len(old.KeyAgreement) > 0 {
		return nil
	}
	if !isDIDKey(old.DID) {
		return n.change(ctx, old, func(next *identity) error {
			// Its organisation credential has the context of that time.
			return errors.Join(n.addAgreementKey(ctx, next), n.signOrganisation(ctx, next))
		}, nil)
	}
	next := *old
	if err := n.addAgreementKey(ctx, &next); err != nil {
		return err
	}
	if err := n.signOrganisation(ctx, &next); err != nil {
		return err
	}
	if err := n.store.Update(ctx, func(tx *store.Tx) error { return n.kept.identity.Put(tx, identityRecordKey, next) }); err != nil {
		return fmt.Errorf("keeping the new identity: %w", err)
	}
	n.identity.Store(&next)
	return nil
}

// rotateAgreementKey makes a new key the one in use; the ones before end after the overlap. The caller holds changing.
func (n *Node) rotateAgreementKey(ctx context.Context, old *identity, o RotateOptions) (Key, error) {
	if o.Curve != "" {
		return Key{}, fail(CodeInvalid, "a key for key agreement has no choice of curves")
	}
	if err := old.canChange(); err != nil {
		return Key{}, err
	}
	until := n.now().UTC().Truncate(time.Second).Add(o.Overlap)
	err := n.change(ctx, old, func(next *identity) error {
		next.KeyAgreement = slices.Clone(next.KeyAgreement)
		for i := range next.KeyAgreement {
			if k := &next.KeyAgreement[i]; k.Expires.IsZero() || until.Before(k.Expires) {
				k.Expires = until
			}
		}
		return n.addAgreementKey(ctx, next)
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
	return n.agreementKeyView(id, doc, len(id.KeyAgreement)-1), nil
}

func (id *identity) agreementKeyNamed(name string) int {
	return slices.IndexFunc(id.KeyAgreement, func(k agreementKey) bool {
		_, fragment, _ := strings.Cut(k.Method, "#")
		return k.Method == name || fragment == strings.TrimPrefix(name, "#")
	})
}

// retireAgreementKey ends a key that was replaced, and erases it. The caller holds changing.
func (n *Node) retireAgreementKey(ctx context.Context, old *identity, at int) (Key, error) {
	if err := old.canChange(); err != nil {
		return Key{}, err
	}
	if at == len(old.KeyAgreement)-1 {
		return Key{}, fail(CodeConflict, "the key %s is the one in use for keyAgreement: replace it first (keys rotate)", old.KeyAgreement[at].Method)
	}
	err := n.change(ctx, old, func(next *identity) error {
		next.KeyAgreement = slices.Delete(slices.Clone(next.KeyAgreement), at, at+1)
		return nil
	}, nil)
	if err != nil {
		return Key{}, err
	}
	k := old.KeyAgreement[at]
	_, fragment, _ := strings.Cut(k.Method, "#")
	return Key{
		ID: fragment, Method: k.Method, Purpose: did.KeyAgreement, Curve: did.HybridKEM, State: KeyRetired, Created: k.Created, Revoked: n.now().UTC().Truncate(time.Second),
	}, nil
}

// eraseEndedAgreementKeys takes keys that have ended out of the DID document and the store. The caller holds changing.
func (n *Node) eraseEndedAgreementKeys(ctx context.Context) error {
	old := n.self()
	ended := func(k agreementKey) bool { return k.ended(n.now()) }
	if !slices.ContainsFunc(old.KeyAgreement, ended) {
		return nil
	}
	return n.change(ctx, old, func(next *identity) error {
		next.KeyAgreement = slices.DeleteFunc(slices.Clone(next.KeyAgreement), ended)
		return nil
	}, nil)
}

func (n *Node) agreementKeyView(id *identity, doc *did.Document, i int) Key {
	k := id.KeyAgreement[i]
	_, fragment, _ := strings.Cut(k.Method, "#")
	v := Key{
		ID: fragment, Method: k.Method, Purpose: did.KeyAgreement, Curve: did.HybridKEM, State: KeyActive, Created: k.Created, Expires: k.Expires,
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

// agreementKeys opens the node's own keys for key agreement, the one in use first, those that were replaced and have not ended after it.
func (n *Node) agreementKeys(ctx context.Context) ([]hpke.PrivateKey, error) {
	n.sealing.RLock()
	defer n.sealing.RUnlock()
	id := n.self()
	var out []hpke.PrivateKey
	for _, k := range slices.Backward(id.KeyAgreement) {
		if k.ended(n.now()) {
			continue
		}
		private, err := kms.OpenHPKE(ctx, n.keys, k.Sealed, agreementLabel(k.Method))
		if err != nil {
			return nil, fmt.Errorf("opening the key %s: %w", k.Method, err)
		}
		out = append(out, private)
	}
	return out, nil
}

// agreementKeyOf gives the key to which what goes to a peer as a file is sealed, and nothing is asked over a network: it stands in the DID document that
// the peer is held to, or in the organisation credential of a peer that is a did:key.
func (n *Node) agreementKeyOf(ctx context.Context, name string) (hpke.PublicKey, error) {
	r, err := n.peer(ctx, name)
	if err != nil {
		return nil, err
	}
	doc, err := n.keptDocument(ctx, r.Peer.Document)
	if err != nil {
		return nil, fmt.Errorf("the document that %s is held to: %w", name, err)
	}
	return agreementKeyIn(doc, r.Credential, n.now())
}

// agreementKeyIn finds the newest key for key agreement of a DID document, or the one of the organisation credential of a did:key, which must have been
// verified. CodeUnsupported where there is none.
func agreementKeyIn(doc *did.Document, organisation []byte, now time.Time) (hpke.PublicKey, error) {
	if isDIDKey(doc.ID()) {
		return agreementKeyStated(doc.ID(), organisation)
	}
	for _, m := range slices.Backward(doc.Methods()) {
		if !doc.Authorizes(did.KeyAgreement, m.ID) || m.Controller != doc.ID() ||
			!m.Revoked.IsZero() && !now.Before(m.Revoked) || !m.Expires.IsZero() && !now.Before(m.Expires) {
			continue
		}
		public, err := m.PublicKey()
		if err != nil {
			continue // of a kind that this program does not know
		}
		if k, ok := public.(hpke.PublicKey); ok {
			return k, nil
		}
	}
	return nil, noAgreementKey(doc.ID())
}

func agreementKeyStated(name string, organisation []byte) (hpke.PublicKey, error) {
	if len(organisation) == 0 {
		return nil, noAgreementKey(name)
	}
	o, err := object(organisation)
	if err != nil {
		return nil, err
	}
	document, _ := opened(o)
	typ, subject, err := typeAndSubject(document)
	if err != nil {
		return nil, err
	}
	var s organisationSubject
	if err := readExact(subject, &s); err != nil {
		return nil, err
	}
	switch {
	case typ != typeOrganisation || s.ID != name:
		return nil, fail(CodeInvalid, "that is not the organisation credential of %s", name)
	case s.KeyAgreement == "":
		return nil, noAgreementKey(name)
	}
	return decodeAgreementKey(s.KeyAgreement)
}

func noAgreementKey(name string) error {
	return fail(CodeUnsupported, "%s publishes no key of %s under keyAgreement, so nothing can be sealed to it: its node has to be brought up to date", name, did.HybridKEM)
}

// check refuses what no organisation credential of a peer may state.
func (s *organisationSubject) check() error {
	if err := s.organisation().check(); err != nil {
		return err
	}
	if s.KeyAgreement == "" {
		return nil
	}
	if !isDIDKey(s.ID) {
		return fail(CodeInvalid, "the key agreement key of %s belongs in its DID document", oneLine(s.ID, maxDID))
	}
	_, err := decodeAgreementKey(s.KeyAgreement)
	return err
}

// rewrapAgreementKeys wraps the keys with another key store, or with another wrapping key of the same one.
func (n *Node) rewrapAgreementKeys(ctx context.Context, tx *store.Tx, to kms.Store) (*identity, error) {
	id, err := n.kept.identity.Get(tx, identityRecordKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoIdentity
	}
	if err != nil {
		return nil, err
	}
	id.KeyAgreement = slices.Clone(id.KeyAgreement)
	for i := range id.KeyAgreement {
		k := &id.KeyAgreement[i]
		if k.Sealed, err = kms.RewrapKey(ctx, n.keys, to, k.Sealed, agreementLabel(k.Method)); err != nil {
			return nil, fmt.Errorf("wrapping the key %s anew: %w", k.Method, err)
		}
	}
	return &id, n.kept.identity.Put(tx, identityRecordKey, id)
}
