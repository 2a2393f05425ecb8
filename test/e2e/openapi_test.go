package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"ihyid/test/harness"
	"ihyid/test/lists"
)

// apiClient knows of a node's API only what /openapi.json says: which path and method an operation has, where its parameters go,
// whether it needs a token, and which statuses and members to expect.
type apiClient struct {
	t     *testing.T
	http  *http.Client
	base  string
	doc   description
	token string
}

type description struct {
	OpenAPI string                          `json:"openapi"`
	Paths   map[string]map[string]operation `json:"paths"`

	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	ID         string `json:"operationId"`
	Parameters []struct {
		Name     string `json:"name"`
		In       string `json:"in"`
		Required bool   `json:"required"`
	} `json:"parameters"`
	RequestBody struct {
		Content map[string]media `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]media `json:"content"`
	} `json:"responses"`
	Security []map[string][]string `json:"security"`
}

type media struct {
	Schema schema `json:"schema"`
}

type schema struct {
	Ref        string            `json:"$ref"`
	Type       any               `json:"type"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
}

// follow gives the schema behind a reference.
func (d description) follow(s schema) schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[name]
	}
	return s
}

func newAPIClient(t *testing.T, net *harness.Net, n *harness.Node) *apiClient {
	tr := &http.Transport{TLSClientConfig: net.Trust()}
	t.Cleanup(tr.CloseIdleConnections)
	c := &apiClient{t: t, http: &http.Client{Transport: tr}, base: fmt.Sprintf("https://localhost:%d", n.Port)}
	resp, err := c.http.Get(c.base + "/openapi.json")
	harness.Check(t, err)
	defer resp.Body.Close()
	harness.Check(t, json.NewDecoder(resp.Body).Decode(&c.doc))
	if !strings.HasPrefix(c.doc.OpenAPI, "3.1.") {
		t.Fatalf("the description is of OpenAPI %q", c.doc.OpenAPI)
	}
	return c
}

// call asks for an operation by its id. What stands in args goes where the description says; the rest is the JSON body, unless
// raw is given, which is sent as the media type that kind names. The answer is held against the description.
func (c *apiClient) call(id string, args map[string]any, kind string, raw []byte) (int, map[string]any) {
	c.t.Helper()
	for path, methods := range c.doc.Paths {
		for method, op := range methods {
			if op.ID == id {
				return c.send(strings.ToUpper(method), path, op, args, kind, raw)
			}
		}
	}
	c.t.Fatalf("the description knows no operation %s", id)
	return 0, nil
}

func (c *apiClient) send(method, path string, op operation, args map[string]any, kind string, raw []byte) (int, map[string]any) {
	c.t.Helper()
	query := url.Values{}
	rest := map[string]any{}
	for k, v := range args {
		rest[k] = v
	}
	for _, p := range op.Parameters {
		v, given := rest[p.Name]
		if !given {
			if p.Required {
				c.t.Fatalf("%s needs %s", op.ID, p.Name)
			}
			continue
		}
		delete(rest, p.Name)
		switch p.In {
		case "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(fmt.Sprint(v)))
		case "query":
			query.Set(p.Name, fmt.Sprint(v))
		}
	}
	if _, ok := op.RequestBody.Content["application/json"]; ok && raw == nil {
		var err error
		raw, err = json.Marshal(rest)
		harness.Check(c.t, err)
		kind = "application/json"
	} else if raw == nil && len(rest) > 0 {
		c.t.Fatalf("%s has no place for %v", op.ID, rest)
	}
	if raw != nil {
		if _, ok := op.RequestBody.Content[kind]; !ok {
			c.t.Fatalf("%s takes no %s", op.ID, kind)
		}
	}
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, target, bytes.NewReader(raw))
	harness.Check(c.t, err)
	if raw != nil {
		req.Header.Set("Content-Type", kind)
	}
	if op.Security == nil {
		c.t.Fatalf("the description does not say whether %s needs a token", op.ID)
	}
	if len(op.Security) > 0 && c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	harness.Check(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	harness.Check(c.t, err)

	described, ok := op.Responses[fmt.Sprint(resp.StatusCode)]
	if !ok {
		if described, ok = op.Responses["default"]; !ok {
			c.t.Fatalf("%s answers %d, of which its description says nothing: %s", op.ID, resp.StatusCode, text)
		}
	}
	if len(text) == 0 {
		return resp.StatusCode, nil
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	m, ok := described.Content[mediaType]
	if !ok {
		c.t.Fatalf("%s answers %d as %s, which its description does not name", op.ID, resp.StatusCode, mediaType)
	}
	var out map[string]any
	if json.Unmarshal(text, &out) != nil {
		return resp.StatusCode, nil // a list: whoever asks for one looks at the description's other operations
	}
	s := c.doc.follow(m.Schema)
	for _, name := range s.Required {
		if _, ok := out[name]; !ok {
			c.t.Errorf("%s: the answer has no %s, which the description promises: %s", op.ID, name, text)
		}
	}
	for name := range out {
		if _, ok := s.Properties[name]; !ok && len(s.Properties) > 0 {
			c.t.Errorf("%s: the answer has %s, of which the description says nothing", op.ID, name)
		}
	}
	return resp.StatusCode, out
}

// ok is call for what has to go well.
func (c *apiClient) ok(id string, args map[string]any) map[string]any {
	c.t.Helper()
	status, out := c.call(id, args, "", nil)
	if status >= 300 {
		c.t.Fatalf("%s: %d %v", id, status, out)
	}
	return out
}

func (c *apiClient) login(name, password string) {
	c.t.Helper()
	c.token = c.ok("auth-login", map[string]any{"name": name, "password": password})["access_token"].(string)
}

// addUser makes an account as its operator does, on the machine of the node.
func addUser(t *testing.T, n *harness.Node, name, role, password string) {
	t.Helper()
	_, err := n.Client.AddUser(t.Context(), name, role, password)
	harness.Check(t, err)
}

// TestDrivenByDescription does a day's work over the network with a program that knows the API from /openapi.json alone.
func TestDrivenByDescription(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	a, b := net.Add("alpha"), net.Add("beta")
	const password = "an operator's long password"
	people := lists.Options{N: 1500, Seed: 11, Organisations: []lists.Organisation{{Name: "alpha", Prefix: "A"}, {Name: "beta", Prefix: "B"}}}
	population, err := lists.New(people)
	harness.Check(t, err)
	clients := map[*harness.Node]*apiClient{}
	for i, n := range []*harness.Node{a, b} {
		addUser(t, n, "amal", "admin", password)
		c := newAPIClient(t, net, n)
		clients[n] = c
		if status, _ := c.call("contacts-list", nil, "", nil); status != http.StatusUnauthorized {
			t.Errorf("a stranger who asks for contacts is answered %d", status)
		}
		c.login("amal", password)
		var list bytes.Buffer
		harness.Check(t, population.WriteCSV(&list, i))
		status, job := c.call("contacts-import", nil, "text/csv", list.Bytes())
		if status != http.StatusAccepted {
			t.Fatalf("the import is answered %d: %v", status, job)
		}
		n.Job(job["id"].(string))
		if job = c.ok("jobs-show", map[string]any{"id": job["id"]}); job["state"] != "done" {
			t.Fatalf("the import ended as %v", job)
		}
		found := c.ok("contacts-duplicates-find", nil)
		n.Job(found["id"].(string))
	}
	ca, cb := clients[a], clients[b]
	if pairs := ca.ok("contacts-duplicates", nil)["items"].([]any); len(pairs) == 0 {
		t.Error("the list holds people twice, and no possible duplicates are shown")
	}
	ca.ok("peers-add", map[string]any{"did": b.DID, "expect": map[string]any{"name": b.Org.Name, "registration_number": b.Org.RegistrationNumber, "country": b.Org.Country}})
	cb.ok("peers-approve", map[string]any{"did": a.DID})
	a.Until("the approval", func(ctx context.Context) (bool, error) {
		return ca.ok("peers-show", map[string]any{"did": b.DID})["state"] == "approved", nil
	})
	digits := ca.ok("peers-fingerprint", map[string]any{"did": b.DID})
	ca.ok("peers-confirm", map[string]any{"did": b.DID, "fingerprint": digits["fingerprint"]})
	e := ca.ok("exchanges-start", map[string]any{"peer": b.DID, "profile": "levant/1", "protocol": "voprf", "purpose": "winter kits"})
	a.Until("the exchange", func(context.Context) (bool, error) {
		e = ca.ok("exchanges-show", map[string]any{"id": e["id"]})
		if e["state"] == "failed" {
			t.Fatalf("the exchange failed: %v", e["error"])
		}
		return e["state"] == "done", nil
	})
	if e["in_common"].(float64) == 0 {
		t.Error("nobody is in common")
	}
	if matches := ca.ok("exchanges-matches", map[string]any{"id": e["id"]})["items"].([]any); len(matches) == 0 {
		t.Error("no matches are shown")
	}
	if receipts := ca.ok("receipts-list", nil)["items"].([]any); len(receipts) != 1 {
		t.Errorf("%d receipts", len(receipts))
	}
	ca.ok("receipts-show", map[string]any{"id": e["id"]})
	ca.ok("auth-logout", nil)
	if status, _ := ca.call("contacts-list", nil, "", nil); status != http.StatusUnauthorized {
		t.Errorf("after signing out, the token is answered %d", status)
	}
}
