package quality

import (
	"encoding/csv"
	"os"
	"strings"
	"testing"
	"time"

	"ihyid/contacts"
)

// readFEBRL reads a FEBRL data set as two lists, originals and duplicates, with three fields or with five (the number for social
// security and the suburb too). Each original has its first duplicate only: two lists of different people.
func readFEBRL(t testing.TB, file string, five bool) lists {
	t.Helper()
	f, err := os.Open(sharedData(t, "febrl", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.TrimLeadingSpace = true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[strings.TrimSpace(name)] = i
	}
	var l lists
	original, seen := map[string]int{}, map[string]bool{}
	contact := func(row []string) contacts.Contact {
		get := func(name string) string { return strings.TrimSpace(row[column[name]]) }
		c := contacts.Contact{FirstName: get("given_name"), LastName: get("surname")}
		if d := get("date_of_birth"); len(d) == 8 {
			// Slips made days such as 1924-05-82: they stay as they are, as an import that accepts everything would have it.
			c.DateOfBirth = d[:4] + "-" + d[4:6] + "-" + d[6:]
		}
		if five {
			c.NationalID, c.Location = get("soc_sec_id"), get("suburb")
		}
		return c
	}
	for _, row := range rows[1:] {
		if id := strings.Split(row[0], "-"); id[2] == "org" {
			original[id[1]] = len(l.a)
			l.a = append(l.a, contact(row))
		}
	}
	for _, row := range rows[1:] {
		if id := strings.Split(row[0], "-"); id[2] == "dup" && !seen[id[1]] {
			seen[id[1]] = true
			l.truth = append(l.truth, [2]int{original[id[1]], len(l.b)})
			l.b = append(l.b, contact(row))
		}
	}
	return l
}

func TestFEBRL(t *testing.T) {
	for _, file := range []string{"dataset1.csv", "dataset2.csv"} {
		for _, five := range []bool{false, true} {
			l := readFEBRL(t, file, five)
			what := file + ", 3 fields"
			if five {
				what = file + ", 5 fields"
			}
			e := evaluate(t, "latin/1", l)
			log(t, what, "latin/1", len(l.a), e)
			atLeast(t, what+", precision", e.Match.Precision, .999)
			if five {
				atLeast(t, what+", recall", e.Match.Recall, .95)
			} else {
				atLeast(t, what+", recall", e.Match.Recall, .75)
			}
		}
	}
}

// Strangers with names of FEBRL: how many are taken for one another as lists grow.
func TestFEBRLStrangers(t *testing.T) {
	l := readFEBRL(t, "dataset2.csv", false)
	for _, n := range []int{5_000, 20_000} {
		r := newRand(uint64(n))
		stranger := func() contacts.Contact {
			return contacts.Contact{
				FirstName: l.a[r.IntN(len(l.a))].FirstName, LastName: l.a[r.IntN(len(l.a))].LastName,
				DateOfBirth: time.Date(1900+r.IntN(100), 1, 1+r.IntN(365), 0, 0, 0, 0, time.UTC).Format(time.DateOnly),
			}
		}
		var s lists
		for range n {
			s.a, s.b = append(s.a, stranger()), append(s.b, stranger())
		}
		e := evaluate(t, "latin/1", s)
		t.Logf("%d × %d strangers under latin/1: %d taken for a match, %d for a possible one", n, n, e.Match.FalsePositives, e.Review.FalsePositives-e.Match.FalsePositives)
		atLeast(t, "share of strangers left apart", 1-float64(e.Match.FalsePositives)/float64(n), .998)
	}
}

func TestSplink(t *testing.T) {
	f, err := os.Open(sharedData(t, "splink", "fake_1000.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var list []contacts.Contact
	var clusters []string
	for _, r := range rows[1:] {
		c := contacts.Contact{FirstName: r[1], LastName: r[2], DateOfBirth: r[3], Location: r[4]}
		c.Clean()
		list = append(list, c)
		clusters = append(clusters, r[6])
	}
	var truth [][2]int
	for i := range clusters {
		for j := i + 1; j < len(clusters); j++ {
			if clusters[i] == clusters[j] {
				truth = append(truth, [2]int{i, j})
			}
		}
	}
	e := evaluateDuplicates(t, "latin/1", list, truth)
	log(t, "splink, duplicates", "latin/1", len(list), e)
	atLeast(t, "precision", e.Match.Precision, .98)
	atLeast(t, "review recall", e.Review.Recall, .35)
}
