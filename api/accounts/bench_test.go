package accounts_test

import (
	"testing"
	"time"

	"ihyid/api/accounts"
	"ihyid/api/policy"
)

// BenchmarkAuthenticate tells who holds a token, as every request from afar does.
func BenchmarkAuthenticate(b *testing.B) {
	n := newNode(b, issuer)
	a := n.add("fatima", policy.Operator)
	api, err := n.CreateToken(b.Context(), a.ID, "", []policy.Scope{policy.ScopeCheck}, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	for name, token := range map[string]string{"access": n.in("fatima").Access, "api": api.Secret} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := n.Authenticate(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSignIn is a whole sign-in with a password.
func BenchmarkSignIn(b *testing.B) {
	accounts.UseProduction()
	n := newNode(b, issuer)
	n.add("fatima", policy.Operator)
	for b.Loop() {
		n.in("fatima")
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sign-ins/s")
}
