package register_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/store"
)

var houman = contacts.Contact{
	FirstName: "Houman", LastName: "Haddad", MotherFirstName: "Barbara", FatherFirstName: "Michael", DateOfBirth: "1976-05-07", ExternalID: "A-1",
}

func with(c contacts.Contact, f contacts.Field, v string) contacts.Contact {
	c.Set(f, v)
	return c
}

// importCSV imports a list and gives what became of its rows.
func (n *node) importCSV(tb testing.TB, csv string, o register.ImportOptions) (register.ImportResult, []register.Outcome) {
	tb.Helper()
	job, err := n.StartImport(context.Background(), strings.NewReader(csv), o, "importer")
	check(tb, err)
	result := n.await(tb, job.ID)
	rows, _, err := n.ImportReport(context.Background(), job.ID, 0, 1000)
	check(tb, err)
	return result, rows
}

// openPairs are the names of the pairs that wait for a decision.
func (n *node) openPairs(tb testing.TB) []string {
	tb.Helper()
	pairs, err := n.Duplicates(context.Background(), "", 1000)
	check(tb, err)
	out := []string{}
	for _, p := range pairs {
		out = append(out, p.ID)
	}
	return out
}

func TestCreateUpdateDelete(t *testing.T) {
	ctx := t.Context()
	n := open(t, t.TempDir(), "levant/1")
	defer n.close()
	typed := houman
	typed.FirstName = "  Houman\u200f "
	first, pairs, err := n.Create(ctx, typed, "amal")
	check(t, err)
	if first.ID != 1 || first.Version != 1 || first.ETag() != `"1"` || first.Contact != houman || first.CreatedBy != "amal" || len(pairs) != 0 {
		t.Fatalf("%+v %v", first, pairs)
	}
	second, pairs, err := n.Create(ctx, contacts.Contact{FirstName: "Humam", LastName: "Haddad", MotherFirstName: "Barbara", FatherFirstName: "Mikael", DateOfBirth: "1976-05-07", ExternalID: "A-2"}, "amal")
	check(t, err)
	third, pairs3, err := n.Create(ctx, with(with(houman, contacts.FirstName, "Hooman"), contacts.ExternalID, "A-3"), "amal")
	check(t, err)
	if len(pairs3) == 0 || pairs3[len(pairs3)-1].B.ID != third.ID {
		t.Fatalf("no duplicate found: %v", pairs3)
	}
	_ = pairs

	// What cannot be kept.
	var exists *register.ExistsError
	if _, _, err := n.Create(ctx, with(houman, contacts.FirstName, "Other"), "x"); !errors.As(err, &exists) || exists.ID != 1 || !exists.ExternalID {
		t.Errorf("the same external id: %v", err)
	}
	var invalid *register.InvalidError
	if _, _, err := n.Create(ctx, contacts.Contact{DateOfBirth: "1976-13-07"}, "x"); !errors.As(err, &invalid) || len(invalid.Fields) != 2 || strings.Contains(err.Error(), "1976") {
		t.Errorf("an invalid one: %v", err)
	}

	// Changes.
	up, _, err := n.Update(ctx, 1, 1, register.Patch{contacts.Phone: "+963 1", contacts.MotherFirstName: ""}, "rana")
	check(t, err)
	if up.Version != 2 || up.Phone != "+963 1" || up.MotherFirstName != "" || up.UpdatedBy != "rana" || up.CreatedBy != "amal" {
		t.Errorf("%+v", up)
	}
	if _, _, err := n.Update(ctx, 1, 1, register.Patch{contacts.Phone: "2"}, "rana"); !errors.Is(err, register.ErrVersion) {
		t.Errorf("an old version: %v", err)
	}
	same, _, err := n.Update(ctx, 1, 2, register.Patch{contacts.Phone: "+963 1"}, "nobody")
	check(t, err)
	if same.Version != 2 || same.UpdatedBy != "rana" {
		t.Errorf("a patch without a change: %+v", same)
	}
	if _, _, err := n.Update(ctx, 2, 0, register.Patch{contacts.ExternalID: "A-1"}, "x"); !errors.Is(err, register.ErrExists) {
		t.Errorf("an external id that is taken: %v", err)
	}
	if _, _, err := n.Update(ctx, 99, 0, register.Patch{contacts.Phone: "2"}, "x"); !errors.Is(err, register.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}

	// A pair that no longer agrees is not asked about any more, and one that does again is.
	was := n.openPairs(t)
	_, _, err = n.Update(ctx, third.ID, 0, register.Patch{contacts.FirstName: "Zaynab", contacts.FatherFirstName: "Yusuf", contacts.LastName: "Qasim", contacts.DateOfBirth: "1990-02-03", contacts.MotherFirstName: "Lina"}, "x")
	check(t, err)
	for _, p := range n.openPairs(t) {
		if strings.Contains(p, "3") {
			t.Errorf("%s is still open", p)
		}
	}
	back := register.Patch{}
	for _, f := range contacts.Fields() {
		back[f] = third.Contact.Value(f)
	}
	_, _, err = n.Update(ctx, third.ID, 0, back, "x")
	check(t, err)
	if now := n.openPairs(t); len(now) == 0 || !slices.Contains(now, "1-3") {
		t.Errorf("open: %v; before %v", now, was)
	}

	// Deleting: all or none, and the number is not given again.
	if err := n.Delete(ctx, "x", second.ID, 99); !errors.Is(err, register.ErrNotFound) {
		t.Errorf("deleting one that is not there: %v", err)
	}
	check(t, n.Delete(ctx, "x", second.ID, third.ID, third.ID))
	if count, err := n.Count(ctx); err != nil || count != 1 || len(n.openPairs(t)) != 0 {
		t.Errorf("%d contacts, %v, pairs %v", count, err, n.openPairs(t))
	}
	fourth, _, err := n.Create(ctx, second.Contact, "x")
	check(t, err)
	if fourth.ID <= third.ID {
		t.Errorf("number %d was given again", fourth.ID)
	}
}

// tokens is an index that the register keeps beside its own, and a watcher.
type tokens struct {
	mu      sync.Mutex
	changes []register.Change
	refuse  error
}

func (w *tokens) ContactsChanged(_ *store.Tx, _ string, changes []register.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, changes...)
	return w.refuse
}

func TestFurtherIndexAndWatcher(t *testing.T) {
	ctx := t.Context()
	var index *store.Index
	n := open(t, t.TempDir(), "levant/1", func(o *register.Options) {
		index = store.NewIndex(o.Store, "tokens")
		o.Indexes = []register.FurtherIndex{{Index: index, Values: func(dst [][]byte, c *contacts.Contact) [][]byte {
			for _, w := range strings.Fields(c.FirstName + " " + c.LastName) {
				if !slices.ContainsFunc(dst, func(v []byte) bool { return string(v) == w }) {
					dst = append(dst, []byte(w))
				}
			}
			return dst
		}}}
	})
	defer n.close()
	watcher := &tokens{}
	n.Watch(watcher)
	find := func(word string) []uint64 {
		var refs []uint64
		check(t, n.store.View(ctx, func(tx *store.Tx) error {
			hits, err := index.Lookup(tx, []byte(word), 10)
			refs = hits.Refs
			slices.Sort(refs)
			return err
		}))
		return refs
	}
	a, _, err := n.Create(ctx, houman, "x")
	check(t, err)
	result, _ := n.importCSV(t, "first_name,last_name,external_id\nLina,Haddad,B-1\nOmar,Khoury,B-2\n", register.ImportOptions{})
	if result.Created != 2 {
		t.Fatalf("%+v", result)
	}
	if got := find("Haddad"); fmt.Sprint(got) != "[1 2]" {
		t.Errorf("Haddad: %v", got)
	}
	_, _, err = n.Update(ctx, a.ID, 0, register.Patch{contacts.LastName: "Khoury"}, "x")
	check(t, err)
	if got := fmt.Sprint(find("Haddad"), find("Khoury")); got != "[2] [1 3]" {
		t.Errorf("after a change: %s", got)
	}
	if result, rows := n.importCSV(t, "first_name,external_id\nNour,B-1\n", register.ImportOptions{Update: true}); result.Updated != 1 || rows[0].Outcome != register.Updated {
		t.Errorf("%+v %+v", result, rows)
	}
	check(t, n.Delete(ctx, "x", 3))
	if got := fmt.Sprint(find("Haddad"), find("Khoury"), find("Lina"), find("Nour")); got != "[2] [1] [] [2]" {
		t.Errorf("at the end: %s", got)
	}
	var told []string
	for _, c := range watcher.changes {
		told = append(told, fmt.Sprint(c.ID, c.Before != nil, c.After != nil))
	}
	if got, want := fmt.Sprint(told), "[1 false true 2 false true 3 false true 1 true true 2 true true 3 true false]"; got != want {
		t.Errorf("the watcher was told %s", got)
	}
	// A watcher that refuses undoes all.
	watcher.refuse = errors.New("no")
	if err := n.Delete(ctx, "x", 1); !errors.Is(err, watcher.refuse) {
		t.Errorf("%v", err)
	}
	if _, err := n.Get(ctx, 1); err != nil || fmt.Sprint(find("Khoury")) != "[1]" {
		t.Errorf("a refused change left something: %v", err)
	}
}

// TestConcurrentNumbers registers contacts one by one while a list is imported: no number is given twice.
func TestConcurrentNumbers(t *testing.T) {
	ctx := t.Context()
	n := open(t, t.TempDir(), "soundex/1")
	defer n.close()
	var csv strings.Builder
	csv.WriteString("first_name,external_id\n")
	for i := range 25_000 {
		fmt.Fprintf(&csv, "Omar,C-%d\n", i)
	}
	job, err := n.StartImport(ctx, strings.NewReader(csv.String()), register.ImportOptions{}, "x")
	check(t, err)
	ids := map[uint64]bool{}
	for i := range 40 {
		s, _, err := n.Create(ctx, contacts.Contact{FirstName: "Rana", ExternalID: fmt.Sprint("D-", i)}, "x")
		check(t, err)
		ids[s.ID] = true
	}
	n.await(t, job.ID)
	count, err := n.Count(ctx)
	check(t, err)
	if count != 25_040 || len(ids) != 40 {
		t.Errorf("%d contacts, %d numbers", count, len(slices.Collect(maps.Keys(ids))))
	}
}
