package did_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ihyid/did"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeWeb answers by URL and counts.
type fakeWeb struct {
	mu    sync.Mutex
	pages map[string]page
	calls map[string]int
	// gate, if set, holds every fetch until it can receive or the context ends.
	gate    chan struct{}
	entered chan struct{}
}

type page struct {
	body, contentType string
	err               error
}

type statusError int

func (e statusError) Error() string   { return fmt.Sprintf("status %d", int(e)) }
func (e statusError) HTTPStatus() int { return int(e) }

func (w *fakeWeb) Fetch(ctx context.Context, url, accept string, maxBytes int64) ([]byte, string, error) {
	if maxBytes != did.MaxDocumentSize || !strings.Contains(accept, "application/did+json") {
		return nil, "", errors.New("not the request that was expected")
	}
	w.mu.Lock()
	if w.calls == nil {
		w.calls = map[string]int{}
	}
	w.calls[url]++
	p, ok := w.pages[url]
	gate, entered := w.gate, w.entered
	w.mu.Unlock()
	if gate != nil {
		entered <- struct{}{}
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
	if !ok {
		return nil, "", fmt.Errorf("fetching: %w", statusError(404))
	}
	return []byte(p.body), p.contentType, p.err
}

func (w *fakeWeb) set(url string, p page) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[url] = p
}

func (w *fakeWeb) count(url string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[url]
}

// clock is a clock that the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const subjectURL = "https://ngo.example/.well-known/did.json"

func TestResolve(t *testing.T) {
	web := &fakeWeb{pages: map[string]page{
		subjectURL:                        {body: document(`"@context":"https://www.w3.org/ns/did/v1"`), contentType: "application/did+ld+json"},
		"https://ngo.example/lb/did.json": {body: `{"id":"did:web:ngo.example:lb"}`, contentType: "application/json; charset=UTF-8"},
	}}
	c := newClock()
	r := did.NewResolver(did.Options{Web: web, Now: c.now})
	res, err := r.Resolve(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	digest := res.Document.Digest()
	if res.Document.ID() != subject || res.Metadata.ContentType != did.MediaTypeJSONLD || res.Metadata.Retrieved != c.now() || res.VersionID != fmt.Sprintf("%x", digest) || res.Deactivated {
		t.Errorf("%+v", res)
	}
	res, err = r.Resolve(t.Context(), "did:web:ngo.example:lb")
	if err != nil || res.Metadata.ContentType != did.MediaTypeJSON {
		t.Errorf("%+v, %v", res, err)
	}
	key := "did:key:" + keyP256
	res, err = r.Resolve(t.Context(), key)
	if err != nil || res.Document.ID() != key {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestResolveErrors(t *testing.T) {
	for name, c := range map[string]struct {
		did  string
		page page
		code did.Code
		says string
	}{
		"no DID":         {did: "ngo.example", code: did.InvalidDID},
		"a DID URL":      {did: subject + "#k", code: did.InvalidDID},
		"an IP address":  {did: "did:web:10.0.0.1", code: did.InvalidDID, says: "IP addresses"},
		"loopback":       {did: "did:web:localhost", code: did.InvalidDID},
		"unknown method": {did: "did:ion:abc", code: did.MethodNotSupported},
		"bad key":        {did: "did:key:z6", code: did.InvalidDID},
		"not there":      {page: page{err: statusError(404)}, code: did.NotFound},
		"gone":           {page: page{err: fmt.Errorf("x: %w", statusError(410))}, code: did.Deactivated},
		"server error":   {page: page{err: statusError(503)}, code: did.InternalError, says: "status 503"},
		"unreachable":    {page: page{err: errors.New("no route")}, code: did.InternalError, says: "no route"},
		"another DID":    {page: page{body: `{"id":"did:web:bank.example"}`, contentType: "application/did"}, code: did.InvalidDIDDocument, says: "another DID"},
		"DID by case":    {page: page{body: `{"id":"did:web:NGO.example"}`, contentType: "application/did"}, code: did.InvalidDIDDocument, says: "another DID"},
		"HTML":           {page: page{body: document(""), contentType: "text/html; charset=utf-8"}, code: did.InvalidDIDDocument, says: `"text/html"`},
		"no type":        {page: page{body: document("")}, code: did.InvalidDIDDocument, says: "Content-Type"},
		"odd type":       {page: page{body: document(""), contentType: "application/did; ="}, code: did.InvalidDIDDocument, says: "Content-Type"},
		"other charset":  {page: page{body: document(""), contentType: "application/json; charset=latin1"}, code: did.InvalidDIDDocument, says: "UTF-8"},
		"malformed":      {page: page{body: `{"id":`, contentType: "application/did"}, code: did.InvalidDIDDocument, says: "line 1, column 7"},
		"a resolution":   {page: page{body: `{"didDocument":{"id":"did:web:ngo.example"}}`, contentType: "application/did"}, code: did.InvalidDIDDocument, says: "id: missing"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.did == "" {
				c.did = subject
			}
			r := did.NewResolver(did.Options{Web: &fakeWeb{pages: map[string]page{subjectURL: c.page}}})
			for range 2 { // from the source and from the cache
				res, err := r.Resolve(t.Context(), c.did)
				if res != nil || did.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.says) {
					t.Errorf("%v, %v; want %s with %q", res, err, c.code, c.says)
				}
				if c.page.err != nil && !errors.Is(err, c.page.err) {
					t.Errorf("the cause is lost: %v", err)
				}
			}
		})
	}
	if _, err := did.NewResolver(did.Options{}).Resolve(t.Context(), subject); did.CodeOf(err) != did.MethodNotSupported {
		t.Errorf("did:web without a network: %v", err)
	}
}

func TestCacheAge(t *testing.T) {
	web := &fakeWeb{pages: map[string]page{subjectURL: {body: document(""), contentType: "application/did"}}}
	c := newClock()
	r := did.NewResolver(did.Options{Web: web, Now: c.now, MaxAge: time.Minute, NegativeAge: 10 * time.Second})
	resolve := func(want int) {
		t.Helper()
		if _, err := r.Resolve(t.Context(), subject); err != nil {
			t.Fatal(err)
		}
		if got := web.count(subjectURL); got != want {
			t.Errorf("%d fetches, want %d", got, want)
		}
	}
	resolve(1)
	resolve(1)
	c.add(time.Minute - 1)
	resolve(1)
	c.add(1)
	resolve(2)
	r.Flush(subject)
	resolve(3)

	// An old document is not used when its source fails, and the failure is remembered.
	web.set(subjectURL, page{err: statusError(500)})
	c.add(time.Minute)
	for range 3 {
		if _, err := r.Resolve(t.Context(), subject); did.CodeOf(err) != did.InternalError {
			t.Fatalf("after the source failed: %v", err)
		}
	}
	if got := web.count(subjectURL); got != 4 {
		t.Errorf("%d fetches, want 4", got)
	}
	web.set(subjectURL, page{body: document(""), contentType: "application/did"})
	c.add(10 * time.Second)
	resolve(5)

	// Without a cache, every call asks.
	none := did.NewResolver(did.Options{Web: web, MaxAge: -1, NegativeAge: -1})
	for range 2 {
		if _, err := none.Resolve(t.Context(), subject); err != nil {
			t.Fatal(err)
		}
		if _, err := none.Resolve(t.Context(), "did:web:none.example"); did.CodeOf(err) != did.NotFound {
			t.Fatal(err)
		}
	}
	if a, b := web.count(subjectURL), web.count("https://none.example/.well-known/did.json"); a != 7 || b != 2 {
		t.Errorf("%d and %d fetches, want 7 and 2", a, b)
	}
}

// A flood of other DIDs, found or not, evicts no more than the bound demands.
func TestCacheBound(t *testing.T) {
	web := &fakeWeb{pages: map[string]page{}}
	for i := range 5 {
		host := fmt.Sprintf("n%d.example", i)
		web.pages["https://"+host+"/.well-known/did.json"] = page{body: `{"id":"did:web:` + host + `"}`, contentType: "application/did"}
	}
	r := did.NewResolver(did.Options{Web: web, CacheSize: 3})
	resolve := func(host string) {
		if _, err := r.Resolve(t.Context(), "did:web:"+host); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		resolve(fmt.Sprintf("n%d.example", i))
	}
	for i := range 10 {
		if _, err := r.Resolve(t.Context(), fmt.Sprintf("did:web:missing%d.example", i)); did.CodeOf(err) != did.NotFound {
			t.Fatal(err)
		}
	}
	for _, v := range readKeyVectors(t).Supported {
		if _, err := r.Resolve(t.Context(), v.DID); err != nil {
			t.Fatal(err)
		}
	}
	resolve("n0.example") // used now: n1 is the longest unused
	resolve("n3.example")
	resolve("n0.example")
	resolve("n2.example")
	resolve("n1.example")
	for host, want := range map[string]int{"n0.example": 1, "n1.example": 2, "n2.example": 1, "n3.example": 1} {
		if got := web.count("https://" + host + "/.well-known/did.json"); got != want {
			t.Errorf("%s: %d fetches, want %d", host, got, want)
		}
	}
	if _, err := r.Resolve(t.Context(), "did:web:missing0.example"); did.CodeOf(err) != did.NotFound {
		t.Fatal(err)
	}
	if got := web.count("https://missing0.example/.well-known/did.json"); got != 2 {
		t.Errorf("the oldest failure: %d fetches, want 2", got)
	}
}

// Large documents push each other out before the number of entries does.
func TestCacheWeight(t *testing.T) {
	web := &fakeWeb{pages: map[string]page{}}
	r := did.NewResolver(did.Options{Web: web})
	// Half of each document is empty objects, which take more than four hundred bytes each.
	const n = 32<<20/(400*did.MaxDocumentSize/2/3) + 1
	for i := range n {
		host := fmt.Sprintf("n%d.example", i)
		body := `{"id":"did:web:` + host + `","x":"`
		body += strings.Repeat("x", did.MaxDocumentSize/2) + `","y":[` + strings.Repeat("{},", did.MaxDocumentSize/2/3-100) + `{}]}`
		web.pages["https://"+host+"/.well-known/did.json"] = page{body: body, contentType: "application/did"}
	}
	resolve := func(i, want int) {
		t.Helper()
		if _, err := r.Resolve(t.Context(), fmt.Sprintf("did:web:n%d.example", i)); err != nil {
			t.Fatal(err)
		}
		if got := web.count(fmt.Sprintf("https://n%d.example/.well-known/did.json", i)); got != want {
			t.Errorf("document %d: %d fetches, want %d", i, got, want)
		}
	}
	for i := range n {
		resolve(i, 1)
	}
	resolve(n-1, 1) // the last is still there, the first is not
	resolve(0, 2)
}

// Many callers share one fetch; the cancellation of one does not fail the others.
func TestSingleFlight(t *testing.T) {
	web := &fakeWeb{
		pages: map[string]page{subjectURL: {body: document(""), contentType: "application/did"}},
		gate:  make(chan struct{}), entered: make(chan struct{}, 100),
	}
	r := did.NewResolver(did.Options{Web: web})
	first, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := r.Resolve(first, subject)
		gone <- err
	}()
	<-web.entered
	var wg sync.WaitGroup
	errs := make(chan error, 20)
	for range 20 {
		wg.Go(func() {
			_, err := r.Resolve(t.Context(), subject)
			errs <- err
		})
	}
	for r.Waiting(subject) < 21 {
		runtime.Gosched()
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) || did.CodeOf(err) != did.InternalError {
		t.Errorf("the cancelled caller: %v", err)
	}
	close(web.gate)
	wg.Wait()
	for range 20 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := web.count(subjectURL); got != 1 {
		t.Errorf("%d fetches", got)
	}
}

// When nobody waits any more, the fetch is cancelled and its failure not remembered.
func TestAbandonedFlight(t *testing.T) {
	web := &fakeWeb{
		pages: map[string]page{subjectURL: {body: document(""), contentType: "application/did"}},
		gate:  make(chan struct{}), entered: make(chan struct{}, 100),
	}
	r := did.NewResolver(did.Options{Web: web})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := r.Resolve(ctx, subject)
		gone <- err
	}()
	<-web.entered
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(web.gate)
	if _, err := r.Resolve(t.Context(), subject); err != nil {
		t.Errorf("after an abandoned fetch: %v", err)
	}
	if _, err := r.Resolve(ctx, "did:web:b.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that had ended: %v", err)
	}
	if got := web.count("https://b.example/.well-known/did.json"); got != 0 {
		t.Errorf("fetched for nobody")
	}
}

// A fetch begun before Flush is neither remembered nor joined after it.
func TestFlushDuringFlight(t *testing.T) {
	web := &fakeWeb{
		pages: map[string]page{subjectURL: {body: document(`"v":"old"`), contentType: "application/did"}},
		gate:  make(chan struct{}), entered: make(chan struct{}, 100),
	}
	r := did.NewResolver(did.Options{Web: web})
	old := make(chan *did.Resolution)
	go func() {
		res, err := r.Resolve(t.Context(), subject)
		if err != nil {
			t.Error(err)
		}
		old <- res
	}()
	<-web.entered
	r.Flush(subject)
	web.set(subjectURL, page{body: document(`"v":"new"`), contentType: "application/did"})
	fresh := make(chan *did.Resolution)
	go func() {
		res, err := r.Resolve(t.Context(), subject)
		if err != nil {
			t.Error(err)
		}
		fresh <- res
	}()
	<-web.entered
	close(web.gate)
	a, b := <-old, <-fresh
	if a == nil || b == nil || a.VersionID == b.VersionID {
		t.Fatal("the later caller joined the earlier fetch")
	}
	again, err := r.Resolve(t.Context(), subject)
	if err != nil || again.VersionID != b.VersionID {
		t.Errorf("the flushed document came back: %v", err)
	}
}

func TestFetchTimeout(t *testing.T) {
	web := &fakeWeb{pages: map[string]page{}, gate: make(chan struct{}), entered: make(chan struct{}, 1)}
	r := did.NewResolver(did.Options{Web: web, Timeout: time.Millisecond})
	if _, err := r.Resolve(t.Context(), subject); did.CodeOf(err) != did.InternalError || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestFixed(t *testing.T) {
	d, err := did.ParseDocument([]byte(document("")))
	if err != nil {
		t.Fatal(err)
	}
	f := did.Fixed{subject: d, "did:web:bank.example": d}
	if res, err := f.Resolve(t.Context(), subject); err != nil || res.Document != d {
		t.Errorf("%v, %v", res, err)
	}
	for in, code := range map[string]did.Code{"did:web:other.example": did.NotFound, "did:web:bank.example": did.NotFound, "x": did.InvalidDID} {
		if _, err := f.Resolve(t.Context(), in); did.CodeOf(err) != code {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestCodes(t *testing.T) {
	for code, want := range map[did.Code]struct {
		status int
		uri    string
	}{
		did.InvalidDID:                 {400, "https://www.w3.org/ns/did#INVALID_DID"},
		did.InvalidDIDURL:              {400, "https://www.w3.org/ns/did#INVALID_DID_URL"},
		did.InvalidOptions:             {400, "https://www.w3.org/ns/did#INVALID_OPTIONS"},
		did.NotFound:                   {404, "https://www.w3.org/ns/did#NOT_FOUND"},
		did.RepresentationNotSupported: {406, "https://www.w3.org/ns/did#REPRESENTATION_NOT_SUPPORTED"},
		did.Deactivated:                {410, "https://www.w3.org/ns/did#DEACTIVATED"},
		did.InvalidDIDDocument:         {500, "https://www.w3.org/ns/did#INVALID_DID_DOCUMENT"},
		did.InternalError:              {500, "https://www.w3.org/ns/did#INTERNAL_ERROR"},
		did.MethodNotSupported:         {501, "https://www.w3.org/ns/did#METHOD_NOT_SUPPORTED"},
		did.FeatureNotSupported:        {501, "https://www.w3.org/ns/did#FEATURE_NOT_SUPPORTED"},
		did.Code("unheard of"):         {500, "https://www.w3.org/ns/did#INTERNAL_ERROR"},
	} {
		if code.HTTPStatus() != want.status || code.URI() != want.uri || code.Title() == "" {
			t.Errorf("%s: %d %s", code, code.HTTPStatus(), code.URI())
		}
	}
	if did.CodeOf(nil) != "" || did.CodeOf(errors.New("x")) != did.InternalError {
		t.Error("CodeOf")
	}
}

func BenchmarkResolveCached(b *testing.B) {
	web := &fakeWeb{pages: map[string]page{subjectURL: {body: document(""), contentType: "application/did"}}}
	r := did.NewResolver(did.Options{Web: web})
	for b.Loop() {
		if _, err := r.Resolve(b.Context(), subject); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeyDocument(b *testing.B) {
	for _, d := range []string{"did:key:" + keyP256, "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"} {
		b.Run(d[8:12], func(b *testing.B) {
			for b.Loop() {
				if _, err := did.KeyDocument(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
