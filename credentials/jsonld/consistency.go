package jsonld

import (
	"strconv"
	"strings"

	"github.com/piprate/json-gold/ld"
)

// vocabulary is what the credentials context defines, its terms' scoped contexts included.
type vocabulary struct {
	terms map[string][]string // IRI → the terms that stand for it
	iris  map[string][]string // term → the IRIs it stands for in one scope or another
}

func newVocabulary(context any) *vocabulary {
	v := &vocabulary{terms: map[string][]string{}, iris: map[string][]string{}}
	v.collect(context)
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
		v.terms[iri] = append(v.terms[iri], term)
		v.iris[term] = append(v.iris[term], iri)
	}
}

// consistency checks that the JSON of a document and its expansion say the same. It is told of every
// node as it is expanded, and looks at the whole at the end.
type consistency struct {
	p      *Processor
	active *ld.Context
	input  map[string]any
	seen   *seen
	err    error
	ids    map[string]struct{} // IRIs that values with terms for identifiers may stand for
}

func (c *consistency) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// node is called with the JSON Pointer of an object and the node that it became.
func (c *consistency) node(pointer string, expanded any) {
	if c.err != nil {
		return
	}
	object := at(c.input, pointer)
	node, ok := expanded.(map[string]any)
	if object == nil || !ok {
		c.fail(refuse("the expansion is of something else than the document"))
		return
	}
	for key, value := range node {
		switch key {
		case "@id":
			if object["id"] != value {
				c.fail(refuse("an identifier is not written as id, or not in full"))
			}
		case "@type":
			if _, ok := object["type"]; !ok {
				c.fail(refuse("a type is not written as type"))
			}
		default:
			c.property(object, key)
		}
	}
	if pointer == "" {
		c.top(node)
	}
	for key := range object {
		if strings.Contains(key, ":") {
			c.long(key)
		}
	}
}

// property refuses another name for what the credentials context has a term for.
func (c *consistency) property(object map[string]any, iri string) {
	terms, ok := c.p.known.terms[iri]
	if !ok {
		return
	}
	for _, t := range terms {
		if _, ok := object[t]; ok {
			return
		}
	}
	c.fail(refuse("%s is not written with its own term", terms[0]))
}

// long refuses a key that is an IRI, full or shortened, where a term stands for the same.
func (c *consistency) long(key string) {
	if d, ok := c.active.TermDefinitions[key]; ok && d != nil {
		return
	}
	iri, err := c.active.ExpandIri(key, false, true, nil, nil)
	if err != nil {
		c.fail(refuse("a key is not an IRI"))
		return
	}
	for _, d := range c.active.TermDefinitions {
		if d != nil && d.ID == iri {
			c.fail(refuse("a key is an IRI for which there is a term"))
			return
		}
	}
}

// top makes sure that the keys which readers of credentials go by mean what those readers think.
func (c *consistency) top(node map[string]any) {
	for key := range c.input {
		iris, ok := c.p.known.iris[key]
		if !ok {
			continue
		}
		found := false
		for _, iri := range iris {
			_, has := node[iri]
			found = found || has
		}
		if !found {
			c.fail(refuse("%s does not mean here what the credentials context says", key))
		}
	}
}

// document looks at the whole expansion.
func (c *consistency) document(expanded map[string]any) error {
	if c.err != nil {
		return c.err
	}
	var got tally
	if err := c.count(expanded, &got); err != nil {
		return err
	}
	want := c.seen.tally
	if got.nulls != want.nulls {
		return refuse("a value is null, which RDF has no statement for")
	}
	if got.empties != want.empties {
		return refuse("a list is empty, which RDF has no statement for")
	}
	if got.scalars != want.scalars {
		return refuse("the contexts make something else of the document than it says: a value got lost or stands twice")
	}
	return nil
}

// count counts what came out of the document, and looks at identifiers.
func (c *consistency) count(v any, t *tally) error {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := c.count(e, t); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		if value, ok := v["@value"]; ok {
			if v["@type"] == "@json" {
				countJSON(value, t)
			} else {
				t.scalars++
			}
			return nil
		}
		for key, e := range v {
			switch key {
			case "@id":
				t.scalars++
				id, ok := e.(string)
				if !ok || !c.identifier(id) {
					return refuse("an identifier is not written in full")
				}
			case "@type":
				list, ok := e.([]any)
				if !ok {
					return refuse("a type is not a string")
				}
				t.scalars += len(list)
			case "@list":
				if list, ok := e.([]any); ok && len(list) == 0 {
					t.empties++ // an empty list in order is rdf:nil
				}
				if err := c.count(e, t); err != nil {
					return err
				}
			default:
				if err := c.count(e, t); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return refuse("the expansion holds a bare value")
}

func countJSON(v any, t *tally) {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			countJSON(e, t)
		}
	case []any:
		if len(v) == 0 {
			t.empties++
		}
		for _, e := range v {
			countJSON(e, t)
		}
	case nil:
		t.nulls++
	default:
		t.scalars++
	}
}

// identifier reports whether an IRI stands in the document as it is, or as a term for a
// value (such as a proof's purpose).
func (c *consistency) identifier(iri string) bool {
	if _, ok := c.seen.strings[iri]; ok {
		return true
	}
	if c.ids == nil {
		c.ids = map[string]struct{}{}
		for s := range c.seen.strings {
			if strings.Contains(s, ":") {
				continue // else it would be a shortened IRI
			}
			for _, known := range c.p.known.iris[s] {
				c.ids[known] = struct{}{}
			}
			if d := c.active.TermDefinitions[s]; d != nil {
				c.ids[d.ID] = struct{}{}
			}
			if vocab := c.active.Values.Vocab; vocab != nil {
				c.ids[*vocab+s] = struct{}{}
			}
		}
	}
	_, ok := c.ids[iri]
	return ok
}

// at follows a JSON Pointer (RFC 6901) to an object.
func at(v any, pointer string) map[string]any {
	for pointer != "" {
		token, rest, more := strings.Cut(pointer[1:], "/")
		pointer = ""
		if more {
			pointer = "/" + rest
		}
		if strings.Contains(token, "~") {
			token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		}
		switch x := v.(type) {
		case map[string]any:
			v = x[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	m, _ := v.(map[string]any)
	return m
}
