package demo

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"io/fs"

	"ihyid/contacts"
	"ihyid/contacts/list"
	"ihyid/examples"
	"ihyid/exchange"
)

// truth is what the results are held against: who truly is the same person, and what a direct comparison of two lists under the
// profile gives, which an exchange must give too.
type truth struct {
	pairs   map[[2]string]map[[2]string]bool // by two lists: pairs of external ids
	digests map[string]*contacts.Digests     // by list
	ids     map[string][]string              // external ids by list, in the order of digests
	profile *contacts.Profile
	floor   floor
}

// floor is the least that a profile must reach on the example lists.
type floor struct{ recall, precision float64 }

// floors by profile: measured, less a small margin.
var floors = map[string]floor{
	"soundex/1": {recall: 0.15, precision: 0.99},
	"levant/1":  {recall: 0.92, precision: 0.99},
}

func readTruth(profile string) (truth, error) {
	t := truth{pairs: map[[2]string]map[[2]string]bool{}, digests: map[string]*contacts.Digests{}, ids: map[string][]string{}, floor: floors[profile]}
	var err error
	if t.profile, err = contacts.BuiltinProfile(profile); err != nil {
		return t, err
	}
	raw, err := fs.ReadFile(examples.FS(), examples.TruthFile)
	if err != nil {
		return t, err
	}
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		return t, err
	}
	for _, row := range rows[1:] {
		if len(row) != 4 {
			return t, fmt.Errorf("a row of %d columns in the truth file", len(row))
		}
		lists := [2]string{row[0], row[2]}
		if t.pairs[lists] == nil {
			t.pairs[lists] = map[[2]string]bool{}
		}
		t.pairs[lists][[2]string{row[1], row[3]}] = true
	}
	for _, org := range examples.Organisations() {
		if err := t.encode(org); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (t *truth) encode(org examples.Organisation) error {
	raw, err := org.List()
	if err != nil {
		return err
	}
	rows, err := list.NewReader(bytes.NewReader(raw), list.ReaderOptions{})
	if err != nil {
		return err
	}
	seen := map[contacts.Contact]bool{}
	var all []contacts.Contact
	for {
		row, err := rows.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if row.Err == nil && !seen[row.Contact] {
			seen[row.Contact] = true
			all = append(all, row.Contact)
			t.ids[org.ID] = append(t.ids[org.ID], row.Contact.ExternalID)
		}
	}
	t.digests[org.ID], err = contacts.EncodeAll(context.Background(), t.profile, all, nil)
	return err
}

// judge holds what both sides of an exchange found against the direct comparison, and against the truth.
func (t *truth) judge(a, b string, mine, theirs []exchange.Match, wrong func(string, ...any)) PairResult {
	pairs, err := contacts.Match(context.Background(), t.profile, t.digests[a], t.digests[b], nil)
	if err != nil {
		wrong("comparing the lists %s and %s: %v", a, b, err)
		return PairResult{}
	}
	wantA, wantB := map[string]contacts.Tier{}, map[string]contacts.Tier{}
	trueFound := map[[2]string]bool{}
	truePairs := t.pairs[[2]string{a, b}]
	matched := map[string]bool{} // contacts of a in common
	rightly := map[string]bool{}
	for _, p := range pairs {
		ids := [2]string{t.ids[a][p.A], t.ids[b][p.B]}
		wantA[ids[0]], wantB[ids[1]] = max(wantA[ids[0]], p.Tier), max(wantB[ids[1]], p.Tier)
		if p.Tier != contacts.TierMatch {
			continue
		}
		matched[ids[0]] = true
		if truePairs[ids] {
			trueFound[ids], rightly[ids[0]] = true, true
		}
	}
	compare(a, wantA, mine, wrong)
	compare(b, wantB, theirs, wrong)
	r := PairResult{True: len(truePairs), Recall: ratio(len(trueFound), len(truePairs)), Precision: ratio(len(rightly), len(matched))}
	if r.Recall < t.floor.recall || r.Precision < t.floor.precision {
		wrong("%s and %s: recall %.3f and precision %.3f are below what the profile reaches on these lists (%.2f, %.2f)",
			a, b, r.Recall, r.Precision, t.floor.recall, t.floor.precision)
	}
	return r
}

func compare(name string, want map[string]contacts.Tier, got []exchange.Match, wrong func(string, ...any)) {
	found := map[string]contacts.Tier{}
	for _, m := range got {
		tier := contacts.TierPossible
		if m.Tier == contacts.TierMatch.String() {
			tier = contacts.TierMatch
		}
		found[m.ExternalID] = max(found[m.ExternalID], tier)
	}
	differ := 0
	for id, tier := range want {
		if found[id] != tier {
			differ++
		}
	}
	for id := range found {
		if _, ok := want[id]; !ok {
			differ++
		}
	}
	if differ > 0 {
		wrong("%s: the exchange gives another result than a direct comparison of the lists, for %d contacts", name, differ)
	}
}

func ratio(part, whole int) float64 {
	if whole == 0 {
		return 1
	}
	return float64(part) / float64(whole)
}
