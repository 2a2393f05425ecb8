package credentials

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ihyid/credentials/ijson"
)

// The types of credentialSchema that are evaluated here (Verifiable Credentials JSON Schema Specification sections 2.1 and 2.2).
const (
	typeJSONSchema       = "JsonSchema"
	typeSchemaCredential = "JsonSchemaCredential"
)

// What a schema may cost that a stranger put into a credential: its size in bytes, and the number of its values times those of the document. Schemas
// that the configuration vouches for are not held to it.
const (
	maxEmbeddedSchema = 16 << 10
	maxSchemaWork     = 2_000_000
)

// ErrSchema says that a credential is not as its credentialSchema says.
var ErrSchema = errors.New("not as the schema says")

// schemas are the JSON Schemas, and the credentials that hold one, that the configuration vouches for.
type schemas struct {
	documents map[string][]byte
	compiled  map[string]*jsonschema.Schema
}

func newSchemas(documents map[string][]byte) (*schemas, error) {
	s := &schemas{documents: documents, compiled: map[string]*jsonschema.Schema{}}
	c := compiler()
	var plain []string
	for id, b := range documents {
		if !isURL(id) || strings.Contains(id, "#") {
			return nil, fmt.Errorf("schema %s: its name is not a URL without a fragment", id)
		}
		if isToken(b) {
			continue // a credential
		}
		d, err := ijson.Parse(b, ijson.Limits{})
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", id, err)
		}
		if m, ok := d.(map[string]any); ok && (hasType(m, "VerifiableCredential") || hasType(m, envelopedCredential)) {
			continue
		}
		if err := c.AddResource(id, d); err != nil {
			return nil, fmt.Errorf("schema %s: %w", id, err)
		}
		plain = append(plain, id)
	}
	for _, id := range plain {
		schema, err := compile(c, id)
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", id, err)
		}
		s.compiled[id] = schema
	}
	return s, nil
}

// compiler gives a compiler that fetches nothing and opens nothing.
func compiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.AssertFormat()
	return c
}

type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errors.New("schemas are never fetched") }

func compile(c *jsonschema.Compiler, id string) (s *jsonschema.Schema, err error) {
	defer func() {
		if recover() != nil {
			s, err = nil, errors.New("the schema cannot be compiled")
		}
	}()
	return c.Compile(id)
}

// validate holds a document to a schema. The error says where in the document, and what of the schema, and no value.
func validate(s *jsonschema.Schema, document map[string]any) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: it cannot be evaluated", ErrSchema)
		}
	}()
	found := s.Validate(document)
	if found == nil {
		return nil
	}
	var v *jsonschema.ValidationError
	if !errors.As(found, &v) {
		return ErrSchema
	}
	for len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	at := "/" + strings.Join(v.InstanceLocation, "/")
	if len(at) > 200 {
		at = at[:200] + "…"
	}
	keyword := ""
	if v.ErrorKind != nil {
		keyword = strings.Join(v.ErrorKind.KeywordPath(), "/")
	}
	return fmt.Errorf("%w: %s breaks its rule %q", ErrSchema, at, keyword)
}

// schema checks every member of credentialSchema whose schema is at hand: inside the credential as a data URL, or configured. Nothing is fetched;
// what cannot be evaluated is shown as skipped, with the reason.
func (r *run) schema(ctx context.Context, c *credential, document map[string]any) {
	if !c.schema {
		r.skip(CheckSchema, "the credential names no schema")
		return
	}
	if p := r.found[CheckProof]; p == nil || p.Outcome != Passed {
		r.skip(CheckSchema, "without a good proof it is not looked at")
		return
	}
	skipped := ""
	for i, e := range each(document["credentialSchema"]) {
		reason, err := r.v.oneSchema(ctx, e.(map[string]any), document)
		if err != nil {
			r.fail(CheckSchema, fmt.Errorf("credentialSchema[%d]: %w", i, err))
			return
		}
		if reason != "" && skipped == "" {
			skipped = fmt.Sprintf("credentialSchema[%d]: %s", i, reason)
		}
	}
	if skipped != "" {
		r.skip(CheckSchema, skipped)
		return
	}
	r.pass(CheckSchema)
}

// oneSchema evaluates one schema; it gives the reason where it cannot.
func (v *Verifier) oneSchema(ctx context.Context, e, document map[string]any) (skipped string, err error) {
	switch {
	case hasType(e, typeJSONSchema):
		return v.Suites.jsonSchema(e, document)
	case hasType(e, typeSchemaCredential):
		id, _ := e["id"].(string)
		secured, ok := v.Suites.orEmbedded().schemas.documents[id]
		if !ok {
			return "the schema's credential is not known here, and schemas are never fetched", nil
		}
		return "", v.schemaCredential(ctx, id, secured, document)
	}
	return "a schema of this type is not understood here", nil
}

// jsonSchema evaluates a schema of type JsonSchema.
func (s *Suites) jsonSchema(e, document map[string]any) (skipped string, err error) {
	known := s.orEmbedded().schemas
	id, _ := e["id"].(string)
	if schema, ok := known.compiled[id]; ok {
		return "", validate(schema, document)
	}
	if _, ok := known.documents[id]; ok {
		return "", fmt.Errorf("%w: what is configured under its id is no JSON Schema", ErrSchema)
	}
	data, ok := embeddedData(id)
	if !ok {
		return "the schema is not known here, and schemas are never fetched", nil
	}
	return embeddedSchema(data, document)
}

// checkSchemas holds a credential that is about to be signed to the schemas of type JsonSchema that are at hand.
func (s *Suites) checkSchemas(d map[string]any) error {
	for i, e := range each(d["credentialSchema"]) {
		if m := e.(map[string]any); hasType(m, typeJSONSchema) {
			if _, err := s.jsonSchema(m, d); err != nil {
				return wrong(fmt.Sprintf("credentialSchema[%d]", i), "%v", err)
			}
		}
	}
	return nil
}

// schemaCredential takes the schema out of a credential that is configured, and that has to verify itself.
func (v *Verifier) schemaCredential(ctx context.Context, id string, secured []byte, document map[string]any) error {
	result := v.Credential(ctx, secured, CredentialOptions{withoutSchema: true})
	if err := result.Err(); err != nil {
		return fmt.Errorf("the schema's credential: %w", err)
	}
	d := result.Document
	if have, ok := d["id"]; ok && have != id {
		return errors.New("the schema's credential has another id")
	}
	subject, ok := d["credentialSubject"].(map[string]any)
	if !hasType(d, typeSchemaCredential) || !ok || !hasType(subject, typeJSONSchema) {
		return fmt.Errorf("the schema's credential is not of type %s, or its subject not of type %s", typeSchemaCredential, typeJSONSchema)
	}
	schema, ok := subject["jsonSchema"]
	if !ok {
		return errors.New("the schema's credential holds no jsonSchema")
	}
	s, err := compileOne(schema)
	if err != nil {
		return fmt.Errorf("the schema's credential: %w", err)
	}
	return validate(s, document)
}

func compileOne(schema any) (*jsonschema.Schema, error) {
	const name = "urn:ihyid:schema"
	c := compiler()
	if err := c.AddResource(name, schema); err != nil {
		return nil, errors.New("the schema cannot be read")
	}
	s, err := compile(c, name)
	if err != nil {
		return nil, errors.New("the schema cannot be compiled")
	}
	return s, nil
}

// embeddedSchema evaluates a schema that its credential brings along, if it is simple enough to come from anybody: without references, which can make
// little text into endless work, and without patterns.
func embeddedSchema(data []byte, document map[string]any) (skipped string, err error) {
	if len(data) > maxEmbeddedSchema {
		return "the embedded schema is too large", nil
	}
	schema, err := ijson.Parse(data, ijson.Limits{})
	if err != nil {
		return "", fmt.Errorf("%w: the embedded schema is not JSON", ErrSchema)
	}
	if keyword := costly(schema); keyword != "" {
		return "the embedded schema uses " + keyword + ", which is evaluated in configured schemas only", nil
	}
	if count(schema)*count(document) > maxSchemaWork {
		return "the embedded schema and the credential are too large", nil
	}
	s, err := compileOne(schema)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return "", validate(s, document)
}

// costly gives a member name of a schema whose evaluation is not bounded by its size.
func costly(v any) string {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if k := costly(e); k != "" {
				return k
			}
		}
	case map[string]any:
		for k, e := range v {
			switch k {
			case "$ref", "$dynamicRef", "$recursiveRef", "pattern", "patternProperties", "uniqueItems", "format":
				return k
			}
			if k := costly(e); k != "" {
				return k
			}
		}
	}
	return ""
}

// count gives the number of values in v.
func count(v any) int {
	n := 1
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			n += count(e)
		}
	case map[string]any:
		for _, e := range v {
			n += count(e)
		}
	}
	return n
}
