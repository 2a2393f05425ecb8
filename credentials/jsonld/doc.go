// Package jsonld turns JSON-LD credentials and presentations into RDF quads, strictly.
//
// A proof over RDF signs quads, while people and programs read the JSON. This package therefore accepts a
// document only if both say the same:
//
//   - Nothing is skipped. Every term, type and identifier has to become an absolute IRI; every scalar of
//     the document has to be found again in the quads; null, an empty list and whatever else RDF has no
//     statement for are errors.
//   - Nothing is reached by another name. What the credentials context defines is written with the terms of
//     that context, never as a full or shortened IRI or through a second term; identifiers are written out;
//     a protected term is never redefined. Contexts are not part of what is signed, so whoever adds one
//     could else rename `validUntil` without breaking a signature.
//   - Nothing is fetched. Contexts come from a fixed map; an unknown address is an error.
//   - Nothing runs away: objects, contexts and their sizes are limited.
//
// Expansion itself (JSON-LD 1.1 Processing Algorithms section 5.1) is done by github.com/piprate/json-gold in
// its safe mode; the checks before and after it, and the step to quads (section 8.2, with @direction
// as i18n datatypes), are this package's own. The embedded credentials of a presentation are expanded each
// by itself, as their null context demands, and become graphs of their own.
//
// Not understood, and refused: @reverse, @included, @nest, @index, @base, @import, @propagate, null contexts,
// and containers by index, id or type.
package jsonld
