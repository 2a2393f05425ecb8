package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ihyid/exchange"
	"ihyid/test/harness"
)

// TestByFile carries a whole exchange between two nodes that never run at the same time, by the commands of an officer. The node that works on a file is
// killed in the middle of it and started again. IHYID_FILE_CONTACTS makes it larger, and has it tell times and sizes; IHYID_FILE_PROFILE names another profile
// than soundex/1, which makes one digest a contact.
func TestByFile(t *testing.T) {
	t.Parallel()
	size := 400
	large := false
	if s := os.Getenv("IHYID_FILE_CONTACTS"); s != "" {
		var err error
		size, err = strconv.Atoi(s)
		harness.Check(t, err)
		large = true
		harness.Limit = time.Hour
	}
	net := harness.New(t, program)
	a, b := net.Add("alpha"), net.Add("beta")
	load(t, size, a, b)
	harness.Befriend(a, b)
	b.Stop()

	stick := t.TempDir()
	file := func(n int) string { return filepath.Join(stick, strconv.Itoa(n)+".ihyid") }
	run := func(n *harness.Node, what string, args ...string) exchange.Exchange {
		t.Helper()
		began := time.Now()
		out, errs, status := n.Run(append(args, "--json")...)
		var e exchange.Exchange
		if err := json.Unmarshal([]byte(out), &e); status != 0 || err != nil {
			t.Fatalf("%s at %s: status %d, %v: %s%s", what, n.Name, status, err, out, errs)
		}
		if large {
			t.Logf("%s at %s: %.1f s", what, n.Name, time.Since(began).Seconds())
		}
		return e
	}
	begin := []string{"exchange", "run", "--by-file", "--peer", b.DID, "--purpose", "winter kits 2026", "--out", file(1)}
	if profile := os.Getenv("IHYID_FILE_PROFILE"); profile != "" {
		begin = append(begin, "--profile", profile)
	} else {
		begin = append(begin, "--profile", "soundex/1")
	}
	e := run(a, "beginning", begin...)
	a.Stop()
	rnd := rand.New(rand.NewPCG(uint64(size), 1))
	for n := 1; n <= 5; n++ {
		node := []*harness.Node{a, b}[n%2]
		node.Start()
		if !large && n < 5 {
			interrupted := make(chan struct{})
			go func() {
				defer close(interrupted)
				_, _, _ = node.Run("exchange", "import-step", file(n)) // fails, or has been done, wherever the kill comes
			}()
			<-time.After(time.Duration(rnd.Int64N(int64(150 * time.Millisecond)))) // a power cut waits for nothing
			node.Kill()
			<-interrupted
			node.Start()
		}
		args := []string{"exchange", "import-step", file(n)}
		if n < 5 {
			args = append(args, "--out", file(n+1))
		}
		e = run(node, "file "+strconv.Itoa(n), args...)
		if info, err := os.Stat(file(n)); large {
			harness.Check(t, err)
			t.Logf("file %d: %d bytes", n, info.Size())
		}
		if n == 4 && (e.State != exchange.StateDone || e.InCommon == 0) || n == 5 && e.State != exchange.StateDone {
			t.Errorf("after file %d at %s: %+v", n, node.Name, e)
		}
		node.Stop()
	}
	if parts, _ := filepath.Glob(filepath.Join(stick, ".*")); len(parts) != 0 {
		t.Errorf("left on the stick: %v", parts)
	}
	a.Start()
	b.Start()
	done(t, a, b, e.ID)
	if large {
		return
	}
	// The same over the network.
	over, err := a.Client.StartExchange(t.Context(), exchange.Request{Peer: b.DID, Profile: "soundex/1", Protocol: "noise", Purpose: "a test"})
	harness.Check(t, err)
	if network := done(t, a, b, over.ID); network.InCommon != e.InCommon && ended(a, e.ID).InCommon != network.InCommon {
		t.Errorf("%d in common by file, %d over the network", e.InCommon, network.InCommon)
	}
	for _, n := range []*harness.Node{a, b} {
		receipt := filepath.Join(stick, n.Name+".json")
		if out, errs, status := n.Run("receipts", "export", e.ID, "--out", receipt); status != 0 {
			t.Fatalf("status %d: %s%s", status, out, errs)
		}
		if out, errs, status := net.Run("receipts", "verify", receipt, "--ca-file", net.CAFile, "--allow-private", net.Private); status != 0 {
			t.Errorf("the receipt at %s: status %d: %s%s", n.Name, status, out, errs)
		}
	}
	// A file once more, a damaged one, one that is there already, and a stick that is full.
	out, errs, status := b.Run("exchange", "import-step", file(1))
	if status != 0 || !strings.Contains(errs, "taken before") {
		t.Errorf("the first file again: status %d: %s%s", status, out, errs)
	}
	text, err := os.ReadFile(file(5))
	harness.Check(t, err)
	harness.Check(t, os.WriteFile(file(9), text[:len(text)-1], 0o600))
	if out, errs, status := b.Run("exchange", "import-step", file(9)); status != 1 || !strings.Contains(errs, "cut short") {
		t.Errorf("a file cut short: status %d: %s%s", status, out, errs)
	}
	if out, errs, status := a.Run("exchange", "export-step", e.ID, "--out", file(1)); status != 1 || !strings.Contains(errs, "is there already") {
		t.Errorf("a file in the place of another: status %d: %s%s", status, out, errs)
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		if out, errs, status := a.Run("exchange", "export-step", e.ID, "--out", "/dev/full/x"); status != 1 {
			t.Errorf("where no file can be: status %d: %s%s", status, out, errs)
		}
	}
	if out, errs, status := a.Run("exchange", "run", "--peer", b.DID, "--purpose", "x", "--out", file(8)); status != 2 {
		t.Errorf("--out without --by-file: status %d: %s%s", status, out, errs)
	}
}
