package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"ihyid/credentials"
	"ihyid/credentials/ijson"
	"ihyid/did"
)

// published serves the status lists of the nodes of a world.
type worldLists struct {
	w    *world
	down bool
}

type refusedStatus int

func (refusedStatus) Error() string     { return "the host refused" }
func (s refusedStatus) HTTPStatus() int { return int(s) }

func (l worldLists) StatusList(ctx context.Context, url string) ([]byte, error) {
	if l.down {
		return nil, errors.New("no route")
	}
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/node/status/")
	digits, purpose, _ := strings.Cut(path, "/")
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return nil, err
	}
	tn := l.w.nodes["did:web:"+host]
	body, _, err := tn.Node.StatusList(ctx, number, purpose)
	if CodeOf(err) == CodeNotFound {
		return nil, refusedStatus(404)
	}
	return body, err
}

// documentsOf are the DID documents of nodes, as an auditor got them.
func documentsOf(t *testing.T, nodes ...*testNode) (out []*did.Document) {
	t.Helper()
	for _, n := range nodes {
		d, err := did.ParseDocument(n.DocumentJSON())
		must(t, err)
		out = append(out, d)
	}
	return out
}

func outcome(r *ReceiptReport, name string) credentials.Check {
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	return credentials.Check{}
}

// Whatever secures them, receipts verify with their status, are taken back and given again, and an audit without a network still works.
func TestReceiptStatus(t *testing.T) {
	for _, proof := range []string{ProofRDFC, ProofJCS, ProofJOSE} {
		t.Run(proof, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.addWith("a.example", Options{Proof: proof}), w.addWith("b.example", Options{Proof: proof})
			a.importCSV(listA)
			b.importCSV(listB)
			befriend(a, b)
			e := a.runBy(ProtocolNoise, b)
			if e.State != StateDone {
				t.Fatalf("exchange: %+v", e)
			}
			file, err := a.Receipt(t.Context(), e.ID)
			must(t, err)
			verify := func(o VerifyReceiptOptions) *ReceiptReport {
				o.Documents = documentsOf(t, a, b)
				return VerifyReceipt(t.Context(), file, o)
			}
			want := func(r *ReceiptReport, passed bool, initiator credentials.Outcome) {
				t.Helper()
				if r.Passed() != passed || outcome(r, "initiator.status").Outcome != initiator {
					t.Errorf("passed: %v, status %+v, want %v, %s\n%+v", r.Passed(), outcome(r, "initiator.status"), passed, initiator, r.Checks)
				}
			}
			online := VerifyReceiptOptions{StatusLists: worldLists{w: w}}
			want(verify(online), true, credentials.Passed)
			want(verify(VerifyReceiptOptions{}), true, credentials.Skipped)
			want(verify(VerifyReceiptOptions{StatusLists: worldLists{w: w, down: true}}), true, credentials.Skipped)
			want(verify(VerifyReceiptOptions{StatusLists: worldLists{w: w, down: true}, RequireStatus: true}), false, credentials.Failed)

			// The two subjects are equal; each side has entries of its own.
			var f receiptFile
			must(t, json.Unmarshal(file, &f))
			for i, role := range []string{"initiator", "responder"} {
				o, err := object(f.Receipts[i])
				must(t, err)
				if enveloped := text(o, "type") == "EnvelopedVerifiableCredential"; enveloped != (proof == ProofJOSE) {
					t.Errorf("%s: enveloped: %v", role, enveloped)
				}
				document, _ := opened(o)
				if len(document["credentialStatus"].([]any)) != 2 {
					t.Errorf("%s: %v", role, document["credentialStatus"])
				}
				if proof == ProofRDFC && suiteOf(o) != "ecdsa-rdfc-2019" || proof == ProofJCS && suiteOf(o) != "ecdsa-jcs-2019" {
					t.Errorf("%s: suite %s", role, suiteOf(o))
				}
			}

			if _, err := a.SuspendReceipt(t.Context(), e.ID, " "); CodeOf(err) != CodeInvalid {
				t.Errorf("no reason: %v", err)
			}
			if _, err := a.SuspendReceipt(t.Context(), e.ID, "under review"); err != nil {
				t.Fatal(err)
			}
			r := verify(online)
			want(r, false, credentials.Failed)
			if c := outcome(r, "initiator.status"); !errors.Is(c.Err, credentials.ErrSuspended) {
				t.Errorf("%+v", c)
			}
			if outcome(r, "responder.status").Outcome != credentials.Passed {
				t.Error("the other side's signature is suspended too")
			}
			must2(t)(a.ReinstateReceipt(t.Context(), e.ID))
			want(verify(online), true, credentials.Passed)
			must2(t)(a.RevokeReceipt(t.Context(), e.ID, "made in error"))
			a.stop()
			a.start() // it is kept
			r = verify(online)
			want(r, false, credentials.Failed)
			if c := outcome(r, "initiator.status"); !errors.Is(c.Err, credentials.ErrRevoked) {
				t.Errorf("%+v", c)
			}
			if _, err := a.ReinstateReceipt(t.Context(), e.ID); CodeOf(err) != CodeConflict {
				t.Errorf("a revoked receipt: %v", err)
			}
			if s, err := a.RevokeReceipt(t.Context(), e.ID, "another reason"); err != nil || s.Reason != "made in error" {
				t.Errorf("%+v %v", s, err)
			}
			list, err := a.Receipts(t.Context())
			must(t, err)
			if len(list) != 1 || list[0].Status.State != StatusRevoked || list[0].Status.Reason != "made in error" {
				t.Errorf("%+v", list)
			}
			if list, err := b.Receipts(t.Context()); err != nil || list[0].Status.State != StatusGood {
				t.Errorf("%+v %v", list, err)
			}
			if _, err := a.RevokeReceipt(t.Context(), strings.Repeat("0", 32), "x"); CodeOf(err) != CodeNotFound {
				t.Errorf("no such receipt: %v", err)
			}
			for _, bad := range []struct {
				number  uint64
				purpose string
			}{{1, "message"}, {2, "revocation"}, {0, "revocation"}} {
				if _, _, err := a.StatusList(t.Context(), bad.number, bad.purpose); CodeOf(err) != CodeNotFound {
					t.Errorf("%v: %v", bad, err)
				}
			}
		})
	}
}

func must2(t *testing.T) func(ReceiptStatus, error) {
	return func(_ ReceiptStatus, err error) {
		t.Helper()
		must(t, err)
	}
}

// A list is signed anew when it is no longer fresh, and not for every question.
func TestStatusListFresh(t *testing.T) {
	w := newWorld(t)
	a := w.add("a.example")
	if _, err := a.newStatus(t.Context()); err != nil {
		t.Fatal(err)
	}
	get := func() string {
		body, _, err := a.StatusList(t.Context(), 1, credentials.Revocation)
		must(t, err)
		d, err := ijson.ParseObject(body, ijson.Limits{})
		must(t, err)
		return text(d, "validUntil") + text(d["proof"].(map[string]any), "proofValue")
	}
	first := get()
	if get() != first {
		t.Error("a fresh list was signed anew")
	}
	a.ahead.Store(int64(2 * time.Hour))
	if get() == first {
		t.Error("an old list was given out")
	}
}

// A receipt whose status stands in somebody else's lists is not taken.
func TestStatusElsewhere(t *testing.T) {
	w := newWorld(t)
	a, b := w.add("a.example"), w.add("b.example")
	key, err := a.signingKey(t.Context(), did.AssertionMethod)
	must(t, err)
	issue := func(entries ...any) []byte {
		c, err := a.issueStated(t.Context(), key, typeReceipt, Statement{V: "1"}, receiptLife, entries)
		must(t, err)
		return c
	}
	document := documentsOf(t, a)[0]
	entry := credentials.StatusEntry
	own := "https://a.example/node/status/1/revocation"
	if err := statusOf(issue(entry(own, credentials.Revocation, 7)), document); err != nil {
		t.Error(err)
	}
	if err := statusOf(issue(), document); err != nil {
		t.Error(err)
	}
	for _, c := range [][]byte{
		issue(entry("https://b.example/node/status/1/revocation", credentials.Revocation, 7)),
		issue(entry("https://a.example.evil/node/status/1/revocation", credentials.Revocation, 7)),
		issue(entry(own, "message", 7)),
		issue(entry(own, credentials.Revocation, 7), entry(own, credentials.Revocation, 8), entry(own, credentials.Suspension, 9)),
	} {
		if err := statusOf(c, document); CodeOf(err) != CodeInvalid {
			t.Errorf("taken: %v", err)
		}
	}
	if err := statusOf(issue(entry(own, credentials.Revocation, 7)), documentsOf(t, b)[0]); err == nil {
		t.Error("taken from another")
	}
}
