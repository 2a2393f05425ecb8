package exchange

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ihyid/contacts"
	"ihyid/credentials"
	"ihyid/did"
	"ihyid/exchange/noise"
	"ihyid/exchange/register"
	"ihyid/kms"
	"ihyid/store"
	"ihyid/store/jobs"
)

// DefaultNoisePerDay is how many of the largest noise bundles a peer may send in a day: every entry of a bundle may be a guess.
const DefaultNoisePerDay = 5

// DefaultMaxVOPRFEntries is the largest bundle in the protocol voprf: a register of a million contacts under a profile of ten match keys.
const DefaultMaxVOPRFEntries = 12_000_000

// Options are what a Node stands on. Store, Keys, Resolver, Register and Jobs are needed, the rest have working defaults.
type Options struct {
	Store     *store.Store
	Keys      kms.Store
	Resolver  did.Resolver
	Register  *register.Register
	Jobs      *jobs.Queue
	Transport Transport // nil: this node can speak to nobody
	Profiles  map[string]*contacts.Profile

	MaxNoiseEntries      uint64                  // 0: noise.DefaultMaxEntries
	MaxVOPRFEntries      uint64                  // the largest bundle in the protocol voprf; 0: DefaultMaxVOPRFEntries
	MaxEvaluationsPerDay uint64                  // points that one peer may have evaluated in a day (UTC); 0: DefaultMaxVOPRFEntries
	MaxNoisePerDay       uint64                  // entries of noise bundles that one peer may send in a day (UTC); 0: DefaultNoisePerDay of the largest bundle
	AskAlways            bool                    // an exchange outside any agreement waits for this node's operator, also if the peer is approved
	SessionLife          time.Duration           // how long an exchange may rest before it fails; 0: 24 hours
	PollInterval         time.Duration           // how often the initiator asks how far the responder is; 0: 1 second
	StatusLists          credentials.StatusLists // fetches the status lists of others, for VerifyDocument; nil: their status cannot be told
	Suites               *credentials.Suites     // of what is signed and verified for others: with contexts and schemas beside the embedded ones; nil: none
	Proof                string                  // how receipts, organisation credentials and status lists are secured: ProofRDFC (""), ProofJCS, ProofJOSE
	RequireConfirmed     bool                    // exchange only with peers whose fingerprint an administrator has compared (ConfirmPeer)

	// Observe is called when a job begins a step of an exchange; the context that it gives is the step's, and the function that it gives is called
	// with what came of it. nil: nobody is told.
	Observe func(ctx context.Context, s Stage) (context.Context, func(outcome string))

	Clock  func() time.Time
	Rand   io.Reader
	Logger *slog.Logger // never sees personal data
}

// Node is one organisation's node. It is safe for concurrent use.
type Node struct {
	store     *store.Store
	keys      kms.Store
	resolver  did.Resolver
	register  *register.Register
	jobs      *jobs.Queue
	transport Transport
	issuer    *credentials.Issuer
	verifier  *credentials.Verifier // of anybody's documents; keeps status lists
	evidence  string                // suite of receipts, organisation credentials and status lists
	published published

	maxNoise                    uint64
	noisePerDay                 uint64
	maxVOPRF, evaluationsPerDay uint64
	evaluating                  chan struct{} // held while points are evaluated
	importing                   chan struct{} // places for files that are being taken
	sessionLife                 time.Duration
	askAlways                   bool
	poll                        time.Duration
	now                         func() time.Time
	rand                        io.Reader
	log                         *slog.Logger
	observer                    func(context.Context, Stage) (context.Context, func(string))
	confirmed                   bool // only with confirmed peers

	identity   atomic.Pointer[identity]
	changing   sync.Mutex   // held while the identity is being changed; taken before sealing
	sealing    sync.RWMutex // held for writing while what is sealed in the store is wrapped with another key
	refreshes  refreshes
	challenges *challenges
	awake      atomic.Int64 // since when it has been up without a break, Unix nanoseconds
	profiles   map[string]*contacts.Profile
	locks      sessionLocks
	strangers  chan struct{} // places for messages of nodes that are not registered
	kept       tables
	matched    *store.Index // contact → numbers of the parts of matches that it stands in
}

// tables are the collections of a node.
type tables struct {
	identity                                   *store.Collection[identity]
	peers                                      *store.Collection[peerRecord]
	documents                                  *store.Collection[documentRecord]
	sessions                                   *store.Collection[session]
	letters                                    *store.Collection[letter]
	chunks                                     *store.Collection[[]byte]
	matches                                    *store.Collection[[]keptMatch]
	hidden                                     *store.Collection[[]byte]    // pairs of earlier matches that are none any more
	matchParts                                 *store.Collection[matchPart] // by number
	matchNumbers                               *store.Collection[uint64]    // of parts, by their keys
	epochs                                     *store.Collection[epoch]
	receipts                                   *store.Collection[receiptRecord]
	agreements                                 *store.Collection[agreementRecord]
	sessionTimes, receiptTimes, agreementTimes timeline
	changes                                    *store.Collection[Change]
	lists                                      *store.Collection[statusLists]
	carried                                    *store.Collection[carried]
}

var errNoIdentity = errors.New("this store holds no node yet")

func newNode(o Options) (*Node, error) {
	if o.Store == nil || o.Keys == nil {
		return nil, errors.New("exchange: a node needs a store and a key store")
	}
	n := &Node{
		store: o.Store, keys: o.Keys, resolver: o.Resolver, register: o.Register, jobs: o.Jobs, transport: o.Transport,
		maxNoise: o.MaxNoiseEntries, noisePerDay: o.MaxNoisePerDay, sessionLife: o.SessionLife, askAlways: o.AskAlways, poll: o.PollInterval, confirmed: o.RequireConfirmed,
		now: o.Clock, rand: o.Rand, log: o.Logger, observer: o.Observe,
		strangers: make(chan struct{}, maxStrangers), profiles: o.Profiles,
	}
	if n.maxNoise == 0 {
		n.maxNoise = noise.DefaultMaxEntries
	}
	if n.noisePerDay == 0 {
		n.noisePerDay = DefaultNoisePerDay * n.maxNoise
	}
	n.evaluating, n.importing = make(chan struct{}, 1), make(chan struct{}, 2)
	if n.maxVOPRF = o.MaxVOPRFEntries; n.maxVOPRF == 0 {
		n.maxVOPRF = DefaultMaxVOPRFEntries
	}
	if n.evaluationsPerDay = o.MaxEvaluationsPerDay; n.evaluationsPerDay == 0 {
		n.evaluationsPerDay = DefaultMaxVOPRFEntries
	}
	if n.sessionLife == 0 {
		n.sessionLife = 24 * time.Hour
	}
	if n.poll == 0 {
		n.poll = time.Second
	}
	if n.now == nil {
		n.now = time.Now
	}
	if n.rand == nil {
		n.rand = rand.Reader
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if n.evidence, err = evidenceSuite(o.Proof); err != nil {
		return nil, err
	}
	n.verifier = &credentials.Verifier{Keys: NewKeys(o.Resolver), Suites: o.Suites, Clock: n.now, StatusLists: o.StatusLists}
	n.issuer = &credentials.Issuer{Suite: messageSuite, Suites: o.Suites, Clock: n.now}
	n.matched = store.NewIndex(o.Store, "matched", store.MaxEqual(maxParts))
	n.challenges = newChallenges(n.now, n.rand)
	n.awake.Store(n.now().UnixNano())
	n.kept = tables{
		identity:     store.NewCollection[identity](o.Store, "identity", 1),
		peers:        store.NewCollection[peerRecord](o.Store, "peers", 1),
		documents:    store.NewCollection[documentRecord](o.Store, "documents", 1),
		sessions:     store.NewCollection[session](o.Store, "sessions", 1),
		letters:      store.NewCollection[letter](o.Store, "letters", 1),
		chunks:       store.NewCollection[[]byte](o.Store, "chunks", 1, store.WithCodec[[]byte](chunkCodec{})),
		epochs:       store.NewCollection[epoch](o.Store, "epochs", 1),
		matches:      store.NewCollection[[]keptMatch](o.Store, "matches", 1),
		hidden:       store.NewCollection[[]byte](o.Store, "matches-hidden", 1, store.WithCodec[[]byte](chunkCodec{})),
		matchParts:   store.NewCollection[matchPart](o.Store, "match-parts", 1),
		matchNumbers: store.NewCollection[uint64](o.Store, "match-numbers", 1),
		receipts:     store.NewCollection[receiptRecord](o.Store, "receipts", 1),
		agreements:   store.NewCollection[agreementRecord](o.Store, "agreements", 1),
		sessionTimes: newTimeline(o.Store, "session-times"), receiptTimes: newTimeline(o.Store, "receipt-times"), agreementTimes: newTimeline(o.Store, "agreement-times"),
		changes: store.NewCollection[Change](o.Store, "changes", 1),
		lists:   store.NewCollection[statusLists](o.Store, "status-lists", 1),
		carried: store.NewCollection[carried](o.Store, "files", 1),
	}
	return n, nil
}

// Open opens the node that [Create] made in the store.
func Open(ctx context.Context, o Options) (*Node, error) {
	n, err := newNode(o)
	if err != nil {
		return nil, err
	}
	if err := n.loadIdentity(ctx); err != nil {
		return nil, err
	}
	if err := n.rebuildLists(ctx); err != nil {
		return nil, fmt.Errorf("listing exchanges, receipts and agreements by time: %w", err)
	}
	if err := n.ensureAgreementKey(ctx); err != nil {
		return nil, err
	}
	if n.register != nil {
		n.register.Watch(n)
	}
	if n.jobs != nil {
		n.jobs.Handle(jobInitiate, n.initiate)
		n.jobs.Handle(jobRespond, n.respond)
		n.jobs.Handle(jobAnswerFile, n.answerFile)
		n.jobs.Handle(jobCancellation, n.tellCancelled)
		n.jobs.Handle(jobDeliver, n.deliverDecision)
		n.jobs.Handle(jobAgreement, n.deliverAgreement)
		n.jobs.Handle(jobs.KindRotateKeys, jobs.RotateKeys(n.store))
	}
	return n, nil
}

// Run does the node's background work until ctx ends: its jobs, and the ending of exchanges whose other side went silent.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := n.deliverAgain(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it began
		}
		return err
	}
	done := make(chan error, 1)
	go func() { done <- n.jobs.Run(ctx) }()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	ticked := n.now().Round(0)               // by the clock on the wall, which goes on while a machine sleeps
	wipe := time.NewTicker(10 * time.Minute) // it shuts readers out while it lasts
	defer wipe.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-wipe.C:
			if err := n.store.FinishErase(ctx); err != nil && ctx.Err() == nil {
				n.log.Error("overwriting what ended exchanges have left in the database file", "error", err)
			}
		case <-tick.C:
			before := ticked
			if ticked = n.now().Round(0); ticked.Sub(before) > 5*time.Minute {
				n.awake.Store(ticked.UnixNano())
			}
			if err := errors.Join(n.expireSessions(ctx), n.rollOver(ctx), n.register.Tidy(ctx), n.endKeys(ctx)); err != nil && ctx.Err() == nil {
				n.log.Error("ending exchanges that rested too long, removing what ended imports left, retiring keys that were replaced", "error", err)
			}
		}
	}
}

// randomHex gives size random bytes in hex.
func (n *Node) randomHex(size int) (string, error) {
	b := make([]byte, size)
	if _, err := io.ReadFull(n.rand, b); err != nil {
		return "", fmt.Errorf("reading randomness: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// randomURN gives a urn:uuid of version 4 (RFC 9562).
func (n *Node) randomURN() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(n.rand, b[:]); err != nil {
		return "", fmt.Errorf("reading randomness: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]), nil
}
