package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ihyid/exchange"
	"ihyid/store/jobs"
	"ihyid/test/harness"
)

// steps are all that an exchange's initiator sends, in their order.
var steps = []string{
	"IhyidBundle", "progress", "IhyidAcceptanceRequest", "PUT chunk", "IhyidClaimsRequest", "GET chunk", "IhyidAnswers",
	"IhyidReceiptRequest", "IhyidReceiptCompletion",
}

// TestPeerStopsHalfWay breaks the line at every step of an exchange, before the request arrives and half way through the
// answer: the exchange comes to the same end as an undisturbed one.
func TestPeerStopsHalfWay(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	a := net.Add("alpha")
	b, line := behind(t, net, "beta")
	load(t, 300, a, b)
	harness.Befriend(a, b)
	want := done(t, a, b, begin(t, a, b))
	for name, how := range map[string]fault{"before it arrives": cut, "half way through the answer": halfway, "stopping": stopping} {
		var mu sync.Mutex
		broken := map[string]bool{}
		line.during(func(p passed) fault {
			mu.Lock()
			defer mu.Unlock()
			if broken[p.Kind] {
				return pass
			}
			broken[p.Kind] = true
			return how
		})
		got := done(t, a, b, begin(t, a, b))
		if got.InCommon != want.InCommon || got.Possible != want.Possible {
			t.Errorf("%s: %d in common and %d possible; undisturbed %d and %d", name, got.InCommon, got.Possible, want.InCommon, want.Possible)
		}
		line.during(nil)
		for _, s := range steps {
			if !broken[s] {
				t.Errorf("%s: the step %s never came", name, s)
			}
		}
	}
}

// TestPeerIsGone has a peer vanish in the middle of an exchange: the exchange waits, another one goes on, and when the peer is back
// the first comes to its end.
func TestPeerIsGone(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	a, c := net.Add("alpha"), net.Add("gamma")
	b, line := behind(t, net, "beta")
	load(t, 300, a, b, c)
	harness.Befriend(a, b)
	harness.Befriend(a, c)
	want := done(t, a, b, begin(t, a, b))

	// From the claims on nothing answers any more, and the node behind is dead.
	reached := make(chan struct{})
	var dead atomic.Bool
	line.during(func(p passed) fault {
		if p.Kind == "IhyidClaimsRequest" && dead.CompareAndSwap(false, true) {
			close(reached)
		}
		if dead.Load() {
			return cut
		}
		return pass
	})
	id := begin(t, a, b)
	<-reached
	b.Kill()
	waiting := func() (e exchange.Exchange) {
		a.Until("the exchange to wait", func(ctx context.Context) (bool, error) {
			var err error
			if e, err = a.Client.Exchange(ctx, id); err != nil || e.State.Finished() {
				return e.State.Finished(), err
			}
			j, err := a.Client.Job(ctx, e.Job)
			return j.State == jobs.Waiting, err
		})
		return e
	}
	if e := waiting(); e.State.Finished() {
		t.Fatalf("the exchange ended as %s: %s", e.State, e.Error)
	}
	done(t, a, c, begin(t, a, c))
	if e := waiting(); e.State.Finished() {
		t.Fatalf("the exchange ended as %s: %s", e.State, e.Error)
	}
	out, errs, status := a.Run("exchange", "show", id)
	if status != 0 || !strings.Contains(out, "claiming") && !strings.Contains(out, "matching") {
		t.Errorf("show says, with status %d: %s%s", status, out, errs)
	}
	b.Start()
	line.heal()
	if got := done(t, a, b, id); got.InCommon != want.InCommon || got.Possible != want.Possible {
		t.Errorf("%d in common and %d possible; undisturbed %d and %d", got.InCommon, got.Possible, want.InCommon, want.Possible)
	}
}

// TestPeerIsSlow has a peer answer at one byte a second, or not at all: other work goes on, and once the line is good again
// the exchange comes to its end.
func TestPeerIsSlow(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	a, c := net.Add("alpha"), net.Add("gamma")
	b, line := behind(t, net, "beta")
	load(t, 300, a, b, c)
	harness.Befriend(a, b)
	harness.Befriend(a, c)
	for name, how := range map[string]fault{"one byte a second": drip, "no answer": swallow} {
		reached := make(chan struct{})
		var once sync.Once
		line.during(func(p passed) fault {
			once.Do(func() { close(reached) })
			return how
		})
		id := begin(t, a, b)
		<-reached
		done(t, a, c, begin(t, a, c))
		job, err := a.Import([]byte("first_name,last_name,date_of_birth\nNadia,Slow,1970-01-02\n"))
		harness.Check(t, err)
		if j := a.Job(job.ID); j.State != jobs.Done {
			t.Errorf("%s: an import meanwhile ended as %s", name, j.State)
		}
		e, err := a.Client.Exchange(t.Context(), id)
		harness.Check(t, err)
		if e.State.Finished() {
			t.Fatalf("%s: the exchange ended as %s: %s", name, e.State, e.Error)
		}
		line.heal()
		done(t, a, b, id)
	}
}

// TestCrawlingClients holds many connections to a node that send a byte a second, or nothing: the node works on, and closes
// those whose request does not come. They have another address than the nodes: one address has only so many places.
func TestCrawlingClients(t *testing.T) {
	t.Parallel()
	world := harness.New(t, program)
	a, b := world.Add("alpha"), world.Add("beta")
	trust := world.Trust()
	trust.ServerName = "localhost"
	elsewhere := &net.Dialer{}
	if runtime.GOOS == "linux" { // elsewhere 127.0.0.1 may be all that there is
		elsewhere.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	}
	dial := func(first string) *tls.Conn {
		conn, err := tls.DialWithDialer(elsewhere, "tcp4", fmt.Sprintf("127.0.0.1:%d", a.Port), trust)
		harness.Check(t, err)
		t.Cleanup(func() { conn.Close() })
		_, err = io.WriteString(conn, first)
		harness.Check(t, err)
		return conn
	}
	var half []*tls.Conn
	for range 40 {
		half = append(half, dial("POST /node/messages HTTP/1.1\r\nHost: localhost\r\nX-Sl"))
	}
	for range 40 {
		dial("POST /node/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/vp\r\nContent-Length: 1000000\r\n\r\n{")
	}
	for range 40 {
		conn, err := elsewhere.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", a.Port)) // no TLS hello at all
		harness.Check(t, err)
		t.Cleanup(func() { conn.Close() })
	}
	load(t, 200, a, b)
	harness.Befriend(b, a)
	done(t, b, a, begin(t, b, a))
	closed := make(chan error, 1)
	go func() {
		for _, c := range half {
			if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
				closed <- err
				return
			}
		}
		closed <- nil
	}()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Limit)
	defer cancel()
	select {
	case err := <-closed:
		harness.Check(t, err)
	case <-ctx.Done():
		t.Error("the node waits without end for the header of a request")
	}
}
