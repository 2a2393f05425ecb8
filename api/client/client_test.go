package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"ihyid/api"
	"ihyid/api/client"
	"ihyid/exchange"
	"ihyid/store/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node serves h on the socket of a data directory, as a node would.
func node(t *testing.T, dir string, h http.HandlerFunc) *http.Server {
	t.Helper()
	ln, err := api.ListenSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ln)
	}()
	t.Cleanup(func() { s.Close(); <-done })
	return s
}

func open(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// noSleep notes how long it should have slept.
func noSleep(total *time.Duration) func(context.Context, time.Duration) error {
	return func(ctx context.Context, d time.Duration) error {
		*total += d
		return ctx.Err()
	}
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:ihyid:problem:%s","title":"T","status":%d,"detail":%q,"instance":"urn:ihyid:request:ab12"}`, code, status, detail)
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		o    client.Options
		want string
	}{
		"nothing":     {client.Options{}, "either a data directory or a server"},
		"both":        {client.Options{DataDir: "x", Server: "https://a.example", Token: "t"}, "not both"},
		"no token":    {client.Options{Server: "https://a.example"}, "needs a token"},
		"plain":       {client.Options{Server: "http://a.example", Token: "t"}, "must be an https URL"},
		"no URL":      {client.Options{Server: "a.example", Token: "t"}, "is no URL"},
		"credentials": {client.Options{Server: "https://u:p@a.example", Token: "t"}, "is no URL"},
	} {
		if _, err := client.New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestNotRunning(t *testing.T) {
	dir := t.TempDir()
	for data, want := range map[string]string{
		dir:                        "is not running: start it with ihyid serve --data " + dir,
		filepath.Join(dir, "none"): "make one with ihyid init",
	} {
		_, err := open(t, client.Options{DataDir: data}).Status(t.Context())
		var gone *client.NotRunning
		if !errors.As(err, &gone) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	// A socket that a dead node left behind is no node.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, api.SocketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	_, err = open(t, client.Options{DataDir: dir}).Status(t.Context())
	var gone *client.NotRunning
	if !errors.As(err, &gone) {
		t.Errorf("a stale socket: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, api.SocketName)); err != nil {
		t.Fatal(err)
	}
}

func TestProblems(t *testing.T) {
	dir := t.TempDir()
	answer := func(w http.ResponseWriter) {}
	node(t, dir, func(w http.ResponseWriter, _ *http.Request) { answer(w) })
	c := open(t, client.Options{DataDir: dir, Sleep: noSleep(new(time.Duration))})
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
		is     bool // a problem
	}{
		"problem": {func(w http.ResponseWriter) { problem(w, 409, "peer-state", "it is invited") }, "it is invited", true},
		"hint":    {func(w http.ResponseWriter) { problem(w, 500, "internal", "") }, "T (the node's log tells more under the request id ab12)", true},
		"profile": {func(w http.ResponseWriter) { problem(w, 422, "unknown-profile", "no such") }, "no such (ihyid profiles list", true},
		"HTML":    {func(w http.ResponseWriter) { http.Error(w, "<html>", 404) }, "not as an ihyid node does", false},
		"no JSON": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(500)
		}, "not as an ihyid node does", false},
		"redirect": {func(w http.ResponseWriter) { w.Header().Set("Location", "/elsewhere"); w.WriteHeader(302) }, "not as an ihyid node does", false},
		"garbage":  {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") }, "cannot be understood", false},
		"errors": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(422)
			_, _ = io.WriteString(w, `{"title":"T","detail":"2 things","errors":[{"location":"body.a","message":"is short"},{"message":"is long"}]}`)
		}, "2 things; body.a: is short; is long", true},
	} {
		answer = tc.answer
		_, err := c.Status(t.Context())
		var p *client.Problem
		if err == nil || !strings.Contains(err.Error(), tc.want) || errors.As(err, &p) != tc.is {
			t.Errorf("%s: %v (problem: %v), want %q", name, err, p != nil, tc.want)
		}
	}
}

// A node that is busy is asked again, as it says; but not for ever.
func TestBusyIsAskedAgain(t *testing.T) {
	dir := t.TempDir()
	var calls, refusals atomic.Int32
	node(t, dir, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPost && !bytes.Contains(body, []byte("did:web:a.example")) {
			t.Errorf("the body of attempt %d: %q", calls.Load()+1, body)
		}
		if calls.Add(1) <= refusals.Load() {
			w.Header().Set("Retry-After", "2")
			problem(w, 503, "busy", "busy")
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})
	var slept time.Duration
	c := open(t, client.Options{DataDir: dir, Sleep: noSleep(&slept)})
	refusals.Store(2)
	if _, err := c.AddPeer(t.Context(), "did:web:a.example", exchange.Organisation{}); err != nil || slept != 4*time.Second || calls.Load() != 3 {
		t.Errorf("%v after %v and %d calls", err, slept, calls.Load())
	}
	calls.Store(0)
	refusals.Store(1000)
	var p *client.Problem
	if _, err := c.Status(t.Context()); !errors.As(err, &p) || p.RetryAfter != 2*time.Second || calls.Load() != 4 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

func TestServer(t *testing.T) {
	var seen *http.Request
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		_, _ = io.WriteString(w, `{"did":"did:web:x"}`)
	}))
	defer s.Close()
	config := s.Client().Transport.(*http.Transport).TLSClientConfig
	c := open(t, client.Options{Server: s.URL + "/", Token: "secret", TLS: config})
	if st, err := c.Status(t.Context()); err != nil || st.DID != "did:web:x" {
		t.Errorf("%+v, %v", st, err)
	}
	if seen.URL.Path != "/status" || seen.Header.Get("Authorization") != "Bearer secret" {
		t.Errorf("asked %s with %q", seen.URL.Path, seen.Header.Get("Authorization"))
	}
	// A server that nobody vouches for is not spoken to.
	_, err := open(t, client.Options{Server: s.URL, Token: "secret"}).Status(t.Context())
	var broken *client.Broken
	if !errors.As(err, &broken) || strings.Contains(err.Error(), "secret") {
		t.Errorf("an unknown certificate: %v", err)
	}
}

func TestPathsAreEscaped(t *testing.T) {
	dir := t.TempDir()
	var got string
	node(t, dir, func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.EscapedPath()
		_, _ = io.WriteString(w, `{}`)
	})
	c := open(t, client.Options{DataDir: dir})
	for want, do := range map[string]func() error{
		"/peers/did:web:localhost%253A8443/approve": func() error { _, err := c.ApprovePeer(t.Context(), "did:web:localhost%3A8443"); return err },
		"/exchanges/..%2F..%2Fx":                    func() error { _, err := c.Exchange(t.Context(), "../../x"); return err },
		"/jobs/%3Fa=b%23":                           func() error { _, err := c.Job(t.Context(), "?a=b#"); return err },
		"/profiles/soundex%2F1":                     func() error { _, err := c.Profile(t.Context(), "soundex/1"); return err },
	} {
		if err := do(); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}

func TestImportStreams(t *testing.T) {
	dir := t.TempDir()
	first := make(chan string)
	node(t, dir, func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 4)
		_, _ = io.ReadFull(r.Body, b)
		first <- string(b)
		rest, _ := io.ReadAll(r.Body)
		w.WriteHeader(202)
		_ = json.NewEncoder(w).Encode(api.Job{ID: "1", Message: string(rest) + r.URL.RawQuery})
	})
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.WriteString(pw, "head")
		if got := <-first; got != "head" {
			t.Errorf("the node read %q", got)
		}
		_, _ = io.WriteString(pw, "tail")
		pw.Close()
	}()
	job, err := open(t, client.Options{DataDir: dir}).ImportContacts(t.Context(), pr, api.ImportOptions{Comma: ";", DateOrder: "dmy"})
	if err != nil || job.Message != "tailcomma=%3B&date_order=dmy" {
		t.Errorf("%+v, %v", job, err)
	}
}

// A list that comes to a halt does not keep a caller who gave up.
func TestImportGivenUp(t *testing.T) {
	dir := t.TempDir()
	begun := make(chan struct{})
	node(t, dir, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 1))
		close(begun)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	ctx, cancel := context.WithCancel(t.Context())
	halt := make(chan struct{})
	t.Cleanup(func() { close(halt) })
	go func() { <-begun; cancel() }()
	if _, err := open(t, client.Options{DataDir: dir}).ImportContacts(ctx, &halting{"first_name", halt}, api.ImportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	// A list that cannot be read says so.
	broken := errors.New("the disk failed")
	begun = make(chan struct{})
	if _, err := open(t, client.Options{DataDir: dir}).ImportContacts(t.Context(), iotest.ErrReader(broken), api.ImportOptions{}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type halting struct {
	text string
	halt chan struct{}
}

func (h *halting) Read(p []byte) (int, error) {
	if h.text == "" {
		<-h.halt
		return 0, io.EOF
	}
	n := copy(p, h.text)
	h.text = h.text[n:]
	return n, nil
}

func TestDownloadBreaksOff(t *testing.T) {
	dir := t.TempDir()
	node(t, dir, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 64<<10))
		panic(http.ErrAbortHandler)
	})
	c := open(t, client.Options{DataDir: dir})
	if err := c.ExportContacts(t.Context(), io.Discard, ""); err == nil || !strings.Contains(err.Error(), "not whole") {
		t.Errorf("%v", err)
	}
	full := errors.New("the disk is full")
	if err := c.ExportContacts(t.Context(), failing{full}, ""); !errors.Is(err, full) || strings.Contains(err.Error(), "connection") {
		t.Errorf("%v", err)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

func TestPages(t *testing.T) {
	dir := t.TempDir()
	var asked []string
	node(t, dir, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("after"))
		switch r.URL.Query().Get("after") {
		case "":
			_, _ = io.WriteString(w, `{"items":[{"id":1},{"id":2}],"next":"2"}`)
		case "2":
			_, _ = io.WriteString(w, `{"items":[{"id":3}],"next":"3"}`)
		default:
			problem(w, 500, "internal", "no more")
		}
	})
	c := open(t, client.Options{DataDir: dir})
	var ids []uint64
	var last error
	for contact, err := range c.Contacts(t.Context(), 0) {
		if last = err; err == nil {
			ids = append(ids, contact.ID)
		}
	}
	if !slices.Equal(ids, []uint64{1, 2, 3}) || last == nil || !slices.Equal(asked, []string{"", "2", "3"}) {
		t.Errorf("%v, %v, asked %q", ids, last, asked)
	}
}

// A job is followed over a connection that breaks and a node that is away for a while.
func TestWatchJob(t *testing.T) {
	dir := t.TempDir()
	event := func(state jobs.State, done uint64) string {
		text, _ := json.Marshal(api.Job{ID: "7", State: state, Done: done})
		return "id: 1\nevent: job\ndata: " + string(text) + "\n\n"
	}
	var calls atomic.Int32
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/jobs/7/events" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		switch calls.Add(1) {
		case 1:
			_, _ = io.WriteString(w, "retry: 1000\n\n:\n\nevent: other\ndata: {\"id\":\"8\",\"state\":\"done\"}\n\n"+event(jobs.Running, 1))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case 2:
			_, _ = io.WriteString(w, event(jobs.Running, 2)) // and a clean end: the node stops
		case 3:
			w.Header().Set("Retry-After", "5")
			problem(w, 503, "stopping", "stopping")
		case 5:
			_, _ = io.WriteString(w, event(jobs.Waiting, 2)+event(jobs.Done, 3))
		}
	}
	s := node(t, dir, handler)
	slept := 0
	c := open(t, client.Options{DataDir: dir, Sleep: func(ctx context.Context, _ time.Duration) error {
		switch slept++; slept {
		case 3: // the node is gone
			s.Close()
		case 5: // and comes back
			calls.Store(4)
			s = node(t, dir, handler)
		}
		return ctx.Err()
	}})
	var seen []uint64
	job, err := c.WatchJob(t.Context(), "7", func(j api.Job) { seen = append(seen, j.Done) })
	if err != nil || job.State != jobs.Done || !slices.Equal(seen, []uint64{1, 2, 2, 3}) {
		t.Errorf("%+v, %v, saw %v", job, err, seen)
	}
}

func TestWatchJobGivesUp(t *testing.T) {
	dir := t.TempDir()
	var slept time.Duration
	c := open(t, client.Options{DataDir: dir, Sleep: noSleep(&slept)})
	_, err := c.WatchJob(t.Context(), "7", nil)
	var gone *client.NotRunning
	if !errors.As(err, &gone) || slept < time.Minute || slept > 10*time.Minute {
		t.Errorf("%v after %v", err, slept)
	}
	node(t, dir, func(w http.ResponseWriter, _ *http.Request) { problem(w, 404, "not-found", "there is no such job") })
	slept = 0
	var p *client.Problem
	if _, err := c.WatchJob(t.Context(), "7", nil); !errors.As(err, &p) || slept != 0 {
		t.Errorf("no such job: %v after %v", err, slept)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := c.WatchJob(ctx, "7", nil); !errors.Is(err, why) {
		t.Errorf("given up: %v", err)
	}
}
