package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ihyid/api/policy"
	"ihyid/exchange"
	"ihyid/store/jobs"
)

// Status is what a node says of itself to its own people.
type Status struct {
	DID          string                `json:"did"`
	Organisation exchange.Organisation `json:"organisation"`
	Version      string                `json:"version"`
	Started      time.Time             `json:"started"`
	Contacts     uint64                `json:"contacts"`
	Peers        map[string]int        `json:"peers" doc:"How many peers are in each state."`
	Exchanges    uint64                `json:"exchanges"`
	Jobs         int                   `json:"jobs" doc:"Jobs that have not ended."`
	DocumentPath string                `json:"document_path,omitempty" doc:"Where the DID document is served."`
}

func (s *Server) operateStatus(h huma.API) {
	operate(h, get("status", "/status", "Node", "Say who the node is and what it holds"),
		func(ctx context.Context, _ *empty) (*body[Status], error) { return asBody(s.status(ctx)) })
	op := get("did-document", "/did-document", "Node", "Show the node's DID document")
	op.Responses = asItIs("The document.")
	operate(h, op, func(context.Context, *empty) (*exact, error) {
		return &exact{"application/json", s.node.DocumentJSON()}, nil
	})
}

func (s *Server) status(ctx context.Context) (Status, error) {
	st := Status{
		DID: s.node.DID(), Organisation: s.node.Organisation(), Version: s.version, Started: s.started.UTC(),
		DocumentPath: s.node.DocumentPath(), Peers: map[string]int{},
	}
	var err error
	if st.Contacts, err = s.register.Count(ctx); err != nil {
		return st, err
	}
	peers, err := s.node.Peers(ctx)
	if err != nil {
		return st, err
	}
	for _, p := range peers {
		st.Peers[string(p.State)]++
	}
	if st.Exchanges, err = s.node.CountExchanges(ctx); err != nil {
		return st, err
	}
	list, err := s.jobs.List(ctx, jobs.Filter{States: []jobs.State{jobs.Queued, jobs.Running, jobs.Waiting}})
	st.Jobs = len(list)
	return st, err
}

type addPeerInput struct {
	Body struct {
		DID    string `json:"did" minLength:"7" maxLength:"2048" doc:"The peer's DID." example:"did:web:relief.example.org"`
		Expect struct {
			Name               string `json:"name,omitempty" maxLength:"300" doc:"Left out: any."`
			RegistrationNumber string `json:"registration_number,omitempty" maxLength:"300" doc:"Left out: any."`
			Country            string `json:"country,omitempty" maxLength:"2" doc:"ISO 3166-1 alpha-2, upper case. Left out: any."`
		} `json:"expect,omitempty" doc:"What the peer's organisation credential must say."`
	}
}

// decideInput is what decides about a peer.
type decideInput struct {
	IfMatch
	DID string `path:"did" doc:"The peer's DID, percent-encoded." maxLength:"2048" example:"did:web:relief.example.org"`
}

// reasonInput names its DID itself: huma does not look into what is embedded without being exported.
type reasonInput struct {
	IfMatch
	DID  string `path:"did" doc:"The peer's DID, percent-encoded." maxLength:"2048" example:"did:web:relief.example.org"`
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"200" doc:"Why, for the record."`
	}
}

type confirmInput struct {
	IfMatch
	DID  string `path:"did" doc:"The peer's DID, percent-encoded." maxLength:"2048" example:"did:web:relief.example.org"`
	Body struct {
		Fingerprint string `json:"fingerprint" minLength:"1" maxLength:"100" doc:"The digits as the other side read them; spaces do not count."`
	}
}

func (s *Server) operatePeers(h huma.API) {
	const tag = "Peers"
	operate(h, get("peers-list", "/peers", tag, "List the other nodes that this one knows, by their DIDs"),
		func(ctx context.Context, in *struct {
			Page
			State string `query:"state" enum:"invited,requested,approved,refused,suspended" doc:"Only those in this state." example:"approved"`
		}) (*body[List[exchange.Peer]], error) {
			c := cursorsOf("peers-list", in.State)
			q, err := c.query(in.Page, "", in.State, "")
			if err != nil {
				return nil, err
			}
			page, err := s.node.ListPeers(ctx, q)
			return pageOf(c, page, err)
		})
	op := post("peers-add", "/peers", tag, "Register with another node")
	op.Description = "Resolves the DID, fetches the organisation credential, holds it against expect, and asks the other side to approve."
	op.DefaultStatus = http.StatusCreated
	operate(h, op, func(ctx context.Context, in *addPeerInput) (*tagged[exchange.Peer], error) {
		e := in.Body.Expect
		return asTagged(s.node.AddPeer(ctx, in.Body.DID, exchange.Organisation{Name: e.Name, RegistrationNumber: e.RegistrationNumber, Country: e.Country}))
	})
	operate(h, get("peers-show", "/peers/{did}", tag, "Show a peer"),
		func(ctx context.Context, in *byDID) (*tagged[exchange.Peer], error) {
			return asTagged(s.node.Peer(ctx, in.DID))
		})
	operate(h, post("peers-approve", "/peers/{did}/approve", tag, "Approve a peer that asked to be registered"),
		func(ctx context.Context, in *decideInput) (*tagged[exchange.Peer], error) {
			return under(in.IfMatch, func(versions ...uint64) (exchange.Peer, error) {
				return s.node.ApprovePeer(ctx, in.DID, versions...)
			})
		})
	operate(h, post("peers-refuse", "/peers/{did}/refuse", tag, "Refuse a peer that asked to be registered"),
		func(ctx context.Context, in *reasonInput) (*tagged[exchange.Peer], error) {
			return under(in.IfMatch, func(versions ...uint64) (exchange.Peer, error) {
				return s.node.RefusePeer(ctx, in.DID, in.Body.Reason, versions...)
			})
		})
	operate(h, post("peers-suspend", "/peers/{did}/suspend", tag, "Accept nothing more from a peer for now"),
		func(ctx context.Context, in *reasonInput) (*tagged[exchange.Peer], error) {
			return under(in.IfMatch, func(versions ...uint64) (exchange.Peer, error) {
				return s.node.SuspendPeer(ctx, in.DID, in.Body.Reason, versions...)
			})
		})
	operate(h, post("peers-resume", "/peers/{did}/resume", tag, "End a suspension"),
		func(ctx context.Context, in *decideInput) (*tagged[exchange.Peer], error) {
			return under(in.IfMatch, func(versions ...uint64) (exchange.Peer, error) {
				return s.node.ResumePeer(ctx, in.DID, versions...)
			})
		})
	op = get("peers-fingerprint", "/peers/{did}/fingerprint", tag, "Show the fingerprint to compare with a peer's administrator")
	op.Description = "Of this node's DID document and the peer's, as both are now: the other side sees the same digits, unless somebody stands in between."
	operate(h, op, func(ctx context.Context, in *byDID) (*body[exchange.Fingerprint], error) {
		return asBody(s.node.Fingerprint(ctx, in.DID))
	})
	op = post("peers-confirm", "/peers/{did}/confirm", tag, "Pin a peer's keys: the fingerprint was compared")
	op.Description = "If the peer was suspended because its keys had changed, the suspension ends."
	operate(h, op, func(ctx context.Context, in *confirmInput) (*tagged[exchange.Peer], error) {
		return under(in.IfMatch, func(versions ...uint64) (exchange.Peer, error) {
			return s.node.ConfirmPeer(ctx, in.DID, in.Body.Fingerprint, versions...)
		})
	})
	operate(h, remove("peers-remove", "/peers/{did}", tag, "Forget a peer; exchanges and receipts stay"),
		func(ctx context.Context, in *decideInput) (*struct{}, error) {
			versions, err := in.versions()
			if err != nil {
				return nil, err
			}
			return &struct{}{}, s.node.RemovePeer(ctx, in.DID, versions...)
		})
}

type startExchangeInput struct {
	Body struct {
		Peer     string `json:"peer" minLength:"7" maxLength:"2048" doc:"DID of the other node."`
		Profile  string `json:"profile" minLength:"1" maxLength:"100" doc:"The matching profile." example:"soundex/1"`
		Protocol string `json:"protocol" minLength:"1" maxLength:"40" doc:"The protocol." example:"noise"`
		Purpose  string `json:"purpose" minLength:"1" maxLength:"200" doc:"Why; it stands in the receipt."`
		ByFile   bool   `json:"by_file,omitempty" doc:"Its steps are carried as files, by hand: exchanges-export-step and exchanges-import-step."`
		Afresh   bool   `json:"afresh,omitempty" doc:"Send all, also where an earlier exchange could be built on."`
	}
}

func (s *Server) operateExchanges(h huma.API) {
	const tag = "Exchanges"
	op := post("exchanges-start", "/exchanges", tag, "Find the contacts in common with a peer")
	op.DefaultStatus = http.StatusAccepted
	start := func(ctx context.Context, in *startExchangeInput) (*tagged[exchange.Exchange], error) {
		b := in.Body
		return asTagged(s.node.StartExchange(ctx, exchange.Request{Peer: b.Peer, Profile: b.Profile, Protocol: b.Protocol, Purpose: b.Purpose, ByFile: b.ByFile, Afresh: b.Afresh}))
	}
	operate(h, op, start)
	operate(h, action(op, "rpc-exchange", "/rpc/exchange"), start)
	s.operateFiles(h)
	op = get("exchanges-list", "/exchanges", tag, "List exchanges, the newest first")
	op.Description = shortPages
	operate(h, op,
		func(ctx context.Context, in *struct {
			Page
			State string `query:"state" enum:"preparing,opening,accepted,uploading,matching,claiming,waiting,answering,receipt,done,failed" doc:"Only those in this state." example:"done"`
			Peer  string `query:"peer" maxLength:"2048" doc:"Only those with this peer, by its DID."`
			Since string `query:"since" maxLength:"40" format:"date-time" doc:"Only those begun from this moment on."`
		}) (*body[List[exchange.Exchange]], error) {
			c := cursorsOf("exchanges-list", in.State, in.Peer, in.Since)
			q, err := c.query(in.Page, in.Peer, in.State, in.Since)
			if err != nil {
				return nil, err
			}
			page, err := s.node.ListExchanges(ctx, q)
			return pageOf(c, page, err)
		})
	operate(h, get("exchanges-show", "/exchanges/{id}", tag, "Show an exchange"),
		func(ctx context.Context, in *byID) (*tagged[exchange.Exchange], error) {
			return asTagged(s.node.Exchange(ctx, in.ID))
		})
	operate(h, get("exchanges-matches", "/exchanges/{id}/matches", tag, "List the own contacts that the peer knows too"),
		func(ctx context.Context, in *byID) (*body[List[exchange.Match]], error) {
			list, err := s.node.Matches(ctx, in.ID)
			return asList(list, "", err)
		})
	op = get("exchanges-matches-export", "/exchanges/{id}/matches/export", tag, "Export the matches with the own contacts as CSV")
	op.Responses = streamed("text/csv", "One row for each own contact that matches.")
	operate(h, op, func(ctx context.Context, in *byID) (*huma.StreamResponse, error) {
		matches, err := s.node.Matches(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return s.download("text/csv; charset=utf-8", "matches.csv", matchesCSV(s.register, matches)), nil
	})
	operate(h, get("exchanges-presentations", "/exchanges/{id}/presentations", tag, "Show the signed presentations of an exchange, by step"),
		func(ctx context.Context, in *byID) (*body[map[string]json.RawMessage], error) {
			return asBody(s.node.Presentations(ctx, in.ID))
		})

	const receipts = "Receipts"
	op = get("receipts-list", "/receipts", receipts, "List match receipts, the newest first")
	op.Description = shortPages
	operate(h, op,
		func(ctx context.Context, in *struct {
			Page
			Peer  string `query:"peer" maxLength:"2048" doc:"Only those with this peer, by its DID."`
			Since string `query:"since" maxLength:"40" format:"date-time" doc:"Only those of exchanges that ended from this moment on."`
		}) (*body[List[exchange.ReceiptInfo]], error) {
			c := cursorsOf("receipts-list", in.Peer, in.Since)
			q, err := c.query(in.Page, in.Peer, "", in.Since)
			if err != nil {
				return nil, err
			}
			page, err := s.node.ListReceipts(ctx, q)
			return pageOf(c, page, err)
		})
	op = get("receipts-show", "/receipts/{id}", receipts, "Give a receipt as an auditor gets it")
	op.Responses = asItIs("The receipt.")
	operate(h, op, func(ctx context.Context, in *byID) (*exact, error) {
		file, err := s.node.Receipt(ctx, in.ID)
		return &exact{"application/json", file}, err
	})
}

type jobsInput struct {
	Page
	State string `query:"state" enum:"queued,running,waiting,done,failed,cancelled" doc:"Only those in this state." example:"running"`
	Kind  string `query:"kind" maxLength:"64" doc:"Only those of this kind." example:"contacts.import"`
}

// shortPages is said of lists that are filtered while they are read.
const shortPages = "A page may be shorter than limit, even empty, and still have a next: a filter looks at a part of the list at a time."

func asJob(j jobs.Job, err error) (*body[Job], error) { return asBody(jobOf(j), err) }

func (s *Server) operateJobs(h huma.API) {
	const tag = "Jobs"
	operate(h, get("jobs-list", "/jobs", tag, "List jobs, the newest first"),
		func(ctx context.Context, in *jobsInput) (*body[List[Job]], error) {
			c := cursorsOf("jobs-list", in.State, in.Kind)
			before, err := c.read(in.After)
			if err != nil {
				return nil, err
			}
			f := jobs.Filter{Before: string(before), Kind: in.Kind, Limit: in.Limit + 1}
			if in.State != "" {
				f.States = []jobs.State{jobs.State(in.State)}
			}
			list, err := s.jobs.List(ctx, f)
			next := ""
			if len(list) > in.Limit {
				list = list[:in.Limit]
				next = c.next([]byte(list[in.Limit-1].ID))
			}
			out := make([]Job, len(list))
			for i, j := range list {
				out[i] = jobOf(j)
			}
			return asList(out, next, err)
		})
	operate(h, get("jobs-show", "/jobs/{id}", tag, "Show a job"),
		func(ctx context.Context, in *byID) (*body[Job], error) { return asJob(s.jobs.Get(ctx, in.ID)) })
	op := get("jobs-events", "/jobs/{id}/events", tag, "Follow a job (server-sent events)")
	op.Description = "An event named job whenever it has changed, its data the whole job as JSON. The stream begins with the job as it is, or, if Last-Event-ID names that state, with the next change; it ends after the last. 204: Last-Event-ID names the state in which the job ended, and nothing more comes."
	op.Responses = streamed("text/event-stream", "Events named job.")
	operate(h, op, func(ctx context.Context, in *struct {
		ID   string `path:"id" doc:"Its id." maxLength:"128"`
		Last string `header:"Last-Event-ID" maxLength:"128" doc:"The id of the last event that was received, by whoever connects again."`
	}) (*huma.StreamResponse, error) {
		return s.watch(ctx, in.ID, in.Last)
	})
	operate(h, post("jobs-cancel", "/jobs/{id}/cancel", tag, "Cancel a job"),
		func(ctx context.Context, in *byID) (*body[Job], error) {
			j, err := s.jobs.Get(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if c, _ := policy.CallerOf(ctx); !policy.MayCancel(c.Role, j.Kind) {
				return nil, newProblem(codeForbidden, "only an admin may cancel a job of this kind")
			}
			return asJob(s.jobs.Cancel(ctx, in.ID))
		})
}

func (s *Server) operateProfiles(h huma.API) {
	const tag = "Profiles"
	operate(h, get("profiles-list", "/profiles", tag, "List the matching profiles that this node knows"),
		func(context.Context, *empty) (*body[List[Profile]], error) {
			list := make([]Profile, 0, len(s.profiles))
			for _, name := range slices.Sorted(maps.Keys(s.profiles)) {
				list = append(list, profileOf(s.profiles[name], false))
			}
			return asList(list, "", nil)
		})
	operate(h, get("profiles-show", "/profiles/{profile}", tag, "Show a matching profile"),
		func(_ context.Context, in *struct {
			Profile string `path:"profile" doc:"Its name; the slash may stand as it is." example:"soundex/1"`
		}) (*body[Profile], error) {
			p, ok := s.profiles[in.Profile]
			if !ok {
				return nil, newProblem(exchange.CodeUnknownProfile, "there is no matching profile of that name; GET /profiles lists them")
			}
			return &body[Profile]{profileOf(p, true)}, nil
		})
}
