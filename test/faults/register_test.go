package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ihyid/api"
	"ihyid/exchange/register"
	"ihyid/kms/file"
	"ihyid/store"
	"ihyid/test/harness"
)

// people writes a list of n contacts, each with a phone number that begins so.
func people(n int, phone string) []byte {
	var b bytes.Buffer
	b.WriteString("first_name,last_name,mother_first_name,date_of_birth,phone,external_id\n")
	for i := range n {
		fmt.Fprintf(&b, "Amal%c%c,Khoury%c,Nadia%c,19%02d-%02d-%02d,%s%05d,P-%d\n", 'a'+i%26, 'a'+i/26%26, 'a'+i/676%26, 'a'+i/7%26, 50+i%50, 1+i%12, 1+i%28, phone, i, i)
	}
	return b.Bytes()
}

// peopled is a node with n contacts.
func peopled(t *testing.T, n int) *harness.Node {
	t.Helper()
	node := harness.New(t, program).Add("alpha")
	job, err := node.Import(people(n, "+9611"))
	harness.Check(t, err)
	if j := node.Job(job.ID); j.State != "done" {
		t.Fatalf("import: %s", j.Error)
	}
	return node
}

// killed kills the node a few times, at random moments, while a job goes on, and gives the job at its end.
func killed(t *testing.T, n *harness.Node, job api.Job, rnd *rand.Rand, most time.Duration) api.Job {
	t.Helper()
	kills := 0
	for range rounds(t, 3) {
		after(rnd, most)
		n.Kill()
		kills++
		n.Start()
		if j, err := n.Client.Job(context.Background(), job.ID); err == nil && j.State.Final() {
			break
		}
	}
	j := n.Job(job.ID)
	t.Logf("%d kills, %d attempts: %s", kills, j.Attempts, j.Result)
	if j.State != "done" {
		t.Fatalf("the job ended as %s: %s", j.State, j.Error)
	}
	return j
}

type plainCodec struct{}

func (plainCodec) Append(dst []byte, v *[]byte) ([]byte, error) { return append(dst, *v...), nil }

func (plainCodec) Decode(data []byte, v *[]byte) error {
	*v = bytes.Clone(data)
	return nil
}

// within opens the store of a stopped node.
func within(t *testing.T, n *harness.Node, do func(s *store.Store)) {
	t.Helper()
	keys, err := file.Open(filepath.Join(n.Data, "keys"), file.Options{})
	harness.Check(t, err)
	defer keys.Close()
	s, err := store.Open(t.Context(), filepath.Join(n.Data, "ihyid.db"), store.Options{Keys: keys})
	harness.Check(t, err)
	defer s.Close()
	do(s)
}

// left counts which of the contacts P-0 to P-n have their external id in the file of a stopped node, as a keyed term.
func left(t *testing.T, n *harness.Node, of int) (found int) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(n.Data, "ihyid.db"))
	harness.Check(t, err)
	within(t, n, func(s *store.Store) {
		ids := store.NewIndex(s, "ids")
		for i := range of {
			if term := ids.Hash(fmt.Appendf(nil, "external\x00P-%d", i)); bytes.Contains(raw, term[:]) {
				found++
			}
		}
	})
	return found
}

// TestRetentionSurvivesKills kills a node while the rule of age is applied: those who are too old are gone, each counted once, the others are there.
func TestRetentionSurvivesKills(t *testing.T) {
	const size, old = 7000, 6000 // more than one batch
	rnd, n := random(t), peopled(t, size)
	n.Stop()
	within(t, n, func(s *store.Store) {
		c := store.NewCollection[[]byte](s, "contacts", 1, store.WithCodec[[]byte](plainCodec{}))
		created := regexp.MustCompile(`"created":"[^"]*"`)
		harness.Check(t, s.Update(t.Context(), func(tx *store.Tx) error {
			for id := range uint64(old) {
				data, err := c.Get(tx, store.ID(id+1))
				if err != nil {
					return err
				}
				if err := c.Put(tx, store.ID(id+1), created.ReplaceAll(data, []byte(`"created":"2001-02-03T04:05:06Z"`))); err != nil {
					return err
				}
			}
			return nil
		}))
	})
	if found := left(t, n, old); found != old {
		t.Fatalf("%d of %d are in the file", found, old)
	}
	n.Start()
	_, err := n.Client.SetRetention(t.Context(), api.RetentionRule{Days: 30})
	harness.Check(t, err)
	job, err := n.Client.RunRetention(t.Context())
	harness.Check(t, err)
	j := killed(t, n, job, rnd, 200*time.Millisecond)
	if string(j.Result) != fmt.Sprintf(`{"erased":%d}`, old) {
		t.Errorf("%s", j.Result)
	}
	if got := export(t, n.Export()); len(got) != size-old {
		t.Errorf("%d contacts are left", len(got))
	}
	n.Stop()
	if found := left(t, n, old); found != 0 {
		t.Errorf("%d of %d are still in the file", found, old)
	}
	healthy(t, n)
}

// TestFindSurvivesKills kills a node while it compares all contacts with each other: it finds what an undisturbed search finds.
func TestFindSurvivesKills(t *testing.T) {
	rnd, n := random(t), peopled(t, 6000)
	job, err := n.Client.FindDuplicates(t.Context())
	harness.Check(t, err)
	want := n.Job(job.ID)
	job, err = n.Client.FindDuplicates(t.Context())
	harness.Check(t, err)
	if got := killed(t, n, job, rnd, 150*time.Millisecond); string(got.Result) != string(want.Result) {
		t.Errorf("%s, undisturbed %s", got.Result, want.Result)
	}
	n.Stop()
	healthy(t, n)
}

// TestUpdateByListSurvivesKills kills a node while a list changes its contacts: each is changed once.
func TestUpdateByListSurvivesKills(t *testing.T) {
	const size = 15_000 // more than one batch
	rnd, n := random(t), peopled(t, size)
	job, err := n.Client.ImportContacts(t.Context(), bytes.NewReader(people(size, "+9612")), register.ImportOptions{Update: true})
	harness.Check(t, err)
	j := killed(t, n, job, rnd, 200*time.Millisecond)
	var r register.ImportResult
	harness.Check(t, json.Unmarshal(j.Result, &r))
	if r.Rows != size || r.Updated != size || r.Changed["phone"] != size || r.Created+r.Duplicates+r.Rejected != 0 {
		t.Errorf("%+v", r)
	}
	text := string(n.Export())
	if strings.Count(text, "+9612") != size || strings.Contains(text, "+9611") {
		t.Errorf("%d of %d have the new number", strings.Count(text, "+9612"), size)
	}
	for _, id := range []uint64{1, size / 2, size} {
		s, err := n.Client.Contact(t.Context(), id)
		harness.Check(t, err)
		if s.Version != 2 {
			t.Errorf("contact %d was changed to version %d", id, s.Version)
		}
	}
	n.Stop()
	healthy(t, n)
}

// TestEraseSurvivesKills kills a node while it erases: afterwards a contact is there, or it is gone, and then from the file, too.
func TestEraseSurvivesKills(t *testing.T) {
	rnd, n := random(t), peopled(t, 3000)
	interrupted := 0
	kills := rounds(t, 4)
	for round := range kills {
		ids := []uint64{uint64(round)*2 + 1, uint64(round)*2 + 2}
		done := make(chan error, 1)
		client := n.Client
		go func() {

			_, err := client.EraseContacts(context.Background(), api.Erasing{Contacts: ids})
			done <- err
		}()
		after(rnd, 60*time.Millisecond)
		n.Kill()
		if <-done != nil {
			interrupted++
		}
		n.Start()
		there := 0
		for _, id := range ids {
			if _, err := n.Client.Contact(t.Context(), id); err == nil {
				there++
			}
		}
		switch there {
		case 0:
		case 2:
			_, err := n.Client.EraseContacts(t.Context(), api.Erasing{Contacts: ids})
			harness.Check(t, err)
		default:
			t.Errorf("one of two contacts was erased")
		}
	}
	t.Logf("%d of %d erasures were interrupted", interrupted, kills)
	n.Stop()
	if found := left(t, n, 2*kills); found != 0 {
		t.Errorf("%d of %d are still in the file", found, 2*kills)
	}
	healthy(t, n)
}
