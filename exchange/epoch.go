package exchange

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"ihyid/exchange/voprf"
	"ihyid/kms"
	"ihyid/store"
)

// EpochLife is the longest that one VOPRF key is used with a peer (PROTOCOL section 7).
const EpochLife = 30 * 24 * time.Hour

// epoch is a VOPRF key of this node for one peer, profile and purpose. At its end the key is destroyed, and tags and outputs
// of before mean nothing any more.
type epoch struct {
	ID          string         `json:"id"` // 16 random bytes, hex
	Key         *kms.SealedKey `json:"key"`
	Started     time.Time      `json:"started"`
	Evaluations uint64         `json:"evaluations"` // points evaluated for the peer in it
}

// epochKey is the record key of an epoch, and the label of its sealed VOPRF key.
func epochKey(peer, profileID, purpose string) []byte {
	h := sha256.New()
	for _, s := range []string{peer, profileID, purpose} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return h.Sum(nil)
}

func epochLabel(key []byte, id string) string { return fmt.Sprintf("ihyid/voprf/1 %x %s", key, id) }

// currentEpoch gives the epoch for what a session is about, beginning one where there is none or the last is too old.
func (n *Node) currentEpoch(ctx context.Context, s *session) (*epoch, *voprf.Key, error) {
	n.sealing.RLock()
	defer n.sealing.RUnlock()
	id := epochKey(s.Peer, s.ProfileID, s.Purpose)
	var e *epoch
	err := n.store.View(ctx, func(tx *store.Tx) error {
		found, err := n.kept.epochs.Get(tx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		e = &found
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if e == nil || n.now().Sub(e.Started) > EpochLife {
		return n.newEpoch(ctx, id)
	}
	key, err := n.openEpoch(ctx, id, e)
	return e, key, err
}

func (n *Node) newEpoch(ctx context.Context, id []byte) (*epoch, *voprf.Key, error) {
	key, err := voprf.NewKey()
	if err != nil {
		return nil, nil, err
	}
	e := &epoch{Started: n.now().UTC()}
	if e.ID, err = n.randomHex(16); err != nil {
		return nil, nil, err
	}
	secret := [voprf.KeySize]byte(key.Bytes())
	defer clear(secret[:])
	if e.Key, err = kms.SealVOPRF(ctx, n.keys, epochLabel(id, e.ID), &secret, [voprf.PointSize]byte(key.Public().Bytes())); err != nil {
		return nil, nil, fmt.Errorf("sealing a VOPRF key: %w", err)
	}
	return e, key, n.store.Update(ctx, func(tx *store.Tx) error { return n.kept.epochs.Put(tx, id, *e) })
}

func (n *Node) openEpoch(ctx context.Context, id []byte, e *epoch) (*voprf.Key, error) {
	secret, err := kms.OpenVOPRF(ctx, n.keys, e.Key, epochLabel(id, e.ID))
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
	id := epochKey(s.Peer, s.ProfileID, s.Purpose)
	var e epoch
	err := n.store.View(ctx, func(tx *store.Tx) (err error) {
		e, err = n.kept.epochs.Get(tx, id)
		return err
	})
	if err != nil || e.ID != s.Epoch {
		return nil, fail(CodeExchangeState, "the epoch of this exchange is over; begin a new one")
	}
	return n.openEpoch(ctx, id, &e)
}

// spendEvaluations counts points against what the peer may have evaluated in a day, and in the epoch's own count.
func (n *Node) spendEvaluations(tx *store.Tx, s *session, points uint64) error {
	r, err := n.kept.peers.Get(tx, []byte(s.Peer))
	if err != nil {
		return err
	}
	n.today(&r)
	if r.Peer.EvaluationsToday+points > n.evaluationsPerDay {
		return fail(CodeTooMany, "you have had %d points evaluated today, and this node evaluates %d a day: every point could be a guess; go on tomorrow", r.Peer.EvaluationsToday, n.evaluationsPerDay)
	}
	r.Peer.EvaluationsToday += points
	id := epochKey(s.Peer, s.ProfileID, s.Purpose)
	e, err := n.kept.epochs.Get(tx, id)
	if err != nil {
		return err
	}
	e.Evaluations += points
	return errors.Join(n.kept.peers.Put(tx, []byte(s.Peer), r), n.kept.epochs.Put(tx, id, e))
}

// today makes the day's counts of a peer those of today.
func (n *Node) today(r *peerRecord) {
	if day := n.now().UTC().Format(time.DateOnly); r.Day != day {
		r.Day, r.Peer.NoiseToday, r.Peer.EvaluationsToday = day, 0, 0
	}
}
