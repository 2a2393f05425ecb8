package quality

import (
	"context"
	"errors"
	"testing"

	"ihyid/contacts"
)

// need gives what was read, or skips the test where the measuring data is absent.
func need[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if errors.Is(err, ErrNoData) {
			t.Skipf("NOT RUN: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func measure(t testing.TB, what, profile string, l Lists) Result {
	t.Helper()
	r, err := Measure(context.Background(), profile, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%-28s %-10s %6d contacts: match recall %.4f precision %.4f (%d wrong)   with review recall %.4f precision %.4f",
		what, profile, r.Contacts, r.Match.Recall, r.Match.Precision, r.Match.FalsePositives, r.Review.Recall, r.Review.Precision)
	return r
}

// atLeast fails the test if a figure fell below what was once reached.
func atLeast(t testing.TB, what string, got, want float64) {
	t.Helper()
	if got < want {
		t.Errorf("%s: %.4f, want %.4f or more", what, got, want)
	}
}

// floor is what a profile must reach on some lists: a little under what it reached when it was made.
type floor struct{ recall, precision, review float64 }

func (f floor) check(t testing.TB, r Result) {
	t.Helper()
	atLeast(t, "match recall", r.Match.Recall, f.recall)
	atLeast(t, "match precision", r.Match.Precision, f.precision)
	atLeast(t, "review recall", r.Review.Recall, f.review)
}

func TestSimulatedLists(t *testing.T) {
	for _, s := range Standard() {
		if s.Large {
			continue // make quality measures them; BenchmarkMatch matches as many
		}
		t.Run(s.Name, func(t *testing.T) {
			l, err := s.Make(7)
			if err != nil {
				t.Fatal(err)
			}
			s.floor().check(t, measure(t, s.Name, s.Profile, l))
		})
	}
}

func (s Standing) floor() floor {
	f, ok := floors[s.Name]
	if !ok {
		panic("no floor for " + s.Name)
	}
	return f
}

// The same seed gives the same lists, another one others.
func TestSimulationsFollowFromTheirSeed(t *testing.T) {
	for _, s := range Standard() {
		if s.Large {
			continue
		}
		one, err1 := s.Make(1)
		again, err2 := s.Make(1)
		other, err3 := s.Make(2)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		same, differ := true, false
		for i := range min(len(one.A), 500) {
			same = same && one.A[i] == again.A[i]
			differ = differ || one.A[i] != other.A[i]
		}
		if !same || !differ || len(one.Truth) == 0 {
			t.Errorf("%s: same %v, differ %v, %d true pairs", s.Name, same, differ, len(one.Truth))
		}
	}
}

func TestLevantRegisters(t *testing.T) {
	for _, name := range []string{"levant-5k", "levant-20k"} {
		l := need[Lists](t)(DataRegister(name))
		measure(t, name, "soundex/1", l)
		floor{.92, .995, .97}.check(t, measure(t, name, "levant/1", l))
	}
}

func TestLevantDataNames(t *testing.T) {
	names := need[Names](t)(DataNames())
	floor{.915, .993, .965}.check(t, measure(t, "measuring names", "levant/1", Simulate(names, 20_000, DefaultRates(), 3)))
}

func TestFEBRL(t *testing.T) {
	for _, file := range []string{"dataset1.csv", "dataset2.csv"} {
		floor{.755, .999, .82}.check(t, measure(t, file+", 3 fields", "latin/1", need[Lists](t)(DataFEBRL(file, false))))
		floor{.95, .999, .95}.check(t, measure(t, file+", 5 fields", "latin/1", need[Lists](t)(DataFEBRL(file, true))))
	}
}

// Strangers with common English names: how many are taken for one another.
func TestStrangers(t *testing.T) {
	for _, id := range []bool{false, true} {
		l := SimulateTypists(20_000, 0, DefaultTypistRates(), id, 5)
		r := measure(t, "strangers", "latin/1", l)
		atLeast(t, "share of strangers left apart", 1-float64(r.Match.FalsePositives)/20_000, .998)
	}
}

func TestSplink(t *testing.T) {
	path := need[string](t)(Data("splink", "fake_1000.csv"))
	rows, err := readCSV(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []contacts.Contact
	var clusters []string
	for _, r := range rows[1:] {
		c := contacts.Contact{FirstName: r[1], LastName: r[2], DateOfBirth: r[3], Location: r[4]}
		c.Clean()
		all = append(all, c)
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
	p, err := contacts.BuiltinProfile("latin/1")
	if err != nil {
		t.Fatal(err)
	}
	d, err := contacts.EncodeAll(t.Context(), p, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := contacts.Duplicates(t.Context(), p, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := contacts.Evaluate(pairs, truth)
	t.Logf("splink, duplicates: %+v", e)
	atLeast(t, "precision", e.Match.Precision, .98)
	atLeast(t, "review recall", e.Review.Recall, .35)
}
