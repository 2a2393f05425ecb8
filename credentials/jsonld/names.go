package jsonld

import (
	"slices"
	"strings"
)

// vocabulary is what contexts define, their terms' scoped contexts included.
type vocabulary struct {
	terms map[string][]string // IRI → the terms that stand for it
	iris  map[string][]string // term → the IRIs it stands for in one scope or another
}

func newVocabulary(contexts ...any) *vocabulary {
	v := &vocabulary{terms: map[string][]string{}, iris: map[string][]string{}}
	for _, c := range contexts {
		v.collect(c)
	}
	return v
}

func (v *vocabulary) collect(context any) {
	m, _ := context.(map[string]any)
	for term, d := range m {
		var iri string
		switch d := d.(type) {
		case string:
			iri = d
		case map[string]any:
			iri, _ = d["@id"].(string)
			v.collect(d["@context"])
		}
		if strings.HasPrefix(term, "@") || strings.HasPrefix(iri, "@") || iri == "" {
			continue
		}
		if prefix, rest, ok := strings.Cut(iri, ":"); ok { // version 1 has shortened IRIs
			if long, ok := m[prefix].(string); ok {
				iri = long + rest
			}
		}
		if !slices.Contains(v.terms[iri], term) {
			v.terms[iri] = append(v.terms[iri], term)
		}
		if !slices.Contains(v.iris[term], iri) {
			v.iris[term] = append(v.iris[term], iri)
		}
	}
}

// names holds documents of one version of the data model to the names of that version.
type names struct {
	terms map[string][]string // of both versions: what one knows cannot be hidden in a document of the other
	iris  map[string][]string
}

// bothNames makes the rules for documents of version 1.1 (true) and 2.0 (false) out of the contexts of both.
func bothNames(v1, v2 any) map[bool]*names {
	both := newVocabulary(v1, v2)
	own := map[bool]map[string][]string{true: newVocabulary(v1, v2).iris, false: newVocabulary(v2).iris}
	delete(own[true], "name") // not terms of version 1.1, whose documents often define them
	delete(own[true], "description")
	return map[bool]*names{true: {both.terms, own[true]}, false: {both.terms, own[false]}}
}

// core tells the IRIs that are the data model's own, wherever they stand. Others of the credentials contexts (of schema.org and Dublin Core) have
// other names in other contexts, and a reader of credentials goes by them only in objects of the data model.
func core(iri string) bool {
	return strings.HasPrefix(iri, "https://www.w3.org/2018/credentials#") || strings.HasPrefix(iri, "https://www.w3.org/ns/credentials/") ||
		strings.HasPrefix(iri, "https://w3id.org/security#")
}

// check holds a name and what it stands for against the credentials contexts: what they define is written with their term, and in the objects of the data
// model (model) their terms stand for nothing else.
func (n *names) check(name, iri string, model bool) error {
	if terms, ok := n.terms[iri]; ok && (model || core(iri)) && !slices.Contains(terms, name) {
		return refuse("%s is not written with its own term", terms[0])
	}
	if iris, ok := n.iris[name]; ok && model && !slices.Contains(iris, iri) {
		return refuse("%s does not mean here what the credentials context says", name)
	}
	return nil
}

// places are the IRIs of the properties whose values a reader of credentials takes for all there is to know of them.
var places = []string{"https://www.w3.org/2018/credentials#credentialSubject", "https://www.w3.org/2018/credentials#credentialStatus"}

// checkPlaces makes sure that what a document says of itself, of its subjects and of its status stands where the data model has it. Statements do not say where they
// stood, so whoever carries a credential could else move them: leave the subject bare, and say the rest at another mention of its identifier.
func checkPlaces(top map[string]any) error {
	own := map[string]int{} // identifier → objects that say something of it
	if id, ok := top["@id"].(string); ok {
		own[id] = 0
	}
	for _, place := range places {
		list, _ := top[place].([]any)
		for _, v := range list {
			n, _ := v.(map[string]any)
			id, ok := n["@id"].(string)
			if !ok {
				continue
			}
			if have, twice := own[id]; twice && (have > 0 || id == top["@id"]) && len(n) > 1 {
				return refuse("two objects say something of one subject or status")
			}
			if _, ok := own[id]; !ok {
				own[id] = 0
			}
			if len(n) > 1 {
				own[id] = 1
			}
		}
	}
	if len(own) == 0 {
		return nil
	}
	for key, v := range top {
		list, _ := v.([]any)
		for _, e := range list {
			n, _ := e.(map[string]any)
			if n == nil {
				continue
			}
			if slices.Contains(places, key) { // the object itself is where it belongs
				for k, inner := range n {
					if k != "@id" && speaks(inner, own) {
						return refuse("the document says something of itself, its subject or its status in another place")
					}
				}
			} else if speaks(n, own) {
				return refuse("the document says something of itself, its subject or its status in another place")
			}
		}
	}
	return nil
}

// speaks reports whether an object that says something of one of the identifiers stands somewhere in v.
func speaks(v any, own map[string]int) bool {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if speaks(e, own) {
				return true
			}
		}
	case map[string]any:
		if _, ok := v["@value"]; ok {
			return false
		}
		if id, ok := v["@id"].(string); ok && len(v) > 1 {
			if _, ok := own[id]; ok {
				return true
			}
		}
		for key, e := range v {
			if key != "@id" && speaks(e, own) {
				return true
			}
		}
	}
	return false
}
