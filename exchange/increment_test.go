package exchange

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"ihyid/contacts"
	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/register"
	"ihyid/exchange/voprf"
	"ihyid/store"
)

// people makes a list of invented contacts, one for each number.
func people(from, to int) string {
	var b strings.Builder
	b.WriteString(header)
	for i := from; i < to; i++ {
		name := fmt.Sprintf("%c%c%c%c", 'A'+i%26, "bdgklmnrt"[i/26%9], "aeiou"[i/234%5], "bdgklmnrst"[i%10])
		fmt.Fprintf(&b, "P%d,%s,Haddad,Barbara,Michael,%04d-%02d-%02d\n", i, name, 1930+i/366%80, 1+i/28%12, 1+i%28)
	}
	return b.String()
}

// traffic counts the chunks' bytes that cross the wire.
func (w *world) traffic() *int {
	total := new(int)
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if !strings.Contains(r.URL, "/chunks/") {
			return nil, nil
		}
		host, path, _ := strings.Cut(strings.TrimPrefix(r.URL, "https://"), "/node/")
		w.mu.Lock()
		to := w.nodes["did:web:"+host]
		w.mu.Unlock()
		resp, err := to.serve(w.t.Context(), *r, path)
		*total += len(r.Body) + len(resp.Body)
		return &resp, err
	}
	return total
}

func TestIncrement(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(people(0, 3000))
	b.importCSV(people(2900, 6000))
	agree(t, a, b, AgreementRequest{PeerSize: 3100, EvaluationsPerDay: 1 << 20})
	total := w.traffic()
	first := a.runBy(ProtocolVOPRF, b)
	if first.State != StateDone || first.InCommon < 100 {
		t.Fatalf("%+v", first)
	}
	whole := *total
	*total = 0
	a.importCSV(people(6000, 6010))
	b.importCSV(people(6005, 6015))
	second := a.runBy(ProtocolVOPRF, b)
	if second.State != StateDone || second.InCommon != first.InCommon+5 || second.OwnCount != merkle.PaddedCount(10) || second.PeerCount != second.OwnCount {
		t.Fatalf("%+v after %+v", second, first)
	}
	// Claims and answers are of the five that are new in common; the rest is of the least size that padding gives.
	claims := 5 * (72 + 37)
	if rest := *total - claims; rest > 256*(32+32+16)+64+len(`null`)*2 {
		t.Errorf("%d bytes beside the claims and answers; the first time %d", rest, whole)
	}
	t.Logf("first %d bytes, second %d", whole, *total)
	raw, err := a.Receipt(t.Context(), second.ID)
	must(t, err)
	if want := fmt.Sprintf(`"evaluations": "%d"`, first.OwnCount+second.OwnCount); !strings.Contains(string(raw), want) {
		t.Errorf("the receipt does not count what was used of the budget: want %s", want)
	}
	// The matches of both sides are those of a direct run.
	for _, n := range []*testNode{a, b} {
		found, err := n.Matches(t.Context(), second.ID)
		must(t, err)
		if len(found) < second.InCommon {
			t.Errorf("%s: %d matches", n.host, len(found))
		}
	}

	// The responder rolls: the initiator notices by itself and sends all.
	n, err := b.RollEpochs(t.Context(), a.DID())
	must(t, err)
	if n != 1 {
		t.Errorf("%d epochs rolled", n)
	}
	*total = 0
	third := a.runBy(ProtocolVOPRF, b)
	if third.State != StateDone || third.InCommon != second.InCommon || third.OwnCount < first.OwnCount {
		t.Fatalf("%+v", third)
	}
	// The initiator forgets: it sends all again, which the budget of the epoch does not have room for.
	var last Exchange
	for range 9 {
		if _, err = a.RollEpochs(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if last = a.runBy(ProtocolVOPRF, b); last.State == StateFailed {
			break
		}
	}
	if last.State != StateFailed || !strings.Contains(last.Error, "in this epoch") {
		t.Errorf("%+v", last)
	}
	p, err := b.Peer(t.Context(), a.DID())
	must(t, err)
	if p.EvaluationsToday < third.OwnCount {
		t.Errorf("%d evaluations are counted", p.EvaluationsToday)
	}
}

// TestEpochEnds lets the time of an epoch pass: nothing that was computed in it is left on either side, and the next exchange begins another.
func TestEpochEnds(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	first := a.runBy(ProtocolVOPRF, b)
	if second := a.runBy(ProtocolVOPRF, b); second.State != StateDone || second.InCommon != first.InCommon {
		t.Fatalf("%+v", second)
	}
	id := ""
	for _, n := range []*testNode{a, b} {
		n.ahead.Store(int64(EpochLife + time.Hour))
		must(t, n.rollOver(t.Context()))
		must(t, n.store.View(t.Context(), func(tx *store.Tx) error {
			chunks, err1 := n.kept.chunks.Len(tx)
			epochs, err2 := n.kept.epochs.Len(tx)
			if chunks != 0 || epochs != 0 {
				t.Errorf("%s keeps %d chunks and %d epochs", n.host, chunks, epochs)
			}
			return errors.Join(err1, err2)
		}))
	}
	s, err := a.session(t.Context(), first.ID)
	must(t, err)
	id = s.Epoch
	third := a.runBy(ProtocolVOPRF, b)
	if s, err = a.session(t.Context(), third.ID); err != nil || third.State != StateDone || s.Epoch == id {
		t.Errorf("%+v %v: the same epoch", third, err)
	}
}

// TestLostCompletion has one side finish an exchange and the other not: the two differ in what stands, and the next exchange finds out.
func TestLostCompletion(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from != a || !strings.HasSuffix(r.URL, "/messages") {
			return nil, nil
		}
		if e, err := readEnvelope(r.Body); err != nil || e.Kind != kindCompletion {
			return nil, err
		}
		if _, err := b.serve(t.Context(), *r, "messages"); err != nil {
			return nil, err
		}
		return nil, errors.New("the line broke")
	}
	e := start(t, a, b, ProtocolVOPRF, "a test")
	awaitState(t, b, e.ID, StateDone)
	_, err := a.queue.Cancel(t.Context(), e.Job)
	must(t, err)
	a.await(e.Job)
	w.mu.Lock()
	w.intercept = nil
	w.mu.Unlock()
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateDone || e.InCommon != 2 {
		t.Errorf("%+v", e)
	}
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateDone || e.InCommon != 2 {
		t.Errorf("%+v", e)
	}
}

// TestWithdrawn has the responder lose a contact whose tag it has published: a claim of it is answered as withdrawn, and is no match.
func TestWithdrawn(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateDone || e.InCommon != 2 {
		t.Fatalf("%+v", e)
	}
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from != a || !strings.HasSuffix(r.URL, "/messages") {
			return nil, nil
		}
		e, err := readEnvelope(r.Body)
		if err != nil || e.Kind != kindOffer {
			return nil, err
		}
		s, err := b.session(t.Context(), e.Exchange)
		must(t, err)
		own, err := b.loadOwn(t.Context(), s)
		must(t, err)
		own.changes.gone = append(own.changes.gone, own.now.of(newContactSet([]uint64{1}))...)
		return nil, b.store.Update(t.Context(), func(tx *store.Tx) error {
			must(t, dropAll(tx, b.kept.chunks, s.ID+"/"+setOwnChanges+"/"))
			return b.putSet(tx, s.ID, setOwnChanges, own.changes.encode(), merkle.MaxChunkBytes)
		})
	}
	e := a.runBy(ProtocolVOPRF, b)
	if e.State != StateDone || e.InCommon != 1 {
		t.Fatalf("%+v", e)
	}
	for _, n := range []*testNode{a, b} {
		found, err := n.Matches(t.Context(), e.ID)
		must(t, err)
		if len(found) != 1 {
			t.Errorf("%s: %+v", n.host, found)
		}
	}
}

// TestChangedAndDeleted changes and deletes contacts in common, on either side, within an epoch: only what changed crosses the wire, and both sides
// have what a run from the beginning gives.
func TestChangedAndDeleted(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(people(0, 300))
	b.importCSV(people(200, 500))
	total := w.traffic()
	first := a.runBy(ProtocolVOPRF, b)
	if first.State != StateDone || first.InCommon < 90 {
		t.Fatalf("%+v", first)
	}
	matched := func(n *testNode, id string) map[uint64]bool {
		found, err := n.Matches(t.Context(), id)
		must(t, err)
		out := map[uint64]bool{}
		for _, m := range found {
			out[m.Contact] = true
		}
		return out
	}
	some := func(n *testNode, count int) (out []uint64) {
		for c := range matched(n, first.ID) {
			if out = append(out, c); len(out) == count {
				break
			}
		}
		return out
	}
	gone := some(a, 2)
	must(t, a.reg.Delete(t.Context(), "test", gone[0]))
	_, _, err := a.reg.Update(t.Context(), gone[1], 0, register.Patch{contacts.FirstName: "Zaynab"}, "test")
	must(t, err)
	goneB := some(b, 2)
	must(t, b.reg.Delete(t.Context(), "test", goneB...))
	*total = 0
	second := a.runBy(ProtocolVOPRF, b)
	if second.State != StateDone {
		t.Fatalf("%+v", second)
	}
	if most := 256*(32+32+16) + 8*(voprf.ClaimSize+answer.Size) + 128; *total > most {
		t.Errorf("%d bytes for four changes, want at most %d", *total, most)
	}
	for n, ids := range map[*testNode][]uint64{a: gone, b: goneB} {
		now := matched(n, second.ID)
		for _, id := range ids {
			if now[id] {
				t.Errorf("%s: contact %d, changed or deleted, is still in common", n.host, id)
			}
		}
	}
	_, err = a.RollEpochs(t.Context(), "")
	must(t, err)
	whole := a.runBy(ProtocolVOPRF, b)
	if whole.State != StateDone || whole.InCommon != second.InCommon || whole.InCommon >= first.InCommon {
		t.Errorf("increment %d, whole %d, first %d in common", second.InCommon, whole.InCommon, first.InCommon)
	}
	for _, n := range []*testNode{a, b} {
		if got, want := matched(n, second.ID), matched(n, whole.ID); !maps.Equal(got, want) {
			t.Errorf("%s: the increment has %d matches, a run from the beginning %d", n.host, len(got), len(want))
		}
	}
}

// TestHostileIncrement has a peer build on what does not stand.
func TestHostileIncrement(t *testing.T) {
	row, other := answer.Row{1}, answer.Row{2}
	claim := voprf.Claim{Set: 0, Index: 4, Row: row, Tag: [voprf.TagSize]byte{7}, Sealed: [32]byte{1}}
	apply := func(stood []byte, claims ...voprf.Claim) ([]byte, error) {
		raw, err := voprf.EncodeClaims(claims)
		must(t, err)
		return applyClaims(stood, claims, raw)
	}
	stood, err := apply(nil, claim)
	must(t, err)
	for name, claims := range map[string][]voprf.Claim{
		"taken back but never made": {voprf.Withdrawal(0, 4, other)},
		"made again":                {claim},
		"four rows of one point": {
			{Set: 0, Index: 4, Row: answer.Row{2}, Tag: claim.Tag}, {Set: 0, Index: 4, Row: answer.Row{3}, Tag: claim.Tag}, {Set: 0, Index: 4, Row: answer.Row{4}, Tag: claim.Tag},
		},
	} {
		if _, err := apply(stood, claims...); CodeOf(err) != CodeMismatch {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := apply(stood, voprf.Withdrawal(0, 4, row)); err != nil || len(left) != 0 {
		t.Errorf("%x %v", left, err)
	}
	mine := claimed{row: {contact: 1, keys: 1}}
	pair := answer.Answer{Initiator: row, Responder: other, Keys: 1, Tier: answer.Match}
	before, err := answer.Encode([]answer.Answer{pair})
	must(t, err)
	for name, a := range map[string]answer.Answer{
		"repeated":                 pair,
		"takes back what is not":   {Initiator: row, Responder: row, Tier: answer.Withdrawn},
		"withdrawn, never claimed": {Initiator: other, Tier: answer.Withdrawn},
	} {
		changes, err := answer.Encode([]answer.Answer{a})
		must(t, err)
		if _, err := applyAnswers(before, changes, mine); CodeOf(err) != CodeMismatch {
			t.Errorf("%s: %v", name, err)
		}
	}
	changes, err := changedAnswers(before, map[answer.Row]struct{}{row: {}}, nil, nil)
	must(t, err)
	if whole, err := applyAnswers(before, changes, mine); err != nil || len(whole) != 0 {
		t.Errorf("%x %v", whole, err)
	}
}
