package jsonld

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"ihyid/credentials/ijson"
	"ihyid/credentials/rdfc"
)

const (
	rdf  = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
	xsd  = "http://www.w3.org/2001/XMLSchema#"
	i18n = "https://www.w3.org/ns/i18n#"

	rdfType  = rdf + "type"
	rdfFirst = rdf + "first"
	rdfRest  = rdf + "rest"
	rdfNil   = rdf + "nil"
	rdfJSON  = rdf + "JSON"
)

// builder collects the quads of a document.
type builder struct {
	p     *Processor
	quads []rdfc.Quad
	next  int
}

func (b *builder) add(s rdfc.Term, predicate string, o, g rdfc.Term) {
	b.quads = append(b.quads, rdfc.Quad{Subject: s, Predicate: rdfc.Term{Kind: rdfc.IRI, Value: predicate}, Object: o, Graph: g})
}

// fresh makes a blank node. Its label cannot be one of the document's, which begin with u.
func (b *builder) fresh() rdfc.Term {
	b.next++
	return rdfc.Term{Kind: rdfc.Blank, Value: "g" + strconv.Itoa(b.next)}
}

// document states the top node of an expanded document in a graph.
func (b *builder) document(node map[string]any, graph rdfc.Term) (rdfc.Term, error) {
	start := len(b.quads)
	subject, err := b.node(node, graph)
	if err != nil {
		return rdfc.Term{}, err
	}
	if len(b.quads) == start {
		return rdfc.Term{}, refuse("the document states nothing")
	}
	return subject, checkPlaces(node)
}

// node states a node object and gives the term that stands for it.
func (b *builder) node(n map[string]any, graph rdfc.Term) (rdfc.Term, error) {
	var subject rdfc.Term
	switch id := n["@id"].(type) {
	case nil:
		subject = b.fresh()
	case string:
		if label, ok := strings.CutPrefix(id, "_:"); ok && label != "" {
			subject = rdfc.Term{Kind: rdfc.Blank, Value: "u" + label}
		} else {
			if err := rdfc.CheckIRI(id); err != nil {
				return subject, refuse("an identifier is not an absolute IRI")
			}
			subject = rdfc.Term{Kind: rdfc.IRI, Value: id}
		}
	default:
		return subject, refuse("an identifier is not a string")
	}
	for key, value := range n {
		list, ok := value.([]any)
		if key != "@id" && !ok {
			return subject, refuse("the expansion holds a bare value")
		}
		var err error
		switch {
		case key == "@id":
		case key == "@type":
			err = b.types(subject, list, graph)
		case key == "@graph":
			err = b.graph(subject, list)
		case strings.HasPrefix(key, "@"):
			err = refuse("%s is not understood here", printable(key))
		default:
			err = b.property(subject, key, list, graph)
		}
		if err != nil {
			return subject, err
		}
	}
	return subject, nil
}

func (b *builder) types(subject rdfc.Term, list []any, graph rdfc.Term) error {
	for _, t := range list {
		s, ok := t.(string)
		if !ok || rdfc.CheckIRI(s) != nil {
			return refuse("a type is not defined by the contexts")
		}
		b.add(subject, rdfType, rdfc.Term{Kind: rdfc.IRI, Value: s}, graph)
	}
	return nil
}

func (b *builder) property(subject rdfc.Term, iri string, list []any, graph rdfc.Term) error {
	if rdfc.CheckIRI(iri) != nil {
		return refuse("a property is not an absolute IRI")
	}
	for _, v := range list {
		o, err := b.object(v, graph)
		if err != nil {
			return err
		}
		b.add(subject, iri, o, graph)
	}
	return nil
}

// graph states the contents of a named graph. What says nothing there would go unsigned.
func (b *builder) graph(name rdfc.Term, list []any) error {
	for _, v := range list {
		n, ok := v.(map[string]any)
		if _, isValue := n["@value"]; !ok || isValue || n["@list"] != nil {
			return refuse("a graph holds a bare value")
		}
		start := len(b.quads)
		if _, err := b.node(n, name); err != nil {
			return err
		}
		if len(b.quads) == start {
			return refuse("a graph holds a node of which it says nothing")
		}
	}
	return nil
}

// object gives the term for a value, a list or a node.
func (b *builder) object(v any, graph rdfc.Term) (rdfc.Term, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return rdfc.Term{}, refuse("the expansion holds a bare value")
	}
	if value, ok := m["@value"]; ok {
		return literal(m, value)
	}
	if list, ok := m["@list"]; ok {
		items, ok := list.([]any)
		if !ok || len(m) != 1 {
			return rdfc.Term{}, refuse("a list is not one")
		}
		return b.list(items, graph)
	}
	return b.node(m, graph)
}

// list states an RDF collection.
func (b *builder) list(items []any, graph rdfc.Term) (rdfc.Term, error) {
	rest := rdfc.Term{Kind: rdfc.IRI, Value: rdfNil}
	for _, v := range slices.Backward(items) {
		o, err := b.object(v, graph)
		if err != nil {
			return rdfc.Term{}, err
		}
		cell := b.fresh()
		b.add(cell, rdfFirst, o, graph)
		b.add(cell, rdfRest, rest, graph)
		rest = cell
	}
	return rest, nil
}

// literal converts a value object (JSON-LD 1.1 Processing Algorithms section 8.2.2).
func literal(m map[string]any, value any) (rdfc.Term, error) {
	t := rdfc.Term{Kind: rdfc.Literal}
	for key := range m {
		switch key {
		case "@value", "@type", "@language", "@direction":
		default:
			return t, refuse("%s is not understood here", printable(key))
		}
	}
	datatype, typed := m["@type"].(string)
	if _, ok := m["@type"]; ok && !typed {
		return t, refuse("a datatype is not a string")
	}
	if datatype == "@json" {
		c, err := ijson.Canonical(value)
		if err != nil {
			return t, refuse("a JSON literal: %v", err)
		}
		t.Value, t.Datatype = string(c), rdfJSON
		return t, nil
	}
	if typed && rdfc.CheckIRI(datatype) != nil {
		return t, refuse("a datatype is not an absolute IRI")
	}
	_, tagged := m["@language"]
	_, directed := m["@direction"]
	if _, isString := value.(string); (tagged || directed) && (!isString || typed) {
		return t, refuse("only plain strings have a language or a direction")
	}
	switch v := value.(type) {
	case bool:
		t.Value, t.Datatype = strconv.FormatBool(v), xsd+"boolean"
	case float64:
		var err error
		if t.Value, t.Datatype, err = number(v, datatype == xsd+"double"); err != nil {
			return t, err
		}
	case string:
		t.Value = v
		language, direction := "", ""
		if tagged {
			language, _ = m["@language"].(string)
			language = strings.ToLower(language)
			if rdfc.CheckLanguage(language) != nil {
				return t, refuse("a language tag is not well-formed")
			}
		}
		if directed {
			direction, _ = m["@direction"].(string)
			if direction != "ltr" && direction != "rtl" {
				return t, refuse("a direction is neither ltr nor rtl")
			}
			t.Datatype = i18n + language + "_" + direction
		} else {
			t.Language = language
		}
	default:
		return t, refuse("a value is not a scalar")
	}
	if typed {
		t.Datatype = datatype
	}
	return t, nil
}

// number gives the canonical lexical form and the datatype of a number: an integer below 10^21 as
// such, all others as a double with sixteen digits, which does not keep every number (see KeepsNumbers).
func number(v float64, double bool) (lexical, datatype string, err error) {
	if !double && v == math.Trunc(v) && math.Abs(v) < 1e21 {
		return strconv.FormatFloat(v, 'f', 0, 64), xsd + "integer", nil
	}
	s := strconv.FormatFloat(v, 'E', 15, 64)
	mantissa, exponent, _ := strings.Cut(s, "E")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	fraction = strings.TrimRight(fraction, "0")
	if fraction == "" {
		fraction = "0"
	}
	e, err := strconv.Atoi(exponent)
	if err != nil {
		return "", "", refuse("a number is not finite")
	}
	return whole + "." + fraction + "E" + strconv.Itoa(e), xsd + "double", nil
}

// KeepsNumbers reports an error if a document holds a number with more digits than RDF keeps: no two
// numbers of up to fifteen digits look alike there, those of more may. Others' documents with such numbers
// are accepted, since every implementation rounds them alike; to sign one would be to sign another number.
func KeepsNumbers(v any) error {
	switch v := v.(type) {
	case float64:
		shortest := strconv.FormatFloat(math.Abs(v), 'E', -1, 64)
		mantissa, _, _ := strings.Cut(shortest, "E")
		if v != math.Trunc(v) && len(strings.Replace(mantissa, ".", "", 1)) > 15 {
			return refuse("a number has more digits than RDF keeps; write it as a string")
		}
	case []any:
		for _, e := range v {
			if err := KeepsNumbers(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := KeepsNumbers(e); err != nil {
				return err
			}
		}
	}
	return nil
}
