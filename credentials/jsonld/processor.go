package jsonld

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	known   *vocabulary
	options *ld.JsonLdOptions

	mu     sync.Mutex
	parsed map[string]*ld.Context // by canonical JSON of the @context value
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
		if _, ok := documents[url]; ok {
			return nil, fmt.Errorf("context %s: is embedded and cannot be replaced", url)
		}
		documents[url] = b
	}
	p := &Processor{limits: o, remote: loader{}, parsed: map[string]*ld.Context{}}
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
	p.known = newVocabulary(p.remote[contexts.CredentialsV2]["@context"])
	p.options = ld.NewJsonLdOptions("")
	p.options.ProcessingMode = ld.JsonLd_1_1
	p.options.DocumentLoader = p.remote
	p.options.SafeMode = true // has to stand in the options with which contexts are parsed
	return p, nil
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
// become graphs. Blank node labels are of no meaning.
func (p *Processor) Quads(ctx context.Context, document map[string]any) ([]rdfc.Quad, error) {
	b := &builder{p: p}
	body, embedded := document, []any(nil)
	if v, ok := document["verifiableCredential"]; ok && isPresentation(document) {
		body = maps.Clone(document)
		delete(body, "verifiableCredential")
		if embedded, ok = v.([]any); !ok {
			embedded = []any{v}
		}
	}
	top, err := p.expand(body)
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
		expanded, err := p.expand(d)
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

const verifiableCredential = "https://www.w3.org/2018/credentials#verifiableCredential"

func isPresentation(d map[string]any) bool {
	types, ok := d["type"].([]any)
	if !ok {
		types = []any{d["type"]}
	}
	for _, t := range types {
		if t == "VerifiablePresentation" {
			return true
		}
	}
	return false
}

// expand checks a document, expands it, and checks that JSON and expansion say the same.
func (p *Processor) expand(document map[string]any) (expanded map[string]any, err error) {
	seen, err := p.inspect(document)
	if err != nil {
		return nil, err
	}
	active, err := p.active(document["@context"])
	if err != nil {
		return nil, err
	}
	body := maps.Clone(document)
	delete(body, "@context")
	check := &consistency{p: p, active: active, input: document, seen: seen}
	options := *p.options
	options.ExpandedElementHandler = check.node
	out, err := expandSafely(active, body, &options)
	if err != nil {
		return nil, err
	}
	expanded, ok := out.(map[string]any)
	if !ok {
		return nil, refuse("the document states nothing")
	}
	return expanded, check.document(expanded)
}

// expandSafely calls the expander. Documents are checked so that it should not panic; should it all the
// same, that is an error of the document and not the end of the process.
func expandSafely(active *ld.Context, body map[string]any, options *ld.JsonLdOptions) (out any, err error) {
	defer func() {
		if recover() != nil {
			out, err = nil, refuse("the expansion failed")
		}
	}()
	out, err = ld.NewJsonLdApi().Expand(active, "", body, options, false, nil)
	if err != nil {
		return nil, expansionError(err)
	}
	return out, nil
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

// active gives the parsed form of an @context value, from the cache if it is there. Parsed
// contexts are not changed by expansion.
func (p *Processor) active(value any) (_ *ld.Context, err error) {
	if value == nil {
		return nil, refuse("@context is missing")
	}
	key, err := ijson.Canonical(value)
	if err != nil {
		return nil, refuse("@context: %v", err)
	}
	p.mu.Lock()
	c, ok := p.parsed[string(key)]
	p.mu.Unlock()
	if ok {
		return c, nil
	}
	defer func() {
		if recover() != nil {
			err = refuse("@context: not a valid context")
		}
	}()
	c, err = ld.NewContext(nil, p.options).Parse(value)
	if err != nil {
		return nil, fmt.Errorf("@context: %w", expansionError(err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.parsed) >= maxCached {
		for k := range p.parsed { // any one: this bounds memory, no more
			delete(p.parsed, k)
			break
		}
	}
	p.parsed[string(key)] = c
	return c, nil
}
