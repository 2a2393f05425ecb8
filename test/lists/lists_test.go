package lists_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"

	"ihyid/test/lists"
)

// written is all the files of a population, one after another.
func written(t testing.TB, o lists.Options) []byte {
	t.Helper()
	p, err := lists.New(o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for i := range p.Lists() {
		if err := p.WriteCSV(&b, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.WriteTruth(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDeterminism(t *testing.T) {
	o := lists.Options{Seed: 5, N: 2000}
	first := written(t, o)
	if !bytes.Equal(first, written(t, o)) {
		t.Error("the same options made different lists")
	}
	if bytes.Equal(first, written(t, lists.Options{Seed: 6, N: 2000})) {
		t.Error("different seeds made the same lists")
	}
	// The value holds every machine and version of Go to the same lists. It changes with any change of the generator or of
	// the tables, on purpose; figures of benchmarks from before and after are of different lists.
	const want = "a6a0028905ab4aaec7921f1965d2a679f57ff386bd82bf306b2c1144c0669fde"
	if sum := sha256.Sum256(first); hex.EncodeToString(sum[:]) != want {
		t.Errorf("the lists have changed: SHA-256 %x", sum)
	}
}

// Whatever the options, every list has the rows it should, the truth refers to rows that exist, and being one person is an equivalence.
func TestPopulation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		s, err := lists.Generate(o)
		if errors.Is(err, lists.ErrOptions) {
			if len(o.Organisations) < 3 {
				t.Fatalf("refused: %v", err)
			}
			t.Skip("too much overlap for so many lists")
		}
		if err != nil {
			t.Fatal(err)
		}
		rows := make(map[row]*lists.Contact)
		for i, l := range s.Lists {
			if len(l.Contacts) != o.Organisations[i].N {
				t.Fatalf("list %d has %d rows instead of %d", i, len(l.Contacts), o.Organisations[i].N)
			}
			for j := range l.Contacts {
				c := &l.Contacts[j]
				checkContact(t, c)
				r := row{i, c.ExternalID}
				if rows[r] != nil {
					t.Fatalf("%v stands twice", r)
				}
				rows[r] = c
			}
		}
		same := make(map[row]map[row]bool)
		for _, p := range s.Truth {
			a, b := row{p.AList, p.A}, row{p.BList, p.B}
			if rows[a] == nil || rows[b] == nil {
				t.Fatalf("the truth pairs %v with %v, which do not both exist", a, b)
			}
			if a == b || p.AList > p.BList || same[a][b] || same[b][a] {
				t.Fatalf("the pair %v and %v is with itself, the wrong way round or a second time", a, b)
			}
			for _, d := range [][2]row{{a, b}, {b, a}} {
				if same[d[0]] == nil {
					same[d[0]] = map[row]bool{d[0]: true}
				}
				same[d[0]][d[1]] = true
			}
			if rows[a].Sex != rows[b].Sex {
				t.Fatalf("one person, two sexes: %v, %v", a, b)
			}
		}
		for a, others := range same {
			for b := range others {
				if len(same[b]) != len(others) {
					t.Fatalf("%v is the same as %v, but not as all who are the same as it", a, b)
				}
			}
		}
	})
}

type row struct {
	list int
	id   string
}

func drawOptions(t *rapid.T) lists.Options {
	rate := rapid.SampledFrom([]float64{0, .01, .2, 1})
	o := lists.Options{
		Seed:    rapid.Uint64().Draw(t, "seed"),
		Overlap: rapid.SampledFrom([]float64{-1, 0, .05, .3, .9}).Draw(t, "overlap"),
		Errors: &lists.Errors{
			MissingMother: rate.Draw(t, "mother"), MissingFather: rate.Draw(t, "father"), FirstJanuary: rate.Draw(t, "january"),
			Estimated: rate.Draw(t, "estimated"), DaySwap: rate.Draw(t, "swap"), DateTypo: rate.Draw(t, "date"),
			NameTypo: rate.Draw(t, "typo"), Untidy: rate.Draw(t, "untidy"), Again: rate.Draw(t, "again"),
		},
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "lists") {
		share := rapid.SampledFrom([]float64{0, .5, 1})
		o.Organisations = append(o.Organisations, lists.Organisation{
			Name: fmt.Sprint("org-", i), Prefix: rapid.SampledFrom([]string{"", "X", "ab-"}).Draw(t, "prefix"), N: rapid.IntRange(1, 200).Draw(t, "n"),
			Arabic: share.Draw(t, "arabic"), French: share.Draw(t, "french"), Upper: share.Draw(t, "upper"),
		})
	}
	return o
}

func checkContact(t *rapid.T, c *lists.Contact) {
	if c.ExternalID == "" || c.HouseholdID == "" || c.Location == "" || strings.TrimSpace(c.FirstName) == "" || strings.TrimSpace(c.LastName) == "" {
		t.Fatalf("something is missing: %+v", c)
	}
	if c.Sex != "F" && c.Sex != "M" {
		t.Fatalf("sex %q", c.Sex)
	}
	born, err := time.Parse(time.DateOnly, c.DateOfBirth)
	if err != nil || born.Year() < 1870 || born.Year() > 2024 {
		t.Fatalf("date of birth %q", c.DateOfBirth)
	}
}

// With no errors allowed there are none: the truth agrees in the date, nothing is missing, nobody is registered twice.
func TestNoErrors(t *testing.T) {
	s, err := lists.Generate(lists.Options{Seed: 2, N: 1000, Errors: &lists.Errors{}})
	if err != nil {
		t.Fatal(err)
	}
	at := [2]map[string]int{index(s.Lists[0].Contacts), index(s.Lists[1].Contacts)}
	for _, l := range s.Lists {
		for _, c := range l.Contacts {
			if c.MotherFirstName == "" || c.FatherFirstName == "" {
				t.Fatalf("a parent is missing: %+v", c)
			}
		}
	}
	for _, p := range s.Truth {
		if p.AList == p.BList {
			t.Fatalf("registered twice: %+v", p)
		}
		a, b := s.Lists[0].Contacts[at[0][p.A]], s.Lists[1].Contacts[at[1][p.B]]
		if a.DateOfBirth != b.DateOfBirth {
			t.Fatalf("one person, two dates: %+v, %+v", a, b)
		}
	}
}

// Lists of a fair size have the shape that the options ask for.
func TestDistribution(t *testing.T) {
	const n = 20_000
	o := lists.Options{Seed: 3, N: n, Organisations: lists.Two()}
	o.Organisations[1].Upper = .5
	s, err := lists.Generate(o)
	if err != nil {
		t.Fatal(err)
	}
	within := func(what string, got, low, high float64) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s: %.4f is not between %v and %v", what, got, low, high)
		}
	}
	truth := make(map[lists.Pair]bool)
	for _, p := range s.Truth {
		truth[p] = true
	}
	for i, l := range s.Lists {
		var arabic, upper, latin, noMother, noFather, january, women, children, phones, exact float64
		first, last := make(map[string]int), make(map[string]int)
		households := make(map[string][]*lists.Contact)
		rows := make(map[lists.Contact]string) // to external id
		for j := range l.Contacts {
			c := &l.Contacts[j]
			if strings.ContainsFunc(c.FirstName, isArabic) {
				arabic++
			} else {
				latin++
				if c.LastName == strings.ToUpper(c.LastName) {
					upper++
				}
			}
			count := func(n *float64, yes bool) {
				if yes {
					*n++
				}
			}
			count(&noMother, c.MotherFirstName == "")
			count(&noFather, c.FatherFirstName == "")
			count(&january, strings.HasSuffix(c.DateOfBirth, firstJanuary))
			count(&women, c.Sex == "F")
			count(&children, c.DateOfBirth >= "2007")
			count(&phones, c.Phone != "")
			first[skeleton(c.FirstName)]++
			last[skeleton(c.LastName)]++
			households[c.HouseholdID] = append(households[c.HouseholdID], c)
			bare := *c
			bare.ExternalID, bare.HouseholdID = "", ""
			if id, twice := rows[bare]; twice {
				exact++
				if !truth[lists.Pair{AList: i, BList: i, A: id, B: c.ExternalID}] && !truth[lists.Pair{AList: i, BList: i, A: c.ExternalID, B: id}] {
					t.Errorf("the truth is without %s and %s, which are alike to the letter", id, c.ExternalID)
				}
			}
			rows[bare] = c.ExternalID
		}
		name := fmt.Sprintf("list %d: ", i)
		within(name+"Arabic script", arabic/n, []float64{.18, .47}[i], []float64{.22, .53}[i])
		within(name+"capitals", upper/latin, []float64{0, .45}[i], []float64{.002, .55}[i])
		within(name+"without mother", noMother/n, .045, .055)
		within(name+"without father", noFather/n, .035, .045)
		within(name+"1 January", january/n, .07, .1)
		within(name+"women", women/n, .47, .53)
		within(name+"born since 2007", children/n, .25, .5)
		within(name+"phones", phones/n, .82, .88)
		within(name+"household", n/float64(len(households)), 4, 5.5)
		within(name+"commonest first name", commonest(first)/n, .03, .1)
		within(name+"commonest last name", commonest(last)/n, .02, .06)
		within(name+"different first names", float64(len(first)), 150, 600)
		within(name+"different last names", float64(len(last)), 250, 2500)

		var twins, families float64
		for _, h := range households {
			born := make(map[[3]string]int)
			for _, c := range h {
				born[[3]string{c.DateOfBirth, c.MotherFirstName, c.FatherFirstName}]++
			}
			for k, n := range born {
				if n == 2 && k[1] != "" && !strings.HasSuffix(k[0], firstJanuary) {
					twins++
				}
			}
			if len(h) > 2 {
				families++
			}
		}
		within(name+"households with twins", twins/families, .02, .08)
		within(name+"exact duplicates", exact/n, .002, .012)
	}
	common, again := 0.0, 0.0
	for _, p := range s.Truth {
		if p.AList == p.BList {
			again++
		} else {
			common++
		}
	}
	within("overlap", common/n, .28, .32)
	within("registered twice", again/(2*n), .004, .015)
}

func isArabic(r rune) bool { return r >= 0x600 && r < 0x700 }

func commonest(m map[string]int) float64 {
	most := 0
	for _, n := range m {
		most = max(most, n)
	}
	return float64(most)
}

// Three lists overlap by pairs, and some people are in all of them; without overlap nobody is in two.
func TestOverlap(t *testing.T) {
	three := []lists.Organisation{{Name: "x", N: 9000}, {Name: "y", N: 6000}, {Name: "z", N: 3000}}
	s, err := lists.Generate(lists.Options{Seed: 4, Overlap: .25, Organisations: three})
	if err != nil {
		t.Fatal(err)
	}
	pairs := make(map[[2]int]int)
	partners := make(map[row]map[int]bool)
	for _, p := range s.Truth {
		pairs[[2]int{p.AList, p.BList}]++
		a := row{p.AList, p.A}
		if partners[a] == nil {
			partners[a] = map[int]bool{p.AList: true}
		}
		partners[a][p.BList] = true
	}
	for k, smaller := range map[[2]int]int{{0, 1}: 6000, {0, 2}: 3000, {1, 2}: 3000} {
		if got := float64(pairs[k]) / float64(smaller); math.Abs(got-.25) > .03 {
			t.Errorf("lists %v have %.3f in common", k, got)
		}
	}
	all := 0
	for _, in := range partners {
		if len(in) == 3 {
			all++
		}
	}
	if all < 100 || all > 400 {
		t.Errorf("%d people are in all three lists", all)
	}
	s, err = lists.Generate(lists.Options{Seed: 4, N: 1000, Overlap: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Truth {
		if p.AList != p.BList {
			t.Fatalf("in two lists, though none should be: %+v", p)
		}
	}
}

// An inclusion stands word for word in its lists and in no other, and the truth pairs it.
func TestInclude(t *testing.T) {
	want := lists.Contact{FirstName: " Houman", LastName: "Haddad", DateOfBirth: "1976-05-07", Sex: "M", Phone: "+33199000507", NationalID: "X1"}
	three := []lists.Organisation{{Name: "x"}, {Name: "y"}, {Name: "z"}}
	s, err := lists.Generate(lists.Options{N: 50, Organisations: three, Include: []lists.Inclusion{{Contact: want, Lists: []int{0, 2}}}})
	if err != nil {
		t.Fatal(err)
	}
	var found []row
	for i, l := range s.Lists {
		for _, c := range l.Contacts {
			r := row{i, c.ExternalID}
			c.ExternalID, c.HouseholdID, c.Location = "", "", ""
			if c == want {
				found = append(found, r)
			}
		}
	}
	if len(found) != 2 || found[0].list != 0 || found[1].list != 2 {
		t.Fatalf("found at %v", found)
	}
	if !slices.Contains(s.Truth, lists.Pair{AList: 0, BList: 2, A: found[0].id, B: found[1].id}) {
		t.Error("the truth does not pair them")
	}
}

// Telephone numbers are possible numbers, in ranges that belong to nobody.
func TestPhones(t *testing.T) {
	fiction := []string{"+3319900", "+3326191", "+3335301", "+3346571", "+3353649"}
	for i := range uint64(3) { // each seed has its own habits
		s, err := lists.Generate(lists.Options{Seed: i, N: 300})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range s.Lists {
			for _, c := range l.Contacts {
				if c.Phone == "" {
					continue
				}
				n, err := phonenumbers.Parse(c.Phone, "FR")
				if err != nil || !phonenumbers.IsValidNumber(n) {
					t.Fatalf("%q is not a number: %v", c.Phone, err)
				}
				if e := phonenumbers.Format(n, phonenumbers.E164); len(e) != 12 || !slices.Contains(fiction, e[:8]) {
					t.Fatalf("%q may be somebody's", c.Phone)
				}
			}
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	x := lists.Organisation{Name: "x"}
	with := func(change func(*lists.Organisation)) lists.Options {
		y := x
		change(&y)
		return lists.Options{Organisations: []lists.Organisation{y}}
	}
	for name, o := range map[string]lists.Options{
		"overlap":         {Overlap: .91},
		"overlap NaN":     {Overlap: math.NaN()},
		"many overlaps":   {Overlap: .8, Organisations: []lists.Organisation{{Name: "x"}, {Name: "y"}, {Name: "z"}}},
		"too many":        {Organisations: make([]lists.Organisation, lists.MaxLists+1)},
		"twice":           {Organisations: []lists.Organisation{x, x}},
		"no name":         {Organisations: []lists.Organisation{{}}},
		"name":            {Organisations: []lists.Organisation{{Name: "../x"}}},
		"prefix":          with(func(y *lists.Organisation) { y.Prefix = "a,b" }),
		"size":            with(func(y *lists.Organisation) { y.N = -1 }),
		"large":           with(func(y *lists.Organisation) { y.N = lists.MaxContacts + 1 }),
		"share":           with(func(y *lists.Organisation) { y.Arabic = 1.5 }),
		"share NaN":       with(func(y *lists.Organisation) { y.French = math.NaN() }),
		"separator":       with(func(y *lists.Organisation) { y.Layout.Separator = 'x' }),
		"header":          with(func(y *lists.Organisation) { y.Layout.Header = "de" }),
		"dates":           with(func(y *lists.Organisation) { y.Layout.Dates = "MM/DD/YYYY" }),
		"column":          with(func(y *lists.Organisation) { y.Layout.Columns = []string{"external_id", "shoe_size"} }),
		"column twice":    with(func(y *lists.Organisation) { y.Layout.Columns = []string{"external_id", "external_id"} }),
		"no id":           with(func(y *lists.Organisation) { y.Layout.Columns = []string{"first_name"} }),
		"rate":            {Errors: &lists.Errors{NameTypo: -.1}},
		"rate NaN":        {Errors: &lists.Errors{DaySwap: math.NaN()}},
		"inclusion where": {Include: []lists.Inclusion{{Lists: []int{2}}}},
	} {
		if _, err := lists.New(o); !errors.Is(err, lists.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
		if err := lists.WriteCSV(io.Discard, o); !errors.Is(err, lists.ErrOptions) {
			t.Errorf("%s: WriteCSV: %v", name, err)
		}
	}
}

// Iteration may be broken off.
func TestBreak(t *testing.T) {
	p, err := lists.New(lists.Options{N: 100})
	if err != nil {
		t.Fatal(err)
	}
	contacts, pairs := 0, 0
	for range p.Contacts(0) {
		if contacts++; contacts == 3 {
			break
		}
	}
	for range p.Pairs() {
		if pairs++; pairs == 3 {
			break
		}
	}
	if contacts != 3 || pairs != 3 {
		t.Errorf("%d contacts and %d pairs instead of 3", contacts, pairs)
	}
}

// A list of any size is written in the memory of a few rows: what is allocated does not grow with the list, but for typing errors.
func TestMemory(t *testing.T) {
	o := lists.Options{Errors: &lists.Errors{MissingMother: .05, FirstJanuary: .05, DaySwap: .01, Again: .02}}
	allocations := func(n int) float64 {
		o.N = n
		p, err := lists.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(2, func() {
			if err := p.WriteCSV(io.Discard, 0); err != nil {
				t.Fatal(err)
			}
		})
	}
	if small, large := allocations(1000), allocations(20_000); large > small+20 {
		t.Errorf("%v allocations for 1000 rows, %v for 20000", small, large)
	}
}

func BenchmarkWriteCSV(b *testing.B) {
	const n = 100_000
	p, err := lists.New(lists.Options{N: n})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.WriteCSV(io.Discard, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "contacts/s")
}

func BenchmarkNew(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		if _, err := lists.New(lists.Options{N: n}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "contacts/s")
}
