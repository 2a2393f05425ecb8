package exchange

import (
	"context"

	"ihyid/contacts"
	"ihyid/exchange/merkle"
	"ihyid/exchange/noise"
	"ihyid/exchange/voprf"
	"ihyid/store/jobs"
)

// The matching protocols.
const (
	ProtocolNoise = "noise"
	ProtocolVOPRF = "voprf"
)

// protocol is what differs between the matching protocols: the entries that are committed to, and the steps in between.
type protocol struct {
	entrySize int // of the initiator's set
	// prepare takes the initiator's own digests and makes its committed set of them.
	prepare func(n *Node, ctx context.Context, t *jobs.Task, s *session, p *contacts.Profile) (*prepared, error)
	// commit does so for the responder; it may set the epoch and the public key.
	commit func(n *Node, ctx context.Context, t *jobs.Task, s *session, p *contacts.Profile) (*committed, error)
	// steps are the initiator's, by state.
	steps map[State]func(n *Node, ctx context.Context, t *jobs.Task, s *session, to peerAddress) error
	// match is the responder's work once it has all that it needs.
	match func(n *Node, ctx context.Context, t *jobs.Task, s *session) error
}

// prepared is the initiator's set, with what must be kept of it.
type prepared struct {
	commitment *merkle.Commitment
	own        *taken
	entries    uint64            // without padding
	keep       map[string][]byte // sets to be stored with it, by name
}

// committed is the responder's set, with what must be kept of it.
type committed struct {
	commitment           *merkle.Commitment
	own                  *taken
	epoch, pk            string
	rows                 []byte            // what the own row numbers come from
	basePoints, baseTags uint64            // that the exchange builds on
	keep                 map[string][]byte // sets to be stored with it, by name
}

var protocols map[string]protocol

func init() { // not a literal: the steps themselves look the protocol up
	protocols = map[string]protocol{
		ProtocolNoise: {
			entrySize: noise.EntrySize, prepare: (*Node).prepareNoise, commit: (*Node).commitNoise, match: (*Node).matchNoise,
			steps: map[State]func(n *Node, ctx context.Context, t *jobs.Task, s *session, to peerAddress) error{
				StateUploading: func(n *Node, ctx context.Context, t *jobs.Task, s *session, to peerAddress) error {
					return n.sendChunks(ctx, t, s, to, setBundle, StateMatching)
				},
				StateMatching: (*Node).fetchClaims,
				StateClaiming: func(n *Node, ctx context.Context, _ *jobs.Task, s *session, to peerAddress) error {
					return n.takeClaims(ctx, s, to)
				},
				StateAnswering: (*Node).sendAnswers,
			},
		},
		ProtocolVOPRF: {
			entrySize: voprf.PointSize, prepare: (*Node).prepareVOPRF, commit: (*Node).commitVOPRF, match: (*Node).matchVOPRF,
			steps: map[State]func(n *Node, ctx context.Context, t *jobs.Task, s *session, to peerAddress) error{
				StateUploading: (*Node).evaluateRemotely,
				StateClaiming:  (*Node).sendClaims,
				StateMatching:  (*Node).awaitAnswers,
				StateAnswering: func(n *Node, ctx context.Context, _ *jobs.Task, s *session, to peerAddress) error {
					return n.fetchAnswers(ctx, s, to)
				},
			},
		},
	}
}

// maxEntries is the largest initiator's set that this node makes or takes in a protocol.
func (n *Node) maxEntries(name string) uint64 {
	if name == ProtocolNoise {
		return n.maxNoise
	}
	return n.maxVOPRF
}
