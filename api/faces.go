package api

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"ihyid/contacts"
	"ihyid/contacts/list"
	"ihyid/exchange"
	"ihyid/exchange/register"
	"ihyid/kms"
	"ihyid/store"
	"ihyid/store/jobs"
)

// Node is what this package needs of a node; *exchange.Node has it.
type Node interface {
	Identity
	Keys
	Peers
	Agreements
	Exchanges
	Subjects
	Remote
}

// Identity is who the node is.
type Identity interface {
	DID() string
	Organisation() exchange.Organisation
	DocumentJSON() []byte
	DocumentPath() string // "" if the DID is not a did:web: then no document is served
}

// Keys are the node's own.
type Keys interface {
	Keys(ctx context.Context) ([]exchange.Key, error)
	RotateKey(ctx context.Context, purpose kms.Purpose, o exchange.RotateOptions) (exchange.Key, error)
	RetireKey(ctx context.Context, name string) (exchange.Key, error)
	RotateDataKey(ctx context.Context) (jobs.Job, error)
	RotateWrappingKey(ctx context.Context) error
}

// Peers is the register of other nodes.
type Peers interface {
	AddPeer(ctx context.Context, did string, expect exchange.Organisation) (exchange.Peer, error)
	Peers(ctx context.Context) ([]exchange.Peer, error)
	ListPeers(ctx context.Context, q exchange.Query) (exchange.Page[exchange.Peer], error)
	Peer(ctx context.Context, did string) (exchange.Peer, error)
	ApprovePeer(ctx context.Context, did string, versions ...uint64) (exchange.Peer, error)
	RefusePeer(ctx context.Context, did, reason string, versions ...uint64) (exchange.Peer, error)
	SuspendPeer(ctx context.Context, did, reason string, versions ...uint64) (exchange.Peer, error)
	ResumePeer(ctx context.Context, did string, versions ...uint64) (exchange.Peer, error)
	RemovePeer(ctx context.Context, did string, versions ...uint64) error
	Fingerprint(ctx context.Context, did string) (exchange.Fingerprint, error)
	ConfirmPeer(ctx context.Context, did, digits string, versions ...uint64) (exchange.Peer, error)
}

// Agreements say what may be exchanged with a peer without asking each time; what is outside them waits for a decision.
type Agreements interface {
	ProposeAgreement(ctx context.Context, r exchange.AgreementRequest) (exchange.Agreement, error)
	ListAgreements(ctx context.Context, q exchange.Query) (exchange.Page[exchange.Agreement], error)
	Agreement(ctx context.Context, id string) (exchange.Agreement, error)
	DecideAgreement(ctx context.Context, id string, approve bool, reason string, versions ...uint64) (exchange.Agreement, error)
	EndAgreement(ctx context.Context, id, reason string, versions ...uint64) (exchange.Agreement, error)
	RollEpochs(ctx context.Context, peer string) (int, error)
	ApproveExchange(ctx context.Context, id string, versions ...uint64) (exchange.Exchange, error)
	RefuseExchange(ctx context.Context, id, reason string, versions ...uint64) (exchange.Exchange, error)
	ExcuseExchange(ctx context.Context, id, reason string, versions ...uint64) (exchange.Exchange, error)
	CancelExchange(ctx context.Context, id string, c exchange.Cancellation, versions ...uint64) (exchange.Exchange, error)
}

// Exchanges is what was exchanged with other nodes, and its receipts.
type Exchanges interface {
	StartExchange(ctx context.Context, r exchange.Request) (exchange.Exchange, error)
	ExportStep(ctx context.Context, id string, out io.Writer) (exchange.StepFile, error)
	ImportStep(ctx context.Context, in io.Reader) (exchange.StepFile, error)
	ListExchanges(ctx context.Context, q exchange.Query) (exchange.Page[exchange.Exchange], error)
	CountExchanges(ctx context.Context) (uint64, error)
	Exchange(ctx context.Context, id string) (exchange.Exchange, error)
	Matches(ctx context.Context, id string) ([]exchange.Match, error)
	Presentations(ctx context.Context, id string) (map[string]json.RawMessage, error)
	ListReceipts(ctx context.Context, q exchange.Query) (exchange.Page[exchange.ReceiptInfo], error)
	Receipt(ctx context.Context, id string) ([]byte, error)
}

// Remote is what other nodes ask of this one.
type Remote interface {
	Changes(ctx context.Context, since string) (exchange.Changes, error)
	Challenge(ctx context.Context, r exchange.ChallengeRequest) (exchange.Challenge, error)
	Message(ctx context.Context, presentation []byte) (exchange.Reply, error)
	PutChunk(ctx context.Context, token, exchange, set string, index uint32, body []byte) error
	GetChunk(ctx context.Context, token, exchange, set string, index uint32) ([]byte, error)
	Progress(ctx context.Context, token, exchange string) (exchange.Progress, error)
	TokenPeer(ctx context.Context, token, exchange string) (did string, err error)
}

// Register is the organisation's own contacts; *register.Register has it.
type Register interface {
	StartImport(ctx context.Context, body io.Reader, o ImportOptions, by string) (jobs.Job, error)
	ImportReport(ctx context.Context, job string, from, limit int) (rows []register.Outcome, next int, err error)
	List(ctx context.Context, after uint64, limit int) ([]register.Stored, error)
	Get(ctx context.Context, id uint64) (register.Stored, error)
	Count(ctx context.Context) (uint64, error)
	Duplicates(ctx context.Context, after string, limit int) ([]register.DuplicatePair, error)
	Export(ctx context.Context, w io.Writer, format list.Format) error
	CheckAnonymous(ctx context.Context, uscadis, secrets []string) ([]bool, error)
	Changing
	Deduplicating
	Retaining
	Mapping
}

// Changing is what changes single contacts.
type Changing interface {
	Create(ctx context.Context, c contacts.Contact, by string) (register.Stored, []register.DuplicatePair, error)
	CreateIf(ctx context.Context, c contacts.Contact, by string, may func(tx *store.Tx) error) (register.Stored, []register.DuplicatePair, error)
	Update(ctx context.Context, id, version uint64, p register.Patch, by string) (register.Stored, []register.DuplicatePair, error)
	DeleteVersion(ctx context.Context, by string, id, version uint64) error
	Find(ctx context.Context, externalID string) (uint64, error)
}

// Deduplicating is what finds duplicates and deals with them.
type Deduplicating interface {
	StartFind(ctx context.Context) (jobs.Job, error)
	Decide(ctx context.Context, pair string, v register.Verdict, by string) (register.Decision, error)
	Decisions(ctx context.Context, after string, limit int) ([]register.Decision, error)
	Merge(ctx context.Context, pair string, take map[contacts.Field]uint64, by string) (register.Stored, error)
	Undo(ctx context.Context, id uint64, discard bool, by string) ([]register.Stored, error)
}

// Retaining is the rule by which contacts are erased.
type Retaining interface {
	Retention(ctx context.Context) (register.Retention, error)
	SetRetention(ctx context.Context, days int, since, by string, versions ...uint64) (register.Retention, error)
	CountDue(ctx context.Context, days int, since string) (uint64, error)
	ApplyRetention(ctx context.Context) (jobs.Job, error)
}

// Mapping is how lists are read, remembered by name.
type Mapping interface {
	SaveMapping(ctx context.Context, m register.Mapping, by string) (register.Mapping, error)
	Mappings(ctx context.Context) ([]register.Mapping, error)
	DeleteMapping(ctx context.Context, name string) error
}

// Subjects are the rights of the people in the register, over all that the node holds.
type Subjects interface {
	SubjectReport(ctx context.Context, contact uint64) (exchange.SubjectReport, error)
	EraseContacts(ctx context.Context, by string, roll bool, contacts ...uint64) (exchange.Erasure, error)
}

// ImportOptions steer an import; the zero value finds everything out by itself.
type ImportOptions = register.ImportOptions

// Jobs is the node's long work; *jobs.Queue has it.
type Jobs interface {
	List(ctx context.Context, f jobs.Filter) ([]jobs.Job, error)
	Get(ctx context.Context, id string) (jobs.Job, error)
	Cancel(ctx context.Context, id string) (jobs.Job, error)
	Watch(ctx context.Context, id string) (<-chan jobs.Job, error)
}

// Job is a piece of long work as the node's people see it: without its parameters and its cursor,
// which are the node's own and may be personal.
type Job struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind" example:"contacts.import"`
	State     jobs.State      `json:"state" enum:"queued,running,waiting,done,failed,cancelled"`
	Done      uint64          `json:"done" doc:"Units of work done."`
	Total     uint64          `json:"total,omitempty" doc:"Of so many; left out where not known."`
	Unit      string          `json:"unit,omitempty" doc:"What is counted." example:"rows"`
	Message   string          `json:"message,omitempty"`
	Error     string          `json:"error,omitempty" doc:"Why it failed, or why it waits."`
	Attempts  int             `json:"attempts,omitempty"`
	Created   time.Time       `json:"created"`
	Started   time.Time       `json:"started,omitzero"`
	Updated   time.Time       `json:"updated"`
	Finished  time.Time       `json:"finished,omitzero"`
	NotBefore time.Time       `json:"not_before,omitzero" doc:"When a waiting job is tried again."`
	Result    json.RawMessage `json:"result,omitempty" doc:"What came of it; its form depends on the kind."`
}

func jobOf(j jobs.Job) Job {
	return Job{
		ID: j.ID, Kind: j.Kind, State: j.State, Done: j.Done, Total: j.Total, Unit: j.Unit, Message: j.Message, Error: j.Error,
		Attempts: j.Attempts, Created: j.Created, Started: j.Started, Updated: j.Updated, Finished: j.Finished,
		NotBefore: j.NotBefore, Result: j.Result,
	}
}

// Profile is a matching profile: its name, its digest and what it consists of.
type Profile struct {
	Name        string          `json:"name" example:"soundex/1"`
	ID          string          `json:"id" doc:"sha256: and the hex SHA-256 of the document's canonical form."`
	Description string          `json:"description,omitempty"`
	Keys        []string        `json:"keys" nullable:"false" doc:"Names of its match keys."`
	Document    json.RawMessage `json:"document,omitempty" doc:"The whole profile."`
}

func profileOf(p *contacts.Profile, whole bool) Profile {
	out := Profile{Name: p.Name(), ID: p.ID(), Description: p.Description(), Keys: make([]string, p.NumKeys())}
	for i := range out.Keys {
		out.Keys[i] = p.KeyName(i)
	}
	if whole {
		out.Document = p.JSON()
	}
	return out
}
