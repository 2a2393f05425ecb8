package jsonld

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/piprate/json-gold/ld"

	"ihyid/credentials/ijson"
)

// active is a parsed @context value. Expansion does not change it.
type active struct {
	base *ld.Context

	mu    sync.Mutex
	typed map[string]*ld.Context // by types, see forTypes
}

// active gives the parsed form of an @context value, from the cache if it is there.
func (p *Processor) active(value any) (_ *active, err error) {
	key, err := ijson.Canonical(value)
	if err != nil {
		return nil, refuse("@context: %v", err)
	}
	p.mu.Lock()
	a, ok := p.parsed[string(key)]
	p.mu.Unlock()
	if ok {
		return a, nil
	}
	defer func() {
		if recover() != nil {
			err = refuse("@context: not a valid context")
		}
	}()
	base, err := ld.NewContext(nil, p.options).Parse(value)
	if err != nil {
		return nil, fmt.Errorf("@context: %w", expansionError(err))
	}
	a = &active{base: base, typed: map[string]*ld.Context{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.parsed) >= maxCached {
		for k := range p.parsed { // any one: this bounds memory, no more
			delete(p.parsed, k)
			break
		}
	}
	p.parsed[string(key)] = a
	return a, nil
}

// expand calls the expander. Documents are checked so that it should not panic; should it all the same,
// that is an error of the document and not the end of the process.
func (a *active) expand(body map[string]any, options *ld.JsonLdOptions, plain bool) (out any, err error) {
	defer func() {
		if recover() != nil {
			out, err = nil, refuse("the expansion failed")
		}
	}()
	context, applied := a.base, false
	if _, own := body["@context"]; !own && !plain {
		context, applied = a.forTypes(body["type"])
	}
	// A context with a previous one is reverted at the next object unless that stands "inside an
	// index", which has no other effect here.
	out, err = ld.NewJsonLdApi().Expand(context, "", body, options, applied, nil)
	if err != nil {
		return nil, expansionError(err)
	}
	return out, nil
}

// prepared are the types of the credentials context whose scoped contexts are worth preparing: the tops
// of documents have them, and parsing a scoped context takes longer than all the rest of an expansion.
var prepared = []string{"DataIntegrityProof", "VerifiableCredential", "VerifiablePresentation"}

// forTypes gives the context with those of the types applied in advance, and whether it did so. Only the
// types above have scoped contexts then; for any other the expander does all of it.
func (a *active) forTypes(value any) (*ld.Context, bool) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var scoped []string
	for _, v := range list {
		t, ok := v.(string)
		if !ok {
			return a.base, false
		}
		d := a.base.TermDefinitions[t]
		if d == nil || !d.HasContext {
			continue
		}
		if !d.Protected || !slices.Contains(prepared, t) {
			return a.base, false
		}
		scoped = append(scoped, t)
	}
	if len(scoped) == 0 {
		return a.base, false
	}
	slices.Sort(scoped) // the order in which the expander applies them
	scoped = slices.Compact(scoped)
	key := strings.Join(scoped, " ")
	a.mu.Lock()
	defer a.mu.Unlock()
	context, ok := a.typed[key]
	if !ok {
		context = a.apply(scoped)
		a.typed[key] = context // at most one for each set of the types above
	}
	if context == nil {
		return a.base, false
	}
	for _, v := range list { // types are terms of the context before those of the types
		if t, _ := v.(string); !slices.Contains(scoped, t) && a.base.TermDefinitions[t] != context.TermDefinitions[t] {
			return a.base, false
		}
	}
	return context, true
}

// apply applies the scoped contexts of types, as the expander would, and takes them away from the types so
// that it does not do it again. It gives nil where the expander had better see to it.
func (a *active) apply(types []string) *ld.Context {
	context := a.base
	for _, t := range types {
		scope, ok := a.base.TermDefinitions[t].Context.(map[string]any)
		if !ok {
			return nil
		}
		scope = maps.Clone(scope)
		scope["@propagate"] = false // what is inside of the object goes back to the context before
		next, err := context.Parse(scope)
		if err != nil {
			return nil
		}
		context = next
	}
	for _, t := range types {
		d := context.TermDefinitions[t]
		if d != a.base.TermDefinitions[t] {
			return nil
		}
		bare := *d
		bare.HasContext, bare.Context = false, nil
		context.TermDefinitions[t] = &bare
	}
	return context
}

func sameValue(a, b any) bool { return reflect.DeepEqual(a, b) }
