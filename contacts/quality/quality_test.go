package quality

import (
	"context"
	"encoding/csv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ihyid/contacts"
	"ihyid/contacts/list"
)

// lists are two lists and their truth.
type lists struct {
	a, b  []contacts.Contact
	truth [][2]int
}

// evaluate matches two lists under a profile.
func evaluate(t testing.TB, profile string, l lists) contacts.Evaluation {
	t.Helper()
	p, err := contacts.BuiltinProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	a, err := contacts.EncodeAll(ctx, p, l.a, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := contacts.EncodeAll(ctx, p, l.b, nil)
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := contacts.Match(ctx, p, a, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return contacts.Evaluate(pairs, l.truth)
}

func log(t testing.TB, what, profile string, n int, e contacts.Evaluation) {
	t.Logf("%-28s %-10s %6d contacts: match recall %.4f precision %.4f (%d wrong)   with review recall %.4f precision %.4f",
		what, profile, n, e.Match.Recall, e.Match.Precision, e.Match.FalsePositives, e.Review.Recall, e.Review.Precision)
}

// atLeast fails the test if a figure fell below what was once reached.
func atLeast(t testing.TB, what string, got, want float64) {
	t.Helper()
	if got < want {
		t.Errorf("%s: %.4f, want %.4f or more", what, got, want)
	}
}

// readList reads a list in the import format; rows in error are left out, as an import does.
func readList(t testing.TB, path string) ([]contacts.Contact, map[string]int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := list.NewReader(f, list.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var all []contacts.Contact
	place := map[string]int{}
	for {
		row, err := r.Next()
		if err != nil {
			break
		}
		if row.Err == nil {
			place[row.Contact.ExternalID] = len(all)
			all = append(all, row.Contact)
		}
	}
	return all, place
}

func readRegister(t testing.TB, name string) lists {
	t.Helper()
	var l lists
	var inA, inB map[string]int
	l.a, inA = readList(t, sharedData(t, "registers", name, "a.csv"))
	l.b, inB = readList(t, sharedData(t, "registers", name, "b.csv"))
	f, err := os.Open(sharedData(t, "registers", name, "truth.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows[1:] {
		a, okA := inA[r[0]]
		b, okB := inB[r[1]]
		if !okA || !okB {
			a, b = -1, -1-len(l.truth) // a row that the import refused is a pair that cannot be found
		}
		l.truth = append(l.truth, [2]int{a, b})
	}
	return l
}

func TestLevantRegisters(t *testing.T) {
	for _, name := range []string{"levant-5k", "levant-20k"} {
		l := readRegister(t, name)
		for _, profile := range []string{"soundex/1", "levant/1"} {
			e := evaluate(t, profile, l)
			log(t, name, profile, len(l.a), e)
			if profile == "levant/1" {
				atLeast(t, name+" match recall", e.Match.Recall, .92)
				atLeast(t, name+" match precision", e.Match.Precision, .995)
				atLeast(t, name+" review recall", e.Review.Recall, .97)
			}
		}
	}
}

// namesOf reads the measuring tables as names to simulate with.
func namesOf(t testing.TB) Names {
	t.Helper()
	read := func(file string) []Name {
		var names []Name
		for _, r := range readNames(t, file) {
			names = append(names, Name{r.arabic, r.latin})
		}
		return names
	}
	return Names{Female: read("given_female.tsv"), Male: read("given_male.tsv"), Family: read("family_aliases.tsv")}
}

func TestLevantSimulated(t *testing.T) {
	names := namesOf(t)
	sizes := []int{20_000, 100_000}
	if testing.Short() {
		sizes = sizes[:1]
	}
	for _, n := range sizes {
		s := Simulate(names, n, 3)
		e := evaluate(t, "levant/1", lists{s.A, s.B, s.Truth})
		log(t, "simulated, measuring names", "levant/1", len(s.A), e)
		atLeast(t, "match recall", e.Match.Recall, .88)
		atLeast(t, "match precision", e.Match.Precision, .99)
	}
}

type nameRow struct {
	arabic string
	latin  []string
}

func readNames(t testing.TB, files ...string) []nameRow {
	t.Helper()
	var rows []nameRow
	for _, f := range files {
		text, err := os.ReadFile(sharedData(t, "names", f))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if a, l, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
				rows = append(rows, nameRow{a, strings.Split(l, "|")})
			}
		}
	}
	return rows
}

// evaluateDuplicates looks for the duplicates of one list.
func evaluateDuplicates(t testing.TB, profile string, all []contacts.Contact, truth [][2]int) contacts.Evaluation {
	t.Helper()
	p, err := contacts.BuiltinProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	d, err := contacts.EncodeAll(context.Background(), p, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := contacts.Duplicates(context.Background(), p, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return contacts.Evaluate(pairs, truth)
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 2)) }

// Names in Latin and Cyrillic script, simulated the way of the Levant: the most frequent names of the measuring pairs as first names.
func TestCyrillicSimulated(t *testing.T) {
	text, err := os.ReadFile(sharedData(t, "pairs", "wikidata_russian.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*Name{}
	count := map[string]int{}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		cyrillic := strings.ReplaceAll(f[1], " ", "")
		if byName[cyrillic] == nil {
			byName[cyrillic] = &Name{Arabic: cyrillic}
		}
		byName[cyrillic].Latin = append(byName[cyrillic].Latin, f[0])
		n, _ := strconv.Atoi(f[2])
		count[cyrillic] += n
	}
	var all []string
	for name := range byName {
		if len(name) >= 4 {
			all = append(all, name)
		}
	}
	slices.SortFunc(all, func(x, y string) int {
		if count[x] != count[y] {
			return count[y] - count[x]
		}
		return strings.Compare(x, y)
	})
	var names Names
	for i, name := range all {
		switch {
		case i < 400 && i%2 == 0:
			names.Male = append(names.Male, *byName[name])
		case i < 400:
			names.Female = append(names.Female, *byName[name])
		case i < 5000:
			names.Family = append(names.Family, *byName[name])
		}
	}
	s := Simulate(names, 20_000, 4)
	e := evaluate(t, "cyrillic/1", lists{s.A, s.B, s.Truth})
	log(t, "simulated, Russian", "cyrillic/1", len(s.A), e)
	atLeast(t, "match recall", e.Match.Recall, .8)
	atLeast(t, "match precision", e.Match.Precision, .99)
}
