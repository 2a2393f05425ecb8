package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/gorilla/mux"

	"ihyid/api/policy"
	"ihyid/exchange"
)

// guard stands in front of every route of a router: it asks the policy table whether the caller may,
// before anything of the request is looked at. A route's name is its operation.
func (s *Server) guard(router *mux.Router) {
	router.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			operation := operationOf(mux.CurrentRoute(r))
			if err := refusal(s.policy.CheckContext(r.Context(), operation)); err != nil {
				s.denied(r, operation, mux.Vars(r), err)
				fail(w, r, err)
				return
			}
			next := s.once(operation, next)
			if row, _ := s.policy.Row(operation); row.Recorded && s.audit != nil {
				s.recorded(w, r, row, next)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
}

func operationOf(route *mux.Route) string {
	if route == nil {
		return ""
	}
	return route.GetName()
}

// refusal is what a caller is told; nil if it may.
func refusal(d policy.Decision) error {
	switch d {
	case policy.Allowed:
		return nil
	case policy.Stranger:
		return unauthorized()
	case policy.NotRole:
		return newProblem(codeForbidden, "the account's role may not do this")
	case policy.NotScope:
		return newProblem(codeForbidden, "the API token has no scope for this, though its account may do it")
	}
	return fmt.Errorf("an operation without a row in the policy table was asked for (decision %d)", d)
}

// unauthorized is told to every stranger alike, whatever was asked for.
func unauthorized() *Problem {
	return newProblem(codeUnauthorized, "sign in, and send the token as an Authorization header: Bearer and the token")
}

// checkRoutes makes sure that every route has its row in the policy table, and that the public side
// has open ones only.
func (s *Server) checkRoutes(router *mux.Router, public bool) error {
	return router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		template, _ := route.GetPathTemplate()
		row, ok := s.policy.Row(operationOf(route))
		switch {
		case route.GetHandler() == nil:
			return fmt.Errorf("api: the route %s %q leads nowhere", operationOf(route), template)
		case !ok:
			return fmt.Errorf("api: the route %q with the operation %q has no row in the policy table", template, operationOf(route))
		case public && !row.Open:
			return fmt.Errorf("api: the operation %q stands on the public side, but is not for everybody", row.Operation)
		}
		return nil
	})
}

// outside serves the public side: other nodes at the routes of public, and at all other paths the
// node's own people who show who they are. Strangers are answered alike wherever they ask.
func (s *Server) outside(public, local *mux.Router) http.Handler {
	// Nodes that have shown the token of an exchange have places of their own: however many addresses strangers have, what is under way goes on.
	senders := newCallers(s.limits.CallerRequests, s.limits.CallerRate, s.now)
	nodes := s.frame("public", public, newPlaces(s.limits.PublicRequests), senders, s.limits.BodyRate)
	proven := s.frame("public", public, newPlaces(s.limits.PublicRequests), senders, s.limits.BodyRate)
	nothing := newRouter()
	nothing.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fail(w, r, unauthorized()) })
	places := newPlaces(s.limits.PublicRequests)
	each := newCallers(s.limits.CallerRequests, s.limits.CallerRate, s.now)
	strangers := s.frame("public", local, places, each, s.limits.BodyRate)
	refused := s.frame("public", nothing, places, each, s.limits.BodyRate)
	people := s.frame("remote", local, newPlaces(s.limits.LocalRequests), each, s.limits.BodyRate)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var match mux.RouteMatch
		if public.Match(r, &match) && match.MatchErr == nil || errors.Is(match.MatchErr, mux.ErrMethodMismatch) || s.authenticate == nil {
			if r, ok := s.prove(r, &match); ok {
				proven.ServeHTTP(w, r)
				return
			}
			nodes.ServeHTTP(w, r)
			return
		}
		caller, err := s.authenticate(r)
		if err == nil {
			people.ServeHTTP(w, r.WithContext(policy.WithCaller(r.Context(), caller)))
			return
		}
		match = mux.RouteMatch{}
		if local.Match(r, &match) && match.MatchErr == nil {
			if row, ok := s.policy.Row(operationOf(match.Route)); ok && row.Open {
				strangers.ServeHTTP(w, r)
				return
			}
		}
		if match.Route != nil && r.Header.Get("Authorization") != "" {
			s.denied(r, operationOf(match.Route), match.Vars, unauthorized()) // who sends no token at all has only lost the way
		}
		refused.ServeHTTP(w, r)
	})
}

// AccountHeader names, at the socket only, the account that a request acts as: its id or its name, as a query escapes it.
const AccountHeader = "Ihyid-Account"

// atSocket serves the node's socket: whoever may open it is the node's own user, an admin, or acts as the account that it names.
func (s *Server) atSocket(local *mux.Router) http.Handler {
	h := s.frame("local", local, newPlaces(s.limits.LocalRequests), nil, 0)
	nobody := newRouter()
	nobody.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, newProblem(exchange.CodeNotFound, "there is no account of that name that is not disabled"))
	})
	noAccount := s.frame("local", nobody, newPlaces(s.limits.LocalRequests), nil, 0)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := s.bySocket(r)
		if err != nil {
			noAccount.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r.WithContext(policy.WithCaller(r.Context(), caller)))
	})
}

// errNoAccount: AccountHeader names nobody.
var errNoAccount = errors.New("no such account")

// bySocket tells who sent a request to the socket.
func (s *Server) bySocket(r *http.Request) (policy.Caller, error) {
	names := r.Header.Values(AccountHeader)
	switch {
	case len(names) == 0:
		return policy.Caller{Account: policy.SocketAccount, Role: policy.Admin, How: policy.BySocket}, nil
	case len(names) > 1 || s.accounts == nil:
		return policy.Caller{}, errNoAccount
	}
	name, err := url.QueryUnescape(names[0])
	if err != nil {
		return policy.Caller{}, errNoAccount
	}
	return s.accounts.Caller(name)
}

// still tells whether who sent a request could send it now: an answer that lasts must not outlive a token, an account or a role.
func (s *Server) still(r *http.Request) bool {
	who := s.bySocket
	if before, ok := policy.CallerOf(r.Context()); !ok || before.How != policy.BySocket {
		who = s.authenticate
	}
	if who == nil {
		return false
	}
	caller, err := who(r)
	return err == nil && s.policy.Check(&caller, operationOf(mux.CurrentRoute(r))) == policy.Allowed
}
