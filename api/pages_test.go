package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"ihyid/api"
	"ihyid/api/accounts"
	"ihyid/api/policy"
	"ihyid/exchange"
	"ihyid/store/jobs"
)

// part asks at the socket for a part of a list.
func part[T any](t testing.TB, r *running, path string, q url.Values) api.List[T] {
	t.Helper()
	resp, body := ask(t, r.local, http.MethodGet, "http://node"+path+"?"+q.Encode(), nil)
	var l api.List[T]
	if err := json.Unmarshal(body, &l); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
	}
	return l
}

// TestCursors: a cursor is good for its list and its filters only; others, broken and huge ones are refused.
func TestCursors(t *testing.T) {
	node := &fakeNode{listPeers: func(q exchange.Query) (exchange.Page[exchange.Peer], error) {
		return exchange.Page[exchange.Peer]{Items: []exchange.Peer{{DID: "did:web:b.example"}}, Next: []byte("did:web:b.example")}, nil
	}}
	r := serve(t, node)
	next := part[exchange.Peer](t, r, "/peers", url.Values{"state": {"approved"}}).Next
	if next == "" {
		t.Fatal("no cursor")
	}
	if again := part[exchange.Peer](t, r, "/peers", url.Values{"state": {"approved"}, "after": {next}, "limit": {"7"}}); len(again.Items) != 1 {
		t.Errorf("%d items", len(again.Items))
	}
	for name, path := range map[string]string{
		"another filter": "/peers?state=refused&after=" + next, "no filter": "/peers?after=" + next, "another list": "/exchanges?state=done&after=" + next,
		"cut": "/peers?state=approved&after=" + next[:10], "longer": "/peers?state=approved&after=" + next + strings.Repeat("AAAA", 200),
		"no place": "/jobs?after=AAAAAAAAAAA", "not canonical": "/peers?state=approved&after=" + next[:len(next)-1] + "_",
	} {
		resp, body := ask(t, r.local, http.MethodGet, "http://node"+path, nil)
		if p := wantProblem(t, resp, body, http.StatusBadRequest, "invalid"); !strings.HasPrefix(p.Detail, "query.after: ") {
			t.Errorf("%s: %q", name, p.Detail)
		}
	}
	for name, path := range map[string]string{
		"huge": "/peers?after=" + strings.Repeat("A", 1025), "other letters": "/peers?after=%2B%2F", "no such state": "/peers?state=friendly", "of exchanges": "/exchanges?state=approved",
		"of jobs": "/jobs?state=asleep", "of agreements": "/agreements?state=done", "outcome": "/jobs?limit=0", "limit": "/peers?limit=1001", "twice": "/receipts?since=yesterday",
	} {
		resp, body := ask(t, r.local, http.MethodGet, "http://node"+path, nil)
		if p := wantProblem(t, resp, body, http.StatusUnprocessableEntity, "validation"); !strings.Contains(p.Detail, "query.") {
			t.Errorf("%s: %q", name, p.Detail)
		}
	}
}

// TestOrganisationsInParts: the node's own comes first and once, in parts of every size.
func TestOrganisationsInParts(t *testing.T) {
	dids := []string{"did:web:b.example", "did:web:c.example", "did:web:d.example"}
	node := &fakeNode{listPeers: func(q exchange.Query) (page exchange.Page[exchange.Peer], err error) {
		for _, d := range dids {
			if d > string(q.After) {
				if len(page.Items) == q.Limit {
					page.Next = []byte(page.Items[q.Limit-1].DID)
					break
				}
				page.Items = append(page.Items, exchange.Peer{DID: d})
			}
		}
		return page, nil
	}}
	r := serve(t, node)
	for limit := 1; limit < 6; limit++ {
		var got []string
		q := url.Values{"limit": {fmt.Sprint(limit)}}
		for {
			l := part[api.OrganisationView](t, r, "/organisations", q)
			if len(l.Items) > limit {
				t.Fatalf("%d items of at most %d", len(l.Items), limit)
			}
			for _, o := range l.Items {
				got = append(got, o.DID)
			}
			if l.Next == "" {
				break
			}
			q.Set("after", l.Next)
		}
		if want := append([]string{ownDID}, dids...); !slices.Equal(got, want) {
			t.Errorf("in parts of %d: %v", limit, got)
		}
	}
}

// TestUsersInParts: accounts that are made between two parts come at the end, and no cursor holds a name.
func TestUsersInParts(t *testing.T) {
	p := newPeople(t, accounts.Options{})
	r := serve(t, &fakeNode{}, withPeople(p))
	for i := range 5 {
		p.add(t, fmt.Sprintf("user-%d", 5-i), []policy.Role{policy.Checker, policy.Auditor}[i%2])
	}
	var got []string
	q := url.Values{"limit": {"2"}}
	for {
		l := part[accounts.Account](t, r, "/users", q)
		for _, u := range l.Items {
			got = append(got, u.Name)
		}
		if len(got) == 2 {
			p.add(t, "a-new-one", policy.Auditor)
		}
		if l.Next == "" {
			break
		}
		q.Set("after", l.Next)
	}
	if want := []string{"user-5", "user-4", "user-3", "user-2", "user-1", "a-new-one"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if l := part[accounts.Account](t, r, "/users", url.Values{"role": {"auditor"}}); len(l.Items) != 3 {
		t.Errorf("%d auditors", len(l.Items))
	}
}

// TestJobsFilters: the filters of /jobs reach the queue, and its next part begins after the last job that was given.
func TestJobsFilters(t *testing.T) {
	r := serve(t, &fakeNode{})
	var asked jobs.Filter
	r.jobs.list = func(f jobs.Filter) (list []jobs.Job, err error) {
		asked = f
		for i := range f.Limit {
			list = append(list, jobs.Job{ID: fmt.Sprint(100 - i), Kind: f.Kind, State: jobs.Failed})
		}
		return list, nil
	}
	q := url.Values{"state": {"failed"}, "kind": {"contacts.import"}, "limit": {"3"}}
	l := part[api.Job](t, r, "/jobs", q)
	if len(l.Items) != 3 || l.Items[2].ID != "98" || asked.Kind != "contacts.import" || !slices.Equal(asked.States, []jobs.State{jobs.Failed}) || asked.Before != "" {
		t.Errorf("%+v gives %+v", asked, l)
	}
	q.Set("after", l.Next)
	if part[api.Job](t, r, "/jobs", q); asked.Before != "98" {
		t.Errorf("the next part begins before %q", asked.Before)
	}
}
