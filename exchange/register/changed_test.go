package register_test

import (
	"slices"
	"testing"

	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/store"
)

// TestChangedSince shows what the log says, and when it does not know.
func TestChangedSince(t *testing.T) {
	n := open(t, t.TempDir(), "levant/1")
	defer n.close()
	ctx := t.Context()
	since := func(seq uint64) (ids []uint64, known bool, now uint64) {
		t.Helper()
		check(t, n.store.View(ctx, func(tx *store.Tx) (err error) {
			if ids, known, err = n.ChangedSince(tx, seq); err != nil {
				return err
			}
			now, err = n.Sequence(tx)
			return err
		}))
		return ids, known, now
	}
	if ids, known, now := since(0); !known || len(ids) != 0 || now != 0 {
		t.Errorf("nothing was changed: %v %v %d", ids, known, now)
	}
	n.importCSV(t, twoLists, register.ImportOptions{})
	ids, known, imported := since(0)
	if !known || !slices.Equal(ids, []uint64{1, 2, 3}) || imported == 0 {
		t.Errorf("%v %v %d", ids, known, imported)
	}
	check(t, n.Delete(ctx, "x", 3))
	m, err := n.Merge(ctx, "1-2", nil, "x")
	check(t, err)
	if ids, known, now := since(imported); !known || !slices.Equal(ids, []uint64{1, 2, 3, m.ID}) || now != imported+2 {
		t.Errorf("%v %v %d", ids, known, now)
	}
	if ids, known, _ = since(imported + 1); !known || !slices.Equal(ids, []uint64{1, 2, m.ID}) {
		t.Errorf("%v %v", ids, known)
	}
	if _, known, _ = since(imported + 3); known {
		t.Error("the log knows what is still to come")
	}
	// An aborted transaction leaves no gap.
	if err := n.Delete(ctx, "x", m.ID, 99); err == nil {
		t.Error("a contact that is not there was deleted")
	}
	if _, _, err := n.Create(ctx, with(houman, contacts.ExternalID, "B-1"), "x"); err != nil {
		t.Error(err)
	}
	if ids, known, _ = since(imported + 2); !known || len(ids) != 1 {
		t.Errorf("%v %v", ids, known)
	}
	log := store.NewCollection[[]byte](n.store, "changed", 1)
	check(t, n.store.Update(ctx, func(tx *store.Tx) error { return log.Delete(tx, store.ID(imported+1)) }))
	if _, known, _ = since(imported); known {
		t.Error("the log knows what it has forgotten")
	}
	if ids, known, _ = since(imported + 1); !known || len(ids) != 4 {
		t.Errorf("%v %v", ids, known)
	}
}
