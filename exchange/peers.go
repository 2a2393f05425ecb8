package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"ihyid/did"
	"ihyid/store"
)

const (
	maxPeers       = 10_000
	maxStrangers   = 8 // messages of unregistered nodes that are looked at at once
	maxUndecided   = 200
	jobDeliver     = "peers.deliver"
	maxReasonRunes = 200
	deliveryLife   = 30 * 24 * time.Hour // how long a decision is tried to be delivered
)

// peerRecord is what is kept of a peer.
type peerRecord struct {
	Peer       Peer            `json:"peer"`
	Credential json.RawMessage `json:"credential"`         // their organisation credential
	Request    json.RawMessage `json:"request,omitempty"`  // the registration request, ours or theirs
	Decision   json.RawMessage `json:"decision,omitempty"` // the decision on it, theirs or ours
	Own        json.RawMessage `json:"own,omitempty"`      // our organisation credential, as our decision names it
	Before     PeerState       `json:"before,omitempty"`   // of a suspended peer: the state to go back to
	Past       []string        `json:"past,omitempty"`     // digests of the documents that were held before Peer.Document, the last maxPast
	Day        string          `json:"day,omitempty"`      // the day that Peer.NoiseToday and Openings count
	Openings   int             `json:"openings,omitempty"` // exchanges that it opened in that day
}

// countOpening counts an exchange that a peer opens. Each has all digests of the register taken, and leaves its messages behind as evidence, also where the peer then goes no
// further: without a limit it could fill the disk.
func (n *Node) countOpening(tx *store.Tx, name string) error {
	r, err := n.kept.peers.Get(tx, []byte(name))
	if err != nil {
		return err
	}
	if err := n.mayOpen(&r); err != nil {
		return err
	}
	r.Openings++
	return n.kept.peers.Put(tx, []byte(name), r)
}

func (n *Node) mayOpen(r *peerRecord) error {
	if n.today(r); r.Openings >= maxOpeningsPerDay {
		return fail(CodeTooMany, "you have opened %d exchanges here today, as many as this node takes a day; go on tomorrow", r.Openings)
	}
	return nil
}

// spend counts the entries of a noise bundle against what the peer may send in a day.
func (n *Node) spend(tx *store.Tx, name string, entries uint64) error {
	r, err := n.kept.peers.Get(tx, []byte(name))
	if err != nil {
		return err
	}
	n.today(&r)
	if r.Peer.NoiseToday+entries > n.noisePerDay {
		return fail(CodeTooMany, "you have sent noise bundles of %d entries today, and this node compares %d a day: every entry could be a guess; go on tomorrow", r.Peer.NoiseToday, n.noisePerDay)
	}
	r.Peer.NoiseToday += entries
	return n.kept.peers.Put(tx, []byte(name), r)
}

// Subjects of the messages of a registration.
type (
	introductionSubject struct {
		ID       string `json:"id"`
		Previous string `json:"previous,omitempty"`
	}
	organisationSubject struct {
		ID                 string `json:"id"`
		LegalName          string `json:"legalName"`
		RegistrationNumber string `json:"registrationNumber"`
		Country            string `json:"country"`
		KeyAgreement       string `json:"keyAgreement,omitempty"` // of a did:key only, whose DID document can carry none: see encodeAgreementKey
	}
	registrationSubject struct {
		ID           string `json:"id"`           // who asks
		Peer         string `json:"peer"`         // who is asked
		Organisation string `json:"organisation"` // digest of the asker's organisation credential
		Document     string `json:"document"`     // digest of the asker's DID document
	}
	decisionSubject struct {
		ID           string `json:"id"`           // who decides
		Peer         string `json:"peer"`         // who asked
		Request      string `json:"request"`      // digest of the request's credential
		Organisation string `json:"organisation"` // digest of the decider's organisation credential
		Document     string `json:"document"`     // digest of the decider's DID document
		Approved     string `json:"approved"`     // "true" or "false"
		Reason       string `json:"reason,omitempty"`
	}
	receivedSubject struct {
		ID       string `json:"id"`
		Previous string `json:"previous"`
		State    string `json:"state,omitempty"`
	}
)

func (s organisationSubject) organisation() Organisation {
	return Organisation{Name: s.LegalName, RegistrationNumber: s.RegistrationNumber, Country: s.Country}
}

// AddPeer begins the registration of a peer: resolves its DID, asks it who it is, holds that against what the
// administrator expects, and asks to be registered. If the peer has asked us before, the registration is
// approved instead, after the same comparison.
//
// A difference between what the peer's organisation credential states and what is expected ends the registration with
// CodeMismatch and the name of the field. A field of expect that is empty expects nothing; only the fingerprint, compared
// by telephone, authenticates the peer in any case.
func (n *Node) AddPeer(ctx context.Context, name string, expect Organisation) (Peer, error) {
	if err := expect.checkGiven(); err != nil {
		return Peer{}, err
	}
	parsed, err := did.Parse(name)
	if err != nil {
		return Peer{}, &Error{Code: CodeInvalid, Detail: "that is not a DID", Err: err}
	}
	if name = parsed.String(); len(name) > maxDID {
		return Peer{}, fail(CodeInvalid, "a peer's DID is at most %d bytes", maxDID)
	}
	if name == n.DID() {
		return Peer{}, fail(CodeInvalid, "%s is this node's own DID", name)
	}
	for _, who := range []string{n.DID(), name} {
		if isDIDKey(who) {
			return Peer{}, fail(CodeUnsupported, "%s is a did:key, and says nowhere where its node listens: it cannot be registered with another node, and so exchanges nothing, by file neither. A node that is to exchange needs a did:web: ihyid init --did web --host HOST", who)
		}
	}
	old, err := n.peer(ctx, name)
	switch {
	case CodeOf(err) == CodeUnknownPeer:
	case err != nil:
		return Peer{}, err
	case old.Peer.State == PeerApproved || old.Peer.State == PeerSuspended:
		return Peer{}, fail(CodeConflict, "%s is registered already (%s)", name, old.Peer.State)
	}
	to, _, err := n.locate(ctx, name)
	if err != nil {
		return Peer{}, err
	}
	introduction, err := n.issue(ctx, string(kindIntroduction), introductionSubject{ID: n.DID()}, messageLife)
	if err != nil {
		return Peer{}, err
	}
	m, _, err := n.converse(ctx, to, kindIntroduction, "", kindIntroductionReply, introduction)
	if err != nil {
		return Peer{}, err
	}
	var theirs organisationSubject
	credential, err := m.attached(typeOrganisation, &theirs)
	if err != nil {
		return Peer{}, err
	}
	if err := theirs.check(); err != nil {
		return Peer{}, &Error{Code: CodePeerError, Detail: "the organisation credential of " + name + " cannot be used", Err: err}
	}
	if err := sameOrganisation(name, theirs, expect); err != nil {
		return Peer{}, err
	}
	if old != nil && old.Peer.State == PeerRequested {
		if old.Peer.Organisation != theirs.organisation() {
			return Peer{}, fail(CodeMismatch, "%s asked to be registered here in the name of another organisation than you expect; refuse it and ask them", name)
		}
		return n.ApprovePeer(ctx, name)
	}
	mine, err := n.ownDigests()
	if err != nil {
		return Peer{}, err
	}
	request, err := n.issue(ctx, string(kindRegistration), registrationSubject{
		ID: n.DID(), Peer: name, Organisation: mine.organisation, Document: mine.document,
	}, 30*24*time.Hour)
	if err != nil {
		return Peer{}, err
	}
	record := peerRecord{
		Peer: Peer{
			DID: name, State: PeerInvited, Organisation: theirs.organisation(), Endpoint: to.Endpoint, Document: documentDigest(m.Document),
			Trust: TrustFirstUse, Created: n.now().UTC(), Updated: n.now().UTC(),
		},
		Credential: credential, Request: request,
	}
	// Kept before it is sent: their approval may arrive before our own transaction would have ended.
	if err := n.putPeer(ctx, name, m.Document, func(now *peerRecord) (*peerRecord, error) {
		if now != nil && now.Peer.State != PeerInvited && now.Peer.State != PeerRefused {
			return nil, fail(CodeConflict, "%s asked to be registered here meanwhile; look at it and approve it", name)
		}
		record.inheritTrust(now)
		return &record, nil
	}); err != nil {
		return Peer{}, err
	}
	if _, _, err := n.converse(ctx, to, kindRegistration, "", kindRegistrationReply, request, mine.credential); err != nil {
		if drop := n.dropInvitation(context.WithoutCancel(ctx), name, request); drop != nil {
			err = errors.Join(err, drop)
		}
		return Peer{}, err
	}
	return n.Peer(ctx, name)
}

// dropInvitation takes back a registration request that did not reach the peer.
func (n *Node) dropInvitation(ctx context.Context, name string, request []byte) error {
	return n.store.Update(ctx, func(tx *store.Tx) error {
		r, err := n.kept.peers.Get(tx, []byte(name))
		if err != nil || r.Peer.State != PeerInvited || !sameJSON(r.Request, request) {
			return nil
		}
		return n.kept.peers.Delete(tx, []byte(name))
	})
}

// sameOrganisation compares a credential with the fields that are expected; an empty one expects nothing.
func sameOrganisation(name string, theirs organisationSubject, expect Organisation) error {
	if theirs.ID != name {
		return fail(CodeMismatch, "the organisation credential is about another DID than %s", name)
	}
	for _, f := range []struct{ field, stated, expected string }{
		{"name", theirs.LegalName, expect.Name},
		{"registration number", theirs.RegistrationNumber, expect.RegistrationNumber},
		{"country", theirs.Country, expect.Country},
	} {
		if f.expected != "" && f.stated != f.expected {
			return fail(CodeMismatch, "the %s of the organisation differs: expected %q, but %s states %q; nothing was registered",
				f.field, f.expected, name, oneLine(f.stated, 300))
		}
	}
	return nil
}

// locate resolves a peer and finds where its node listens.
func (n *Node) locate(ctx context.Context, name string) (peerAddress, *did.Document, error) {
	res, err := n.resolver.Resolve(ctx, name)
	if err != nil {
		if ctx.Err() != nil {
			return peerAddress{}, nil, ctx.Err()
		}
		return peerAddress{}, nil, &Error{Code: CodeResolution, Detail: "the DID " + name + " could not be resolved", Err: err}
	}
	doc := res.Document
	if err := n.hold(ctx, name, doc); err != nil {
		// What is cached may be older than what this node holds already.
		if !errors.Is(err, errStale) {
			return peerAddress{}, nil, err
		}
		if doc, err = n.refresh(ctx, name); err == nil {
			err = n.hold(ctx, name, doc)
		}
		if err != nil {
			return peerAddress{}, nil, err
		}
	}
	endpoint, err := endpointOf(doc)
	if err != nil {
		return peerAddress{}, nil, err
	}
	return peerAddress{DID: name, Endpoint: endpoint}, doc, nil
}

// endpointOf finds in a DID document where the node listens.
func endpointOf(d *did.Document) (string, error) {
	service, ok := d.Service(did.ServiceTypeNode)
	if !ok {
		return "", fail(CodeUnreachable, "the DID document of %s names no %s service, so its node cannot be reached over a network", d.ID(), did.ServiceTypeNode)
	}
	u, err := url.Parse(service.Endpoint)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fail(CodeUnreachable, "the %s service of %s is not a plain https address", did.ServiceTypeNode, d.ID())
	}
	return strings.TrimSuffix(service.Endpoint, "/"), nil
}

type ownDigests struct {
	organisation, document string
	credential             []byte // the organisation credential itself
}

func (n *Node) ownDigests() (d ownDigests, err error) {
	id := n.self()
	d.credential = id.Credential
	if d.organisation, err = digestJSON(id.Credential); err != nil {
		return d, err
	}
	d.document, err = digestJSON(id.Document)
	return d, err
}

// Peers lists all peers by name of their organisation.
func (n *Node) Peers(ctx context.Context) ([]Peer, error) {
	out := []Peer{}
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.peers.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			out = append(out, item.Value.Peer)
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Peer) int {
		if c := strings.Compare(a.Organisation.Name, b.Organisation.Name); c != 0 {
			return c
		}
		return strings.Compare(a.DID, b.DID)
	})
	return out, err
}

// Peer gives one peer.
func (n *Node) Peer(ctx context.Context, name string) (Peer, error) {
	r, err := n.peer(ctx, name)
	if err != nil {
		return Peer{}, err
	}
	r.Peer.Epochs, err = n.epochs(ctx, name)
	return r.Peer, err
}

func (n *Node) peer(ctx context.Context, name string) (*peerRecord, error) {
	var out *peerRecord
	err := n.store.View(ctx, func(tx *store.Tx) error {
		r, err := n.kept.peers.Get(tx, []byte(name))
		if errors.Is(err, store.ErrNotFound) {
			return fail(CodeUnknownPeer, "%s is not registered here", oneLine(name, 300))
		}
		out = &r
		return err
	})
	return out, err
}

// putPeer changes one peer in one transaction; change gets nil where there is none yet.
// doc, if not nil, is kept with it.
func (n *Node) putPeer(ctx context.Context, name string, doc *did.Document, change func(now *peerRecord) (*peerRecord, error)) error {
	return n.store.Update(ctx, func(tx *store.Tx) error {
		if err := n.putPeerTx(tx, name, change); err != nil || doc == nil {
			return err
		}
		return n.putDocument(tx, doc)
	})
}

func (n *Node) putPeerTx(tx *store.Tx, name string, change func(now *peerRecord) (*peerRecord, error)) error {
	var now *peerRecord
	r, err := n.kept.peers.Get(tx, []byte(name))
	switch {
	case err == nil:
		now = &r
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	version := r.Peer.Version
	next, err := change(now)
	if err != nil || next == nil {
		return err
	}
	if now == nil {
		count, err := n.kept.peers.Len(tx)
		if err != nil {
			return err
		}
		if count >= maxPeers {
			return fail(CodeTooMany, "this node has %d peers, as many as it takes", maxPeers)
		}
	}
	next.Peer.Updated = n.now().UTC()
	if now == nil {
		next.Peer.Version = uint64(next.Peer.Updated.UnixMilli()) // above those of a registration that was removed
	} else {
		next.Peer.Version = version + 1
	}
	return n.kept.peers.Put(tx, []byte(name), *next)
}
