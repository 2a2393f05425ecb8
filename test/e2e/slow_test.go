package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"ihyid/test/harness"
)

// TestSlowConnections holds thousands of connections to a node on which nothing gets on, some before the handshake, some in the middle
// of a header, and works with the node meanwhile.
func TestSlowConnections(t *testing.T) {
	const slow = 5000
	net1 := harness.New(t, program)
	a, b := net1.Add("alpha"), net1.Add("beta")
	load(t, 200, a, b)
	harness.Befriend(a, b)

	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		for _, c := range open {
			c.Close()
		}
	})
	address := fmt.Sprintf("localhost:%d", b.Port)
	config := net1.Trust()
	var group errgroup.Group
	group.SetLimit(32)
	for i := range slow {
		group.Go(func() error {
			var d net.Dialer
			c, err := d.DialContext(t.Context(), "tcp", address)
			if err != nil {
				return err
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			switch i % 3 {
			case 0: // says nothing
			case 1:
				_, err = c.Write([]byte{22, 3, 1, 2}) // the beginning of a handshake
			case 2:
				// The node may have closed it for another one by now.
				h := tls.Client(c, config)
				if h.HandshakeContext(t.Context()) == nil {
					_, _ = io.WriteString(h, "GET /healthz HTTP/1.1\r\nHost: lo")
				}
			}
			_ = err
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}

	// A newcomer is answered, every time, and so is a peer.
	for range 20 {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: net1.Trust()}}
		ctx, cancel := context.WithTimeout(t.Context(), harness.Limit)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/healthz", nil)
		harness.Check(t, err)
		resp, err := client.Do(req)
		harness.Check(t, err)
		if line, _ := bufio.NewReader(resp.Body).ReadString('\n'); resp.StatusCode != http.StatusOK {
			t.Errorf("%d %s", resp.StatusCode, line)
		}
		resp.Body.Close()
		client.CloseIdleConnections()
		cancel()
	}
	done(t, a, b, begin(t, a, b))
}
