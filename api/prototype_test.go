package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"ihyid/api"
)

// TestPrototypeAtOnce: of many who register people with one phonetic id at the same moment, one is told that it was created, and there is one contact. Their names
// are spelled differently, so that only the phonetic id is the same.
func TestPrototypeAtOnce(t *testing.T) {
	r := serve(t, &fakeNode{}, kept(t))
	for round := range 5 {
		names := []string{"Houman", "Hooman", "Human", "Hoeman", "Houmann", "Hoomen", "Homan", "Homen"}
		answers := make([]api.PrototypeAnswer, len(names))
		var all sync.WaitGroup
		for i, name := range names {
			all.Go(func() {
				body := fmt.Sprintf(`{"first_name":%q,"last_name":"Haddad","mother_first_name":"Barbara","father_first_name":"Michael","date_of_birth":"197%d-05-07"}`, name, round)
				path := "/contact/"
				if i%2 == 1 {
					path, body = "/contact/import", "["+body+"]"
				}
				resp, got := ask(t, r.local, http.MethodPost, "http://node"+path, strings.NewReader(body), "Content-Type", "application/json")
				var err error
				if i%2 == 0 {
					err = json.Unmarshal(got, &answers[i])
				} else {
					var list api.PrototypeImport
					if err = json.Unmarshal(got, &list); err == nil && len(list.Contacts) == 1 {
						answers[i] = list.Contacts[0]
					}
				}
				if err != nil || answers[i].Message == "" {
					t.Errorf("%d %s, %v", resp.StatusCode, got, err)
				}
			})
		}
		all.Wait()
		created := 0
		for _, a := range answers {
			if a.Created {
				created++
			} else if len(a.PossibleDuplicates) != 1 {
				t.Errorf("refused for %+v", a.PossibleDuplicates)
			}
		}
		_, got := ask(t, r.local, http.MethodGet, "http://node/contact/", nil)
		var there []api.PrototypeContact
		if err := json.Unmarshal(got, &there); err != nil || len(there) != round+1 || created != 1 {
			t.Fatalf("round %d: %d were created, %d are there, %v", round, created, len(there), err)
		}
	}
}
