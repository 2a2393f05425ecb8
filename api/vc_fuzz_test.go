package api

import "testing"

// FuzzReadVC: a request of the VC API never panics, and what is taken has a document.
func FuzzReadVC(f *testing.F) {
	for _, s := range []string{
		`{"credential":{"a":1},"options":{}}`, `{"credential":"a.b.c"}`, `{"credential":{},"options":{"proof":"jcs","created":"2026-01-01T00:00:00Z","domain":["a","b"]}}`,
		`{"verifiableCredential":{},"options":{"checks":["proof","time"],"challenge":"c"}}`, `{"options":{"checks":[1]}}`, `[]`, `{"credential":null}`, "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for member, options := range map[string][]string{"credential": signOptions, "verifiableCredential": verifyOptions} {
			document, o, err := readVC(body, member, options)
			if err == nil && (len(document) == 0 || o == nil) {
				t.Error("taken without a document")
			}
		}
	})
}
