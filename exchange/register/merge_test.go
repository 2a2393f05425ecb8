package register_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ihyid/contacts"
	"ihyid/exchange/register"
)

const twoLists = `first_name,last_name,mother_first_name,father_first_name,date_of_birth,phone,location,external_id
Houman,Haddad,Barbara,Michael,1976-05-07,+963 1,Homs,A-1
Hooman,Hadad,Barbara,Michael,1976-05-07,+963 2,,A-2
Lina,Khoury,Nadia,Samir,1988-11-30,,,A-3
`

func TestDecisionsStay(t *testing.T) {
	ctx := t.Context()
	n := open(t, t.TempDir(), "levant/1")
	defer n.close()
	result, rows := n.importCSV(t, twoLists, register.ImportOptions{})
	if result.PossibleDuplicates != 1 || len(rows) != 1 || fmt.Sprint(rows[0].PossibleDuplicates) != "[1]" {
		t.Fatalf("%+v %+v", result, rows)
	}
	pairs, err := n.Duplicates(ctx, "", 10)
	check(t, err)
	if len(pairs) != 1 || pairs[0].ID != "1-2" || pairs[0].Score < 0.8 || len(pairs[0].Fields) == 0 || len(pairs[0].Keys) == 0 {
		t.Fatalf("%+v", pairs)
	}
	d, err := n.Decide(ctx, "1-2", register.Different, "amal")
	check(t, err)
	if d.Verdict != register.Different || d.By != "amal" || d.At.IsZero() {
		t.Errorf("%+v", d)
	}
	// Neither importing again, nor changing by a list or by hand, asks again.
	n.importCSV(t, twoLists, register.ImportOptions{})
	n.importCSV(t, strings.ReplaceAll(twoLists, "Michael", "Mikhael"), register.ImportOptions{Update: true})
	_, asked, err := n.Update(ctx, 2, 0, register.Patch{contacts.FirstName: "Houmann"}, "x")
	check(t, err)
	if open := n.openPairs(t); len(open) != 0 || len(asked) != 0 {
		t.Errorf("asked again about %v %v", open, asked)
	}
	// It can be reconsidered, and both rulings are kept.
	_, err = n.Decide(ctx, "1-2", register.Open, "rana")
	check(t, err)
	if open := n.openPairs(t); fmt.Sprint(open) != "[1-2]" {
		t.Errorf("open: %v", open)
	}
	_, err = n.Decide(ctx, "1-2", register.Same, "rana")
	check(t, err)
	all, err := n.Decisions(ctx, "", 10)
	check(t, err)
	if len(all) != 1 || all[0].ID != "1-2" || all[0].Verdict != register.Same || len(all[0].Earlier) != 2 || all[0].Earlier[0].By != "amal" {
		t.Errorf("%+v", all)
	}
	for _, bad := range []string{"", "1", "2-1x", "1-1", "1-99", "-1-2"} {
		if _, err := n.Decide(ctx, bad, register.Same, "x"); !errors.Is(err, register.ErrNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := n.Decide(ctx, "1-2", "maybe", "x"); !errors.Is(err, register.ErrVerdict) {
		t.Errorf("%v", err)
	}
	// With the contact goes what was decided about it.
	check(t, n.Delete(ctx, "x", 2))
	if all, err := n.Decisions(ctx, "", 10); err != nil || len(all) != 0 {
		t.Errorf("%+v %v", all, err)
	}
}

func TestMergeAndUndo(t *testing.T) {
	ctx := t.Context()
	n := open(t, t.TempDir(), "levant/1")
	defer n.close()
	n.importCSV(t, twoLists, register.ImportOptions{})
	one, err := n.Get(ctx, 1)
	check(t, err)
	two, err := n.Get(ctx, 2)
	check(t, err)
	m, err := n.Merge(ctx, "1-2", map[contacts.Field]uint64{contacts.Phone: 2}, "amal")
	check(t, err)
	if m.ID != 4 || m.FirstName != "Houman" || m.Phone != "+963 2" || m.Location != "Homs" || m.ExternalID != "A-1" || fmt.Sprint(m.Originals) != "[1 2]" {
		t.Fatalf("%+v", m)
	}
	var merged *register.MergedError
	if _, err := n.Get(ctx, 2); !errors.As(err, &merged) || merged.Into != 4 || !errors.Is(err, register.ErrNotFound) {
		t.Errorf("an original: %v", err)
	}
	if count, err := n.Count(ctx); err != nil || count != 2 || len(n.openPairs(t)) != 0 {
		t.Errorf("%d contacts, %v, open %v", count, err, n.openPairs(t))
	}
	// The same list again finds both in the merged contact, and adds nothing.
	result, rows := n.importCSV(t, twoLists, register.ImportOptions{Update: true})
	if result.Duplicates != 3 || result.Created+result.Updated != 0 || rows[0].Contact != 4 || rows[1].Contact != 4 {
		t.Errorf("%+v %+v", result, rows)
	}
	// What a list says anew goes into the original, and on where the merged contact has that one's value.
	changed := strings.NewReplacer("+963 1", "+963 11", "+963 2", "+963 22", "Homs", "Hama").Replace(twoLists)
	result, rows = n.importCSV(t, changed, register.ImportOptions{Update: true})
	if result.Updated != 2 || result.Duplicates != 1 || fmt.Sprint(rows[0].Changed) != "[phone location]" {
		t.Errorf("%+v %+v", result, rows)
	}
	m, err = n.Get(ctx, 4)
	check(t, err)
	if m.Phone != "+963 22" || m.Location != "Hama" {
		t.Errorf("%+v", m)
	}
	// Somebody who resembles the spelling that was not taken resembles the merged contact.
	c, pairs, err := n.Create(ctx, with(with(two.Contact, contacts.ExternalID, "Z-1"), contacts.Phone, ""), "x")
	check(t, err)
	if len(pairs) != 1 || pairs[0].A.ID != 4 || pairs[0].B.ID != c.ID {
		t.Errorf("%+v", pairs)
	}
	if _, _, err := n.Create(ctx, with(two.Contact, contacts.LastName, "X"), "x"); !errors.Is(err, register.ErrExists) || !strings.Contains(err.Error(), "contact 4") {
		t.Errorf("the external id of an original: %v", err)
	}
	// A second merge, and no undoing below it.
	m2, err := n.Merge(ctx, pairs[0].ID, nil, "rana")
	check(t, err)
	if _, err := n.Undo(ctx, 4, false, "x"); !errors.Is(err, register.ErrMerged) {
		t.Errorf("%v", err)
	}
	// A change that comes by a list goes up through both merges.
	n.importCSV(t, strings.ReplaceAll(changed, "Hama", "Idlib"), register.ImportOptions{Update: true})
	if got, err := n.Get(ctx, m2.ID); err != nil || got.Location != "Idlib" {
		t.Errorf("%+v %v", got, err)
	}
	// What was edited since is not thrown away unasked.
	_, _, err = n.Update(ctx, m2.ID, 0, register.Patch{contacts.Sex: "M"}, "x")
	check(t, err)
	var edited *register.EditedError
	if _, err := n.Undo(ctx, m2.ID, false, "x"); !errors.As(err, &edited) || fmt.Sprint(edited.Fields) != "[sex]" {
		t.Errorf("%v", err)
	}
	back, err := n.Undo(ctx, m2.ID, true, "rana")
	check(t, err)
	if len(back) != 2 || back[0].ID != 4 || back[1].ID != c.ID || back[0].Location != "Idlib" || back[0].Sex != "" {
		t.Errorf("%+v", back)
	}
	if open := n.openPairs(t); len(open) != 1 {
		t.Errorf("the pair is not open again: %v", open)
	}
	back, err = n.Undo(ctx, 4, false, "rana")
	check(t, err)
	if back[0].Phone != "+963 11" || back[0].Location != "Idlib" || back[1].Phone != "+963 22" || back[0].FirstName != one.FirstName || back[1].FirstName != two.FirstName {
		t.Errorf("%+v", back)
	}
	if _, err := n.Undo(ctx, 1, false, "x"); !errors.Is(err, register.ErrNotMerged) {
		t.Errorf("%v", err)
	}
	if _, err := n.Undo(ctx, 4, false, "x"); !errors.Is(err, register.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if open := fmt.Sprint(n.openPairs(t)); open != fmt.Sprintf("[1-2 1-%d 2-%d]", c.ID, c.ID) && !strings.Contains(open, "1-2") {
		t.Errorf("open: %s", open)
	}
	check(t, n.store.Check(ctx))
}

// TestDeleteMerged deletes a merged contact: its originals go too, and neither undoing nor the same list finds anything of them.
func TestDeleteMerged(t *testing.T) {
	ctx := t.Context()
	n := open(t, t.TempDir(), "levant/1")
	defer n.close()
	n.importCSV(t, twoLists, register.ImportOptions{})
	m, err := n.Merge(ctx, "1-2", nil, "x")
	check(t, err)
	check(t, n.Delete(ctx, "x", m.ID))
	if _, err := n.Undo(ctx, m.ID, true, "x"); !errors.Is(err, register.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := n.Get(ctx, 1); !errors.Is(err, register.ErrNotFound) || errors.Is(err, register.ErrMerged) {
		t.Errorf("%v", err)
	}
	result, _ := n.importCSV(t, twoLists, register.ImportOptions{})
	if result.Created != 2 || result.Duplicates != 1 {
		t.Errorf("%+v", result)
	}
}
