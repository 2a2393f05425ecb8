// Package jsonld turns JSON-LD credentials and presentations into RDF quads, strictly.
//
// A proof over RDF signs quads. It signs neither the contexts nor the JSON, while people and programs read the
// JSON. Whoever carries a credential could therefore change both, so long as the quads stay the same: give a member
// another name, move it, wrap it, or put something beside it that states nothing. This package closes that gap, in
// one place: it accepts a document only if its JSON is the one way to say what its quads say.
//
//   - One name. A member stands for one property and a property for one member of an object. Identifiers and types are
//     written `id` and `type`, identifiers in full, and where a term stands for an IRI it is written with the term. What the
//     contexts of the data model (2.0 and 1.1) define is written with their terms everywhere, and in the objects of
//     the data model their terms stand for nothing else. A protected term is never redefined, not even by the context of
//     a property.
//   - One place. What is said of the document, of a subject or of a status entry stands in that object, and nowhere else
//     where its identifier occurs.
//   - One form. null, an empty list, a list within a set, @set, a datatype that repeats its term's, and every keyword but those
//     of values and lists are errors: they would state nothing, or the same as another form.
//   - Nothing is skipped. Every term, type and identifier has to become an absolute IRI.
//   - Nothing is fetched. Contexts come from a fixed map; an unknown address is an error.
//   - Nothing runs away: objects, contexts and their sizes are limited.
//
// What is left open, and what a reader must allow for: the names of terms that no protected context defines (compare the
// @context), the order and repetition of an array that is not a list in order, one value and an array of one,
// an identifier and an object that has nothing but it, the case of language tags, and a number or
// boolean and its text under a term of that datatype.
//
// Contexts are parsed by github.com/piprate/json-gold (JSON-LD 1.1 Processing Algorithms section 4) in its safe mode. Expansion
// (section 5.1) and the step to quads (section 8.2, with @direction as i18n datatypes) are this package's own, since only
// the expansion knows what each member stands for; the tests hold it against json-gold's. The embedded credentials of a
// presentation are expanded each by itself, as their null context demands, and become graphs of their own.
//
// Not understood, and refused: @reverse, @included, @nest, @index, @base, @import, @propagate, null contexts,
// and containers by index, id or type.
package jsonld
