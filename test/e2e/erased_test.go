package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"ihyid/api"
	"ihyid/contacts"
	"ihyid/did"
	"ihyid/exchange"
	"ihyid/exchange/register"
	"ihyid/kms/file"
	"ihyid/store"
	"ihyid/test/harness"
)

const erasedHeader = "first_name,last_name,mother_first_name,father_first_name,date_of_birth,phone,national_id,external_id\n"

// The people of whom nothing is to be left. The fifth is registered over HTTP.
const erasedList = `Zbigniew,Qwertzowski,Jadwigana,Kazimierzu,1951-03-02,+963111222333,N-7771,OLD-1
Ludmila,Yxcvbnova,Svetlanka,Borislawe,1962-08-19,,N-7772,OLD-2
Ludmilla,Yxcvbnova,Svetlanka,Borislawe,1962-08-19,,,OLD-3
Wolodymyr,Pokrzywnicki,Oksanotschka,Petrowytsch,1947-11-05,,,OLD-4
`

// One stays who may be the first, and one who has nothing to do with any of them.
const stayingList = `Zbygniew,Qwertzowsky,Jadwigana,Kazimierzu,1951-03-02,,,NEW-1
Houman,Haddad,Barbara,Michael,1976-05-07,,,NEW-2
`

// erasedWords stand only in what is said of those who go, former spellings included.
var erasedWords = []string{"Zbigniew", "Qwertzowski", "Bartholomeusz", "Ludmila", "Ludmilla", "Yxcvbnova", "Svetlanka", "Borislawe",
	"Wolodymyr", "Pokrzywnicki", "Oksanotschka", "Petrowytsch", "Gwendolyna", "963111222333", "N-7771", "N-7772", "OLD-1", "OLD-2", "OLD-3", "OLD-4", "OLD-5"}

type erasedCodec struct{}

func (erasedCodec) Append(dst []byte, v *[]byte) ([]byte, error) { return append(dst, *v...), nil }

func (erasedCodec) Decode(data []byte, v *[]byte) error {
	*v = bytes.Clone(data)
	return nil
}

// inventory is all that a stopped node keeps.
type inventory struct {
	sealed map[string][]byte // records as they lie in the file, by collection and key
	keys   map[string]bool   // record keys that are long enough to be looked for
	terms  map[string]bool   // of all indexes
	opened map[string][]byte // records in the clear
	raw    map[string][]byte // all files of the node, and a snapshot made now
}

var indexName, recordName = []byte("indexes"), []byte("records")

// openStore opens the store of a stopped node.
func openStore(t *testing.T, n *harness.Node) (s *store.Store, closeIt func()) {
	t.Helper()
	keys, err := file.Open(filepath.Join(n.Data, "keys"), file.Options{})
	harness.Check(t, err)
	s, err = store.Open(t.Context(), filepath.Join(n.Data, "ihyid.db"), store.Options{Keys: keys})
	harness.Check(t, err)
	return s, func() {
		harness.Check(t, s.Close())
		harness.Check(t, keys.Close())
	}
}

func takeInventory(t *testing.T, n *harness.Node) *inventory {
	t.Helper()
	in := &inventory{sealed: map[string][]byte{}, keys: map[string]bool{}, terms: map[string]bool{}, opened: map[string][]byte{}, raw: map[string][]byte{}}
	db, err := bolt.Open(filepath.Join(n.Data, "ihyid.db"), 0o600, &bolt.Options{ReadOnly: true})
	harness.Check(t, err)
	var collections []string
	err = db.View(func(tx *bolt.Tx) error {
		records := tx.Bucket(recordName)
		err := records.ForEachBucket(func(name []byte) error {
			collections = append(collections, string(name))
			return records.Bucket(name).ForEach(func(k, v []byte) error {
				in.sealed[string(name)+" "+string(k)] = bytes.Clone(v)
				// Two small numbers, the key of a pair, stand in a file also by chance.
				if len(k) >= 16 && !(len(k) == 16 && bytes.HasPrefix(k, make([]byte, 6))) {
					in.keys[string(k)] = true
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
		indexes := tx.Bucket(indexName)
		return indexes.ForEachBucket(func(name []byte) error {
			x := indexes.Bucket(name)
			return x.ForEachBucket(func(run []byte) error {
				return x.Bucket(run).ForEach(func(k, v []byte) error {
					in.terms[string(k)] = true
					for ; len(v) >= 24; v = v[24:] {
						in.terms[string(v[:16])] = true
					}
					return nil
				})
			})
		})
	})
	harness.Check(t, err)
	harness.Check(t, db.Close())
	err = filepath.WalkDir(n.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		in.raw[path], err = os.ReadFile(path)
		return err
	})
	harness.Check(t, err)
	in.raw["log"], err = os.ReadFile(n.LogFile())
	harness.Check(t, err)
	s, closeIt := openStore(t, n)
	defer closeIt()
	harness.Check(t, s.View(t.Context(), func(tx *store.Tx) error {
		for _, name := range collections {
			c := store.NewCollection[[]byte](s, name, 1, store.WithCodec[[]byte](erasedCodec{}))
			for item, err := range c.All(tx, store.Range{}) {
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				in.opened[name+" "+string(item.Key)] = item.Value
			}
		}
		return nil
	}))
	var snapshot bytes.Buffer
	harness.Check(t, s.Snapshot(t.Context(), &snapshot))
	in.raw["snapshot"] = snapshot.Bytes()
	return in
}

// has gives the name of a file that holds some bytes, "" if none does.
func (in *inventory) has(needle []byte) string {
	for name, data := range in.raw {
		if bytes.Contains(data, needle) {
			return filepath.Base(name)
		}
	}
	return ""
}

// said counts in how many records a text stands when they are opened, and names one.
func (in *inventory) said(needle []byte) (n int, where string) {
	for name, data := range in.opened {
		if bytes.Contains(data, needle) {
			n, where = n+1, name
		}
	}
	return n, where
}

// register5 registers the fifth person with an Idempotency-Key, twice: so the answer is kept.
func register5(t *testing.T, n *harness.Node) uint64 {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(n.Data, "ihyid.sock"))
	}}}
	defer c.CloseIdleConnections()
	var kept api.Kept
	for range 2 {
		body := `{"first_name":"Gwendolyna","last_name":"Pokrzywnicki","external_id":"OLD-5"}`
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://ihyid/contacts", strings.NewReader(body))
		harness.Check(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(api.IdempotencyHeader, "one-time")
		resp, err := c.Do(r)
		harness.Check(t, err)
		data, err := io.ReadAll(resp.Body)
		harness.Check(t, err)
		harness.Check(t, resp.Body.Close())
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", resp.StatusCode, data)
		}
		harness.Check(t, json.Unmarshal(data, &kept))
	}
	return kept.Contact.ID
}

// makeOld has contacts be older than they are, in the store of a stopped node.
func makeOld(t *testing.T, n *harness.Node, numbers ...uint64) {
	t.Helper()
	s, closeIt := openStore(t, n)
	defer closeIt()
	c := store.NewCollection[[]byte](s, "contacts", 1, store.WithCodec[[]byte](erasedCodec{}))
	created := regexp.MustCompile(`"created":"[^"]*"`)
	harness.Check(t, s.Erase(t.Context(), func(tx *store.Tx) error {
		for _, id := range numbers {
			data, err := c.Get(tx, store.ID(id))
			if err != nil {
				return err
			}
			if err := c.Put(tx, store.ID(id), created.ReplaceAll(data, []byte(`"created":"2001-02-03T04:05:06Z"`))); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TestErasedIsGone keeps everything about a few people that a node can keep, erases them, and looks through the bytes of all files of the node: of a record that changed or went, of
// index entries and of record keys that went, none is left; and no record that there is says anything of them when it is opened. Receipts are as they were.
func TestErasedIsGone(t *testing.T) {
	t.Run("erase", func(t *testing.T) { erasedIsGone(t, false) })
	t.Run("retention", func(t *testing.T) { erasedIsGone(t, true) })
}

func erasedIsGone(t *testing.T, byRule bool) {
	t.Parallel()
	ctx, network := t.Context(), harness.New(t, program)
	a, b := network.Add("alpha"), network.Add("beta")
	load := func(n *harness.Node, rows string, o register.ImportOptions) {
		job, err := n.Client.ImportContacts(ctx, strings.NewReader(erasedHeader+rows), o)
		harness.Check(t, err)
		if j := n.Job(job.ID); j.State != "done" {
			t.Fatalf("%+v", j)
		}
	}
	load(a, erasedList+stayingList, register.ImportOptions{})
	load(a, strings.ReplaceAll(erasedList, "Zbigniew", "Bartholomeusz"), register.ImportOptions{Update: true})
	load(a, erasedList, register.ImportOptions{Update: true})
	load(b, erasedList+stayingList, register.ImportOptions{})
	_, err := a.Client.DecideDuplicate(ctx, "1-5", register.Different)
	harness.Check(t, err)
	merged, err := a.Client.MergeContacts(ctx, "2-3", nil)
	harness.Check(t, err)
	parted, err := a.Client.MergeContacts(ctx, "1-4", nil)
	harness.Check(t, err)
	_, err = a.Client.UndoMerge(ctx, parted.ID, false)
	harness.Check(t, err)
	_, err = a.Client.DecideDuplicate(ctx, "1-4", register.Same)
	harness.Check(t, err)
	fifth := register5(t, a)
	harness.Befriend(a, b)
	e, err := a.Client.StartExchange(ctx, exchange.Request{Peer: b.DID, Profile: "levant/1", Protocol: exchange.ProtocolVOPRF, Purpose: "a test"})
	harness.Check(t, err)
	for _, n := range []*harness.Node{a, b} {
		n.Until("the end of the exchange", func(ctx context.Context) (bool, error) {
			e, err = n.Client.Exchange(ctx, e.ID)
			return err == nil && e.State.Finished(), err
		})
	}
	receipt, err := a.Client.Receipt(ctx, e.ID)
	harness.Check(t, err)
	goes := []uint64{1, merged.ID, 4, fifth}
	all := append([]uint64{2, 3, parted.ID}, goes...)
	found := map[uint64]bool{}
	matches, err := a.Client.Matches(ctx, e.ID)
	harness.Check(t, err)
	for _, m := range matches {
		found[m.Contact] = true
	}
	if e.State != exchange.StateDone || !found[1] || !found[merged.ID] || !found[4] {
		t.Fatalf("%+v %v", e, matches)
	}
	profile, err := contacts.BuiltinProfile("levant/1")
	harness.Check(t, err)
	var digests [][]byte // of the people, as they stand in what is kept of the epoch
	for _, id := range goes {
		s, err := a.Client.SubjectReport(ctx, id)
		harness.Check(t, err)
		for _, d := range profile.NewEncoder().Digests(nil, &s.Subject.Contact.Contact) {
			digests = append(digests, d.Digest[:])
		}
	}
	a.Stop()
	if byRule {
		makeOld(t, a, goes...)
	}
	before := takeInventory(t, a)

	a.Start()
	if byRule {
		_, err := a.Client.SetRetention(ctx, api.RetentionRule{Days: 30})
		harness.Check(t, err)
		job, err := a.Client.RunRetention(ctx)
		harness.Check(t, err)
		if j := a.Job(job.ID); j.State != "done" || string(j.Result) != `{"erased":4}` {
			t.Fatalf("%+v", j)
		}
		_, err = a.Client.RollEpochs(ctx, b.DID)
		harness.Check(t, err)
	} else {
		out, err := a.Client.EraseContacts(ctx, api.Erasing{Contacts: goes, RollEpochs: true})
		harness.Check(t, err)
		if out.Erased != 4 || out.Rolled != 1 {
			t.Errorf("%+v", out)
		}
	}
	again, err := a.Client.Receipt(ctx, e.ID)
	harness.Check(t, err)
	var documents []*did.Document
	for _, n := range []*harness.Node{a, b} {
		raw, err := n.Client.Document(ctx)
		harness.Check(t, err)
		doc, err := did.ParseDocument(raw)
		harness.Check(t, err)
		documents = append(documents, doc)
	}
	if report := exchange.VerifyReceipt(ctx, again, exchange.VerifyReceiptOptions{Documents: documents}); !report.Passed() || !bytes.Equal(receipt, again) {
		t.Errorf("the receipt: %+v", report.Checks)
	}
	a.Stop()
	after := takeInventory(t, a)

	// Records, sealed. The middle of each is its own.
	kinds := map[string]int{}
	for name, box := range before.sealed {
		if bytes.Equal(after.sealed[name], box) {
			continue
		}
		part := box[len(box)/2:][:16]
		if before.has(part) == "" {
			t.Fatalf("%q cannot be found where it is: this test shows nothing", name)
		}
		kind, _, _ := strings.Cut(name, " ")
		kind, _, _ = strings.Cut(kind, "/")
		kinds[kind]++
		if where := after.has(part); where != "" {
			t.Errorf("bytes of the record %q are left in %s", name, where)
		}
	}
	for _, kind := range []string{"contacts", "originals", "merges", "merges-undone", "decisions", "outcomes", "matches", "idempotency", "search", "chunks", "epochs"} {
		if kinds[kind] == 0 {
			t.Errorf("nothing of %s has changed or gone: this test shows nothing of that (%v)", kind, kinds)
		}
	}
	// Keyed terms and record keys.
	gone := func(what string, was, is map[string]bool, least int) {
		n := 0
		for k := range maps.Keys(was) {
			if is[k] {
				continue
			}
			n++
			if where := after.has([]byte(k)); where != "" {
				t.Errorf("%s %x is left in %s", what, k, where)
			}
		}
		if n < least {
			t.Errorf("only %d of the %s have gone", n, what)
		}
	}
	gone("index term", before.terms, after.terms, 40)
	gone("record key", before.keys, after.keys, 40)
	named := erasedTerms(t, a, goes)
	for what, terms := range named {
		for _, term := range terms {
			if !before.terms[string(term)] || before.has(term) == "" {
				t.Errorf("%s: a term is not there before: this test shows nothing", what)
			}
			if where := after.has(term); after.terms[string(term)] || where != "" {
				t.Errorf("%s: a term is left in %s", what, where)
			}
		}
	}
	// What is said in the clear.
	for _, word := range erasedWords {
		for _, in := range []*inventory{before, after} {
			if where := in.has([]byte(word)); where != "" {
				t.Errorf("%q stands in the clear in %s", word, where)
			}
		}
		if n, where := after.said([]byte(word)); n != 0 {
			t.Errorf("%q stands in %d records still, such as %q", word, n, where)
		}
		if n, _ := before.said([]byte(word)); n == 0 && word != "Bartholomeusz" {
			t.Errorf("%q stands in no record before: this test shows nothing", word)
		}
	}
	for _, d := range digests {
		n, where := after.said(d)
		if n != 0 {
			t.Errorf("a digest stands in %d records still, such as %q", n, where)
		}
	}
	// Numbers, where contacts are named by them.
	for name := range after.opened {
		kind, key, _ := strings.Cut(name, " ")
		for _, id := range all {
			switch kind, _, _ := strings.Cut(kind, "/"); kind {
			case "contacts", "originals", "merges", "merges-undone", "decisions", "decisions-of", "duplicates", "duplicates-of":
				if strings.Contains(key, string(store.ID(id))) {
					t.Errorf("%s names contact %d: %x", kind, id, key)
				}
			case "outcomes", "matches":
				if regexp.MustCompile(fmt.Sprintf(`"contact":%d\b`, id)).Match(after.opened[name]) {
					t.Errorf("%s names contact %d: %s", kind, id, after.opened[name])
				}
			}
		}
	}
	if spools, err := os.ReadDir(filepath.Join(a.Data, "ihyid.db.spool")); err != nil || len(spools) != 0 {
		t.Errorf("%d uploads are left, %v", len(spools), err)
	}
}

// erasedTerms are terms that indexes have of contacts, made with the node's own key.
func erasedTerms(t *testing.T, n *harness.Node, numbers []uint64) map[string][][]byte {
	t.Helper()
	profile, err := contacts.BuiltinProfile("levant/1")
	harness.Check(t, err)
	s, closeIt := openStore(t, n)
	defer closeIt()
	out := map[string][][]byte{}
	add := func(index string, value []byte) {
		term := store.NewIndex(s, index).Hash(value)
		out[index] = append(out[index], term[:])
	}
	for _, id := range []string{"OLD-1", "OLD-2", "OLD-3", "OLD-4", "OLD-5"} {
		add("ids", []byte("external\x00"+id))
	}
	for _, id := range numbers[:3] {
		add("matched", store.ID(id))
	}
	digest := profile.Digest()
	c := contacts.Contact{FirstName: "Wolodymyr", LastName: "Pokrzywnicki", MotherFirstName: "Oksanotschka", FatherFirstName: "Petrowytsch", DateOfBirth: "1947-11-05", ExternalID: "OLD-4"}
	for _, d := range profile.NewEncoder().Digests(nil, &c) {
		add(fmt.Sprintf("keys/%x", digest[:5]), d.Digest[:])
	}
	return out
}
