package dataintegrity

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Type is the only proof type there is here.
const Type = "DataIntegrityProof"

// MaxProofs is how many proofs one document may carry unless a caller says otherwise.
const MaxProofs = 16

// Proof is one member of a document's `proof`, checked in form and not yet in substance.
type Proof struct {
	ID                 string
	Suite              string // cryptosuite
	Purpose            string // proofPurpose
	VerificationMethod string
	Created, Expires   time.Time // zero where absent
	Challenge, Nonce   string
	HasChallenge       bool
	Domain             []string // one or many; nil where absent
	Previous           []string // previousProof: ids in the same document
	Value              string   // proofValue, multibase

	raw map[string]any // the object itself
}

// Split takes a document apart into the document without `proof` and its proofs in their order. The
// given document is not changed. A document without a proof gives none.
func Split(document map[string]any, maxProofs int) (map[string]any, []*Proof, error) {
	if maxProofs <= 0 {
		maxProofs = MaxProofs
	}
	value, ok := document["proof"]
	if !ok {
		return document, nil, nil
	}
	unsecured := maps.Clone(document)
	delete(unsecured, "proof")
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) == 0 {
		return nil, nil, failf(Parsing, "proof: the list is empty")
	}
	if len(list) > maxProofs {
		return nil, nil, failf(Parsing, "proof: more than %d proofs", maxProofs)
	}
	proofs := make([]*Proof, 0, len(list))
	ids := map[string]bool{}
	for i, v := range list {
		p, err := ParseProof(v)
		if err != nil {
			return nil, nil, fmt.Errorf("proof %d: %w", i+1, err)
		}
		if p.ID != "" {
			if ids[p.ID] {
				return nil, nil, failf(Parsing, "proof %d: another proof has the same id", i+1)
			}
			ids[p.ID] = true
		}
		proofs = append(proofs, p)
	}
	return unsecured, proofs, nil
}

// ParseProof reads a proof object. What Data Integrity section 2.1 requires has to be there:
// type, verificationMethod, proofPurpose, proofValue and (for this type) cryptosuite.
func ParseProof(v any) (*Proof, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, failf(Parsing, "not an object")
	}
	r := reader{m: m}
	p := &Proof{
		ID:                 r.optional("id"),
		Suite:              r.required("cryptosuite"),
		Purpose:            r.required("proofPurpose"),
		VerificationMethod: r.required("verificationMethod"),
		Created:            r.time("created"),
		Expires:            r.time("expires"),
		Challenge:          r.optional("challenge"),
		Nonce:              r.optional("nonce"),
		Domain:             r.list("domain"),
		Previous:           r.list("previousProof"),
		Value:              r.required("proofValue"),
		raw:                m,
	}
	_, p.HasChallenge = m["challenge"]
	if t := r.required("type"); r.err == nil && t != Type {
		r.fail("type", "is not "+Type)
	}
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

// Config is the proof configuration of the cryptosuites: the proof without its value.
func (p *Proof) Config() map[string]any {
	c := maps.Clone(p.raw)
	delete(c, "proofValue")
	return c
}

// Context is the proof's own @context, nil where it has none.
func (p *Proof) Context() any { return p.raw["@context"] }

// reader takes fields out of an object and keeps the first error.
type reader struct {
	m   map[string]any
	err error
}

func (r *reader) fail(field, what string) {
	if r.err == nil {
		r.err = failf(ProofVerification, "%s %s", field, what)
	}
}

func (r *reader) optional(field string) string {
	v, ok := r.m[field]
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok || s == "" {
		r.fail(field, "is not a non-empty string")
	}
	return s
}

func (r *reader) required(field string) string {
	if _, ok := r.m[field]; !ok {
		r.fail(field, "is missing")
		return ""
	}
	return r.optional(field)
}

func (r *reader) time(field string) time.Time {
	s := r.optional(field)
	if s == "" {
		return time.Time{}
	}
	t, err := ParseTime(s)
	if err != nil {
		r.fail(field, err.Error())
	}
	return t
}

// list reads a string or a list of distinct strings.
func (r *reader) list(field string) []string {
	v, ok := r.m[field]
	if !ok {
		return nil
	}
	a, ok := v.([]any)
	if !ok {
		return []string{r.optional(field)}
	}
	if len(a) == 0 || len(a) > MaxProofs {
		r.fail(field, "is an empty or too long a list")
		return nil
	}
	out := make([]string, 0, len(a))
	for _, e := range a {
		s, ok := e.(string)
		if !ok || s == "" || slices.Contains(out, s) {
			r.fail(field, "is not a list of distinct non-empty strings")
			return nil
		}
		out = append(out, s)
	}
	return out
}
