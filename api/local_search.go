package api

import (
	"context"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"ihyid/exchange/register"
	"ihyid/exchange/register/search"
	"ihyid/store"
)

// Search finds contacts; *search.Index has it.
type Search interface {
	Search(ctx context.Context, q search.Query, after uint64, limit int) (search.Page, error)
	SearchTx(tx *store.Tx, q search.Query, after uint64, limit int) (search.Page, error)
}

// SearchRequest says whom to search for. It stands in a body and never in a URL: proxies and browsers keep URLs.
type SearchRequest struct {
	Name       string `json:"name,omitempty" maxLength:"400" doc:"Words of first and last name in any order and script. Each is found by its beginning (from two letters) or by its sound." example:"Houman Had"`
	Match      string `json:"match,omitempty" enum:"start,sound" doc:"Compare the words of name by their beginnings, or by their sound, only. Left out: either."`
	Mother     string `json:"mother_first_name,omitempty" maxLength:"400" doc:"By its sound."`
	Father     string `json:"father_first_name,omitempty" maxLength:"400" doc:"By its sound."`
	Born       string `json:"date_of_birth,omitempty" maxLength:"10" doc:"YYYY-MM-DD." example:"1976-05-07"`
	PhoneticID string `json:"phonetic_id,omitempty" maxLength:"40" doc:"Of the original scheme; each part may be *." example:"H550-H330-*-*-19760507"`
	ExternalID string `json:"external_id,omitempty" maxLength:"400" doc:"The whole id."`
	After      string `json:"after,omitempty" maxLength:"20" doc:"What next said."`
	Limit      int    `json:"limit,omitempty" minimum:"1" maximum:"1000" doc:"Left out: 100."`
}

func (s *Server) operateSearch(h huma.API) {
	if s.search == nil {
		return
	}
	op := post("contacts-search", "/contacts/search", "Contacts", "Find contacts by name, sound, date of birth, phonetic or external id")
	op.Description = "All that is given must hold. Contacts come by number; a page may be short, even empty, and yet have a next one."
	find := func(ctx context.Context, in *struct{ Body SearchRequest }) (*body[List[register.Stored]], error) {
		b := in.Body
		after := uint64(0)
		if b.After != "" {
			var err error
			if after, err = strconv.ParseUint(b.After, 10, 64); err != nil {
				return nil, newProblem(codeValidation, "body.after: is not what next said")
			}
		}
		if b.Limit == 0 {
			b.Limit = 100
		}
		page, err := s.search.Search(ctx, search.Query{
			Name: b.Name, Mother: b.Mother, Father: b.Father, Born: b.Born, PhoneticID: b.PhoneticID, ExternalID: b.ExternalID, Match: search.Match(b.Match),
		}, after, b.Limit)
		next := ""
		if page.Next != 0 {
			next = strconv.FormatUint(page.Next, 10)
		}
		return asList(page.Contacts, next, err)
	}
	operate(h, op, find)
	operate(h, action(op, "rpc-search", "/rpc/search"), find)
}
