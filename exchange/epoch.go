package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"ihyid/exchange/voprf"
	"ihyid/kms"
	"ihyid/store"
)

// EpochLife is the longest that one VOPRF key is used with a peer (PROTOCOL section 7).
const EpochLife = 30 * 24 * time.Hour

// epoch is the time for which a responder uses one VOPRF key for one peer, profile and purpose, as either side keeps it. What was sent in it
// stands: a later exchange of the epoch sends only what is new. At its end the key, and all that was computed with it, are destroyed.
type epoch struct {
	ID          string         `json:"id"` // 16 random bytes of the responder, hex
	Peer        string         `json:"peer"`
	Profile     string         `json:"profile"`
	Purpose     string         `json:"purpose"`
	Role        Role           `json:"role"`
	Key         *kms.SealedKey `json:"key,omitempty"` // the responder's
	PK          string         `json:"pk,omitempty"`  // initiator: the public key that the responder committed to, hex
	Started     time.Time      `json:"started"`
	Life        time.Duration  `json:"life"`
	Evaluations uint64         `json:"evaluations"` // responder: points evaluated for the peer in it, also in exchanges that failed
	Tags        uint64         `json:"tags"`        // initiator: tags that the peer published in it, likewise
	Standing    []standing     `json:"standing"`
	Rows        []byte         `json:"rows,omitempty"` // of the own row numbers
}

// base names what stands in an epoch; both sides must mean the same. It is "" where nothing does.
func (e *epoch) base() string {
	if e == nil || len(e.Standing) == 0 || len(e.Rows) == 0 || e.Standing[len(e.Standing)-1].Layout != standingLayout {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "ihyid/epoch/1 %s", e.ID)
	for _, s := range e.Standing {
		fmt.Fprintf(h, " %s", s.Transcript)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// points and tags are how many of each stand.
func (e *epoch) sums() (points, tags uint64) {
	for _, s := range e.Standing {
		points, tags = points+s.Points, tags+s.Tags
	}
	return points, tags
}

func (e *epoch) over(now time.Time) bool { return now.Sub(e.Started) > e.Life }

// lastCall is how long before its end an epoch takes no new exchange: one that began would be cut off by the end.
func (e *epoch) lastCall() time.Duration { return min(24*time.Hour, e.Life/4) }

func (e *epoch) closing(now time.Time) bool { return e.over(now.Add(e.lastCall())) }

// epochKey is the record key of the epoch that a session belongs to, and the label of its sealed VOPRF key.
func (s *session) epochKey() []byte {
	h := sha256.New()
	for _, part := range []string{string(s.Role), s.Peer, s.ProfileID, s.Purpose} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return h.Sum(nil)
}

func epochLabel(key []byte, id string) string { return fmt.Sprintf("ihyid/voprf/1 %x %s", key, id) }

// epochTx gives the epoch of a session, nil if there is none.
func (n *Node) epochTx(tx *store.Tx, s *session) (*epoch, error) {
	e, err := n.kept.epochs.Get(tx, s.epochKey())
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return &e, err
}

func (n *Node) epochOf(ctx context.Context, s *session) (e *epoch, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) error {
		e, err = n.epochTx(tx, s)
		return err
	})
	return e, err
}

// checkBase makes sure that both sides mean the same epoch, and that what stands in it is the same.
func (n *Node) checkBase(ctx context.Context, s *session) error {
	if s.Base == "" {
		return nil
	}
	e, err := n.epochOf(ctx, s)
	if err != nil {
		return err
	}
	if e.base() != s.Base || e.closing(n.now()) {
		return fail(CodeEpoch, "what your increment builds on does not stand here any more; send all")
	}
	return nil
}

// currentEpoch gives the epoch of a responder's session, beginning one where there is none or the last is over.
func (n *Node) currentEpoch(ctx context.Context, s *session) (*epoch, *voprf.Key, error) {
	n.sealing.RLock()
	defer n.sealing.RUnlock()
	e, err := n.epochOf(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	if s.Base == "" && (e == nil || e.closing(n.now())) {
		return n.newEpoch(ctx, s)
	}
	if err := n.checkBase(ctx, s); err != nil {
		return nil, nil, err
	}
	key, err := n.openEpoch(ctx, s, e)
	return e, key, err
}

func (n *Node) newEpoch(ctx context.Context, s *session) (*epoch, *voprf.Key, error) {
	id := s.epochKey()
	key, err := voprf.NewKey()
	if err != nil {
		return nil, nil, err
	}
	e := &epoch{Peer: s.Peer, Profile: s.Profile, Purpose: s.Purpose, Role: s.Role, Started: n.now().UTC()}
	if e.ID, err = n.randomHex(16); err != nil {
		return nil, nil, err
	}
	secret := [voprf.KeySize]byte(key.Bytes())
	defer clear(secret[:])
	if e.Key, err = kms.SealVOPRF(ctx, n.keys, epochLabel(id, e.ID), &secret, [voprf.PointSize]byte(key.Public().Bytes())); err != nil {
		return nil, nil, fmt.Errorf("sealing a VOPRF key: %w", err)
	}
	return e, key, n.store.Erase(ctx, func(tx *store.Tx) error {
		if _, _, e.Life, err = n.limits(tx, s, s.Peer); err != nil {
			return err
		}
		if err := n.endEpochTx(tx, id); err != nil {
			return err
		}
		return n.kept.epochs.Put(tx, id, *e)
	})
}

func (n *Node) openEpoch(ctx context.Context, s *session, e *epoch) (*voprf.Key, error) {
	secret, err := kms.OpenVOPRF(ctx, n.keys, e.Key, epochLabel(s.epochKey(), e.ID))
	if err != nil {
		return nil, fmt.Errorf("opening a VOPRF key: %w", err)
	}
	defer clear(secret[:])
	return voprf.ParseKey(secret[:])
}

// sessionEpoch gives the key of the epoch that a session runs in; it is gone if the epoch has rolled since.
func (n *Node) sessionEpoch(ctx context.Context, s *session) (*voprf.Key, error) {
	n.sealing.RLock()
	defer n.sealing.RUnlock()
	e, err := n.epochOf(ctx, s)
	if err != nil {
		return nil, err
	}
	if e == nil || e.ID != s.Epoch {
		return nil, fail(CodeEpoch, "the epoch of this exchange is over; begin a new one")
	}
	return n.openEpoch(ctx, s, e)
}

// endEpochTx forgets an epoch: its key and all that was kept of it.
func (n *Node) endEpochTx(tx *store.Tx, key []byte) error {
	e, err := n.kept.epochs.Get(tx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(n.dropStanding(tx, &e), n.kept.epochs.Delete(tx, key))
}

func (n *Node) dropStanding(tx *store.Tx, e *epoch) error {
	for _, s := range e.Standing {
		if err := dropAll(tx, n.kept.chunks, s.Exchange+"/"); err != nil {
			return err
		}
	}
	e.Standing = nil
	return nil
}

// epochs lists what was used of the budgets with a peer.
func (n *Node) epochs(ctx context.Context, peer string) (out []EpochInfo, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.epochs.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			if e := item.Value; e.Peer == peer {
				out = append(out, EpochInfo{
					Role: e.Role, Profile: e.Profile, Purpose: e.Purpose, Started: e.Started, Ends: e.Started.Add(e.Life),
					Evaluations: e.Evaluations, Tags: e.Tags, Exchanges: len(e.Standing),
				})
			}
		}
		return nil
	})
	return out, err
}

// RollEpochs ends the epochs with a peer at once, or with all peers if it is "": after an erasure, or when a key may be known. Keys, outputs,
// seeds and points are destroyed, and their bytes erased; the next exchange sends all again. It says how many epochs ended.
//
// A peer's exchange that is open in such an epoch ends, and what was computed for it goes as well. One of this node's own goes on, as the peer may be waiting for
// its end; nothing of it stands then.
func (n *Node) RollEpochs(ctx context.Context, peer string) (int, error) {
	ended, err := n.endEpochs(ctx, func(e *epoch) bool { return peer == "" || e.Peer == peer })
	if err != nil {
		return ended, err
	}
	open, err := n.openIn(ctx, func(s *session) bool {
		return s.Role == Responder && s.Protocol == ProtocolVOPRF && s.Epoch != "" && (peer == "" || s.Peer == peer)
	})
	for _, id := range open {
		err = errors.Join(err, n.giveUp(ctx, id, fail(CodeEpoch, "its epoch was rolled here")))
	}
	if len(open) > 0 {
		err = errors.Join(err, n.store.Scrub(ctx))
	}
	return ended, err
}

// openIn gives the exchanges that have not ended and are of that kind.
func (n *Node) openIn(ctx context.Context, which func(s *session) bool) (ids []string, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.sessions.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			if s := &item.Value; !s.State.Finished() && which(s) {
				ids = append(ids, s.ID)
			}
		}
		return nil
	})
	return ids, err
}

// rollOver ends the epochs whose time has come.
func (n *Node) rollOver(ctx context.Context) error {
	_, err := n.endEpochs(ctx, func(e *epoch) bool { return e.over(n.now()) })
	return err
}

func (n *Node) endEpochs(ctx context.Context, which func(e *epoch) bool) (int, error) {
	var ends [][]byte
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.epochs.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			if which(&item.Value) {
				ends = append(ends, item.Key)
			}
		}
		return nil
	})
	if err != nil || len(ends) == 0 {
		return 0, err
	}
	return len(ends), n.store.Erase(ctx, func(tx *store.Tx) error {
		for _, key := range ends {
			if err := n.endEpochTx(tx, key); err != nil {
				return err
			}
		}
		return nil
	})
}

// spendEvaluations counts points against what the peer may have evaluated in a day and in an epoch.
func (n *Node) spendEvaluations(tx *store.Tx, s *session, points uint64) error {
	r, err := n.kept.peers.Get(tx, []byte(s.Peer))
	if err != nil {
		return err
	}
	e, err := n.epochTx(tx, s)
	if err != nil {
		return err
	}
	if e == nil || e.ID != s.Epoch {
		return fail(CodeEpoch, "the epoch of this exchange is over; begin a new one")
	}
	n.today(&r)
	if err := n.withinBudget(tx, s, s.Peer, "points evaluated", r.Peer.EvaluationsToday, e.Evaluations, points); err != nil {
		return err
	}
	r.Peer.EvaluationsToday += points
	e.Evaluations += points
	return errors.Join(n.kept.peers.Put(tx, []byte(s.Peer), r), n.kept.epochs.Put(tx, s.epochKey(), *e))
}

// withinBudget says whether a party may add so many elements to what it has had today and in the epoch.
func (n *Node) withinBudget(tx *store.Tx, s *session, party, what string, today, inEpoch, more uint64) error {
	inAll, perDay, _, err := n.limits(tx, s, party)
	if err != nil {
		return err
	}
	if perDay == 0 || perDay > n.evaluationsPerDay {
		perDay = n.evaluationsPerDay
	}
	if today+more > perDay {
		return fail(CodeTooMany, "%d %s today, %d more asked for, and at most %d a day: every one could be a guess; go on tomorrow", today, what, more, perDay)
	}
	if inAll > 0 && inEpoch+more > inAll {
		return fail(CodeBudget, "%d %s in this epoch, %d more asked for, and the agreement has at most %d: every one could be a guess; agree on more, or have the epoch rolled", inEpoch, what, more, inAll)
	}
	return nil
}

// spendTags is the initiator's part: it counts the tags that the peer published, in a new epoch or in that which stands.
func (n *Node) spendTags(tx *store.Tx, s *session, tags uint64) error {
	r, err := n.kept.peers.Get(tx, []byte(s.Peer))
	if err != nil {
		return err
	}
	e, err := n.epochTx(tx, s)
	if err != nil {
		return err
	}
	if e == nil || e.ID != s.Epoch {
		if s.Base != "" {
			return fail(CodeMismatch, "the other node builds on another epoch than this one")
		}
		next := &epoch{ID: s.Epoch, Peer: s.Peer, Profile: s.Profile, Purpose: s.Purpose, Role: s.Role, PK: s.PK, Started: n.now().UTC()}
		if _, _, next.Life, err = n.limits(tx, s, s.Peer); err != nil {
			return err
		}
		// The responder says when its epoch ends, and each new one would be a new budget of guesses for it. So the tags count on until the time of the
		// epoch is up, or this node's own people roll it.
		if e != nil && !e.over(n.now().Add(2*e.lastCall())) { // here it began later than there
			next.Tags, next.Started = e.Tags, e.Started
		}
		if err := n.endEpochTx(tx, s.epochKey()); err != nil {
			return err
		}
		e = next
	}
	if e.PK == "" {
		e.PK = s.PK
	} else if e.PK != s.PK {
		return fail(CodeMismatch, "the other node names another public key for its epoch than it committed to before")
	}
	n.today(&r)
	if err := n.withinBudget(tx, s, s.Peer, "tags published", r.Peer.TagsToday, e.Tags, tags); err != nil {
		return err
	}
	r.Peer.TagsToday += tags
	e.Tags += tags
	return errors.Join(n.kept.peers.Put(tx, []byte(s.Peer), r), n.kept.epochs.Put(tx, s.epochKey(), *e))
}

// today makes the day's counts of a peer those of today.
func (n *Node) today(r *peerRecord) {
	if day := n.now().UTC().Format(time.DateOnly); r.Day != day {
		r.Day, r.Openings, r.Peer.NoiseToday, r.Peer.EvaluationsToday, r.Peer.TagsToday = day, 0, 0, 0, 0
	}
}
