package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"ihyid/exchange"
)

// What is accepted as a challenge request is what encoding/json reads from it too, and says all that
// is needed; what is refused is refused without its own words.
func FuzzChallengeRequest(f *testing.F) {
	for _, s := range []string{
		`{"sender":"did:web:a.example","action":"opening","exchange":"00ff"}`, `{"sender":"a","action":"b"}`, `{}`, `[]`, "",
		`{"sender":"a","sender":"b","action":"c"}`, `{"Sender":"a","action":"b"}`, `{"sender":"\ud800","action":"b"}`,
		"{\"sender\":\"\xff\",\"action\":\"b\"}", `{"sender":"a","action":"b"} x`, `{"sender":null,"action":7}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseChallengeRequest(data)
		if err != nil {
			return
		}
		var want exchange.ChallengeRequest
		if err := json.Unmarshal(data, &want); err != nil || got != want {
			t.Fatalf("%q: %+v, encoding/json reads %+v, %v", data, got, want, err)
		}
		if got.Sender == "" || got.Action == "" {
			t.Fatalf("%q: accepted without sender or action", data)
		}
	})
}

// Every body that the strict decoder takes, encoding/json takes and reads alike.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{
		`{"did":"did:web:a.example","expect":{"name":"x"}}`, `{"a":1,"a":2}`, `{"a":1.5e300}`, `"\u0000"`, "\xef\xbb\xbf{}", `[1,2,[3]]`, `{"a":`, `nul`, "\"\xff\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got any
		if err := decodeJSON(data, &got); err != nil {
			return
		}
		var want any
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q is no JSON: %v", data, err)
		}
		a, err1 := json.Marshal(got)
		b, err2 := json.Marshal(want)
		if err1 != nil || err2 != nil || string(a) != string(b) {
			t.Fatalf("%q: %s and %s, %v, %v", data, a, b, err1, err2)
		}
		var into addPeerInput
		if err := decodeJSON(data, &into.Body); err != nil && len(data) > 12 && strings.Contains(err.Error(), string(data)) {
			t.Fatalf("the error repeats the input: %v", err)
		}
	})
}

// What is chosen from an Accept header was offered, and is acceptable by its own words.
func FuzzAcceptable(f *testing.F) {
	for _, s := range []string{"", "*/*", "application/did;q=0.5, application/*", ";;;", "application/did;q=x", "a/b, */*;q=0", ",,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got := acceptable([]string{accept}, documentTypes)
		if got == "" {
			return
		}
		if !slices.Contains(documentTypes, got) {
			t.Fatalf("Accept %q gives %q, which was not offered", accept, got)
		}
		wishes, met := 0, false
		for part := range strings.SplitSeq(strings.ToLower(accept), ",") {
			media, _, _ := strings.Cut(part, ";")
			switch strings.TrimSpace(media) {
			case "":
				continue
			case got, "application/*", "*/*":
				met = true
			}
			wishes++
		}
		if wishes > 0 && !met {
			t.Fatalf("Accept %q gives %s", accept, got)
		}
	})
}

// A token that is accepted is one word of token characters.
func FuzzBearer(f *testing.F) {
	for _, s := range []string{"Bearer abc", "bearer a.b-c_d~e+f/g=", "Basic abc", "Bearer", "Bearer  a", "Bearer a b", "Bearer \x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = []string{header}
		token, err := bearer(r)
		if err == nil && (token == "" || !strings.HasSuffix(header, " "+token) || strings.ContainsAny(token, " \t\r\n,\"")) {
			t.Fatalf("%q gives the token %q", header, token)
		}
	})
}
