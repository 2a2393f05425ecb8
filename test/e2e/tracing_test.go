package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"ihyid/test/harness"
	"ihyid/test/lists"
)

// receiver is a small OTLP collector: it keeps what arrives, as bytes and as spans.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	raw     []byte
	spans   []*tracepb.Span
	service []string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := gzip.NewReader(http.MaxBytesReader(w, req.Body, 8<<20))
		var raw []byte
		if err == nil {
			raw, err = io.ReadAll(io.LimitReader(body, 64<<20))
		}
		var batch collector.ExportTraceServiceRequest
		if err != nil || req.Method != http.MethodPost || req.URL.Path != "/v1/traces" || proto.Unmarshal(raw, &batch) != nil {
			t.Errorf("%s %s is no batch of spans: %v", req.Method, req.URL, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.raw = append(r.raw, raw...)
		for _, of := range batch.ResourceSpans {
			for _, a := range of.Resource.Attributes {
				r.service = append(r.service, a.Key)
			}
			for _, s := range of.ScopeSpans {
				r.spans = append(r.spans, s.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(r.Close)
	return r
}

func attributes(s *tracepb.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		if all[a.Key] = a.Value.GetStringValue(); all[a.Key] == "" {
			all[a.Key] = fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return all
}

// What may stand in a span: these attributes, and of words only such as the program has in its own source. A route holds {id}, never an id.
var (
	spanAttributes = []string{
		"http.request.method", "http.route", "http.response.status_code", "error.type", "ihyid.side", "ihyid.request",
		"ihyid.job.kind", "ihyid.job.id", "ihyid.job.attempt", "ihyid.job.state",
		"ihyid.exchange.role", "ihyid.exchange.protocol", "ihyid.exchange.state", "ihyid.exchange.outcome",
	}
	spanName = regexp.MustCompile(`^((peer )?(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|other)( /[a-z0-9/{}._-]*)?|job [a-z]+\.[a-z-]+|exchange [a-z]+)$`)
)

// TestTraces has two real nodes send their traces to a collector while they import, exchange, search and are asked nonsense: the spans tell what was
// done, in one trace what belongs together, and hold nothing of any person, nor of the peer. Between the nodes no trace travels.
func TestTraces(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	to := newReceiver(t)
	a := net.Add("alpha", "--otlp-endpoint", to.URL, "--log-level", "debug")
	b, line := behind(t, net, "beta", "--otlp-endpoint", to.URL+"/v1/traces")
	population, err := lists.New(lists.Options{N: 300, Seed: 29, Overlap: .3, Organisations: []lists.Organisation{{Name: "a", Prefix: "ALPHA-"}, {Name: "b", Prefix: "BETA-"}}})
	harness.Check(t, err)
	words := map[string]bool{}
	for i, n := range []*harness.Node{a, b} {
		var list bytes.Buffer
		harness.Check(t, population.WriteCSV(&list, i))
		for w := range personal(t, list.Bytes()) {
			words[w] = true
		}
		job, err := n.Import(list.Bytes())
		harness.Check(t, err)
		if j := n.Job(job.ID); j.State != "done" {
			t.Fatal(j.Error)
		}
	}
	harness.Befriend(a, b)
	id := begin(t, a, b)
	done(t, a, b, id)
	for w := range words {
		a.Run("contacts", "search", w)
		a.Run("contacts", "show", w)
		a.Run("exchange", "run", "--peer", b.DID, "--profile", w, "--purpose", w)
		a.Run("users", "add", w, "--role", "checker", "--password-file", a.LogFile())
		break
	}
	foreign := "4bf92f3577b34da6a3ce929d0e0e4736"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://localhost:%d/contacts/Houman-Haddad?name=Houman", a.Port), nil)
	harness.Check(t, err)
	req.Header.Set("Traceparent", "00-"+foreign+"-00f067aa0ba902b7-01")
	req.Header.Set("User-Agent", "Houman's telephone")
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: net.Trust(), DisableKeepAlives: true}}
	resp, err := stranger.Do(req)
	harness.Check(t, err)
	resp.Body.Close()
	a.Stop() // delivers what waits
	b.Stop()

	to.mu.Lock()
	defer to.mu.Unlock()
	look := newNeedles(words)
	if w, at := look.in(to.raw); w != "" {
		t.Errorf("the traces hold %q at %d", w, at)
	}
	for _, secret := range []string{"Houman", "did:", "localhost", "127.0.0.1", "Organisation", id, "a test", foreign, a.Data} {
		if bytes.Contains(to.raw, []byte(secret)) {
			t.Errorf("the traces hold %q", secret)
		}
	}
	if slices.Contains(to.service, "host.name") || !slices.Contains(to.service, "service.name") {
		t.Errorf("the traces tell of the node: %q", to.service)
	}
	byName, byID, traces := map[string]*tracepb.Span{}, map[string]*tracepb.Span{}, map[string]string{}
	for _, s := range to.spans {
		byName[s.Name], byID[string(s.SpanId)] = s, s
		if !spanName.MatchString(s.Name) {
			t.Errorf("a span is named %q", s.Name)
		}
		for key, value := range attributes(s) {
			if !slices.Contains(spanAttributes, key) {
				t.Errorf("the span %q tells %s: %q", s.Name, key, value)
			}
		}
		if len(s.Events)+len(s.Links) > 0 || s.Status.GetMessage() != "" || s.TraceState != "" {
			t.Errorf("the span %q holds more than attributes: %v", s.Name, s)
		}
		if r := attributes(s)["ihyid.request"]; r != "" {
			traces[r] = fmt.Sprintf("%x", s.TraceId)
		}
	}
	for _, name := range []string{"POST /contacts/import", "job contacts.import", "job exchange.initiate", "job exchange.respond", "exchange preparing", "exchange opening", "exchange matching", "exchange uploading", "peer POST /messages", "peer PUT /exchanges/{id}/{set}/chunks/{index}"} {
		if byName[name] == nil {
			t.Errorf("there is no span %q", name)
		}
	}
	if t.Failed() {
		t.Fatalf("of %d spans: %q", len(to.spans), slices.Collect(func(yield func(string) bool) {
			for name := range byName {
				if !yield(name) {
					return
				}
			}
		}))
	}
	// What belongs together is one trace: peer request → stage → job.
	up := func(s *tracepb.Span) *tracepb.Span { return byID[string(s.ParentSpanId)] }
	if s := up(byName["exchange uploading"]); s == nil || s.Name != "job exchange.initiate" {
		t.Errorf("the stage belongs to %v", s)
	}
	if s := up(byName["peer PUT /exchanges/{id}/{set}/chunks/{index}"]); s == nil || !strings.HasPrefix(s.Name, "exchange ") {
		t.Errorf("the request to the peer belongs to %v", s)
	}
	// The log of a request names its trace.
	log, err := os.ReadFile(a.LogFile())
	harness.Check(t, err)
	tied := 0
	for _, m := range regexp.MustCompile(`request=([0-9a-f]{16}) .*trace=([0-9a-f]{32})`).FindAllSubmatch(log, -1) {
		if traces[string(m[1])] != string(m[2]) {
			t.Errorf("request %s is in trace %s in the log, %q in the traces", m[1], m[2], traces[string(m[1])])
		}
		tied++
	}
	if tied < 10 {
		t.Errorf("%d lines of the log name their trace", tied)
	}
	line.mu.Lock()
	defer line.mu.Unlock()
	for _, p := range line.seen {
		for _, h := range []string{"Traceparent", "Tracestate", "Baggage", "B3"} {
			if p.Header.Get(h) != "" {
				t.Errorf("%s went to the peer with %s", h, p.Kind)
			}
		}
	}
	if len(line.seen) == 0 {
		t.Error("nothing went over the wire")
	}
}

// TestCollectorAwayHurtsNobody: a node whose collector refuses, hangs or is not there works, says so once, and stops in time.
func TestCollectorAwayHurtsNobody(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hung.Close()
	defer close(release)
	secret := "collector's words"
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, secret, http.StatusTeapot) }))
	defer refusing.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	net := harness.New(t, program)
	for name, url := range map[string]string{"hung": hung.URL, "refusing": refusing.URL, "gone": gone.URL} {
		n := net.Add(name, "--otlp-endpoint", url)
		job, err := n.Import([]byte("first_name,last_name\nRana,Example\n"))
		harness.Check(t, err)
		if j := n.Job(job.ID); j.State != "done" {
			t.Error(j.Error)
		}
		begun := time.Now()
		n.Stop()
		if took := time.Since(begun); took > 30*time.Second { // not a speed: the supervisor's patience
			t.Errorf("%s: it took %s to stop", name, took)
		}
		log, err := os.ReadFile(n.LogFile())
		harness.Check(t, err)
		if strings.Count(string(log), "traces could not be delivered") != 1 || strings.Contains(string(log), secret) || !strings.Contains(string(log), "the node has stopped") {
			t.Errorf("%s: %s", name, log)
		}
	}
}
