package dataintegrity

import (
	"context"
	"crypto"
	"maps"
	"reflect"

	"ihyid/credentials/jsonld"
	"ihyid/credentials/rdfc"
)

// NewECDSARDFC2019 gives ecdsa-rdfc-2019 (ECDSA Cryptosuites 1.0 section 3.2), for P-256 and P-384.
// The work limit is that of rdfc.Options; zero means its default.
func NewECDSARDFC2019(p *jsonld.Processor, maxWork int) Suite {
	return rdfcSuite{ECDSARDFC2019, isECDSA, p, maxWork}
}

// NewEdDSARDFC2022 gives eddsa-rdfc-2022 (EdDSA Cryptosuites 1.0 section 3.2), for Ed25519.
func NewEdDSARDFC2022(p *jsonld.Processor, maxWork int) Suite {
	return rdfcSuite{EdDSARDFC2022, isEd25519, p, maxWork}
}

// rdfcSuite signs documents as canonical RDF.
type rdfcSuite struct {
	name     string
	supports func(crypto.PublicKey) bool
	jsonld   *jsonld.Processor
	maxWork  int
}

func (s rdfcSuite) Name() string                       { return s.name }
func (s rdfcSuite) Supports(pub crypto.PublicKey) bool { return s.supports(pub) }

// Prepare gives the configuration the document's @context (section 3.2.5). A proof that brings one
// of its own may not differ from it, since what stands there would not be signed.
func (s rdfcSuite) Prepare(document, config map[string]any, verify bool) (map[string]any, map[string]any, error) {
	have, ok := document["@context"]
	if !ok {
		return nil, nil, failf(ProofTransformation, "the document has no @context")
	}
	if own, ok := config["@context"]; ok {
		if !verify || !reflect.DeepEqual(own, have) {
			return nil, nil, failf(ProofVerification, "the proof has an @context other than the document's")
		}
		return document, config, nil
	}
	if !verify {
		if err := jsonld.KeepsNumbers(document); err != nil {
			return nil, nil, failf(ProofGeneration, "%w", err)
		}
		return document, config, nil
	}
	config = maps.Clone(config)
	config["@context"] = have
	return document, config, nil
}

func (s rdfcSuite) HashData(ctx context.Context, document, config map[string]any, hash crypto.Hash) ([]byte, error) {
	if _, ok := config["@context"]; !ok {
		config = maps.Clone(config)
		config["@context"] = document["@context"]
	}
	out := make([]byte, 0, 2*hash.Size())
	for _, part := range []struct {
		what string
		of   map[string]any
	}{{"proof configuration", config}, {"document", document}} {
		quads, err := s.jsonld.Quads(ctx, part.of)
		if err != nil {
			return nil, failf(ProofTransformation, "%s: %w", part.what, err)
		}
		canonical, err := rdfc.Canonicalize(ctx, quads, rdfc.Options{Hash: hash, MaxWork: s.maxWork})
		if err != nil {
			return nil, failf(ProofTransformation, "%s: %w", part.what, err)
		}
		h := hash.New()
		h.Write(canonical)
		out = h.Sum(out)
	}
	return out, nil
}
