package policy_test

import (
	"testing"

	"ihyid/api/policy"
)

func TestTableIsSound(t *testing.T) {
	table := policy.Default()
	if len(table.Operations()) < 60 {
		t.Errorf("only %d rows", len(table.Operations()))
	}
	for _, op := range table.Operations() {
		_, ok := table.Row(op)
		if !ok {
			t.Fatalf("%s is listed without a row", op)
		}
	}
	for _, bad := range [][]policy.Row{
		{{Operation: "", Open: true}},
		{{Operation: "a", Open: true}, {Operation: "a", Open: true}},
		{{Operation: "a"}},
		{{Operation: "a", Open: true, Roles: policy.Roles}},
		{{Operation: "a", Open: true, Scope: policy.ScopeCheck}},
		{{Operation: "a", Roles: []policy.Role{policy.Checker}}},
		{{Operation: "a", Roles: []policy.Role{policy.Admin, "root"}}},
		{{Operation: "a", Roles: policy.Roles, Scope: "everything"}},
	} {
		if _, err := policy.New(bad); err == nil {
			t.Errorf("%+v makes a table", bad)
		}
	}
}

// What the roles are for, said once more without the table's own words.
func TestRoles(t *testing.T) {
	table := policy.Default()
	may := func(role policy.Role, op string) bool {
		return table.Check(&policy.Caller{Account: "1", Role: role, How: policy.BySession}, op) == policy.Allowed
	}
	for _, op := range table.Operations() {
		row, _ := table.Row(op)
		if !may(policy.Admin, op) {
			t.Errorf("an admin may not %s", op)
		}
		if may(policy.Auditor, op) && row.Recorded && !row.Open && row.Scope != "" {
			t.Errorf("an auditor may %s, which changes something", op)
		}
		switch row.Scope {
		case policy.ScopeContactsRead, policy.ScopeContactsWrite, policy.ScopeJobsRead, policy.ScopeJobsWrite:
			if may(policy.Auditor, op) || may(policy.Checker, op) {
				t.Errorf("an auditor or a checker may %s", op)
			}
		case policy.ScopeKeysWrite, policy.ScopeSign, policy.ScopeUsersRead, policy.ScopeUsersWrite:
			if may(policy.Operator, op) || may(policy.Auditor, op) || may(policy.Checker, op) {
				t.Errorf("somebody who is no admin may %s", op)
			}
		}
		if may(policy.Checker, op) && !row.Open && row.Scope != "" && op != "check-anonymous" && op != "prototype-check" {
			t.Errorf("a checker may %s", op)
		}
	}
	for _, op := range []string{"exchanges-matches", "exchanges-presentations", "exchanges-matches-export", "jobs-show"} {
		if may(policy.Auditor, op) {
			t.Errorf("an auditor may %s, which names rows of contacts", op)
		}
	}
}

func TestDecisions(t *testing.T) {
	table := policy.Default()
	session := func(r policy.Role) *policy.Caller { return &policy.Caller{Role: r, How: policy.BySession} }
	token := func(r policy.Role, s ...policy.Scope) *policy.Caller {
		return &policy.Caller{Role: r, How: policy.ByToken, Scopes: s}
	}
	for _, c := range []struct {
		caller *policy.Caller
		op     string
		want   policy.Decision
	}{
		{nil, "healthz", policy.Allowed},
		{nil, "contacts-list", policy.Stranger},
		{nil, "nothing", policy.Unknown},
		{session(policy.Admin), "nothing", policy.Unknown},
		{session(""), "contacts-list", policy.NotRole},
		{session("root"), "contacts-list", policy.NotRole},
		{session(policy.Operator), "contacts-list", policy.Allowed},
		{session(policy.Checker), "contacts-list", policy.NotRole},
		{session(policy.Checker), "check-anonymous", policy.Allowed},
		{token(policy.Admin), "contacts-list", policy.NotScope},
		{token(policy.Admin, policy.ScopeContactsWrite), "contacts-list", policy.NotScope},
		{token(policy.Admin, policy.ScopeContactsRead), "contacts-list", policy.Allowed},
		{token(policy.Checker, policy.ScopeContactsRead), "contacts-list", policy.NotRole},
	} {
		if got := table.Check(c.caller, c.op); got != c.want {
			t.Errorf("%+v may %s: %d, want %d", c.caller, c.op, got, c.want)
		}
	}
}

func TestCallerInContext(t *testing.T) {
	if _, ok := policy.CallerOf(t.Context()); ok {
		t.Error("an empty context has a caller")
	}
	ctx := policy.WithCaller(t.Context(), policy.Caller{Account: "7", Role: policy.Auditor})
	c, ok := policy.CallerOf(ctx)
	if !ok || c.Account != "7" {
		t.Errorf("%+v, %v", c, ok)
	}
	if d := policy.Default().CheckContext(ctx, "receipts-list"); d != policy.Allowed {
		t.Errorf("decision %d", d)
	}
}

func BenchmarkCheck(b *testing.B) {
	table := policy.Default()
	ctx := policy.WithCaller(b.Context(), policy.Caller{Account: "7", Role: policy.Operator, How: policy.ByToken,
		Scopes: []policy.Scope{policy.ScopeNodeRead, policy.ScopeExchangesRead, policy.ScopeContactsRead}})
	for b.Loop() {
		if table.CheckContext(ctx, "contacts-list") != policy.Allowed {
			b.Fatal("refused")
		}
	}
}
