package dataintegrity

import (
	"context"
	"crypto"
	"maps"
	"reflect"

	"ihyid/credentials/ijson"
)

// NewECDSAJCS2019 gives ecdsa-jcs-2019 (ECDSA Cryptosuites 1.0 section 3.3), for P-256 and P-384.
func NewECDSAJCS2019() Suite { return jcsSuite{ECDSAJCS2019, isECDSA} }

// NewEdDSAJCS2022 gives eddsa-jcs-2022 (EdDSA Cryptosuites 1.0 section 3.3), for Ed25519.
func NewEdDSAJCS2022() Suite { return jcsSuite{EdDSAJCS2022, isEd25519} }

// jcsSuite signs documents in the canonical form of RFC 8785.
type jcsSuite struct {
	name     string
	supports func(crypto.PublicKey) bool
}

func (s jcsSuite) Name() string                       { return s.name }
func (s jcsSuite) Supports(pub crypto.PublicKey) bool { return s.supports(pub) }

// Prepare: a new proof carries the document's @context (section 3.3.1 step 2); when one is checked,
// the document's @context has to begin with the proof's, which then stands in for it (section 3.3.2
// step 4), so that contexts added later do not count as signed.
func (s jcsSuite) Prepare(document, config map[string]any, verify bool) (map[string]any, map[string]any, error) {
	have, inDocument := document["@context"]
	if !verify {
		if inDocument {
			config = maps.Clone(config)
			config["@context"] = have
		}
		return document, config, nil
	}
	signed, inProof := config["@context"]
	if !inProof {
		return document, config, nil
	}
	if !inDocument || !beginsWith(asList(have), asList(signed)) {
		return nil, nil, failf(ProofVerification, "the document's @context does not begin with the proof's")
	}
	document = maps.Clone(document)
	document["@context"] = signed
	return document, config, nil
}

func asList(v any) []any {
	if a, ok := v.([]any); ok {
		return a
	}
	return []any{v}
}

func beginsWith(list, start []any) bool {
	return len(list) >= len(start) && reflect.DeepEqual(list[:len(start)], start)
}

func (s jcsSuite) HashData(_ context.Context, document, config map[string]any, hash crypto.Hash) ([]byte, error) {
	out := make([]byte, 0, 2*hash.Size())
	var buffer []byte
	for _, part := range []map[string]any{config, document} {
		var err error
		if buffer, err = ijson.AppendCanonical(buffer[:0], part); err != nil {
			return nil, failf(ProofTransformation, "canonical form: %w", err)
		}
		h := hash.New()
		h.Write(buffer)
		out = h.Sum(out)
	}
	return out, nil
}
