package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"ihyid/api"
	"ihyid/api/accounts"
	"ihyid/api/policy"
	"ihyid/api/replay"
	"ihyid/exchange"
)

// TestIfMatch: entity tags are read as RFC 9110 writes them, and what is none is refused before anything is asked of the node.
func TestIfMatch(t *testing.T) {
	var asked []uint64
	node := &fakeNode{suspend: func(versions []uint64) (exchange.Peer, error) {
		asked = versions
		if len(versions) > 0 && versions[0] != 7 {
			return exchange.Peer{}, &exchange.Error{Code: exchange.CodePrecondition, Detail: "did:web:b.example was changed since it was read; nothing was done"}
		}
		return exchange.Peer{DID: "did:web:b.example", Version: 8}, nil
	}}
	r := serve(t, node)
	const never = "18446744073709551615"
	for header, want := range map[string]string{
		"": "", "*": "", ` "7" `: "7", `"7"`: "7", `"7" , "9",W/"7", "x", "", "007"`: "7 9 " + never + " " + never + " " + never + " " + never,
	} {
		asked = nil
		resp, body := ask(t, r.local, http.MethodPost, "http://node/peers/did:web:b.example/suspend", strings.NewReader(`{}`), "Content-Type", "application/json", "If-Match", header)
		var got []string
		for _, v := range asked {
			got = append(got, strconv.FormatUint(v, 10))
		}
		if resp.StatusCode != http.StatusOK || strings.Join(got, " ") != want || resp.Header.Get("ETag") != `"8"` {
			t.Errorf("If-Match %s: %d, versions %v, ETag %s; %s", header, resp.StatusCode, got, resp.Header.Get("ETag"), body)
		}
	}
	for _, header := range []string{`7`, `"7`, `7"`, `"7" "8"`, `"7",`, `,`, `"a b"`, `"7", *`, "w/\"7\"", strings.Repeat(`"7",`, 32) + `"7"`} {
		asked = nil
		resp, body := ask(t, r.local, http.MethodPost, "http://node/peers/did:web:b.example/suspend", strings.NewReader(`{}`), "Content-Type", "application/json", "If-Match", header)
		if p := wantProblem(t, resp, body, http.StatusBadRequest, "invalid"); asked != nil || !strings.HasPrefix(p.Detail, "If-Match: ") {
			t.Errorf("If-Match %s: %q, asked for %v", header, p.Detail, asked)
		}
	}
	resp, body := ask(t, r.local, http.MethodPost, "http://node/peers/did:web:b.example/suspend", strings.NewReader(`{}`), "Content-Type", "application/json", "If-Match", `"6"`)
	wantProblem(t, resp, body, http.StatusPreconditionFailed, "precondition-failed")
}

// TestAccountsIfMatch: of two admins who read the same account, the second one changes nothing.
func TestAccountsIfMatch(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p))
	p.add(t, "amina", policy.Admin)
	u := p.add(t, "rana", policy.Checker)
	resp, body := ask(t, r.local, http.MethodGet, "http://node/users/"+u.ID, nil)
	tag := resp.Header.Get("ETag")
	if tag != `"1"` {
		t.Fatalf("ETag %q; %s", tag, body)
	}
	change := func(path, in, tag string) (*http.Response, []byte) {
		return ask(t, r.local, http.MethodPost, "http://node/users/"+u.ID+path, strings.NewReader(in), "Content-Type", "application/json", "If-Match", tag)
	}
	resp, body = change("/role", `{"role":"auditor"}`, tag)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("ETag") != `"2"` {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for path, in := range map[string]string{"/role": `{"role":"admin"}`, "/password": `{"password":"` + goodPassword + `!"}`, "/disable": "", "/enable": "", "/totp/end": ""} {
		resp, body = change(path, in, tag)
		wantProblem(t, resp, body, http.StatusPreconditionFailed, "precondition-failed")
	}
	now, err := p.Get(context.Background(), u.ID)
	if err != nil || now.Role != policy.Auditor || now.Disabled || now.Version != 2 {
		t.Errorf("%+v, %v", now, err)
	}
	if resp, body = change("/disable", "", `"2"`); resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// TestDescribedConditions: the description names If-Match where a change takes it, the ETag where a thing is given, and Idempotency-Key where something is made.
func TestDescribedConditions(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p), func(o *api.Options) { o.Replay = replay.New(p.store, time.Now) })
	_, text := ask(t, r.local, http.MethodGet, "http://node/openapi.json", nil)
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
			Responses  map[string]struct{ Headers map[string]any }
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	takes := func(method, path, name string) bool {
		for _, q := range doc.Paths[path][method].Parameters {
			if q.Name == name && q.In == "header" {
				return true
			}
		}
		return false
	}
	for _, c := range []string{"patch /contacts/{number}", "delete /contacts/{number}", "put /contacts/retention", "delete /peers/{did}", "post /peers/{did}/approve", "post /peers/{did}/refuse",
		"post /peers/{did}/suspend", "post /peers/{did}/resume", "post /peers/{did}/confirm", "post /agreements/{id}/approve", "post /agreements/{id}/refuse", "post /agreements/{id}/end",
		"post /exchanges/{id}/approve", "post /exchanges/{id}/refuse", "post /exchanges/{id}/excuse", "post /users/{account}/role", "post /users/{account}/password",
		"post /users/{account}/disable", "post /users/{account}/enable", "post /users/{account}/totp/end"} {
		if method, path, _ := strings.Cut(c, " "); !takes(method, path, "If-Match") {
			t.Errorf("%s is described without If-Match", c)
		}
	}
	for _, path := range []string{"/contacts/{number}", "/contacts/retention", "/peers/{did}", "/agreements/{id}", "/exchanges/{id}", "/users/{account}"} {
		if _, ok := doc.Paths[path]["get"].Responses["200"].Headers["ETag"]; !ok {
			t.Errorf("GET %s is described without ETag", path)
		}
	}
	for _, path := range []string{"/contacts", "/peers", "/agreements", "/exchanges", "/rpc/exchange", "/contact/", "/contact/import"} {
		if !takes("post", path, api.IdempotencyHeader) {
			t.Errorf("POST %s is described without Idempotency-Key", path)
		}
	}
	if takes("post", "/users/{account}/tokens", api.IdempotencyHeader) {
		t.Error("what shows a secret once is described as remembered")
	}
}
