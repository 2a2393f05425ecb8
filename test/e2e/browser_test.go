package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"ihyid/test/harness"
)

// browser is one tab of a headless Chromium, driven by the DevTools protocol over a pipe: JSON messages, each ended by a zero byte
// (chromium's --remote-debugging-pipe: it reads descriptor 3 and writes 4).
type browser struct {
	ctx     context.Context
	to      io.Writer
	session string

	mu       sync.Mutex
	last     int
	waiting  map[int]chan reply
	requests []string // URLs of all that the page asked for
	problems []string // what it wrote to its console as errors, and exceptions that nobody caught
	gone     error
}

type reply struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// newBrowser starts Chromium, or skips the test where there is none. It trusts any certificate.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("IHYID_REQUIRE_CHROMIUM") == "1" {
			t.Fatal("there is no chromium")
		}
		t.Skip("NOT TESTED: the explorer in a real browser, for there is no chromium; apt-get install chromium")
	}
	itsIn, in, err := os.Pipe()
	harness.Check(t, err)
	out, itsOut, err := os.Pipe()
	harness.Check(t, err)
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--ignore-certificate-errors", "--no-first-run", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{itsIn, itsOut}
	harness.Check(t, cmd.Start())
	itsIn.Close()
	itsOut.Close()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Limit)
	b := &browser{ctx: ctx, to: in, waiting: map[int]chan reply{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.read(out)
	}()
	t.Cleanup(func() {
		_, _ = b.call("", "Browser.close", nil)
		cancel()
		in.Close()
		<-ended // it closes its end when it is gone
		_ = cmd.Wait()
		out.Close()
	})
	target := b.must(t, "", "Target.createTarget", map[string]any{"url": "about:blank"})
	b.session = b.must(t, "", "Target.attachToTarget", map[string]any{"targetId": target["targetId"], "flatten": true})["sessionId"].(string)
	for _, domain := range []string{"Network", "Runtime", "Log", "Page"} {
		b.must(t, b.session, domain+".enable", nil)
	}
	return b
}

// read takes what the browser says until it is gone.
func (b *browser) read(from io.Reader) {
	r := bufio.NewReader(from)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.gone = errors.New("the browser is gone")
			for _, w := range b.waiting {
				close(w)
			}
			b.waiting = map[int]chan reply{}
			return
		}
		var m struct {
			reply
			ID     int    `json:"id"`
			Method string `json:"method"`
			Params struct {
				Request struct {
					URL string `json:"url"`
				} `json:"request"`
				Entry struct {
					Level, Text, URL string
				} `json:"entry"`
				Type             string          `json:"type"`
				Args             json.RawMessage `json:"args"`
				ExceptionDetails json.RawMessage `json:"exceptionDetails"`
			} `json:"params"`
		}
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue // an event of another shape than those that are looked at
		}
		b.mu.Lock()
		switch w := b.waiting[m.ID]; {
		case m.ID != 0 && w != nil:
			w <- m.reply
			delete(b.waiting, m.ID)
		case m.Method == "Network.requestWillBeSent":
			b.requests = append(b.requests, m.Params.Request.URL)
		case m.Method == "Log.entryAdded" && m.Params.Entry.Level == "error":
			b.problems = append(b.problems, m.Params.Entry.Text+" "+m.Params.Entry.URL)
		case m.Method == "Runtime.consoleAPICalled" && m.Params.Type == "error":
			b.problems = append(b.problems, string(m.Params.Args))
		case m.Method == "Runtime.exceptionThrown":
			b.problems = append(b.problems, string(m.Params.ExceptionDetails))
		}
		b.mu.Unlock()
	}
}

func (b *browser) call(session, method string, params any) (map[string]any, error) {
	b.mu.Lock()
	if b.gone != nil {
		b.mu.Unlock()
		return nil, b.gone
	}
	b.last++
	m := map[string]any{"id": b.last, "method": method}
	if session != "" {
		m["sessionId"] = session
	}
	if params != nil {
		m["params"] = params
	}
	w := make(chan reply, 1)
	b.waiting[b.last] = w
	text, err := json.Marshal(m)
	if err == nil {
		_, err = b.to.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case r, ok := <-w:
		switch {
		case !ok:
			return nil, errors.New("the browser is gone")
		case r.Error != nil:
			return nil, errors.New(method + ": " + r.Error.Message)
		}
		var out map[string]any
		return out, json.Unmarshal(r.Result, &out)
	case <-b.ctx.Done():
		return nil, fmt.Errorf("%s: %w", method, b.ctx.Err())
	}
}

func (b *browser) must(t *testing.T, session, method string, params any) map[string]any {
	t.Helper()
	out, err := b.call(session, method, params)
	harness.Check(t, err)
	return out
}

// eval gives the value of an expression in the page; that of a promise once it is kept.
func (b *browser) eval(t *testing.T, expression string) any {
	t.Helper()
	out := b.must(t, b.session, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true})
	if e, failed := out["exceptionDetails"]; failed {
		t.Fatalf("%s: %v", expression, e)
	}
	return out["result"].(map[string]any)["value"]
}

// await gives the value of an expression once it is one that counts as true.
func (b *browser) await(t *testing.T, expression string) any {
	t.Helper()
	return b.eval(t, `new Promise(kept => { const look = () => { const v = (`+expression+`); if (v) kept(v); else setTimeout(look, 20) }; look() })`)
}
