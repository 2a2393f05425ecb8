package jsonld

import (
	"slices"
	"strings"

	"github.com/piprate/json-gold/ld"

	"ihyid/credentials/rdfc"
)

// expander expands objects (JSON-LD 1.1 Processing Algorithms section 5.1) and holds them to the rule of this package as it goes: it alone knows, at every member, what
// its name stands for.
type expander struct {
	names *names
}

// expand gives the expanded form of an object under a scope.
func (e *expander) expand(s *scope, object map[string]any) (out map[string]any, err error) {
	defer func() {
		if recover() != nil { // in the library's IRI expansion: an error of the document and not the end of the process
			out, err = nil, refuse("the expansion failed")
		}
	}()
	return e.node(s, object, nil, true)
}

// node expands a node object that is a value of the property with definition d.
func (e *expander) node(s *scope, object map[string]any, d *ld.TermDefinition, top bool) (map[string]any, error) {
	_, bare := object["id"]
	if s.prev != nil && (len(object) != 1 || !bare) {
		s = s.prev // a type's context does not reach into nested objects
	}
	var err error
	if d != nil && d.HasContext {
		if s, err = s.child(d, true); err != nil {
			return nil, err
		}
	}
	if own, ok := object["@context"]; ok {
		if s, err = s.local(own); err != nil {
			return nil, err
		}
	}
	out := make(map[string]any, len(object))
	model := top
	alias, _, _ := s.vocab("type")
	if value, ok := object["type"]; ok && alias == "@type" {
		var types []any
		if s, types, err = e.types(s, value); err != nil {
			return nil, err
		}
		out["@type"] = types
		for _, t := range types {
			_, known := e.names.terms[t.(string)]
			model = model || known && core(t.(string))
		}
	}
	for key, value := range object {
		if key == "@context" {
			continue
		}
		if key == "" || key[0] == '@' {
			return nil, refuse("a key that begins with @ is not known here")
		}
		iri, d, err := s.vocab(key)
		if err != nil {
			return nil, err
		}
		switch {
		case iri == "@id":
			id, ok := value.(string)
			if key != "id" || !ok {
				return nil, refuse("an identifier is not written as id, or is not a string")
			}
			if err := s.identifier(id); err != nil {
				return nil, err
			}
			out["@id"] = id
			continue
		case iri == "@type":
			if key != "type" {
				return nil, refuse("a type is not written as type")
			}
			continue
		case strings.IndexByte(iri, ':') <= 0:
			return nil, refuse("a property is not defined by the contexts")
		}
		if err := e.names.check(key, iri, model); err != nil {
			return nil, err
		}
		if d == nil && s.hasTerm(iri) {
			return nil, refuse("a key is an IRI for which there is a term")
		}
		if _, twice := out[iri]; twice {
			return nil, refuse("two members of an object stand for the same property")
		}
		if out[iri], err = e.property(s, d, value, model); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// types expands the value of `type` and applies the contexts that the types bring.
func (e *expander) types(s *scope, value any) (*scope, []any, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) == 0 {
		return nil, nil, refuse("a list is empty, which RDF has no statement for")
	}
	out := make([]any, 0, len(list))
	sorted := make([]string, 0, len(list))
	for _, v := range list {
		t, ok := v.(string)
		if !ok {
			return nil, nil, refuse("a type is not a string")
		}
		iri, d, err := s.vocab(t)
		if err != nil {
			return nil, nil, err
		}
		if strings.IndexByte(iri, ':') <= 0 {
			return nil, nil, refuse("a type is not defined by the contexts")
		}
		if err := e.names.check(t, iri, true); err != nil {
			return nil, nil, err
		}
		if d == nil && s.hasTerm(iri) {
			return nil, nil, refuse("a type is an IRI for which there is a term")
		}
		for i, have := range out {
			if have == iri && sorted[i] != t {
				return nil, nil, refuse("two names of a type stand for the same")
			}
		}
		out = append(out, iri)
		sorted = append(sorted, t)
	}
	slices.Sort(sorted) // the order in which their contexts are applied
	typed := s
	for _, t := range slices.Compact(sorted) {
		if d := typed.context.TermDefinitions[t]; d != nil && d.HasContext {
			var err error
			if s, err = s.child(d, false); err != nil {
				return nil, nil, err
			}
		}
	}
	return s, out, nil
}

// identifier checks that an identifier is written out: neither relative nor shortened. A blank node may have a label of the document's own.
func (s *scope) identifier(id string) error {
	if prefix, rest, ok := strings.Cut(id, ":"); ok && prefix != "_" && !strings.HasPrefix(rest, "//") {
		if d := s.context.TermDefinitions[prefix]; d != nil && d.Prefix != nil && *d.Prefix {
			return refuse("an identifier is not written in full")
		}
	}
	if strings.HasPrefix(id, "_:") && len(id) > 2 {
		return nil
	}
	if rdfc.CheckIRI(id) != nil {
		return refuse("an identifier is not an absolute IRI")
	}
	return nil
}

// property expands the value of a member; d is nil where its name is no term.
func (e *expander) property(s *scope, d *ld.TermDefinition, value any, model bool) ([]any, error) {
	var list, graph, language bool
	if d != nil {
		if d.Type == "@json" {
			return []any{map[string]any{"@value": value, "@type": "@json"}}, nil
		}
		for _, c := range d.Container {
			switch c {
			case "@list":
				list = true
			case "@graph":
				graph = true
			case "@language":
				language = true
			case "@set":
			default:
				return nil, refuse("a container of this kind")
			}
		}
	}
	m, isObject := value.(map[string]any)
	switch {
	case list && graph || language && (list || graph):
		return nil, refuse("a container of this kind")
	case language && isObject:
		return s.languages(d, m)
	case list:
		if _, ok := m["@list"]; ok {
			return nil, refuse("a list in order is not written as an array")
		}
		items, err := e.items(s, d, value, model)
		if err != nil {
			return nil, err
		}
		return []any{map[string]any{"@list": items}}, nil
	}
	values, ok := value.([]any)
	if !ok {
		values = []any{value}
	}
	if len(values) == 0 {
		return nil, refuse("a list is empty, which RDF has no statement for")
	}
	out := make([]any, 0, len(values))
	for _, v := range values {
		x, err := e.value(s, d, v, model)
		if err != nil {
			return nil, err
		}
		if graph {
			x = map[string]any{"@graph": []any{x}}
		}
		out = append(out, x)
	}
	return out, nil
}

// items expands the members of a list in order; lists may hold lists.
func (e *expander) items(s *scope, d *ld.TermDefinition, value any, model bool) ([]any, error) {
	values, ok := value.([]any)
	if !ok {
		values = []any{value}
	}
	out := make([]any, 0, len(values))
	for _, v := range values {
		var x any
		var err error
		if inner, ok := v.([]any); ok {
			var items []any
			items, err = e.items(s, d, inner, model)
			x = map[string]any{"@list": items}
		} else {
			x, err = e.value(s, d, v, model)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// value expands one value: a node, a value object, a list object or a scalar.
func (e *expander) value(s *scope, d *ld.TermDefinition, v any, model bool) (map[string]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, refuse("a value is null, which RDF has no statement for")
	case []any:
		return nil, refuse("a list within a list, whose bounds RDF does not keep")
	case map[string]any:
		if _, ok := v["@value"]; ok {
			return s.valueObject(d, v)
		}
		if items, ok := v["@list"]; ok {
			if len(v) != 1 {
				return nil, refuse("a list object has other members")
			}
			list, err := e.items(s, d, items, model)
			return map[string]any{"@list": list}, err
		}
		if _, ok := v["@set"]; ok {
			return nil, refuse("@set, which says no more than an array")
		}
		return e.node(s, v, d, false)
	}
	return e.scalar(s, d, v, model)
}

func (e *expander) scalar(s *scope, d *ld.TermDefinition, v any, model bool) (map[string]any, error) {
	if d != nil && d.HasContext {
		var err error
		if s, err = s.child(d, true); err != nil {
			return nil, err
		}
	}
	text, isString := v.(string)
	if d != nil && isString {
		switch d.Type {
		case "@id":
			return map[string]any{"@id": text}, s.identifier(text)
		case "@vocab":
			iri, term, err := s.vocab(text)
			if err != nil {
				return nil, err
			}
			if term == nil {
				if s.hasTerm(iri) {
					return nil, refuse("a value is an IRI for which there is a term")
				}
				if strings.Contains(text, ":") && iri != text {
					return nil, refuse("an identifier is not written in full")
				}
			}
			if rdfc.CheckIRI(iri) != nil {
				return nil, refuse("a value is not defined by the contexts")
			}
			return map[string]any{"@id": iri}, e.names.check(text, iri, model)
		}
	}
	out := map[string]any{"@value": v}
	if d != nil && d.Type != "" && d.Type[0] != '@' {
		out["@type"] = d.Type
		return out, nil
	}
	if isString {
		values := s.context.Values
		switch {
		case d != nil && d.HasLanguage:
			if d.Language != nil {
				out["@language"] = *d.Language
			}
		case values.HasLanguage:
			out["@language"] = values.Language
		}
		s.direct(d, out)
	}
	return out, nil
}

// direct adds the direction that a term or the context gives to a string.
func (s *scope) direct(d *ld.TermDefinition, out map[string]any) {
	switch {
	case d != nil && d.HasDirection:
		if d.Direction != nil {
			out["@direction"] = *d.Direction
		}
	case s.context.Values.Direction != "":
		out["@direction"] = s.context.Values.Direction
	}
}

// valueObject expands the datatype of a value object; what else is in it stands as it is, and the step to quads checks it.
func (s *scope) valueObject(d *ld.TermDefinition, v map[string]any) (map[string]any, error) {
	if d != nil && d.HasContext {
		var err error
		if s, err = s.child(d, true); err != nil {
			return nil, err
		}
	}
	out := make(map[string]any, len(v))
	for k, e := range v {
		switch k {
		case "@value", "@language", "@direction":
			out[k] = e
		case "@type":
			t, ok := e.(string)
			if !ok {
				return nil, refuse("a datatype is not a string")
			}
			if t != "@json" {
				iri, _, err := s.vocab(t)
				if err != nil {
					return nil, err
				}
				if d != nil && d.Type == iri {
					return nil, refuse("a value repeats the datatype of its term")
				}
				t = iri
			}
			out[k] = t
		default:
			return nil, refuse("a value object has other members")
		}
	}
	if out["@value"] == nil && out["@type"] != "@json" {
		return nil, refuse("a value is null, which RDF has no statement for")
	}
	return out, nil
}

// languages expands a language map (section 5.1.2 step 13.7).
func (s *scope) languages(d *ld.TermDefinition, m map[string]any) ([]any, error) {
	if len(m) == 0 {
		return nil, refuse("a language map is empty")
	}
	var out []any
	for tag, v := range m {
		values, ok := v.([]any)
		if !ok {
			values = []any{v}
		}
		if len(values) == 0 {
			return nil, refuse("a list is empty, which RDF has no statement for")
		}
		if strings.HasPrefix(tag, "@") {
			return nil, refuse("a key that begins with @ is not known here")
		}
		for _, e := range values {
			if _, ok := e.(string); !ok {
				return nil, refuse("a language map holds something else than strings")
			}
			x := map[string]any{"@value": e, "@language": tag}
			s.direct(d, x)
			out = append(out, x)
		}
	}
	return out, nil
}
