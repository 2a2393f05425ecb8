package register_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ihyid/exchange/register"
	"ihyid/store"
	"ihyid/store/jobs"
)

// witness is a watcher with an index of its own, that may hold contacts back.
type witness struct {
	index *store.Index
	hold  atomic.Bool
	seen  []register.Change

	committed func() // called when a change is committed
}

func (w *witness) Indexes() []*store.Index { return []*store.Index{w.index} }

func (w *witness) ContactsChanged(tx *store.Tx, _ string, changes []register.Change) error {
	for _, c := range changes {
		e := store.IndexEntry{Value: store.ID(c.ID), Ref: c.ID}
		switch {
		case c.Before == nil:
			if _, err := w.index.Insert(tx, []store.IndexEntry{e}); err != nil {
				return err
			}
		case c.After == nil:
			if c.Erased && w.hold.Load() {
				return fmt.Errorf("%w: somebody needs it", register.ErrHeld)
			}
			if err := w.index.Remove(tx, e); err != nil {
				return err
			}
		}
	}
	if w.committed != nil {
		tx.OnCommit(w.committed)
	}
	w.seen = append(w.seen, changes...)
	return nil
}

// aging is a register whose clock can be put on, with a witness.
type aging struct {
	*node
	path  string
	ahead atomic.Int64
	witness
}

func openAging(t *testing.T) *aging {
	t.Helper()
	dir := t.TempDir()
	a := &aging{path: filepath.Join(dir, "node.db")}
	a.node = open(t, dir, "levant/1", func(o *register.Options) {
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) }
	})
	t.Cleanup(func() { a.close() })
	a.index = store.NewIndex(a.store, "witness")
	a.Watch(&a.witness)
	return a
}

// terms are what the indexes have of contacts: their external ids, the first of their match digests, and the witness's entries.
func (a *aging) terms(t *testing.T, all ...register.Stored) (out [][]byte) {
	t.Helper()
	digest := a.Profile().Digest()
	ids, keys := store.NewIndex(a.store, "ids"), store.NewIndex(a.store, fmt.Sprintf("keys/%x", digest[:5]))
	for _, c := range all {
		term := ids.Hash([]byte("external\x00" + c.ExternalID))
		of := a.index.Hash(store.ID(c.ID))
		out = append(out, term[:], of[:])
		for _, d := range a.Profile().NewEncoder().Digests(nil, &c.Contact) {
			term := keys.Hash(d.Digest[:])
			out = append(out, term[:])
		}
	}
	return out
}

// raw counts which byte strings are in the file of the store.
func (a *aging) raw(t *testing.T, needles [][]byte) (found int) {
	t.Helper()
	file, err := os.ReadFile(a.path)
	check(t, err)
	for _, n := range needles {
		if bytes.Contains(file, n) {
			found++
		}
	}
	return found
}

// awaitState waits until a job is in a state.
func (n *node) awaitState(t *testing.T, id string, state jobs.State) jobs.Job {
	t.Helper()
	changes, err := n.queue.Watch(t.Context(), id)
	check(t, err)
	var last jobs.Job
	for last = range changes {
		if last.State == state {
			return last
		}
	}
	t.Fatalf("job %s (%s) is %s: %s", id, last.Kind, last.State, last.Error)
	return last
}

const agedList = `first_name,last_name,mother_first_name,father_first_name,date_of_birth,external_id
Zbigniew,Qwertz,Jadwiga,Kazimierz,1951-03-02,OLD-1
Ludmila,Yxcvb,Svetlana,Boris,1962-08-19,OLD-2
`

const day = 24 * time.Hour

// TestRetention has two contacts grow old: they are erased for good, watchers are told so, and a third stays.
func TestRetention(t *testing.T) {
	ctx, a := t.Context(), openAging(t)
	if _, err := a.ApplyRetention(ctx); !errors.Is(err, register.ErrRetention) {
		t.Errorf("without a rule: %v", err)
	}
	a.importCSV(t, agedList, register.ImportOptions{})
	before, err := a.Get(ctx, 1)
	check(t, err)
	// A former spelling must go too, and so must what is said of them in reports.
	a.importCSV(t, strings.ReplaceAll(agedList, "Zbigniew", "Bartholomew"), register.ImportOptions{Update: true})
	first, err := a.Get(ctx, 1)
	check(t, err)
	second, err := a.Get(ctx, 2)
	check(t, err)
	needles := a.terms(t, first, second)
	if n := a.raw(t, needles); n != len(needles) {
		t.Fatalf("%d of %d are in the file", n, len(needles))
	}
	needles = append(needles, a.terms(t, before)...)
	a.ahead.Store(int64(20 * day))
	young, _, err := a.Create(ctx, houman, "amal")
	check(t, err)
	_, err = a.SetRetention(ctx, 10, register.SinceCreated, "amal")
	check(t, err)
	if n, err := a.CountDue(ctx, 10, register.SinceCreated); err != nil || n != 2 {
		t.Errorf("%d due, %v", n, err)
	}
	// Not before a day has passed.
	check(t, a.Tidy(ctx))
	if going, err := a.queue.List(ctx, jobs.Filter{Kind: register.JobRetention}); err != nil || len(going) != 0 {
		t.Fatalf("%+v %v", going, err)
	}
	a.ahead.Store(int64(21*day + time.Hour))
	check(t, a.Tidy(ctx))
	check(t, a.Tidy(ctx)) // there is one at a time
	began, err := a.queue.List(ctx, jobs.Filter{Kind: register.JobRetention})
	check(t, err)
	if len(began) != 1 {
		t.Fatalf("%+v", began)
	}
	job := a.awaitState(t, began[0].ID, jobs.Done)
	if string(job.Result) != `{"erased":2}` {
		t.Errorf("%s", job.Result)
	}
	if n := a.raw(t, needles); n != 0 {
		t.Errorf("%d of %d are still in the file", n, len(needles))
	}
	if n := a.raw(t, a.terms(t, young)); n == 0 {
		t.Error("nothing of the third is in the file: this test shows nothing")
	}
	gone := 0
	for _, c := range a.seen {
		if c.After == nil {
			gone++
			if !c.Erased {
				t.Errorf("a watcher was told that contact %d is only deleted", c.ID)
			}
		}
	}
	if n, err := a.Count(ctx); err != nil || n != 1 || gone != 2 {
		t.Errorf("%d are left, %v; %d went", n, err, gone)
	}
	if rule, err := a.Retention(ctx); err != nil || rule.Job != job.ID || !rule.Next.After(time.Now().Add(21*day)) {
		t.Errorf("%+v %v", rule, err)
	}
}

// TestRetentionWaits has somebody hold the contacts back: the job says so, waits, and does its work when it is tried again.
func TestRetentionWaits(t *testing.T) {
	ctx, a := t.Context(), openAging(t)
	a.importCSV(t, agedList, register.ImportOptions{})
	a.ahead.Store(int64(20 * day))
	_, err := a.SetRetention(ctx, 10, "", "amal")
	check(t, err)
	a.hold.Store(true)
	job, err := a.ApplyRetention(ctx)
	check(t, err)
	waits := a.awaitState(t, job.ID, jobs.Waiting)
	if !strings.Contains(waits.Error, "somebody needs it") || !strings.Contains(waits.Error, "0 contacts are erased") || !waits.NotBefore.After(time.Now()) {
		t.Errorf("%+v", waits)
	}
	if _, err := a.Erase(ctx, "amal", 1); !errors.Is(err, register.ErrHeld) {
		t.Errorf("erasing: %v", err)
	}
	if n, err := a.Count(ctx); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	a.ahead.Store(int64(22 * day))
	check(t, a.Tidy(ctx))
	if all, err := a.queue.List(ctx, jobs.Filter{Kind: register.JobRetention}); err != nil || len(all) != 1 {
		t.Errorf("another one was begun beside it: %+v %v", all, err)
	}
	a.hold.Store(false)
	again, err := a.ApplyRetention(ctx)
	check(t, err)
	if done := a.awaitState(t, again.ID, jobs.Done); again.ID == job.ID || string(done.Result) != `{"erased":2}` {
		t.Errorf("%+v", done)
	}
	if was := a.awaitState(t, job.ID, jobs.Cancelled); was.ID != job.ID {
		t.Errorf("%+v", was)
	}
}

// TestDeletedBytesGo deletes a contact: a day later its bytes are gone as well, and a rule that is not due yet is not applied with that.
func TestDeletedBytesGo(t *testing.T) {
	ctx, a := t.Context(), openAging(t)
	a.importCSV(t, agedList, register.ImportOptions{})
	first, err := a.Get(ctx, 1)
	check(t, err)
	needles := a.terms(t, first)
	a.hold.Store(true) // deleting does not wait
	check(t, a.Delete(ctx, "amal", 1))
	check(t, a.Tidy(ctx))
	if n := a.raw(t, needles); n == 0 {
		t.Error("deleting has the bytes gone at once: this test shows nothing")
	}
	a.ahead.Store(int64(25 * time.Hour))
	_, err = a.SetRetention(ctx, 1, "", "amal")
	check(t, err)
	check(t, a.Tidy(ctx))
	began, err := a.queue.List(ctx, jobs.Filter{Kind: register.JobRetention})
	check(t, err)
	if len(began) != 1 {
		t.Fatalf("%+v", began)
	}
	a.awaitState(t, began[0].ID, jobs.Done)
	if n := a.raw(t, needles); n != 0 {
		t.Errorf("%d of %d are still in the file", n, len(needles))
	}
	if n, err := a.Count(ctx); err != nil || n != 1 {
		t.Errorf("%d are left, %v", n, err)
	}
	// Nothing more is to be done.
	a.ahead.Store(int64(26 * time.Hour))
	check(t, a.Tidy(ctx))
	if began, err = a.queue.List(ctx, jobs.Filter{Kind: register.JobRetention}); err != nil || len(began) != 1 {
		t.Errorf("%+v %v", began, err)
	}
}

// TestUnfinishedErasure has an erasure interrupted after its transaction: it says what that means, and what it has noted is enough to finish it.
func TestUnfinishedErasure(t *testing.T) {
	ctx, a := t.Context(), openAging(t)
	a.importCSV(t, agedList, register.ImportOptions{})
	first, err := a.Get(ctx, 1)
	check(t, err)
	needles := a.terms(t, first)
	interrupted, interrupt := context.WithCancel(ctx)
	a.committed = interrupt
	out, err := a.Erase(interrupted, "amal", 1)
	if !errors.Is(err, register.ErrUnfinished) || out.Erased != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	if _, err := a.Get(ctx, 1); !errors.Is(err, register.ErrNotFound) {
		t.Errorf("%v", err)
	}
	check(t, a.store.FinishErase(ctx))
	if n := a.raw(t, needles); n != 0 {
		t.Errorf("%d of %d are still in the file", n, len(needles))
	}
}

// TestUndoneMergeGoes erases one of two contacts that were merged and parted again: nothing says any more that they once were.
func TestUndoneMergeGoes(t *testing.T) {
	ctx := t.Context()
	n := open(t, t.TempDir(), "levant/1")
	defer n.close()
	n.importCSV(t, twoLists, register.ImportOptions{})
	made, err := n.Merge(ctx, "1-2", nil, "amal")
	check(t, err)
	more, err := n.Merge(ctx, fmt.Sprintf("3-%d", made.ID), nil, "amal")
	check(t, err)
	_, err = n.Undo(ctx, more.ID, false, "rana")
	check(t, err)
	_, err = n.Undo(ctx, made.ID, false, "rana")
	check(t, err)
	for _, id := range []uint64{1, 2, 3} {
		s, err := n.Subject(ctx, id)
		check(t, err)
		of := map[uint64]register.MergeInfo{}
		for _, m := range s.Merges {
			of[m.Into] = m
		}
		m := of[more.ID]
		if m.By != "amal" || m.UndoneBy != "rana" || m.Undone.IsZero() || m.Of != [2]uint64{3, made.ID} {
			t.Errorf("the report on %d: %+v", id, s.Merges)
		}
		if _, ok := of[made.ID]; ok == (id == 3) || len(s.Originals) != 0 {
			t.Errorf("the report on %d: %+v", id, s)
		}
	}
	_, err = n.Erase(ctx, "amal", 2)
	check(t, err)
	for _, id := range []uint64{1, 3} {
		s, err := n.Subject(ctx, id)
		check(t, err)
		if len(s.Merges) != 0 || slices.ContainsFunc(s.Decisions, func(d register.Decision) bool { return strings.Contains(d.ID, "2") }) {
			t.Errorf("the report on %d: %+v", id, s)
		}
	}
	err = n.store.View(ctx, func(tx *store.Tx) error {
		for _, name := range []string{"merges", "merges-undone"} {
			if left, err := store.NewCollection[any](n.store, name, 1).Len(tx); err != nil || left != 0 {
				t.Errorf("%s: %d left, %v", name, left, err)
			}
		}
		return nil
	})
	check(t, err)
}

// TestReportsForget deletes a contact that reports of imports name: they do so no more, and can be read on from any place.
func TestReportsForget(t *testing.T) {
	ctx := t.Context()
	n := open(t, t.TempDir(), "levant/1")
	defer n.close()
	n.importCSV(t, twoLists, register.ImportOptions{})
	job, err := n.StartImport(ctx, strings.NewReader(strings.ReplaceAll(twoLists, "Samir", "Sameer")+"Hooman,Haddad,Barbara,Michael,1976-05-07,,,A-4\nX,,,,31/02/1980,,,A-5\n"), register.ImportOptions{Update: true}, "importer")
	check(t, err)
	n.await(t, job.ID)
	rows, _, err := n.ImportReport(ctx, job.ID, 0, 100)
	check(t, err)
	text := fmt.Sprint(rows)
	if len(rows) != 5 || rows[2].Outcome != register.Updated || len(rows[3].PossibleDuplicates) != 2 {
		t.Fatalf("%s", text)
	}
	check(t, n.Delete(ctx, "amal", 1, 3))
	now, _, err := n.ImportReport(ctx, job.ID, 0, 100)
	check(t, err)
	for i, want := range []string{register.Gone, register.Duplicate, register.Gone, register.Created, register.Rejected} {
		if now[i].Outcome != want || want == register.Gone && (now[i].Line != 0 || now[i].Contact != 0 || now[i].Changed != nil || now[i].Reason != "") {
			t.Errorf("row %d: %+v", i, now[i])
		}
	}
	if fmt.Sprint(now[3].PossibleDuplicates) != "[2]" {
		t.Errorf("%+v", now[3])
	}
	var paged []register.Outcome
	for from := 0; ; {
		part, next, err := n.ImportReport(ctx, job.ID, from, 2)
		check(t, err)
		if paged = append(paged, part...); next == 0 {
			break
		}
		from = next
	}
	if fmt.Sprint(paged) != fmt.Sprint(now) {
		t.Errorf("read in parts: %+v", paged)
	}
	s, err := n.Subject(ctx, 2)
	check(t, err)
	if len(s.Rows) == 0 || s.Rows[0].Import == "" {
		t.Errorf("the subject report does not tell what reports say: %+v", s.Rows)
	}
}
