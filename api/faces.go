package api

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"ihyid/exchange"
)

// Node is what this package needs of a node; *exchange.Node has it.
type Node interface {
	Identity
	Peers
	Exchanges
	Remote
}

// Identity is who the node is.
type Identity interface {
	DID() string
	Organisation() exchange.Organisation
	DocumentJSON() []byte
	DocumentPath() string // "" if the DID is not a did:web: then no document is served
}

// Peers is the register of other nodes.
type Peers interface {
	AddPeer(ctx context.Context, did string, expect exchange.Organisation) (exchange.Peer, error)
	Peers(ctx context.Context) ([]exchange.Peer, error)
	Peer(ctx context.Context, did string) (exchange.Peer, error)
	ApprovePeer(ctx context.Context, did string) (exchange.Peer, error)
	RefusePeer(ctx context.Context, did, reason string) (exchange.Peer, error)
	SuspendPeer(ctx context.Context, did, reason string) (exchange.Peer, error)
	ResumePeer(ctx context.Context, did string) (exchange.Peer, error)
}

// Exchanges is what was exchanged with other nodes, and its receipts.
type Exchanges interface {
	StartExchange(ctx context.Context, r exchange.Request) (exchange.Exchange, error)
	Exchanges(ctx context.Context) ([]exchange.Exchange, error)
	Exchange(ctx context.Context, id string) (exchange.Exchange, error)
	Matches(ctx context.Context, id string) ([]exchange.Match, error)
	Presentations(ctx context.Context, id string) (map[string]json.RawMessage, error)
	Receipts(ctx context.Context) ([]exchange.ReceiptInfo, error)
	Receipt(ctx context.Context, id string) ([]byte, error)
}

// Remote is what other nodes ask of this one.
type Remote interface {
	Challenge(ctx context.Context, r exchange.ChallengeRequest) (exchange.Challenge, error)
	Message(ctx context.Context, presentation []byte) (exchange.Reply, error)
	PutChunk(ctx context.Context, token, exchange, set string, index uint32, body []byte) error
	GetChunk(ctx context.Context, token, exchange, set string, index uint32) ([]byte, error)
	Progress(ctx context.Context, token, exchange string) (exchange.Progress, error)
}

// Register is the organisation's own contacts; *register.Register has it.
type Register interface {
	StartImport(ctx context.Context, body io.Reader, o ImportOptions) (Job, error)
	ImportReport(ctx context.Context, job string, from, limit int) (rows []Outcome, next int, err error)
	List(ctx context.Context, after uint64, limit int) ([]Contact, error)
	Get(ctx context.Context, id uint64) (Contact, error)
	Count(ctx context.Context) (uint64, error)
	Duplicates(ctx context.Context, after string, limit int) ([]DuplicatePair, error)
	Export(ctx context.Context, w io.Writer) error
	CheckAnonymous(ctx context.Context, uscadis, secrets []string) ([]bool, error)
}

// Jobs is the node's long work; *jobs.Queue has it.
type Jobs interface {
	List(ctx context.Context) ([]Job, error)
	Get(ctx context.Context, id string) (Job, error)
	Cancel(ctx context.Context, id string) (Job, error)
	Watch(ctx context.Context, id string) (<-chan Job, error)
}

// Profiles is the matching profiles that the node knows.
type Profiles interface {
	List() []Profile
	Get(name string) (Profile, bool)
}

// ImportOptions says how a contact list is written where it does not say so itself.
type ImportOptions struct {
	Comma     string
	DateOrder string
}

// Outcome is what became of one row of an import.
type Outcome struct {
	Line               int      `json:"line"`
	Outcome            string   `json:"outcome"`
	Contact            uint64   `json:"contact,omitempty"`
	PossibleDuplicates []uint64 `json:"possible_duplicates,omitempty"`
	Column             int      `json:"column,omitempty"`
	Field              string   `json:"field,omitempty"`
	Reason             string   `json:"reason,omitempty"`
}

// Contact is a person whom the organisation serves, as its own people see the record.
type Contact struct {
	ID              uint64    `json:"id"`
	FirstName       string    `json:"first_name,omitempty"`
	LastName        string    `json:"last_name,omitempty"`
	MotherFirstName string    `json:"mother_first_name,omitempty"`
	FatherFirstName string    `json:"father_first_name,omitempty"`
	DateOfBirth     string    `json:"date_of_birth,omitempty"`
	Sex             string    `json:"sex,omitempty"`
	Phone           string    `json:"phone,omitempty"`
	NationalID      string    `json:"national_id,omitempty"`
	HouseholdID     string    `json:"household_id,omitempty"`
	Location        string    `json:"location,omitempty"`
	ExternalID      string    `json:"external_id,omitempty"`
	PhoneticID      string    `json:"phonetic_id,omitempty"`
	Created         time.Time `json:"created"`
	Updated         time.Time `json:"updated"`
}

// DuplicatePair is two contacts that may be one person.
type DuplicatePair struct {
	ID   string   `json:"id"`
	A    Contact  `json:"a"`
	B    Contact  `json:"b"`
	Tier string   `json:"tier"`
	Keys []string `json:"keys"`
}

// Job is a piece of long work.
type Job struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`
	State    string          `json:"state"`
	Done     uint64          `json:"done"`
	Total    uint64          `json:"total"`
	Unit     string          `json:"unit,omitempty"`
	Message  string          `json:"message,omitempty"`
	Error    string          `json:"error,omitempty"`
	Attempts int             `json:"attempts"`
	Created  time.Time       `json:"created"`
	Started  *time.Time      `json:"started,omitempty"`
	Updated  time.Time       `json:"updated"`
	Finished *time.Time      `json:"finished,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
}

// Ended reports whether nothing more will happen to the job.
func (j Job) Ended() bool { return j.State == "done" || j.State == "failed" || j.State == "cancelled" }

// Profile is a matching profile by name and digest.
type Profile struct {
	Name   string          `json:"name"`
	Digest string          `json:"digest"`
	Keys   []string        `json:"keys"`
	JSON   json.RawMessage `json:"document,omitempty"`
}
