package audit_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ihyid/api/audit"
	"ihyid/api/policy"
	"ihyid/kms/file"
	"ihyid/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	*audit.Log
	t     *testing.T
	store *store.Store
	now   time.Time
}

func newLog(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	keys, err := file.Create(filepath.Join(dir, "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, now: time.Now()}
	if f.store, err = store.Create(t.Context(), filepath.Join(dir, "db"), store.Options{Keys: keys}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.store.Close()
		keys.Close()
	})
	if f.Log, err = audit.New(audit.Options{Store: f.store, Clock: func() time.Time { return f.now }}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) list(q audit.Filter) []audit.Record {
	f.t.Helper()
	var all []audit.Record
	for {
		list, next, err := f.List(f.t.Context(), q)
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, list...)
		if next == 0 {
			return all
		}
		q.Before = next
	}
}

// do does one operation that changes the store n times, and ends with an error if fails.
func (f *fixture) do(c *policy.Caller, operation string, n int, fails error) {
	f.t.Helper()
	ctx, a := f.Begin(f.t.Context(), c, operation, "17")
	things := store.NewCollection[string](f.store, "things", 1)
	var err error
	for i := range n {
		err = f.store.Update(ctx, func(tx *store.Tx) error {
			if err := things.Put(tx, store.ID(uint64(i)), operation); err != nil {
				return err
			}
			return fails
		})
	}
	code := ""
	if err != nil {
		code = "internal"
	}
	if err := a.Finish(ctx, code, false); err != nil {
		f.t.Fatal(err)
	}
}

var caller = &policy.Caller{Account: "a1b2c3d4e5f60718", Role: policy.Operator, How: policy.BySession, Session: "b1b2c3d4e5f60718"}

// TestOneTransaction: a change and its record are there together, once, or neither is.
func TestOneTransaction(t *testing.T) {
	f := newLog(t)
	f.do(caller, "change", 3, nil)
	f.do(caller, "fails", 1, errors.New("no"))
	f.do(caller, "changes-nothing", 0, nil)
	list := f.list(audit.Filter{})
	if len(list) != 3 || list[2].Operation != "change" || list[2].Outcome != audit.Done || list[2].Object != "17" || list[1].Outcome != audit.Failed || list[1].Code != "internal" || list[0].Outcome != audit.Done {
		t.Errorf("%+v", list)
	}
	if v, err := f.Verify(t.Context(), 0, ""); err != nil || !v.Verified || v.Records != 3 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestTamper: whatever is changed, taken out or put in shows.
func TestTamper(t *testing.T) {
	records := func(f *fixture) *store.Collection[audit.Record] {
		return store.NewCollection[audit.Record](f.store, "audit", 1)
	}
	for name, change := range map[string]func(f *fixture, tx *store.Tx) error{
		"changed": func(f *fixture, tx *store.Tx) error {
			r, err := records(f).Get(tx, store.ID(3))
			r.Account = "another"
			return errors.Join(err, records(f).Put(tx, store.ID(3), r))
		},
		"taken out": func(f *fixture, tx *store.Tx) error { return records(f).Delete(tx, store.ID(3)) },
		"swapped": func(f *fixture, tx *store.Tx) error {
			a, err1 := records(f).Get(tx, store.ID(3))
			b, err2 := records(f).Get(tx, store.ID(4))
			a.Number, b.Number = 4, 3
			return errors.Join(err1, err2, records(f).Put(tx, store.ID(3), b), records(f).Put(tx, store.ID(4), a))
		},
		"the first taken out": func(f *fixture, tx *store.Tx) error { return records(f).Delete(tx, store.ID(1)) },
		"the end cut off":     func(f *fixture, tx *store.Tx) error { return records(f).Delete(tx, store.ID(5)) },
	} {
		f := newLog(t)
		for range 5 {
			f.do(caller, "change", 1, nil)
		}
		noted := f.list(audit.Filter{})[0]
		if v, err := f.Verify(t.Context(), noted.Number, noted.Digest); err != nil || !v.Verified {
			t.Fatalf("%s: before: %+v, %v", name, v, err)
		}
		if err := f.store.Update(t.Context(), func(tx *store.Tx) error { return change(f, tx) }); err != nil {
			t.Fatal(err)
		}
		if v, err := f.Verify(t.Context(), noted.Number, noted.Digest); err != nil || v.Verified || v.Problem == "" {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// TestStrangersAreCounted: they fill an hour's room, then only a count grows, which is written once.
func TestStrangersAreCounted(t *testing.T) {
	f := newLog(t)
	for range 10 * audit.Limit {
		if err := f.Deny(t.Context(), nil, "contacts-list", "NameOfAPerson", "unauthorized"); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Deny(t.Context(), caller, "users-list", "", "forbidden"); err != nil {
		t.Fatal(err)
	}
	list := f.list(audit.Filter{})
	if len(list) != audit.Limit+1 || list[0].Account != caller.Account {
		t.Fatalf("%d records", len(list))
	}
	for _, r := range list {
		if r.Object != "" {
			t.Errorf("an object that nobody knows stands in the record: %q", r.Object)
		}
	}
	f.now = f.now.Add(time.Hour)
	for range 3 {
		if err := f.Settle(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	if list = f.list(audit.Filter{}); len(list) != audit.Limit+2 || list[0].Count != 9*audit.Limit {
		t.Errorf("%d records, the last %+v", len(list), list[0])
	}
}

func TestFilter(t *testing.T) {
	f := newLog(t)
	other := *caller
	other.Account = "c1b2c3d4e5f60718"
	begin := f.now
	for i := range 30 {
		f.now = begin.Add(time.Duration(i) * time.Minute)
		c := caller
		if i%3 == 0 {
			c = &other
		}
		f.do(c, []string{"a", "b"}[i%2], 1, nil)
	}
	at := func(i int) time.Time { return begin.Add(time.Duration(i) * time.Minute).Truncate(time.Second) }
	for _, c := range []struct {
		q    audit.Filter
		want int
	}{
		{audit.Filter{Limit: 7}, 30}, {audit.Filter{Account: other.Account, Limit: 3}, 10}, {audit.Filter{Operation: "a"}, 15},
		{audit.Filter{Since: at(10), Until: at(20), Limit: 4}, 10}, {audit.Filter{Account: "nobody"}, 0}, {audit.Filter{Outcome: audit.Denied}, 0},
		{audit.Filter{Before: 1}, 0}, {audit.Filter{Before: 5}, 4},
	} {
		if got := f.list(c.q); len(got) != c.want {
			t.Errorf("%+v: %d records, want %d", c.q, len(got), c.want)
		}
	}
}

func TestOwnIDs(t *testing.T) {
	for _, id := range []string{"1", "123456789", strings.Repeat("ab", 8), strings.Repeat("0", 64)} {
		if !audit.IsOwnID(id) {
			t.Errorf("%q is none", id)
		}
	}
	for _, id := range []string{"", "0", "1234567890", "HoumanHaddad", "did:web:a.example", "abc", strings.Repeat("a", 65), "-1"} {
		if audit.IsOwnID(id) {
			t.Errorf("%q is one", id)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	dir := b.TempDir()
	keys, err := file.Create(filepath.Join(dir, "keys"), file.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer keys.Close()
	s, err := store.Create(b.Context(), filepath.Join(dir, "db"), store.Options{Keys: keys})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l, err := audit.New(audit.Options{Store: s})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		ctx, a := l.Begin(b.Context(), caller, "contacts-export", "")
		if err := a.Before(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// What stands in a path where an id belongs is recorded only once something has looked at it: it may be a name.
func TestNothingUnreadIsRecordedBeforehand(t *testing.T) {
	f := newLog(t)
	for _, object := range []string{"HoumanHaddad", "784198212345678", "7", "did:web:a.example"} {
		ctx, a := f.Begin(t.Context(), caller, "contacts-subject-report", object)
		if err := a.Before(ctx); err != nil {
			t.Fatal(err)
		}
		if err := a.Finish(ctx, "validation", false); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for _, r := range f.list(audit.Filter{}) {
		seen[r.Object]++
	}
	if seen["HoumanHaddad"] > 0 || seen["784198212345678"] > 0 || seen["7"] != 2 || seen["did:web:a.example"] != 2 {
		t.Errorf("recorded: %v", seen)
	}
}
