package quality

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"time"

	"ihyid/contacts"
)

// Name is a name in its own script and the Latin spellings that stand for it.
type Name struct {
	Native string
	Latin  []string
}

// Names are what a simulation draws from, the most frequent first.
type Names struct{ Female, Male, Family []Name }

// Simulation is two organisations' lists and the pairs of places that are the same person.
type Simulation struct {
	A, B  []contacts.Contact
	Truth [][2]int
}

// Rates say what two simulated lists are like, and how often something goes wrong in one copy of a contact. All are in [0, 1].
type Rates struct {
	Overlap float64 // of each list that is in the other too
	Again   float64 // contacts that a list holds twice

	ArabicA, ArabicB float64 // copies in Arabic script

	Typo      float64 // of each name
	SwapNames float64 // first and last name in each other's place
	NoMother  float64
	NoFather  float64
	NoDate    float64

	BornFirst   float64 // born on 1 January, so they say
	Placeholder float64 // 1 January in this copy only
	SwapDate    float64 // day and month, where both are days of a month
	OtherYear   float64 // the year before or after
	OtherDay    float64

	Twins float64 // of the children behind the first
	Alike float64 // of twins, names that begin alike, like Hasan and Husain
}

// DefaultRates are those of lists as they were met in the Levant.
func DefaultRates() Rates {
	return Rates{
		Overlap: .30, Again: .03, ArabicA: .20, ArabicB: .50,
		Typo: .016, SwapNames: .008, NoMother: .08, NoFather: .04, NoDate: .01,
		BornFirst: .12, Placeholder: .05, SwapDate: .0075, OtherYear: .018, OtherDay: .014,
		Twins: .02, Alike: .30,
	}
}

// Simulate makes two lists of n contacts each, of families as they are met in the Levant, written down by two organisations. The
// same seed gives the same lists.
func Simulate(names Names, n int, rates Rates, seed uint64) Simulation {
	s := &simulator{Rates: rates, names: names, r: rand.New(rand.NewPCG(seed, 1))}
	s.female, s.male, s.family = zipf(len(names.Female), .85), zipf(len(names.Male), .85), zipf(len(names.Family), .5)
	shared := int(rates.Overlap * float64(n))
	people := s.people(2*n - shared)
	var sim Simulation
	where := make([][2][]int, len(people))
	for i, p := range people {
		if i < n {
			s.write(&sim.A, &where[i][0], p, s.ArabicA)
		}
		if i < shared || i >= n {
			s.write(&sim.B, &where[i][1], p, s.ArabicB)
		}
	}
	toA, toB := s.shuffle(sim.A, "A"), s.shuffle(sim.B, "B")
	for _, w := range where {
		for _, a := range w[0] {
			for _, b := range w[1] {
				sim.Truth = append(sim.Truth, [2]int{toA[a], toB[b]})
			}
		}
	}
	return sim
}

type simulator struct {
	Rates
	names                Names
	r                    *rand.Rand
	female, male, family []float64
}

// someone is a person as nobody writes them down: names by their places in the tables.
type someone struct {
	woman                       bool
	first, last, mother, father int
	household                   int
	born                        time.Time
}

// zipf gives the cumulated shares of n names of which the r-th is r^-s as frequent as the first.
func zipf(n int, s float64) []float64 {
	c := make([]float64, n)
	sum := 0.0
	for i := range c {
		sum += math.Pow(float64(i+1), -s)
		c[i] = sum
	}
	for i := range c {
		c[i] /= sum
	}
	return c
}

func (s *simulator) draw(cumulated []float64) int {
	return min(sort.SearchFloat64s(cumulated, s.r.Float64()), len(cumulated)-1)
}

func (s *simulator) people(n int) []someone {
	var people []someone
	for household := 1; len(people) < n; household++ {
		last, mother, father := s.draw(s.family), s.draw(s.female), s.draw(s.male)
		year := 1940 + s.r.IntN(75)
		// Parents do not give two children one name.
		given := map[string]bool{}
		var before someone
		for child := range 1 + s.r.IntN(4) {
			p := someone{woman: s.r.IntN(2) == 0, last: last, mother: mother, father: father, household: household}
			isTwin := child > 0 && s.r.Float64() < s.Twins
			similar := isTwin && s.r.Float64() < s.Alike
			for try := 0; try == 0 || given[s.first(p)] || similar && try < 500 && s.first(p)[:4] != s.first(before)[:4]; try++ {
				if p.woman {
					p.first = s.draw(s.female)
				} else {
					p.first = s.draw(s.male)
				}
			}
			given[s.first(p)] = true
			if isTwin {
				p.born = before.born
				people = append(people, p)
				continue
			}
			p.born = time.Date(year+s.r.IntN(8), 1, 1+s.r.IntN(365), 0, 0, 0, 0, time.UTC)
			if s.r.Float64() < s.BornFirst {
				p.born = time.Date(p.born.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
			}
			people = append(people, p)
			before = p
		}
	}
	s.r.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
	return people[:n]
}

// first is a person's first name in Arabic script; every name has two letters.
func (s *simulator) first(p someone) string {
	if p.woman {
		return s.names.Female[p.first].Native
	}
	return s.names.Male[p.first].Native
}

// write adds one copy of a person to a list, sometimes two.
func (s *simulator) write(list *[]contacts.Contact, where *[]int, p someone, arabic float64) {
	for {
		*where = append(*where, len(*list))
		*list = append(*list, s.copy(p, s.r.Float64() < arabic))
		if s.r.Float64() >= s.Again {
			return
		}
	}
}

func (s *simulator) copy(p someone, arabic bool) contacts.Contact {
	first := s.names.Male
	sex := "M"
	if p.woman {
		first, sex = s.names.Female, "F"
	}
	c := contacts.Contact{
		FirstName: s.spell(first[p.first], arabic), LastName: s.spell(s.names.Family[p.last], arabic),
		MotherFirstName: s.spell(s.names.Female[p.mother], arabic), FatherFirstName: s.spell(s.names.Male[p.father], arabic),
		Sex: sex, HouseholdID: fmt.Sprintf("H%07d", p.household),
	}
	if s.r.Float64() < s.SwapNames {
		c.FirstName, c.LastName = c.LastName, c.FirstName
	}
	if s.r.Float64() < s.NoMother {
		c.MotherFirstName = ""
	}
	if s.r.Float64() < s.NoFather {
		c.FatherFirstName = ""
	}
	if s.r.Float64() >= s.NoDate {
		c.DateOfBirth = s.date(p.born)
	}
	return c
}

func (s *simulator) date(d time.Time) string {
	year, month, day := d.Date()
	switch x := s.r.Float64(); {
	case x < s.Placeholder:
		month, day = 1, 1
	case x < s.Placeholder+s.SwapDate && day <= 12:
		month, day = time.Month(day), int(month)
	case x < s.Placeholder+s.SwapDate+s.OtherYear:
		year += 2*s.r.IntN(2) - 1
	case x < s.Placeholder+s.SwapDate+s.OtherYear+s.OtherDay:
		day = 1 + s.r.IntN(28)
	}
	return fmt.Sprintf("%04d-%02d-%02d", year, month, day)
}

func (s *simulator) spell(n Name, arabic bool) string {
	text := n.Latin[s.r.IntN(len(n.Latin))]
	alphabet := "abcdefghijklmnopqrstuvwxyz"
	if arabic {
		text, alphabet = n.Native, "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"
	}
	if s.r.Float64() < s.Typo {
		return s.mistype([]rune(text), []rune(alphabet))
	}
	return text
}

func (s *simulator) mistype(text, alphabet []rune) string {
	i := s.r.IntN(len(text))
	x := alphabet[s.r.IntN(len(alphabet))]
	switch s.r.IntN(4) {
	case 0:
		text[i] = x
	case 1:
		text = append(text[:i], append([]rune{x}, text[i:]...)...)
	case 2:
		if len(text) > 2 {
			text = append(text[:i], text[i+1:]...)
		}
	case 3:
		if i > 0 {
			text[i-1], text[i] = text[i], text[i-1]
		}
	}
	return string(text)
}

// shuffle mixes a list, numbers it, and says where each contact went.
func (s *simulator) shuffle(list []contacts.Contact, prefix string) []int {
	order := s.r.Perm(len(list))
	mixed := make([]contacts.Contact, len(list))
	for from, to := range order {
		list[from].ExternalID = fmt.Sprintf("%s%07d", prefix, to)
		mixed[to] = list[from]
	}
	copy(list, mixed)
	return order
}
