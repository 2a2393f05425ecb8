package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ihyid/did"
	"ihyid/store"
)

// A peer is held to the DID document that it was registered with (PROTOCOL section 2). When its DID resolves to another, that one takes the
// place of the held one only if it gives no key more rights, or if a chain of statements leads to it, each signed with a key of the document
// before it. Otherwise the peer is suspended until an administrator has compared the fingerprint. Until somebody has done so for the first
// time, the held document is the one of first use: whoever controlled the peer's web server at the registration chose it.

const (
	maxPast           = 32 // documents that a peer is remembered to have had
	maxFollowed       = 8  // replies of changes that are followed at once
	refreshesPerDID   = 6  // in a minute: fetches, past the cache, of one DID's document and changes
	refreshesOfAll    = 600
	changesPerReply   = 16
	maxChangesReply   = 2 << 20
	keysChangedReason = "its keys changed and none that this node holds vouches for the new ones: compare the fingerprint"
)

// errStale says that a document is one that the peer had before the one that it is held to: a cache somewhere is behind, or somebody wants
// a key back that was retired.
var errStale = errors.New("an older version of the peer's DID document is served than this node knows")

// held reports whether a peer is held to its document: not while it merely asks, as nobody has looked at it yet.
func (r *peerRecord) held() bool {
	switch r.Peer.State {
	case PeerApproved, PeerSuspended, PeerInvited:
		return true
	}
	return r.Peer.Trust == TrustConfirmed
}

// inheritTrust lets a record that takes the place of another begin with what an administrator had confirmed there.
func (r *peerRecord) inheritTrust(before *peerRecord) {
	if before != nil && before.Peer.Trust == TrustConfirmed {
		r.Peer.Trust, r.Peer.Confirmed, r.Past = before.Peer.Trust, before.Peer.Confirmed, before.Past
	}
}

// move makes next the document that the peer is held to.
func (r *peerRecord) move(next *did.Document) error {
	endpoint, err := endpointOf(next)
	if err != nil {
		return err
	}
	if digest := documentDigest(next); digest != r.Peer.Document {
		r.Past = append(r.Past, r.Peer.Document)
		r.Past = slices.DeleteFunc(r.Past, func(d string) bool { return d == digest })
		r.Past = r.Past[max(0, len(r.Past)-maxPast):]
		r.Peer.Document = digest
	}
	r.Peer.Endpoint, r.Peer.Changed = endpoint, ""
	return nil
}

// hold makes sure that a document of a peer is the one that it is held to, or may take its place. Who is not registered here is held to nothing.
func (n *Node) hold(ctx context.Context, name string, doc *did.Document) error {
	r, err := n.peer(ctx, name)
	if CodeOf(err) == CodeUnknownPeer {
		return nil
	}
	if err != nil {
		return err
	}
	digest := documentDigest(doc)
	if !r.held() || r.Peer.Document == digest {
		return nil
	}
	if slices.Contains(r.Past, digest) {
		return &Error{Code: CodeResolution, Detail: "the DID document of " + name + " cannot be used now", Err: errStale}
	}
	pinned, err := n.keptDocument(ctx, r.Peer.Document)
	if err != nil {
		return fmt.Errorf("the document that %s is held to: %w", name, err)
	}
	between, verdict, err := n.follow(ctx, r.Peer.Endpoint, pinned, doc)
	if err != nil {
		return err
	}
	unchanged := func(now *peerRecord) bool { return now != nil && now.held() && now.Peer.Document == r.Peer.Document }
	if verdict.Decision != did.NeedsFingerprint {
		n.log.Info("a peer's DID document changed", "peer", name, "why", verdict.Reason)
		return n.store.Update(ctx, func(tx *store.Tx) error {
			for _, d := range append(between, doc) {
				if err := n.putDocument(tx, d); err != nil {
					return err
				}
			}
			return n.putPeerTx(tx, name, func(now *peerRecord) (*peerRecord, error) {
				if !unchanged(now) {
					return nil, nil
				}
				return now, now.move(doc)
			})
		})
	}
	n.log.Warn("a peer is suspended: its keys changed", "peer", name, "why", verdict.Reason)
	err = n.putPeer(ctx, name, doc, func(now *peerRecord) (*peerRecord, error) {
		if !unchanged(now) {
			return nil, nil
		}
		if now.Peer.State != PeerSuspended {
			now.Before, now.Peer.State = now.Peer.State, PeerSuspended
		}
		now.Peer.Reason, now.Peer.Changed = keysChangedReason, digest
		return now, nil
	})
	if err != nil {
		return err
	}
	return fail(CodePeerSuspended, "the keys of %s changed, and no key that this node knows vouches for the new ones (%s): the fingerprint has to be compared by telephone and confirmed", name, verdict.Reason)
}

// isPast reports whether a peer is held to a newer document than that.
func (n *Node) isPast(ctx context.Context, name, digest string) bool {
	r, err := n.peer(ctx, name)
	return err == nil && r.held() && slices.Contains(r.Past, digest)
}

// follow judges the way from one document to another: at once, or by the peer's own signed changes. It gives the documents in between.
func (n *Node) follow(ctx context.Context, endpoint string, pinned, next *did.Document) ([]*did.Document, did.Verdict, error) {
	direct := did.JudgeChange(pinned, next, nil, n.now())
	if direct.Decision != did.NeedsFingerprint {
		return nil, direct, nil
	}
	var between []*did.Document
	at := pinned
	for range maxFollowed {
		changes, err := n.changesOf(ctx, endpoint, at, next)
		if err != nil {
			return nil, direct, err
		}
		for _, c := range changes {
			d, err := did.ParseDocument(c.Document)
			if err != nil {
				return nil, did.Verdict{Decision: did.NeedsFingerprint, Reason: "a document in its list of changes cannot be read"}, nil
			}
			if v := did.JudgeChange(at, d, c.Statement, n.now()); v.Decision == did.NeedsFingerprint {
				return nil, v, nil
			}
			if at = d; at.Digest() == next.Digest() {
				return between, did.Verdict{Decision: did.Accepted, Reason: "each change was signed with a key known before it"}, nil
			}
			between = append(between, d)
		}
		if len(changes) == 0 {
			break
		}
	}
	return nil, direct, nil
}

// changesOf asks a peer for its signed changes after a document, at its new address and, failing that, at the one that is known. A node that
// does not know the way has none.
func (n *Node) changesOf(ctx context.Context, known string, after, next *did.Document) ([]Change, error) {
	if !n.refreshes.take(after.ID(), n.now()) {
		return nil, fail(CodeTooMany, "the keys of %s changed too often in the last minute; try again later", after.ID())
	}
	endpoint, err := endpointOf(next)
	if err != nil {
		endpoint = known
	}
	// The new address may be in the wrong hands; the statements are checked whoever gives them.
	body, err := n.getChanges(ctx, endpoint, after)
	if err != nil && endpoint != known {
		body, err = n.getChanges(ctx, known, after)
	}
	if err != nil || body == nil {
		return nil, err
	}
	var list Changes
	if err := json.Unmarshal(body, &list); err != nil || len(list.Changes) > changesPerReply {
		return nil, fail(CodePeerError, "the list of changes of %s cannot be read", after.ID())
	}
	return list.Changes, nil
}

func (n *Node) getChanges(ctx context.Context, endpoint string, after *did.Document) ([]byte, error) {
	body, err := n.call(ctx, TransportRequest{Method: "GET", Route: "/changes", URL: endpoint + "/changes?since=" + documentDigest(after), MaxReply: maxChangesReply})
	var p *PeerProblem
	if errors.As(err, &p) && !p.Temporary() {
		return nil, nil
	}
	return body, err
}

// refreshes bounds how often documents are fetched past the cache.
type refreshes struct {
	mu     sync.Mutex
	minute int64
	all    int
	of     map[string]int
}

func (r *refreshes) take(name string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := now.Unix() / 60; m != r.minute || r.of == nil {
		r.minute, r.all, r.of = m, 0, map[string]int{}
	}
	if r.all >= refreshesOfAll || r.of[name] >= refreshesPerDID {
		return false
	}
	r.all++
	r.of[name]++
	return true
}

// refresh resolves a DID past the cache, a few times a minute at most.
func (n *Node) refresh(ctx context.Context, name string) (*did.Document, error) {
	if !n.refreshes.take(name, n.now()) {
		return nil, fail(CodeTooMany, "the document of %s was asked for too often in the last minute; try again later", oneLine(name, maxDID))
	}
	return n.resolveAnew(ctx, name)
}

func (n *Node) resolveAnew(ctx context.Context, name string) (*did.Document, error) {
	if c, ok := n.resolver.(interface{ Flush(did string) }); ok {
		c.Flush(name)
	}
	res, err := n.resolver.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	return res.Document, nil
}

func (n *Node) keptDocument(ctx context.Context, digest string) (*did.Document, error) {
	var d *did.Document
	err := n.store.View(ctx, func(tx *store.Tx) error {
		r, err := n.document(tx, digest)
		if err == nil {
			d, err = did.ParseDocument(r.Document)
		}
		return err
	})
	return d, err
}

// sawDocument reports whether this node keeps a document of that DID and digest: it saw it in its time.
func (n *Node) sawDocument(ctx context.Context, name, digest string) bool {
	d, err := n.keptDocument(ctx, digest)
	return err == nil && d.ID() == name
}

// checkConfirmed refuses exchanges with a peer whose fingerprint was never compared, where this node asks for that.
func (n *Node) checkConfirmed(p *Peer) error {
	if !n.confirmed || p.Trust == TrustConfirmed {
		return nil
	}
	return fail(CodePeerState, "the fingerprint of %s was never compared, and this node exchanges with confirmed peers only", p.DID)
}

// Fingerprint is what two administrators read to each other to be sure of each other's keys.
type Fingerprint struct {
	DID          string       `json:"did"`
	Organisation Organisation `json:"organisation"`
	Fingerprint  string       `json:"fingerprint"`  // eight groups of five digits, the same on both sides
	OwnDocument  string       `json:"own_document"` // the two digests that it is made of, hex
	Document     string       `json:"document"`
	Trust        Trust        `json:"trust"`
	Changed      bool         `json:"changed"`  // the peer's document is not the one that it is held to
	Resolved     bool         `json:"resolved"` // it is the peer's document of this moment; else the one that it is held to, as the DID does not resolve now
}

// Fingerprint gives the fingerprint of this node's DID document and a peer's, as both are now. Both sides see the same digits, unless somebody
// stands between them.
func (n *Node) Fingerprint(ctx context.Context, name string) (Fingerprint, error) {
	f, _, err := n.fingerprint(ctx, name)
	return f, err
}

func (n *Node) fingerprint(ctx context.Context, name string) (f Fingerprint, doc *did.Document, err error) {
	r, err := n.peer(ctx, name)
	if err != nil {
		return f, nil, err
	}
	own, err := did.ParseDocument(n.self().Document)
	if err != nil {
		return f, nil, err
	}
	doc, err = n.resolveAnew(ctx, name)
	f = Fingerprint{DID: name, Organisation: r.Peer.Organisation, OwnDocument: documentDigest(own), Trust: r.Peer.Trust, Resolved: err == nil}
	if err != nil && r.Peer.Changed != "" {
		return f, nil, &Error{Code: CodeResolution, Detail: "the keys of " + name + " changed, and its DID cannot be resolved now", Err: err}
	}
	if err != nil || slices.Contains(r.Past, documentDigest(doc)) {
		if doc, err = n.keptDocument(ctx, r.Peer.Document); err != nil {
			return f, nil, err
		}
		f.Resolved = false
	}
	f.Document = documentDigest(doc)
	f.Changed = f.Document != r.Peer.Document
	f.Fingerprint = did.Fingerprint(own, doc)
	return f, doc, nil
}

// ConfirmPeer pins a peer's keys: digits are the fingerprint as the other side's administrator read it. If the peer was suspended because its
// keys had changed, the suspension ends.
func (n *Node) ConfirmPeer(ctx context.Context, name, digits string, versions ...uint64) (Peer, error) {
	f, doc, err := n.fingerprint(ctx, name)
	if err != nil {
		return Peer{}, err
	}
	read := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t-.", r) {
			return -1
		}
		return r
	}, digits)
	if read != strings.ReplaceAll(f.Fingerprint, " ", "") {
		return Peer{}, fail(CodeMismatch, "the digits are not those that this node sees: they were misheard, one side's keys changed just now, or somebody stands between you; nothing was confirmed")
	}
	own := n.self()
	err = n.putPeer(ctx, name, doc, func(now *peerRecord) (*peerRecord, error) {
		switch {
		case now == nil:
			return nil, fail(CodeUnknownPeer, "%s is not registered here", oneLine(name, 300))
		case now.Peer.State == PeerRefused:
			return nil, fail(CodePeerState, "%s is refused: there is nothing to confirm", name)
		}
		if err := unchanged(name, now.Peer.Version, versions); err != nil {
			return nil, err
		}
		if d, err := digestJSON(own.Document); err != nil || d != f.OwnDocument {
			return nil, fail(CodeConflict, "this node's own keys changed meanwhile; compare the fingerprint again")
		}
		changed := now.Peer.Changed != ""
		if err := now.move(doc); err != nil {
			return nil, err
		}
		now.Peer.Trust, now.Peer.Confirmed = TrustConfirmed, n.now().UTC()
		if changed && now.Peer.State == PeerSuspended {
			now.Peer.State, now.Before, now.Peer.Reason = now.Before, "", ""
		}
		return now, nil
	})
	if err != nil {
		return Peer{}, err
	}
	return n.Peer(ctx, name)
}

// mayResume refuses to end the suspension of a peer whose keys changed, as long as nothing vouches for them.
func (n *Node) mayResume(ctx context.Context, name string) error {
	r, err := n.peer(ctx, name)
	if err != nil || r.Peer.State != PeerSuspended || r.Peer.Changed == "" {
		return err
	}
	doc, err := n.resolveAnew(ctx, name)
	if err != nil {
		return &Error{Code: CodeResolution, Detail: "the keys of " + name + " changed, and its DID cannot be resolved now", Err: err}
	}
	if documentDigest(doc) == r.Peer.Document {
		return nil // the old keys are back
	}
	return n.hold(ctx, name, doc)
}
