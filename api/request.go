package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"ihyid/api/tracing"
)

// request is what belongs to one request besides what net/http keeps: its id, and the error behind
// an internal problem, for the log.
type request struct {
	id      string
	address string // the caller's, for the delays of sign-ins; never logged
	code    string // of the problem that was answered
	cause   error
	leave   func() // gives back the request's place early; more than once does no harm
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{leave: func() {}}
}

// RequestHeader carries the id of a request in every answer.
const RequestHeader = "X-Request-Id"

// frame is what every request goes through on either side: an id, deadlines, a panic caught, a place
// among those that may be under way at once, one line in the log.
func (s *Server) frame(side string, router *mux.Router, at places, each *callers, grow int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.now()
		req := &request{id: requestID(), address: s.addressOf(r)}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, req))
		pw := newPacedWriter(w, s.limits, s.now)
		r.Body = &pacedBody{ReadCloser: r.Body, deadline: pw.control.SetReadDeadline, now: s.now, grace: s.limits.BodyGrace, rate: grow}
		h := pw.Header()
		h.Set(RequestHeader, req.id)
		h.Set("X-Content-Type-Options", "nosniff")
		route := ""
		var span *tracing.Span
		defer func() {
			v := recover()
			if v != nil && v != http.ErrAbortHandler {
				req.cause = panicked(v)
				s.logger.ErrorContext(r.Context(), "a request handler panicked",
					"request", req.id, "side", side, "route", route, "panic", req.cause.Error(), "stack", string(debug.Stack()))
				if pw.status == 0 {
					newProblem(codeInternal, "").write(pw, req.id)
					v = nil
				}
			}
			s.metrics.observe(side, r.Method, route, pw, s.now().Sub(start))
			s.log(r, side, route, req, pw, start)
			span.Answered(pw.status, req.code)
			if v != nil {
				panic(http.ErrAbortHandler) // the answer had begun: cut it, so that nobody takes it for whole
			}
			// net/http now reads what is left of the body (up to 256 KiB) and then sends what is left of the
			// answer: the deadline of the one must pass before that of the other.
			if r.ProtoMajor == 1 {
				_ = pw.control.SetReadDeadline(s.now().Add(s.limits.BodyGrace))
			}
			_ = pw.control.SetWriteDeadline(s.now().Add(2 * s.limits.BodyGrace))
		}()

		var match mux.RouteMatch
		if router.Match(r, &match) && match.Route != nil {
			template, _ := match.Route.GetPathTemplate()
			route = withoutPatterns(template)
		}
		if s.tracing != nil {
			var ctx context.Context
			ctx, span = s.tracing.Request(r.Context(), side, knownMethod(r.Method), route, req.id)
			r = r.WithContext(ctx)
		}
		if each != nil {
			give, wait := each.take(callerName(r, req.address))
			if give == nil {
				tooMany(wait).write(pw, req.id)
				return
			}
			defer give()
		}
		if !at.take() {
			busy().write(pw, req.id)
			return
		}
		req.leave = sync.OnceFunc(at.give)
		defer req.leave()
		router.ServeHTTP(pw, r)
	})
}

// log writes the one line of a request. Paths hold ids and DIDs, queries may hold anything: the route
// stands for both. Who called is not logged: an address can be a person's.
func (s *Server) log(r *http.Request, side, route string, req *request, w *pacedWriter, start time.Time) {
	level := slog.LevelInfo
	switch {
	case w.status >= 500:
		level = slog.LevelError
	case w.status >= 400:
		level = slog.LevelWarn
	case r.Method == http.MethodGet || r.Method == http.MethodHead || strings.HasSuffix(route, "/chunks/{index}"):
		level = slog.LevelDebug
	}
	if !s.logger.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", req.id), slog.String("side", side), slog.String("method", knownMethod(r.Method)),
		slog.String("route", route), slog.Int("status", w.status), slog.Int64("bytes", w.n),
		slog.Duration("took", s.now().Sub(start)),
	}
	if req.cause != nil {
		attrs = append(attrs, slog.String("error", req.cause.Error()))
	}
	s.logger.LogAttrs(context.WithoutCancel(r.Context()), level, "request", attrs...)
}

// withoutPatterns takes the patterns out of a route: /jobs/{id:[0-9]+} becomes /jobs/{id}.
func withoutPatterns(template string) string {
	var b strings.Builder
	depth, pattern := 0, false
	for _, c := range template {
		switch {
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				pattern = false
			}
		case c == ':' && depth == 1:
			pattern = true
		}
		if !pattern && (c != '}' || depth == 0) {
			b.WriteRune(c)
		}
	}
	return b.String()
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// knownMethod is the method if HTTP knows it; else it can be any word.
func knownMethod(method string) string {
	if !slices.Contains(methods, method) {
		return "other"
	}
	return method
}

// panicked keeps of a panic what cannot hold data: the runtime's own words, or the type of the value.
func panicked(v any) error {
	if e, ok := v.(error); ok {
		var re runtime.Error
		if errors.As(e, &re) {
			return fmt.Errorf("panic: %v", re)
		}
	}
	return fmt.Errorf("panic with a %T", v)
}

func requestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, crypto/rand documents
	return hex.EncodeToString(b[:])
}

// fail answers err as a problem and keeps what is behind it for the log.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	req := requestOf(r.Context())
	p := problemOf(err)
	req.code = string(p.Code())
	if p.cause != nil {
		req.cause = p.cause
	}
	p.write(w, req.id)
}

// newRouter gives a router whose own answers are problems, and which takes paths as they come:
// no redirect to a cleaned path, no slash forgiven.
func newRouter() *mux.Router {
	router := mux.NewRouter().SkipClean(true)
	router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		newProblem("not-found", "nothing is served at this path").write(w, requestOf(r.Context()).id)
	})
	router.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, m := range methods {
			try := r.Clone(r.Context())
			try.Method = m
			var match mux.RouteMatch
			if router.Match(try, &match) && match.MatchErr == nil {
				w.Header().Add("Allow", m)
			}
		}
		newProblem(codeMethodNotAllowed, "the Allow header names the methods that are possible").write(w, requestOf(r.Context()).id)
	})
	return router
}
