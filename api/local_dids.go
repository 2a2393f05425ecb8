package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/mux"

	"ihyid/did"
)

// DIDs resolves identifiers for the node's own people.
type DIDs interface {
	// Get answers a request of the HTTP binding of DID Resolution 1.0; see [did.Dereferencer.Get].
	Get(ctx context.Context, identifier, query, accept string) did.Response
	// Flush forgets what is cached of a DID, and of all for "".
	Flush(name string)
}

const identifiersPrefix = "/1.0/identifiers/"

// routeDIDs adds the universal resolver's path. It is part of the local API: anybody's node would otherwise fetch what anybody asks for.
func (s *Server) routeDIDs(router *mux.Router) {
	if s.dids == nil {
		return
	}
	// The path as it was sent: whether a DID URL was encoded decides what its query belongs to.
	router.MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool {
		return strings.HasPrefix(r.URL.EscapedPath(), identifiersPrefix)
	}).
		Methods(http.MethodGet, http.MethodHead).HandlerFunc(s.identifier).Name("did-resolve")
}

func (s *Server) identifier(w http.ResponseWriter, r *http.Request) {
	identifier := strings.TrimPrefix(r.URL.EscapedPath(), identifiersPrefix)
	resp := s.dids.Get(r.Context(), identifier, r.URL.RawQuery, strings.Join(r.Header.Values("Accept"), ","))
	if resp.Err != nil && resp.Status >= http.StatusInternalServerError {
		requestOf(r.Context()).cause = resp.Err
	}
	h := w.Header()
	h.Add("Vary", "Accept")
	h.Set("Cache-Control", "no-store")
	if resp.Location != "" {
		h.Set("Location", resp.Location)
	}
	if resp.ContentType != "" {
		h.Set("Content-Type", resp.ContentType)
	}
	w.WriteHeader(resp.Status)
	_, _ = w.Write(resp.Body)
}

func (s *Server) operateDIDs(h huma.API) {
	if s.dids == nil {
		return
	}
	operate(h, remove("dids-flush-all", "/did-cache", "DIDs", "Forget all resolved DID documents"),
		func(context.Context, *empty) (*struct{}, error) {
			s.dids.Flush("")
			return &struct{}{}, nil
		})
	operate(h, remove("dids-flush", "/did-cache/{did}", "DIDs", "Forget what was resolved of one DID"),
		func(_ context.Context, in *byDID) (*struct{}, error) {
			s.dids.Flush(in.DID)
			return &struct{}{}, nil
		})
}

func remove(id, path, tag, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodDelete, Path: path, Tags: []string{tag}, Summary: summary, DefaultStatus: http.StatusNoContent}
}
