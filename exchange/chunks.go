package exchange

import (
	"context"
	"crypto/subtle"
	"errors"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/store"
)

// authorise finds the exchange that a bearer token is good for.
func (n *Node) authorise(ctx context.Context, token, id string) (*session, error) {
	refused := fail(CodeToken, "the token is missing, wrong or expired; send the opening again for a new one")
	if !isHex(token, 32) || !isHex(id, 16) {
		return nil, refused
	}
	s, err := n.session(ctx, id)
	if CodeOf(err) == CodeUnknownExchange {
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	if s.Role != Responder || subtle.ConstantTimeCompare([]byte(hashToken(token)), []byte(s.Token)) != 1 || !n.now().Before(s.TokenExpiry) {
		return nil, refused
	}
	peer, err := n.peer(ctx, s.Peer)
	if err != nil {
		return nil, err
	}
	if peer.Peer.State != PeerApproved {
		return nil, fail(CodePeerSuspended, "this node has suspended you; ask its administrator why")
	}
	return s, nil
}

// TokenPeer gives the DID of the peer to which the token of an exchange was given. Errors: CodeToken, CodePeerSuspended.
func (n *Node) TokenPeer(ctx context.Context, token, id string) (string, error) {
	s, err := n.authorise(ctx, token, id)
	if err != nil {
		return "", err
	}
	return s.Peer, nil
}

// GetChunk gives the initiator one chunk of a set of this node: in the protocol noise the claims; in voprf the tags, the evaluations of the
// initiator's own points, and the answers.
func (n *Node) GetChunk(ctx context.Context, token, id, set string, index uint32) ([]byte, error) {
	s, err := n.authorise(ctx, token, id)
	if err != nil {
		return nil, err
	}
	if s.State == StateFailed {
		return nil, failedHere(s)
	}
	switch {
	case s.Protocol == ProtocolVOPRF && set == setEvaluated:
		return n.evaluated(ctx, s, index)
	case s.Protocol == ProtocolVOPRF && (set == setTags && s.Transcript != "" || set == setAnswers && s.State == StateReceipt):
	case s.Protocol == ProtocolNoise && set == setClaims && s.Claimed: // who has them unasked could leave and owe nothing
	default:
		return nil, fail(CodeExchangeState, "this exchange has no such chunk to give")
	}
	if c := s.Sets[set]; c == nil || int64(index) >= int64(c.Chunks()) {
		return nil, fail(CodeExchangeState, "this exchange has no such chunk to give")
	}
	var out []byte
	err = n.store.View(ctx, func(tx *store.Tx) error {
		out, err = n.kept.chunks.Get(tx, chunkKey(id, set, index))
		if errors.Is(err, store.ErrNotFound) { // the exchange is done
			return notYet(s)
		}
		return err
	})
	return out, err
}

// getSetWith reads a set of which one chunk is not kept yet.
func (n *Node) getSetWith(ctx context.Context, id, set string, index uint32, body []byte) ([]byte, error) {
	before, err := n.getSet(ctx, id, set)
	if err != nil {
		return nil, err
	}
	at := min(int(index)*merkle.ChunkEntries(answer.Size)*answer.Size, len(before))
	out := append([]byte{}, before[:at]...)
	out = append(out, body...)
	return append(out, before[at:]...), nil
}

// complete reports whether all chunks of a set have arrived.
func complete(arrived []edges) bool {
	for _, e := range arrived {
		if e.First == nil {
			return false
		}
	}
	return true
}
