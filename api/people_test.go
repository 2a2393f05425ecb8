package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ihyid/api"
	"ihyid/api/accounts"
	"ihyid/api/audit"
	"ihyid/api/policy"
	"ihyid/kms/file"
	"ihyid/store"
)

const goodPassword = "correct horse battery staple"

// people are a node's accounts, their store and its record.
type people struct {
	*accounts.Accounts
	audit *audit.Log
	store *store.Store
}

// newPeople makes an empty set of accounts.
func newPeople(t testing.TB, o accounts.Options) *people {
	t.Helper()
	dir := t.TempDir()
	keys, err := file.Create(filepath.Join(dir, "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Create(t.Context(), filepath.Join(dir, "node.db"), store.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		keys.Close()
	})
	o.Store, o.Keys = s, keys
	if o.Issuer == "" {
		o.Issuer = ownDID
	}
	p := &people{store: s}
	if p.Accounts, err = accounts.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if p.audit, err = audit.New(audit.Options{Store: s, Clock: o.Clock}); err != nil {
		t.Fatal(err)
	}
	return p
}

func withPeople(p *people) option {
	return func(o *api.Options) { o.Accounts, o.Audit = p.Accounts, p.audit }
}

func (p *people) add(t testing.TB, name string, role policy.Role) accounts.Account {
	t.Helper()
	a, err := p.Add(t.Context(), name, role, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sendJSON sends a JSON body with a bearer token ("": none), and decodes a good answer into out.
func sendJSON(t testing.TB, r *running, method, path, token string, in, out any) (*http.Response, []byte) {
	t.Helper()
	var headers []string
	if token != "" {
		headers = []string{"Authorization", "Bearer " + token}
	}
	var resp *http.Response
	var body []byte
	if in == nil {
		resp, body = ask(t, r.public, method, r.url+path, nil, headers...)
	} else {
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		resp, body = ask(t, r.public, method, r.url+path, bytes.NewReader(text), append(headers, "Content-Type", "application/json")...)
	}
	if out != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(body, out); err != nil {
			t.Fatalf("%s %s: %s: %v", method, path, body, err)
		}
	}
	return resp, body
}

func signIn(t testing.TB, r *running, name string) accounts.Tokens {
	t.Helper()
	var tokens accounts.Tokens
	if resp, body := sendJSON(t, r, "POST", "/auth/login", "", map[string]string{"name": name, "password": goodPassword}, &tokens); resp.StatusCode != 200 {
		t.Fatalf("signing in: %d %s", resp.StatusCode, body)
	}
	return tokens
}

// TestSignIn: the whole life of a sign-in, over the network.
func TestSignIn(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p))
	p.add(t, "fatima", policy.Operator)
	first := signIn(t, r, "Fatima") // names are the same in any case
	if resp, body := sendJSON(t, r, "GET", "/contacts", first.Access, nil, nil); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	resp, body := sendJSON(t, r, "GET", "/users", first.Access, nil, nil)
	wantProblem(t, resp, body, 403, "forbidden")
	var second accounts.Tokens
	if resp, body := sendJSON(t, r, "POST", "/auth/refresh", "", map[string]string{"refresh_token": first.Refresh}, &second); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	// Once more: somebody stole it. The sign-in ends, for the thief and for its owner.
	resp, body = sendJSON(t, r, "POST", "/auth/refresh", "", map[string]string{"refresh_token": first.Refresh}, nil)
	wantProblem(t, resp, body, 401, "unauthorized")
	for _, token := range []string{first.Access, second.Access} {
		resp, body = sendJSON(t, r, "GET", "/contacts", token, nil, nil)
		wantProblem(t, resp, body, 401, "unauthorized")
	}
	resp, body = sendJSON(t, r, "POST", "/auth/refresh", "", map[string]string{"refresh_token": second.Refresh}, nil)
	wantProblem(t, resp, body, 401, "unauthorized")

	// A sign-out ends every sign-in of the account.
	a, b := signIn(t, r, "fatima"), signIn(t, r, "fatima")
	if resp, body := sendJSON(t, r, "POST", "/auth/logout", a.Access, nil, nil); resp.StatusCode != 204 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for _, tokens := range []accounts.Tokens{a, b} {
		resp, body = sendJSON(t, r, "GET", "/contacts", tokens.Access, nil, nil)
		wantProblem(t, resp, body, 401, "unauthorized")
		resp, body = sendJSON(t, r, "POST", "/auth/refresh", "", map[string]string{"refresh_token": tokens.Refresh}, nil)
		wantProblem(t, resp, body, 401, "unauthorized")
	}
	for _, secret := range []string{goodPassword, first.Access, first.Refresh, "fatima", "Fatima", "127.0.0.1"} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestStrangersAlike: wherever strangers ask, whatever they send, they get the same answer.
func TestStrangersAlike(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p))
	p.add(t, "fatima", policy.Admin)
	tokens := signIn(t, r, "fatima")
	var want []byte
	for _, headers := range [][]string{
		nil,
		{"Authorization", "Bearer " + tokens.Refresh},
		{"Authorization", "Bearer " + tokens.Access[1:]},
		{"Authorization", "Bearer " + tokens.Access + "A"},
		{"Authorization", "Basic " + tokens.Access},
		{"Authorization", "Bearer " + tokens.Access, "Authorization", "Bearer " + tokens.Access},
		{"Authorization", "Bearer " + strings.Repeat("a", 5000)},
		{"Authorization", "Bearer ihyid_api_" + strings.Repeat("a", 51)},
		{api.AccountHeader, "fatima"},
	} {
		for _, route := range []string{"GET /status", "GET /contacts/export", "POST /users", "DELETE /contacts", "GET /nowhere", "GET /audit", "GET /auth/account", "PATCH /auth/login"} {
			method, path, _ := strings.Cut(route, " ")
			resp, body := ask(t, r.public, method, r.url+path, nil, headers...)
			problem := wantProblem(t, resp, body, 401, "unauthorized")
			body = bytes.ReplaceAll(body, []byte(problem.Instance), nil)
			if want == nil {
				want = body
			}
			if !bytes.Equal(body, want) || resp.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %s, want %s", route, body, want)
			}
		}
	}
	resp, body := ask(t, r.public, "GET", r.url+"/node/messages", nil)
	wantProblem(t, resp, body, 405, "method-not-allowed")
	if resp, _ := ask(t, r.public, "GET", r.url+"/healthz", nil); resp.StatusCode != 200 {
		t.Errorf("healthz asks who it is: %d", resp.StatusCode)
	}
	if strings.Contains(r.log.String(), tokens.Access[:40]) {
		t.Error("the log holds a token")
	}
}

// TestSocketOnly: nothing of the local API is on the public side then, not even signing in.
func TestSocketOnly(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p), func(o *api.Options) { o.SocketOnly = true })
	p.add(t, "fatima", policy.Admin)
	for _, path := range []string{"/auth/login", "/status", "/openapi.json"} {
		resp, body := ask(t, r.public, "GET", r.url+path, nil)
		wantProblem(t, resp, body, 404, "not-found")
	}
	if resp, _ := ask(t, r.local, "GET", "http://node/users", nil); resp.StatusCode != 200 {
		t.Errorf("the socket: %d", resp.StatusCode)
	}
}

// TestActAs: the owner of the socket acts as an account, with its role, and the record says both.
func TestActAs(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p))
	a := p.add(t, "fatima", policy.Checker)
	for _, who := range []string{a.ID, "fatima", "F%61tima"} {
		resp, body := ask(t, r.local, "GET", "http://node/contacts", nil, api.AccountHeader, who)
		wantProblem(t, resp, body, 403, "forbidden")
	}
	for _, headers := range [][]string{{api.AccountHeader, "nobody"}, {api.AccountHeader, ""}, {api.AccountHeader, "%zz"}, {api.AccountHeader, a.ID, api.AccountHeader, a.ID}} {
		resp, body := ask(t, r.local, "GET", "http://node/status", nil, headers...)
		wantProblem(t, resp, body, 404, "not-found")
	}
	if resp, _ := ask(t, r.local, "GET", "http://node/contacts", nil); resp.StatusCode != 200 {
		t.Errorf("the owner of the socket: %d", resp.StatusCode)
	}
	list, _, err := p.audit.List(t.Context(), audit.Filter{Account: a.ID})
	if err != nil || len(list) != 3 || list[0].How != policy.BySocket || list[0].Role != policy.Checker || list[0].Outcome != audit.Denied || list[0].Operation != "contacts-list" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestAPITokens: scopes, ends, and that the token is shown once.
func TestAPITokens(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p))
	p.add(t, "fatima", policy.Admin)
	gate := p.add(t, "gate", policy.Checker)
	admin := signIn(t, r, "fatima")
	var made accounts.NewToken
	resp, body := sendJSON(t, r, "POST", "/users/"+gate.ID+"/tokens", admin.Access, map[string]any{"scopes": []string{"check", "contacts:read"}, "days": 1}, &made)
	if resp.StatusCode != 201 || !strings.HasPrefix(made.Secret, accounts.APITokenPrefix) {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	check := map[string]any{"uscadis": []string{}, "secrets": []string{}}
	if resp, body := sendJSON(t, r, "POST", "/rpc/check-anonymous", made.Secret, check, nil); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	for _, path := range []string{"/contacts", "/status", "/auth/tokens", "/users"} { // the role may not, though a scope may; the scope may not; no token may
		resp, body := sendJSON(t, r, "GET", path, made.Secret, nil, nil)
		wantProblem(t, resp, body, 403, "forbidden")
	}
	if _, body := sendJSON(t, r, "GET", "/users/"+gate.ID+"/tokens", admin.Access, nil, nil); bytes.Contains(body, []byte(made.Secret)) || !bytes.Contains(body, []byte(made.ID)) {
		t.Errorf("the list: %s", body)
	}
	for _, bad := range []map[string]any{
		{"scopes": []string{}, "days": 1}, {"scopes": []string{"everything"}, "days": 1}, {"scopes": []string{"check"}, "days": 0},
		{"scopes": []string{"check"}, "days": 1000}, {"scopes": []string{"check"}, "days": 1, "label": "a\u202eb"},
	} {
		resp, body := sendJSON(t, r, "POST", "/users/"+gate.ID+"/tokens", admin.Access, bad, nil)
		wantProblem(t, resp, body, 422, "validation")
	}
	// Another account's token is not the own one's to end.
	resp, body = sendJSON(t, r, "DELETE", "/auth/tokens/"+made.ID, admin.Access, nil, nil)
	wantProblem(t, resp, body, 404, "not-found")
	if resp, _ := sendJSON(t, r, "DELETE", "/users/"+gate.ID+"/tokens/"+made.ID, admin.Access, nil, nil); resp.StatusCode != 204 {
		t.Errorf("revoking: %d", resp.StatusCode)
	}
	resp, body = sendJSON(t, r, "POST", "/rpc/check-anonymous", made.Secret, check, nil)
	wantProblem(t, resp, body, 401, "unauthorized")
}

// TestSetup: the first admin is made with the code, once.
func TestSetup(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p))
	code := p.FirstCode()
	in := map[string]string{"code": code, "name": "fatima", "password": goodPassword}
	for _, change := range []map[string]string{{"code": code[:len(code)-1]}, {"code": "x"}, {"password": "short"}, {"name": "a b"}} {
		bad := map[string]string{"code": code, "name": "fatima", "password": goodPassword}
		for k, v := range change {
			bad[k] = v
		}
		if resp, body := sendJSON(t, r, "POST", "/auth/setup", "", bad, nil); resp.StatusCode != 401 && resp.StatusCode != 422 {
			t.Errorf("%v: %d %s", change, resp.StatusCode, body)
		}
	}
	// Many at once: one of them makes it.
	var wg sync.WaitGroup
	codes := make([]int, 8)
	for i := range codes {
		wg.Go(func() {
			one := map[string]string{"code": code, "name": fmt.Sprintf("admin%d", i), "password": goodPassword}
			resp, _ := sendJSON(t, r, "POST", "/auth/setup", "", one, nil)
			codes[i] = resp.StatusCode
		})
	}
	wg.Wait()
	slices.Sort(codes)
	if codes[0] != 201 || codes[1] != 401 {
		t.Errorf("statuses %v", codes)
	}
	resp, body := sendJSON(t, r, "POST", "/auth/setup", "", in, nil)
	wantProblem(t, resp, body, 401, "unauthorized")
	if p.FirstCode() != "" {
		t.Error("a node with an account gives a code")
	}
}

// TestRecorded: what was done stands in the record with who did it; what was refused too; names do not.
func TestRecorded(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	node := &fakeNode{}
	r := serve(t, node, withPeople(p))
	admin := p.add(t, "fatima", policy.Admin)
	tokens := signIn(t, r, "fatima")
	var omar accounts.Account
	sendJSON(t, r, "POST", "/users", tokens.Access, map[string]string{"name": "omar", "role": "operator", "password": goodPassword}, &omar)
	sendJSON(t, r, "POST", "/users", tokens.Access, map[string]string{"name": "omar", "role": "operator", "password": goodPassword}, nil)
	sendJSON(t, r, "GET", "/contacts/export", tokens.Access, nil, nil)
	sendJSON(t, r, "POST", "/exchanges", tokens.Access, map[string]string{"peer": "did:web:a.example", "profile": "soundex/1", "protocol": "noise", "purpose": "x"}, nil)
	sendJSON(t, r, "POST", "/exchanges/HoumanHaddad/approve", signIn(t, r, "omar").Access, nil, nil)
	sendJSON(t, r, "POST", "/jobs/12345678901234/cancel", "", nil, nil)
	sendJSON(t, r, "GET", "/contacts/7", "wrong", nil, nil)
	node.err = fmt.Errorf("disk failed")
	sendJSON(t, r, "POST", "/exchanges/HoumanHaddad/approve", tokens.Access, nil, nil)
	type line struct{ account, operation, object, outcome, code string }
	want := []line{
		{admin.ID, "auth-login", admin.ID, "done", ""},
		{admin.ID, "users-add", omar.ID, "done", ""},
		{admin.ID, "users-add", "", "failed", "conflict"},
		{admin.ID, "contacts-export", "", "done", ""},
		{admin.ID, "exchanges-start", strings.Repeat("ab", 16), "done", ""},
		{omar.ID, "auth-login", omar.ID, "done", ""},
		{omar.ID, "exchanges-approve", "HoumanHaddad", "done", ""}, // the fake node has such an exchange
		{"", "contacts-show", "7", "denied", "unauthorized"},
		{admin.ID, "exchanges-approve", "", "failed", "internal"},
	}
	list, _, err := p.audit.List(t.Context(), audit.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	var got []line
	for _, e := range list {
		got = append(got, line{e.Account, e.Operation, e.Object, string(e.Outcome), e.Code})
		text := fmt.Sprint(e)
		if strings.Contains(text, "fatima") || strings.Contains(text, "omar") {
			t.Errorf("%s holds a name", text)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("recorded\n%v, want\n%v", got, want)
	}
	var v audit.Verification
	resp, body := sendJSON(t, r, "GET", "/audit/verify", tokens.Access, nil, &v)
	if resp.StatusCode != 200 || !v.Verified || v.Records != uint64(len(want)) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	// An auditor reads it, an operator does not.
	p.add(t, "anna", policy.Auditor)
	var page api.List[audit.Record]
	if resp, body := sendJSON(t, r, "GET", "/audit?limit=4&account="+admin.ID, signIn(t, r, "anna").Access, nil, &page); resp.StatusCode != 200 || len(page.Items) != 4 || page.Next == "" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	resp, body = sendJSON(t, r, "GET", "/audit", signIn(t, r, "omar").Access, nil, nil)
	wantProblem(t, resp, body, 403, "forbidden")
}

// TestUnrecordedIsNotDone: where the record cannot be written, nothing that must be recorded happens.
func TestUnrecordedIsNotDone(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p))
	r.reg.export = func(context.Context, io.Writer) error {
		t.Error("contacts were exported unrecorded")
		return nil
	}
	p.store.Close()
	resp, body := ask(t, r.local, "GET", "http://node/contacts/export", nil)
	wantProblem(t, resp, body, 500, "internal")
}

// TestSignInDelays: a name that was guessed at has to wait, and is told how long.
func TestSignInDelays(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p))
	p.add(t, "fatima", policy.Admin)
	for _, name := range []string{"fatima", "nobody"} {
		statuses := []int{}
		for range 6 {
			resp, body := sendJSON(t, r, "POST", "/auth/login", "", map[string]string{"name": name, "password": "wrong wrong wrong"}, nil)
			statuses = append(statuses, resp.StatusCode)
			if resp.StatusCode == 429 {
				if wantProblem(t, resp, body, 429, "too-many"); resp.Header.Get("Retry-After") == "" || resp.Header.Get("Retry-After") == "0" {
					t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
				}
			}
		}
		if !slices.Equal(statuses[:4], []int{401, 401, 401, 401}) || statuses[5] != 429 {
			t.Errorf("%s: %v", name, statuses)
		}
	}
}
