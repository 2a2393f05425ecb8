package credentials

import (
	"reflect"
	"slices"
)

// ContextV2 is the URL that every credential and presentation names first (VCDM 2.0 section 4.3).
const ContextV2 = "https://www.w3.org/ns/credentials/v2"

// Namespace is the IRI prefix of the terms of this project. It is a name and no address: whoever
// reads a credential finds the definitions inside it.
const Namespace = "urn:ihyid:ns:"

// Kind says what the values of a term are.
type Kind int

// The kinds of terms.
const (
	Text     Kind = iota // a string
	IRI                  // the identifier of something: a DID, a URL, a URN
	DateTime             // a moment, 2026-01-31T12:00:00Z
	Class                // a value of `type`
	List                 // an array of strings whose order counts
	IRIList              // an array of identifiers whose order counts
	Object               // an object with terms of its own, or an array of them whose order does not count
	JSON                 // any JSON, signed as it stands
)

// Term is a name that a document uses, beside those of the standard context.
type Term struct {
	Name string
	Kind Kind
}

const (
	xsdString   = "http://www.w3.org/2001/XMLSchema#string"
	xsdDateTime = "http://www.w3.org/2001/XMLSchema#dateTime"
)

// Context builds the context object that defines terms, each as Namespace followed by its name. It
// goes into a document's @context after ContextV2. Terms are protected: no later context redefines them.
func Context(terms ...Term) map[string]any {
	c := map[string]any{"@protected": true}
	for _, t := range terms {
		d := map[string]any{"@id": Namespace + t.Name}
		switch t.Kind {
		case Text:
			d["@type"] = xsdString
		case IRI:
			d["@type"] = "@id"
		case DateTime:
			d["@type"] = xsdDateTime
		case List:
			d["@type"], d["@container"] = xsdString, "@list"
		case IRIList:
			d["@type"], d["@container"] = "@id", "@list"
		case JSON:
			d["@type"] = "@json"
		case Class, Object:
		}
		c[t.Name] = d
	}
	return c
}

// SameContexts reports whether a document's @context is exactly ContextV2 followed by extra, and no @context
// stands deeper in the document (its proofs and embedded credentials aside). Names then mean what the
// caller thinks they mean.
func SameContexts(document map[string]any, extra ...any) bool {
	have, ok := document["@context"].([]any)
	if !ok || !reflect.DeepEqual(have, slices.Concat([]any{ContextV2}, extra)) {
		return false
	}
	for key, v := range document {
		if key != "@context" && key != "proof" && key != "verifiableCredential" && holdsContext(v) {
			return false
		}
	}
	return true
}

func holdsContext(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, holdsContext)
	case map[string]any:
		if _, ok := v["@context"]; ok {
			return true
		}
		for _, e := range v {
			if holdsContext(e) {
				return true
			}
		}
	}
	return false
}
