package register_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/store"
	"ihyid/store/jobs"
	"ihyid/test/lists"
)

// A list that was cut in the middle of a row comes in up to there: every whole row is a contact, the cut one is reported by its line without a word of it,
// and the numbers say so. The list has a thousand rows; IHYID_CUT_ROWS asks for more.
func TestImportCutInTheMiddle(t *testing.T) {
	rows := 1000
	if s := os.Getenv("IHYID_CUT_ROWS"); s != "" {
		var err error
		if rows, err = strconv.Atoi(s); err != nil || rows < 10 {
			t.Fatalf("IHYID_CUT_ROWS is no number of rows: %q", s)
		}
	}
	name := filepath.Join(t.TempDir(), "list.csv")
	f, err := os.Create(name)
	check(t, err)
	defer f.Close()
	check(t, lists.WriteCSV(f, lists.Options{N: rows, Seed: 3}))
	size, err := f.Seek(0, io.SeekEnd)
	check(t, err)
	// The cut is in the second field of a row behind the middle.
	around := make([]byte, 4096)
	_, err = f.ReadAt(around, size/2)
	check(t, errors.Join(ignoring(err, io.EOF)))
	line := bytes.IndexByte(around, '\n') + 1
	cut := size/2 + int64(line+bytes.IndexByte(around[line:], ',')+3)
	check(t, f.Truncate(cut))
	_, err = f.Seek(0, io.SeekStart)
	check(t, err)
	whole := 0
	for at := int64(0); at < cut; {
		part := make([]byte, 1<<20)
		n, err := f.ReadAt(part, at)
		check(t, ignoring(err, io.EOF))
		whole += bytes.Count(part[:n], []byte{'\n'})
		at += int64(n)
	}
	whole-- // the header

	n := open(t, t.TempDir(), "soundex/1")
	defer n.close()
	job, err := n.StartImport(t.Context(), f, register.ImportOptions{}, "x")
	check(t, err)
	r := n.await(t, job.ID)
	if r.Rows != uint64(whole+1) || r.Created != uint64(whole) || r.Rejected != 1 || r.Updated != 0 || r.Duplicates != 0 {
		t.Errorf("%d whole rows and one cut: %+v", whole, r)
	}
	count, err := n.Count(t.Context())
	check(t, err)
	if count != uint64(whole) {
		t.Errorf("%d contacts of %d whole rows", count, whole)
	}
	var last register.Outcome
	for from := 0; ; {
		report, next, err := n.ImportReport(t.Context(), job.ID, from, 1000)
		check(t, err)
		for _, o := range report {
			if o.Outcome == register.Rejected {
				last = o
			}
		}
		if from = next; next == 0 {
			break
		}
	}
	if last.Line != whole+2 || last.Reason != "has 2 fields where the header has "+strconv.Itoa(len(r.Columns)) {
		t.Errorf("behind line %d: %+v", whole+1, last)
	}
}

func ignoring(err, other error) error {
	if errors.Is(err, other) {
		return nil
	}
	return err
}

// An upload that breaks off changes nothing, and nothing of it is kept.
func TestUploadBreaksOff(t *testing.T) {
	n := open(t, t.TempDir(), "soundex/1")
	defer n.close()
	var list bytes.Buffer
	check(t, lists.WriteCSV(&list, lists.Options{N: 1000, Seed: 3}))
	broken := io.MultiReader(io.LimitReader(&list, int64(list.Len()/2)), failing{})
	if _, err := n.StartImport(t.Context(), broken, register.ImportOptions{}, "x"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	if count, err := n.Count(t.Context()); err != nil || count != 0 {
		t.Errorf("%d contacts, %v", count, err)
	}
	all, err := n.queue.List(t.Context(), jobs.Filter{Kind: register.JobImport})
	check(t, err)
	check(t, n.store.View(t.Context(), func(tx *store.Tx) error {
		spools, err := n.store.Spools(tx)
		if len(spools) != 0 || len(all) != 0 {
			t.Errorf("%d uploads and %d jobs are left", len(spools), len(all))
		}
		return err
	}))
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// stopper holds an import at its second transaction until the node stops.
type stopper struct {
	calls   int
	reached chan struct{}
}

func (s *stopper) ContactsChanged(tx *store.Tx, _ string, _ []register.Change) error {
	if s.calls++; s.calls < 2 {
		return nil
	}
	close(s.reached)
	<-tx.Context().Done()
	return tx.Context().Err()
}

// An import that goes on after the node was stopped says of a row the same as one that was not: the rows before count, even those that came to nothing.
func TestRowsBeforeAnInterruption(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, "levant/1")
	_, _, err := n.Create(t.Context(), contacts.Contact{FirstName: "Rana", LastName: "Nasser", ExternalID: "P1"}, "x")
	check(t, err)
	n.SetBatch(3)
	s := &stopper{reached: make(chan struct{})}
	n.Watch(s)
	list := "external_id,first_name,last_name\nP1,Amal,Khoury\nP2,Houman,Haddad\nP3,Layla,Haddad\nP4,Nour,Haddad\nP1,Amal,Khoury\nP1,Amal,Saleh\nP2,Houman,Haddad\n"
	job, err := n.StartImport(t.Context(), strings.NewReader(list), register.ImportOptions{}, "x")
	check(t, err)
	<-s.reached
	n.close()
	n = open(t, dir, "levant/1")
	defer n.close()
	r := n.await(t, job.ID)
	report, _, err := n.ImportReport(context.Background(), job.ID, 0, 100)
	check(t, err)
	var got strings.Builder
	for _, o := range report {
		if o.Outcome != register.Created {
			fmt.Fprintln(&got, o.Line, o.Outcome, o.Contact)
		}
	}
	if want := "2 rejected 1\n6 duplicate 1\n7 rejected 1\n8 duplicate 3\n"; got.String() != want || r.Created != 3 || r.Rows != 7 {
		t.Errorf("%+v\n%s", r, got.String())
	}
}
