package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"ihyid/credentials"
	"ihyid/did"
	"ihyid/kms"
	"ihyid/store"
)

// identity is what a node is: one record.
type identity struct {
	DID          string          `json:"did"`
	Keys         []identityKey   `json:"keys"`
	Document     json.RawMessage `json:"document"`
	Organisation Organisation    `json:"organisation"`
	Credential   json.RawMessage `json:"credential"` // the organisation credential
	KeyAgreement []agreementKey  `json:"key_agreement,omitempty"`
	Created      time.Time       `json:"created"`
}

// identityKey ties a key of the key store to a verification method of the DID document.
type identityKey struct {
	Key     string    `json:"key"`     // id in the key store
	Method  string    `json:"method"`  // DID URL
	Purpose string    `json:"purpose"` // "assertionMethod", "authentication", or "" for both (did:key)
	Curve   kms.Curve `json:"curve,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Expires time.Time `json:"expires,omitzero"` // replaced: good until then
	Revoked time.Time `json:"revoked,omitzero"` // retired: not good since then
}

// ended reports whether a key signs no more.
func (k *identityKey) ended(now time.Time) bool {
	return !k.Revoked.IsZero() || (!k.Expires.IsZero() && !now.Before(k.Expires))
}

var identityRecordKey = []byte("node")

// NewIdentity says what node to make.
type NewIdentity struct {
	Method       string   // "web" or "key"
	Host         string   // for "web": HOST[:PORT] under which peers will reach the node
	Path         string   // for "web": optional path, such as "aid/north"
	AlsoKnownAs  []string // for "web": other URIs of the organisation, which its DID document shows
	Organisation Organisation
	Curve        kms.Curve // "": P-256

	AllowLoopback bool // for "web": the host may be this machine's own name or address, which the method forbids; for trials
}

// ErrExists is returned by Create when the store already holds a node.
var ErrExists = errors.New("there is a node here already")

// Create makes the keys, the DID and the organisation credential of a new node.
func Create(ctx context.Context, o Options, want NewIdentity) (*Node, error) {
	if err := want.Organisation.check(); err != nil {
		return nil, err
	}
	n, err := newNode(o)
	if err != nil {
		return nil, err
	}
	if err := n.loadIdentity(ctx); err == nil {
		return nil, ErrExists
	} else if !errors.Is(err, errNoIdentity) {
		return nil, err
	}
	if want.Curve == "" {
		want.Curve = "P-256"
	}
	id := &identity{Organisation: want.Organisation, Created: n.now().UTC()}
	var doc *did.Document
	switch want.Method {
	case "web":
		doc, err = n.createWeb(ctx, id, want)
	case "key":
		doc, err = n.createKey(ctx, id, want)
	default:
		return nil, fail(CodeUnsupported, "DID method %q is not one that a node can have; use web or key", want.Method)
	}
	if err != nil {
		return nil, err
	}
	id.Document = doc.Bytes()
	if err := n.signOrganisation(ctx, id); err != nil {
		return nil, err
	}
	n.identity.Store(id)
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		if err := n.kept.identity.Put(tx, identityRecordKey, *id); err != nil {
			return err
		}
		return n.putDocument(tx, doc)
	})
	if err != nil {
		return nil, fmt.Errorf("keeping the node's identity: %w", err)
	}
	return n, nil
}

// signOrganisation makes the organisation credential of an identity, signed with its own newest key.
func (n *Node) signOrganisation(ctx context.Context, id *identity) error {
	subject := organisationSubject{
		ID: id.DID, LegalName: id.Organisation.Name,
		RegistrationNumber: id.Organisation.RegistrationNumber, Country: id.Organisation.Country,
	}
	if at := len(id.KeyAgreement) - 1; at >= 0 && isDIDKey(id.DID) {
		subject.KeyAgreement = encodeAgreementKey(id.KeyAgreement[at].Sealed.Public)
	}
	key, err := n.newestKey(ctx, id, did.AssertionMethod)
	if err == nil {
		id.Credential, err = n.issueWith(ctx, key, typeOrganisation, subject, organisationLife)
	}
	if err != nil {
		return fmt.Errorf("signing the organisation credential: %w", err)
	}
	return nil
}

func (n *Node) createWeb(ctx context.Context, id *identity, want NewIdentity) (*did.Document, error) {
	var path []string
	if p := strings.Trim(want.Path, "/"); p != "" {
		path = strings.Split(p, "/")
	}
	web := did.Web{AllowLoopback: want.AllowLoopback}
	name, err := web.DID(want.Host, path...)
	if err != nil {
		return nil, err
	}
	id.DID = name
	spec := did.DocumentSpec{ID: name, AlsoKnownAs: want.AlsoKnownAs}
	for i, purpose := range []kms.Purpose{kms.AssertionMethod, kms.Authentication} {
		info, err := n.keys.Create(ctx, want.Curve, purpose)
		if err != nil {
			return nil, fmt.Errorf("making the %s key: %w", purpose, err)
		}
		fragment := fmt.Sprintf("key-%d", i+1)
		id.Keys = append(id.Keys, identityKey{Key: info.ID, Method: name + "#" + fragment, Purpose: string(purpose), Curve: info.Curve, Created: info.Created})
		spec.Keys = append(spec.Keys, did.SpecKey{Fragment: fragment, Public: info.Public, Relationships: []string{string(purpose)}})
	}
	if err := n.addAgreementKey(ctx, id); err != nil {
		return nil, err
	}
	if spec.Keys, err = id.agreementSpecs(spec.Keys, n.now()); err != nil {
		return nil, err
	}
	docURL, err := web.URL(name)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(docURL)
	if err != nil {
		return nil, err
	}
	spec.Services = []did.Service{{ID: name + "#node", Type: did.ServiceTypeNode, Endpoint: "https://" + u.Host + "/node"}}
	return did.Build(spec)
}

func (n *Node) createKey(ctx context.Context, id *identity, want NewIdentity) (*did.Document, error) {
	info, err := n.keys.Create(ctx, want.Curve, kms.AssertionMethod)
	if err != nil {
		return nil, fmt.Errorf("making the key: %w", err)
	}
	if id.DID, err = did.KeyDID(info.Public); err != nil {
		return nil, err
	}
	id.Keys = []identityKey{{Key: info.ID, Method: id.DID + "#" + strings.TrimPrefix(id.DID, "did:key:"), Curve: info.Curve, Created: info.Created}}
	if err := n.addAgreementKey(ctx, id); err != nil {
		return nil, err
	}
	return did.KeyDocument(id.DID)
}

func (n *Node) loadIdentity(ctx context.Context) error {
	return n.store.View(ctx, func(tx *store.Tx) error {
		id, err := n.kept.identity.Get(tx, identityRecordKey)
		if errors.Is(err, store.ErrNotFound) {
			return errNoIdentity
		}
		if err != nil {
			return fmt.Errorf("reading the node's identity: %w", err)
		}
		n.identity.Store(&id)
		return nil
	})
}

// self is the node's identity as it is now. It is never changed: a rotation puts another in its place.
func (n *Node) self() *identity { return n.identity.Load() }

// DID is the node's own name.
func (n *Node) DID() string { return n.self().DID }

// Organisation is whose node it is.
func (n *Node) Organisation() Organisation { return n.self().Organisation }

// OrganisationCredential is the node's own credential of who it is, as peers get it.
func (n *Node) OrganisationCredential() []byte { return bytes.Clone(n.self().Credential) }

// DocumentJSON is the node's DID document.
func (n *Node) DocumentJSON() []byte { return n.self().Document }

// DocumentPath is the path under which a did:web document must be served; "" for other methods.
func (n *Node) DocumentPath() string {
	u, err := did.Web{AllowLoopback: true}.URL(n.DID())
	if err != nil {
		return ""
	}
	parsed, err := url.Parse(u)
	if err != nil {
		return ""
	}
	return parsed.Path
}

// signingKey gives the signer that the node uses for a relationship now.
func (n *Node) signingKey(ctx context.Context, purpose string) (credentials.Key, error) {
	return n.newestKey(ctx, n.self(), purpose)
}

func (n *Node) newestKey(ctx context.Context, id *identity, purpose string) (credentials.Key, error) {
	for i := len(id.Keys) - 1; i >= 0; i-- {
		if k := &id.Keys[i]; (k.Purpose == purpose || k.Purpose == "") && !k.ended(n.now()) {
			return n.signer(ctx, k)
		}
	}
	return credentials.Key{}, fmt.Errorf("the node has no %s key", purpose)
}

// keyOf gives the signer of a verification method of this node, which may have been replaced meanwhile but not retired: what was begun
// under a key is ended under it.
func (n *Node) keyOf(ctx context.Context, method string) (credentials.Key, error) {
	id := n.self()
	for i := range id.Keys {
		if k := &id.Keys[i]; k.Method == method {
			if k.ended(n.now()) {
				return credentials.Key{}, fail(CodeExchangeState, "the key under which this exchange was begun has been retired since; begin a new exchange")
			}
			return n.signer(ctx, k)
		}
	}
	return credentials.Key{}, fail(CodeExchangeState, "the key under which this exchange was begun is not this node's any more; begin a new exchange")
}

func (n *Node) signer(ctx context.Context, k *identityKey) (credentials.Key, error) {
	signer, err := n.keys.Signer(ctx, k.Key)
	if err != nil {
		return credentials.Key{}, fmt.Errorf("taking the key %s from the key store: %w", k.Method, err)
	}
	return credentials.Key{VerificationMethod: k.Method, Signer: signer}, nil
}

// check refuses an organisation that says nothing or too much.
func (o Organisation) check() error {
	for _, f := range o.fields() {
		if strings.TrimSpace(f.value) == "" {
			return fail(CodeInvalid, "the organisation's %s is missing", f.name)
		}
	}
	return o.checkGiven()
}

// checkGiven checks the fields that are not empty.
func (o Organisation) checkGiven() error {
	for _, f := range o.fields() {
		if len(f.value) > 300 || oneLine(f.value, 300) != f.value {
			return fail(CodeInvalid, "the organisation's %s is longer than 300 bytes or holds control characters", f.name)
		}
	}
	if c := o.Country; c != "" && (len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z') {
		return fail(CodeInvalid, "the country is two capital letters (ISO 3166-1), such as LB")
	}
	return nil
}

type organisationField struct{ name, value string }

func (o Organisation) fields() []organisationField {
	return []organisationField{{"name", o.Name}, {"registration number", o.RegistrationNumber}, {"country", o.Country}}
}
