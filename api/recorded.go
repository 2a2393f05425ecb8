package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/mux"

	"ihyid/api/audit"
	"ihyid/api/policy"
	"ihyid/exchange"
)

// objectParameters are the parameters of paths that name what an operation is done to, the innermost first.
var objectParameters = []string{"token", "account", "number", "did", "profile", "id"}

func objectOf(vars map[string]string) string {
	for _, name := range objectParameters {
		if v := vars[name]; v != "" {
			return v
		}
	}
	return ""
}

// denied records that an operation was refused before it began.
func (s *Server) denied(r *http.Request, operation string, vars map[string]string, err error) {
	p := problemOf(err)
	if s.audit == nil || p.Code() == codeInternal {
		return
	}
	var caller *policy.Caller
	if c, ok := policy.CallerOf(r.Context()); ok {
		caller = &c
	}
	if err := s.audit.Deny(r.Context(), caller, operation, objectOf(vars), string(p.Code())); err != nil {
		s.logger.ErrorContext(r.Context(), "a refused request could not be recorded", "operation", operation, "error", err)
	}
}

// recorded serves an operation that stands in the record of who did what.
func (s *Server) recorded(w http.ResponseWriter, r *http.Request, row policy.Row, next http.Handler) {
	var caller *policy.Caller
	if c, ok := policy.CallerOf(r.Context()); ok {
		caller = &c
	}
	ctx, attempt := s.audit.Begin(r.Context(), caller, row.Operation, objectOf(mux.Vars(r)))
	if row.Beforehand {
		if err := attempt.Before(ctx); err != nil {
			fail(w, r, err)
			return
		}
	}
	req := requestOf(r.Context())
	whole := false
	defer func() {
		code := req.code
		if !whole && code == "" {
			code = string(codeInternal) // it panicked, or its answer was cut off
		}
		refused := code == string(codeUnauthorized) || code == string(codeForbidden) || code == string(codeSecondFactor) || code == string(exchange.CodeTooMany)
		if err := attempt.Finish(r.Context(), code, refused); err != nil {
			s.logger.ErrorContext(r.Context(), "what was done could not be recorded", "request", req.id, "operation", row.Operation, "error", err)
		}
	}()
	next.ServeHTTP(w, r.WithContext(ctx))
	whole = true
}

// idOf gives the id of what an operation answers, or "": the member ID, or DID, of the body.
func idOf(out any) string {
	v := reflect.Indirect(reflect.ValueOf(out))
	if v.Kind() != reflect.Struct {
		return ""
	}
	v = v.FieldByName("Body")
	if !v.IsValid() || v.Kind() != reflect.Struct {
		return ""
	}
	for _, name := range []string{"ID", "DID"} {
		switch f := v.FieldByName(name); {
		case !f.IsValid():
		case f.Kind() == reflect.String && f.String() != "":
			return f.String()
		case f.CanUint() && f.Uint() > 0:
			return strconv.FormatUint(f.Uint(), 10)
		}
	}
	return ""
}

// addressOf gives the caller's address, "" at the socket.
func (s *Server) addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	if s.forwarded {
		if list := r.Header.Values("X-Forwarded-For"); len(list) > 0 {
			parts := strings.Split(list[len(list)-1], ",")
			last := strings.TrimSpace(parts[len(parts)-1])
			if a, err := netip.ParseAddrPort(last); err == nil { // some proxies add the port
				return a.Addr().String()
			}
			return strings.Trim(last, "[]")
		}
	}
	return host
}

type auditInput struct {
	Account   string `query:"account" maxLength:"40" doc:"Only of this account, by its id; socket is the user who runs the node."`
	Operation string `query:"operation" maxLength:"64" doc:"Only this operation." example:"contacts-export"`
	Outcome   string `query:"outcome" enum:"done,failed,denied,made"`
	Since     string `query:"since" maxLength:"40" format:"date-time" doc:"Only from this moment on."`
	Until     string `query:"until" maxLength:"40" format:"date-time" doc:"Only before this moment."`
	Page
}

type auditVerifyInput struct {
	Number uint64 `query:"number" doc:"Of a record whose digest was noted before."`
	Digest string `query:"digest" maxLength:"64" pattern:"^[0-9a-f]{64}$" doc:"That digest."`
}

func (s *Server) operateAudit(h huma.API) {
	if s.audit == nil {
		return
	}
	const tag = "Audit"
	op := get("audit-list", "/audit", tag, "Read the record of who did what, the newest first")
	op.Description = shortPages
	operate(h, op, func(ctx context.Context, in *auditInput) (*body[List[audit.Record]], error) {
		c := cursorsOf(op.OperationID, in.Account, in.Operation, in.Outcome, in.Since, in.Until)
		f := audit.Filter{Account: in.Account, Operation: in.Operation, Outcome: audit.Outcome(in.Outcome), Limit: in.Limit}
		var err error
		if f.Before, err = c.readNumber(in.After); err != nil {
			return nil, err
		}
		if f.Since, err = moment("since", in.Since); err != nil {
			return nil, err
		}
		if f.Until, err = moment("until", in.Until); err != nil {
			return nil, err
		}
		list, next, err := s.audit.List(ctx, f)
		if next == 0 {
			return asList(list, "", err)
		}
		return asList(list, c.next(strconv.AppendUint(nil, next, 10)), err)
	})
	op = get("audit-verify", "/audit/verify", tag, "Verify that nothing in the record was changed")
	op.Description = "Walks the whole chain. With number and digest, which were noted before, also that this record still has that digest."
	operate(h, op, func(ctx context.Context, in *auditVerifyInput) (*body[audit.Verification], error) {
		if (in.Number == 0) != (in.Digest == "") {
			return nil, newProblem(codeValidation, "number and digest go together")
		}
		return asBody(s.audit.Verify(ctx, in.Number, in.Digest))
	})
}
