package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"ihyid/api/accounts"
	"ihyid/api/replay"
	"ihyid/contacts"
	"ihyid/exchange"
	"ihyid/exchange/register"
	"ihyid/exchange/register/search"
	"ihyid/store/jobs"
)

// ProblemPrefix begins the type of every problem that a node answers; a code follows it.
const ProblemPrefix = "urn:ihyid:problem:"

// Codes of the problems that arise in HTTP itself; all others are the codes of package exchange.
const (
	codeInternal         exchange.Code = "internal"
	codeValidation       exchange.Code = "validation"
	codeMethodNotAllowed exchange.Code = "method-not-allowed"
	codeMediaType        exchange.Code = "unsupported-media-type"
	codeNotAcceptable    exchange.Code = "not-acceptable"
	codeTimeout          exchange.Code = "timeout"
	codeBusy             exchange.Code = "busy"
	codeErasing          exchange.Code = "erasing"
	codeStopping         exchange.Code = "stopping"
	codeBuilding         exchange.Code = "index-building"
	codeNotReady         exchange.Code = "not-ready"
	codeUnauthorized     exchange.Code = "unauthorized"
	codeForbidden        exchange.Code = "forbidden"
	codeSecondFactor     exchange.Code = "second-factor"
	codeSignInProvider   exchange.Code = "sign-in-provider"
)

// ProblemType is one row of the table that gives every kind of failure its status and title.
type ProblemType struct {
	Code   exchange.Code
	Status int
	Title  string
	Retry  time.Duration // what Retry-After says; 0: the header is not sent
}

// Type is the URI of the problem type.
func (t ProblemType) Type() string { return ProblemPrefix + string(t.Code) }

// problemTypes is the table. Clients rely on code and status: rows may be added, never changed.
var problemTypes = []ProblemType{
	{exchange.CodeInvalid, http.StatusBadRequest, "The request cannot be understood", 0},
	{codeValidation, http.StatusUnprocessableEntity, "The request does not fit the API's description", 0},
	{codeUnauthorized, http.StatusUnauthorized, "A valid token is needed", 0},
	{codeSecondFactor, http.StatusUnauthorized, "A code of the second factor is needed", 0},
	{codeForbidden, http.StatusForbidden, "The caller may not do this", 0},
	{exchange.CodeToken, http.StatusUnauthorized, "The exchange's bearer token is missing, wrong or expired", 0},
	{exchange.CodePresentation, http.StatusForbidden, "The presentation did not verify", 0},
	{exchange.CodeChallenge, http.StatusForbidden, "The challenge is unknown, used, expired or meant for something else", 0},
	{exchange.CodeUnknownPeer, http.StatusForbidden, "The sender is not registered with this node", 0},
	{exchange.CodePeerSuspended, http.StatusForbidden, "The sender is suspended at this node", 0},
	{exchange.CodeNotFound, http.StatusNotFound, "There is no such thing here", 0},
	{exchange.CodeUnknownExchange, http.StatusNotFound, "There is no such exchange", 0},
	{codeMethodNotAllowed, http.StatusMethodNotAllowed, "The method is not possible here", 0},
	{codeNotAcceptable, http.StatusNotAcceptable, "None of the accepted content types can be given", 0},
	{codeTimeout, http.StatusRequestTimeout, "The request arrived too slowly", 0},
	{exchange.CodeEpoch, http.StatusConflict, "The epoch is over", 0},
	{exchange.CodeCancelled, http.StatusConflict, "The exchange was cancelled", 0},
	{exchange.CodeUnfinished, http.StatusConflict, "An earlier exchange was left unfinished", 0},
	{exchange.CodeBudget, http.StatusForbidden, "A budget of the agreement is used up", 0},
	{exchange.CodePeerState, http.StatusConflict, "The peer is not in a state that allows this", 0},
	{exchange.CodeExchangeState, http.StatusConflict, "The exchange is not at that step", 0},
	{exchange.CodeMismatch, http.StatusConflict, "Two sides state different things", 0},
	{exchange.CodeConflict, http.StatusConflict, "It is already there, or changed meanwhile", 0},
	{exchange.CodePrecondition, http.StatusPreconditionFailed, "It is not any more as it was read", 0},
	{exchange.CodeTooLarge, http.StatusRequestEntityTooLarge, "It is larger than this node allows", 0},
	{codeMediaType, http.StatusUnsupportedMediaType, "The content type is not accepted here", 0},
	{exchange.CodeUnknownProfile, http.StatusUnprocessableEntity, "There is no such matching profile here", 0},
	{exchange.CodeCommitment, http.StatusUnprocessableEntity, "The bytes do not fit what was committed to", 0},
	{exchange.CodeFile, http.StatusUnprocessableEntity, "The file of an exchange cannot be taken", 0},
	{exchange.CodeUnsupported, http.StatusUnprocessableEntity, "This node does not speak that protocol or option", 0},
	{exchange.CodeTooMany, http.StatusTooManyRequests, "Too many at once", 10 * time.Second},
	{codeInternal, http.StatusInternalServerError, "The node failed", 0},
	{exchange.CodeUnreachable, http.StatusBadGateway, "The other node could not be reached", 0},
	{exchange.CodePeerError, http.StatusBadGateway, "The other node answered with an error", 0},
	{exchange.CodeResolution, http.StatusBadGateway, "The DID could not be resolved", 0},
	{codeSignInProvider, http.StatusBadGateway, "The sign-in provider could not be asked", 0},
	{codeErasing, http.StatusInternalServerError, "Contacts are gone, but their bytes are not overwritten yet", 0},
	{codeBusy, http.StatusServiceUnavailable, "The node has as much to do as it may", 2 * time.Second},
	{codeBuilding, http.StatusServiceUnavailable, "The contacts are still being indexed", 10 * time.Second},
	{codeNotReady, http.StatusServiceUnavailable, "The node cannot work now", 10 * time.Second},
	{codeStopping, http.StatusServiceUnavailable, "The node is stopping", 5 * time.Second},
}

// ProblemTypes lists every problem type that a node answers, by status and code.
func ProblemTypes() []ProblemType { return slices.Clone(problemTypes) }

// Problem is a problem document (RFC 9457). It is the error that handlers return, and what the
// client decodes.
type Problem struct {
	Type     string         `json:"type" format:"uri" doc:"Kind of the problem: urn:ihyid:problem: and a code. Stable." example:"urn:ihyid:problem:not-found"`
	Title    string         `json:"title" doc:"The kind in words; the same for every problem of its type."`
	Status   int            `json:"status" doc:"The HTTP status." example:"404"`
	Detail   string         `json:"detail,omitempty" doc:"What happened here, and to what. Never holds a value that was sent."`
	Instance string         `json:"instance,omitempty" format:"uri" doc:"urn:ihyid:request: and the request id that the node's log names."`
	Errors   []ProblemError `json:"errors,omitempty" doc:"The places that are wrong, at most 20."`

	retry time.Duration
	cause error
}

// ProblemError is one place that is wrong.
type ProblemError struct {
	Location string `json:"location,omitempty" doc:"Where: body.peer, query.limit, path.id."`
	Message  string `json:"message" doc:"What is wrong there; never the value that stood there."`
}

// newProblem makes a problem of the given code; a code that the table lacks is internal.
func newProblem(code exchange.Code, detail string) *Problem {
	t := typeOf(code)
	return &Problem{Type: t.Type(), Title: t.Title, Status: t.Status, Detail: detail, retry: t.Retry}
}

func typeOf(code exchange.Code) ProblemType {
	i := slices.IndexFunc(problemTypes, func(t ProblemType) bool { return t.Code == code })
	if i < 0 {
		return typeOf(codeInternal)
	}
	return problemTypes[i]
}

// Error is the detail, or the title where there is none.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// Unwrap gives the error behind an internal problem, which is logged and never sent.
func (p *Problem) Unwrap() error { return p.cause }

// Code is the part of the type that tells problems apart.
func (p *Problem) Code() exchange.Code {
	if len(p.Type) > len(ProblemPrefix) && p.Type[:len(ProblemPrefix)] == ProblemPrefix {
		return exchange.Code(p.Type[len(ProblemPrefix):])
	}
	return ""
}

// GetStatus makes a Problem a huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType makes a Problem a huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemContentType }

// GetHeaders makes a Problem a huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.retry.Seconds())))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="ihyid"`)
	}
	return h
}

const problemContentType = "application/problem+json"

// problemOf maps any error to a problem: the one table. An error that no row knows is internal: it
// is kept for the log, and the answer names the request only.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var delayed *accounts.DelayError
	if errors.As(err, &delayed) {
		p := newProblem(exchange.CodeTooMany, delayed.Error())
		p.retry = delayed.Wait
		return p
	}
	var e *exchange.Error
	if errors.As(err, &e) {
		p := newProblem(e.Code, e.Detail)
		if p.Status == http.StatusBadGateway {
			p.Detail = e.Error() // what is behind it is about the other node, and says what to do
		}
		if p.Status >= http.StatusInternalServerError {
			p.cause = err
		}
		if p.Code() == codeInternal {
			p.Detail = ""
		}
		return p
	}
	for _, row := range errorRows {
		if errors.Is(err, row.err) {
			if row.detail == "" {
				return newProblem(row.code, err.Error())
			}
			return newProblem(row.code, row.detail)
		}
	}
	p = newProblem(codeInternal, "")
	p.cause = err
	return p
}

// errorRows gives sentinel errors of the packages below their problem types. Without a detail the
// error's own words are given: they are made for that, and hold no values.
var errorRows = []struct {
	err    error
	code   exchange.Code
	detail string
}{
	{register.ErrNotFound, exchange.CodeNotFound, ""},
	{register.ErrNoReport, exchange.CodeNotFound, ""},
	{register.ErrVersion, exchange.CodePrecondition, ""},
	{register.ErrExists, exchange.CodeConflict, ""},
	{register.ErrInvalid, exchange.CodeInvalid, ""},
	{register.ErrVerdict, exchange.CodeInvalid, ""},
	{register.ErrMerged, exchange.CodeConflict, ""},
	{register.ErrNotMerged, exchange.CodeConflict, ""},
	{register.ErrEdited, exchange.CodeConflict, ""},
	{register.ErrTooMany, exchange.CodeInvalid, ""},
	{register.ErrRetention, exchange.CodeInvalid, ""},
	{register.ErrNoMapping, exchange.CodeNotFound, ""},
	{register.ErrHeld, exchange.CodeConflict, ""},
	{register.ErrUnfinished, codeErasing, register.ErrUnfinished.Error()},
	{register.ErrTooLarge, exchange.CodeTooLarge, ""},
	{register.ErrOptions, exchange.CodeInvalid, ""},
	{search.ErrQuery, codeValidation, ""},
	{search.ErrBuilding, codeBuilding, ""},
	{replay.ErrReused, exchange.CodeConflict, ""},
	{replay.ErrUnder, exchange.CodeConflict, ""},
	{replay.ErrFull, codeBusy, ""},
	{contacts.ErrTooLarge, exchange.CodeTooLarge, ""},
	{contacts.ErrUnknownProfile, exchange.CodeUnknownProfile, ""},
	{jobs.ErrNotFound, exchange.CodeNotFound, "there is no such job, or no longer"},
	{jobs.ErrFinished, exchange.CodeConflict, "the job has ended already"},
	{accounts.ErrSignIn, codeUnauthorized, ""},
	{accounts.ErrSecondFactor, codeSecondFactor, ""},
	{accounts.ErrCode, codeSecondFactor, ""},
	{accounts.ErrCaller, codeUnauthorized, "the token or the code is not valid, or no longer"},
	{accounts.ErrNotFound, exchange.CodeNotFound, ""},
	{accounts.ErrExists, exchange.CodeConflict, ""},
	{accounts.ErrLastAdmin, exchange.CodeConflict, ""},
	{accounts.ErrVersion, exchange.CodePrecondition, ""},
	{accounts.ErrState, exchange.CodeConflict, ""},
	{accounts.ErrName, codeValidation, ""},
	{accounts.ErrPassword, codeValidation, ""},
	{accounts.ErrInvalid, codeValidation, ""},
	{accounts.ErrNotMapped, codeForbidden, ""},
	{accounts.ErrBusy, codeBusy, ""},
	{accounts.ErrProvider, codeSignInProvider, ""},
	{errStopping, codeStopping, "the node is stopping; ask again when it is back"},
	{context.DeadlineExceeded, codeBusy, "the node could not finish this in time"},
	{context.Canceled, codeStopping, "the request was given up before it was finished"},
}

// errStopping ends what would otherwise hold up the end of the node.
var errStopping = errors.New("the node is stopping")

// write sends p as the whole answer.
func (p *Problem) write(w http.ResponseWriter, requestID string) {
	q := *p
	if requestID != "" {
		q.Instance = requestPrefix + requestID
	}
	body, err := json.Marshal(&q)
	if err != nil { // strings and an int: cannot be
		panic(err)
	}
	h := w.Header()
	for k, v := range q.GetHeaders() {
		h[k] = v
	}
	h.Set("Content-Type", problemContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Del("Content-Encoding")
	h.Del("Etag")
	w.WriteHeader(q.Status)
	_, _ = w.Write(append(body, '\n'))
}

const requestPrefix = "urn:ihyid:request:"
