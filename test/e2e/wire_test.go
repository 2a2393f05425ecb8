package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"ihyid/exchange"
	"ihyid/test/harness"
)

// wire is somebody who speaks HTTPS to nodes and is no node.
type wire struct {
	t      *testing.T
	client *http.Client
}

func newWire(t *testing.T, net *harness.Net) *wire {
	tr := &http.Transport{TLSClientConfig: net.Trust()}
	t.Cleanup(tr.CloseIdleConnections)
	return &wire{t, &http.Client{Transport: tr}}
}

// send sends a request to a node and gives the answer; chunked sends the body in pieces of unknown total.
func (w *wire) send(n *harness.Node, method, path, contentType string, body []byte, chunked bool) (*http.Response, []byte) {
	w.t.Helper()
	var in io.Reader = bytes.NewReader(body)
	if chunked {
		in = io.MultiReader(in) // hides the length
	}
	return w.do(n, method, path, contentType, "", in)
}

// sendAs is send with a token; "" is none.
func (w *wire) sendAs(token string, n *harness.Node, method, path, contentType string, body []byte) (*http.Response, []byte) {
	w.t.Helper()
	return w.do(n, method, path, contentType, token, bytes.NewReader(body))
}

func (w *wire) do(n *harness.Node, method, path, contentType, token string, in io.Reader) (*http.Response, []byte) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, fmt.Sprintf("https://localhost:%d%s", n.Port, path), in)
	harness.Check(w.t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := w.client.Do(req)
	harness.Check(w.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	harness.Check(w.t, err)
	return resp, answer
}

// problem holds an answer against RFC 9457.
func problem(t *testing.T, resp *http.Response, body []byte, status int, code string, says string) {
	t.Helper()
	var p struct {
		Type, Title, Detail, Instance string
		Status                        int
	}
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("content type %q, status %d: %s", got, resp.StatusCode, body)
	}
	harness.Check(t, json.Unmarshal(body, &p))
	if resp.StatusCode != status || p.Status != status || p.Type != "urn:ihyid:problem:"+code {
		t.Errorf("status %d, want %d; %s", resp.StatusCode, status, body)
	}
	if p.Title == "" || p.Instance == "" || !strings.Contains(p.Detail, says) {
		t.Errorf("the detail should say %q: %s", says, body)
	}
}

// TestHostileRequests sends a node what no honest peer sends, over the real wire.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	a := net.Add("alpha")
	b, before := behind(t, net, "beta")
	load(t, 200, a, b)
	harness.Befriend(a, b)
	done(t, a, b, begin(t, a, b))

	// An opening that has not arrived yet: its challenge is good, and it is kept back.
	held := make(chan []byte, 1)
	before.during(func(p passed) fault {
		if p.Kind != "IhyidBundle" {
			return pass
		}
		select {
		case held <- p.Body:
		default:
		}
		return cut
	})
	id := begin(t, a, b)
	fresh := <-held

	w := newWire(t, net)
	opening := before.messages("IhyidBundle")[0]
	const messages, vp = "/node/messages", "application/vp"
	last := len(fresh) - 1
	for _, tc := range []struct {
		name, method, path, contentType string
		body                            []byte
		status                          int
		code, says                      string
	}{
		{"a presentation again", "POST", messages, vp, opening, 403, "challenge", "used"},
		{"a registration again", "POST", messages, vp, before.messages("IhyidRegistrationRequest")[0], 403, "challenge", "used"},
		{"a step of an exchange again", "POST", messages, vp, before.messages("IhyidReceiptCompletion")[0], 403, "challenge", "used"},
		{"a changed presentation", "POST", messages, vp, bytes.Replace(fresh, []byte(`"a test"`), []byte(`"a jest"`), 1), 403, "presentation", ""},
		{"another holder", "POST", messages, vp, bytes.ReplaceAll(fresh, []byte(a.DID), []byte(b.DID)), 403, "challenge", ""},
		{"a truncated presentation", "POST", messages, vp, fresh[:len(fresh)/2], 400, "invalid", ""},
		{"all but the last byte", "POST", messages, vp, fresh[:last], 400, "invalid", ""},
		{"a member twice", "POST", messages, vp, append([]byte(`{"holder":"did:web:evil.example",`), fresh[1:]...), 400, "invalid", ""},
		{"a member twice, deep inside", "POST", messages, vp, bytes.Replace(fresh, []byte(`"challenge":`), []byte(`"challenge":"x","challenge":`), 1), 400, "invalid", ""},
		{"bytes that are not UTF-8", "POST", messages, vp, bytes.Replace(fresh, []byte("a test"), []byte("a \xff\xfest"), 1), 400, "invalid", ""},
		{"a second document behind", "POST", messages, vp, append(bytes.Clone(fresh), "{}"...), 400, "invalid", ""},
		{"deep nesting", "POST", messages, vp, bytes.Repeat([]byte("["), 100_000), 400, "invalid", ""},
		{"an array", "POST", messages, vp, []byte("[]"), 400, "invalid", ""},
		{"nothing", "POST", messages, vp, nil, 400, "invalid", ""},
		{"a body over the limit", "POST", messages, vp, append(bytes.Clone(fresh), bytes.Repeat([]byte(" "), exchange.MaxPresentation)...), 413, "too-large", "1048576"},
		{"a wrong content type", "POST", messages, "text/plain", fresh, 415, "unsupported-media-type", "application/vp"},
		{"no content type", "POST", messages, "", fresh, 415, "unsupported-media-type", ""},
		{"another charset", "POST", messages, "application/json; charset=utf-16", fresh, 415, "unsupported-media-type", ""},
		{"a wrong method", "PUT", messages, vp, fresh, 405, "method-not-allowed", ""},
		{"an unknown path", "POST", "/node/message", vp, fresh, 401, "unauthorized", ""},
		{"a path with steps", "POST", "/node/../node/messages", vp, fresh, 401, "unauthorized", ""},
		{"a challenge for no DID", "POST", "/node/challenges", "application/json", []byte(`{"sender":"me","action":"IhyidBundle"}`), 400, "invalid", ""},
		{"a challenge for an unknown action", "POST", "/node/challenges", "application/json", []byte(`{"sender":"` + a.DID + `","action":"IhyidGift"}`), 422, "unsupported", ""},
		{"a challenge with a member twice", "POST", "/node/challenges", "application/json", []byte(`{"sender":"` + a.DID + `","sender":"x","action":"IhyidBundle"}`), 400, "invalid", ""},
		{"a challenge over the limit", "POST", "/node/challenges", "application/json", bytes.Repeat([]byte(" "), 8<<10+1), 413, "too-large", ""},
		{"progress without a token", "GET", "/node/exchanges/" + id, "", nil, 401, "token", ""},
		{"a chunk without a token", "PUT", "/node/exchanges/" + id + "/bundle/chunks/0", "application/octet-stream", []byte("chunk"), 401, "token", ""},
		{"the local API", "GET", "/contacts", "", nil, 401, "unauthorized", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &wire{t, w.client}
			was := state(t, b)
			for _, chunked := range []bool{false, true} {
				if chunked && len(tc.body) == 0 {
					continue
				}
				resp, body := w.send(b, tc.method, tc.path, tc.contentType, tc.body, chunked)
				problem(t, resp, body, tc.status, tc.code, tc.says)
			}
			unchanged(t, b, was)
		})
	}

	t.Run("a presentation for another node", func(t *testing.T) {
		was := state(t, a)
		resp, body := (&wire{t, w.client}).send(a, "POST", messages, vp, opening, false)
		problem(t, resp, body, 403, "challenge", "")
		unchanged(t, a, was)
	})

	// None of that voided the honest sender's challenge, nor hurt its exchange.
	resp, body := w.send(b, "POST", messages, vp, fresh, false)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the honest presentation was refused after the forged ones: %s", body)
	}
	resp, body = w.send(b, "POST", messages, vp, fresh, false)
	problem(t, resp, body, 403, "challenge", "used")
	before.heal()
	done(t, a, b, id)
}
