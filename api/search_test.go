package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"ihyid/api"
	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/exchange/register/search"
	"ihyid/store"
)

type searchFunc func(q search.Query, after uint64, limit int) (search.Page, error)

func (f searchFunc) Search(_ context.Context, q search.Query, after uint64, limit int) (search.Page, error) {
	return f(q, after, limit)
}

func (f searchFunc) SearchTx(_ *store.Tx, q search.Query, after uint64, limit int) (search.Page, error) {
	return f(q, after, limit)
}

func TestSearchContacts(t *testing.T) {
	var err error
	r := serve(t, &fakeNode{}, func(o *api.Options) {
		o.Search = searchFunc(func(q search.Query, after uint64, limit int) (search.Page, error) {
			if q.Name != "Houman" || after != 7 || limit != 2 {
				t.Errorf("asked for %+v after %d, %d", q, after, limit)
			}
			return search.Page{Contacts: []register.Stored{{ID: 9, Contact: contacts.Contact{FirstName: "Houman"}}}, Next: 9}, err
		})
	})
	post := func(body string) (*http.Response, []byte) {
		t.Helper()
		return ask(t, r.local, "POST", "http://node/contacts/search", strings.NewReader(body), "Content-Type", "application/json")
	}
	resp, got := post(`{"name":"Houman","after":"7","limit":2}`)
	if resp.StatusCode != 200 || !strings.Contains(string(got), `"id":9`) || !strings.Contains(string(got), `"next":"9"`) {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	for _, bad := range []string{`{"name":"Houman","after":"SECRET"}`, `{"name":"Houman","match":"like"}`, `{"name":7}`} {
		resp, got = post(bad)
		wantProblem(t, resp, got, 422, "validation")
	}
	err = search.ErrBuilding
	resp, got = post(`{"name":"Houman","after":"7","limit":2}`)
	wantProblem(t, resp, got, 503, "index-building")
	err = search.ErrQuery
	resp, got = post(`{"name":"Houman","after":"7","limit":2}`)
	wantProblem(t, resp, got, 422, "validation")
}
