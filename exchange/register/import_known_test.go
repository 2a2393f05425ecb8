package register

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"ihyid/contacts"
	"ihyid/contacts/list"
	"ihyid/kms/file"
	"ihyid/store"
	"ihyid/store/jobs"
)

// A row that was known when its batch was prepared, and whose contact is gone when it is kept, comes in whole.
func TestKnownRowGone(t *testing.T) {
	ctx := context.Background()
	keys, err := file.Create(filepath.Join(t.TempDir(), "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	s, err := store.Create(ctx, filepath.Join(t.TempDir(), "node.db"), store.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := contacts.BuiltinProfile("levant/1")
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{Store: s, Jobs: jobs.New(s, jobs.Options{}), Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	c := contacts.Contact{FirstName: "Amal", LastName: "Khoury", MotherFirstName: "Nadia", DateOfBirth: "1980-02-13", ExternalID: "P-1"}
	first, _, err := r.Create(ctx, c, "x")
	if err != nil {
		t.Fatal(err)
	}
	alike := c
	alike.ExternalID = "P-2"
	twin, _, err := r.Create(ctx, alike, "x")
	if err != nil {
		t.Fatal(err)
	}
	b := &prepared{rows: []list.Row{{Line: 2, Contact: c}}, edits: []edit{{id: 9, after: &record{Contact: c, Created: time.Now()}}}}
	if err := r.prepareBatch(ctx, b, false); err != nil {
		t.Fatal(err)
	}
	if !b.edits[0].known {
		t.Fatal("the row is not known")
	}
	if err := r.Delete(ctx, "x", first.ID); err != nil {
		t.Fatal(err)
	}
	k := &keeper{r: r, p: &importParams{By: "x"}, cursor: &importCursor{}, seen: newSeen()}
	var result ImportResult
	var report []Outcome
	err = s.Update(ctx, func(tx *store.Tx) (err error) {
		report, err = k.rows(tx, b, &result)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Created != 1 || len(report) != 1 || report[0].Contact != 9 || len(report[0].PossibleDuplicates) != 1 || report[0].PossibleDuplicates[0] != twin.ID {
		t.Errorf("%+v %+v", result, report)
	}
	if got, err := r.Get(ctx, 9); err != nil || got.Contact != c {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.View(ctx, func(tx *store.Tx) error { return r.free(tx, 0, &c) }); err == nil {
		t.Error("the contact is not known by its external id")
	}
}
