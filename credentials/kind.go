package credentials

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"

	"ihyid/credentials/contexts"
	"ihyid/credentials/ijson"
	"ihyid/credentials/jose"
)

// IsPresentation reports whether a secured document says that it is a presentation, by its type or, where it is a token, by its typ. Nothing of it
// is verified; what cannot be read is no presentation.
func IsPresentation(secured []byte) bool {
	if isToken(secured) {
		t, err := jose.Parse(bytes.TrimSpace(secured), 0)
		return err == nil && strings.TrimPrefix(t.Header.Type, "application/") == jose.TypePresentation
	}
	d, err := ijson.ParseObject(secured, ijson.Limits{})
	return err == nil && (hasType(d, "VerifiablePresentation") || hasType(d, envelopedPresentation))
}

// Any verifies a credential or a presentation, whichever it says it is. The challenge, domain and holder count for presentations only; asking a credential
// for them is a failure of the check of that name, since a credential is bound to nobody.
func (v *Verifier) Any(ctx context.Context, secured []byte, o PresentationOptions) *Result {
	if IsPresentation(secured) {
		return v.Presentation(ctx, secured, o)
	}
	r := v.Credential(ctx, secured, CredentialOptions{At: o.At, SkipStatus: o.SkipStatus})
	for _, bound := range []struct {
		name   string
		wanted bool
	}{{CheckChallenge, o.Challenge != ""}, {CheckDomain, len(o.Domain) > 0}, {CheckHolder, o.Holder != ""}} {
		if bound.wanted {
			r.Checks = append(r.Checks, Check{Name: bound.name, Outcome: Failed, Reason: "this is a credential; only presentations have it"})
		}
	}
	return r
}

// Open gives a secured credential or presentation as JSON: itself, or the payload of its token with the token's claims, enveloped or not. Nothing of it is verified: use it to find out what a
// document claims to be, and read what counts from a Result. The JSON has no proof where a token secures it.
func Open(secured []byte) (document map[string]any, method string, err error) {
	if !isToken(secured) {
		d, err := ijson.ParseObject(secured, ijson.Limits{})
		if err != nil {
			return nil, "", err
		}
		switch {
		case hasType(d, envelopedCredential):
			secured, err = unwrap(d, envelopedCredential, jose.TypeCredential)
		case hasType(d, envelopedPresentation):
			secured, err = unwrap(d, envelopedPresentation, jose.TypePresentation)
		default:
			if proof, ok := d["proof"].(map[string]any); ok {
				method, _ = proof["verificationMethod"].(string)
			}
			return d, method, nil
		}
		if err != nil {
			return nil, "", err
		}
	}
	t, err := jose.Parse(bytes.TrimSpace(secured), 0)
	if err != nil {
		return nil, "", err
	}
	d, err := ijson.ParseObject(t.Payload, ijson.Limits{})
	return d, t.Header.KeyID, err
}

// UnknownContexts gives the addresses of contexts that a secured document names and that are not embedded, those of embedded credentials included. It is for telling
// a person what is missing: nothing is verified.
func UnknownContexts(secured []byte) []string {
	d, _, err := Open(secured)
	if err != nil {
		return nil
	}
	known := contexts.All()
	found := map[string]struct{}{}
	note := func(d map[string]any) {
		for _, c := range each(d["@context"]) {
			if url, ok := c.(string); ok && known[url] == nil {
				found[url] = struct{}{}
			}
		}
	}
	note(d)
	for _, e := range each(d["verifiableCredential"]) {
		if m, ok := e.(map[string]any); ok {
			note(m)
		}
	}
	return slices.Sorted(maps.Keys(found))
}
