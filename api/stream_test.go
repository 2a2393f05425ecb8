package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ihyid/api"
	"ihyid/api/accounts"
	"ihyid/api/policy"
	"ihyid/store/jobs"
)

// An upload reaches the register while it is still being sent.
func TestImportStreams(t *testing.T) {
	first := make(chan string)
	r := serve(t, &fakeNode{})
	r.reg.startImport = func(_ context.Context, body io.Reader, o api.ImportOptions) (jobs.Job, error) {
		b := make([]byte, 11)
		if _, err := io.ReadFull(body, b); err != nil {
			return jobs.Job{}, err
		}
		first <- string(b)
		rest, err := io.ReadAll(body)
		return jobs.Job{ID: "9", State: jobs.Queued, Message: string(rest) + "|" + o.Comma + "|" + o.DateOrder}, err
	}
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.WriteString(pw, "first_name\n")
		if got := <-first; got != "first_name\n" { // the register has it, and the rest is not yet written
			t.Errorf("the register read %q", got)
		}
		_, _ = io.WriteString(pw, "Houman\n")
		pw.Close()
	}()
	resp, body := ask(t, r.local, "POST", "http://node/contacts/import?comma=tab&date_order=dmy", pr, "Content-Type", "text/csv; charset=utf-8")
	if resp.StatusCode != 202 || !strings.Contains(string(body), `"id":"9"`) || !strings.Contains(string(body), `"message":"Houman\n|\t|dmy"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// A large upload does not sit in memory.
func TestImportMemory(t *testing.T) {
	const size, most = 256 << 20, 24 << 20
	var peak uint64
	heap := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	var before uint64
	r := serve(t, &fakeNode{})
	r.reg.startImport = func(_ context.Context, body io.Reader, _ api.ImportOptions) (jobs.Job, error) {
		b := make([]byte, 64<<10)
		var n int64
		for {
			m, err := body.Read(b)
			if n/(8<<20) != (n+int64(m))/(8<<20) {
				runtime.GC() // what is still there is held
				peak = max(peak, heap())
			}
			n += int64(m)
			if err == io.EOF {
				return jobs.Job{ID: fmt.Sprint(n)}, nil
			}
			if err != nil {
				return jobs.Job{}, err
			}
		}
	}
	runtime.GC()
	before = heap()
	resp, body := ask(t, r.local, "POST", "http://node/contacts/import", hidden{io.LimitReader(zeros{}, size)}, "Content-Type", "text/csv")
	if resp.StatusCode != 202 || !strings.Contains(string(body), fmt.Sprintf(`"id":"%d"`, size)) {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if peak == 0 || peak > before+most {
		t.Errorf("an upload of %d MiB took %d KiB of heap", size>>20, (peak-before)>>10)
	}
}

// An upload that breaks off reaches the register as an error, never as an end.
func TestImportBreaksOff(t *testing.T) {
	ended := make(chan error, 1)
	r := serve(t, &fakeNode{}, withLimits(api.Limits{BodyGrace: 100 * time.Millisecond}))
	r.reg.startImport = func(_ context.Context, body io.Reader, _ api.ImportOptions) (jobs.Job, error) {
		_, err := io.Copy(io.Discard, body)
		ended <- err
		if err != nil {
			return jobs.Job{}, fmt.Errorf("taking the list: %w", err)
		}
		return jobs.Job{}, nil
	}
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://node/contacts/import", pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/csv")
	gone := make(chan error)
	go func() {
		_, err := r.local.Do(req)
		gone <- err
	}()
	_, _ = io.WriteString(pw, "first_name\nHou")
	why := errors.New("the caller's disk failed")
	pw.CloseWithError(why)
	if err := <-gone; !errors.Is(err, why) {
		t.Errorf("the caller: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the register took half a list for a whole one")
	}

	// And one that just stops is answered.
	pr, pw = io.Pipe()
	defer pw.Close()
	go func() { _, _ = io.WriteString(pw, "first_name\n") }()
	resp, body := ask(t, r.local, "POST", "http://node/contacts/import", pr, "Content-Type", "text/csv")
	wantProblem(t, resp, body, 408, "timeout")
	<-ended
}

func TestImportBusy(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	r := serve(t, &fakeNode{}, withLimits(api.Limits{Imports: 1}))
	r.reg.startImport = func(context.Context, io.Reader, api.ImportOptions) (jobs.Job, error) {
		inside <- struct{}{}
		<-leave
		return jobs.Job{ID: "1"}, nil
	}
	done := make(chan int)
	go func() {
		resp, _ := ask(t, r.local, "POST", "http://node/contacts/import", strings.NewReader("x"), "Content-Type", "text/csv")
		done <- resp.StatusCode
	}()
	<-inside
	resp, body := ask(t, r.local, "POST", "http://node/contacts/import", strings.NewReader("x"), "Content-Type", "text/csv")
	wantProblem(t, resp, body, 503, "busy")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(leave)
	if status := <-done; status != 202 {
		t.Errorf("the first: %d", status)
	}
}

func TestExport(t *testing.T) {
	r := serve(t, &fakeNode{})
	next := make(chan struct{})
	r.reg.export = func(_ context.Context, w io.Writer) error {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 64<<10)) // more than net/http keeps back
		<-next
		_, err := io.WriteString(w, "end")
		return err
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://node/contacts/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.local.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 32<<10)
	if _, err := io.ReadFull(resp.Body, b); err != nil {
		t.Fatal(err)
	}
	close(next) // only now is there a rest
	rest, err := io.ReadAll(resp.Body)
	if err != nil || len(rest) != 32<<10+3 {
		t.Errorf("%d bytes more, %v", len(rest), err)
	}
	if d := resp.Header.Get("Content-Disposition"); d != `attachment; filename="contacts.csv"` {
		t.Errorf("Content-Disposition %q", d)
	}

	// A failure in the middle cuts the connection: half a file is not to be taken for a whole one.
	r.reg.export = func(_ context.Context, w io.Writer) error {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 64<<10))
		return errors.New("the disk failed")
	}
	resp, err = r.local.Do(req.Clone(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes of a broken export looked whole", n)
	}
	// One before the first byte is a problem.
	r.reg.export = func(context.Context, io.Writer) error { return errors.New("the disk failed") }
	answer, body := ask(t, r.local, "GET", "http://node/contacts/export", nil)
	wantProblem(t, answer, body, 500, "internal")
	if answer.Header.Get("Content-Disposition") != "" {
		t.Error("the problem is offered as a file")
	}
	if n := strings.Count(r.log.String(), "the disk failed"); n != 2 {
		t.Errorf("the failure was logged %d times:\n%s", n, r.log)
	}
}

func TestJobEvents(t *testing.T) {
	changes := make(chan jobs.Job)
	var watchers atomic.Int32
	r := serve(t, &fakeNode{}, withLimits(api.Limits{KeepAlive: 5 * time.Millisecond, LocalRequests: 1, Watchers: 1}))
	r.jobs.watch = func(context.Context, string) (<-chan jobs.Job, error) {
		watchers.Add(1)
		return changes, nil
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://node/jobs/7/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.local.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	read := func(until string) string {
		t.Helper()
		var text strings.Builder
		b := make([]byte, 1)
		for !strings.HasSuffix(text.String(), until) {
			if _, err := resp.Body.Read(b); err != nil {
				t.Fatalf("%q, then %v", text.String(), err)
			}
			text.Write(b)
		}
		return text.String()
	}
	if got := read("\n\n"); got != "retry: 1000\n\n" {
		t.Errorf("%q", got)
	}
	read(":\n\n") // nothing happens, and the stream says so
	changes <- jobs.Job{ID: "7", Revision: 4, State: jobs.Running, Done: 3, Cursor: []byte(`"private"`)}
	got := read("}\n\n")
	if i := strings.Index(got, "id:"); i < 0 || got[i:] != `id: 4-`+sumOf(got)+`
event: job
data: {"id":"7","kind":"","state":"running","done":3,"created":"0001-01-01T00:00:00Z","updated":"0001-01-01T00:00:00Z"}

` {
		t.Errorf("%q", got)
	}
	// A watcher holds no place among the requests, and watchers have a bound of their own.
	answer, body := ask(t, r.local, "GET", "http://node/jobs/7/events", nil)
	wantProblem(t, answer, body, 503, "busy")
	changes <- jobs.Job{ID: "7", State: jobs.Failed, Error: "no"}
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(rest), `"state":"failed"`) {
		t.Errorf("the end: %q, %v", rest, err)
	}
	if watchers.Load() != 1 {
		t.Errorf("%d watchers", watchers.Load())
	}
	r.jobs.err = jobs.ErrNotFound
	answer, body = ask(t, r.local, "GET", "http://node/jobs/7/events", nil)
	wantProblem(t, answer, body, 404, "not-found")
}

// Streams of events end when the node stops; they do not hold it up.
func TestEventsEndWithNode(t *testing.T) {
	r := serve(t, &fakeNode{})
	r.jobs.watch = func(context.Context, string) (<-chan jobs.Job, error) { return make(chan jobs.Job), nil }
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://node/jobs/7/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.local.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r.stop()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("the stream was cut: %v", err)
	}
}

// A stream of events ends with the right to it: what took the right away shows on the stream itself.
func TestEventsEndWithRight(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p), withLimits(api.Limits{KeepAlive: 5 * time.Millisecond}))
	r.jobs.watch = func(context.Context, string) (<-chan jobs.Job, error) { return make(chan jobs.Job), nil }
	fatima := p.add(t, "fatima", policy.Operator)
	token, err := p.CreateToken(t.Context(), fatima.ID, "", []policy.Scope{policy.ScopeJobsRead}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	watch := func(client *http.Client, url string, header ...string) (end func()) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/jobs/7/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(header[0], header[1])
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 {
			t.Fatalf("%s", resp.Status)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, len("retry: 1000\n\n:\n\n:\n\n"))); err != nil {
			t.Fatalf("no signs of life: %v", err)
		}
		return func() {
			t.Helper()
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Errorf("the stream was cut: %v", err)
			}
		}
	}
	signed := watch(r.public, r.url, "Authorization", "Bearer "+signIn(t, r, "fatima").Access)
	if err := p.SignOut(t.Context(), fatima.ID); err != nil {
		t.Fatal(err)
	}
	signed()
	bearing, named := watch(r.public, r.url, "Authorization", "Bearer "+token.Secret), watch(r.local, "http://node", api.AccountHeader, "fatima")
	if _, err := p.SetRole(t.Context(), fatima.ID, policy.Auditor); err != nil {
		t.Fatal(err)
	}
	bearing()
	named()
}

// sumOf is what the id of an event says of its data.
func sumOf(event string) string {
	_, data, _ := strings.Cut(event, "data: ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(data)))
	return hex.EncodeToString(sum[:8])
}

// TestLastEventID: who connects again with the id of the state that it has gets the next change first; with any other it gets the job as it is; and who has
// the end is told that nothing more comes.
func TestLastEventID(t *testing.T) {
	r := serve(t, &fakeNode{})
	now := jobs.Job{ID: "7", Kind: "contacts.import", State: jobs.Running, Done: 3, Revision: 4}
	end := now
	end.State, end.Done, end.Revision = jobs.Done, 9, 6
	r.jobs.get = func() jobs.Job { return now }
	r.jobs.watch = func(context.Context, string) (<-chan jobs.Job, error) {
		ch := make(chan jobs.Job, 2)
		ch <- now
		if !now.State.Final() {
			ch <- end
		}
		close(ch)
		return ch, nil
	}
	type event struct{ id, data string }
	events := func(last string) (list []event, status int) {
		t.Helper()
		var headers []string
		if last != "" {
			headers = []string{"Last-Event-ID", last}
		}
		resp, body := ask(t, r.local, http.MethodGet, "http://node/jobs/7/events", nil, headers...)
		for part := range strings.SplitSeq(string(body), "\n\n") {
			var e event
			for line := range strings.SplitSeq(part, "\n") {
				switch field, value, _ := strings.Cut(line, ": "); field {
				case "id":
					e.id = value
				case "data":
					e.data = value
				}
			}
			if e.data != "" {
				list = append(list, e)
			}
		}
		return list, resp.StatusCode
	}
	whole, status := events("")
	if len(whole) != 2 || status != http.StatusOK || !strings.HasPrefix(whole[0].id, "4-") || !strings.HasPrefix(whole[1].id, "6-") {
		t.Fatalf("%d %+v", status, whole)
	}
	if rest, _ := events(whole[0].id); len(rest) != 1 || rest[0] != whole[1] {
		t.Errorf("after the first: %+v", rest)
	}
	for _, other := range []string{"3-0011223344556677", "4-0011223344556677", "99-" + whole[0].id[2:], "x", "4"} {
		if again, _ := events(other); len(again) != 2 {
			t.Errorf("after %s: %+v", other, again)
		}
	}
	now = end
	if rest, status := events(whole[1].id); len(rest) != 0 || status != http.StatusNoContent {
		t.Errorf("after the end: %d %+v", status, rest)
	}
	if rest, status := events(whole[0].id); len(rest) != 1 || rest[0] != whole[1] || status != http.StatusOK {
		t.Errorf("before the end: %d %+v", status, rest)
	}
	resp, body := ask(t, r.local, http.MethodGet, "http://node/jobs/7/events", nil, "Last-Event-ID", strings.Repeat("9", 129))
	wantProblem(t, resp, body, http.StatusUnprocessableEntity, "validation")
}
