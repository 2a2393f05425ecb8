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
}

// Issuer secures credentials and presentations. Its zero value is ready; it may be used concurrently.
type Issuer struct {
	Suite string           // default suite; empty: ecdsa-jcs-2019
	Clock func() time.Time // nil: time.Now
	Rand  io.Reader        // nil: crypto/rand
}

// ErrNotIssuer says that a document names another as its issuer or holder than the owner of the key.
var ErrNotIssuer = errors.New("the key belongs to another than the document names")

// Credential checks an unsecured credential against the data model, adds a proof by the issuer that
// it names, and gives it back in canonical form.
func (i *Issuer) Credential(ctx context.Context, unsecured []byte, key Key, o ProofOptions) ([]byte, error) {
	d, err := i.read(unsecured)
	if err != nil {
		return nil, fmt.Errorf("issue credential: %w", err)
	}
	c, err := checkCredential(d)
	if err == nil && c.issuer != didOf(key.VerificationMethod) {
		err = fmt.Errorf("issuer: %w", ErrNotIssuer)
	}
	if err != nil {
		return nil, fmt.Errorf("issue credential: %w", err)
	}
	if o.Purpose == "" {
		o.Purpose = AssertionMethod
	}
	out, err := i.secure(ctx, d, key, o)
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
	if err == nil && p.holder != "" && p.holder != didOf(key.VerificationMethod) {
		err = fmt.Errorf("holder: %w", ErrNotIssuer)
	}
	if err != nil {
		return nil, fmt.Errorf("issue presentation: %w", err)
	}
	for k, c := range p.credentials {
		if _, err := checkCredential(c); err != nil {
			return nil, fmt.Errorf("issue presentation: credential %d: %w", k+1, err)
		}
	}
	if o.Purpose == "" {
		o.Purpose = Authentication
	}
	out, err := i.secure(ctx, d, key, o)
	if err != nil {
		return nil, fmt.Errorf("issue presentation: %w", err)
	}
	return out, nil
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

func (i *Issuer) secure(ctx context.Context, d map[string]any, key Key, o ProofOptions) ([]byte, error) {
	name := o.Suite
	if name == "" {
		name = i.Suite
	}
	if name == "" {
		name = dataintegrity.ECDSAJCS2019
	}
	suite, ok := suites[name]
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
	proof, err := dataintegrity.Create(ctx, suite, d, config, key.Signer, random)
	if err != nil {
		return nil, err
	}
	secured := maps.Clone(d)
	secured["proof"] = proof
	return ijson.Canonical(secured)
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
	if !o.Expires.IsZero() {
		if !o.Expires.After(created) {
			return nil, wrong("expires", "does not lie after created")
		}
		config["expires"] = dataintegrity.FormatTime(o.Expires)
	}
	if o.Challenge != "" {
		config["challenge"] = o.Challenge
	}
	switch len(o.Domain) {
	case 0:
	case 1:
		config["domain"] = o.Domain[0]
	default:
		list := make([]any, len(o.Domain))
		for k, d := range o.Domain {
			list[k] = d
		}
		config["domain"] = list
	}
	return config, nil
}

// suites are the cryptosuites, by name.
var suites = func() map[string]dataintegrity.Suite {
	m := map[string]dataintegrity.Suite{}
	for _, s := range []dataintegrity.Suite{
		dataintegrity.NewECDSAJCS2019(),
		dataintegrity.NewEdDSAJCS2022(),
	} {
		m[s.Name()] = s
	}
	return m
}()

func clock(c func() time.Time) time.Time {
	if c == nil {
		return time.Now()
	}
	return c()
}
