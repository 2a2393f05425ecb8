package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ihyid/contacts"
	"ihyid/did"
	"ihyid/exchange/register"
	"ihyid/kms/file"
	"ihyid/store"
	"ihyid/store/jobs"
)

// world is a few nodes in one process, which reach each other without a network but through everything else that is real: key stores,
// stores, presentations. It is the transport and the resolver of all of them.
type world struct {
	t     testing.TB
	mu    sync.Mutex
	nodes map[string]*testNode // by DID

	forged map[string]*did.Document // what DIDs resolve to instead of what their nodes publish

	offline atomic.Bool // no network joins the nodes

	// intercept, if set, may answer a request instead of its receiver, or change it.
	intercept func(from *testNode, r *TransportRequest) (*TransportResponse, error)
}

type testNode struct {
	*Node
	t       testing.TB
	w       *world
	dir     string
	host    string
	proof   string // see Options.Proof
	profile *contacts.Profile
	store   *store.Store
	keys    *file.Store
	reg     *register.Register
	queue   *jobs.Queue
	stop    func()
	options func(*Options)
	ahead   atomic.Int64 // how far the node's clock is ahead, in nanoseconds
}

func (tn *testNode) now() time.Time { return time.Now().Add(time.Duration(tn.ahead.Load())) }

func newWorld(t testing.TB) *world { return &world{t: t, nodes: map[string]*testNode{}} }

func orgOf(host string) Organisation {
	return Organisation{Name: "Organisation " + host, RegistrationNumber: "R-" + host, Country: "LB"}
}

// add makes a node and starts it.
func (w *world) add(host string) *testNode {
	w.t.Helper()
	return w.addWith(host, Options{})
}

// addWith makes a node with those options that a test may choose.
func (w *world) addWith(host string, o Options) *testNode {
	w.t.Helper()
	tn := &testNode{t: w.t, w: w, dir: w.t.TempDir(), host: host, proof: o.Proof}
	ctx := w.t.Context()
	keys, err := file.Create(filepath.Join(tn.dir, "keys"), file.Options{})
	must(w.t, err)
	s, err := store.Create(ctx, filepath.Join(tn.dir, "node.db"), store.Options{Keys: keys})
	must(w.t, err)
	n, err := Create(ctx, Options{Store: s, Keys: keys, Proof: o.Proof}, NewIdentity{Method: "web", Host: host, Organisation: orgOf(host)})
	must(w.t, err)
	must(w.t, s.Close())
	must(w.t, keys.Close())
	w.mu.Lock()
	w.nodes[n.DID()] = tn
	w.mu.Unlock()
	tn.start()
	w.t.Cleanup(func() { tn.stop() })
	return tn
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start opens the node in its directory and runs its jobs.
func (tn *testNode) start() {
	tn.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	tn.keys, err = file.Open(filepath.Join(tn.dir, "keys"), file.Options{})
	must(tn.t, err)
	tn.store, err = store.Open(ctx, filepath.Join(tn.dir, "node.db"), store.Options{Keys: tn.keys})
	must(tn.t, err)
	tn.queue = jobs.New(tn.store, jobs.Options{Workers: 2})
	tn.profile, err = contacts.BuiltinProfile("soundex/1")
	must(tn.t, err)
	tn.reg, err = register.New(register.Options{Store: tn.store, Jobs: tn.queue, Profile: tn.profile, Clock: tn.now})
	must(tn.t, err)
	o := Options{
		Store: tn.store, Keys: tn.keys, Resolver: tn.w, Register: tn.reg, Jobs: tn.queue, Transport: transportOf{tn},
		Profiles: map[string]*contacts.Profile{tn.profile.Name(): tn.profile}, PollInterval: 50 * time.Millisecond, Clock: tn.now, Proof: tn.proof,
	}
	if tn.options != nil {
		tn.options(&o)
	}
	node, err := Open(ctx, o)
	must(tn.t, err)
	tn.w.mu.Lock()
	tn.Node = node
	tn.w.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	tn.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		must(tn.t, tn.store.Close())
		must(tn.t, tn.keys.Close())
	})
}

// Resolve gives the published documents of the nodes.
func (w *world) Resolve(_ context.Context, name string) (*did.Resolution, error) {
	if w.offline.Load() {
		return nil, &did.Error{Code: did.InternalError, DID: name, Err: errors.New("no network")}
	}
	w.mu.Lock()
	tn, forged := w.nodes[name], w.forged[name]
	w.mu.Unlock()
	if forged != nil {
		return &did.Resolution{Document: forged}, nil
	}
	if tn == nil || tn.running() == nil {
		return nil, &did.Error{Code: did.NotFound, DID: name}
	}
	doc, err := did.ParseDocument(tn.running().DocumentJSON())
	if err != nil {
		return nil, err
	}
	return &did.Resolution{Document: doc}, nil
}

type transportOf struct{ from *testNode }

// Send does what the HTTP endpoints do.
func (tr transportOf) Send(ctx context.Context, r TransportRequest) (TransportResponse, error) {
	w := tr.from.w
	if w.offline.Load() {
		return TransportResponse{}, errors.New("no network")
	}
	w.mu.Lock()
	intercept := w.intercept
	w.mu.Unlock()
	if intercept != nil {
		if resp, err := intercept(tr.from, &r); resp != nil || err != nil {
			if err != nil {
				return TransportResponse{}, err
			}
			return *resp, nil
		}
	}
	host, path, _ := strings.Cut(strings.TrimPrefix(r.URL, "https://"), "/node/")
	w.mu.Lock()
	to := w.nodes["did:web:"+host]
	w.mu.Unlock()
	if to == nil {
		return TransportResponse{}, errors.New("no such host")
	}
	return to.serve(ctx, r, path)
}

// running is the node as it was last started; others ask it while it is started again.
func (tn *testNode) running() *Node {
	tn.w.mu.Lock()
	defer tn.w.mu.Unlock()
	return tn.Node
}

func (tn *testNode) serve(ctx context.Context, r TransportRequest, path string) (TransportResponse, error) {
	node := tn.running()
	parts := strings.Split(path, "/")
	var out any
	var err error
	switch {
	case r.Method == "POST" && path == "challenges":
		var req ChallengeRequest
		if err = json.Unmarshal(r.Body, &req); err == nil {
			out, err = node.Challenge(ctx, req)
		}
	case r.Method == "POST" && path == "messages":
		out, err = node.Message(ctx, r.Body)
	case r.Method == "GET" && strings.HasPrefix(path, "changes?since="):
		out, err = node.Changes(ctx, strings.TrimPrefix(path, "changes?since="))
	case r.Method == "GET" && len(parts) == 2:
		out, err = node.Progress(ctx, r.Token, parts[1])
	case len(parts) == 5:
		index, perr := strconv.ParseUint(parts[4], 10, 32)
		must(tn.t, perr)
		if r.Method == "PUT" {
			err = node.PutChunk(ctx, r.Token, parts[1], parts[2], uint32(index), r.Body)
			break
		}
		var body []byte
		if body, err = node.GetChunk(ctx, r.Token, parts[1], parts[2], uint32(index)); err == nil {
			return TransportResponse{Status: http.StatusOK, Body: body}, nil
		}
	default:
		return TransportResponse{Status: http.StatusNotFound}, nil
	}
	if err != nil {
		body, _ := json.Marshal(map[string]string{"type": "urn:ihyid:problem:" + string(CodeOf(err)), "detail": err.Error()})
		return TransportResponse{Status: http.StatusBadRequest, Body: body}, nil
	}
	body, err := json.Marshal(out)
	if int64(len(body)) > r.MaxReply {
		return TransportResponse{}, fmt.Errorf("a reply of %d bytes, at most %d wanted", len(body), r.MaxReply)
	}
	return TransportResponse{Status: http.StatusOK, Body: body}, err
}

// importCSV imports a list and waits for the end.
func (tn *testNode) importCSV(csv string) register.ImportResult {
	tn.t.Helper()
	job, err := tn.reg.StartImport(tn.t.Context(), strings.NewReader(csv), register.ImportOptions{}, "local")
	must(tn.t, err)
	job = tn.await(job.ID)
	if job.State != jobs.Done {
		tn.t.Fatalf("import: %s %s", job.State, job.Error)
	}
	var r register.ImportResult
	must(tn.t, json.Unmarshal(job.Result, &r))
	return r
}

// await waits until a job has ended.
func (tn *testNode) await(id string) jobs.Job {
	tn.t.Helper()
	most := time.Minute
	if _, ok := tn.t.(*testing.B); ok {
		most = time.Hour
	}
	ctx, cancel := context.WithTimeout(tn.t.Context(), most)
	defer cancel()
	changes, err := tn.queue.Watch(ctx, id)
	must(tn.t, err)
	var last jobs.Job
	for j := range changes {
		last = j
	}
	if !last.State.Final() {
		tn.t.Fatalf("job %s (%s) did not end: %s %s %s", id, last.Kind, last.State, last.Message, last.Error)
	}
	return last
}

// awaitPeer waits until a peer is in a state.
func (tn *testNode) awaitPeer(name string, state PeerState) {
	tn.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		p, err := tn.Peer(tn.t.Context(), name)
		if err == nil && p.State == state && !p.Undelivered {
			return
		}
		if time.Now().After(deadline) {
			tn.t.Fatalf("peer %s is %q (%v), not %q", name, p.State, err, state)
		}
		select {
		case <-tn.t.Context().Done():
			tn.t.Fatal("ended")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// befriend registers b with a.
func befriend(a, b *testNode) {
	a.t.Helper()
	_, err := a.AddPeer(a.t.Context(), b.DID(), orgOf(b.host))
	must(a.t, err)
	_, err = b.ApprovePeer(b.t.Context(), a.DID())
	must(b.t, err)
	a.awaitPeer(b.DID(), PeerApproved)
	b.awaitPeer(a.DID(), PeerApproved)
}

// run runs an exchange and waits for its end.
func (tn *testNode) run(to *testNode) Exchange { return tn.runBy(ProtocolNoise, to) }

func (tn *testNode) runBy(protocol string, to *testNode) Exchange {
	tn.t.Helper()
	e, err := tn.StartExchange(tn.t.Context(), Request{Peer: to.DID(), Profile: "soundex/1", Protocol: protocol, Purpose: "a test"})
	must(tn.t, err)
	if job := tn.await(e.Job); job.State != jobs.Done {
		tn.t.Logf("the job: %s %s", job.State, job.Error)
	}
	e, err = tn.Exchange(tn.t.Context(), e.ID)
	must(tn.t, err)
	return e
}

const header = "external_id,first_name,last_name,mother_first_name,father_first_name,date_of_birth\n"

const listA = header +
	"A1,Houman,Haddad,Barbara,Michael,1976-05-07\n" +
	"A2,Amal,Khoury,Rita,Georges,1980-02-13\n" +
	"A3,Nour,Saad,,Karim,1990-11-30\n" + // no mother: no key, no match
	"A4,Ziad,Mansour,Hala,Fadi,2001-07-19\n"

const listB = header +
	"B1,Hooman,Hadad,Barbra,Micheal,1976-05-07\n" + // the same codes
	"B2,Amal,Khoury,Rita,George,1980-02-14\n" + // another day
	"B3,Nour,Saad,,Karim,1990-11-30\n" +
	"B4,Zyad,Mansur,Hala,Fady,2001-07-19\n"

func TestExchange(t *testing.T) {
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) { testExchange(t, protocol) })
	}
}

func testExchange(t *testing.T, protocol string) {
	w := newWorld(t)
	a, b := w.add("a.example"), w.add("b.example")
	if r := a.importCSV(listA); r.Created != 4 || r.Rejected != 0 {
		t.Fatalf("import: %+v", r)
	}
	b.importCSV(listB)
	befriend(a, b)
	e := a.runBy(protocol, b)
	if e.State != StateDone || e.InCommon != 2 || e.Possible != 0 {
		t.Fatalf("exchange: %+v", e)
	}
	check := func(tn *testNode, want ...string) {
		t.Helper()
		matches, err := tn.Matches(t.Context(), e.ID)
		must(t, err)
		got := map[string]bool{}
		for _, m := range matches {
			if m.Tier != "match" || len(m.Keys) != 1 {
				t.Errorf("%s: %+v", tn.host, m)
			}
			got[m.ExternalID] = true
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", tn.host, got, want)
		}
		for _, id := range want {
			if !got[id] {
				t.Errorf("%s: %v, want %v", tn.host, got, want)
			}
		}
	}
	check(a, "A1", "A4")
	check(b, "B1", "B4")

	ra, err := a.Receipt(t.Context(), e.ID)
	must(t, err)
	rb, err := b.Receipt(t.Context(), e.ID)
	must(t, err)
	if !bytes.Equal(ra, rb) {
		t.Error("the two sides hold different receipts")
	}
	docs := func(nodes ...*testNode) (out []*did.Document) {
		for _, n := range nodes {
			d, err := did.ParseDocument(n.DocumentJSON())
			must(t, err)
			out = append(out, d)
		}
		return out
	}
	if report := VerifyReceipt(t.Context(), ra, VerifyReceiptOptions{Documents: docs(a, b)}); !report.Passed() {
		t.Errorf("the receipt does not verify: %+v", report.Checks)
	}
	if report := VerifyReceipt(t.Context(), ra, VerifyReceiptOptions{Documents: docs(a)}); report.Passed() {
		t.Error("a receipt verifies with a DID document that is only in the file itself")
	}
	forged := bytes.ReplaceAll(ra, []byte(`"matches": "2"`), []byte(`"matches": "3"`))
	if report := VerifyReceipt(t.Context(), forged, VerifyReceiptOptions{Documents: docs(a, b)}); report.Passed() || bytes.Equal(forged, ra) {
		t.Error("a tampered receipt verifies")
	}
	for _, n := range []*testNode{a, b} {
		ps, err := n.Presentations(t.Context(), e.ID)
		must(t, err)
		if len(ps) == 0 {
			t.Errorf("%s keeps no presentations", n.host)
		}
		// What stands in the epoch stays until it rolls.
		_, err = n.RollEpochs(t.Context(), "")
		must(t, err)
		err = n.store.View(t.Context(), func(tx *store.Tx) error {
			left, err := n.kept.chunks.Len(tx)
			if left != 0 {
				t.Errorf("%s: %d chunks are left after the exchange", n.host, left)
			}
			return err
		})
		must(t, err)
	}
}

// TestNoPeerByKey has a did:key registered, which cannot be: it is said why.
func TestNoPeerByKey(t *testing.T) {
	a := newWorld(t).add("a.example")
	const key = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169"
	if _, err := a.AddPeer(t.Context(), key, Organisation{}); CodeOf(err) != CodeUnsupported {
		t.Errorf("%v", err)
	}
}
