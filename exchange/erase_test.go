package exchange

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ihyid/exchange/register"
	"ihyid/store"
	"ihyid/store/jobs"
)

// TestEraseContact erases a contact after an exchange has found it: the match is gone and the receipt stands as it was, the subject report knew
// the contact and knows it no more, and the next exchange goes on without it.
func TestEraseContact(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	first := a.runBy(ProtocolVOPRF, b)
	if first.State != StateDone || first.InCommon != 2 {
		t.Fatalf("%+v", first)
	}
	ctx := t.Context()
	found, err := a.Matches(ctx, first.ID)
	must(t, err)
	id := found[0].Contact
	report, err := a.SubjectReport(ctx, id)
	must(t, err)
	if len(report.Matches) == 0 || report.Matches[0].Peer != b.DID() || report.Matches[0].Exchange != first.ID || len(report.Compared) != 1 || len(report.Subject.Records) == 0 {
		t.Fatalf("%+v", report)
	}
	receipt, err := a.Receipt(ctx, first.ID)
	must(t, err)
	out, err := a.EraseContacts(ctx, "amal", true, id)
	must(t, err)
	if out.Erased != 1 || out.Rolled != 1 || out.Standing != 0 {
		t.Errorf("%+v", out)
	}
	if _, err := a.SubjectReport(ctx, id); !errors.Is(err, register.ErrNotFound) {
		t.Errorf("%v", err)
	}
	left, err := a.Matches(ctx, first.ID)
	must(t, err)
	for _, m := range left {
		if m.Contact == id {
			t.Error("the match is still kept")
		}
	}
	again, err := a.Receipt(ctx, first.ID)
	must(t, err)
	if !bytes.Equal(receipt, again) {
		t.Error("the receipt has changed")
	}
	if e := a.runBy(ProtocolVOPRF, b); e.State != StateDone || e.InCommon != 1 {
		t.Errorf("%+v", e)
	}
}

// TestDeleteDuringExchange deletes a contact while an exchange that it takes part in goes on: erasing it is refused for so long, the responder
// answers it as withdrawn, and neither side keeps a match of it.
func TestDeleteDuringExchange(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	ctx := t.Context()
	refused := false
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from != a || refused || !strings.Contains(r.URL, "/chunks/") {
			return nil, nil
		}
		refused = true
		if _, err := b.EraseContacts(ctx, "x", false, 1); !errors.Is(err, ErrInExchange) {
			t.Errorf("erasing: %v", err)
		}
		return nil, b.reg.Delete(ctx, "x", 1)
	}
	e := a.runBy(ProtocolVOPRF, b)
	if e.State != StateDone || e.InCommon != 1 || !refused {
		t.Fatalf("%+v", e)
	}
	for _, n := range []*testNode{a, b} {
		found, err := n.Matches(ctx, e.ID)
		must(t, err)
		if len(found) != 1 {
			t.Errorf("%s: %+v", n.host, found)
		}
	}
	out, err := b.EraseContacts(ctx, "x", false, 2)
	must(t, err)
	if out.Erased != 1 || out.Standing != 1 || out.Until.IsZero() {
		t.Errorf("%+v", out)
	}
}

// TestMergeAfterExchange merges a contact that was found: the match is the merged contact's.
func TestMergeAfterExchange(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	ctx := t.Context()
	e := a.runBy(ProtocolVOPRF, b)
	found, err := a.Matches(ctx, e.ID)
	must(t, err)
	id := found[0].Contact
	all, err := a.reg.List(ctx, 0, 100)
	must(t, err)
	other := all[0].ID
	if other == id {
		other = all[1].ID
	}
	m, err := a.reg.Merge(ctx, fmt.Sprintf("%d-%d", min(id, other), max(id, other)), nil, "x")
	must(t, err)
	report, err := a.SubjectReport(ctx, id)
	must(t, err)
	if report.Subject.Contact.ID != m.ID || len(report.Matches) == 0 || len(report.Subject.Originals) != 2 {
		t.Errorf("%+v", report)
	}
	found, err = a.Matches(ctx, e.ID)
	must(t, err)
	for _, f := range found {
		if f.Contact == id || f.Contact == other {
			t.Errorf("a match of an original: %+v", f)
		}
	}
}

// TestRetentionDuringExchange has the retention rule come due while an exchange goes on: it waits, saying so, and is applied when it is tried again afterwards;
// then the index of what was found holds nothing of the contacts either.
func TestRetentionDuringExchange(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	ctx := t.Context()
	_, err := b.reg.SetRetention(ctx, 1, "", "x")
	must(t, err)
	b.ahead.Store(int64(25 * time.Hour))
	a.ahead.Store(int64(25 * time.Hour))
	var waits jobs.Job
	var once sync.Once
	w.mu.Lock()
	w.intercept = func(from *testNode, r *TransportRequest) (*TransportResponse, error) {
		if from == a && strings.Contains(r.URL, "/chunks/") {
			once.Do(func() {
				job, err := b.reg.ApplyRetention(ctx)
				must(t, err)
				changes, err := b.queue.Watch(ctx, job.ID)
				must(t, err)
				for waits = range changes {
					if waits.State == jobs.Waiting || waits.State.Final() {
						break
					}
				}
			})
		}
		return nil, nil
	}
	w.mu.Unlock()
	e := a.runBy(ProtocolVOPRF, b)
	if e.State != StateDone || e.InCommon != 2 {
		t.Fatalf("%+v", e)
	}
	if waits.State != jobs.Waiting || !strings.Contains(waits.Error, e.ID) || !strings.Contains(waits.Error, ErrInExchange.Error()) {
		t.Fatalf("the job is %s: %s", waits.State, waits.Error)
	}
	if n, err := b.reg.Count(ctx); err != nil || n == 0 {
		t.Fatalf("%d contacts, %v", n, err)
	}
	found, err := b.Matches(ctx, e.ID)
	must(t, err)
	var needles [][]byte
	for _, m := range found {
		term := b.matched.Hash(store.ID(m.Contact))
		needles = append(needles, term[:])
	}
	shown := func() (n int) {
		raw, err := os.ReadFile(filepath.Join(b.dir, "node.db"))
		must(t, err)
		for _, needle := range needles {
			if bytes.Contains(raw, needle) {
				n++
			}
		}
		return n
	}
	if n := shown(); n != 2 {
		t.Fatalf("%d of %d entries are in the file", n, len(needles))
	}
	again, err := b.reg.ApplyRetention(ctx)
	must(t, err)
	if job := b.await(again.ID); job.State != jobs.Done {
		t.Fatalf("%+v", job)
	}
	if n, err := b.reg.Count(ctx); err != nil || n != 0 {
		t.Errorf("%d contacts are left, %v", n, err)
	}
	if n := shown(); n != 0 {
		t.Errorf("%d of %d entries are still in the file", n, len(needles))
	}
}

// TestErasePreparing erases while the own set of an exchange is being made: what was read of the contact already would stand in it.
func TestErasePreparing(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	ctx := t.Context()
	s := &session{ID: strings.Repeat("ab", 16), Peer: b.DID(), State: StatePreparing, Role: Initiator}
	must(t, a.save(ctx, s))
	if _, err := a.EraseContacts(ctx, "x", false, 1); !errors.Is(err, ErrInExchange) || !errors.Is(err, register.ErrHeld) {
		t.Errorf("preparing: %v", err)
	}
	// Where an operator has to be asked first nothing has been read yet.
	s.Role, s.State = Responder, StateWaiting
	must(t, a.save(ctx, s))
	if _, err := a.EraseContacts(ctx, "x", false, 1); err != nil {
		t.Errorf("waiting: %v", err)
	}
}

// TestEraseFromStanding erases a contact whose digests stand in an epoch that goes on: nothing leads from them to it any more, and the next exchange, which builds on them,
// takes back what was claimed of it.
func TestEraseFromStanding(t *testing.T) {
	_, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	first := a.runBy(ProtocolVOPRF, b)
	if first.State != StateDone || first.InCommon != 2 {
		t.Fatalf("%+v", first)
	}
	a.importCSV(people(0, 10)) // so that there are changes beside the whole set
	b.importCSV(people(5, 15))
	second := a.runBy(ProtocolVOPRF, b)
	if second.State != StateDone || second.InCommon != 7 {
		t.Fatalf("%+v", second)
	}
	ctx := t.Context()
	found, err := a.Matches(ctx, second.ID)
	must(t, err)
	var ids []uint64
	for _, m := range found {
		if m.ExternalID == "A1" || m.ExternalID == "P5" {
			ids = append(ids, m.Contact)
		}
	}
	if len(ids) != 2 {
		t.Fatalf("%+v", found)
	}
	ofThem := func() (n int) {
		must(t, a.store.View(ctx, func(tx *store.Tx) error {
			for item, err := range a.kept.chunks.All(tx, store.Range{}) {
				must(t, err)
				set := strings.Split(string(item.Key), "/")[1]
				at, holds := contactAt[set]
				for ; holds && at < len(item.Value); at += wholeRecords[set] {
					if slices.Contains(ids, binary.BigEndian.Uint64(item.Value[at:])) {
						n++
					}
				}
			}
			return nil
		}))
		return n
	}
	if n := ofThem(); n != 4 { // an own digest and a claim each
		t.Errorf("%d records name the contacts", n)
	}
	out, err := a.EraseContacts(ctx, "x", false, ids...)
	must(t, err)
	if out.Erased != 2 || out.Standing != 1 {
		t.Errorf("%+v", out)
	}
	if n := ofThem(); n != 0 {
		t.Errorf("%d records name erased contacts", n)
	}
	third := a.runBy(ProtocolVOPRF, b)
	if third.State != StateDone || third.InCommon != 5 || third.OwnCount != 256 {
		t.Errorf("%+v", third)
	}
	if found, err = b.Matches(ctx, third.ID); err != nil || len(found) != 5 {
		t.Errorf("%+v %v", found, err)
	}
	if n := ofThem(); n != 0 {
		t.Errorf("%d records name erased contacts after the next exchange", n)
	}
}
