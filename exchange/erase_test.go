package exchange

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ihyid/exchange/register"
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
