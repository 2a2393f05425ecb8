package api

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"ihyid/api/policy"
)

func TestCallers(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := newCallers(2, 10, func() time.Time { return now })
	first, _ := c.take("account 1")
	second, _ := c.take("account 1")
	if first == nil || second == nil {
		t.Fatal("two at once are refused")
	}
	if third, wait := c.take("account 1"); third != nil || wait <= 0 {
		t.Errorf("a third at once has to wait %v", wait)
	}
	if other, _ := c.take("account 2"); other == nil {
		t.Error("another account is refused for the first one's requests")
	}
	first()
	first() // once more does no harm
	if third, _ := c.take("account 1"); third == nil {
		t.Error("a place that was given back is not given")
	} else {
		third()
	}
	second()

	// A burst, then what the rate allows.
	taken := 0
	for {
		give, wait := c.take("account 3")
		if give == nil {
			if wait <= 0 || wait > time.Second/10 {
				t.Errorf("after the burst one has to wait %v", wait)
			}
			break
		}
		give()
		taken++
	}
	if taken != 20 {
		t.Errorf("a burst of %d", taken)
	}
	now = now.Add(time.Second / 10)
	if give, _ := c.take("account 3"); give == nil {
		t.Error("refused after the time that was told")
	}

	// However many there are, so many are remembered, and who is at work is not forgotten.
	busy, _ := c.take("account 4")
	for i := range 2 * maxCallers {
		give, _ := c.take(fmt.Sprint("address ", i))
		give()
	}
	if len(c.known) > maxCallers || c.order.Len() != len(c.known) {
		t.Errorf("%d callers are remembered, %d in order", len(c.known), c.order.Len())
	}
	if c.known["account 4"] == nil {
		t.Error("a caller at work is forgotten")
	}
	busy()
}

func TestCallerName(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	for address, want := range map[string]string{
		"192.0.2.7": "address 192.0.2.7", "2001:db8:1:2:3::4": "network 2001:db8:1:2::/64", "::ffff:192.0.2.7": "address 192.0.2.7",
		"2001:db8:1:2::5": "network 2001:db8:1:2::/64", "fe80::1%eth0": "network fe80::/64", "": "address unknown", "no address": "address unknown",
	} {
		if got := callerName(r, address); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
	proven := r.WithContext(context.WithValue(r.Context(), provenKey{}, "did:web:a.example"))
	if got := callerName(proven, "192.0.2.7"); got != "peer did:web:a.example" {
		t.Errorf("a peer is %s", got)
	}
	r = r.WithContext(policy.WithCaller(r.Context(), policy.Caller{Account: "7"}))
	if got := callerName(r, "192.0.2.7"); got != "account 7" {
		t.Errorf("an account is %s", got)
	}
}
