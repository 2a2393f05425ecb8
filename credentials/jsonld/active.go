package jsonld

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/piprate/json-gold/ld"

	"ihyid/credentials/ijson"
)

// active is a parsed @context value with the contexts that its terms and types bring along. Expansion does not
// change what a document says, only what is remembered here.
type active struct {
	base *scope

	mu     sync.Mutex
	scoped map[scopeKey]*scope
}

// scope is the context that holds at some place of a document.
type scope struct {
	of      *active
	context *ld.Context
	prev    *scope // the context to go back to in nested objects; nil unless a type brought this one

	once sync.Once
	iris map[string]struct{} // for which there are terms
}

// scopeKey names a scope by what it was made from: the same scoped context over the same context is the same.
type scopeKey struct {
	on        *scope
	by        *ld.TermDefinition
	propagate bool
}

// maxScopes is how many scopes of one @context value are kept; the credentials context alone has eleven.
const maxScopes = 64

// active gives the parsed form of an @context value, from the cache if it is there.
func (p *Processor) active(value any) (*active, error) {
	canonical, err := ijson.Canonical(value)
	if err != nil {
		return nil, refuse("@context: %v", err)
	}
	key := string(canonical)
	p.mu.Lock()
	a, ok := p.parsed[key]
	p.mu.Unlock()
	if ok {
		return a, nil
	}
	base, err := parseOn(ld.NewContext(nil, p.options), value)
	if err != nil {
		return nil, fmt.Errorf("@context: %w", err)
	}
	a = &active{scoped: map[scopeKey]*scope{}}
	a.base = &scope{of: a, context: base}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.parsed) >= maxCached {
		for k := range p.parsed { // any one: this bounds memory, no more
			delete(p.parsed, k)
			break
		}
	}
	p.parsed[key] = a
	return a, nil
}

// parseOn processes a context over another (JSON-LD 1.1 Processing Algorithms section 4.1). A protected term stays what it is, also where the
// specification would let a property's context override it, save for the data model's own (see unprotected).
func parseOn(on *ld.Context, value any) (next *ld.Context, err error) {
	defer func() { // contexts are checked so that the library should not panic; should it all the same, that is an error of the document
		if recover() != nil {
			next, err = nil, refuse("not a valid context")
		}
	}()
	for _, v := range asList(value) { // one by one: the library takes the same address twice in a list for a circle
		if on, err = on.Parse(v); err != nil {
			return nil, expansionError(err)
		}
	}
	return on, nil
}

// local applies a context that stands in the document.
func (s *scope) local(value any) (*scope, error) {
	next, err := parseOn(s.context, value)
	if err != nil {
		return nil, fmt.Errorf("@context: %w", err)
	}
	return &scope{of: s.of, context: next, prev: s.prev}, nil
}

// child applies the context that the definition of a term brings: for what the property holds and all within (propagate), or for
// the object of that type alone.
func (s *scope) child(d *ld.TermDefinition, propagate bool) (*scope, error) {
	key := scopeKey{s, d, propagate}
	s.of.mu.Lock()
	next, ok := s.of.scoped[key]
	s.of.mu.Unlock()
	if ok {
		return next, nil
	}
	on := s.context
	if propagate && d.Protected && core(d.ID) {
		on = unprotected(on, d.Context)
	}
	context, err := parseOn(on, d.Context)
	if err != nil {
		return nil, err
	}
	next = &scope{of: s.of, context: context, prev: s.prev}
	if !propagate && next.prev == nil {
		next.prev = s
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if len(s.of.scoped) < maxScopes {
		s.of.scoped[key] = next
	}
	return next, nil
}

// unprotected is a context without the protection of the terms that another is about to define. Only for the properties of the data model itself: the values of
// proofPurpose mean what its context says, though a document may have a term of its own called keyAgreement.
func unprotected(on *ld.Context, by any) *ld.Context {
	terms, ok := by.(map[string]any)
	if !ok {
		return on
	}
	out := ld.CopyContext(on)
	for t := range terms {
		if d := out.TermDefinitions[t]; d != nil && d.Protected {
			bare := *d
			bare.Protected = false
			out.TermDefinitions[t] = &bare
			delete(out.Protected, t)
		}
	}
	return out
}

// vocab gives what a name stands for as a property or type, and its definition if it is a term.
func (s *scope) vocab(name string) (string, *ld.TermDefinition, error) {
	if d, ok := s.context.TermDefinitions[name]; ok {
		if d == nil {
			return "", nil, refuse("a property is not defined by the contexts")
		}
		return d.ID, d, nil
	}
	iri, err := s.context.ExpandIri(name, false, true, nil, nil)
	if err != nil {
		return "", nil, expansionError(err)
	}
	return iri, nil, nil
}

// hasTerm reports whether a term stands for an IRI.
func (s *scope) hasTerm(iri string) bool {
	s.once.Do(func() {
		s.iris = make(map[string]struct{}, len(s.context.TermDefinitions))
		for _, d := range s.context.TermDefinitions {
			if d != nil {
				s.iris[d.ID] = struct{}{}
			}
		}
	})
	_, ok := s.iris[iri]
	return ok
}

func sameValue(a, b any) bool { return reflect.DeepEqual(a, b) }
