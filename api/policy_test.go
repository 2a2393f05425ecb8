package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"ihyid/api"
	"ihyid/api/accounts"
	"ihyid/api/policy"
	"ihyid/did"
	"ihyid/store/jobs"
)

// callers are one caller of every role, by every way to be one, and a stranger.
func callers() []*policy.Caller {
	list := []*policy.Caller{nil}
	for _, role := range policy.Roles {
		list = append(list,
			&policy.Caller{Account: "1", Role: role, How: policy.BySession},
			&policy.Caller{Account: "1", Role: role, How: policy.BySocket},
			&policy.Caller{Account: "1", Role: role, How: policy.ByToken, Scopes: policy.Scopes},
			&policy.Caller{Account: "1", Role: role, How: policy.ByToken})
	}
	return append(list, &policy.Caller{Account: "1", Role: "root", How: policy.BySession})
}

type silentDIDs struct{}

func (silentDIDs) Get(context.Context, string, string, string) did.Response {
	return did.Response{Status: http.StatusOK, ContentType: "application/json", Body: []byte("{}")}
}
func (silentDIDs) Flush(string) {}

// TestPolicyWalk asks every route as every caller, and holds the answer against the table: refused
// with 401 or 403 exactly where the table refuses.
func TestPolicyWalk(t *testing.T) {
	p := newPeople(t, accounts.Options{OIDC: &accounts.OIDC{Issuer: "https://provider.invalid"}})
	r := serve(t, &fakeNode{}, withPeople(p), func(o *api.Options) { o.DIDs, o.Credentials, o.OpenVerify = silentDIDs{}, realNode(t, "web"), true })
	r.jobs.watch = func(context.Context, string) (<-chan jobs.Job, error) {
		ch := make(chan jobs.Job)
		close(ch)
		return ch, nil
	}
	table := policy.Default()
	public, local := r.server.Routes(t)
	seen := map[string]bool{}
	for _, route := range public {
		if row, ok := table.Row(route.Operation); !ok || !row.Open {
			t.Errorf("%s is on the public side, but not open", route.Operation)
		}
		seen[route.Operation] = true
	}
	for _, caller := range callers() {
		h := r.server.LocalAs(caller)
		for _, route := range local {
			seen[route.Operation] = true
			methods, path := route.Methods, route.Template
			if len(methods) == 0 {
				methods = []string{http.MethodGet}
			}
			if route.Operation == "did-resolve" { // its route has no template
				path = "/1.0/identifiers/did:web:a.example"
			}
			for name, value := range map[string]string{"number": "1", "id": "1", "did": "did:web:a.example", "profile": "soundex/1", "pair": "1-2", "account": "abcdef0123456789", "token": "abcdef0123456789", "file": "swagger-ui.css"} {
				path = strings.ReplaceAll(path, "{"+name+"}", value)
			}
			if strings.Contains(path, "{") {
				t.Fatalf("%s: say in this test what stands for the parameters of %s", route.Operation, path)
			}
			for _, method := range methods {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader("")))
				want := table.Check(caller, route.Operation)
				got := policy.Allowed
				switch w.Code {
				case http.StatusUnauthorized:
					got = policy.Stranger
				case http.StatusForbidden:
					got = policy.NotRole
					if strings.Contains(w.Body.String(), "scope") {
						got = policy.NotScope
					}
				case http.StatusNotFound, http.StatusMethodNotAllowed:
					if w.Code == http.StatusMethodNotAllowed || strings.Contains(w.Body.String(), "nothing is served") {
						t.Errorf("%s: %s %s leads nowhere", route.Operation, method, path)
					}
				}
				if got != want {
					t.Errorf("%s as %+v: status %d, decision %d, want %d", route.Operation, caller, w.Code, got, want)
				}
			}
		}
	}
	for _, op := range table.Operations() {
		if !seen[op] {
			t.Errorf("the table has a row for %s, which no route serves", op)
		}
	}
}

// TestRouteWithoutRow: what the table does not know keeps a server from starting, and is refused
// to an admin should it be served all the same.
func TestRouteWithoutRow(t *testing.T) {
	r := serve(t, &fakeNode{})
	reached := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") })
	for name, c := range map[string]struct {
		public bool
		add    func(*mux.Router)
	}{
		"no name":       {false, func(m *mux.Router) { m.Path("/x").Handler(reached) }},
		"no row":        {false, func(m *mux.Router) { m.Path("/x").Handler(reached).Name("contacts-burn") }},
		"not open":      {true, func(m *mux.Router) { m.Path("/x").Handler(reached).Name("contacts-list") }},
		"leads nowhere": {false, func(m *mux.Router) { m.Path("/x").Name("contacts-list") }},
	} {
		if err := r.server.CheckRoutesWith(c.public, c.add); err == nil || !strings.HasPrefix(err.Error(), "api: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	admin := policy.Caller{Account: "1", Role: policy.Admin, How: policy.BySocket}
	h := r.server.Guarded(func(m *mux.Router) {
		m.Path("/unnamed").Handler(reached)
		m.Path("/unknown").Handler(reached).Name("contacts-burn")
	})
	for _, path := range []string{"/unnamed", "/unknown"} {
		w := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(policy.WithCaller(t.Context(), admin), http.MethodGet, path, nil)
		h.ServeHTTP(w, req)
		if w.Code != http.StatusInternalServerError {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestRefusedBeforeRead: who may not is told so before anything of the request is judged.
func TestRefusedBeforeRead(t *testing.T) {
	r := serve(t, &fakeNode{})
	h := r.server.LocalAs(&policy.Caller{Account: "1", Role: policy.Checker, How: policy.BySession})
	for _, req := range []*http.Request{
		httptest.NewRequestWithContext(t.Context(), "GET", "/contacts?limit=nonsense", nil),
		httptest.NewRequestWithContext(t.Context(), "POST", "/peers", unread{t}),
		httptest.NewRequestWithContext(t.Context(), "POST", "/contacts/import", unread{t}),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		wantProblem(t, w.Result(), w.Body.Bytes(), 403, "forbidden")
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, http.ErrBodyReadAfterClose
}
