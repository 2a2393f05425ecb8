package register_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"ihyid/contacts"
	"ihyid/exchange/register"
	"ihyid/test/lists"
)

// TestDuplicatesOfList holds the pairs of an imported list against a comparison of every two contacts that share a match digest: all that match are kept, and of the
// possible ones those that are alike when both are looked at.
func TestDuplicatesOfList(t *testing.T) {
	ctx := context.Background()
	n := open(t, t.TempDir(), "levant/1")
	defer n.close()
	var list bytes.Buffer
	check(t, lists.WriteCSV(&list, lists.Options{N: 3000, Seed: 5}))
	job, err := n.StartImport(ctx, &list, register.ImportOptions{}, "local")
	check(t, err)
	result := n.await(t, job.ID)

	all, err := n.List(ctx, 0, 1<<20)
	check(t, err)
	byID := map[uint64]*contacts.Contact{}
	sharing := map[[32]byte][]uint64{}
	keyOf := map[[32]byte]uint8{}
	encoder := n.Profile().NewEncoder()
	for i := range all {
		byID[all[i].ID] = &all[i].Contact
		for _, d := range encoder.Digests(nil, &all[i].Contact) {
			sharing[d.Digest], keyOf[d.Digest] = append(sharing[d.Digest], all[i].ID), d.Key
		}
	}
	agreed := map[[2]uint64]uint32{}
	crowded := map[[2]uint64]bool{} // pairs that also share a digest with so many others that it says nothing
	for d, ids := range sharing {
		for i, a := range ids {
			for _, b := range ids[i+1:] {
				if p := [2]uint64{a, b}; len(ids) > 9 {
					crowded[p] = true
				} else {
					agreed[p] |= 1 << keyOf[d]
				}
			}
		}
	}
	kept := map[[2]uint64]string{}
	for after := ""; ; {
		pairs, err := n.Duplicates(ctx, after, 1000)
		check(t, err)
		if len(pairs) == 0 {
			break
		}
		for _, p := range pairs {
			kept[[2]uint64{p.A.ID, p.B.ID}] = p.Tier
			if p.Tier == contacts.TierPossible.String() && p.Score < 0.65 {
				t.Errorf("pair %s is only possible and scores %.2f", p.ID, p.Score)
			}
		}
		after = pairs[len(pairs)-1].ID
	}
	unlikely, found := 0, 0
	for p, keys := range agreed {
		tier := n.Profile().Tier(keys)
		switch {
		case tier == contacts.TierNone || crowded[p]:
		case tier == contacts.TierPossible && contacts.Compare(byID[p[0]], byID[p[1]]).Score < 0.65:
			unlikely++
			if _, there := kept[p]; there {
				t.Errorf("%v is kept", p)
			}
		default:
			found++
			if kept[p] != tier.String() {
				t.Errorf("%v: %q, should be %s", p, kept[p], tier)
			}
		}
	}
	// Both the import and a comparison of all say how many were left out.
	anew, err := n.StartFind(ctx)
	check(t, err)
	n.await(t, anew.ID)
	done, err := n.queue.Get(ctx, anew.ID)
	check(t, err)
	var again register.FindResult
	check(t, json.Unmarshal(done.Result, &again))
	if result.LeftOut != uint64(unlikely) || again.LeftOut != uint64(unlikely) || again.Open != uint64(found) {
		t.Errorf("%d left out by the import, %+v by comparing all; %d and %d should be", result.LeftOut, again, unlikely, found)
	}
	if unlikely == 0 || found == 0 {
		t.Fatalf("%d pairs to be kept and %d to be left out: the list shows nothing", found, unlikely)
	}
}
