package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"ihyid/api/accounts"
	"ihyid/api/audit"
	"ihyid/api/client"
	"ihyid/test/harness"
)

// TestAccountsSurviveKills kills a node again and again while accounts are made, changed and given API tokens that are revoked. What the node said it did is
// there after the kill; what it did not get to say is there whole or not at all; each change has its one row in the record of who did what, and none
// without it; the record's chain verifies each time.
func TestAccountsSurviveKills(t *testing.T) {
	rnd := random(t)
	n := harness.New(t, program).Add("alpha")
	ctx := context.Background()
	const password = "correct horse battery"
	answered := map[string]int{} // operation → changes that the node said it made
	// Of each account, by name: what the node last said, and whether something was asked since that it did not answer.
	type known struct {
		last    accounts.Account
		pending bool
		tokens  map[string]bool // by id: revoked
	}
	people := map[string]*known{}
	made := 0
	work := func(stop <-chan struct{}) {
		for {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprintf("user%04d", made)
			made++
			k := &known{pending: true, tokens: map[string]bool{}}
			people[name] = k
			did := func(operation string, a accounts.Account, err error) bool {
				if err != nil {
					return false
				}
				answered[operation]++
				k.last, k.pending = a, false
				return true
			}
			a, err := n.Client.AddUser(ctx, name, "checker", password)
			if !did("users-add", a, err) {
				return
			}
			k.pending = true
			if a, err = n.Client.SetRole(ctx, a.ID, "operator"); !did("users-role", a, err) {
				return
			}
			token, err := n.Client.CreateAPIToken(ctx, a.ID, "test", []string{"check"}, 1)
			if err != nil {
				return
			}
			answered["users-tokens-create"]++
			k.tokens[token.ID] = false
			if n.Client.RevokeAPIToken(ctx, a.ID, token.ID) != nil {
				delete(k.tokens, token.ID) // it may or may not be there
				return
			}
			answered["users-tokens-revoke"]++
			k.tokens[token.ID] = true
			k.pending = true
			if a, err = n.Client.DisableUser(ctx, a.ID); !did("users-disable", a, err) {
				return
			}
		}
	}
	check := func() {
		v, err := n.Client.VerifyAudit(ctx, 0, "")
		harness.Check(t, err)
		if !v.Verified {
			t.Fatalf("the record does not verify after a kill: %s", v.Problem)
		}
		list, err := n.Client.Users(ctx)
		harness.Check(t, err)
		there := map[string]accounts.Account{}
		byID := map[string]bool{}
		for _, a := range list {
			there[a.Name], byID[a.ID] = a, true
		}
		rows := map[string]map[string]int{} // operation → object → rows that say that it was done
		for r, err := range n.Client.Audit(ctx, client.AuditFilter{}) {
			harness.Check(t, err)
			if r.Outcome != audit.Done {
				continue
			}
			if rows[r.Operation] == nil {
				rows[r.Operation] = map[string]int{}
			}
			rows[r.Operation][r.Object]++
		}
		for name, k := range people {
			a, ok := there[name]
			switch {
			case k.last.ID == "" && !k.pending, k.last.ID != "" && !ok:
				t.Errorf("%s is gone", name)
			case k.last.ID != "" && !k.pending && (a.Role != k.last.Role || a.Disabled != k.last.Disabled || a.Version != k.last.Version):
				t.Errorf("%s is %+v; the node had said %+v", name, a, k.last)
			case ok && a.Version < k.last.Version:
				t.Errorf("%s has gone back", name)
			}
			if !ok {
				continue
			}
			// A change that is there has its row, and a row has its change.
			want := map[string]bool{"users-role": a.Role == "operator", "users-disable": a.Disabled}
			for operation, is := range want {
				if got := rows[operation][a.ID]; got != map[bool]int{true: 1}[is] {
					t.Errorf("%s: %d rows say %s of %+v", name, got, operation, a)
				}
			}
			tokens, err := n.Client.APITokens(ctx, a.ID)
			harness.Check(t, err)
			for id, revoked := range k.tokens {
				if slices.ContainsFunc(tokens, func(x accounts.Token) bool { return x.ID == id }) == revoked {
					t.Errorf("%s: the token %s: revoked is %v, and it is not so", name, id, revoked)
				}
			}
			for _, x := range tokens {
				if rows["users-tokens-create"][x.ID] != 1 {
					t.Errorf("%s: a token was made and %d rows say so", name, rows["users-tokens-create"][x.ID])
				}
			}
		}
		added := 0
		for _, c := range rows["users-add"] {
			added += c
		}
		if added != len(list) {
			t.Errorf("%d accounts, and %d rows that say that one was made", len(list), added)
		}
		for operation, count := range answered {
			total := 0
			for _, c := range rows[operation] {
				total += c
			}
			if total < count {
				t.Errorf("the node said %d times that it did %s, and %d rows say so", count, operation, total)
			}
		}
		if t.Failed() {
			t.Fatalf("%d accounts: %q", len(list), slices.Sorted(maps.Keys(there)))
		}
	}
	for range rounds(t, 6) {
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			work(stop)
		}()
		after(rnd, 250*time.Millisecond)
		n.Kill()
		close(stop)
		<-ended
		n.Start()
		check()
	}
	// Killed or not, work goes on, and the last of it is checked as well.
	stop := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() { close(stop) })
	work(stop)
	check()
	t.Logf("%d accounts asked for; answered: %v", made, answered)
	if answered["users-disable"] == 0 || answered["users-tokens-revoke"] == 0 {
		t.Error("nothing was brought to its end")
	}
	n.Stop()
	healthy(t, n)
}
