package api

import (
	"slices"

	"ihyid/exchange"
)

// Page is which part of a list is asked for.
type Page struct {
	After string `query:"after" maxLength:"2048" doc:"What next said."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// pageOf gives the part of a list that in asks for, of the items that keep says yes to. The cursor is the id of the last item given, so
// what is added meanwhile moves nothing; one whose item has gone is refused.
func pageOf[T any](in Page, items []T, err error, id func(*T) string, keep func(*T) bool) (*body[List[T]], error) {
	if err != nil {
		return nil, err
	}
	from := 0
	if in.After != "" {
		at := slices.IndexFunc(items, func(item T) bool { return id(&item) == in.After })
		if at < 0 {
			return nil, newProblem(exchange.CodeInvalid, "query.after: is not in the list (any more); begin again without it")
		}
		from = at + 1
	}
	var page []T
	for i := from; i < len(items); i++ {
		if !keep(&items[i]) {
			continue
		}
		if len(page) == in.Limit {
			return asList(page, id(&page[len(page)-1]), nil)
		}
		page = append(page, items[i])
	}
	return asList(page, "", nil)
}
