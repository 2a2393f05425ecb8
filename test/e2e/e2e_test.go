// Package e2e drives real nodes from outside, as their operators, their peers and their enemies do: processes of the real
// binary, HTTPS on loopback, the command line.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"ihyid/exchange"
	"ihyid/test/harness"
	"ihyid/test/lists"
)

var program string

func TestMain(m *testing.M) {
	path, remove, err := harness.Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = path
	flag.Parse()
	// These tests wait for time limits of the nodes more than they work, so more of them run at once than there are cores.
	if err := flag.Set("test.parallel", strconv.Itoa(max(6, runtime.GOMAXPROCS(0)))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	remove()
	os.Exit(status)
}

// load imports lists of one population into the nodes, so that they have contacts in common.
func load(t *testing.T, size int, nodes ...*harness.Node) {
	t.Helper()
	o := lists.Options{N: size, Seed: 5}
	for _, n := range nodes {
		o.Organisations = append(o.Organisations, lists.Organisation{Name: n.Name, Prefix: strings.ToUpper(n.Name)})
	}
	population, err := lists.New(o)
	harness.Check(t, err)
	for i, n := range nodes {
		var list bytes.Buffer
		harness.Check(t, population.WriteCSV(&list, i))
		job, err := n.Import(list.Bytes())
		harness.Check(t, err)
		if j := n.Job(job.ID); j.State != "done" {
			t.Fatalf("%s: the import ended as %s: %s", n.Name, j.State, j.Error)
		}
	}
}

// begin starts an exchange and gives its id.
func begin(t *testing.T, a, b *harness.Node) string {
	t.Helper()
	e, err := a.Client.StartExchange(t.Context(), exchange.Request{Peer: b.DID, Profile: "soundex/1", Protocol: "noise", Purpose: "a test"})
	harness.Check(t, err)
	return e.ID
}

// ended waits until an exchange has ended at a node.
func ended(n *harness.Node, id string) exchange.Exchange {
	var e exchange.Exchange
	n.Until("the end of exchange "+id, func(ctx context.Context) (bool, error) {
		var err error
		e, err = n.Client.Exchange(ctx, id)
		return err == nil && e.State.Finished(), err
	})
	return e
}

// done waits until an exchange is done on both sides, and gives it as the first sees it.
func done(t *testing.T, a, b *harness.Node, id string) exchange.Exchange {
	t.Helper()
	var of [2]exchange.Exchange
	for i, n := range []*harness.Node{a, b} {
		if of[i] = ended(n, id); of[i].State != exchange.StateDone {
			t.Fatalf("at %s the exchange ended as %s: %s", n.Name, of[i].State, of[i].Error)
		}
	}
	if of[0].InCommon == 0 || of[1].InCommon == 0 {
		t.Fatal("the exchange found nothing in common")
	}
	return of[0]
}

// state is all that people see of a node, as text: what must be the same after something was refused.
func state(t *testing.T, n *harness.Node) string {
	t.Helper()
	ctx := t.Context()
	status, err := n.Client.Status(ctx)
	harness.Check(t, err)
	peers, err := n.Client.Peers(ctx)
	harness.Check(t, err)
	exchanges, err := n.Client.Exchanges(ctx)
	harness.Check(t, err)
	receipts, err := n.Client.Receipts(ctx)
	harness.Check(t, err)
	letters := map[string]int{}
	for i := range exchanges {
		exchanges[i].Seconds = 0 // goes on while an exchange does
		all, err := n.Client.Presentations(ctx, exchanges[i].ID)
		harness.Check(t, err)
		for step, text := range all {
			letters[exchanges[i].ID+" "+step] = len(text)
		}
	}
	jobs := map[string]string{}
	for j, err := range n.Client.Jobs(ctx) {
		harness.Check(t, err)
		jobs[j.ID] = j.Kind
	}
	text, err := json.MarshalIndent([]any{status.Contacts, peers, exchanges, receipts, letters, jobs}, "", " ")
	harness.Check(t, err)
	return string(text)
}

// unchanged fails the test if the node's state is not what it was.
func unchanged(t *testing.T, n *harness.Node, before string) {
	t.Helper()
	if after := state(t, n); after != before {
		t.Errorf("%s has changed:\n%s\nwas\n%s", n.Name, after, before)
	}
}

// refused holds what a command that was refused wrote against the rules: the status, nothing on standard output, one line on
// standard error (two where the usage is wrong) that says all of want.
func refused(t *testing.T, stdout, stderr string, status, wantStatus int, want ...string) {
	t.Helper()
	if status != wantStatus || stdout != "" {
		t.Errorf("status %d, want %d; standard output %q; standard error %q", status, wantStatus, stdout, stderr)
	}
	lines := 1
	if wantStatus == 2 {
		lines = 2
	}
	if strings.Count(stderr, "\n") != lines || !strings.HasPrefix(stderr, "ihyid: ") || !strings.HasSuffix(stderr, "\n") {
		t.Errorf("standard error is not %d line(s) that begin with the program's name: %q", lines, stderr)
	}
	for _, w := range want {
		if !strings.Contains(stderr, w) {
			t.Errorf("standard error %q does not say %q", stderr, w)
		}
	}
}
