package api_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ihyid/api"
	"ihyid/api/replay"
	"ihyid/exchange"
	"ihyid/kms/file"
	"ihyid/store"

	"context"
)

func TestIdempotencyKey(t *testing.T) {
	dir := t.TempDir()
	keys, err := file.Create(filepath.Join(dir, "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	kept, err := store.Create(t.Context(), filepath.Join(dir, "node.db"), store.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	var asked atomic.Int32
	broken := false
	node := &fakeNode{}
	hold := make(chan struct{})
	begun := make(chan struct{}, 1)
	node.peer = func(_ context.Context, what, did, _ string) (exchange.Peer, error) {
		asked.Add(1)
		if strings.HasSuffix(did, "slow.example") {
			begun <- struct{}{}
			<-hold
		}
		if broken {
			return exchange.Peer{}, &exchange.Error{Code: exchange.CodeUnreachable, Detail: "no"}
		}
		return exchange.Peer{DID: did, State: exchange.PeerInvited}, nil
	}
	r := serve(t, node, func(o *api.Options) { o.Replay = replay.New(kept, clock) })
	send := func(path, key, body string) (*http.Response, string) {
		t.Helper()
		resp, got := ask(t, r.local, "POST", "http://node"+path, strings.NewReader(body), "Content-Type", "application/json", "Idempotency-Key", key)
		return resp, string(got)
	}
	const peer = `{"did":"did:web:a.example"}`
	first, body := send("/peers", "k-1", peer)
	again, same := send("/peers", "k-1", peer)
	if first.StatusCode != 201 || again.StatusCode != 201 || body != same || asked.Load() != 1 || again.Header.Get("Idempotency-Replayed") != "true" || first.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("%d %s, then %d %s; asked %d times", first.StatusCode, body, again.StatusCode, same, asked.Load())
	}
	resp, got := send("/peers", "k-1", `{"did":"did:web:b.example"}`)
	wantProblem(t, resp, []byte(got), 409, "conflict")
	if resp, _ := send("/peers", "k-2", peer); resp.StatusCode != 201 || asked.Load() != 2 {
		t.Errorf("another key: %d, asked %d times", resp.StatusCode, asked.Load())
	}
	// The same key at another route is another key; a read takes none.
	if resp, got := send("/peers/did:web:a.example/approve", "k-1", ""); resp.StatusCode != 200 || asked.Load() != 3 {
		t.Errorf("another route: %d %s, asked %d times", resp.StatusCode, got, asked.Load())
	}
	for _, bad := range []string{" ", strings.Repeat("k", 256), "a b", "ä"} {
		resp, got := send("/peers", bad, peer)
		wantProblem(t, resp, []byte(got), 400, "invalid")
	}
	// Failures of the node are not remembered.
	broken = true
	if resp, _ := send("/peers", "k-3", peer); resp.StatusCode != 502 {
		t.Errorf("%d", resp.StatusCode)
	}
	broken = false
	if resp, _ := send("/peers", "k-3", peer); resp.StatusCode != 201 {
		t.Errorf("%d", resp.StatusCode)
	}
	// What is wrong with a request stays wrong, and is remembered.
	for range 2 {
		resp, got := send("/peers", "k-4", `{"did":7}`)
		if resp.StatusCode != 422 {
			t.Errorf("%d %s", resp.StatusCode, got)
		}
	}
	// While one is under way another with its key is refused.
	ended := make(chan int)
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://node/peers", strings.NewReader(`{"did":"did:web:slow.example"}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "k-5")
		resp, err := r.local.Do(req)
		if err != nil {
			ended <- 0
			return
		}
		resp.Body.Close()
		ended <- resp.StatusCode
	}()
	<-begun
	resp, got = send("/peers", "k-5", `{"did":"did:web:slow.example"}`)
	wantProblem(t, resp, []byte(got), 409, "conflict")
	close(hold)
	if status := <-ended; status != 201 {
		t.Errorf("the first ended with %d", status)
	}
	// A day later the key may be used anew.
	mu.Lock()
	now = now.Add(replay.Age)
	mu.Unlock()
	before := asked.Load()
	if resp, _ := send("/peers", "k-1", `{"did":"did:web:b.example"}`); resp.StatusCode != 201 || asked.Load() != before+1 {
		t.Errorf("a day later: %d", resp.StatusCode)
	}
}
