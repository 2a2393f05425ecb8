package replay_test

import (
	"path/filepath"
	"testing"
	"time"

	"ihyid/api/replay"
	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/kms/file"
	"ihyid/store"
)

// Answers that tell of contacts go with the contacts, and every answer when it is too old, asked for or not.
func TestForgets(t *testing.T) {
	dir := t.TempDir()
	keys, err := file.Create(filepath.Join(dir, "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	s, err := store.Create(t.Context(), filepath.Join(dir, "node.db"), store.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	m := replay.New(s, func() time.Time { return now })
	begin := func(operation string) (*replay.Answer, func(*replay.Answer) error) {
		t.Helper()
		before, done, err := m.Begin(t.Context(), "1", operation, "k", []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		return before, done
	}
	keep := func(operation string, personal bool) {
		t.Helper()
		before, done := begin(operation)
		if before != nil {
			t.Fatalf("%s was remembered", operation)
		}
		if err := done(&replay.Answer{Status: 201, Body: []byte("{}"), Personal: personal}); err != nil {
			t.Fatal(err)
		}
	}
	change := func(c register.Change) {
		t.Helper()
		if err := s.Update(t.Context(), func(tx *store.Tx) error { return m.ContactsChanged(tx, "1", []register.Change{c}) }); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n uint64) {
		t.Helper()
		if err := s.View(t.Context(), func(tx *store.Tx) (err error) {
			n, err = store.NewCollection[replay.Answer](s, "idempotency", 1).Len(tx)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	keep("contacts-create", true)
	keep("peers-add", false)
	change(register.Change{ID: 7, Before: &contacts.Contact{}, After: &contacts.Contact{}})
	if n := count(); n != 2 {
		t.Errorf("after a change %d are kept", n)
	}
	change(register.Change{ID: 7, Before: &contacts.Contact{}, Erased: true})
	if n := count(); n != 1 {
		t.Errorf("after an erasure %d are kept", n)
	}
	// One that was under way while a contact went is not kept.
	_, done := begin("contacts-create")
	change(register.Change{ID: 8, Before: &contacts.Contact{}, Erased: true})
	if err := done(&replay.Answer{Status: 201, Body: []byte("{}"), Personal: true}); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 {
		t.Errorf("after an erasure meanwhile %d are kept", n)
	}
	now = now.Add(replay.Age)
	keep("exchanges-start", false)
	if n := count(); n != 1 {
		t.Errorf("a day later %d are kept", n)
	}
}
