package api

import (
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"ihyid/api/policy"
)

// CertificateOf gives what a TLS listener takes its certificate from, and a function that lets the
// time pass after which it looks at the files again.
func CertificateOf(t *testing.T, certFile, keyFile string) (get func() *tls.Certificate, age func()) {
	t.Helper()
	now := time.Now()
	c := &certificate{certFile: certFile, keyFile: keyFile, now: func() time.Time { return now }}
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	return func() *tls.Certificate {
		cert, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}, func() { now = now.Add(certificateAge) }
}

var WithoutPatterns = withoutPatterns

// Route is one route of a server, and what it stands for.
type Route struct {
	Operation, Template string
	Methods             []string // none: any
}

// Routes gives the routes of either side.
func (s *Server) Routes(t *testing.T) (public, local []Route) {
	t.Helper()
	list := func(router *mux.Router) (out []Route) {
		err := router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
			template, _ := route.GetPathTemplate()
			methods, _ := route.GetMethods()
			out = append(out, Route{operationOf(route), withoutPatterns(template), methods})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	return list(s.routes.public), list(s.routes.local)
}

// LocalAs serves the local API to one caller; nil stands for a stranger.
func (s *Server) LocalAs(c *policy.Caller) http.Handler {
	h := s.frame("test", s.routes.local, newPlaces(8), nil, 0)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c != nil {
			r = r.WithContext(policy.WithCaller(r.Context(), *c))
		}
		h.ServeHTTP(w, r)
	})
}

// CheckRoutesWith checks the server's routes after add has added some more of its own.
func (s *Server) CheckRoutesWith(public bool, add func(*mux.Router)) error {
	router := newRouter()
	add(router)
	return s.checkRoutes(router, public)
}

// Guarded gives a router with the guard before it, and its handler.
func (s *Server) Guarded(add func(*mux.Router)) http.Handler {
	router := newRouter()
	s.guard(router)
	add(router)
	return s.frame("test", router, newPlaces(8), nil, 0)
}
