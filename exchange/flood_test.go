package exchange

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ihyid/api/outbound"
	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
	"ihyid/store"
)

// TestChallengesOfOneSender uses up what one sender may, then what all strangers may: nobody else is kept out.
func TestChallengesOfOneSender(t *testing.T) {
	now := time.Now()
	c := newChallenges(func() time.Time { return now }, rand.Reader)
	use := func(sender string, registered bool) error {
		r := ChallengeRequest{Sender: sender, Action: string(kindOpening)}
		ch, err := c.issue(r)
		must(t, err)
		return c.use(ch.Challenge, r, registered)
	}
	for range maxUsedBySender {
		must(t, use("did:web:a.example", true))
	}
	if err := use("did:web:a.example", true); CodeOf(err) != CodeTooMany {
		t.Errorf("one more: %v", err)
	}
	for i := range maxUsedByOthers {
		must(t, use("did:web:x.example:"+string(rune('a'+i%26)), false))
	}
	if err := use("did:web:y.example", false); CodeOf(err) != CodeTooMany {
		t.Errorf("one more stranger: %v", err)
	}
	must(t, use("did:web:b.example", true))
	now = now.Add(challengeLife + 2*time.Minute)
	must(t, use("did:web:a.example", true))
	must(t, use("did:web:y.example", false))
	if len(c.used) != 2 || len(c.of) != 2 {
		t.Errorf("%d are remembered, of %d senders", len(c.used), len(c.of))
	}
}

// TestOpeningsPerDay opens more exchanges than a peer may in a day: the last is refused, and the one that is open goes on.
func TestOpeningsPerDay(t *testing.T) {
	_, a, b := friends(t)
	must(t, b.store.Update(t.Context(), func(tx *store.Tx) error {
		r, err := b.kept.peers.Get(tx, []byte(a.DID()))
		must(t, err)
		b.today(&r)
		r.Openings = maxOpeningsPerDay - 1
		return b.kept.peers.Put(tx, []byte(a.DID()), r)
	}))
	m := openVOPRF(t, a, b, someSet())
	before := snapshot(t, b)
	var p *PeerProblem
	if err := openOnly(t, a, b); !errors.As(err, &p) || p.Type != string(CodeTooMany) {
		t.Errorf("%v", err)
	}
	if snapshot(t, b) != before {
		t.Error("the refused opening changed something")
	}
	if s, err := b.session(t.Context(), m.id); err != nil || s.State != StateAccepted {
		t.Errorf("%+v %v", s, err)
	}
	for _, n := range []*testNode{a, b} {
		n.ahead.Store(int64(24 * time.Hour))
	}
	must(t, b.giveUp(t.Context(), m.id, errCancelled))
	must(t, openOnly(t, a, b))
}

// TestNothingMoreIsHandedOver adds a credential to a message that hands over none: it would be kept for good.
func TestNothingMoreIsHandedOver(t *testing.T) {
	_, a, b := friends(t)
	c, err := merkle.Commit(someSet(), voprf.PointSize)
	must(t, err)
	o := opening(t, a, b)
	o.Protocol, o.Commitment = ProtocolVOPRF, *c
	vc, err := a.issue(t.Context(), string(kindOpening), o, messageLife)
	must(t, err)
	before := snapshot(t, b)
	_, _, err = a.converse(t.Context(), peerAddress{DID: b.DID(), Endpoint: "https://b.example/node"}, kindOpening, o.Exchange, kindOpeningReply, vc, a.self().Credential)
	var p *PeerProblem
	if !errors.As(err, &p) || p.Type != string(CodeInvalid) || snapshot(t, b) != before {
		t.Errorf("%v", err)
	}
}

// dripping is a transport over real HTTPS to a server that answers as a peer does, but for some requests at one byte a second.
type dripping struct {
	transportOf
	client *outbound.Client
	url    string
}

func (d dripping) Send(ctx context.Context, r TransportRequest) (TransportResponse, error) {
	_, path, _ := strings.Cut(r.URL, "/node/")
	req, err := http.NewRequestWithContext(ctx, "GET", d.url+"/"+path, nil)
	if err != nil {
		return TransportResponse{}, err
	}
	if req.URL.Path == "/slow" || d.url == "" {
		return d.transportOf.Send(ctx, r)
	}
	resp, err := d.client.Do(ctx, req, r.MaxReply)
	if err != nil {
		return TransportResponse{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusTeapot { // not one of the slow ones
		return d.transportOf.Send(ctx, r)
	}
	_, err = resp.Body.Read(make([]byte, 1))
	for err == nil {
		_, err = resp.Body.Read(make([]byte, 1))
	}
	return TransportResponse{}, err
}

// TestPeerThatDrips has a responder answer at one byte a second, from the first request on or from some later one: the initiator, which gives each request a
// fifth of a second here, tries again for as long as an exchange may rest, then says what it waited for.
func TestPeerThatDrips(t *testing.T) {
	for name, tc := range map[string]struct {
		slow string // part of the path that is answered slowly
		rest time.Duration
	}{
		"from the first request on": {"challenges", 24 * time.Hour},
		"the evaluations":           {"/evaluated/", unfinishedLife},
		"the answers":               {"/answers/", unfinishedLife},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := friends(t)
			a.importCSV(listA)
			b.importCSV(listB)
			var dripped atomic.Int64
			server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.URL.Path, tc.slow) {
					rw.WriteHeader(http.StatusTeapot)
					return
				}
				flush := http.NewResponseController(rw)
				for r.Context().Err() == nil {
					_, _ = rw.Write([]byte("{"))
					if flush.Flush() != nil {
						return
					}
					dripped.Add(1)
					select {
					case <-r.Context().Done():
					case <-time.After(time.Second):
					}
				}
			}))
			t.Cleanup(server.Close)
			client, err := outbound.New(outbound.Options{
				AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ExtraRoots: []*x509.Certificate{server.Certificate()}, PeerTimeout: 200 * time.Millisecond,
			})
			must(t, err)
			t.Cleanup(client.Close)
			a.stop()
			a.options = func(o *Options) { o.Transport = dripping{transportOf{a}, client, server.URL} }
			a.start()
			_ = w
			e := start(t, a, b, ProtocolVOPRF, "a test")
			job, err := a.queue.Watch(t.Context(), e.Job)
			must(t, err)
			for j := range job { // until the first try has ended
				if dripped.Load() > 0 && j.State.Final() {
					t.Fatalf("%s %s", j.State, j.Error)
				}
				if dripped.Load() > 0 && j.State == "waiting" {
					break
				}
			}
			a.ahead.Store(int64(tc.rest + time.Hour))
			a.await(e.Job)
			got, err := a.Exchange(t.Context(), e.ID)
			must(t, err)
			if got.State != StateFailed || !strings.Contains(got.Error, "nothing was heard of the other side") || !strings.Contains(got.Error, "could not be reached") || got.InCommon != 0 {
				t.Errorf("%s: %s", got.State, got.Error)
			}
		})
	}
}

// TestResponderStopsForADay has a responder go away for more than a day in the middle of the evaluation, and come back: the exchange goes on where it was, with a new
// token.
func TestResponderStopsForADay(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	var gone atomic.Bool
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from == a && strings.Contains(r.URL, "/evaluated/") && gone.CompareAndSwap(false, true) || gone.Load() {
			return nil, errors.New("the other node is down")
		}
		return nil, nil
	}
	e := start(t, a, b, ProtocolVOPRF, "a test")
	changes, err := a.queue.Watch(t.Context(), e.Job)
	must(t, err)
	for j := range changes {
		if j.State == "waiting" && gone.Load() {
			break
		}
	}
	b.stop()
	for _, n := range []*testNode{a, b} {
		n.ahead.Store(int64(26 * time.Hour))
	}
	must(t, a.expireSessions(t.Context()))
	b.start()
	must(t, b.expireSessions(t.Context()))
	w.mu.Lock()
	w.intercept = nil
	w.mu.Unlock()
	a.await(e.Job)
	if e, err := a.Exchange(t.Context(), e.ID); err != nil || e.State != StateDone || e.InCommon != 2 {
		t.Fatalf("%+v %v", e, err)
	}
	awaitState(t, b, e.ID, StateDone)
	if p, err := b.Peer(t.Context(), a.DID()); err != nil || p.Epochs[0].Evaluations != 256 {
		t.Errorf("%+v %v: points are counted twice", p.Epochs, err)
	}
}
