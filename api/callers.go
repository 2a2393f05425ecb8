package api

import (
	"container/list"
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/time/rate"

	"ihyid/api/policy"
	"ihyid/exchange"
)

// maxCallers bounds how many callers are remembered; the one that asked longest ago is forgotten for another, but for those with a
// request under way.
const maxCallers = 8192

// callers bounds what one caller may ask for, so that nobody takes all the places: so many requests at once, and so many a second
// after a burst of twice as many. A caller is an account with all its tokens, a peer with all its exchanges, or, of strangers, an address.
type callers struct {
	atOnce    int
	perSecond rate.Limit
	now       func() time.Time

	mu    sync.Mutex
	known map[string]*list.Element // of *callerUse
	order list.List                // who asked longest ago first
}

type callerUse struct {
	name     string
	underWay int
	rate     *rate.Limiter
}

func newCallers(atOnce, perSecond int, now func() time.Time) *callers {
	return &callers{atOnce: atOnce, perSecond: rate.Limit(perSecond), now: now, known: map[string]*list.Element{}}
}

// take takes a place for a caller and gives how to give it back, or says after how long to ask again.
func (c *callers) take(name string) (give func(), wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known[name]
	if ok {
		c.order.MoveToBack(e)
	} else {
		c.forget()
		e = c.order.PushBack(&callerUse{name: name, rate: rate.NewLimiter(c.perSecond, 2*int(c.perSecond))})
		c.known[name] = e
	}
	u := e.Value.(*callerUse)
	now := c.now()
	if u.underWay >= c.atOnce {
		return nil, time.Second
	}
	if r := u.rate.ReserveN(now, 1); r.DelayFrom(now) > 0 {
		wait = r.DelayFrom(now)
		r.CancelAt(now)
		return nil, wait
	}
	u.underWay++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		u.underWay--
	}), 0
}

// forget makes room for one caller more.
func (c *callers) forget() {
	for e := c.order.Front(); e != nil && len(c.known) >= maxCallers; {
		next := e.Next()
		if u := e.Value.(*callerUse); u.underWay == 0 {
			c.order.Remove(e)
			delete(c.known, u.name)
		}
		e = next
	}
}

// callerName says who asks: an account, a peer that has shown the token of an exchange, or the network of a stranger's address (of IPv6 the first 64 bits,
// which one subscriber has). An IPv4 address is the same caller in whichever of its two forms it comes.
func callerName(r *http.Request, address string) string {
	if caller, ok := policy.CallerOf(r.Context()); ok {
		return "account " + caller.Account
	}
	if did, ok := r.Context().Value(provenKey{}).(string); ok {
		return "peer " + did
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return "address unknown"
	}
	a = a.Unmap().WithZone("")
	if p, err := a.Prefix(64); err == nil && a.Is6() {
		return "network " + p.String()
	}
	return "address " + a.String()
}

// provenKey is under which the DID of a peer stands in the context of a request that shows the token of an exchange with it.
type provenKey struct{}

// prove gives a request that shows the token of an exchange the peer that it was given to. A token is looked up before the body is read, so that what
// strangers take from an address is not taken from the peers behind it.
func (s *Server) prove(r *http.Request, match *mux.RouteMatch) (*http.Request, bool) {
	switch operationOf(match.Route) {
	case "node-progress", "node-put-chunk", "node-get-chunk":
	default:
		return r, false
	}
	token, err := bearer(r)
	if err != nil {
		return r, false
	}
	did, err := s.node.TokenPeer(r.Context(), token, match.Vars["id"])
	if err != nil {
		return r, false // the handler says why
	}
	return r.WithContext(context.WithValue(r.Context(), provenKey{}, did)), true
}

// tooMany is what a caller is told who asks for too much at once.
func tooMany(wait time.Duration) *Problem {
	p := newProblem(exchange.CodeTooMany, "too many requests at once, or in this second, of one caller; ask again after a moment")
	p.retry = max(wait.Round(time.Second), time.Second)
	return p
}
