package credentials

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/ijson"
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
}

// CredentialOptions says what a credential is checked against.
type CredentialOptions struct {
	// At is the moment for which validFrom, validUntil and a proof's expires are judged; zero: now.
	// Keys are always judged now.
	At time.Time
}

// PresentationOptions says what a presentation is checked against. Empty fields are not checked.
type PresentationOptions struct {
	Challenge string
	Domain    []string // the set of domains that the proof has to name, no more and no fewer
	Holder    string
	At        time.Time // as in CredentialOptions
}

// Credential verifies a secured credential.
func (v *Verifier) Credential(ctx context.Context, secured []byte, o CredentialOptions) *Result {
	d, err := ijson.ParseObject(secured, v.Limits.JSON)
	if err != nil {
		return syntaxFailure(credentialChecks, err)
	}
	return v.credential(ctx, d, o)
}

// Presentation verifies a secured presentation and every credential in it.
func (v *Verifier) Presentation(ctx context.Context, secured []byte, o PresentationOptions) *Result {
	d, err := ijson.ParseObject(secured, v.Limits.JSON)
	if err != nil {
		return syntaxFailure(presentationChecks, err)
	}
	return v.presentation(ctx, d, o)
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
	run.result.Issuer = c.issuer
	if !run.split() {
		return run.done()
	}
	run.pass(CheckSyntax)
	run.proofs(ctx)
	run.madeBy(CheckIssuer, c.issuer, "the issuer")
	run.period(c.validFrom, c.validUntil)
	if c.status {
		run.failf(CheckStatus, "the credential has a status, and nothing is set up here to look it up")
	} else {
		run.skip(CheckStatus, "the credential has no status")
	}
	if c.schema {
		run.skip(CheckSchema, "no schema validator is set up here")
	} else {
		run.skip(CheckSchema, "the credential names no schema")
	}
	return run.done()
}

func (v *Verifier) presentation(ctx context.Context, d map[string]any, o PresentationOptions) *Result {
	p, err := checkPresentation(d)
	if err != nil {
		return syntaxFailure(presentationChecks, err)
	}
	limit := v.Limits.MaxCredentials
	if limit <= 0 {
		limit = DefaultMaxCredentials
	}
	if len(p.credentials) > limit {
		return syntaxFailure(presentationChecks, wrong("verifiableCredential", "holds more than %d credentials", limit))
	}
	run := v.newRun(d, newChecks(presentationChecks...), Authentication, o.At)
	run.result.Holder = p.holder
	if !run.split() {
		return run.done()
	}
	run.pass(CheckSyntax)
	run.proofs(ctx)
	switch {
	case p.holder != "":
		run.madeBy(CheckHolder, p.holder, "the holder")
		if o.Holder != "" && o.Holder != p.holder {
			run.failf(CheckHolder, "the holder is not the expected one")
		}
	case o.Holder != "":
		run.failf(CheckHolder, "the presentation names no holder")
	default:
		run.skip(CheckHolder, "the presentation names no holder and none is expected")
	}
	run.period(time.Time{}, time.Time{})
	run.bindings(o)
	for _, c := range p.credentials {
		run.result.Credentials = append(run.result.Credentials, v.credential(ctx, c, CredentialOptions{At: o.At}))
	}
	return run.done()
}

// run is the verification of one document.
type run struct {
	*checks
	v         *Verifier
	purpose   string
	now, at   time.Time
	document  map[string]any // with proof
	unsecured map[string]any // without
	list      []*dataintegrity.Proof
	result    *Result
}

func (v *Verifier) newRun(d map[string]any, c *checks, purpose string, at time.Time) *run {
	now := clock(v.Clock)
	if at.IsZero() {
		at = now
	}
	return &run{checks: c, v: v, purpose: purpose, now: now, at: at, document: d, result: &Result{Document: d}}
}

func (r *run) done() *Result {
	r.result.Checks = r.checks.list()
	return r.result
}

// split takes the proofs off the document.
func (r *run) split() bool {
	unsecured, proofs, err := dataintegrity.Split(r.document, r.v.Limits.MaxProofs)
	if err != nil {
		r.fail(CheckSyntax, err)
		return false
	}
	if len(proofs) == 0 {
		r.pass(CheckSyntax)
		r.fail(CheckProof, &dataintegrity.Error{Code: dataintegrity.ProofVerification, Err: errors.New("the document has no proof")})
		return false
	}
	r.unsecured, r.list = unsecured, proofs
	return true
}

// proofs checks every proof by itself: all of them have to be good.
func (r *run) proofs(ctx context.Context) {
	var signed map[string]any
	for i, p := range r.list {
		r.result.Proofs = append(r.result.Proofs, Proof{Suite: p.Suite, VerificationMethod: p.VerificationMethod,
			Purpose: p.Purpose, Created: p.Created, Expires: p.Expires})
		document, err := r.proof(ctx, i, p)
		if err != nil {
			continue
		}
		if signed != nil && !reflect.DeepEqual(signed["@context"], document["@context"]) {
			r.failf(CheckProof, "proof %d signs other contexts than those before it", i+1)
			continue
		}
		signed = document
	}
	if signed != nil {
		out := maps.Clone(signed)
		out["proof"] = r.document["proof"]
		r.result.Document = out
	}
}

var errCheck = errors.New("a check failed")

// proof checks one proof and notes the outcomes.
func (r *run) proof(ctx context.Context, i int, p *dataintegrity.Proof) (map[string]any, error) {
	ok := true
	fail := func(name string, err error) {
		if len(r.list) > 1 {
			err = fmt.Errorf("proof %d: %w", i+1, err)
		}
		r.fail(name, err)
		ok = false
	}
	if p.Purpose != r.purpose {
		fail(CheckPurpose, &dataintegrity.Error{Code: dataintegrity.ProofVerification,
			Err: fmt.Errorf("proofPurpose is not %s", r.purpose)})
	}
	signed, err := dataintegrity.Signed(r.unsecured, r.list, p.Previous)
	if err != nil {
		fail(CheckProof, err)
		return nil, errCheck
	}
	suite, known := r.v.Suites.suite(p.Suite)
	if !known {
		fail(CheckProof, &dataintegrity.Error{Code: dataintegrity.ProofVerification, Err: errors.New("the cryptosuite is not known here")})
		return nil, errCheck
	}
	if r.v.Keys == nil {
		fail(CheckKey, errors.New("no key resolver is set up"))
		return nil, errCheck
	}
	key, err := r.v.Keys.Key(ctx, p.VerificationMethod, r.purpose)
	if err != nil {
		fail(CheckKey, err)
		return nil, errCheck
	}
	r.result.Proofs[i].Controller = key.Controller
	if key.Controller == "" || key.Controller != didOf(p.VerificationMethod) {
		fail(CheckController, errors.New("the verification method is not controlled by the DID that shows it"))
	} else {
		r.pass(CheckController)
	}
	if !key.Authorized {
		fail(CheckPurpose, fmt.Errorf("the key is not authorised for %s", r.purpose))
	} else {
		r.pass(CheckPurpose)
	}
	document, err := dataintegrity.Verify(ctx, suite, signed, p, key.Public)
	if err != nil {
		fail(CheckProof, err)
	} else {
		r.pass(CheckProof)
	}
	if err := r.keyGood(ctx, i, p, key); err != nil {
		fail(CheckKey, err)
	} else {
		r.pass(CheckKey)
	}
	if !p.Created.IsZero() && p.Created.After(r.now.Add(ClockSkew)) {
		fail(CheckTime, errors.New("the proof was created in the future"))
	}
	if !p.Expires.IsZero() && !r.at.Before(p.Expires) {
		fail(CheckTime, errors.New("the proof has expired"))
	}
	if !ok {
		return nil, errCheck
	}
	return document, nil
}

// keyGood judges a key now, and asks for evidence if it is no longer good.
func (r *run) keyGood(ctx context.Context, i int, p *dataintegrity.Proof, key KeyStatus) error {
	end, how := key.Expires, "expired"
	if !key.Revoked.IsZero() && (end.IsZero() || key.Revoked.Before(end)) {
		end, how = key.Revoked, "was revoked"
	}
	if end.IsZero() || r.now.Before(end) {
		return nil
	}
	if r.v.Evidence == nil {
		return fmt.Errorf("the key %s, and nothing shows that the signature is older", how)
	}
	at, source, err := r.v.Evidence.Existed(ctx, Signature{VerificationMethod: p.VerificationMethod, Created: p.Created, Document: r.document})
	switch {
	case err != nil:
		return fmt.Errorf("the key %s; evidence of the signature's time: %w", how, err)
	case at.IsZero() || at.After(r.now) || !at.Before(end):
		return fmt.Errorf("the key %s, and nothing shows that the signature is older", how)
	}
	r.result.Proofs[i].Evidence = source
	return nil
}

// madeBy checks that a proof stands in the name of the party that the document names. Whether the
// proof is good, and the key that party's, the other checks say, for every proof.
func (r *run) madeBy(name, party, what string) {
	for _, p := range r.list {
		if didOf(p.VerificationMethod) == party {
			r.pass(name)
			return
		}
	}
	r.failf(name, "no proof is by %s", what)
}

// period checks the moment in question against a document's period of validity. What the proofs say
// of time was noted before.
func (r *run) period(from, until time.Time) {
	if !from.IsZero() && from.After(r.at.Add(ClockSkew)) {
		r.failf(CheckTime, "the credential is not valid yet")
	}
	if !until.IsZero() && r.at.After(until) {
		r.failf(CheckTime, "the credential is no longer valid")
	}
	r.pass(CheckTime)
}

// bindings checks challenge and domain: some good proof by the holder has to carry what is expected,
// and where several proofs stand, each (Data Integrity section 4.4 steps 6 and 7).
func (r *run) bindings(o PresentationOptions) {
	if o.Challenge == "" {
		r.skip(CheckChallenge, "none is expected")
	}
	if len(o.Domain) == 0 {
		r.skip(CheckDomain, "none is expected")
	}
	for _, p := range r.list {
		if o.Challenge != "" {
			if p.Challenge != o.Challenge {
				r.fail(CheckChallenge, &dataintegrity.Error{Code: dataintegrity.InvalidChallenge, Err: errors.New("the challenge is not the expected one")})
			} else {
				r.pass(CheckChallenge)
			}
		}
		if len(o.Domain) > 0 {
			if !sameSet(p.Domain, o.Domain) {
				r.fail(CheckDomain, &dataintegrity.Error{Code: dataintegrity.InvalidDomain, Err: errors.New("the domain is not the expected one")})
			} else {
				r.pass(CheckDomain)
			}
		}
	}
}

func sameSet(a, b []string) bool {
	within := func(x, y []string) bool {
		for _, s := range x {
			if !slices.Contains(y, s) {
				return false
			}
		}
		return true
	}
	return within(a, b) && within(b, a)
}
