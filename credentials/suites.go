package credentials

import (
	"context"
	"maps"
	"sync"

	"ihyid/credentials/dataintegrity"
	"ihyid/credentials/jsonld"
)

// DefaultSuite is the cryptosuite of an Issuer that names none. Any W3C verifier knows it.
const DefaultSuite = dataintegrity.ECDSARDFC2019

// SuitesOptions configures the cryptosuites. Zero fields have defaults.
type SuitesOptions struct {
	// Contexts are JSON-LD context documents by address, beside the embedded ones. They never
	// replace an embedded one, and no context is ever fetched.
	Contexts map[string][]byte
	// Schemas are JSON Schemas, and secured credentials of type JsonSchemaCredential, by the id that
	// credentialSchema gives them. No schema is ever fetched.
	Schemas map[string][]byte
	// MaxWork bounds RDF canonicalisation, see rdfc.Options.
	MaxWork int
}

// Suites are the cryptosuites with the contexts that they know. They may be used concurrently
// and should be shared, since they keep parsed contexts.
type Suites struct {
	jsonld    *jsonld.Processor
	byName    map[string]dataintegrity.Suite
	schemas   *schemas
	resources map[string][]byte // contexts and schemas that are configured, by address
}

// NewSuites makes the cryptosuites: ecdsa-rdfc-2019, ecdsa-jcs-2019, eddsa-rdfc-2022 and eddsa-jcs-2022. It fails if a
// context or schema cannot be used.
func NewSuites(o SuitesOptions) (*Suites, error) {
	p, err := jsonld.New(jsonld.Options{Contexts: o.Contexts})
	if err != nil {
		return nil, err
	}
	s := &Suites{jsonld: p, byName: map[string]dataintegrity.Suite{}, resources: map[string][]byte{}}
	if s.schemas, err = newSchemas(o.Schemas); err != nil {
		return nil, err
	}
	maps.Copy(s.resources, o.Contexts)
	maps.Copy(s.resources, o.Schemas)
	for _, suite := range []dataintegrity.Suite{
		dataintegrity.NewECDSARDFC2019(p, o.MaxWork),
		dataintegrity.NewECDSAJCS2019(),
		dataintegrity.NewEdDSARDFC2022(p, o.MaxWork),
		dataintegrity.NewEdDSAJCS2022(),
	} {
		s.byName[suite.Name()] = suite
	}
	return s, nil
}

// embedded are the suites of issuers and verifiers that were given none: they know the embedded contexts
// only, which cannot fail to load.
var embedded = sync.OnceValue(func() *Suites {
	s, err := NewSuites(SuitesOptions{})
	if err != nil {
		panic(err)
	}
	return s
})

func (s *Suites) orEmbedded() *Suites {
	if s == nil {
		return embedded()
	}
	return s
}

// defined reports an error if a document, without its proof, has terms that its contexts do not define. The credentials in a presentation are not looked at:
// each is a document of its own.
func (s *Suites) defined(ctx context.Context, unsecured map[string]any) error {
	s = s.orEmbedded()
	if hasType(unsecured, "VerifiablePresentation") {
		unsecured = maps.Clone(unsecured)
		delete(unsecured, "verifiableCredential")
	}
	if err := s.jsonld.Defined(ctx, unsecured); err != nil {
		return &dataintegrity.Error{Code: dataintegrity.ProofTransformation, Err: err}
	}
	return nil
}

// Terms gives the IRIs of all properties and types that a document uses, whatever names its contexts give them. Who signs for others has to go by these: a
// name says nothing while the contexts are the asker's.
func (s *Suites) Terms(ctx context.Context, document map[string]any) ([]string, error) {
	terms, err := s.orEmbedded().jsonld.Terms(ctx, document)
	if err != nil {
		return nil, &dataintegrity.Error{Code: dataintegrity.ProofTransformation, Err: err}
	}
	return terms, nil
}

// signsJSON reports whether a suite signs the JSON itself, so that nothing in it looks at what terms mean.
func signsJSON(suite string) bool {
	return suite == SuiteJOSE || suite == dataintegrity.ECDSAJCS2019 || suite == dataintegrity.EdDSAJCS2022
}

func (s *Suites) suite(name string) (dataintegrity.Suite, bool) {
	suite, ok := s.orEmbedded().byName[name]
	return suite, ok
}
