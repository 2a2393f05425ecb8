// Package faults kills real nodes at random moments of their work, as power cuts do, and looks whether anything was lost or doubled.
package faults

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ihyid/did"
	"ihyid/exchange"
	"ihyid/exchange/register"
	"ihyid/kms/file"
	"ihyid/store"
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
	status := m.Run()
	remove()
	os.Exit(status)
}

// rounds is how often a node is killed: n, or as often as the environment says, for a longer run.
func rounds(t *testing.T, n int) int {
	if s := os.Getenv("IHYID_FAULT_ROUNDS"); s != "" {
		more, err := strconv.Atoi(s)
		harness.Check(t, err)
		return more
	}
	return n
}

// random gives randomness whose seed the log names, and IHYID_FAULT_SEED repeats.
func random(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("IHYID_FAULT_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		harness.Check(t, err)
	}
	t.Logf("IHYID_FAULT_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// after waits a random while: the moment at which a power cut comes has nothing to wait for.
func after(r *rand.Rand, most time.Duration) {
	<-time.After(time.Duration(r.Int64N(int64(most))))
}

// TestImportSurvivesKills kills a node again and again while it imports: in the end every row is there, once.
func TestImportSurvivesKills(t *testing.T) {
	const size = 60_000
	var list bytes.Buffer
	harness.Check(t, lists.WriteCSV(&list, lists.Options{N: size, Seed: 7, Errors: &lists.Errors{}}))
	rnd := random(t)
	n := harness.New(t, program).Add("alpha")
	job, err := n.Import(list.Bytes())
	harness.Check(t, err)
	kills := 0
	for range rounds(t, 12) {
		after(rnd, 150*time.Millisecond)
		n.Kill()
		kills++
		n.Start()
		if j, err := n.Client.Job(context.Background(), job.ID); err == nil && j.State.Final() {
			break
		}
	}
	j := n.Job(job.ID)
	if j.State != "done" {
		t.Fatalf("the import ended as %s: %s", j.State, j.Error)
	}
	var r register.ImportResult
	harness.Check(t, json.Unmarshal(j.Result, &r))
	t.Logf("%d kills, %d attempts: %+v", kills, j.Attempts, r)
	if r.Rows != size || r.Rejected != 0 {
		t.Errorf("the report does not count every row once: %+v", r)
	}
	got := export(t, n.Export())
	want := export(t, list.Bytes())
	if len(got) != int(r.Created) || r.Created+r.Duplicates != size {
		t.Errorf("%d contacts are there; the report says %+v", len(got), r)
	}
	if r.Duplicates == 0 && !slices.Equal(got, want) {
		t.Error("the contacts are not the rows of the list")
	}
	n.Stop()
	healthy(t, n)
	if left, _ := filepath.Glob(filepath.Join(n.Data, "*spool*", "*")); len(left) != 0 {
		t.Errorf("the uploaded list is still there: %d files", len(left))
	}
}

// export reads the external ids of a list.
func export(t *testing.T, text []byte) []string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	harness.Check(t, err)
	column := slices.Index(rows[0], "external_id")
	if column < 0 {
		t.Fatal("no external_id in the list")
	}
	out := make([]string, 0, len(rows))
	for _, r := range rows[1:] {
		out = append(out, r[column])
	}
	slices.Sort(out)
	return out
}

// healthy opens the store of a stopped node and has it check itself.
func healthy(t *testing.T, n *harness.Node) {
	t.Helper()
	keys, err := file.Open(filepath.Join(n.Data, "keys"), file.Options{})
	harness.Check(t, err)
	defer keys.Close()
	s, err := store.Open(t.Context(), filepath.Join(n.Data, "ihyid.db"), store.Options{Keys: keys})
	harness.Check(t, err)
	defer s.Close()
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("the store of %s: %v", n.Name, err)
	}
}

// TestUploadSurvivesKill kills a node while a list is still coming in: nothing of it stays.
func TestUploadSurvivesKill(t *testing.T) {
	n := harness.New(t, program).Add("alpha")
	r, w, err := os.Pipe()
	harness.Check(t, err)
	defer r.Close()
	done := make(chan error, 1)
	go func() {
		_, err := n.Client.ImportContacts(context.Background(), r, register.ImportOptions{})
		done <- err
	}()
	_, err = fmt.Fprint(w, "first_name,last_name,date_of_birth\n", strings.Repeat("Amal,Khoury,1980-02-13\n", 10_000))
	harness.Check(t, err)
	n.Until("the upload to begin", func(context.Context) (bool, error) {
		parts, err := filepath.Glob(filepath.Join(n.Data, "*spool*", "*"))
		return len(parts) > 0, err
	})
	n.Kill()
	w.Close()
	if err := <-done; err == nil {
		t.Error("the upload to a killed node succeeded")
	}
	n.Start()
	status, err := n.Client.Status(t.Context())
	harness.Check(t, err)
	jobs, err := count(n.Client.Jobs(t.Context()))
	harness.Check(t, err)
	if status.Contacts != 0 || jobs != 0 {
		t.Errorf("%d contacts and %d jobs of an upload that never ended", status.Contacts, jobs)
	}
	if left, _ := filepath.Glob(filepath.Join(n.Data, "*spool*", "*")); len(left) != 0 {
		t.Errorf("%d files of it are left", len(left))
	}
}

// TestExchangeSurvivesKills kills either side, or both, at random moments of exchanges: each ends in the result that an
// undisturbed one has, with one receipt that both hold.
func TestExchangeSurvivesKills(t *testing.T) {
	rnd := random(t)
	net := harness.New(t, program)
	a, b := net.Add("alpha"), net.Add("beta")
	population, err := lists.New(lists.Options{N: 3000, Seed: 11, Overlap: 0.3})
	harness.Check(t, err)
	for i, n := range []*harness.Node{a, b} {
		var list bytes.Buffer
		harness.Check(t, population.WriteCSV(&list, i))
		job, err := n.Import(list.Bytes())
		harness.Check(t, err)
		if j := n.Job(job.ID); j.State != "done" {
			t.Fatalf("import: %s", j.Error)
		}
	}
	harness.Befriend(a, b)
	want := settled(t, a, b, begin(t, a, b, exchange.ProtocolNoise, "fault test"))
	if want.InCommon == 0 {
		t.Fatal("the lists have nothing in common")
	}
	kills := 0
	for round := range rounds(t, 6) {
		id := begin(t, a, b, []string{exchange.ProtocolVOPRF, exchange.ProtocolNoise}[round%2], "fault test")
		for range 1 + rnd.IntN(3) {
			after(rnd, 250*time.Millisecond)
			victims := [][]*harness.Node{{a}, {b}, {a, b}}[rnd.IntN(3)]
			for _, v := range victims {
				v.Kill()
				kills++
			}
			for _, v := range victims {
				v.Start()
			}
		}
		got := settled(t, a, b, id)
		if got.InCommon != want.InCommon || got.Possible != want.Possible {
			t.Fatalf("round %d: %d in common and %d possible; undisturbed %d and %d", round, got.InCommon, got.Possible, want.InCommon, want.Possible)
		}
	}
	t.Logf("%d kills", kills)
	a.Stop()
	b.Stop()
	healthy(t, a)
	healthy(t, b)
}

// TestLargeExchangeSurvivesKills kills either node in every stage of one large exchange by voprf. IHYID_FAULT_CONTACTS=200000 makes it as large as the
// largest organisations that are expected; it then takes some minutes.
func TestLargeExchangeSurvivesKills(t *testing.T) {
	size := 3000
	if s := os.Getenv("IHYID_FAULT_CONTACTS"); s != "" {
		var err error
		size, err = strconv.Atoi(s)
		harness.Check(t, err)
		was := harness.Limit
		harness.Limit += time.Duration(size) * 10 * time.Millisecond
		defer func() { harness.Limit = was }()
	}
	rnd := random(t)
	net := harness.New(t, program)
	a, b := net.Add("alpha"), net.Add("beta")
	population, err := lists.New(lists.Options{N: size, Seed: 12, Overlap: 0.3})
	harness.Check(t, err)
	for i, n := range []*harness.Node{a, b} {
		var list bytes.Buffer
		harness.Check(t, population.WriteCSV(&list, i))
		job, err := n.Import(list.Bytes())
		harness.Check(t, err)
		if j := n.Job(job.ID); j.State != "done" {
			t.Fatalf("import: %s", j.Error)
		}
	}
	harness.Befriend(a, b)
	begun := time.Now()
	wholeID := begin(t, a, b, exchange.ProtocolVOPRF, "undisturbed")
	want := settled(t, a, b, wholeID)
	undisturbed := time.Since(begun)
	// Another purpose has keys of its own: nothing of the first exchange is used again, and the second is as much work.
	id := begin(t, a, b, exchange.ProtocolVOPRF, "disturbed")
	seen, kills := map[exchange.State]bool{}, 0
	for begun = time.Now(); ; {
		e, err := a.Client.Exchange(t.Context(), id)
		harness.Check(t, err)
		if e.State.Finished() || kills == 12 {
			break
		}
		if !seen[e.State] || rnd.IntN(20) == 0 { // once in every stage, and at random
			seen[e.State] = true
			victim := []*harness.Node{a, b}[rnd.IntN(2)]
			victim.Kill()
			victim.Start()
			kills++
		}
		after(rnd, undisturbed/10+10*time.Millisecond)
	}
	got := settled(t, a, b, id)
	t.Logf("%d contacts a side: undisturbed %.1f s; %d kills, in %v: %.1f s", size, undisturbed.Seconds(), kills, slices.Collect(maps.Keys(seen)), time.Since(begun).Seconds())
	if got.InCommon != want.InCommon || got.Possible != want.Possible || want.InCommon == 0 {
		t.Fatalf("%d in common and %d possible; undisturbed %d and %d", got.InCommon, got.Possible, want.InCommon, want.Possible)
	}
	for _, n := range []*harness.Node{a, b} {
		if !maps.Equal(found(t, n, id), found(t, n, wholeID)) {
			t.Fatalf("%s: the contacts found are not those of the undisturbed exchange", n.Name)
		}
	}
	a.Stop()
	b.Stop()
	healthy(t, a)
	healthy(t, b)
}

// found counts what an exchange found by contact, tier and keys; rows have another name in every exchange and are left out.
func found(t *testing.T, n *harness.Node, id string) map[string]int {
	t.Helper()
	matches, err := n.Client.Matches(t.Context(), id)
	harness.Check(t, err)
	of := make(map[string]int, len(matches))
	for _, m := range matches {
		keys := slices.Sorted(slices.Values(m.Keys))
		of[fmt.Sprint(m.Contact, m.Tier, keys)]++
	}
	return of
}

func begin(t *testing.T, a, b *harness.Node, protocol, purpose string) string {
	t.Helper()
	e, err := a.Client.StartExchange(t.Context(), exchange.Request{Peer: b.DID, Profile: "soundex/1", Protocol: protocol, Purpose: purpose})
	harness.Check(t, err)
	return e.ID
}

// settled waits until an exchange is done on both sides, and holds both against each other.
func settled(t *testing.T, a, b *harness.Node, id string) exchange.Exchange {
	t.Helper()
	var of [2]exchange.Exchange
	for i, n := range []*harness.Node{a, b} {
		n.Until("the end of exchange "+id, func(ctx context.Context) (bool, error) {
			var err error
			of[i], err = n.Client.Exchange(ctx, id)
			return err == nil && of[i].State.Finished(), err
		})
		if of[i].State != exchange.StateDone {
			t.Fatalf("%s: the exchange ended as %s: %s", n.Name, of[i].State, of[i].Error)
		}
	}
	ra, err := a.Client.Receipt(t.Context(), id)
	harness.Check(t, err)
	rb, err := b.Client.Receipt(t.Context(), id)
	harness.Check(t, err)
	if !bytes.Equal(ra, rb) {
		t.Fatal("the two sides hold different receipts")
	}
	var docs []*did.Document
	for _, n := range []*harness.Node{a, b} {
		raw, err := n.Client.Document(t.Context())
		harness.Check(t, err)
		doc, err := did.ParseDocument(raw)
		harness.Check(t, err)
		docs = append(docs, doc)
	}
	if report := exchange.VerifyReceipt(t.Context(), ra, exchange.VerifyReceiptOptions{Documents: docs}); !report.Passed() {
		t.Fatalf("the receipt does not verify: %+v", report.Checks)
	}
	ma, err := a.Client.Matches(t.Context(), id)
	harness.Check(t, err)
	mb, err := b.Client.Matches(t.Context(), id)
	harness.Check(t, err)
	if len(ma) != len(mb) {
		t.Fatalf("%d pairs on one side, %d on the other", len(ma), len(mb))
	}
	return of[0]
}

// count counts what a listing gives.
func count[T any](all iter.Seq2[T, error]) (int, error) {
	n := 0
	for _, err := range all {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
