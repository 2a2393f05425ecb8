package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"ihyid/contacts"
	"ihyid/exchange"
	"ihyid/exchange/register"
)

// Merging says where the fields of a merged contact come from.
type Merging struct {
	Take map[string]uint64 `json:"take,omitempty" maxProperties:"11" doc:"Field → number of the contact whose value is taken. Left out: the older one's, and where that is empty the other's."`
}

// operateDuplicates are the operations on pairs of contacts that may be one person.
func (s *Server) operateDuplicates(h huma.API) {
	const tag = "Contacts"
	op := post("contacts-duplicates-find", "/contacts/duplicates/find", tag, "Compare all contacts with each other")
	op.Description = "Contacts are compared when they come; this finds what is new under another profile. The answer names the job."
	op.DefaultStatus = http.StatusAccepted
	find := func(ctx context.Context, _ *empty) (*body[Job], error) { return asJob(s.register.StartFind(ctx)) }
	operate(h, op, find)
	operate(h, action(op, "rpc-deduplicate", "/rpc/deduplicate"), find)

	op = post("contacts-duplicates-decide", "/contacts/duplicates/{pair}/decision", tag, "Decide whether two contacts are one person")
	op.Description = "The decision holds however the contacts change; open takes it back."
	operate(h, op, func(ctx context.Context, in *struct {
		Pair string `path:"pair" doc:"The pair: the numbers of both contacts, such as 17-204."`
		Body struct {
			Verdict register.Verdict `json:"verdict" enum:"same,different,open"`
		}
	}) (*body[register.Decision], error) {
		return asBody(s.register.Decide(ctx, in.Pair, in.Body.Verdict, caller(ctx)))
	})

	op = post("contacts-duplicates-merge", "/contacts/duplicates/{pair}/merge", tag, "Make one contact of two")
	op.Description = "The two are kept aside as the originals of the new one; undo-merge brings them back."
	operate(h, op, func(ctx context.Context, in *struct {
		Pair string `path:"pair" doc:"The pair: the numbers of both contacts, such as 17-204."`
		Body Merging
	}) (*body[register.Stored], error) {
		take := map[contacts.Field]uint64{}
		for name, from := range in.Body.Take {
			f, ok := contacts.ParseField(name)
			if !ok {
				return nil, newProblem(exchange.CodeInvalid, "a field is named that no contact has")
			}
			take[f] = from
		}
		return asBody(s.register.Merge(ctx, in.Pair, take, caller(ctx)))
	})

	operate(h, post("contacts-undo-merge", "/contacts/{number}/undo-merge", tag, "Take a merge back"), func(ctx context.Context, in *struct {
		Number uint64 `path:"number" doc:"The contact's number."`
		Body   struct {
			DiscardChanges bool `json:"discard_changes,omitempty" doc:"Also where the merged contact was changed since; those changes are lost."`
		}
	}) (*body[List[register.Stored]], error) {
		back, err := s.register.Undo(ctx, in.Number, in.Body.DiscardChanges, caller(ctx))
		return asList(back, "", err)
	})

	operate(h, get("contacts-decisions", "/contacts/decisions", tag, "List what was decided about pairs of contacts"),
		func(ctx context.Context, in *duplicatesInput) (*body[List[register.Decision]], error) {
			all, err := s.register.Decisions(ctx, in.After, in.Limit)
			next := ""
			if len(all) == in.Limit {
				next = all[len(all)-1].ID
			}
			return asList(all, next, err)
		})
}
