package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"ihyid/api"
	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/exchange/register/search"
	"ihyid/kms/file"
	"ihyid/store"
	"ihyid/store/jobs"
)

func TestReady(t *testing.T) {
	var broken error
	r := serve(t, &fakeNode{}, func(o *api.Options) {
		o.Ready = []api.ReadyCheck{
			{Name: "store", Check: func(context.Context) error { return nil }},
			{Name: "disk", Check: func(context.Context) error { return broken }},
		}
	})
	if resp, got := ask(t, r.public, "GET", r.url+"/readyz", nil); resp.StatusCode != 200 || string(got) != "{\"status\":\"ready\"}\n" {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	broken = errors.New("SECRET path is full")
	r = serve(t, &fakeNode{}, func(o *api.Options) {
		o.Ready = []api.ReadyCheck{{Name: "disk", Check: func(context.Context) error { return broken }}}
	})
	for _, c := range []*http.Client{r.public, r.local} {
		resp, got := ask(t, c, "GET", map[bool]string{true: r.url, false: "http://node"}[c == r.public]+"/readyz", nil)
		p := wantProblem(t, resp, got, 503, "not-ready")
		if !strings.Contains(p.Detail, "disk") || strings.Contains(string(got), "SECRET") || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s", got)
		}
	}
	if !strings.Contains(r.log.String(), "path is full") {
		t.Error("the log does not say why")
	}
}

func TestMetrics(t *testing.T) {
	metrics := api.NewMetrics()
	r := serve(t, &fakeNode{}, func(o *api.Options) { o.Metrics = metrics })
	for _, path := range []string{"/status", "/contacts/1234567", "/peers/did:web:SECRET.example", "/SECRET", "/contacts?after=7654321"} {
		ask(t, r.local, "GET", "http://node"+path, nil)
	}
	ask(t, r.local, "SECRET", "http://node/status", nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := api.New(api.Options{Node: &fakeNode{}, Register: &fakeRegister{}, Jobs: &fakeJobs{}, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, api.Listeners{Metrics: ln}) }()
	c := &http.Client{Transport: &http.Transport{}}
	resp, got := ask(t, c, "GET", "http://"+ln.Addr().String()+"/metrics", nil)
	text := string(got)
	if resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, got)
	}
	for _, want := range []string{
		`ihyid_http_requests_total{method="GET",route="/contacts/{number}",side="local",status="200"} 1`,
		`ihyid_http_requests_total{method="GET",route="none",side="local",status="404"} 1`,
		`method="other"`, "go_goroutines", `ihyid_http_request_seconds_bucket{method="GET",route="/status"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	for _, never := range []string{"SECRET", "1234567", "7654321"} {
		if strings.Contains(text, never) {
			t.Errorf("the metrics hold %s", never)
		}
	}
	for path, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/status": 404, "/contacts": 404, "/openapi.json": 404} {
		if resp, got := ask(t, c, "GET", "http://"+ln.Addr().String()+path, nil); resp.StatusCode != status {
			t.Errorf("%s: %d %s", path, resp.StatusCode, got)
		}
	}
	c.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestExplorer(t *testing.T) {
	r := serve(t, &fakeNode{})
	resp, page := ask(t, r.local, "GET", "http://node/docs/", nil)
	csp := resp.Header.Get("Content-Security-Policy")
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", resp.StatusCode, page)
	}
	if script, _, _ := strings.Cut(csp[strings.Index(csp, "script-src"):], ";"); strings.Contains(script, "unsafe") || !strings.Contains(script, "'sha256-") || strings.Contains(csp, "http") {
		t.Errorf("policy %q", csp)
	}
	if !strings.Contains(string(page), "/openapi.json") {
		t.Error("the page does not name the description")
	}
	n := 0
	for _, attribute := range []string{`src="`, `href="`} {
		for rest := string(page); ; {
			_, after, ok := strings.Cut(rest, attribute)
			if !ok {
				break
			}
			file, more, _ := strings.Cut(after, `"`)
			rest = more
			if !strings.HasPrefix(file, "/docs/") {
				t.Errorf("the page loads %s", file)
				continue
			}
			n++
			resp, got := ask(t, r.local, "GET", "http://node"+file, nil)
			if resp.StatusCode != 200 || len(got) < 100 || resp.Header.Get("X-Content-Type-Options") != "nosniff" || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
				t.Errorf("%s: %d, %d bytes of %s", file, resp.StatusCode, len(got), resp.Header.Get("Content-Type"))
			}
		}
	}
	if n < 4 {
		t.Errorf("the page loads only %d files", n)
	}
	for _, path := range []string{"/docs/../status", "/docs/%2e%2e/status", "/docs/nothing.js", "/docs/a/b", "/docs/..%2fstatus"} {
		if resp, got := ask(t, r.local, "GET", "http://node"+path, nil); resp.StatusCode != 404 {
			t.Errorf("%s: %d %.100s", path, resp.StatusCode, got)
		}
	}
}

// kept is a real register with its index.
func kept(t *testing.T) option {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	keys, err := file.Create(filepath.Join(dir, "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Create(ctx, filepath.Join(dir, "node.db"), store.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	queue := jobs.New(s, jobs.Options{})
	profile, err := contacts.BuiltinProfile("levant/1")
	if err != nil {
		t.Fatal(err)
	}
	reg, err := register.New(register.Options{Store: s, Jobs: queue, Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	index, err := search.Open(ctx, s, reg, queue)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(s.Close(), keys.Close()); err != nil {
			t.Error(err)
		}
	})
	return func(o *api.Options) { o.Register, o.Search = reg, index }
}

// The prototype's own story, on its own paths.
func TestPrototype(t *testing.T) {
	r := serve(t, &fakeNode{}, kept(t))
	send := func(method, path, body string, status int, parts ...string) []byte {
		t.Helper()
		resp, got := ask(t, r.local, method, "http://node"+path, strings.NewReader(body), "Content-Type", "application/json")
		if resp.StatusCode != status {
			t.Fatalf("%s %s: %d %s, want %d", method, path, resp.StatusCode, got, status)
		}
		for _, part := range parts {
			if !strings.Contains(string(got), part) {
				t.Errorf("%s %s answers %s, without %s", method, path, got, part)
			}
		}
		return got
	}
	const houman = `{"first_name":"Houman","last_name":"Haddad","mother_first_name":"Barbara","father_first_name":"Michael","date_of_birth":"1976-05-07"}`
	const layla = `{"first_name":"Layla","last_name":"Saleh","mother_first_name":"Amal","father_first_name":"Omar","date_of_birth":"1990-02-03"}`
	const karim = `{"first_name":"Karim","last_name":"Nasser","mother_first_name":"Huda","father_first_name":"Sami","date_of_birth":"1985-11-30"}`
	const id = `"phonetic_id":"H550-H330-B616-M240-19760507"`
	send("POST", "/contact/", houman, 201, `"created":true`, id)
	send("POST", "/contact/", houman, 409, `"created":false`, `"possible_duplicates":[{"id":1,"first_name":"Houman","last_name":"Haddad"`)
	send("POST", "/contact/", strings.Replace(houman, "Houman", "Hooman", 1), 409, `"possible_duplicates":[{"id":1,`)
	send("POST", "/contact/import", "["+layla+","+houman+","+karim+"]", 201, `"created":2,"duplicates":1`, `"first_name":"Layla"`)
	send("GET", "/contact/", "", 200, `"first_name":"Karim"`)
	send("GET", "/contact/1", "", 200, id)
	send("GET", "/contact/99", "", 404, "not-found")
	send("GET", "/organisation/", "", 200, `[{"name":"Relief"`)
	send("GET", "/organisation/node-owner", "", 200, `"did":"did:web:relief.example.org"`)
	send("GET", "/organisations", "", 200, `{"items":[{"name":"Relief"`)
	send("GET", "/organisations/node-owner", "", 200, `"registration_number":"4711"`)
	for _, bad := range []string{`{}`, `[]`, strings.Replace(houman, "Houman", "", 1), strings.Replace(houman, "1976-05-07", "1976-13-45", 1), strings.Replace(houman, "Houman", "123", 1)} {
		send("POST", "/contact/", bad, 422, "validation")
	}
	// Three shuffled uscadis and secrets, of which two are known.
	uscadi := func(id, secret string) string { return contacts.LegacyUscadi(id, []byte(secret)) }
	laylaID, ok := contacts.PhoneticID(&contacts.Contact{FirstName: "Layla", LastName: "Saleh", MotherFirstName: "Amal", FatherFirstName: "Omar", DateOfBirth: "1990-02-03"})
	if !ok {
		t.Fatal("no phonetic id")
	}
	body, _ := json.Marshal(map[string][]string{
		"uscadis": {uscadi(laylaID, "b2"), uscadi("X000-X000-X000-X000-20000101", "c3"), uscadi("H550-H330-B616-M240-19760507", "a1")},
		"secrets": {"c3", "a1", "b2"},
	})
	var known []api.Known
	if err := json.Unmarshal(send("POST", "/contact/checkanons", string(body), 200), &known); err != nil {
		t.Fatal(err)
	}
	if len(known) != 3 || known[0].Known != "true" || known[1].Known != "false" || known[2].Known != "true" {
		t.Errorf("%+v", known)
	}
}
