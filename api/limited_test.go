package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"ihyid/api"
	"ihyid/exchange"
)

// TestNodesLimited: a stranger who keeps as many requests of nodes under way as one may is told to wait; others are answered, whichever way the addresses are
// written, and so is a peer from the stranger's own address that shows the token of an exchange.
func TestNodesLimited(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	node := &fakeNode{tokens: map[string]string{"peer": "did:web:b.example"}, challenge: func(ctx context.Context, r exchange.ChallengeRequest) (exchange.Challenge, error) {
		if r.Action == "slow" {
			begun <- struct{}{}
			<-hold
		}
		return exchange.Challenge{}, nil
	}}
	r := serve(t, node, withLimits(api.Limits{CallerRequests: 2, PublicRequests: 8}), func(o *api.Options) { o.TrustForwarded = true })
	challenge := func(address, action string) (*http.Response, []byte) {
		return ask(t, r.public, http.MethodPost, r.url+"/node/challenges", strings.NewReader(`{"sender":"did:web:a.example","action":"`+action+`"}`),
			"Content-Type", "application/json", "X-Forwarded-For", address)
	}
	for _, c := range []struct{ slow, same, other string }{
		{"192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"}, {"2001:db8:1:2::1", "[2001:db8:1:2:3::9]:4711", "2001:db8:1:3::1"},
	} {
		ended := make(chan int, 2)
		for range 2 {
			go func() {
				resp, _ := challenge(c.slow, "slow")
				ended <- resp.StatusCode
			}()
			<-begun
		}
		for _, address := range []string{c.slow, c.same, "198.51.100.1, " + c.same} {
			resp, body := challenge(address, "opening")
			wantProblem(t, resp, body, http.StatusTooManyRequests, "too-many")
			if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || seconds < 1 {
				t.Errorf("Retry-After: %q", resp.Header.Get("Retry-After"))
			}
		}
		if resp, body := challenge(c.other, "opening"); resp.StatusCode != http.StatusOK {
			t.Errorf("another address: %d %s", resp.StatusCode, body)
		}
		chunk := r.url + "/node/exchanges/00/claims/chunks/0"
		if resp, body := ask(t, r.public, http.MethodGet, chunk, nil, "Authorization", "Bearer peer", "X-Forwarded-For", c.slow); resp.StatusCode != http.StatusOK {
			t.Errorf("a peer behind the stranger's address: %d %s", resp.StatusCode, body)
		}
		resp, body := ask(t, r.public, http.MethodGet, chunk, nil, "Authorization", "Bearer made-up", "X-Forwarded-For", c.slow)
		wantProblem(t, resp, body, http.StatusTooManyRequests, "too-many")
		for range 2 {
			hold <- struct{}{}
			if status := <-ended; status != http.StatusOK {
				t.Errorf("a slow request ended with %d", status)
			}
		}
		if resp, body := challenge(c.slow, "opening"); resp.StatusCode != http.StatusOK {
			t.Errorf("afterwards: %d %s", resp.StatusCode, body)
		}
	}
}

// TestPeersGoOn: strangers from ever so many addresses take all places that strangers have, and a peer with an exchange under way is answered.
func TestPeersGoOn(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	node := &fakeNode{tokens: map[string]string{"peer": "did:web:b.example"}, challenge: func(context.Context, exchange.ChallengeRequest) (exchange.Challenge, error) {
		begun <- struct{}{}
		<-hold
		return exchange.Challenge{}, nil
	}}
	r := serve(t, node, withLimits(api.Limits{PublicRequests: 4}), func(o *api.Options) { o.TrustForwarded = true })
	challenge := func(address string) (*http.Response, []byte) {
		return ask(t, r.public, http.MethodPost, r.url+"/node/challenges", strings.NewReader(`{"sender":"did:web:a.example","action":"opening"}`), "Content-Type", "application/json", "X-Forwarded-For", address)
	}
	ended := make(chan struct{}, 4)
	for i := range 4 {
		go func() {
			challenge(fmt.Sprint("192.0.2.", i))
			ended <- struct{}{}
		}()
		<-begun
	}
	resp, body := challenge("192.0.2.99")
	wantProblem(t, resp, body, http.StatusServiceUnavailable, "busy")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	resp, body = ask(t, r.public, http.MethodGet, r.url+"/node/exchanges/00/claims/chunks/0", nil, "Authorization", "Bearer peer", "X-Forwarded-For", "192.0.2.1")
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a peer: %d %s", resp.StatusCode, body)
	}
	close(hold)
	for range 4 {
		<-ended
	}
}
