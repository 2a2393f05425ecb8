package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/gorilla/mux"

	"ihyid/api/audit"
	"ihyid/exchange"
)

func init() {
	// These are huma's only seams for errors and names, and they are per program.
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return problemOfHuma(status, message, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		p := problemOfHuma(status, message, errs)
		req := requestOf(ctx.Context())
		p.Instance, req.code = requestPrefix+req.id, string(p.Code())
		if p.cause != nil {
			req.cause = p.cause
		}
		for k, v := range p.GetHeaders() {
			ctx.SetHeader(k, v[0])
		}
		return p
	}
}

// maxProblemErrors bounds how many wrong places one problem names.
const maxProblemErrors = 20

// problemOfHuma makes a problem of what huma found wrong. huma's details carry the offending value,
// and the names of properties and parameters that it does not know: neither is passed on.
func problemOfHuma(status int, message string, errs []error) *Problem {
	var p *Problem
	switch status {
	case http.StatusUnsupportedMediaType:
		return newProblem(codeMediaType, "send application/json")
	case http.StatusNotAcceptable:
		return newProblem(codeNotAcceptable, "answers are given as application/json")
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		if status == http.StatusRequestTimeout {
			return newProblem(codeTimeout, "the body arrived too slowly; nothing was changed")
		}
		return newProblem(exchange.CodeTooLarge, message)
	case http.StatusBadRequest:
		p = newProblem(exchange.CodeInvalid, "")
	case http.StatusUnprocessableEntity:
		p = newProblem(codeValidation, "")
	default:
		if err := errors.Join(errs...); err != nil {
			if message == "cannot read request body" {
				return bodyProblem(err)
			}
			return problemOf(err)
		}
		p = newProblem(codeInternal, "")
		if status != 0 { // 0: huma asks for an example
			p.cause = errors.New(message)
		}
		return p
	}
	for _, err := range errs {
		if len(p.Errors) == maxProblemErrors {
			break
		}
		var known *Problem
		if errors.As(err, &known) {
			return known
		}
		place := ProblemError{Message: "is not acceptable"}
		if d, ok := err.(huma.ErrorDetailer); ok {
			detail := d.ErrorDetail()
			place = ProblemError{Location: detail.Location, Message: detail.Message}
			if strings.HasPrefix(detail.Message, "unexpected property") || strings.HasPrefix(detail.Message, "unknown query parameter") {
				if i := strings.LastIndexAny(place.Location, "."); i >= 0 {
					place.Location = place.Location[:i]
				}
				// A name may itself hold dots: keep only what is certainly ours.
				place.Location, _, _ = strings.Cut(place.Location, ".")
			}
		}
		p.Errors = append(p.Errors, place)
	}
	switch len(p.Errors) {
	case 0:
		p.Detail = message
	case 1:
		p.Detail = strings.TrimSpace(p.Errors[0].Location + ": " + p.Errors[0].Message)
	default:
		p.Detail = fmt.Sprintf("%d things are wrong; errors names them", len(p.Errors))
	}
	return p
}

// pathPatterns says what a parameter of a path may be, by its name. huma's own check comes too late:
// with these, what is no id is no path of the API.
var pathPatterns = strings.NewReplacer(
	"{account}", "{account:[0-9a-f]{16}}",
	"{token}", "{token:[0-9a-f]{16}}",
	"{number}", "{number:[0-9]{1,20}}",
	"{pair}", "{pair:[0-9]{1,20}-[0-9]{1,20}}",
	"{id}", "{id:"+idPattern+"}",
	"{did}", "{did:did:[a-z0-9]+:[^/]+}",
	"{profile}", "{profile:[a-z0-9-]{1,64}/[0-9]{1,8}}",
)

// adapter is humamux with pathPatterns; it names every route for the operation that it stands for.
type adapter struct {
	huma.Adapter
	router *mux.Router
}

func (a adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	route := a.router.Path(pathPatterns.Replace(op.Path)).Methods(op.Method).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler(humamux.NewContext(op, r, w))
	}).Name(op.OperationID)
	if err := route.GetError(); err != nil {
		panic(err) // mux would only never match it
	}
}

// routeLocal adds the API of the node's own people.
func (s *Server) routeLocal(router *mux.Router) error {
	format := huma.Format{
		Marshal: func(w io.Writer, v any) error {
			enc := json.NewEncoder(w)
			enc.SetEscapeHTML(false)
			return enc.Encode(v)
		},
		Unmarshal: decodeJSON,
	}
	// Not huma.DefaultConfig: its CreateHooks add $schema to every body, its DocsPath loads a page
	// from a CDN, its OpenAPIPath writes an unguarded variable at the first request.
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "Ihyid node",
				Version: s.version,
				Description: "The API of a node's own people: contacts, peers, exchanges, receipts, jobs, profiles. " +
					"Failures are problem documents (RFC 9457) whose type is stable.",
				License: &huma.License{Name: "MIT", Identifier: "MIT"},
			},
			Components: &huma.Components{Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)},
		},
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
	h := huma.NewAPI(config, adapter{humamux.NewAdapter(router), router})
	h.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
		ctx.SetHeader("Cache-Control", "no-store")
		next(ctx)
	})
	s.operateStatus(h)
	s.operateContacts(h)
	s.operateSearch(h)
	s.operateRegister(h)
	s.operateDuplicates(h)
	s.operatePrototype(h)
	s.operateKeys(h)
	s.operateDIDs(h)
	s.operatePeers(h)
	s.operateExchanges(h)
	s.operateAgreements(h)
	s.operateJobs(h)
	s.operateProfiles(h)
	s.operateVC(h)
	s.operateReceiptStatus(h)
	s.operateSignIn(h)
	s.operateOwnAccount(h)
	s.operateUsers(h)
	s.operateAudit(h)

	s.describeSecurity(h.OpenAPI())
	spec, err := json.MarshalIndent(h.OpenAPI(), "", "  ")
	if err != nil {
		return fmt.Errorf("api: writing the OpenAPI description: %w", err)
	}
	s.routeDIDs(router)
	s.routeSignIn(router)
	router.Path("/openapi.json").Methods(http.MethodGet).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, "application/openapi+json", spec)
	}).Name("openapi")
	if err := s.routeExplorer(router); err != nil {
		return err
	}
	router.Path(routeReady).Methods(http.MethodGet, http.MethodHead).HandlerFunc(s.readiness).Name("readyz")
	router.Path(routeHealth).Methods(http.MethodGet, http.MethodHead).HandlerFunc(s.health).Name("healthz")
	return nil
}

// operate registers one operation. Every error of the handler becomes a problem through the one
// table; a body may have maxLocalBody bytes unless the operation says otherwise.
func operate[I, O any](h huma.API, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = maxLocalBody
	}
	op.BodyReadTimeout = -1 // huma's deadline would outlive the body and end the handler; pacedBody has its own
	huma.Register(h, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err == nil {
			if a := audit.AttemptOf(ctx); a != nil {
				a.SetObject(idOf(out))
			}
			return out, nil
		}
		req := requestOf(ctx)
		p := *problemOf(err)
		if p.Code() == exchange.CodeUnknownPeer {
			p = *newProblem(exchange.CodeNotFound, p.Detail) // here nobody is a sender: it is a peer that was asked for
		}
		p.Instance, req.code = requestPrefix+req.id, string(p.Code())
		if p.cause != nil {
			req.cause = p.cause
		}
		return nil, &p
	})
}

// body is the answer of an operation that answers JSON.
type body[T any] struct{ Body T }

func asBody[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{v}, nil
}

// List is a part of a list, and where the next part begins.
type List[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Give it as after to get the next part. Absent: this was the last."`
}

func asList[T any](items []T, next string, err error) (*body[List[T]], error) {
	if err != nil {
		return nil, err
	}
	if items == nil {
		items = []T{}
	}
	return &body[List[T]]{List[T]{Items: items, Next: next}}, nil
}

// exact answers a JSON document byte by byte as it is kept: it is signed, or others hold its digest.
type exact struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func asItIs(description string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: description,
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}},
	}}
}

type empty struct{}

type byID struct {
	ID string `path:"id" doc:"Its id." maxLength:"128"`
}

type byDID struct {
	DID string `path:"did" doc:"The peer's DID, percent-encoded." maxLength:"2048" example:"did:web:relief.example.org"`
}

func get(id, path, tag, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{tag}, Summary: summary}
}

func post(id, path, tag, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodPost, Path: path, Tags: []string{tag}, Summary: summary}
}

// action is an operation once more, under the name of what it does.
func action(op huma.Operation, id, path string) huma.Operation {
	op.Description = strings.TrimSpace(op.Description + " The same as " + op.Method + " " + op.Path + ".")
	op.OperationID, op.Path = id, path
	return op
}
