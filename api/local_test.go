package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ihyid/api"
	"ihyid/contacts"
	"ihyid/exchange"
	"ihyid/exchange/register"
	"ihyid/store/jobs"
)

// The codes and statuses that clients rely on. A row may be added; a changed one breaks them.
var stable = map[string]int{
	"invalid": 400, "unauthorized": 401, "second-factor": 401, "sign-in-provider": 502, "forbidden": 403, "token": 401, "presentation": 403, "challenge": 403, "unknown-peer": 403, "peer-suspended": 403,
	"not-found": 404, "unknown-exchange": 404, "method-not-allowed": 405, "not-acceptable": 406, "timeout": 408, "peer-state": 409, "epoch": 409, "unfinished": 409, "cancelled": 409, "budget": 403,
	"exchange-state": 409, "mismatch": 409, "conflict": 409, "precondition-failed": 412, "too-large": 413, "unsupported-media-type": 415, "validation": 422,
	"unknown-profile": 422, "commitment": 422, "file": 422, "unsupported": 422, "too-many": 429, "internal": 500, "unreachable": 502, "peer-error": 502,
	"did-resolution": 502, "busy": 503, "erasing": 500, "stopping": 503, "index-building": 503, "not-ready": 503,
}

func TestProblemTypes(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range api.ProblemTypes() {
		code := string(p.Code)
		if p.Status != stable[code] || p.Title == "" || p.Type() != "urn:ihyid:problem:"+code || seen[code] {
			t.Errorf("%+v, want status %d, once", p, stable[code])
		}
		seen[code] = true
	}
	for code := range stable {
		if !seen[code] {
			t.Errorf("code %q is gone", code)
		}
	}
	// Every code that package exchange declares has a row.
	file, err := parser.ParseFile(token.NewFileSet(), "../exchange/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		n++
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil || !seen[code] {
			t.Errorf("exchange.%s has no problem type", spec.Names[0].Name)
		}
		return true
	})
	if n < 10 {
		t.Errorf("only %d codes were found in exchange/errors.go", n)
	}
}

// Every error of the packages below has its problem, on either side alike.
func TestErrorsBecomeProblems(t *testing.T) {
	node := &fakeNode{}
	r := serve(t, node)
	for _, c := range []struct {
		err    error
		code   string
		detail string
	}{
		{&exchange.Error{Code: exchange.CodePeerState, Detail: "it is invited"}, "peer-state", "it is invited"},
		{fmt.Errorf("doing: %w", &exchange.Error{Code: exchange.CodeMismatch, Detail: "two names"}), "mismatch", "two names"},
		{&exchange.Error{Code: exchange.CodeUnreachable, Detail: "no way there", Err: errors.New("refused")}, "unreachable", "no way there: refused"},
		{&exchange.Error{Code: "new", Detail: "private"}, "internal", ""},
		{fmt.Errorf("%w: number 7", register.ErrNotFound), "not-found", "there is no such contact: number 7"},
		{register.ErrTooLarge, "too-large", register.ErrTooLarge.Error()},
		{fmt.Errorf("%w: wrong", register.ErrOptions), "invalid", "import option: wrong"},
		{fmt.Errorf("%w: 12", jobs.ErrNotFound), "not-found", "there is no such job, or no longer"},
		{jobs.ErrFinished, "conflict", "the job has ended already"},
		{contacts.ErrTooLarge, "too-large", contacts.ErrTooLarge.Error()},
		{context.DeadlineExceeded, "busy", "the node could not finish this in time"},
		{errors.New("private"), "internal", ""},
	} {
		node.err = c.err
		resp, body := ask(t, r.local, "GET", "http://node/peers", nil)
		if p := wantProblem(t, resp, body, stable[c.code], c.code); p.Detail != c.detail {
			t.Errorf("%v: detail %q, want %q", c.err, p.Detail, c.detail)
		}
		resp, body = ask(t, r.public, "POST", r.url+"/node/messages", strings.NewReader("{}"), "Content-Type", "application/vp")
		wantProblem(t, resp, body, stable[c.code], c.code)
		if bytes.Contains(body, []byte("private")) {
			t.Errorf("an internal error was sent: %s", body)
		}
	}
}

const jsonType = "application/json"

func TestOperations(t *testing.T) {
	node := &fakeNode{}
	r := serve(t, node)
	node.peer = func(_ context.Context, what, did, reason string) (exchange.Peer, error) {
		return exchange.Peer{DID: did, Reason: what + " " + did + ": " + reason}, nil
	}
	r.reg.list = func(after uint64, limit int) ([]register.Stored, error) {
		list := make([]register.Stored, limit)
		for i := range list {
			list[i].ID = after + uint64(i) + 1
			list[i].FirstName = "Houman"
		}
		return list, nil
	}
	const did, inPath = "did:web:localhost%3A8443:aid", "did:web:localhost%253A8443:aid"
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string // a part of the answer
	}{
		{"GET", "/status", "", 200, `"did":"did:web:relief.example.org","organisation":{"name":"Relief","registration_number":"4711","country":"JO"},"version":"test"`},
		{"GET", "/healthz", "", 200, `{"status":"ok"}`},
		{"GET", "/did-document", "", 200, `{"id":"did:web:relief.example.org"}`},
		{"GET", "/contacts?limit=2&after=5", "", 200, `{"items":[{"id":6,"first_name":"Houman",`},
		{"GET", "/contacts?limit=2&after=5", "", 200, `"next":"7"}`},
		{"GET", "/contacts/18446744073709551615", "", 200, `"id":18446744073709551615,"first_name":"Houman","last_name":"Haddad"`},
		{"GET", "/contacts/duplicates", "", 200, `{"items":[]}`},
		{"GET", "/contacts/export", "", 200, "first_name\r\nHouman\r\n"},
		{"GET", "/contacts/import/1/report", "", 200, `{"items":[]}`},
		{"POST", "/peers", `{"did":"` + did + `","expect":{"name":"A"}}`, 201, `"reason":"add ` + did + `: A//"`},
		{"POST", "/peers", `{"did":"` + did + `","expect":{"country":"JORDAN"}}`, 422, `expected length`},
		{"POST", "/peers", `{"did":"` + did + `","expect":{"name":"A","registration_number":"1","country":"JO"}}`, 201, `"reason":"add ` + did + `: A/1/JO"`},
		{"GET", "/peers", "", 200, `{"items":[]}`},
		{"GET", "/peers/" + inPath, "", 200, `"did":"` + did + `"`},
		{"POST", "/peers/" + inPath + "/approve", "", 200, `"reason":"approve ` + did + `: "`},
		{"POST", "/peers/" + inPath + "/refuse", `{"reason":"why"}`, 200, `"reason":"refuse ` + did + `: why"`},
		{"POST", "/peers/" + inPath + "/suspend", `{"reason":"why"}`, 200, `"reason":"suspend ` + did + `: why"`},
		{"GET", "/peers/" + inPath + "/fingerprint", "", 200, `"fingerprint":"01234 56789"`},
		{"POST", "/peers/" + inPath + "/confirm", `{"fingerprint":"` + strings.Repeat("01234 ", 8) + `"}`, 200, `"reason":"confirm ` + did + `: 01234 `},
		{"POST", "/peers/" + inPath + "/confirm", `{}`, 422, "fingerprint"},
		{"DELETE", "/peers/" + inPath, "", 204, ""},
		{"GET", "/keys", "", 200, `{"items":[]}`},
		{"POST", "/keys/rotate", `{"purpose":"assertion"}`, 201, `"purpose":"assertionMethod"`},
		{"POST", "/keys/rotate", `{"purpose":"authentication","overlap":"0s","curve":"P-384"}`, 201, `"purpose":"authentication"`},
		{"POST", "/keys/rotate", `{"purpose":"authentication","overlap":"soon"}`, 422, "overlap"},
		{"POST", "/keys/rotate", `{"purpose":"keyAgreement"}`, 422, "purpose"},
		{"POST", "/keys/key-1/retire", "", 200, `"id":"key-1"`},
		{"POST", "/keys/data/rotate", "", 202, `"id":"7"`},
		{"POST", "/keys/wrapping/rotate", "", 204, ""},
		{"POST", "/peers/" + inPath + "/resume", "", 200, `"reason":"resume ` + did + `: "`},
		{"POST", "/exchanges", `{"peer":"` + did + `","profile":"soundex/1","protocol":"noise","purpose":"aid"}`, 202, `"purpose":"aid","state":"preparing"`},
		{"GET", "/exchanges", "", 200, `{"items":[]}`},
		{"GET", "/exchanges/00ff", "", 200, `"id":"00ff"`},
		{"GET", "/exchanges/00ff/matches", "", 200, `{"items":[]}`},
		{"GET", "/exchanges/00ff/presentations", "", 200, `{"opening":{"a":1}}`},
		{"GET", "/receipts", "", 200, `{"items":[]}`},
		{"GET", "/receipts/00ff", "", 200, "{ \"spaces\":  \"stay\" }\n"},
		{"GET", "/jobs", "", 200, `{"items":[]}`},
		{"GET", "/jobs/12", "", 200, `"id":"12","kind":"","state":"running","done":0,"created":"0001-01-01T00:00:00Z","updated":"0001-01-01T00:00:00Z"}`},
		{"POST", "/jobs/12/cancel", "", 200, `"state":"cancelled"`},
		{"GET", "/profiles", "", 200, `{"items":[{"name":"soundex/1","id":"sha256:`},
		{"GET", "/profiles/soundex/1", "", 200, `"document":{`},
		{"GET", "/profiles/soundex%2F1", "", 200, `"name":"soundex/1"`},
		{"POST", "/rpc/check-anonymous", `{"uscadis":["00"],"secrets":["ff"]}`, 200, `[{"uscadi":"00","known":"false"}]`},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			var body io.Reader
			var headers []string
			if c.body != "" {
				body, headers = strings.NewReader(c.body), []string{"Content-Type", jsonType}
			}
			resp, got := ask(t, r.local, c.method, "http://node"+c.path, body, headers...)
			if resp.StatusCode != c.status || !strings.Contains(string(got), c.want) {
				t.Errorf("%d %s, want %d and in it %s", resp.StatusCode, got, c.status, c.want)
			}
			if bytes.Contains(got, []byte("private")) || bytes.Contains(got, []byte("$schema")) {
				t.Errorf("the answer tells too much: %s", got)
			}
			if resp.Header.Get("Cache-Control") != "no-store" {
				t.Error("the answer may be cached")
			}
		})
	}
}

func TestLocalRefuses(t *testing.T) {
	node := &fakeNode{}
	r := serve(t, node)
	node.peer = func(context.Context, string, string, string) (exchange.Peer, error) {
		t.Error("the node was asked")
		return exchange.Peer{}, nil
	}
	r.reg.startImport = func(context.Context, io.Reader, api.ImportOptions) (jobs.Job, error) {
		t.Error("an import was begun")
		return jobs.Job{}, nil
	}
	const add = `{"did":"did:web:SECRET.example"}`
	for _, c := range []struct {
		name, method, path, contentType, body string
		code                                  string
	}{
		{"no such path", "GET", "/SECRET", "", "", "not-found"},
		{"method", "PUT", "/contacts/7", "", "", "method-not-allowed"},
		{"no number", "GET", "/contacts/SECRET", "", "", "not-found"},
		{"number too large", "GET", "/contacts/18446744073709551616", "", "", "validation"},
		{"up a directory", "GET", "/exchanges/..%2F..%2FSECRET", "", "", "not-found"},
		{"no DID", "GET", "/peers/SECRET", "", "", "not-found"},
		{"long DID", "GET", "/peers/did:web:" + strings.Repeat("SECRET", 400), "", "", "validation"},
		{"limit", "GET", "/contacts?limit=SECRET", "", "", "validation"},
		{"limit too large", "GET", "/contacts?limit=1001", "", "", "validation"},
		{"negative", "GET", "/contacts?after=-1", "", "", "validation"},
		{"unknown parameter", "GET", "/contacts?SECRET=1", "", "", "validation"},
		{"unknown parameter with dots", "GET", "/contacts?a.SECRET.b=1", "", "", "validation"},
		{"date order", "POST", "/contacts/import?date_order=SECRET", "text/csv", "x", "validation"},
		{"import as a form", "POST", "/contacts/import", "multipart/form-data; boundary=x", "--x\r\n\r\n--x--", "unsupported-media-type"},
		{"import of nothing said", "POST", "/contacts/import", "", "x", "unsupported-media-type"},
		{"empty", "POST", "/peers", jsonType, "", "invalid"},
		{"truncated", "POST", "/peers", jsonType, add[:len(add)-2], "invalid"},
		{"trailing", "POST", "/peers", jsonType, add + "x", "invalid"},
		{"duplicate", "POST", "/peers", jsonType, `{"did":"did:web:SECRET.example","did":"did:web:b.example"}`, "invalid"},
		{"no UTF-8", "POST", "/peers", jsonType, "{\"did\":\"did:web:SECRET\xff\"}", "invalid"},
		{"deep", "POST", "/peers", jsonType, strings.Repeat(`{"SECRET":`, 100) + "1" + strings.Repeat("}", 100), "invalid"},
		{"huge number", "POST", "/peers", jsonType, `{"did":1e999}`, "invalid"},
		{"number", "POST", "/peers", jsonType, `{"did":4711471147114711}`, "validation"},
		{"other case", "POST", "/peers", jsonType, `{"DID":"did:web:SECRET.example"}`, "validation"},
		{"unknown property", "POST", "/peers", jsonType, `{"did":"did:web:a.example","SECRET":1,"expect":{"a.SECRET.b":2}}`, "validation"},
		{"missing", "POST", "/peers", jsonType, `{}`, "validation"},
		{"null", "POST", "/peers", jsonType, `null`, "validation"},
		{"array", "POST", "/peers", jsonType, `["SECRET"]`, "validation"},
		{"too long", "POST", "/peers", jsonType, `{"did":"did:web:` + strings.Repeat("SECRET", 400) + `"}`, "validation"},
		{"too large", "POST", "/peers", jsonType, `{"did":"did:web:` + strings.Repeat("SECRET", 40000) + `"}`, "too-large"},
		{"text", "POST", "/peers", "text/plain", add, "unsupported-media-type"},
		{"YAML", "POST", "/peers", "application/yaml+SECRET", "did: did:web:SECRET", "unsupported-media-type"},
		{"purpose", "POST", "/exchanges", jsonType, `{"peer":"did:web:a.example","profile":"soundex/1","protocol":"noise","purpose":"` + strings.Repeat("SECRET", 50) + `"}`, "validation"},
		{"uscadis", "POST", "/rpc/check-anonymous", jsonType, `{"uscadis":["SECRET",7,null,{"SECRET":1}],"secrets":[]}`, "validation"},
		{"no profile", "GET", "/profiles/nobody/7", "", "", "unknown-profile"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.contentType != "" {
				headers = []string{"Content-Type", c.contentType}
			}
			resp, body := ask(t, r.local, c.method, "http://node"+c.path, strings.NewReader(c.body), headers...)
			p := wantProblem(t, resp, body, stable[c.code], c.code)
			if bytes.Contains(body, []byte("SECRET")) || bytes.Contains(body, []byte("47114711")) {
				t.Errorf("the answer repeats what was sent: %s", body)
			}
			if p.Detail == "" {
				t.Errorf("the problem does not say what is wrong: %s", body)
			}
			if len(p.Errors) > 20 {
				t.Errorf("%d places are named", len(p.Errors))
			}
		})
	}
	if log := r.log.String(); strings.Contains(log, "SECRET") || strings.Contains(log, "47114711") {
		t.Errorf("the log repeats what was sent:\n%s", log)
	}
}

// spec is as much of an OpenAPI document as the tests look at.
type spec struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		RequestBody *struct {
			Content map[string]struct{ Schema json.RawMessage }
		}
		Responses map[string]struct {
			Content map[string]json.RawMessage
		}
	}
}

func readSpec(t *testing.T, r *running) (spec, []byte) {
	t.Helper()
	resp, body := ask(t, r.local, "GET", "http://node/openapi.json", nil)
	if resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	var s spec
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatal(err)
	}
	return s, body
}

func TestOpenAPI(t *testing.T) {
	r := serve(t, &fakeNode{})
	s, raw := readSpec(t, r)
	if s.OpenAPI != "3.1.0" {
		t.Errorf("version %q", s.OpenAPI)
	}
	ids := map[string]bool{}
	for path, item := range s.Paths {
		for method, op := range item {
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s %s: operation id %q, summary %q", method, path, op.OperationID, op.Summary)
			}
			ids[op.OperationID] = true
			if _, ok := op.Responses["default"].Content["application/problem+json"]; !ok {
				t.Errorf("%s %s does not say that it answers problems", method, path)
			}
		}
	}
	if len(ids) < 29 {
		t.Errorf("only %d operations", len(ids))
	}
	if body := s.Paths["/contacts/import"]["post"].RequestBody; body == nil || len(body.Content["text/csv"].Schema) == 0 {
		t.Error("the upload of a contact list is not described")
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	refs := 0
	walk(doc, func(m map[string]any) {
		ref, ok := m["$ref"].(string)
		if !ok {
			return
		}
		refs++
		at := any(doc)
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			next, ok := at.(map[string]any)[part]
			if !ok {
				t.Fatalf("%s leads nowhere", ref)
			}
			at = next
		}
	})
	if refs == 0 {
		t.Error("no reference was followed")
	}
	for _, outside := range []string{"http://", "https://"} {
		for i := range strings.Split(string(raw), outside)[1:] {
			rest := strings.Split(string(raw), outside)[i+1]
			if !strings.HasPrefix(rest, "json-schema.org/") && !strings.HasPrefix(rest, "spec.openapis.org/") {
				t.Errorf("the description names another origin: %s%.40s", outside, rest)
			}
		}
	}
}

func walk(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, e := range v {
			walk(e, f)
		}
	case []any:
		for _, e := range v {
			walk(e, f)
		}
	}
}

// Whatever a described operation is sent, it answers without failing and without repeating it.
func TestEveryOperationBears(t *testing.T) {
	r := serve(t, &fakeNode{})
	r.jobs.watch = func(ctx context.Context, _ string) (<-chan jobs.Job, error) {
		ch := make(chan jobs.Job, 1)
		ch <- jobs.Job{ID: "1", State: jobs.Done}
		return ch, nil
	}
	s, _ := readSpec(t, r)
	bodies := []string{
		"", "SECRET", "{}", "[]", "null", `"SECRET"`, `{"SECRET":"SECRET"}`, `{"did":{"did":{"did":"SECRET"}}}`, `{"reason":["SECRET"]}`,
		`{"uscadis":"SECRET","secrets":{}}`, "\xff\xfe{\x00}\x00", `{"a":` + strings.Repeat("[", 5000), strings.Repeat("SECRET", 1<<15),
		`{"did":"` + strings.Repeat(`\u0000`, 100) + `"}`, `{"peer":1e400}`, `{"peer":"x","peer":"x"}`,
	}
	ids := []string{"1", "00ff", "SECRET", "0", "-1", "%00", "..", "%2e%2e%2f", strings.Repeat("SECRET", 100), "did:web:a.example", "1e9", "soundex%2F1", "🙂"}
	queries := []string{"", "?limit=0", "?limit=99999999999999999999", "?after=%00", "?after=%zz", "?limit=1&limit=SECRET", "?SECRET[SECRET]=SECRET", "?" + strings.Repeat("a", 5000)}
	for path, item := range s.Paths {
		for method := range item {
			var paths []string
			if i := strings.IndexByte(path, '{'); i >= 0 {
				j := strings.IndexByte(path, '}')
				for _, id := range ids {
					paths = append(paths, path[:i]+id+path[j+1:])
				}
			} else {
				paths = []string{path}
			}
			for i, p := range paths {
				for j := range max(len(bodies), len(queries)) {
					if i > 2 && j > 1 && j != 7 {
						continue
					}
					query := queries[j%len(queries)]
					contentType := []string{jsonType, "text/csv", "text/html", "multipart/form-data", "application/json; charset=utf-7", "SECRET/SECRET"}[j%6]
					req, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), "http://node"+p+query, strings.NewReader(bodies[j%len(bodies)]))
					if err != nil {
						continue // no URL
					}
					req.Header.Set("Content-Type", contentType)
					resp, err := r.local.Do(req)
					if err != nil {
						t.Fatalf("%s %s%s: %v", method, p, query, err)
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil {
						t.Fatal(err)
					}
					switch {
					case resp.StatusCode >= 500:
						t.Errorf("%s %s%s with %.60q: %d %s", method, p, query, bodies[j%len(bodies)], resp.StatusCode, got)
					case resp.StatusCode >= 400:
						wantProblem(t, resp, got, resp.StatusCode, strings.TrimPrefix(problemType(got), "urn:ihyid:problem:"))
						if bytes.Contains(got, []byte("SECRET")) {
							t.Errorf("%s %s%s repeats what was sent: %s", method, p, query, got)
						}
					}
				}
			}
		}
	}
	if log := r.log.String(); strings.Contains(log, "SECRET") {
		i := strings.Index(log, "SECRET")
		t.Errorf("the log repeats what was sent: …%s", log[max(0, i-300):min(len(log), i+100)])
	}
}

func problemType(body []byte) string {
	var p api.Problem
	_ = json.Unmarshal(body, &p)
	return p.Type
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]api.Options{
		"nothing": {},
		"no jobs": {Node: &fakeNode{}, Register: &fakeRegister{}},
	} {
		if _, err := api.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A match export is a contact list with what was found behind each contact; a contact that is gone
// leaves its columns empty, and a formula is no formula.
func TestMatchesExport(t *testing.T) {
	node := &fakeNode{matches: []exchange.Match{
		{Contact: 1, ExternalID: "A-1", Row: "00ff", Tier: "match", Keys: []string{"k1", "k2"}},
		{Contact: 2, Row: "00fe", Tier: "possible", Keys: []string{"k1"}},
	}}
	r := serve(t, node)
	r.reg.get = func(id uint64) (register.Stored, error) {
		if id == 2 {
			return register.Stored{}, register.ErrNotFound
		}
		return register.Stored{ID: id, Contact: contacts.Contact{FirstName: "=1+1", ExternalID: "A-1"}}, nil
	}
	resp, body := ask(t, r.local, "GET", "http://node/exchanges/00ff/matches/export", nil)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	lines := strings.Split(strings.TrimSpace(string(body)), "\r\n")
	header := strings.Split(lines[0], ",")
	if len(lines) != 3 || !slices.Equal(header[len(header)-4:], []string{"tier", "keys", "contact", "row"}) {
		t.Fatalf("%q", lines)
	}
	if strings.HasPrefix(lines[1], "=") || !strings.HasSuffix(lines[1], "A-1,match,k1 k2,1,00ff") || !strings.HasSuffix(lines[2], ",,possible,k1,2,00fe") {
		t.Errorf("%q", lines)
	}
	r.reg.get = func(uint64) (register.Stored, error) { return register.Stored{}, errors.New("disk failed") }
	resp, body = ask(t, r.local, "GET", "http://node/exchanges/00ff/matches/export", nil)
	wantProblem(t, resp, body, 500, "internal")
}

func TestWithoutPatterns(t *testing.T) {
	for in, want := range map[string]string{
		"/healthz": "/healthz",
		"/node/exchanges/{id:[0-9A-Za-z][0-9A-Za-z_:-]{0,127}}/{set:[a-z]{1,32}}/chunks/{index:0|[1-9][0-9]{0,9}}": "/node/exchanges/{id}/{set}/chunks/{index}",
		"/peers/{did:did:[a-z0-9]+:[^/]+}/approve": "/peers/{did}/approve",
		"/jobs/{id}": "/jobs/{id}",
	} {
		if got := api.WithoutPatterns(in); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}
