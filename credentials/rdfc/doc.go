// Package rdfc brings RDF datasets into the canonical form of RDF Dataset Canonicalization (RDFC-1.0).
//
// Nouns: a Quad is four Terms; Canonicalize turns a list of quads into canonical N-Quads. It is strict
// (a quad that N-Quads cannot state is an error; none is skipped), bounded (the work that blank nodes can
// cause grows beyond all measure in crafted datasets, so it has a limit) and cancellable.
//
// Standards: RDFC-1.0 section 4 (the algorithm, with SHA-256 or SHA-384), section 7.1 (poison
// datasets) and appendix A (canonical N-Quads).
package rdfc
