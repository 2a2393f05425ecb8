package exchange

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ihyid/exchange/merkle"
	"ihyid/store"
)

// keepExchanges keeps n exchanges, one a minute from begin on, with two peers in turn, every tenth of them open; their ids in the order of time.
func keepExchanges(t testing.TB, n *Node, begin time.Time, count int) (ids []string) {
	t.Helper()
	for len(ids) < count {
		must(t, n.store.Update(t.Context(), func(tx *store.Tx) error {
			for range min(5000, count-len(ids)) {
				i := len(ids)
				s := &session{
					ID: fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15), Role: Initiator, Peer: fmt.Sprintf("did:web:peer%d.example", i%2), State: StateDone,
					Request: Request{Profile: "soundex/1", Protocol: ProtocolVOPRF, Purpose: "winter"}, Created: begin.Add(time.Duration(i) * time.Minute),
					Sets: map[string]*merkle.Commitment{}, OwnCount: 1024,
				}
				if i%10 == 9 {
					s.State = StateMatching
				}
				if err := n.writeSession(tx, s); err != nil {
					return err
				}
				ids = append(ids, s.ID)
			}
			return nil
		}))
	}
	return ids
}

// parts walks a list, and calls between after every part.
func parts(t *testing.T, q Query, list func(Query) (Page[Exchange], error), between func(part int)) (ids []string) {
	t.Helper()
	for part := 1; ; part++ {
		page, err := list(q)
		must(t, err)
		for _, e := range page.Items {
			ids = append(ids, e.ID)
		}
		if page.Next == nil {
			return ids
		}
		if part > 1000 {
			t.Fatal("the list does not end")
		}
		if between != nil {
			between(part)
		}
		q.After = page.Next
	}
}

var begun = time.Date(2026, 5, 7, 9, 30, 0, 0, time.UTC)

// TestListExchanges: parts of every size make the same list, with each filter, and what is added or changed between two parts makes no part fail and nothing
// come twice.
func TestListExchanges(t *testing.T) {
	n := newWorld(t).add("a.example").Node
	ids := keepExchanges(t, n, begun, 47)
	newest := slices.Clone(ids)
	slices.Reverse(newest)
	list := func(q Query) (Page[Exchange], error) { return n.ListExchanges(t.Context(), q) }
	whole, err := n.Exchanges(t.Context())
	must(t, err)
	for i, e := range whole {
		if e.ID != newest[i] {
			t.Fatalf("exchange %d is %s, not %s", i, e.ID, newest[i])
		}
	}
	for limit := 1; limit < 50; limit++ {
		if got := parts(t, Query{Limit: limit}, list, nil); !slices.Equal(got, newest) {
			t.Fatalf("in parts of %d: %v", limit, got)
		}
	}
	for _, q := range []Query{{State: "matching"}, {Peer: "did:web:peer1.example"}, {Since: begun.Add(20 * time.Minute)}, {State: "done", Peer: "did:web:peer0.example", Since: begun.Add(7 * time.Minute)}, {State: "failed"}} {
		var want []string
		for _, e := range whole {
			if (q.State == "" || string(e.State) == q.State) && (q.Peer == "" || e.Peer == q.Peer) && !e.Created.Before(q.Since) {
				want = append(want, e.ID)
			}
		}
		q.Limit = 3
		if got := parts(t, q, list, nil); !slices.Equal(got, want) {
			t.Errorf("%+v: %v, want %v", q, got, want)
		}
	}
	// Newer ones come, and those that were seen change: what is still to come stays the same.
	got := parts(t, Query{Limit: 5}, list, func(part int) {
		keepExchanges(t, n, begun.Add(time.Duration(part)*24*time.Hour), 1)
		s, err := n.session(t.Context(), newest[(part-1)*5+4])
		must(t, err)
		s.State = StateFailed
		must(t, n.save(t.Context(), s))
	})
	if !slices.Equal(got, newest) {
		t.Errorf("with changes meanwhile: %v", got)
	}
	if page, err := list(Query{State: "failed", Limit: 100}); err != nil || len(page.Items) != 9 {
		t.Errorf("%d failed, %v; 9 were made so", len(page.Items), err)
	}
	for _, after := range [][]byte{{}, make([]byte, momentSize), make([]byte, store.MaxKeySize+1)} {
		if _, err := list(Query{After: after}); CodeOf(err) != CodeInvalid {
			t.Errorf("a place of %d bytes: %v", len(after), err)
		}
	}
}

// TestListPeers: a peer that is removed or added between two parts makes no part fail.
func TestListPeers(t *testing.T) {
	n := newWorld(t).add("a.example").Node
	keep := func(name string, state PeerState) {
		must(t, n.putPeer(t.Context(), name, nil, func(*peerRecord) (*peerRecord, error) {
			return &peerRecord{Peer: Peer{DID: name, State: state, Organisation: Organisation{Name: "Z" + name}}}, nil
		}))
	}
	for i := range 9 {
		keep(fmt.Sprintf("did:web:p%d.example", i), []PeerState{PeerApproved, PeerRequested}[i%2])
	}
	var got []string
	q := Query{Limit: 2}
	for {
		page, err := n.ListPeers(t.Context(), q)
		must(t, err)
		for _, p := range page.Items {
			got = append(got, p.DID)
		}
		if q.After = page.Next; q.After == nil {
			break
		}
		if len(got) == 2 {
			must(t, n.RemovePeer(t.Context(), got[1])) // the place of the next part
			keep("did:web:p00.example", PeerApproved)  // behind it
			keep("did:web:p77.example", PeerApproved)  // before it
		}
	}
	want := []string{"did:web:p0.example", "did:web:p1.example", "did:web:p2.example", "did:web:p3.example", "did:web:p4.example", "did:web:p5.example",
		"did:web:p6.example", "did:web:p7.example", "did:web:p77.example", "did:web:p8.example"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	page, err := n.ListPeers(t.Context(), Query{State: string(PeerRequested)})
	if must(t, err); len(page.Items) != 3 || page.Next != nil {
		t.Errorf("%d peers asked to be registered, and more: %v; 3 did, and one of them is gone", len(page.Items), page.Next != nil)
	}
}

// TestListsOfOldStore: a store from before there were lists by time gets them when it is opened.
func TestListsOfOldStore(t *testing.T) {
	n := newWorld(t).add("a.example").Node
	keepExchanges(t, n, begun, 25)
	must(t, n.store.Update(t.Context(), func(tx *store.Tx) error {
		must(t, n.writeAgreement(tx, &agreementRecord{Agreement: Agreement{ID: "x", Created: begun, State: AgreementActive}}))
		must(t, n.writeReceipt(tx, receiptRecord{Exchange: "x", Statement: Statement{Ended: "2026-05-07T09:30:00Z", Matches: "1", Possibles: "0"}}))
		for _, l := range []timeline{n.kept.sessionTimes, n.kept.receiptTimes, n.kept.agreementTimes} {
			must(t, dropAll(tx, l.entries, ""))
		}
		return n.kept.sessionTimes.put(tx, begun.Add(time.Hour), "damaged", timeEntry{})
	}))
	must(t, n.rebuildLists(t.Context()))
	exchanges, err := n.ListExchanges(t.Context(), Query{Limit: MaxPage})
	must(t, err)
	receipts, err := n.ListReceipts(t.Context(), Query{})
	must(t, err)
	agreements, err := n.ListAgreements(t.Context(), Query{})
	must(t, err)
	if len(exchanges.Items) != 25 || len(receipts.Items) != 1 || len(agreements.Items) != 1 {
		t.Errorf("%d exchanges, %d receipts, %d agreements", len(exchanges.Items), len(receipts.Items), len(agreements.Items))
	}
}

// TestListAgreements: proposing the same terms again does not list them twice.
func TestListAgreements(t *testing.T) {
	n := newWorld(t).add("a.example").Node
	for i := range 3 {
		must(t, n.store.Update(t.Context(), func(tx *store.Tx) error {
			return n.writeAgreement(tx, &agreementRecord{Agreement: Agreement{ID: "same", Peer: "did:web:b.example", State: AgreementProposed, Created: begun.Add(time.Duration(i))}})
		}))
	}
	page, err := n.ListAgreements(t.Context(), Query{State: "proposed", Peer: "did:web:b.example"})
	if must(t, err); len(page.Items) != 1 {
		t.Errorf("listed %d times", len(page.Items))
	}
}

// BenchmarkListExchanges reads parts of 100 from a list of 100,000: the first, one in the middle, and one under a filter that leaves one in twenty.
func BenchmarkListExchanges(b *testing.B) {
	n := newWorld(b).add("a.example").Node
	keepExchanges(b, n, begun, 100_000)
	for name, q := range map[string]Query{
		"first":  {},
		"middle": {After: timeKey(begun.Add(50_000*time.Minute), "x")},
		"filter": {State: string(StateMatching), Peer: "did:web:peer1.example"},
		"none":   {State: string(StateFailed)}, // looks at as many as it may
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := n.ListExchanges(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestVersions: what somebody decides about a peer, an agreement or an exchange that changed since it was read is refused and leaves everything as it is, also
// when a peer of the same DID was removed and registered again.
func TestVersions(t *testing.T) {
	n := newWorld(t).add("a.example").Node
	const b = "did:web:b.example"
	keep := func() {
		must(t, n.putPeer(t.Context(), b, nil, func(*peerRecord) (*peerRecord, error) {
			return &peerRecord{Peer: Peer{DID: b, State: PeerApproved}}, nil
		}))
	}
	keep()
	read, err := n.Peer(t.Context(), b)
	must(t, err)
	suspended, err := n.SuspendPeer(t.Context(), b, "", read.Version)
	must(t, err)
	if suspended.Version <= read.Version {
		t.Errorf("version %d after %d", suspended.Version, read.Version)
	}
	refused := func(what string, err error) {
		t.Helper()
		if CodeOf(err) != CodePrecondition {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = n.ResumePeer(t.Context(), b, read.Version)
	refused("resume", err)
	_, err = n.ApprovePeer(t.Context(), b, read.Version)
	refused("approve", err)
	refused("remove", n.RemovePeer(t.Context(), b, read.Version))
	if _, err = n.ResumePeer(t.Context(), b, 1, suspended.Version); err != nil {
		t.Error(err)
	}
	must(t, n.RemovePeer(t.Context(), b))
	keep()
	again, err := n.Peer(t.Context(), b)
	must(t, err)
	if again.Version <= suspended.Version {
		t.Errorf("registered again with version %d, after %d", again.Version, suspended.Version)
	}
	refused("suspend", errOf(n.SuspendPeer(t.Context(), b, "", suspended.Version)))

	must(t, n.store.Update(t.Context(), func(tx *store.Tx) error {
		return n.writeAgreement(tx, &agreementRecord{Agreement: Agreement{ID: "x", Peer: b, State: AgreementActive, Created: begun}})
	}))
	a, err := n.Agreement(t.Context(), "x")
	must(t, err)
	refused("end", errOf(n.EndAgreement(t.Context(), "x", "", a.Version+1)))
	ended, err := n.EndAgreement(t.Context(), "x", "", a.Version)
	if err != nil || ended.Version != a.Version+1 || ended.State != AgreementEnded {
		t.Errorf("%+v, %v", ended, err)
	}
	refused("decide", errOf(n.DecideAgreement(t.Context(), "x", true, "", a.Version)))

	id := keepExchanges(t, n, begun, 1)[0]
	s, err := n.session(t.Context(), id)
	must(t, err)
	s.State = StateWaiting
	must(t, n.save(t.Context(), s))
	e, err := n.Exchange(t.Context(), id)
	must(t, err)
	refused("approve exchange", errOf(n.ApproveExchange(t.Context(), id, e.Version-1)))
	refused("excuse exchange", errOf(n.ExcuseExchange(t.Context(), id, "why", e.Version-1)))
	out, err := n.RefuseExchange(t.Context(), id, "no", e.Version)
	if err != nil || out.State != StateFailed || out.Version <= e.Version {
		t.Errorf("%+v, %v", out, err)
	}
}

func errOf[T any](_ T, err error) error { return err }
