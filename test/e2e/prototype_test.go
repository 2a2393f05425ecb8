package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"ihyid/test/harness"
)

// TestPrototypeStory lives through a day of the prototype on its own paths, over the network, as people who signed in.
func TestPrototypeStory(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	n := net.Add("alpha")
	addUser(t, n, "admin", "admin", "the admin's long password")
	addUser(t, n, "checker", "checker", "the checker's long password")
	w := newWire(t, net)

	ask := func(token, method, path string, body any) (int, json.RawMessage) {
		t.Helper()
		var text []byte
		if body != nil {
			var err error
			text, err = json.Marshal(body)
			harness.Check(t, err)
		}
		resp, answer := w.sendAs(token, n, method, path, "application/json", text)
		return resp.StatusCode, answer
	}
	login := func(name, password string) string {
		t.Helper()
		status, answer := ask("", "POST", "/auth/login", map[string]string{"name": name, "password": password})
		var tokens struct {
			Access string `json:"access_token"`
		}
		harness.Check(t, json.Unmarshal(answer, &tokens))
		if status != http.StatusOK || tokens.Access == "" {
			t.Fatalf("signing in: %d %s", status, answer)
		}
		return tokens.Access
	}
	type contact struct {
		FirstName       string `json:"first_name"`
		LastName        string `json:"last_name"`
		MotherFirstName string `json:"mother_first_name"`
		FatherFirstName string `json:"father_first_name"`
		DateOfBirth     string `json:"date_of_birth"`
	}
	houman := contact{"Houman", "Haddad", "Barbara", "Michael", "1976-05-07"}
	amal := contact{"Amal", "Khoury", "Rita", "Georges", "1980-02-13"}
	rami := contact{"Rami", "Saleh", "Nadia", "Yusuf", "1991-11-30"}

	admin := login("admin", "the admin's long password")
	status, answer := ask(admin, "POST", "/contact/", houman)
	if status != http.StatusCreated || !strings.Contains(string(answer), `"H550-H330-B616-M240-19760507"`) {
		t.Fatalf("the first registration: %d %s", status, answer)
	}
	status, answer = ask(admin, "POST", "/contact/", contact{"Hooman", "Hadad", "Barbra", "Micheal", "1976-05-07"})
	var refused struct {
		PossibleDuplicates []struct {
			ID        uint64 `json:"id"`
			FirstName string `json:"first_name"`
		} `json:"possible_duplicates"`
	}
	harness.Check(t, json.Unmarshal(answer, &refused))
	if status != http.StatusConflict || len(refused.PossibleDuplicates) != 1 || refused.PossibleDuplicates[0].FirstName != "Houman" {
		t.Errorf("the second registration: %d %s", status, answer)
	}
	status, answer = ask(admin, "POST", "/contact/import", []contact{amal, houman, rami})
	var imported struct{ Created, Duplicates int }
	harness.Check(t, json.Unmarshal(answer, &imported))
	if status != http.StatusCreated || imported.Created != 2 || imported.Duplicates != 1 {
		t.Errorf("the import: %d %s", status, answer)
	}

	// What the other organisation sends: uscadis and the secrets they were made with, each in an order of its own. It has Houman
	// and Rami, and somebody who is unknown here.
	uscadi := func(id, secret string) string {
		sum := sha256.Sum256([]byte(id + secret))
		return hex.EncodeToString(sum[:])
	}
	secrets := []string{strings.Repeat("01", 32), strings.Repeat("02", 32), strings.Repeat("03", 32)}
	known := []string{uscadi("H550-H330-B616-M240-19760507", secrets[1]), uscadi("R500-S400-N300-Y210-19911130", secrets[2])}
	unknown := uscadi("X000-X000-X000-X000-19000101", secrets[0])
	checker := login("checker", "the checker's long password")
	status, answer = ask(checker, "POST", "/contact/checkanons", map[string]any{"uscadis": []string{known[1], unknown, known[0]}, "secrets": secrets})
	var checked []struct{ Uscadi, Known string }
	harness.Check(t, json.Unmarshal(answer, &checked))
	if status != http.StatusOK || len(checked) != 3 {
		t.Fatalf("the check: %d %s", status, answer)
	}
	for _, c := range checked {
		if want := slices.Contains(known, c.Uscadi); (c.Known == "true") != want {
			t.Errorf("%s is known: %s, want %v", c.Uscadi, c.Known, want)
		}
	}
	for _, path := range []string{"/contact/", "/contact/1", "/organisation/", "/user/"} {
		if status, answer = ask(checker, "GET", path, nil); status != http.StatusForbidden {
			t.Errorf("a checker who asks for %s: %d %s", path, status, answer)
		}
	}
	if status, answer = ask(admin, "GET", "/organisation/node-owner", nil); status != http.StatusOK || !strings.Contains(string(answer), n.Org.Name) {
		t.Errorf("the node's owner: %d %s", status, answer)
	}
	if status, answer = ask(admin, "POST", "/auth/logout", nil); status != http.StatusNoContent {
		t.Errorf("signing out: %d %s", status, answer)
	}
	if status, answer = ask(admin, "GET", "/contact/", nil); status != http.StatusUnauthorized {
		t.Errorf("after signing out: %d %s", status, answer)
	}
}
