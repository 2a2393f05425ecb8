package jsonld

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/piprate/json-gold/ld"

	"ihyid/credentials/contexts"
	"ihyid/credentials/ijson"
	"ihyid/credentials/rdfc"
)

// The limits of one document; an embedded credential counts as one of its own.
const (
	DefaultMaxObjects       = 1024 // objects, @context left out
	DefaultMaxScalars       = 20_000
	DefaultMaxContexts      = 16   // places where @context stands
	DefaultMaxContextValues = 2000 // keys and values in all of them
)

// maxCached is how many parsed contexts are kept.
const maxCached = 128

var (
	// ErrDocument is wrapped by every error that says a document cannot be stated in RDF, or is not
	// accepted as JSON-LD here.
	ErrDocument = errors.New("not acceptable as JSON-LD")
	// ErrUnknownContext says that a document names a context that is not embedded or configured.
	ErrUnknownContext = errors.New("the context is not known here, and contexts are never fetched")
)

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDocument, fmt.Sprintf(format, args...))
}

// Options of New. Zero limits have defaults.
type Options struct {
	Contexts         map[string][]byte // context documents beside the embedded ones, by address
	MaxObjects       int
	MaxScalars       int
	MaxContexts      int
	MaxContextValues int
}

// Processor turns documents into quads. It may be used concurrently.
type Processor struct {
	limits  Options
	remote  loader
	names   map[bool]*names // by whether a document is of version 1.1
	options *ld.JsonLdOptions

	mu     sync.Mutex
	parsed map[string]*active // by canonical JSON of the @context value
	shapes map[shape]struct{} // of documents whose terms are all defined, see Defined
}

// New makes a processor that knows the embedded contexts and those in o.
func New(o Options) (*Processor, error) {
	if o.MaxObjects <= 0 {
		o.MaxObjects = DefaultMaxObjects
	}
	if o.MaxScalars <= 0 {
		o.MaxScalars = DefaultMaxScalars
	}
	if o.MaxContexts <= 0 {
		o.MaxContexts = DefaultMaxContexts
	}
	if o.MaxContextValues <= 0 {
		o.MaxContextValues = DefaultMaxContextValues
	}
	documents := contexts.All()
	for url, b := range o.Contexts {
		if own, ok := documents[url]; ok {
			if !sameJSON(own, b) {
				return nil, fmt.Errorf("context %s: is embedded and cannot be replaced", url)
			}
			continue
		}
		documents[url] = b
	}
	p := &Processor{limits: o, remote: loader{}, parsed: map[string]*active{}, shapes: map[shape]struct{}{}}
	for url, b := range documents {
		d, err := ijson.ParseObject(b, ijson.Limits{})
		if err != nil {
			return nil, fmt.Errorf("context %s: %w", url, err)
		}
		if _, ok := d["@context"]; !ok {
			return nil, fmt.Errorf("context %s: has no @context", url)
		}
		p.remote[url] = d
	}
	if err := p.remote.check(); err != nil {
		return nil, err
	}
	p.names = bothNames(p.remote[contexts.CredentialsV1]["@context"], p.remote[contexts.CredentialsV2]["@context"])
	p.options = ld.NewJsonLdOptions("")
	p.options.ProcessingMode = ld.JsonLd_1_1
	p.options.DocumentLoader = p.remote
	p.options.SafeMode = true // has to stand in the options with which contexts are parsed
	return p, nil
}

func sameJSON(a, b []byte) bool {
	x, err1 := ijson.Parse(a, ijson.Limits{})
	y, err2 := ijson.Parse(b, ijson.Limits{})
	return err1 == nil && err2 == nil && sameValue(x, y)
}

// loader is a fixed map of context documents.
type loader map[string]map[string]any

// LoadDocument implements ld.DocumentLoader.
func (l loader) LoadDocument(url string) (*ld.RemoteDocument, error) {
	d, ok := l[url]
	if !ok {
		return nil, ErrUnknownContext
	}
	return &ld.RemoteDocument{DocumentURL: url, Document: d}, nil
}

// check holds the configured contexts to what the expander can take: it follows references without end
// and panics on values of the wrong type.
func (l loader) check() error {
	for url := range l {
		if err := l.follow(url, nil); err != nil {
			return fmt.Errorf("context %s: %w", url, err)
		}
	}
	return nil
}

func (l loader) follow(url string, path []string) error {
	for _, p := range path {
		if p == url {
			return errors.New("refers to itself")
		}
	}
	d, ok := l[url]
	if !ok {
		return fmt.Errorf("%w: %s", ErrUnknownContext, url)
	}
	c := contextCheck{trusted: true, values: 100_000, reference: func(u string) error { return l.follow(u, append(path, url)) }}
	return c.context(d["@context"], 0)
}

// Quads states a document in RDF. The document needs an @context; a presentation's credentials
// become graphs, and so do proofs. Blank node labels are of no meaning.
func (p *Processor) Quads(ctx context.Context, document map[string]any) ([]rdfc.Quad, error) {
	b := &builder{p: p}
	body := document
	var embedded []any
	if v, ok := document["verifiableCredential"]; ok && hasType(document, "VerifiablePresentation") {
		body = maps.Clone(document)
		delete(body, "verifiableCredential")
		if embedded, ok = v.([]any); !ok {
			embedded = []any{v}
		}
	}
	contexts := document["@context"]
	top, err := p.document(body, contexts)
	if err != nil {
		return nil, err
	}
	subject, err := b.document(top, rdfc.Term{})
	if err != nil {
		return nil, err
	}
	for i, v := range embedded {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d, ok := v.(map[string]any)
		if !ok {
			return nil, refuse("verifiableCredential[%d] is not an object", i)
		}
		own := d["@context"]
		if own != nil && isVersion1(contexts) { // version 2 has a null context here, so that embedded credentials begin anew
			own = slices.Concat(asList(contexts), asList(own))
		}
		expanded, err := p.document(d, own)
		if err != nil {
			return nil, fmt.Errorf("verifiableCredential[%d]: %w", i, err)
		}
		graph := b.fresh()
		b.add(subject, verifiableCredential, graph, rdfc.Term{})
		if _, err := b.document(expanded, graph); err != nil {
			return nil, fmt.Errorf("verifiableCredential[%d]: %w", i, err)
		}
	}
	return b.quads, nil
}

func asList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

// isVersion1 reports whether a document's @context makes it one of version 1.1 of the data model.
func isVersion1(contextValue any) bool {
	list := asList(contextValue)
	return len(list) > 0 && list[0] == contexts.CredentialsV1
}

const (
	verifiableCredential = "https://www.w3.org/2018/credentials#verifiableCredential"
	securityProof        = "https://w3id.org/security#proof"
)

// hasType reports whether the `type` of a document names typ.
func hasType(d map[string]any, typ string) bool {
	types, ok := d["type"].([]any)
	if !ok {
		types = []any{d["type"]}
	}
	for _, t := range types {
		if t == typ {
			return true
		}
	}
	return false
}

// document expands a document. The proofs of credentials and presentations are expanded each by itself,
// under the document's contexts, and put in as graphs: that is what the protected definition of `proof`
// says, and it lets all parts begin at contexts that are parsed already.
func (p *Processor) document(d map[string]any, contexts any) (map[string]any, error) {
	if contexts == nil {
		return nil, refuse("@context is missing")
	}
	v, hasProof := d["proof"]
	if !hasProof || !hasType(d, "VerifiableCredential") && !hasType(d, "VerifiablePresentation") {
		return p.expand(d, contexts)
	}
	body := maps.Clone(d)
	delete(body, "proof")
	expanded, err := p.expand(body, contexts)
	if err != nil {
		return nil, err
	}
	proofs := asList(v)
	if len(proofs) == 0 {
		return nil, refuse("a list is empty, which RDF has no statement for")
	}
	if _, twice := expanded[securityProof]; twice {
		return nil, refuse("two members of an object stand for the same property")
	}
	graphs := make([]any, 0, len(proofs))
	for _, e := range proofs {
		proof, ok := e.(map[string]any)
		if !ok {
			return nil, refuse("a graph holds a bare value")
		}
		node, err := p.expand(proof, contexts)
		if err != nil {
			return nil, fmt.Errorf("proof: %w", err)
		}
		graphs = append(graphs, map[string]any{"@graph": []any{node}})
	}
	expanded[securityProof] = graphs
	return expanded, nil
}

// expand checks an object and expands it under contexts: the value of its own @context, or one that ends with it.
func (p *Processor) expand(object map[string]any, contexts any) (map[string]any, error) {
	if err := p.inspect(object); err != nil {
		return nil, err
	}
	active, err := p.active(contexts)
	if err != nil {
		return nil, err
	}
	body := object
	if own, ok := object["@context"]; ok && (sameValue(own, contexts) || endsWith(asList(contexts), asList(own))) {
		body = maps.Clone(object)
		delete(body, "@context")
	}
	e := expander{names: p.names[isVersion1(contexts)]}
	return e.expand(active.base, body)
}

func endsWith(list, end []any) bool {
	return len(list) >= len(end) && sameValue(list[len(list)-len(end):], end)
}

// expansionError keeps the name that the JSON-LD specification has for an error and drops its details,
// which may repeat values.
func expansionError(err error) error {
	var e *ld.JsonLdError
	if errors.As(err, &e) {
		if e.Code == ld.InvalidProperty {
			return refuse("a property is not defined by the contexts")
		}
		return refuse("%s", e.Code)
	}
	return refuse("the expansion failed")
}
