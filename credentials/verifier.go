package credentials

import (
	"bytes"
	"context"
	"maps"
	"time"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/ijson"
	"ihyid/credentials/jose"
)

// ClockSkew is by how much another's clock may run ahead of ours: what begins, or was created,
// within it counts as begun. Ends are not stretched.
const ClockSkew = 2 * time.Minute

// DefaultMaxCredentials is how many credentials one presentation may hold.
const DefaultMaxCredentials = 64

// Limits bounds what a Verifier takes in. Zero fields have defaults.
type Limits struct {
	JSON           ijson.Limits
	MaxProofs      int // of one document
	MaxCredentials int // of one presentation
}

// Verifier checks secured documents. It needs Keys; other zero fields have defaults. It may be used
// concurrently.
type Verifier struct {
	Keys     KeyResolver
	Suites   *Suites          // nil: those with the embedded contexts
	Clock    func() time.Time // nil: time.Now
	Limits   Limits
	Evidence Evidence // optional: vouches for signatures by keys that are no longer good

	// Accept names the cryptosuites that are accepted, SuiteJOSE among them if tokens are; empty: all
	// that are known. Embedded credentials are held to it too.
	Accept []string

	// StatusLists fetches status list credentials; nil: a credential that has a status fails the check.
	StatusLists StatusLists

	lists listCache
}

// CredentialOptions says what a credential is checked against.
type CredentialOptions struct {
	// At is the moment for which validFrom, validUntil and a proof's expires are judged; zero: now.
	// Keys are always judged now.
	At time.Time
	// SkipStatus is the reason for which the caller does without the status check (such as "no
	// network"); it is shown in the result. Empty: the status is checked.
	SkipStatus string

	withoutSchema bool // of a credential that holds a schema: it has none itself that would be looked at
}

// PresentationOptions says what a presentation is checked against. Empty fields are not checked.
type PresentationOptions struct {
	Challenge string
	Domain    []string // the set of domains that the proof has to name, no more and no fewer
	Holder    string
	At        time.Time // as in CredentialOptions

	SkipStatus string // as in CredentialOptions
}

// Credential verifies a secured credential: JSON with embedded proofs, a compact JWS (vc+jwt), or a JSON
// object of type EnvelopedVerifiableCredential around one.
func (v *Verifier) Credential(ctx context.Context, secured []byte, o CredentialOptions) *Result {
	if isToken(secured) {
		return v.credentialToken(ctx, bytes.TrimSpace(secured), o)
	}
	d, err := ijson.ParseObject(secured, v.Limits.JSON)
	if err != nil {
		return syntaxFailure(credentialChecks, err)
	}
	return v.anyCredential(ctx, d, o)
}

// Presentation verifies a secured presentation and every credential in it. It takes the same forms as
// Credential.
func (v *Verifier) Presentation(ctx context.Context, secured []byte, o PresentationOptions) *Result {
	if isToken(secured) {
		return v.presentationToken(ctx, bytes.TrimSpace(secured), o)
	}
	d, err := ijson.ParseObject(secured, v.Limits.JSON)
	if err != nil {
		return syntaxFailure(presentationChecks, err)
	}
	if hasType(d, envelopedPresentation) {
		token, err := unwrap(d, envelopedPresentation, jose.TypePresentation)
		if err != nil {
			return syntaxFailure(presentationChecks, err)
		}
		return v.presentationToken(ctx, token, o)
	}
	return v.presentation(ctx, d, o)
}

// anyCredential verifies a credential that is JSON, enveloped or not.
func (v *Verifier) anyCredential(ctx context.Context, d map[string]any, o CredentialOptions) *Result {
	if hasType(d, envelopedCredential) {
		token, err := unwrap(d, envelopedCredential, jose.TypeCredential)
		if err != nil {
			return syntaxFailure(credentialChecks, err)
		}
		return v.credentialToken(ctx, token, o)
	}
	return v.credential(ctx, d, o)
}

var (
	credentialChecks = []string{CheckSyntax, CheckProof, CheckKey, CheckController, CheckPurpose, CheckIssuer,
		CheckTime, CheckStatus, CheckSchema}
	presentationChecks = []string{CheckSyntax, CheckProof, CheckKey, CheckController, CheckPurpose, CheckHolder,
		CheckTime, CheckChallenge, CheckDomain}
)

func syntaxFailure(names []string, err error) *Result {
	c := newChecks(names...)
	c.fail(CheckSyntax, &dataintegrity.Error{Code: dataintegrity.Parsing, Err: err})
	return &Result{Checks: c.list()}
}

func (v *Verifier) credential(ctx context.Context, d map[string]any, o CredentialOptions) *Result {
	c, err := checkCredential(d)
	if err != nil {
		return syntaxFailure(credentialChecks, err)
	}
	run := v.newRun(d, newChecks(credentialChecks...), AssertionMethod, o.At)
	run.result.Issuer, run.result.Version = c.issuer, c.version
	if !run.split() {
		return run.done()
	}
	run.pass(CheckSyntax)
	run.proofs(ctx)
	run.credential(ctx, c, o)
	return run.done()
}

// credential does the checks of a credential that do not depend on how it is secured.
func (r *run) credential(ctx context.Context, c *credential, o CredentialOptions) {
	r.madeBy(CheckIssuer, c.issuer, "the issuer")
	r.period(c.validFrom, c.validUntil)
	r.status(ctx, c, o)
	if err := r.v.Suites.checkDigests(r.result.Document); err != nil {
		r.fail(CheckSyntax, err)
	}
	if o.withoutSchema {
		r.skip(CheckSchema, "not looked at in the credential of a schema")
		return
	}
	document := maps.Clone(r.result.Document)
	delete(document, "proof")
	if r.list == nil { // a token
		document = withoutClaims(document)
	}
	r.schema(ctx, c, document)
}

func (v *Verifier) presentation(ctx context.Context, d map[string]any, o PresentationOptions) *Result {
	p, err := v.readPresentation(d)
	if err != nil {
		return syntaxFailure(presentationChecks, err)
	}
	run := v.newRun(d, newChecks(presentationChecks...), Authentication, o.At)
	run.result.Holder, run.result.Version = p.holder, p.version
	if !run.split() {
		return run.done()
	}
	run.pass(CheckSyntax)
	run.proofs(ctx)
	for _, proof := range run.list {
		run.bindings(proof.Challenge, proof.Domain, o)
	}
	run.presentation(ctx, p, o)
	return run.done()
}

func (v *Verifier) readPresentation(d map[string]any) (*presentation, error) {
	p, err := checkPresentation(d)
	if err != nil {
		return nil, err
	}
	limit := v.Limits.MaxCredentials
	if limit <= 0 {
		limit = DefaultMaxCredentials
	}
	if len(p.credentials) > limit {
		return nil, wrong("verifiableCredential", "holds more than %d credentials", limit)
	}
	return p, nil
}

// presentation does the checks of a presentation that do not depend on how it is secured.
func (r *run) presentation(ctx context.Context, p *presentation, o PresentationOptions) {
	switch {
	case p.holder != "":
		r.madeBy(CheckHolder, p.holder, "the holder")
		if o.Holder != "" && o.Holder != p.holder {
			r.failf(CheckHolder, "the holder is not the expected one")
		}
	case o.Holder != "":
		r.failf(CheckHolder, "the presentation names no holder")
	default:
		r.skip(CheckHolder, "the presentation names no holder and none is expected")
	}
	r.period(time.Time{}, time.Time{})
	for _, c := range p.credentials {
		r.result.Credentials = append(r.result.Credentials,
			r.v.anyCredential(ctx, c, CredentialOptions{At: o.At, SkipStatus: o.SkipStatus}))
	}
}
