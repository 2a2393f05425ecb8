package did

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fetcher is this package's only view of the network. Fetch gets an https URL and returns
// the body, which is at most maxBytes long (a longer one is an error), and its Content-Type.
// A reply that is not a 200 is an error; if the error, or one that it wraps, has a method
//
//	HTTPStatus() int
//
// then 404 becomes [NotFound] and 410 [Deactivated].
type Fetcher interface {
	Fetch(ctx context.Context, url, accept string, maxBytes int64) (body []byte, contentType string, err error)
}

// Resolver turns a DID into its document. Its errors are [*Error]s.
type Resolver interface {
	Resolve(ctx context.Context, did string) (*Resolution, error)
}

// Resolution is a document and what is known about it. It is shared between callers: do not
// modify it.
type Resolution struct {
	Document *Document
	Metadata ResolutionMetadata
	DocumentMetadata
}

// ResolutionMetadata is about the act of resolving (DID Resolution 1.0 section 4.2).
type ResolutionMetadata struct {
	ContentType string    // the media type of Document's bytes
	Retrieved   time.Time // when they were had from their source
}

// DocumentMetadata is about the document (DID Resolution 1.0 section 4.3). Zero where
// nothing is known: did:web keeps no history of its own.
type DocumentMetadata struct {
	Created     time.Time
	Updated     time.Time
	VersionID   string // as the function VersionID makes it
	Deactivated bool
	// For an old version, the next one and its time.
	NextVersionID string
	NextUpdate    time.Time
}

// Fixed is a Resolver of documents at hand, by their DIDs: for checking offline. Everything
// else is [NotFound].
type Fixed map[string]*Document

// Resolve returns the document under did.
func (f Fixed) Resolve(_ context.Context, did string) (*Resolution, error) {
	if _, err := Parse(did); err != nil {
		return nil, err
	}
	d := f[did]
	if d == nil || d.ID() != did {
		return nil, &Error{Code: NotFound, DID: did, Err: errors.New("not among the documents at hand")}
	}
	return newResolution(d, time.Time{}), nil
}

func newResolution(d *Document, retrieved time.Time) *Resolution {
	return &Resolution{
		Document:         d,
		Metadata:         ResolutionMetadata{ContentType: d.MediaType(), Retrieved: retrieved},
		DocumentMetadata: DocumentMetadata{VersionID: VersionID(d)},
	}
}

// The defaults of [Options].
const (
	DefaultMaxAge      = 5 * time.Minute
	DefaultNegativeAge = 30 * time.Second
	DefaultCacheSize   = 1024
	DefaultTimeout     = 20 * time.Second
)

// maxCacheBytes bounds each part of the cache, so that nobody who can make the node resolve
// DIDs fills its memory with the largest documents allowed.
const maxCacheBytes = 32 << 20

// Options sets up [NewResolver]. The zero value resolves did:key only.
type Options struct {
	// Web fetches did:web documents; without it, did:web is [MethodNotSupported].
	Web Fetcher
	// WebRules says which hosts a did:web may name.
	WebRules Web
	// History is told of every did:web document fetched, and supplies the time of its last
	// change. It may be nil.
	History History
	// MaxAge is how long a document is used without asking again: the longest time for
	// which a key that its owner has revoked goes on being trusted. 0 is DefaultMaxAge,
	// negative is no cache.
	MaxAge time.Duration
	// NegativeAge is how long a failure is remembered, so that nobody can make the node
	// hammer a third party. 0 is DefaultNegativeAge, negative is not at all.
	NegativeAge time.Duration
	// CacheSize bounds the number of documents, and separately of did:keys and of
	// failures, that are remembered; the longest unused is forgotten. So it is when they
	// take more than some 32 MiB of memory, which 1000 documents of ten keys do. 0 is
	// DefaultCacheSize.
	CacheSize int
	// Timeout bounds one fetch. 0 is DefaultTimeout.
	Timeout time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// CachingResolver is the [Resolver] that [NewResolver] makes. It is safe for concurrent use
// and owns no goroutine that outlives its last caller by more than a fetch takes to notice.
type CachingResolver struct {
	opts Options

	mu      sync.Mutex
	web     *lru // did:web: *Resolution
	keys    *lru // did:key: *Resolution
	failed  *lru // error
	flights map[string]*flight
}

// flight is one fetch that any number of callers wait for.
type flight struct {
	done    chan struct{} // closed when res and err are set
	res     *Resolution
	err     error
	waiters int
	cancel  context.CancelFunc
	stale   bool // flushed meanwhile: not to be cached
}

// NewResolver returns a resolver of did:key and, with [Options.Web], of did:web.
func NewResolver(opts Options) *CachingResolver {
	if opts.MaxAge == 0 {
		opts.MaxAge = DefaultMaxAge
	}
	if opts.NegativeAge == 0 {
		opts.NegativeAge = DefaultNegativeAge
	}
	if opts.CacheSize <= 0 {
		opts.CacheSize = DefaultCacheSize
	}
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &CachingResolver{
		opts:    opts,
		web:     newLRU(opts.CacheSize, maxCacheBytes),
		keys:    newLRU(opts.CacheSize, maxCacheBytes),
		failed:  newLRU(opts.CacheSize, maxCacheBytes),
		flights: map[string]*flight{},
	}
}

// Resolve returns the document of did from the cache or its source. Callers who ask for one
// DID at the same time share a fetch, which goes on while one of them waits. A document that
// has outlived MaxAge is never returned, also when its source cannot be reached.
func (r *CachingResolver) Resolve(ctx context.Context, did string) (*Resolution, error) {
	r.mu.Lock()
	now := r.opts.Now()
	// Only DIDs that were checked are in the caches, so the look-up needs no parsing.
	for _, c := range []*lru{r.web, r.keys, r.failed} {
		if v, ok := c.get(did, now); ok {
			r.mu.Unlock()
			if err, failed := v.(error); failed {
				return nil, err
			}
			return v.(*Resolution), nil
		}
	}
	r.mu.Unlock()

	d, err := Parse(did)
	if err != nil {
		return nil, err
	}
	switch {
	case d.Method() == "key":
		return r.resolveKey(d)
	case d.Method() == "web" && r.opts.Web != nil:
		return r.share(ctx, d)
	}
	return nil, &Error{Code: MethodNotSupported, DID: did}
}

// Flush forgets what is known of a DID. A fetch that is under way is not remembered, nor
// joined by later callers.
func (r *CachingResolver) Flush(did string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.web.remove(did)
	r.keys.remove(did)
	r.failed.remove(did)
	if f := r.flights[did]; f != nil {
		f.stale = true
		delete(r.flights, did)
	}
}

// FlushAll forgets everything.
func (r *CachingResolver) FlushAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.web = newLRU(r.opts.CacheSize, maxCacheBytes)
	r.keys = newLRU(r.opts.CacheSize, maxCacheBytes)
	r.failed = newLRU(r.opts.CacheSize, maxCacheBytes)
	for did, f := range r.flights {
		f.stale = true
		delete(r.flights, did)
	}
}

func (r *CachingResolver) resolveKey(d DID) (*Resolution, error) {
	doc, err := keyDocument(d)
	if err != nil {
		return nil, err // found in microseconds, not worth a place in the cache
	}
	res := newResolution(doc, r.opts.Now())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys.put(d.String(), res, doc.size, time.Time{}) // can never change
	return res, nil
}

func (r *CachingResolver) share(ctx context.Context, d DID) (*Resolution, error) {
	did := d.String()
	url, err := r.opts.WebRules.URL(did)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, &Error{Code: InternalError, DID: did, Err: err}
	}
	r.mu.Lock()
	f := r.flights[did]
	if f == nil {
		// The fetch belongs to all who wait: one caller's cancellation must not fail the
		// others.
		fctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opts.Timeout)
		f = &flight{done: make(chan struct{}), cancel: cancel}
		r.flights[did] = f
		go r.fly(fctx, f, d, url)
	}
	f.waiters++
	r.mu.Unlock()

	select {
	case <-f.done:
	case <-ctx.Done():
		err = &Error{Code: InternalError, DID: did, Err: ctx.Err()}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if r.flights[did] == f {
			// Nobody may join a fetch that was cancelled.
			delete(r.flights, did)
		}
	}
	if err != nil {
		return nil, err
	}
	return f.res, f.err
}

func (r *CachingResolver) fly(ctx context.Context, f *flight, d DID, url string) {
	res, err := r.fetch(ctx, d, url)
	r.mu.Lock()
	defer r.mu.Unlock()
	f.res, f.err = res, err
	close(f.done)
	did := d.String()
	if r.flights[did] == f {
		delete(r.flights, did)
	}
	now := r.opts.Now()
	switch {
	case f.stale, errors.Is(err, context.Canceled):
	case err == nil && r.opts.MaxAge > 0:
		r.web.put(did, res, res.Document.size, now.Add(r.opts.MaxAge))
	case err != nil && r.opts.NegativeAge > 0:
		r.failed.put(did, err, len(did), now.Add(r.opts.NegativeAge))
	}
}

// acceptDocument is sent when fetching a did:web. Documents are mostly static files, so that
// plain JSON is welcome too.
const acceptDocument = "application/did, application/did+ld+json, application/did+json, application/json;q=0.9, application/ld+json;q=0.9"

var documentTypes = []string{
	"application/did", "application/did+ld+json", "application/did+json", "application/json", "application/ld+json",
}

func (r *CachingResolver) fetch(ctx context.Context, d DID, url string) (*Resolution, error) {
	did := d.String()
	body, contentType, err := r.opts.Web.Fetch(ctx, url, acceptDocument, MaxDocumentSize)
	if err != nil {
		code := InternalError
		if s, ok := errors.AsType[interface {
			error
			HTTPStatus() int
		}](err); ok {
			switch s.HTTPStatus() {
			case http.StatusNotFound:
				code = NotFound
			case http.StatusGone:
				code = Deactivated
			}
		}
		return nil, &Error{Code: code, DID: did, Err: err}
	}
	if err := checkContentType(contentType); err != nil {
		return nil, &Error{Code: InvalidDIDDocument, DID: did, Err: err}
	}
	doc, err := ParseDocument(body)
	if err != nil {
		return nil, &Error{Code: InvalidDIDDocument, DID: did, Err: errors.Unwrap(err)}
	}
	if doc.DID() != d {
		return nil, &Error{Code: InvalidDIDDocument, DID: did, Err: errors.New("id: the document is about another DID")}
	}
	res := newResolution(doc, r.opts.Now())
	if r.opts.History == nil {
		return res, nil
	}
	if err := r.opts.History.Seen(ctx, doc, res.Metadata.Retrieved); err != nil {
		return nil, &Error{Code: InternalError, DID: did, Err: err}
	}
	switch v, err := r.opts.History.Version(ctx, did, res.VersionID); {
	case err == nil:
		res.Created, res.Updated = v.Created, v.Updated
	case CodeOf(err) != NotFound: // which is how a history says that it does not keep this DID
		return nil, &Error{Code: InternalError, DID: did, Err: err}
	}
	return res, nil
}

func checkContentType(s string) error {
	typ, params, err := mime.ParseMediaType(s)
	if err != nil {
		return errors.New("served without a Content-Type that can be read (application/did is expected)")
	}
	if !slices.Contains(documentTypes, typ) {
		return fmt.Errorf("served as %q, not as a DID document (application/did, application/did+ld+json, application/did+json or application/json)", typ)
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
		return errors.New("served in another character set than UTF-8")
	}
	return nil
}
