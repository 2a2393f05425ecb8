package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

// TestAccompany: what goes along is durable with the first change of its context, once, and not without it.
func TestAccompany(t *testing.T) {
	s := newStoreAt(t, filepath.Join(t.TempDir(), "db"), Options{})
	defer s.Close()
	c := NewCollection[string](s, "things", 1)
	runs := 0
	ctx := Accompany(t.Context(), func(tx *Tx) error {
		runs++
		return c.Put(tx, []byte("along"), "x")
	})
	change := func(ctx context.Context, key string, fails error) error {
		return s.Update(ctx, func(tx *Tx) error { return errors.Join(c.Put(tx, []byte(key), "x"), fails) })
	}
	has := func(key string) (there bool) {
		if err := s.View(t.Context(), func(tx *Tx) (err error) { there, err = c.Has(tx, []byte(key)); return err }); err != nil {
			t.Fatal(err)
		}
		return there
	}
	no := errors.New("no")
	if err := change(ctx, "a", no); !errors.Is(err, no) || runs != 0 || has("along") {
		t.Errorf("a change that failed: %v, %d", err, runs)
	}
	if err := s.Update(ctx, func(*Tx) error { return nil }); err != nil || runs != 0 {
		t.Errorf("an update that changes nothing: %v, %d", err, runs)
	}
	if err := change(Accompany(ctx, nil), "b", nil); err != nil || runs != 0 {
		t.Errorf("a change that goes alone: %v, %d", err, runs)
	}
	for _, key := range []string{"c", "d"} {
		if err := change(ctx, key, nil); err != nil || runs != 1 || !has("along") {
			t.Errorf("a change: %v, %d", err, runs)
		}
	}
	failing := Accompany(t.Context(), func(*Tx) error {
		if runs++; runs == 2 {
			return no
		}
		return nil
	})
	if err := change(failing, "e", nil); !errors.Is(err, no) || has("e") {
		t.Errorf("a companion that fails: %v", err)
	}
	if err := change(failing, "e", nil); err != nil || runs != 3 || !has("e") {
		t.Errorf("and goes along with the next: %v, %d", err, runs)
	}
}
