package credentials

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"ihyid/credentials/dataintegrity"
)

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

// defined checks that every term of a document has a meaning: who reads it by other words must not be told something else. The suites that sign linked
// data find that out themselves.
func (r *run) defined(ctx context.Context, unsecured map[string]any) {
	if err := r.v.Suites.defined(ctx, unsecured); err != nil {
		r.fail(CheckSyntax, err)
	}
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
	if slices.ContainsFunc(r.list, func(p *dataintegrity.Proof) bool { return signsJSON(p.Suite) }) {
		// As it was signed: contexts that were added since may not lend terms a meaning.
		of := signed
		if of == nil {
			of = r.unsecured
		}
		of = maps.Clone(of)
		delete(of, "proof") // those before it in a chain
		r.defined(ctx, of)
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
	if !r.v.accepts(p.Suite) {
		fail(CheckProof, &dataintegrity.Error{Code: dataintegrity.ProofVerification, Err: errSuite})
		return nil, errCheck
	}
	if !known {
		fail(CheckProof, &dataintegrity.Error{Code: dataintegrity.ProofVerification, Err: errors.New("the cryptosuite is not known here")})
		return nil, errCheck
	}
	key, known := r.key(ctx, &r.result.Proofs[i], Signature{VerificationMethod: p.VerificationMethod, Created: p.Created, Document: r.document}, fail)
	if !known {
		return nil, errCheck
	}
	document, err := dataintegrity.Verify(ctx, suite, signed, p, key)
	if err != nil {
		fail(CheckProof, err)
	} else {
		r.pass(CheckProof)
	}
	r.times(p.Created, p.Expires, fail)
	if !ok {
		return nil, errCheck
	}
	return document, nil
}

var errSuite = errors.New("the cryptosuite is not one that is accepted here")

func (v *Verifier) accepts(suite string) bool {
	return len(v.Accept) == 0 || slices.Contains(v.Accept, suite)
}

// key looks the key of a signature up and judges it. It reports false if there is no key to check the
// signature with.
func (r *run) key(ctx context.Context, shown *Proof, s Signature, fail func(string, error)) (crypto.PublicKey, bool) {
	if r.v.Keys == nil {
		fail(CheckKey, errors.New("no key resolver is set up"))
		return nil, false
	}
	key, err := r.v.Keys.Key(ctx, s.VerificationMethod, r.purpose)
	if err != nil {
		fail(CheckKey, err)
		return nil, false
	}
	shown.Controller = key.Controller
	if key.Controller == "" || key.Controller != didOf(s.VerificationMethod) {
		fail(CheckController, errors.New("the verification method is not controlled by the DID that shows it"))
	} else {
		r.pass(CheckController)
	}
	if !key.Authorized {
		fail(CheckPurpose, fmt.Errorf("the key is not authorised for %s", r.purpose))
	} else {
		r.pass(CheckPurpose)
	}
	if err := r.keyGood(ctx, shown, s, key); err != nil {
		fail(CheckKey, err)
	} else {
		r.pass(CheckKey)
	}
	return key.Public, true
}

// times judges what a signature says of its own time.
func (r *run) times(created, expires time.Time, fail func(string, error)) {
	if !created.IsZero() && created.After(r.now.Add(ClockSkew)) {
		fail(CheckTime, errors.New("the proof was created in the future"))
	}
	if !expires.IsZero() && !r.at.Before(expires) {
		fail(CheckTime, errors.New("the proof has expired"))
	}
}

// keyGood judges a key now, and asks for evidence if it is no longer good.
func (r *run) keyGood(ctx context.Context, shown *Proof, s Signature, key KeyStatus) error {
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
	at, source, err := r.v.Evidence.Existed(ctx, s)
	switch {
	case err != nil:
		return fmt.Errorf("the key %s; evidence of the signature's time: %w", how, err)
	case at.IsZero() || at.After(r.now) || !at.Before(end):
		return fmt.Errorf("the key %s, and nothing shows that the signature is older", how)
	}
	shown.Evidence = source
	return nil
}

// madeBy checks that a proof stands in the name of the party that the document names. Whether the
// proof is good, and the key that party's, the other checks say, for every proof.
func (r *run) madeBy(name, party, what string) {
	for _, p := range r.result.Proofs {
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

// bindings checks the challenge and the domain of one proof (Data Integrity section 4.4 steps 6 and 7).
func (r *run) bindings(challenge string, domain []string, o PresentationOptions) {
	switch {
	case o.Challenge == "":
		r.skip(CheckChallenge, "none is expected")
	case challenge != o.Challenge:
		r.fail(CheckChallenge, &dataintegrity.Error{Code: dataintegrity.InvalidChallenge, Err: errors.New("the challenge is not the expected one")})
	default:
		r.pass(CheckChallenge)
	}
	switch {
	case len(o.Domain) == 0:
		r.skip(CheckDomain, "none is expected")
	case !sameSet(domain, o.Domain):
		r.fail(CheckDomain, &dataintegrity.Error{Code: dataintegrity.InvalidDomain, Err: errors.New("the domain is not the expected one")})
	default:
		r.pass(CheckDomain)
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
