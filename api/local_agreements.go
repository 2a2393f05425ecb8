package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"ihyid/exchange"
)

type agreementInput struct {
	Body struct {
		Peer              string   `json:"peer" minLength:"7" maxLength:"2048" doc:"DID of the other node."`
		Purposes          []string `json:"purposes" minItems:"1" maxItems:"16" doc:"What exchanges may be for; each 1 to 200 characters."`
		Profiles          []string `json:"profiles" minItems:"1" maxItems:"16" doc:"Names of the matching profiles that may be used."`
		Protocols         []string `json:"protocols,omitempty" maxItems:"16" doc:"Left out: voprf."`
		OwnSize           uint64   `json:"own_size,omitempty" doc:"Contacts declared here. Left out: those that there are."`
		PeerSize          uint64   `json:"peer_size,omitempty" doc:"Contacts declared there. Left out: as many."`
		EvaluationsPerDay uint64   `json:"evaluations_per_day,omitempty" doc:"Points that either side evaluates for the other in a day. Left out: one whole register."`
		EpochDays         int      `json:"epoch_days,omitempty" minimum:"0" maximum:"30" doc:"How long one key is used. Left out: 30."`
		HidePossibles     bool     `json:"hide_possibles,omitempty" doc:"Disclose matches only."`
		RetentionDays     int      `json:"retention_days,omitempty" minimum:"0" doc:"How long results are kept. Left out: 365."`
		ValidDays         int      `json:"valid_days,omitempty" minimum:"0" maximum:"1825" doc:"Left out: 365."`
	}
}

// Rolled says how many epochs ended.
type Rolled struct {
	Epochs int `json:"epochs"`
}

// decideByID is what decides about an agreement or an exchange.
type decideByID struct {
	IfMatch
	ID string `path:"id" doc:"Its id." maxLength:"128"`
}

type reasonByID struct {
	IfMatch
	ID   string `path:"id" doc:"Its id." maxLength:"128"`
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"200" doc:"Why, for the record."`
	}
}

type cancelInput struct {
	IfMatch
	ID   string `path:"id" doc:"Its id." maxLength:"128"`
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"200" doc:"Why, for this node's own record; the peer is not told."`
		Yes    bool   `json:"yes,omitempty" doc:"Also where one side may know the result already."`
	}
}

func (s *Server) operateAgreements(h huma.API) {
	const tag = "Agreements"
	op := post("agreements-propose", "/agreements", tag, "Propose to a peer what may be exchanged without asking each time")
	op.DefaultStatus = http.StatusCreated
	operate(h, op, func(ctx context.Context, in *agreementInput) (*tagged[exchange.Agreement], error) {
		return asTagged(s.node.ProposeAgreement(ctx, exchange.AgreementRequest(in.Body)))
	})
	operate(h, get("agreements-list", "/agreements", tag, "List agreements, the newest first"),
		func(ctx context.Context, in *struct {
			Page
			State string `query:"state" enum:"proposed,asked,active,refused,ended" doc:"Only those in this state." example:"active"`
			Peer  string `query:"peer" maxLength:"2048" doc:"Only those with this peer, by its DID."`
		}) (*body[List[exchange.Agreement]], error) {
			c := cursorsOf("agreements-list", in.State, in.Peer)
			q, err := c.query(in.Page, in.Peer, in.State, "")
			if err != nil {
				return nil, err
			}
			page, err := s.node.ListAgreements(ctx, q)
			return pageOf(c, page, err)
		})
	operate(h, get("agreements-show", "/agreements/{id}", tag, "Show an agreement"),
		func(ctx context.Context, in *byID) (*tagged[exchange.Agreement], error) {
			return asTagged(s.node.Agreement(ctx, in.ID))
		})
	operate(h, post("agreements-approve", "/agreements/{id}/approve", tag, "Sign an agreement that a peer proposed"),
		func(ctx context.Context, in *decideByID) (*tagged[exchange.Agreement], error) {
			return under(in.IfMatch, func(versions ...uint64) (exchange.Agreement, error) {
				return s.node.DecideAgreement(ctx, in.ID, true, "", versions...)
			})
		})
	operate(h, post("agreements-refuse", "/agreements/{id}/refuse", tag, "Refuse an agreement that a peer proposed"),
		func(ctx context.Context, in *reasonByID) (*tagged[exchange.Agreement], error) {
			return under(in.IfMatch, func(versions ...uint64) (exchange.Agreement, error) {
				return s.node.DecideAgreement(ctx, in.ID, false, in.Body.Reason, versions...)
			})
		})
	operate(h, post("agreements-end", "/agreements/{id}/end", tag, "End an agreement, or take a proposal back"),
		func(ctx context.Context, in *reasonByID) (*tagged[exchange.Agreement], error) {
			return under(in.IfMatch, func(versions ...uint64) (exchange.Agreement, error) {
				return s.node.EndAgreement(ctx, in.ID, in.Body.Reason, versions...)
			})
		})
	operate(h, post("peers-roll", "/peers/{did}/roll", "Peers", "End the epochs with a peer at once: destroy keys, outputs and seeds"),
		func(ctx context.Context, in *byDID) (*body[Rolled], error) {
			n, err := s.node.RollEpochs(ctx, in.DID)
			return asBody(Rolled{n}, err)
		})
	operate(h, post("exchanges-approve", "/exchanges/{id}/approve", "Exchanges", "Let an exchange run that waits for this node's operator"),
		func(ctx context.Context, in *decideByID) (*tagged[exchange.Exchange], error) {
			return under(in.IfMatch, func(versions ...uint64) (exchange.Exchange, error) {
				return s.node.ApproveExchange(ctx, in.ID, versions...)
			})
		})
	operate(h, post("exchanges-refuse", "/exchanges/{id}/refuse", "Exchanges", "Refuse an exchange that waits for this node's operator"),
		func(ctx context.Context, in *reasonByID) (*tagged[exchange.Exchange], error) {
			return under(in.IfMatch, func(versions ...uint64) (exchange.Exchange, error) {
				return s.node.RefuseExchange(ctx, in.ID, in.Body.Reason, versions...)
			})
		})
	op = post("exchanges-cancel", "/exchanges/{id}/cancel", "Exchanges", "Cancel an exchange that waits, runs or is stuck")
	op.Description = "It ends here at once, and what it found is removed; its signed messages stay. The peer is told when it can be reached. " +
		"Where one side may know something of the result already, `yes` has to be true: the answer without it says what follows. " +
		"Once this node has signed the receipt, the exchange is not cancelled any more."
	operate(h, op, func(ctx context.Context, in *cancelInput) (*tagged[exchange.Exchange], error) {
		return under(in.IfMatch, func(versions ...uint64) (exchange.Exchange, error) {
			return s.node.CancelExchange(ctx, in.ID, exchange.Cancellation{Reason: in.Body.Reason, Yes: in.Body.Yes}, versions...)
		})
	})
	op = post("exchanges-excuse", "/exchanges/{id}/excuse", "Exchanges", "Excuse a peer from finishing an exchange")
	op.Description = "For an exchange that the peer left after this node had given it something. Until it is finished or excused the peer can open no other. The signed record of it stays; a reason is needed."
	operate(h, op, func(ctx context.Context, in *reasonByID) (*tagged[exchange.Exchange], error) {
		return under(in.IfMatch, func(versions ...uint64) (exchange.Exchange, error) {
			return s.node.ExcuseExchange(ctx, in.ID, in.Body.Reason, versions...)
		})
	})
}
