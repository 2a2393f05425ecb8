package search_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/exchange/register/search"
	"ihyid/kms"
	"ihyid/kms/file"
	"ihyid/store"
	"ihyid/store/jobs"
	"ihyid/test/lists"
)

// node is a register with its search index, and its jobs running.
type node struct {
	*register.Register
	index *search.Index
	store *store.Store
	queue *jobs.Queue
	close func()
}

// open opens the register in a directory; without searching it is one from before there was an index.
func open(tb testing.TB, dir string, searching bool) *node {
	tb.Helper()
	return openUnder(tb, dir, "soundex/1", searching)
}

func openUnder(tb testing.TB, dir, profile string, searching bool) *node {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	keyPath, dbPath := filepath.Join(dir, "keys"), filepath.Join(dir, "node.db")
	var keys kms.Store
	keys, err := file.Open(keyPath, file.Options{})
	if err != nil {
		keys, err = file.Create(keyPath, file.Options{})
	}
	check(tb, err)
	s, err := store.Open(ctx, dbPath, store.Options{Keys: keys})
	if err != nil {
		s, err = store.Create(ctx, dbPath, store.Options{Keys: keys})
	}
	check(tb, err)
	queue := jobs.New(s, jobs.Options{})
	p, err := contacts.BuiltinProfile(profile)
	check(tb, err)
	r, err := register.New(register.Options{Store: s, Jobs: queue, Profile: p})
	check(tb, err)
	n := &node{Register: r, store: s, queue: queue}
	if searching {
		n.index, err = search.Open(ctx, s, r, queue)
		check(tb, err)
	}
	done := make(chan error, 1)
	go func() { done <- queue.Run(ctx) }()
	n.close = func() {
		cancel()
		<-done
		check(tb, s.Close())
		check(tb, keys.Close())
	}
	return n
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (n *node) await(tb testing.TB, id string) {
	tb.Helper()
	changes, err := n.queue.Watch(context.Background(), id)
	check(tb, err)
	var last jobs.Job
	for j := range changes {
		last = j
	}
	if last.State != jobs.Done {
		tb.Fatalf("job %s: %s %s", last.Kind, last.State, last.Error)
	}
}

func (n *node) add(tb testing.TB, c contacts.Contact) uint64 {
	tb.Helper()
	s, _, err := n.Create(context.Background(), c, "test")
	check(tb, err)
	return s.ID
}

// all gives the numbers of all that a query finds, in pages of two.
func (n *node) all(tb testing.TB, q search.Query) []uint64 {
	tb.Helper()
	out := []uint64{}
	for after := uint64(0); ; {
		p, err := n.index.Search(context.Background(), q, after, 2)
		check(tb, err)
		for _, s := range p.Contacts {
			if s.ID <= after {
				tb.Fatalf("contact %d after %d", s.ID, after)
			}
			out = append(out, s.ID)
		}
		if p.Next == 0 {
			return out
		}
		after = p.Next
	}
}

func TestSearch(t *testing.T) {
	n := open(t, t.TempDir(), true)
	defer n.close()
	houman := n.add(t, contacts.Contact{FirstName: "Houman", LastName: "Haddad", MotherFirstName: "Barbara", FatherFirstName: "Michael", DateOfBirth: "1976-05-07", ExternalID: "R-1"})
	arabic := n.add(t, contacts.Contact{FirstName: "محمد", LastName: "حداد", DateOfBirth: "1980-01-01"})
	latin := n.add(t, contacts.Contact{FirstName: "Mohammed", LastName: "El-Khatib", FatherFirstName: "Mikhail"})
	abd := n.add(t, contacts.Contact{FirstName: "Abdulrahman", LastName: "Saleh"})
	ivan := n.add(t, contacts.Contact{FirstName: "Иван", LastName: "Петров"})
	long := n.add(t, contacts.Contact{FirstName: "Konstantinopoulos", LastName: "Li"})
	for _, c := range []struct {
		query search.Query
		want  []uint64
	}{
		{search.Query{Name: "Houman Haddad"}, []uint64{houman}},
		{search.Query{Name: "haddad houman"}, []uint64{houman}},
		{search.Query{Name: "hou"}, []uint64{houman}},
		{search.Query{Name: "Hadd", Match: search.Start}, []uint64{houman}},
		{search.Query{Name: "Haddad"}, []uint64{houman, arabic}},
		{search.Query{Name: "Haddad", Match: search.Start}, []uint64{houman}},
		{search.Query{Name: "Hooman", Match: search.Sound}, []uint64{houman}},
		{search.Query{Name: "Hooman", Match: search.Start}, []uint64{}},
		{search.Query{Name: "Muhammad"}, []uint64{arabic, latin}},
		{search.Query{Name: "محم"}, []uint64{arabic}},
		{search.Query{Name: "Khatib"}, []uint64{latin}},
		{search.Query{Name: "Abd al-Rahman"}, []uint64{abd}},
		{search.Query{Name: "Ivan Petrov"}, []uint64{ivan}},
		{search.Query{Name: "Ива"}, []uint64{ivan}},
		{search.Query{Name: "Konstantinop", Match: search.Start}, []uint64{long}},
		{search.Query{Name: "Konstantinox", Match: search.Start}, []uint64{}},
		{search.Query{Name: "Li"}, []uint64{long}},
		{search.Query{Father: "Michael"}, []uint64{houman, latin}}, // Mikhail is the same name
		{search.Query{Name: "Houman", Mother: "Barbra"}, []uint64{houman}},
		{search.Query{Name: "Houman", Mother: "Layla"}, []uint64{}},
		{search.Query{Born: "1980-01-01"}, []uint64{arabic}},
		{search.Query{PhoneticID: "H550-H330-B616-M240-19760507"}, []uint64{houman}},
		{search.Query{PhoneticID: "H550-*-*-*-*"}, []uint64{houman}},
		{search.Query{PhoneticID: "H550-H330-B616-M240-19760508"}, []uint64{}},
		{search.Query{ExternalID: "R-1"}, []uint64{houman}},
		{search.Query{ExternalID: "R-1", Name: "Mohammed"}, []uint64{}},
		{search.Query{ExternalID: "R-1", Name: "Houman", Born: "1976-05-07"}, []uint64{houman}},
		{search.Query{ExternalID: "R-2"}, []uint64{}},
	} {
		if got := n.all(t, c.query); !slices.Equal(got, c.want) {
			t.Errorf("%+v finds %v, want %v", c.query, got, c.want)
		}
	}
	for _, q := range []search.Query{
		{}, {Name: "123"}, {Name: strings.Repeat("a", 401)}, {Born: "7.5.1976"}, {PhoneticID: "H550"}, {Mother: "--"}, {Name: "a", Match: "like"},
	} {
		if _, err := n.index.Search(context.Background(), q, 0, 2); !errors.Is(err, search.ErrQuery) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// Contacts that come, change and go are found by what they are now, and by nothing else.
func TestInStep(t *testing.T) {
	n := open(t, t.TempDir(), true)
	defer n.close()
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"Houman", "Hooman", "Haddad", "Layla", "محمد", "Mohammed", "Saleh Ali"}
		name := rapid.SampledFrom(names)
		there := map[uint64]string{}
		for i := range rapid.IntRange(1, 12).Draw(t, "steps") {
			ids := []uint64{0}
			for id := range there {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			id := rapid.SampledFrom(ids).Draw(t, "contact")
			first := name.Draw(t, "name")
			switch {
			case id == 0:
				s, _, err := n.Create(ctx, contacts.Contact{FirstName: first, LastName: "Test", ExternalID: fmt.Sprint(time.Now().UnixNano(), i)}, "test")
				if err != nil {
					t.Fatal(err)
				}
				there[s.ID] = first
			case rapid.Bool().Draw(t, "delete"):
				if err := n.Delete(ctx, "test", id); err != nil {
					t.Fatal(err)
				}
				delete(there, id)
			default:
				if _, _, err := n.Update(ctx, id, 0, register.Patch{contacts.FirstName: first}, "test"); err != nil {
					t.Fatal(err)
				}
				there[id] = first
			}
		}
		for _, first := range names {
			var got, want []uint64
			p, err := n.index.Search(ctx, search.Query{Name: first, Match: search.Start}, 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range p.Contacts {
				got = append(got, s.ID)
			}
			for id, have := range there {
				if have == first {
					want = append(want, id)
				}
			}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("%s is found at %v, is at %v", first, got, want)
			}
		}
		for id := range there {
			if err := n.Delete(ctx, "test", id); err != nil {
				t.Fatal(err)
			}
		}
	})
	// Nothing is left of contacts that are gone.
	check(t, n.store.View(ctx, n.index.Verify))
	err := n.store.View(ctx, func(tx *store.Tx) error {
		left, err := n.index.Lists(tx)
		if err == nil && left != 0 {
			t.Errorf("%d lists are left of no contacts", left)
		}
		return err
	})
	check(t, err)
}

// The lists are what the contacts say, whatever became of the rows that were prepared for them: those that are there already, stand twice, or change a contact.
func TestImportInStep(t *testing.T) {
	n := open(t, t.TempDir(), true)
	defer n.close()
	header := "external_id,first_name,last_name,mother_first_name,date_of_birth\n"
	row := func(b *strings.Builder, i int, first string) {
		fmt.Fprintf(b, "P%d,%s,Khoury%c,نور,1980-02-%02d\n", i, first, 'a'+i%26, 1+i%28)
	}
	take := func(rows string, o register.ImportOptions) (r register.ImportResult) {
		job, err := n.StartImport(context.Background(), strings.NewReader(header+rows), o, "test")
		check(t, err)
		n.await(t, job.ID)
		done, err := n.queue.Get(context.Background(), job.ID)
		check(t, err)
		check(t, json.Unmarshal(done.Result, &r))
		return r
	}
	var first, second strings.Builder
	for i := range 9_000 { // with what is repeated more than a batch
		row(&first, i, "Houman")
		switch {
		case i%7 == 0:
			row(&first, i, "Houman") // the same again
		case i%11 == 0:
			row(&first, i, "Amal") // with other content
		case i%13 == 0 && i > 0:
			row(&first, i-1, "Houman")
		}
	}
	for i := 8_000; i < 9_500; i++ {
		name := "Houman"
		if i%10 == 0 {
			name = "Layla"
		}
		row(&second, i, name)
	}
	if r := take(first.String(), register.ImportOptions{}); r.Created != 9_000 || r.Duplicates == 0 || r.Rejected == 0 {
		t.Errorf("%+v", r)
	}
	if r := take(second.String(), register.ImportOptions{Update: true, DryRun: true}); r.Created != 500 || r.Updated != 100 {
		t.Errorf("preview: %+v", r)
	}
	if r := take(second.String(), register.ImportOptions{Update: true}); r.Created != 500 || r.Updated != 100 || r.Rejected != 0 {
		t.Errorf("%+v", r)
	}
	if r := take(second.String(), register.ImportOptions{}); r.Duplicates != 1_500 {
		t.Errorf("%+v", r)
	}
	check(t, n.store.View(context.Background(), n.index.Verify))
	if p, err := n.index.Search(context.Background(), search.Query{Name: "Layla", Match: search.Start}, 0, 2000); err != nil || len(p.Contacts) != 150 {
		t.Errorf("%d are found by their new name, %v", len(p.Contacts), err)
	}
}

// A store from before there was an index is indexed by a job, and searchable after it.
func TestBuild(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, false)
	importList(t, n, 25_000)
	n.close()
	n = open(t, dir, true)
	defer n.close()
	list, err := n.queue.List(context.Background(), jobs.Filter{Kind: search.JobIndex})
	check(t, err)
	if len(list) != 1 {
		t.Fatalf("%d jobs index", len(list))
	}
	n.await(t, list[0].ID)
	some, err := n.List(context.Background(), 20_000, 1)
	check(t, err)
	c := some[0]
	if got := n.all(t, search.Query{Name: c.FirstName + " " + c.LastName, Match: search.Start}); !slices.Contains(got, c.ID) {
		t.Errorf("contact %d is not found by its name among %v", c.ID, got)
	}
	list, err = n.queue.List(context.Background(), jobs.Filter{Kind: search.JobIndex})
	check(t, err)
	var job struct{ Done uint64 }
	data, _ := json.Marshal(list[0])
	check(t, json.Unmarshal(data, &job))
	if list[0].State != jobs.Done {
		t.Errorf("the job is %s", list[0].State)
	}
}

func importList(tb testing.TB, n *node, size int) {
	tb.Helper()
	f, err := os.Open(listFile(tb, size))
	check(tb, err)
	defer f.Close()
	job, err := n.StartImport(context.Background(), f, register.ImportOptions{}, "test")
	check(tb, err)
	n.await(tb, job.ID)
}

// listFile makes a list of simulated contacts.
func listFile(tb testing.TB, size int) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "list.csv")
	f, err := os.Create(name)
	check(tb, err)
	check(tb, lists.WriteCSV(f, lists.Options{N: size, Seed: 1}))
	check(tb, f.Close())
	return name
}
