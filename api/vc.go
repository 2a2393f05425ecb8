package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/mux"

	"ihyid/credentials"
	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/ijson"
	"ihyid/exchange"
)

// The VC API of the W3C Credentials Community Group: issue, prove, verify. Bodies and answers have its shapes; what cannot be understood, and what this node
// will not sign, is a problem document as everywhere else.

// Credentials is what a node signs and verifies beside its exchanges, and the status of what it signed; *exchange.Node has it.
type Credentials interface {
	IssueCredential(ctx context.Context, unsecured []byte, o exchange.SignOptions) ([]byte, error)
	ProvePresentation(ctx context.Context, unsecured []byte, o exchange.SignOptions) ([]byte, error)
	VerifyDocument(ctx context.Context, secured []byte, o credentials.PresentationOptions) *credentials.Result

	StatusList(ctx context.Context, number uint64, purpose string) (body []byte, contentType string, err error)
	RevokeReceipt(ctx context.Context, id, reason string) (exchange.ReceiptStatus, error)
	SuspendReceipt(ctx context.Context, id, reason string) (exchange.ReceiptStatus, error)
	ReinstateReceipt(ctx context.Context, id string) (exchange.ReceiptStatus, error)
}

// Routes of the public side.
const (
	routeStatusList         = "/node/status/{list:[1-9][0-9]{0,8}}/{purpose:revocation|suspension}"
	routeVerifyCredential   = "/vc/credentials/verify"
	routeVerifyPresentation = "/vc/presentations/verify"
)

// maxVCBody bounds a body of the VC API: a document of up to 1 MiB and its options.
const maxVCBody = 1<<20 + 64<<10

// The types of problems that the specifications name.
const (
	problemsOfModel  = "https://www.w3.org/TR/vc-data-model#"           // VC Data Model 2.0 section 7.2
	problemsOfProofs = "https://w3id.org/security#"                     // Data Integrity 1.0 section 4.7, Controlled Identifiers 1.0 section 3.5
	problemsOfStatus = "https://www.w3.org/ns/credentials/status-list#" // Bitstring Status List 1.0 section 2.3
)

// VCProblem is one reason why a document did not verify (RFC 9457).
type VCProblem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
}

// Verification is what came of verifying a document.
type Verification struct {
	Verified bool                `json:"verified"`
	Problems []VCProblem         `json:"problemDetails"`
	Checks   []credentials.Check `json:"checks"`
	// CredentialResults are those of the credentials in a presentation, in its order.
	CredentialResults []Verification `json:"credentialResults,omitempty"`
}

type vcInput struct {
	RawBody []byte `contentType:"application/json"`
}

type vcOutput struct {
	Status      int
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func vcAnswer(status int, v any) (*vcOutput, error) {
	body, err := json.Marshal(v)
	return &vcOutput{status, "application/json", append(body, '\n')}, err
}

func (s *Server) operateVC(h huma.API) {
	if s.credentials == nil {
		return
	}
	const tag = "VC API"
	operation := func(id, path, summary, request, answer string) huma.Operation {
		op := post(id, path, tag, summary)
		op.MaxBodyBytes = maxVCBody
		op.SkipValidateBody = true // readVC is stricter, and answers as the VC API does
		op.Description = "As the VC API of the W3C Credentials Community Group has it. The body is `" + request + "`."
		op.Responses = map[string]*huma.Response{answer: {Description: "The result.",
			Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}}}}
		return op
	}
	sign := func(op huma.Operation, member, result string, by func(context.Context, []byte, exchange.SignOptions) ([]byte, error)) {
		operate(h, op, func(ctx context.Context, in *vcInput) (*vcOutput, error) {
			document, o, err := readVC(in.RawBody, member, signOptions)
			if err != nil {
				return nil, err
			}
			secured, err := by(ctx, document, exchange.SignOptions{Proof: o.proof, Created: o.created, Expires: o.expires, Challenge: o.challenge, Domain: o.domain})
			if err != nil {
				return nil, err
			}
			return vcAnswer(http.StatusCreated, map[string]json.RawMessage{result: secured})
		})
	}
	sign(operation("vc-issue", "/vc/credentials/issue", "Sign a credential as this node", `{"credential":{…},"options":{}}`, "201"),
		"credential", "verifiableCredential", s.credentials.IssueCredential)
	sign(operation("vc-prove", "/vc/presentations", "Sign a presentation as this node", `{"presentation":{…},"options":{"challenge","domain"}}`, "201"),
		"presentation", "verifiablePresentation", s.credentials.ProvePresentation)
	for _, v := range []struct{ id, path, summary, member string }{
		{"vc-verify-credential", routeVerifyCredential, "Verify a credential", "verifiableCredential"},
		{"vc-verify-presentation", routeVerifyPresentation, "Verify a presentation", "verifiablePresentation"},
	} {
		op := operation(v.id, v.path, v.summary, `{"`+v.member+`":{…},"options":{}}`, "200")
		operate(h, op, func(ctx context.Context, in *vcInput) (*vcOutput, error) {
			result, err := s.verifyVC(ctx, in.RawBody, v.member)
			if err != nil {
				return nil, err
			}
			return vcAnswer(result.status(), result)
		})
	}
}

// routeVC adds to the public side what others may ask: the status lists, and, if the operator opens it, verification.
func (s *Server) routeVC(router *mux.Router) {
	if s.credentials == nil {
		return
	}
	router.Path(routeStatusList).Methods(http.MethodGet, http.MethodHead).HandlerFunc(s.statusList).Name("node-status-list")
	if !s.openVerify {
		return
	}
	open := func(path, operation, member string) {
		router.Path(path).Methods(http.MethodPost).HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.verifyOpenly(w, r, member) }).Name(operation)
	}
	open(routeVerifyCredential, "open-vc-verify-credential", "verifiableCredential")
	open(routeVerifyPresentation, "open-vc-verify-presentation", "verifiablePresentation")
}

func (s *Server) statusList(w http.ResponseWriter, r *http.Request) {
	vars := mux.Vars(r)
	number, err := strconv.ParseUint(vars["list"], 10, 64)
	if err != nil {
		fail(w, r, newProblem(exchange.CodeNotFound, "there is no such status list here"))
		return
	}
	body, contentType, err := s.credentials.StatusList(r.Context(), number, vars["purpose"])
	if err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "public, max-age=60")
	answer(w, contentType, body)
}

func (s *Server) verifyOpenly(w http.ResponseWriter, r *http.Request, member string) {
	if _, err := mediaType(r, "application/json"); err != nil {
		fail(w, r, err)
		return
	}
	// The few places are for the work: whoever sends slowly holds none of them.
	body, err := readBody(r, maxVCBody)
	if err != nil {
		fail(w, r, err)
		return
	}
	if !s.verifying.take() {
		fail(w, r, busy())
		return
	}
	defer s.verifying.give()
	result, err := s.verifyVC(r.Context(), body, member)
	var text []byte
	if err == nil {
		text, err = json.Marshal(result)
	}
	if err != nil {
		fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	w.WriteHeader(result.status())
	_, _ = w.Write(append(text, '\n'))
}

func (v *Verification) status() int {
	if v.Verified {
		return http.StatusOK
	}
	return http.StatusBadRequest
}

func (s *Server) verifyVC(ctx context.Context, body []byte, member string) (*Verification, error) {
	document, o, err := readVC(body, member, verifyOptions)
	if err != nil {
		return nil, err
	}
	isPresentation := member == "verifiablePresentation"
	if credentials.IsPresentation(document) != isPresentation {
		v := &Verification{Checks: []credentials.Check{}}
		v.Problems = []VCProblem{{problemsOfModel + "PARSING_ERROR", "PARSING_ERROR", "the document is not what " + member + " names"}}
		return v, nil
	}
	against := credentials.PresentationOptions{Challenge: o.challenge, Domain: o.domain}
	if o.checks != nil && !slices.Contains(o.checks, credentials.CheckStatus) {
		against.SkipStatus = "not asked for"
	}
	out := verification(s.credentials.VerifyDocument(ctx, document, against), o.checks)
	return &out, nil
}

// optional are the checks that options.checks chooses from; all others are always made. A credential without a good proof is never verified.
var optional = []string{credentials.CheckTime, credentials.CheckStatus, credentials.CheckSchema}

// checkNames maps what callers of the VC API write to the names of checks.
var checkNames = map[string]string{
	"proof": credentials.CheckProof, "credentialStatus": credentials.CheckStatus, "credentialSchema": credentials.CheckSchema, "validity": credentials.CheckTime,
	"status": credentials.CheckStatus, "schema": credentials.CheckSchema, "time": credentials.CheckTime,
}

func verification(r *credentials.Result, chosen []string) Verification {
	v := Verification{Problems: []VCProblem{}, Checks: []credentials.Check{}}
	// What nobody has proved is not verified, whatever else was checked, or was not.
	for _, c := range r.Checks {
		v.Verified = v.Verified || c.Name == credentials.CheckProof && c.Outcome == credentials.Passed
	}
	for _, c := range r.Checks {
		if chosen != nil && slices.Contains(optional, c.Name) && !slices.Contains(chosen, c.Name) {
			c = credentials.Check{Name: c.Name, Outcome: credentials.Skipped, Reason: "not asked for"}
		}
		v.Checks = append(v.Checks, c)
		if c.Outcome == credentials.Failed {
			v.Verified = false
			v.Problems = append(v.Problems, vcProblem(c))
		}
	}
	for i, c := range r.Credentials {
		inner := verification(c, chosen)
		v.CredentialResults = append(v.CredentialResults, inner)
		v.Verified = v.Verified && inner.Verified
		for _, p := range inner.Problems {
			p.Detail = fmt.Sprintf("verifiableCredential[%d]: %s", i, p.Detail)
			v.Problems = append(v.Problems, p)
		}
	}
	return v
}

// vcProblem names a failed check as the specifications do.
func vcProblem(c credentials.Check) VCProblem {
	name, of := "CRYPTOGRAPHIC_SECURITY_ERROR", problemsOfModel
	var field *credentials.FieldError
	switch {
	case errors.As(c.Err, &field):
		name = "MALFORMED_VALUE_ERROR"
	case c.Code == dataintegrity.Parsing:
		name = string(c.Code)
	case c.Code != "":
		name, of = string(c.Code), problemsOfProofs
	case c.Name == credentials.CheckKey, c.Name == credentials.CheckController:
		name, of = "INVALID_VERIFICATION_METHOD", problemsOfProofs
	case c.Name == credentials.CheckPurpose:
		name, of = "INVALID_PROOF_PURPOSE_FOR_VERIFICATION_METHOD", problemsOfProofs
	case c.Name == credentials.CheckChallenge:
		name, of = string(dataintegrity.InvalidChallenge), problemsOfProofs
	case c.Name == credentials.CheckDomain:
		name, of = string(dataintegrity.InvalidDomain), problemsOfProofs
	case c.Name == credentials.CheckTime:
		name = "RANGE_ERROR"
	case errors.Is(c.Err, credentials.ErrSchema):
		name = "MALFORMED_VALUE_ERROR"
	case c.Name == credentials.CheckStatus && errors.Is(c.Err, credentials.ErrStatusUnknown):
		name, of = "STATUS_RETRIEVAL_ERROR", problemsOfStatus
	case c.Name == credentials.CheckStatus:
		name, of = "STATUS_VERIFICATION_ERROR", problemsOfStatus
	}
	return VCProblem{Type: of + name, Title: name, Detail: c.Name + ": " + c.Reason}
}

// vcOptions are the options of a request, those of all operations together.
type vcOptions struct {
	proof, challenge string
	domain, checks   []string // checks nil: all
	created, expires time.Time
}

var (
	signOptions   = []string{"proof", "challenge", "domain", "created", "expires"}
	verifyOptions = []string{"challenge", "domain", "checks"}
)

// readVC reads a request strictly: the document under its member (a JSON object, or a string that holds a token), and options that are known.
func readVC(body []byte, member string, known []string) ([]byte, *vcOptions, error) {
	bad := func(format string, args ...any) (_ []byte, _ *vcOptions, err error) {
		return nil, nil, newProblem(exchange.CodeInvalid, fmt.Sprintf(format, args...))
	}
	m, err := ijson.ParseObject(body, ijson.Limits{MaxBytes: maxVCBody})
	if err != nil {
		return bad("the body cannot be read: %v", err)
	}
	o := &vcOptions{}
	var document []byte
	for name, v := range m {
		switch name {
		case member:
			switch v := v.(type) {
			case map[string]any:
				if document, err = ijson.Canonical(v); err != nil {
					return bad("%s has no canonical form", member)
				}
			case string:
				document = []byte(v)
			default:
				return bad("%s must be an object, or a token as a string", member)
			}
		case "options":
			options, ok := v.(map[string]any)
			if !ok {
				return bad("options must be an object")
			}
			if err := o.read(options, known); err != nil {
				return nil, nil, err
			}
		default:
			return bad("a property of the body has an unknown name; %s and options are known", member)
		}
	}
	if len(document) == 0 {
		return bad("%s is needed", member)
	}
	return document, o, nil
}

func (o *vcOptions) read(options map[string]any, known []string) error {
	for name, v := range options {
		if !slices.Contains(known, name) {
			return newProblem(exchange.CodeInvalid, fmt.Sprintf("an option has an unknown name; known are %v", known))
		}
		bad := newProblem(exchange.CodeInvalid, "options."+name+" is not of the right form")
		texts, ok := oneOrMany(v)
		if !ok || len(texts) > 16 {
			return bad
		}
		var err error
		switch name {
		case "domain":
			o.domain = texts
		case "checks":
			o.checks = []string{}
			for _, t := range texts {
				check, ok := checkNames[t]
				if !ok {
					return newProblem(exchange.CodeInvalid, "options.checks holds a name that is not known; known are proof, time, status, schema, credentialStatus, credentialSchema, validity")
				}
				o.checks = append(o.checks, check)
			}
		default:
			if len(texts) != 1 || texts[0] == "" {
				return bad
			}
			switch name {
			case "proof":
				o.proof = texts[0]
			case "challenge":
				o.challenge = texts[0]
			case "created":
				o.created, err = dataintegrity.ParseTime(texts[0])
			case "expires":
				o.expires, err = dataintegrity.ParseTime(texts[0])
			}
		}
		if err != nil {
			return bad
		}
	}
	return nil
}

// oneOrMany reads one string or a list of strings.
func oneOrMany(v any) ([]string, bool) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, ok := e.(string)
		if !ok || len(s) > 4096 {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// receiptReason names its receipt itself, as reasonInput does its DID.
type receiptReason struct {
	ID   string `path:"id" doc:"The receipt's id." maxLength:"128"`
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"Why, for the record."`
	}
}

func (s *Server) operateReceiptStatus(h huma.API) {
	if s.credentials == nil {
		return
	}
	const tag = "Receipts"
	operate(h, post("receipts-revoke", "/receipts/{id}/revoke", tag, "Take back this node's signature under a receipt, for good"),
		func(ctx context.Context, in *receiptReason) (*body[exchange.ReceiptStatus], error) {
			return asBody(s.credentials.RevokeReceipt(ctx, in.ID, in.Body.Reason))
		})
	operate(h, post("receipts-suspend", "/receipts/{id}/suspend", tag, "Take back this node's signature under a receipt for now"),
		func(ctx context.Context, in *receiptReason) (*body[exchange.ReceiptStatus], error) {
			return asBody(s.credentials.SuspendReceipt(ctx, in.ID, in.Body.Reason))
		})
	operate(h, post("receipts-reinstate", "/receipts/{id}/reinstate", tag, "End the suspension of a receipt"),
		func(ctx context.Context, in *byID) (*body[exchange.ReceiptStatus], error) {
			return asBody(s.credentials.ReinstateReceipt(ctx, in.ID))
		})
}
