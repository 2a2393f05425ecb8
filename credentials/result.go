package credentials

import (
	"errors"
	"fmt"
	"time"

	"ihyid/credentials/dataintegrity"
)

// Outcome is how a check ended.
type Outcome string

// The outcomes. A check is skipped where the document or the caller gives it nothing to do, or where
// an earlier failure leaves it nothing to work on; its reason says which.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// The names of the checks, in the order in which a Result lists them.
const (
	CheckSyntax     = "syntax"     // strict JSON, and what the data model requires
	CheckProof      = "proof"      // the signatures are good
	CheckKey        = "key"        // the keys are known and good now, or evidence vouches for the time
	CheckController = "controller" // the keys belong to the DIDs in whose names they are used
	CheckPurpose    = "purpose"    // proofPurpose is the expected one and the keys are authorised for it
	CheckIssuer     = "issuer"     // credentials: the issuer made a proof
	CheckHolder     = "holder"     // presentations: the holder made a proof, and is the expected one
	CheckTime       = "time"       // validFrom, validUntil, created, expires
	CheckStatus     = "status"     // credentials: neither revoked nor suspended
	CheckSchema     = "schema"     // credentials: as credentialSchema says
	CheckChallenge  = "challenge"  // presentations: the verifier's challenge
	CheckDomain     = "domain"     // presentations: made for this verifier
)

// Check is one thing that a verifier looked at.
type Check struct {
	Name    string             `json:"name"`
	Outcome Outcome            `json:"outcome"`
	Reason  string             `json:"reason,omitempty"`
	Code    dataintegrity.Code `json:"code,omitempty"` // of a failure that the specifications name
	Err     error              `json:"-"`              // behind Reason, for errors.Is and errors.As
}

// Proof tells of one proof of a verified document.
type Proof struct {
	Suite              string    `json:"cryptosuite"`
	VerificationMethod string    `json:"verificationMethod"`
	Controller         string    `json:"controller,omitempty"` // of the key; empty if the key is unknown
	Purpose            string    `json:"proofPurpose"`
	Created            time.Time `json:"created,omitzero"`
	Expires            time.Time `json:"expires,omitzero"`
	Evidence           string    `json:"evidence,omitempty"` // what vouched for the time of the signature
}

// Result is what a verifier found.
type Result struct {
	Checks      []Check        `json:"checks"`
	Document    map[string]any `json:"document,omitempty"`  // as it was signed, with its proof
	Version     string         `json:"dataModel,omitempty"` // of the data model: Version2 or Version1
	Issuer      string         `json:"issuer,omitempty"`    // of a credential
	Holder      string         `json:"holder,omitempty"`    // of a presentation; empty where it names none
	Proofs      []Proof        `json:"proofs,omitempty"`
	Credentials []*Result      `json:"credentials,omitempty"` // of a presentation, in its order
}

// Passed reports whether no check failed, here and in every credential of a presentation.
func (r *Result) Passed() bool { return r.Err() == nil }

// ErrNotVerified is the error that Result.Err wraps.
var ErrNotVerified = errors.New("not verified")

// Err names the first check that failed; nil if there is none. It wraps ErrNotVerified and
// what was behind the failure.
func (r *Result) Err() error {
	if len(r.Checks) == 0 {
		return fmt.Errorf("%w: nothing was checked", ErrNotVerified)
	}
	for _, c := range r.Checks {
		if c.Outcome == Failed {
			if c.Err != nil {
				return fmt.Errorf("%w: %s: %w", ErrNotVerified, c.Name, c.Err)
			}
			return fmt.Errorf("%w: %s: %s", ErrNotVerified, c.Name, c.Reason)
		}
	}
	for i, c := range r.Credentials {
		if err := c.Err(); err != nil {
			return fmt.Errorf("credential %d: %w", i+1, err)
		}
	}
	return nil
}

// Check gives the check of a name; a check that the document has no part in is skipped.
func (r *Result) Check(name string) Check {
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	return Check{Name: name, Outcome: Skipped, Reason: "does not apply"}
}

// checks collects outcomes while a document is verified. The first failure of a name stays.
type checks struct {
	order []string
	found map[string]*Check
}

func newChecks(names ...string) *checks {
	return &checks{order: names, found: make(map[string]*Check, len(names))}
}

func (c *checks) pass(name string) {
	if c.found[name] == nil || c.found[name].Outcome == Skipped {
		c.found[name] = &Check{Name: name, Outcome: Passed}
	}
}

func (c *checks) skip(name, reason string) {
	if c.found[name] == nil {
		c.found[name] = &Check{Name: name, Outcome: Skipped, Reason: reason}
	}
}

func (c *checks) fail(name string, err error) {
	if have := c.found[name]; have != nil && have.Outcome == Failed {
		return
	}
	k := &Check{Name: name, Outcome: Failed, Reason: err.Error(), Err: err}
	var coded *dataintegrity.Error
	if errors.As(err, &coded) {
		k.Code = coded.Code
	}
	c.found[name] = k
}

func (c *checks) failf(name, format string, args ...any) { c.fail(name, fmt.Errorf(format, args...)) }

func (c *checks) list() []Check {
	out := make([]Check, 0, len(c.order))
	for _, name := range c.order {
		if k := c.found[name]; k != nil {
			out = append(out, *k)
		} else {
			out = append(out, Check{Name: name, Outcome: Skipped, Reason: "not reached"})
		}
	}
	return out
}
