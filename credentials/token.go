package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/ijson"
	"ihyid/credentials/jose"
)

// SuiteJOSE, in ProofOptions or an Issuer, secures a document as a compact JWS (vc+jwt, vp+jwt) in
// place of an embedded proof.
const SuiteJOSE = "jose"

// Types of the objects that carry such tokens where JSON is asked for (VCDM 2.0 sections 4.13.1 and 4.13.2).
const (
	envelopedCredential   = "EnvelopedVerifiableCredential"
	envelopedPresentation = "EnvelopedVerifiablePresentation"
)

// Embed gives the JSON value with which a secured credential stands in a presentation: itself, or
// an EnvelopedVerifiableCredential around a token.
func Embed(secured []byte) (map[string]any, error) {
	if !isToken(secured) {
		return ijson.ParseObject(secured, ijson.Limits{})
	}
	token := bytes.TrimSpace(secured)
	if _, err := jose.Parse(token, 0); err != nil {
		return nil, err
	}
	return map[string]any{
		"@context": []any{ContextV2},
		"id":       "data:application/" + jose.TypeCredential + "," + string(token),
		"type":     envelopedCredential,
	}, nil
}

// EmbedPresentation gives the JSON value that stands for a presentation secured as a token.
func EmbedPresentation(token []byte) map[string]any {
	return map[string]any{
		"@context": []any{ContextV2},
		"id":       "data:application/" + jose.TypePresentation + "," + string(bytes.TrimSpace(token)),
		"type":     envelopedPresentation,
	}
}

// unwrap takes the token out of an enveloped object.
func unwrap(d map[string]any, typ, media string) ([]byte, error) {
	contexts := each(d["@context"])
	if len(contexts) == 0 || contexts[0] != ContextV2 {
		return nil, wrong("@context", "does not begin with %s", ContextV2)
	}
	if err := checkType(d, typ); err != nil {
		return nil, err
	}
	id, _ := d["id"].(string)
	token, ok := strings.CutPrefix(id, "data:application/"+media+",")
	if !ok {
		return nil, wrong("id", "is not a data URL of type application/%s", media)
	}
	return []byte(token), nil
}

// isToken tells a compact JWS from JSON.
func isToken(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] != '{' && b[0] != '['
}

// claims are the members that the payload of a token has beside the document.
type claims struct {
	issuer, nonce       string
	audience            []string
	from, issued, until time.Time
}

// claimNames are the registered claims (RFC 7519 section 4.1) and nonce, none of which is a term of credentials.
var claimNames = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce"}

// token secures a document as a compact JWS. What a proof would say stands in registered claims.
func (i *Issuer) token(d map[string]any, typ, cty string, key Key, o ProofOptions) ([]byte, error) {
	if o.ID != "" || len(o.Previous) > 0 {
		return nil, errors.New("tokens have no proof sets or chains")
	}
	for _, name := range append([]string{"vc", "vp"}, claimNames...) {
		if _, ok := d[name]; ok {
			return nil, wrong(name, "is a claim of tokens and no member of documents")
		}
	}
	if _, err := i.config(SuiteJOSE, key, o); err != nil { // the same rules as for proofs
		return nil, err
	}
	payload := maps.Clone(d)
	created := o.Created
	if created.IsZero() {
		created = clock(i.Clock)
	}
	payload["iat"] = float64(created.Unix())
	if !o.Expires.IsZero() {
		payload["exp"] = float64(o.Expires.Unix())
	}
	if o.Challenge != "" {
		payload["nonce"] = o.Challenge
	}
	setStrings(payload, "aud", o.Domain)
	b, err := ijson.Canonical(payload)
	if err != nil {
		return nil, err
	}
	h := jose.Header{Type: typ, ContentType: cty, KeyID: key.VerificationMethod, Issuer: didOf(key.VerificationMethod)}
	return jose.Sign(b, h, key.Signer)
}

func (v *Verifier) credentialToken(ctx context.Context, compact []byte, o CredentialOptions) *Result {
	t, d, c, err := v.openToken(compact, jose.TypeCredential, "vc")
	if err != nil {
		return syntaxFailure(credentialChecks, err)
	}
	model, err := checkCredential(d)
	if err == nil {
		err = newer(model.version)
	}
	if err == nil {
		err = c.agree(d, model.issuer)
	}
	if err != nil {
		return syntaxFailure(credentialChecks, err)
	}
	run := v.newRun(d, newChecks(credentialChecks...), AssertionMethod, o.At)
	run.result.Issuer, run.result.Version = model.issuer, model.version
	run.pass(CheckSyntax)
	run.defined(ctx, withoutClaims(d))
	run.token(ctx, t, c)
	run.credential(ctx, model, o)
	return run.done()
}

func (v *Verifier) presentationToken(ctx context.Context, compact []byte, o PresentationOptions) *Result {
	t, d, c, err := v.openToken(compact, jose.TypePresentation, "vp")
	if err != nil {
		return syntaxFailure(presentationChecks, err)
	}
	model, err := v.readPresentation(d)
	if err == nil {
		err = newer(model.version)
	}
	if err == nil {
		err = c.agree(d, model.holder)
	}
	if err != nil {
		return syntaxFailure(presentationChecks, err)
	}
	run := v.newRun(d, newChecks(presentationChecks...), Authentication, o.At)
	run.result.Holder, run.result.Version = model.holder, model.version
	run.pass(CheckSyntax)
	run.defined(ctx, withoutClaims(d))
	run.token(ctx, t, c)
	run.bindings(c.nonce, c.audience, o)
	run.presentation(ctx, model, o)
	return run.done()
}

// newer refuses version 1.1 of the data model where only the newer one has a place: in tokens (VC-JOSE-COSE section 3.1) and in what is made here.
func newer(version string) error {
	if version != Version2 {
		return wrong("@context", "is not that of version 2.0 of the data model, which is needed here")
	}
	return nil
}

// openToken reads a token and its payload, which is the document with claims beside it.
func (v *Verifier) openToken(compact []byte, typ, cty string) (*jose.Token, map[string]any, *claims, error) {
	limits := v.Limits.JSON
	maxBytes := limits.MaxBytes
	if maxBytes <= 0 {
		maxBytes = ijson.DefaultMaxBytes
	}
	t, err := jose.Parse(compact, 2*maxBytes)
	if err != nil {
		return nil, nil, nil, err
	}
	if have := strings.TrimPrefix(t.Header.Type, "application/"); have != typ {
		return nil, nil, nil, wrong("typ", "is not %s", typ)
	}
	if have := strings.TrimPrefix(t.Header.ContentType, "application/"); have != "" && have != cty {
		return nil, nil, nil, wrong("cty", "is not %s", cty)
	}
	d, err := ijson.ParseObject(t.Payload, limits)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, name := range []string{"vc", "vp", "proof"} {
		if _, ok := d[name]; ok {
			return nil, nil, nil, wrong(name, "has no place in a token")
		}
	}
	c, err := readClaims(d)
	if err != nil {
		return nil, nil, nil, err
	}
	switch {
	case t.Header.Issuer != "" && c.issuer != "" && t.Header.Issuer != c.issuer:
		return nil, nil, nil, wrong("iss", "differs between header and payload")
	case c.issuer == "":
		c.issuer = t.Header.Issuer
	}
	return t, d, c, nil
}

func readClaims(d map[string]any) (*claims, error) {
	c := &claims{}
	for name, into := range map[string]*string{"iss": &c.issuer, "nonce": &c.nonce} {
		if v, ok := d[name]; ok {
			s, ok := v.(string)
			if !ok || s == "" {
				return nil, wrong(name, "is not a non-empty string")
			}
			*into = s
		}
	}
	for name, into := range map[string]*time.Time{"iat": &c.issued, "nbf": &c.from, "exp": &c.until} {
		if v, ok := d[name]; ok {
			seconds, ok := v.(float64)
			if !ok || seconds < 0 || seconds > 253402300799 { // the end of the year 9999
				return nil, wrong(name, "is not a time in seconds")
			}
			whole, fraction := math.Modf(seconds)
			*into = time.Unix(int64(whole), int64(fraction*1e9))
		}
	}
	for i, v := range each(d["aud"]) {
		s, ok := v.(string)
		if !ok || s == "" || i >= dataintegrity.MaxProofs {
			return nil, wrong("aud", "is not one or a few non-empty strings")
		}
		c.audience = append(c.audience, s)
	}
	return c, nil
}

// withoutClaims is the document in the payload of a token.
func withoutClaims(d map[string]any) map[string]any {
	out := maps.Clone(d)
	for _, name := range claimNames {
		delete(out, name)
	}
	return out
}

// agree checks that claims which repeat what the document says say the same (VC-JOSE-COSE section 3.1.3).
func (c *claims) agree(d map[string]any, party string) error {
	if c.issuer != "" && party != "" && c.issuer != party {
		return wrong("iss", "is another than the document names")
	}
	if id, ok := d["jti"]; ok && id != d["id"] {
		return wrong("jti", "is another than the document's id")
	}
	if sub, ok := d["sub"]; ok {
		subject, isOne := d["credentialSubject"].(map[string]any)
		if !isOne || subject["id"] != sub {
			return wrong("sub", "is another than the subject's id")
		}
	}
	return nil
}

// token checks the signature of a token and the key behind it.
func (r *run) token(ctx context.Context, t *jose.Token, c *claims) {
	r.result.Proofs = []Proof{{Suite: t.Header.Algorithm, VerificationMethod: t.Header.KeyID, Purpose: r.purpose,
		Created: c.issued, Expires: c.until}}
	if !r.v.accepts(SuiteJOSE) {
		r.fail(CheckProof, &dataintegrity.Error{Code: dataintegrity.ProofVerification, Err: errSuite})
		return
	}
	if method := t.Header.KeyID; !isURL(method) || didOf(method) == method {
		r.failf(CheckKey, "kid is not a DID URL with a fragment")
		return
	}
	fail := func(name string, err error) { r.fail(name, err) }
	s := Signature{VerificationMethod: t.Header.KeyID, Created: c.issued, Document: r.document, Token: t.Compact()}
	key, ok := r.key(ctx, &r.result.Proofs[0], s, fail)
	if !ok {
		return
	}
	if err := t.Verify(key); err != nil {
		r.fail(CheckProof, &dataintegrity.Error{Code: dataintegrity.ProofVerification, Err: err})
	} else {
		r.pass(CheckProof)
	}
	r.times(c.issued, c.until, fail)
	if !c.from.IsZero() && c.from.After(r.at.Add(ClockSkew)) {
		r.fail(CheckTime, fmt.Errorf("the token is not valid yet"))
	}
}
