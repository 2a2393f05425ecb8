package exchange

import (
	"encoding/json"
	"time"
)

// Organisation is what an organisation credential states of its subject.
type Organisation struct {
	Name               string `json:"name"`
	RegistrationNumber string `json:"registration_number"`
	Country            string `json:"country"` // ISO 3166-1 alpha-2, upper case
}

// PeerState is where the registration of a peer stands.
type PeerState string

// The states of a peer.
const (
	PeerInvited   PeerState = "invited"   // we asked; their administrator has not decided
	PeerRequested PeerState = "requested" // they asked; our administrator has not decided
	PeerApproved  PeerState = "approved"  // both sides agreed: exchanges may run
	PeerRefused   PeerState = "refused"   // one side said no
	PeerSuspended PeerState = "suspended" // ours said: nothing from them for now
)

// Peer is another organisation's node as this one knows it.
type Peer struct {
	DID              string       `json:"did"`
	State            PeerState    `json:"state"`
	Organisation     Organisation `json:"organisation"`
	Endpoint         string       `json:"endpoint"`                    // of the IhyidNode service
	Document         string       `json:"document"`                    // digest of the DID document that it is held to, hex
	Trust            Trust        `json:"trust"`                       // what that document stands on
	Confirmed        time.Time    `json:"confirmed,omitzero"`          // when our administrator compared the fingerprint
	Changed          string       `json:"changed,omitempty"`           // digest of a new document that no key of the held one vouches for, hex
	Registration     string       `json:"registration,omitempty"`      // digest of the signed decision, hex: the agreement that receipts name
	Reason           string       `json:"reason,omitempty"`            // why refused or suspended
	Undelivered      bool         `json:"undelivered,omitempty"`       // our decision has not reached them yet; it is sent again by itself
	EvaluationsToday uint64       `json:"evaluations_today,omitempty"` // points of it that this node evaluated today (UTC): each could be a guess
	TagsToday        uint64       `json:"tags_today,omitempty"`        // tags that it published to this node today (UTC): each could be a guess
	Epochs           []EpochInfo  `json:"epochs,omitempty"`            // what was used of the budgets
	NoiseToday       uint64       `json:"noise_today,omitempty"`       // entries of its noise bundles that this node compared today (UTC): each could be a guess
	Version          uint64       `json:"version"`                     // one more with every change; a peer that is registered again begins above
	Created          time.Time    `json:"created"`
	Updated          time.Time    `json:"updated"`
}

// Trust is what the keys that a peer is held to stand on.
type Trust string

// What a peer's keys stand on.
const (
	TrustFirstUse  Trust = "first-use" // they were there when it was registered; nobody has compared the fingerprint
	TrustConfirmed Trust = "confirmed" // an administrator has compared the fingerprint: they are pinned
)

// EpochInfo is what was used of the budgets in one epoch.
type EpochInfo struct {
	Role        Role      `json:"role"` // ours
	Profile     string    `json:"profile"`
	Purpose     string    `json:"purpose"`
	Started     time.Time `json:"started"`
	Ends        time.Time `json:"ends"`
	Evaluations uint64    `json:"evaluations,omitempty"` // as responder: points that we evaluated for it
	Tags        uint64    `json:"tags,omitempty"`        // as initiator: tags that it published to us
	Exchanges   int       `json:"exchanges"`             // that a later one builds on
}

// Role is the side of an exchange that this node is on.
type Role string

// The roles.
const (
	Initiator Role = "initiator"
	Responder Role = "responder"
)

// State is where an exchange stands.
type State string

// The states of an exchange, in the order in which they follow one another.
const (
	StatePreparing State = "preparing" // the own set is being made
	StateOpening   State = "opening"   // initiator: opening being sent; responder: opening accepted, own set being made
	StateAccepted  State = "accepted"  // both sets are committed to
	StateUploading State = "uploading" // the bundle's chunks are on their way
	StateMatching  State = "matching"  // the responder compares
	StateClaiming  State = "claiming"  // the claims are there, on their way to the initiator
	StateWaiting   State = "waiting"   // for the operator of the responder
	StateAnswering State = "answering" // the answers are on their way to the responder
	StateReceipt   State = "receipt"   // the receipt is being signed
	StateDone      State = "done"
	StateFailed    State = "failed"
)

// Finished reports whether nothing more will happen in state s.
func (s State) Finished() bool { return s == StateDone || s == StateFailed }

// Request asks for an exchange with a peer.
type Request struct {
	Peer     string `json:"peer"`     // its DID
	Profile  string `json:"profile"`  // name of the matching profile, such as "soundex/1"
	Protocol string `json:"protocol"` // "voprf" or "noise"
	Purpose  string `json:"purpose"`  // why, in the words of the agreement; 1 to 200 characters

	ByFile bool `json:"by_file,omitempty"` // its steps are carried as files, by hand (ExportStep, ImportStep)
	Afresh bool `json:"afresh,omitempty"`  // send all, also where an earlier exchange could be built on
}

// Exchange is one exchange as the people on one side see it.
type Exchange struct {
	ID            string     `json:"id"`
	Role          Role       `json:"role"`
	Peer          string     `json:"peer"`
	PeerName      string     `json:"peer_name"`
	Profile       string     `json:"profile"`
	ProfileDigest string     `json:"profile_digest"`
	Protocol      string     `json:"protocol"`
	Purpose       string     `json:"purpose"`
	State         State      `json:"state"`
	Job           string     `json:"job,omitempty"`
	OwnCount      uint64     `json:"own_count"`            // entries of the own committed set, padding included
	PeerCount     uint64     `json:"peer_count"`           // the same of the peer
	InCommon      int        `json:"in_common"`            // own contacts that match
	Possible      int        `json:"possible"`             // own contacts with a possible match only
	Evaluated     uint64     `json:"evaluated,omitempty"`  // as responder: points of the peer that this node evaluated in it
	Unfinished    bool       `json:"unfinished,omitempty"` // the peer left it after it was given something; it may open no other until this is excused
	Excused       string     `json:"excused,omitempty"`    // why it need not be finished
	Cancelled     string     `json:"cancelled,omitempty"`  // "here" or "peer": whose people ended it before its time
	CancelReason  string     `json:"cancel_reason,omitempty"`
	Undelivered   bool       `json:"undelivered,omitempty"` // cancelled here: the peer has not been told yet; it is tried again by itself
	Receipt       string     `json:"receipt,omitempty"`
	Version       uint64     `json:"version"` // one more with every step
	Error         string     `json:"error,omitempty"`
	Created       time.Time  `json:"created"`
	Updated       time.Time  `json:"updated"`
	Finished      *time.Time `json:"finished,omitempty"`
	Seconds       float64    `json:"seconds"`         // from the start to now or to the end
	Carry         *Carry     `json:"carry,omitempty"` // of an exchange by file: what people have to do next
}

// Carry says what people have to do next for an exchange by file.
type Carry struct {
	Export int `json:"export,omitempty"` // number of the file that can be exported here and carried to the peer
	Import int `json:"import,omitempty"` // number of the peer's file that has to be imported here next; 0 if none has to be
}

// Match is one of the own contacts that the peer knows too.
type Match struct {
	Contact    uint64   `json:"contact"`     // number in the register
	ExternalID string   `json:"external_id"` // the organisation's own id of it, where it has one
	Row        string   `json:"row"`         // hex; names the peer's contact within this exchange only
	Tier       string   `json:"tier"`        // "match" or "possible"
	Keys       []string `json:"keys"`        // names of the match keys that agreed
}

// ReceiptInfo is the line of a receipt in a list.
type ReceiptInfo struct {
	ID       string    `json:"id"`
	Exchange string    `json:"exchange"`
	Peer     string    `json:"peer"`
	PeerName string    `json:"peer_name"`
	Purpose  string    `json:"purpose"`
	Profile  string    `json:"profile"`
	Protocol string    `json:"protocol"`
	Matches  uint64    `json:"matches"`   // pairs that match, as the receipt states
	Possible uint64    `json:"possibles"` // pairs that possibly match
	Ended    time.Time `json:"ended"`

	Status ReceiptStatus `json:"status"` // of this node's own signature
}

// ChallengeRequest asks a node for a challenge before a presentation.
type ChallengeRequest struct {
	Sender   string `json:"sender"`
	Action   string `json:"action"`             // the type of the message to come
	Exchange string `json:"exchange,omitempty"` // its exchange, where it has one
}

// Challenge is good for one presentation.
type Challenge struct {
	Challenge string    `json:"challenge"` // 32 random bytes, hex
	Expires   time.Time `json:"expires"`
}

// Reply is what a node answers to a message: a presentation of its own and, to an opening, a bearer token.
type Reply struct {
	Presentation json.RawMessage `json:"presentation"`
	Token        string          `json:"token,omitempty"` // 32 bytes, hex; for the chunks of one exchange
}

// Progress tells the initiator how far the responder is; it may ask as often as once a second.
type Progress struct {
	State   State               `json:"state"`
	Error   string              `json:"error,omitempty"`
	Done    uint64              `json:"done"`
	Total   uint64              `json:"total"`
	Missing map[string][]uint32 `json:"missing,omitempty"` // chunks of each open set that have not arrived
}
