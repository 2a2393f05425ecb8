package contacts

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCompare(t *testing.T) {
	base := Contact{FirstName: "Muhammad", LastName: "Al-Khatib", MotherFirstName: "Fatima", FatherFirstName: "Hassan", DateOfBirth: "1980-03-05", Sex: "M", NationalID: "0102030405"}
	with := func(change func(*Contact)) Contact { c := base; change(&c); return c }
	for _, tc := range []struct {
		name     string
		b        Contact
		min, max float64
		field    string
		want     Agreement
		note     string
	}{
		{"same", base, .94, 1, "first_name", Same, ""},
		{"other script", with(func(c *Contact) { c.FirstName, c.LastName = "محمد", "الخطيب" }), .9, 1, "last_name", Alike, "sounds alike"},
		{"accents", with(func(c *Contact) { c.LastName = "AL KHATÎB" }), .94, 1, "last_name", Same, "capitals"},
		{"swapped names", with(func(c *Contact) { c.FirstName, c.LastName = c.LastName, c.FirstName }), .85, 1, "first_name", Alike, "changed about"},
		{"swapped date", with(func(c *Contact) { c.DateOfBirth = "1980-05-03" }), .88, 1, "date_of_birth", Alike, "day and month"},
		{"placeholder", with(func(c *Contact) { c.DateOfBirth = "1980-01-01" }), .85, 1, "date_of_birth", Alike, "1 January"},
		{"digit", with(func(c *Contact) { c.DateOfBirth = "1980-03-06" }), .85, 1, "date_of_birth", Alike, "one digit"},
		{"id", with(func(c *Contact) { c.NationalID = "0102030406" }), .8, 1, "national_id", Alike, "one character"},
		{"no mother", with(func(c *Contact) { c.MotherFirstName = "" }), .93, 1, "mother_first_name", Missing, ""},
		{"sibling", with(func(c *Contact) { c.FirstName, c.DateOfBirth, c.NationalID = "Zainab", "1984-10-20", "0102088888" }), 0, .6, "first_name", Different, ""},
		{"stranger", Contact{FirstName: "Zainab", LastName: "Najjar", MotherFirstName: "Huda", FatherFirstName: "Omar", DateOfBirth: "1999-12-20", Sex: "F", NationalID: "7777123"}, 0, .3, "last_name", Different, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Compare(&base, &tc.b)
			if c.Score < tc.min || c.Score > tc.max {
				t.Errorf("score %.3f, want %.2f to %.2f: %+v", c.Score, tc.min, tc.max, c.Fields)
			}
			for _, f := range c.Fields {
				if f.Field == tc.field && (f.Agreement != tc.want || !strings.Contains(f.Note, tc.note)) {
					t.Errorf("%+v, want %s (%s)", f, tc.want, tc.note)
				}
			}
		})
	}
}

func TestCompareIsSymmetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawContact(t), drawContact(t)
		x, y := Compare(&a, &b), Compare(&b, &a)
		if x.Score != y.Score || x.Score < 0 || x.Score > 1 {
			t.Fatalf("%.3f and %.3f", x.Score, y.Score)
		}
	})
}

func TestCompareIsBounded(t *testing.T) {
	a := Contact{FirstName: strings.Repeat("ab", 100_000), NationalID: strings.Repeat("1", 100_000)}
	b := Contact{FirstName: strings.Repeat("ba", 100_000), NationalID: strings.Repeat("2", 100_000)}
	Compare(&a, &b)
}

func TestRankDuplicates(t *testing.T) {
	list := []Contact{{FirstName: "Ali", LastName: "Omar"}, {FirstName: "Ali", LastName: "Amr"}, {FirstName: "Ali", LastName: "Omar"}}
	ranked := RankDuplicates(list, []Pair{{A: 0, B: 1}, {A: 0, B: 2}})
	if len(ranked) != 2 || ranked[0].B != 2 || ranked[0].Comparison.Score <= ranked[1].Comparison.Score {
		t.Errorf("%+v", ranked)
	}
}
