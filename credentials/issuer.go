package credentials

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/ijson"
	"ihyid/credentials/jose"
	"ihyid/credentials/jsonld"
)

// The purposes of proofs that are used here (Controlled Identifiers 1.0 section 2.3).
const (
	AssertionMethod = "assertionMethod"
	Authentication  = "authentication"
)

// Key is a key to sign with.
type Key struct {
	VerificationMethod string        // the DID URL under which the signer's document shows the key
	Signer             crypto.Signer // ECDSA on P-256 or P-384, answering ASN.1
}

// ProofOptions says what a proof states beside the signature. Zero fields are left out or have a default.
type ProofOptions struct {
	Suite     string    // default: the issuer's
	Purpose   string    // default: assertionMethod for credentials, authentication for presentations
	Created   time.Time // default: now; kept to the second
	Expires   time.Time
	Challenge string
	Domain    []string
	ID        string   // of the proof, a URL; needed where a later proof names it
	Previous  []string // ids of proofs that this one signs with the document (a proof chain)
}

// Issuer secures credentials and presentations. Its zero value is ready; it may be used concurrently.
type Issuer struct {
	Suite  string           // cryptosuite where the options name none; empty: DefaultSuite
	Suites *Suites          // nil: those with the embedded contexts
	Clock  func() time.Time // nil: time.Now
	Rand   io.Reader        // nil: crypto/rand
}

// ErrNotIssuer says that a document names another as its issuer or holder than the owner of the key.
var ErrNotIssuer = errors.New("the key belongs to another than the document names")

// IsDocumentError reports whether an Issuer refused a document for what it is or says, rather than failed.
func IsDocumentError(err error) bool {
	var coded *dataintegrity.Error
	if errors.As(err, &coded) {
		return coded.Code == dataintegrity.ProofTransformation || coded.Code == dataintegrity.Parsing ||
			errors.Is(err, jsonld.ErrDocument) || errors.Is(err, jsonld.ErrUnknownContext)
	}
	return errors.Is(err, ErrModel) || errors.Is(err, ErrNotIssuer) || errors.Is(err, jsonld.ErrDocument) || errors.Is(err, jsonld.ErrUnknownContext)
}

// Credential checks an unsecured credential against the data model, adds a proof by the issuer that
// it names, and gives it back in canonical form; or, with SuiteJOSE, as a compact JWS.
func (i *Issuer) Credential(ctx context.Context, unsecured []byte, key Key, o ProofOptions) ([]byte, error) {
	d, err := i.read(unsecured)
	if err != nil {
		return nil, fmt.Errorf("issue credential: %w", err)
	}
	c, err := checkCredential(d)
	if err == nil {
		err = newer(c.version)
	}
	if err == nil {
		err = i.Suites.checkDigests(d)
	}
	if err == nil {
		err = i.Suites.checkSchemas(d)
	}
	if err == nil && c.issuer != didOf(key.VerificationMethod) {
		err = fmt.Errorf("issuer: %w", ErrNotIssuer)
	}
	if err != nil {
		return nil, fmt.Errorf("issue credential: %w", err)
	}
	if o.Purpose == "" {
		o.Purpose = AssertionMethod
	}
	out, err := i.secure(ctx, d, jose.TypeCredential, "vc", key, o)
	if err != nil {
		return nil, fmt.Errorf("issue credential: %w", err)
	}
	return out, nil
}

// Presentation does for an unsecured presentation what Credential does for a credential. The
// credentials inside have to be well formed; whether they verify is for the receiver to find.
func (i *Issuer) Presentation(ctx context.Context, unsecured []byte, key Key, o ProofOptions) ([]byte, error) {
	d, err := i.read(unsecured)
	if err != nil {
		return nil, fmt.Errorf("issue presentation: %w", err)
	}
	p, err := checkPresentation(d)
	if err == nil {
		err = newer(p.version)
	}
	if err == nil && p.holder != "" && p.holder != didOf(key.VerificationMethod) {
		err = fmt.Errorf("holder: %w", ErrNotIssuer)
	}
	if err != nil {
		return nil, fmt.Errorf("issue presentation: %w", err)
	}
	for k, c := range p.credentials {
		if hasType(c, envelopedCredential) {
			_, err = unwrap(c, envelopedCredential, jose.TypeCredential)
		} else {
			_, err = checkCredential(c)
		}
		if err != nil {
			return nil, fmt.Errorf("issue presentation: credential %d: %w", k+1, err)
		}
	}
	if o.Purpose == "" {
		o.Purpose = Authentication
	}
	out, err := i.secure(ctx, d, jose.TypePresentation, "vp", key, o)
	if err != nil {
		return nil, fmt.Errorf("issue presentation: %w", err)
	}
	return out, nil
}

// AddProof adds a proof to a credential or presentation that has one already: beside it (a proof set), or
// over it where the options name previous proofs (a chain). Anybody may add one; a verifier still asks for
// one by the issuer or holder, and that all of them are good.
func (i *Issuer) AddProof(ctx context.Context, secured []byte, key Key, o ProofOptions) ([]byte, error) {
	out, err := i.addProof(ctx, secured, key, o)
	if err != nil {
		return nil, fmt.Errorf("add proof: %w", err)
	}
	return out, nil
}

func (i *Issuer) addProof(ctx context.Context, secured []byte, key Key, o ProofOptions) ([]byte, error) {
	d, err := ijson.ParseObject(secured, ijson.Limits{})
	if err != nil {
		return nil, err
	}
	purpose := AssertionMethod
	if hasType(d, "VerifiablePresentation") {
		purpose = Authentication
		_, err = checkPresentation(d)
	} else {
		_, err = checkCredential(d)
	}
	if err != nil {
		return nil, err
	}
	if o.Purpose == "" {
		o.Purpose = purpose
	}
	unsecured, proofs, err := dataintegrity.Split(d, 0)
	if err != nil {
		return nil, err
	}
	if len(proofs) == 0 {
		return nil, wrong("proof", "is missing")
	}
	list := make([]any, 0, len(proofs)+1)
	for _, p := range proofs {
		list = append(list, p.Raw())
		if p.ID != "" && p.ID == o.ID {
			return nil, wrong("proof.id", "another proof has it")
		}
	}
	signed, err := dataintegrity.Signed(unsecured, proofs, o.Previous)
	if err != nil {
		return nil, err
	}
	if signsJSON(i.suiteName(o)) {
		if err := i.Suites.defined(ctx, unsecured); err != nil {
			return nil, err
		}
	}
	proof, err := i.prove(ctx, signed, key, o)
	if err != nil {
		return nil, err
	}
	return with(unsecured, append(list, proof))
}

func (i *Issuer) read(unsecured []byte) (map[string]any, error) {
	d, err := ijson.ParseObject(unsecured, ijson.Limits{})
	if err != nil {
		return nil, err
	}
	if _, ok := d["proof"]; ok {
		return nil, wrong("proof", "is there already")
	}
	return d, nil
}

// secure adds the first proof to a document, or makes a token of it.
func (i *Issuer) secure(ctx context.Context, d map[string]any, typ, cty string, key Key, o ProofOptions) ([]byte, error) {
	if signsJSON(i.suiteName(o)) {
		if err := i.Suites.defined(ctx, d); err != nil {
			return nil, err
		}
	}
	if i.suiteName(o) == SuiteJOSE {
		return i.token(d, typ, cty, key, o)
	}
	if len(o.Previous) > 0 {
		return nil, wrong("previousProof", "names a proof that the document does not have")
	}
	proof, err := i.prove(ctx, d, key, o)
	if err != nil {
		return nil, err
	}
	return with(d, proof)
}

// with gives a document with a proof in canonical form.
func with(d map[string]any, proof any) ([]byte, error) {
	secured := maps.Clone(d)
	secured["proof"] = proof
	return ijson.Canonical(secured)
}

func (i *Issuer) suiteName(o ProofOptions) string {
	switch {
	case o.Suite != "":
		return o.Suite
	case i.Suite != "":
		return i.Suite
	}
	return DefaultSuite
}

func (i *Issuer) prove(ctx context.Context, d map[string]any, key Key, o ProofOptions) (map[string]any, error) {
	name := i.suiteName(o)
	suite, ok := i.Suites.suite(name)
	if !ok {
		return nil, fmt.Errorf("cryptosuite %q is not known here", name)
	}
	config, err := i.config(name, key, o)
	if err != nil {
		return nil, err
	}
	random := i.Rand
	if random == nil {
		random = rand.Reader
	}
	return dataintegrity.Create(ctx, suite, d, config, key.Signer, random)
}

func (i *Issuer) config(suite string, key Key, o ProofOptions) (map[string]any, error) {
	if didOf(key.VerificationMethod) == key.VerificationMethod || !isURL(key.VerificationMethod) {
		return nil, wrong("verificationMethod", "is not a DID URL with a fragment")
	}
	created := o.Created
	if created.IsZero() {
		created = clock(i.Clock)
	}
	config := map[string]any{
		"type":               dataintegrity.Type,
		"cryptosuite":        suite,
		"created":            dataintegrity.FormatTime(created),
		"verificationMethod": key.VerificationMethod,
		"proofPurpose":       o.Purpose,
	}
	if o.ID != "" {
		if !isURL(o.ID) {
			return nil, wrong("proof.id", "is not a URL")
		}
		config["id"] = o.ID
	}
	setStrings(config, "previousProof", o.Previous)
	setStrings(config, "domain", o.Domain)
	if !o.Expires.IsZero() {
		if !o.Expires.After(created) {
			return nil, wrong("expires", "does not lie after created")
		}
		config["expires"] = dataintegrity.FormatTime(o.Expires)
	}
	if o.Challenge != "" {
		config["challenge"] = o.Challenge
	}
	return config, nil
}

// setStrings sets a member to one string or to a list of them.
func setStrings(config map[string]any, field string, values []string) {
	switch len(values) {
	case 0:
	case 1:
		config[field] = values[0]
	default:
		list := make([]any, len(values))
		for k, v := range values {
			list[k] = v
		}
		config[field] = list
	}
}

func clock(c func() time.Time) time.Time {
	if c == nil {
		return time.Now()
	}
	return c()
}
