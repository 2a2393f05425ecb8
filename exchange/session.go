package exchange

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"ihyid/contacts"
	"ihyid/exchange/merkle"
	"ihyid/store"
)

// Names of the sets of an exchange, as they stand in paths and keys.
const (
	setBundle  = "bundle"  // the initiator's entries
	setClaims  = "claims"  // the responder's claims on them
	setAnswers = "answers" // the pairs, from the initiator
	setOwn     = "own"     // never sent: the own digests, as they were when the exchange began

	setOwnChanges = "own-changes" // never sent: of an exchange that builds on others, what is otherwise in its own digests
)

// session is one exchange as it is kept: everything that is needed to go on after a restart.
type session struct {
	ID      string `json:"id"`
	Role    Role   `json:"role"`
	Peer    string `json:"peer"`
	State   State  `json:"state"`
	Job     string `json:"job,omitempty"`
	Error   string `json:"error,omitempty"`
	Code    Code   `json:"code,omitempty"` // of the error
	Request        // profile by name, protocol, purpose

	ProfileID         string        `json:"profile_id"` // "sha256:…"
	Agreement         string        `json:"agreement"`
	UnderAgreement    bool          `json:"under_agreement,omitempty"` // Agreement is one, not a registration
	HidePossibles     bool          `json:"hide_possibles,omitempty"`
	Retain            time.Duration `json:"retain,omitempty"` // how long the matches may be kept; 0: as long as the operator likes
	Purged            bool          `json:"purged,omitempty"`
	Epoch             string        `json:"epoch"`
	Base              string        `json:"base,omitempty"` // what of the epoch the exchange builds on; "" if it sends all
	BasePoints        uint64        `json:"base_points,omitempty"`
	BaseTags          uint64        `json:"base_tags,omitempty"`
	PK                string        `json:"pk,omitempty"` // the responder's VOPRF public key in it, hex
	InitiatorDocument string        `json:"initiator_document"`
	ResponderDocument string        `json:"responder_document"`
	InitiatorKey      string        `json:"initiator_key"`
	ResponderKey      string        `json:"responder_key"`

	Seed       []byte                        `json:"seed"` // of the own set and the own row numbers
	Sets       map[string]*merkle.Commitment `json:"sets"`
	Arrived    map[string][]edges            `json:"arrived"`                // of sets that come in chunks; a chunk that is missing has no edges
	Rows       []byte                        `json:"rows,omitempty"`         // voprf: of the own row numbers, the same throughout an epoch
	Live       uint64                        `json:"live,omitempty"`         // voprf: claims of the epoch that stand after this exchange
	BasePairs  uint64                        `json:"base_pairs,omitempty"`   // voprf: answers that stood before it
	Sequence   uint64                        `json:"sequence,omitempty"`     // of the register, when the own set was taken
	After      string                        `json:"after,omitempty"`        // voprf: the exchange to whose matches those of this one are changes
	WholeRoot  string                        `json:"answers_root,omitempty"` // voprf: root over all pairs that stand after it
	OwnRoot    string                        `json:"own_root,omitempty"`
	OwnCount   uint64                        `json:"own_count,omitempty"`
	PeerRoot   string                        `json:"peer_root,omitempty"`
	PeerCount  uint64                        `json:"peer_count,omitempty"`
	Transcript string                        `json:"transcript,omitempty"`
	Evaluated  uint64                        `json:"evaluated,omitempty"` // responder: points of the initiator evaluated in it
	Claimed    bool                          `json:"claimed,omitempty"`   // responder, noise: the initiator was given the claims
	Owed       bool                          `json:"owed,omitempty"`      // responder: it ended after the initiator was given something
	Excused    string                        `json:"excused,omitempty"`   // why that is nothing to hold against it
	Previous   string                        `json:"previous,omitempty"`

	Cancelled    string `json:"cancelled,omitempty"`     // "here" or "peer": whose people ended it
	CancelReason string `json:"cancel_reason,omitempty"` // why, if ours did
	Undelivered  bool   `json:"undelivered,omitempty"`   // the peer has not been told of it yet

	Token       string    `json:"token,omitempty"` // initiator: the token; responder: its hash
	TokenExpiry time.Time `json:"token_expiry,omitzero"`

	InCommon int    `json:"in_common"`
	Possible int    `json:"possible"`
	Pairs    uint64 `json:"pairs"` // pairs of tier match
	Maybes   uint64 `json:"maybes"`

	// Of an exchange by file.
	FileMade  int    `json:"file_made,omitempty"`  // number of the last own file
	FileTaken int    `json:"file_taken,omitempty"` // number of the peer's last file
	Challenge string `json:"challenge,omitempty"`  // of the initiator's next file, hex

	Version  uint64    `json:"version,omitempty"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Finished time.Time `json:"finished,omitzero"`
}

// edges are the first and the last entry of a chunk that arrived and was verified.
type edges struct {
	First []byte `json:"first,omitempty"`
	Last  []byte `json:"last,omitempty"`
}

func (s *session) key() []byte { return []byte(s.ID) }

func chunkKey(id, set string, index uint32) []byte {
	return fmt.Appendf(nil, "%s/%s/%08x", id, set, index)
}

// parties gives both DIDs in their roles.
func (n *Node) parties(s *session) (initiator, responder string) {
	if s.Role == Initiator {
		return n.DID(), s.Peer
	}
	return s.Peer, n.DID()
}

// transcript is the transcript of an exchange in which both sets are committed to.
func (n *Node) transcript(s *session) (string, error) {
	initiator, responder := n.parties(s)
	st := Statement{
		V: "1", Exchange: s.ID, Initiator: initiator, Responder: responder,
		InitiatorDocument: s.InitiatorDocument, ResponderDocument: s.ResponderDocument,
		Agreement: s.Agreement, Profile: s.ProfileID, Purpose: s.Purpose, Protocol: s.Protocol, Epoch: s.Epoch, PK: s.PK,
	}
	s.setRoots(&st)
	if t := transcriptOf(&st); t != "" {
		return t, nil
	}
	return "", errors.New("a transcript could not be written")
}

// setRoots puts both commitments into a statement.
func (s *session) setRoots(st *Statement) {
	initiator, responder := [2]string{s.OwnRoot, fmt.Sprint(s.OwnCount)}, [2]string{s.PeerRoot, fmt.Sprint(s.PeerCount)}
	if s.Role == Responder {
		initiator, responder = responder, initiator
	}
	st.InitiatorRoot, st.InitiatorCount, st.ResponderRoot, st.ResponderCount = initiator[0], initiator[1], responder[0], responder[1]
}

// transcriptOf is T of PROTOCOL section 5.3, in hex: the digest of what both sides agreed on, once both sets were committed to.
func transcriptOf(st *Statement) string {
	raw, err := json.Marshal(map[string]string{
		"v": st.V, "exchange": st.Exchange, "initiator": st.Initiator, "responder": st.Responder,
		"initiatorDocument": st.InitiatorDocument, "responderDocument": st.ResponderDocument,
		"agreement": st.Agreement, "profile": st.Profile, "purpose": st.Purpose, "protocol": st.Protocol, "epoch": st.Epoch, "pk": st.PK,
		"initiatorRoot": st.InitiatorRoot, "initiatorCount": st.InitiatorCount,
		"responderRoot": st.ResponderRoot, "responderCount": st.ResponderCount,
	})
	if err != nil {
		return ""
	}
	digest, err := digestJSON(raw)
	if err != nil {
		return ""
	}
	return digest
}

// session reads one exchange.
func (n *Node) session(ctx context.Context, id string) (*session, error) {
	var out *session
	err := n.store.View(ctx, func(tx *store.Tx) error {
		s, err := n.kept.sessions.Get(tx, []byte(id))
		if errors.Is(err, store.ErrNotFound) {
			return fail(CodeUnknownExchange, "there is no exchange %s here", oneLine(id, 64))
		}
		if s.Sets == nil {
			s.Sets = map[string]*merkle.Commitment{}
		}
		if s.Arrived == nil {
			s.Arrived = map[string][]edges{}
		}
		out = &s
		return err
	})
	return out, err
}

func (n *Node) putSession(tx *store.Tx, s *session) error {
	s.Updated = n.now().UTC()
	if s.State.Finished() && s.Finished.IsZero() {
		s.Finished = s.Updated
	}
	return n.writeSession(tx, s)
}

// save keeps a session in a transaction of its own.
func (n *Node) save(ctx context.Context, s *session) error {
	return n.store.Update(ctx, func(tx *store.Tx) error { return n.putSession(tx, s) })
}

// saveQuietly does so without it counting as progress.
func (n *Node) saveQuietly(ctx context.Context, s *session) error {
	return n.store.Update(ctx, func(tx *store.Tx) error { return n.writeSession(tx, s) })
}

// dropAll deletes all records under a prefix.
func dropAll[T any](tx *store.Tx, c *store.Collection[T], prefix string) error {
	for key, err := range c.Keys(tx, store.Range{Prefix: []byte(prefix)}) {
		if err != nil {
			return err
		}
		if err := c.Delete(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// endSession ends an exchange as failed. What it stored for later steps and what it found are removed; messages are kept as evidence. The token
// stays good for its time, so that the initiator can learn of the end.
func (n *Node) endSession(ctx context.Context, s *session, why error) error {
	if CodeOf(why) == CodeCancelled {
		why = n.markCancelled(s, why)
	} else if s.Role == Responder {
		switch s.State {
		case StateClaiming, StateAnswering:
			why = fmt.Errorf("%w; the other side had received our claims and never finished (unilateral)", why)
		case StateReceipt:
			why = fmt.Errorf("%w; we had signed the receipt, the other side never did (unilateral)", why)
		}
	}
	var record, told *letter
	var err error
	if s.gave() {
		if record, err = n.signUnilateral(ctx, s); err != nil {
			return err
		}
	}
	if s.Cancelled == cancelledHere {
		if told, err = n.signCancellation(ctx, s); err != nil {
			return err
		}
	}
	s.Owed, s.Undelivered = s.owes(why), told != nil
	s.State, s.Error, s.Code = StateFailed, oneLine(why.Error(), 500), CodeOf(why)
	s.InCommon, s.Possible, s.Pairs, s.Maybes = 0, 0, 0, 0
	return n.store.Update(ctx, func(tx *store.Tx) error {
		if err := errors.Join(n.dropChunks(tx, s), n.dropMatches(tx, s)); err != nil {
			return err
		}
		if record != nil {
			if err := n.kept.letters.Put(tx, letterKey(s.ID, typeUnilateral), *record); err != nil {
				return err
			}
		}
		if told != nil {
			if _, err := n.jobs.Enqueue(tx, jobCancellation, sessionParams{Exchange: s.ID}); err != nil {
				return err
			}
			if err := n.kept.letters.Put(tx, letterKey(s.ID, kindCancellation), *told); err != nil {
				return err
			}
		}
		return n.putSession(tx, s)
	})
}

// dropChunks removes the sets of an exchange that has ended, and the seed that its noise and rows came from; their roots
// stay in its messages and its receipt.
func (n *Node) dropChunks(tx *store.Tx, s *session) error {
	s.Arrived, s.Seed, s.Rows = nil, nil, nil
	return errors.Join(tx.EraseLater(), dropAll(tx, n.kept.chunks, s.ID+"/"), n.dropPayloads(tx, s.ID, max(s.FileMade, s.FileTaken)))
}

// profile finds the profile that a session runs under, and makes sure that it is still the same one.
func (n *Node) sessionProfile(s *session) (*contacts.Profile, error) {
	p, ok := n.profiles[s.Profile]
	if !ok || p.ID() != s.ProfileID {
		return nil, fail(CodeUnknownProfile, "the profile %s of this exchange is no longer known here", oneLine(s.Profile, 80))
	}
	return p, nil
}

// profileByID finds a profile by its digest.
func (n *Node) profileByID(id string) (string, *contacts.Profile, error) {
	for name, p := range n.profiles {
		if p.ID() == id {
			return name, p, nil
		}
	}
	return "", nil, fail(CodeUnknownProfile, "this node knows no matching profile with the digest %s; both sides need the same one", oneLine(id, 80))
}

// view is a session as people see it.
func (n *Node) view(s *session, peerName string) Exchange {
	e := Exchange{
		ID: s.ID, Role: s.Role, Peer: s.Peer, PeerName: peerName, Profile: s.Profile, ProfileDigest: s.ProfileID, Protocol: s.Protocol,
		Purpose: s.Purpose, State: s.State, Job: s.Job, OwnCount: s.OwnCount, PeerCount: s.PeerCount,
		Error: s.Error, Version: s.Version, Created: s.Created, Updated: s.Updated,
	}
	end := n.now()
	if !s.Finished.IsZero() {
		end = s.Finished
		e.Finished = &s.Finished
	}
	e.Seconds = end.Sub(s.Created).Seconds()
	e.Carry = s.carry()
	e.Cancelled, e.CancelReason, e.Undelivered = s.Cancelled, s.CancelReason, s.Undelivered
	e.Evaluated, e.Unfinished, e.Excused = s.Evaluated, s.unfinished(), s.Excused
	if s.State == StateDone { // before that the result belongs to nobody
		e.Receipt, e.InCommon, e.Possible = s.ID, s.InCommon, s.Possible
	}
	return e
}

// Exchanges lists all exchanges, newest first.
func (n *Node) Exchanges(ctx context.Context) ([]Exchange, error) {
	out := []Exchange{}
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.sessions.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			name, err := n.peerName(tx, item.Value.Peer)
			if err != nil {
				return err
			}
			out = append(out, n.view(&item.Value, name))
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Exchange) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return slices.Compare([]byte(a.ID), []byte(b.ID))
	})
	return out, err
}

// Exchange gives one exchange.
func (n *Node) Exchange(ctx context.Context, id string) (Exchange, error) {
	s, err := n.session(ctx, id)
	if err != nil {
		return Exchange{}, err
	}
	var name string
	err = n.store.View(ctx, func(tx *store.Tx) error {
		name, err = n.peerName(tx, s.Peer)
		return err
	})
	return n.view(s, name), err
}

func (n *Node) peerName(tx *store.Tx, peer string) (string, error) {
	r, err := n.kept.peers.Get(tx, []byte(peer))
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return r.Peer.Organisation.Name, err
}

// hasListened reports whether this node has been up for long enough that a peer which waits for it would have been heard: a node that was off, or asleep, for a day was
// the one that was silent.
func (n *Node) hasListened() bool {
	return n.now().Sub(time.Unix(0, n.awake.Load())) >= listenFor
}

const listenFor = time.Hour

func (n *Node) seed() ([]byte, error) {
	seed := make([]byte, 32)
	if _, err := io.ReadFull(n.rand, seed); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	return seed, nil
}

func (s *session) seed32() (out [32]byte) {
	copy(out[:], s.Seed)
	return out
}

func hash32(text string) (out [32]byte, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		return out, fmt.Errorf("%q is not 32 bytes in hex", oneLine(text, 80))
	}
	copy(out[:], b)
	return out, nil
}

// parseCount reads a decimal string without sign or leading zeros.
func parseCount(s string) (uint64, error) {
	var v uint64
	if _, err := fmt.Sscan(s, &v); err != nil || fmt.Sprint(v) != s {
		return 0, fmt.Errorf("not a count")
	}
	return v, nil
}

type sessionParams struct {
	Exchange string `json:"exchange"`
}
