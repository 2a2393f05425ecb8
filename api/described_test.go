package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"ihyid/api"
	"ihyid/store/jobs"

	"context"
)

// described is what the fuzz needs of the description.
type described struct {
	doc map[string]any
}

// schema follows references.
func (d described) schema(s any) map[string]any {
	m, _ := s.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		return d.doc["components"].(map[string]any)["schemas"].(map[string]any)[ref[strings.LastIndexByte(ref, '/')+1:]].(map[string]any)
	}
	return m
}

// instance is a value that a schema allows, as JSON.
func (d described) instance(s any, depth int) string {
	m := d.schema(s)
	if e, ok := m["enum"].([]any); ok {
		v, _ := json.Marshal(e[0])
		return string(v)
	}
	if e, ok := m["examples"].([]any); ok {
		v, _ := json.Marshal(e[0])
		return string(v)
	}
	kind := m["type"]
	if list, ok := kind.([]any); ok {
		kind = list[0]
	}
	switch kind {
	case "object":
		return "{" + strings.Join(d.members(m, depth), ",") + "}"
	case "array":
		if depth > 3 {
			return "[]"
		}
		return "[" + d.instance(m["items"], depth+1) + "]"
	case "integer", "number":
		return "1"
	case "boolean":
		return "true"
	}
	n, _ := m["minLength"].(float64)
	return `"` + strings.Repeat("x", max(int(n), 1)) + `"`
}

func (d described) members(m map[string]any, depth int) []string {
	properties, _ := m["properties"].(map[string]any)
	var out []string
	for name, p := range properties {
		if ro, _ := d.schema(p)["readOnly"].(bool); ro || depth > 3 {
			continue
		}
		if pm, _ := p.(map[string]any); pm["readOnly"] == true {
			continue
		}
		out = append(out, fmt.Sprintf("%q:%s", name, d.instance(p, depth+1)))
	}
	slices.Sort(out)
	return out
}

// wrong are values that few properties take.
var wrong = []string{
	"null", "true", "-1", "1e400", "99999999999999999999999", `""`, `"` + strings.Repeat("A", 70_000) + `"`, "[]", "{}", `[[[[[[[[1]]]]]]]]`,
	`{"a":{"a":{"a":{"a":{}}}}}`, `"\ud800"`, `"\u0000"`, "\"\xff\xfe\"", `"../../etc/passwd"`, `"%2e%2e%2f"`, `"'; DROP TABLE contacts; --"`, `"=cmd|' /C calc'!A0"`, `"` + "\u202e\u200b" + `"`,
	strings.Repeat("[", 3000) + strings.Repeat("]", 3000),
}

// TestFuzzOfDescription sends to every operation that takes JSON what its own description forbids: each property wrong, missing, doubled, renamed. No answer is a
// 5xx or repeats what was sent as an error, and nothing but an accepted request changes anything.
func TestFuzzOfDescription(t *testing.T) {
	withRegister := kept(t)
	var register api.Register
	r := serve(t, &fakeNode{}, withRegister, func(o *api.Options) { o.DIDs, register = silentDIDs{}, o.Register })
	r.jobs.watch = func(context.Context, string) (<-chan jobs.Job, error) {
		ch := make(chan jobs.Job)
		close(ch)
		return ch, nil
	}
	_, raw := readSpec(t, r)
	d := described{}
	if err := json.Unmarshal(raw, &d.doc); err != nil {
		t.Fatal(err)
	}
	count := func() uint64 {
		n, err := register.Count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before, sent := count(), 0
	for path, item := range d.doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			takes, _ := op.(map[string]any)["requestBody"].(map[string]any)
			content, _ := takes["content"].(map[string]any)
			media, ok := content["application/json"].(map[string]any)
			if !ok {
				continue
			}
			schema := d.schema(media["schema"])
			members := d.members(schema, 0)
			at := strings.NewReplacer("{id}", "1", "{number}", "1", "{did}", "did:web:a.example", "{profile}", "soundex/1", "{pair}", "1-2", "{name}", "x").Replace(path)
			bodies := []string{"", "null", "[]", "{", `{"a"`, "\xef\xbb\xbf{}", "{}{}", "{} x", strings.Repeat(" ", 100_000) + "{}", "\x00", "{\"\xff\":1}"}
			for i, m := range members {
				name, _, _ := strings.Cut(m, ":")
				with := func(replace string) string {
					other := slices.Clone(members)
					other[i] = replace
					return "{" + strings.Join(slices.DeleteFunc(other, func(s string) bool { return s == "" }), ",") + "}"
				}
				bodies = append(bodies, with(""), with(m+","+m), with(strings.ToUpper(name)+":1"), with(m+`,"`+strings.Repeat("z", 300)+`":1`))
				for _, w := range wrong {
					bodies = append(bodies, with(name+":"+w))
				}
			}
			for _, body := range bodies {
				was := count()
				req, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), "http://node"+at, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				resp, err := r.local.Do(req)
				if err != nil {
					t.Fatalf("%s %s: %v", method, at, err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				sent++
				switch {
				case resp.StatusCode >= 500:
					t.Errorf("%s %s with %.80q: %d %s", method, at, body, resp.StatusCode, got)
				case resp.StatusCode >= 400 && resp.StatusCode != http.StatusConflict:
					if strings.Contains(string(got), "goroutine") || strings.Contains(string(got), "passwd") || strings.Contains(string(got), "zzzz") {
						t.Errorf("%s %s answers %s", method, at, got)
					}
					if count() != was {
						t.Errorf("%s %s was refused, and changed something", method, at)
					}
				}
			}
		}
	}
	t.Logf("%d requests, %d contacts made", sent, count()-before)
	if sent < 300 {
		t.Errorf("only %d requests", sent)
	}
	if log := r.log.String(); strings.Contains(log, "panic") {
		t.Error("a handler panicked")
	}
}
