package quality

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"ihyid/contacts"
)

// TypistRates say what happens to one copy of a record that is typed in, in the manner of FEBRL's generator of data (Christen and
// Pudjijono, "Accurate Synthetic Generation of Realistic Personal Information", 2009). All are in [0, 1] and of each record.
type TypistRates struct {
	MissingName, MissingDate  float64 // not typed in
	OtherFirst, OtherLast     float64 // another name altogether
	OtherDate                 float64 // another date altogether
	TypoFirst, TypoLast       float64 // a slip: a letter too many, too few, another, or two changed about
	TypoDate                  float64 // another digit, or two changed about
	SwapNames                 float64 // first and last name in each other's place
	TypoID, MissingID, Second float64 // of the number; Second is a second slip in a name that has one
}

// DefaultTypistRates are those that the sets of FEBRL show.
func DefaultTypistRates() TypistRates {
	return TypistRates{
		MissingName: .026, MissingDate: .026, OtherFirst: .085, OtherLast: .045, OtherDate: .035,
		TypoFirst: .16, TypoLast: .2, TypoDate: .025, SwapNames: .05, TypoID: .07, MissingID: .02, Second: .3,
	}
}

// SimulateTypists makes two lists of n people each, overlap of them in both, the second typed in with slips: first and
// last name, date of birth and, if id is set, a number. The same seed gives the same lists.
func SimulateTypists(n int, overlap float64, rates TypistRates, id bool, seed uint64) Simulation {
	t := &typist{TypistRates: rates, r: rand.New(rand.NewPCG(seed, 3))}
	t.given, t.family = zipf(len(englishGiven), .75), zipf(len(englishFamily), .6)
	shared := int(overlap * float64(n))
	var sim Simulation
	for i := range 2*n - shared {
		c := t.person(i, id)
		if i < n {
			sim.A = append(sim.A, c)
		}
		if i < shared {
			sim.Truth = append(sim.Truth, [2]int{i, i})
			c = t.copy(c)
		}
		if i < shared || i >= n {
			sim.B = append(sim.B, c)
		}
	}
	return sim
}

type typist struct {
	TypistRates
	r             *rand.Rand
	given, family []float64
}

func (t *typist) draw(cumulated []float64, names []string) string {
	s := simulator{r: t.r}
	return names[s.draw(cumulated)]
}

func (t *typist) person(i int, id bool) contacts.Contact {
	c := contacts.Contact{FirstName: t.draw(t.given, englishGiven), LastName: t.draw(t.family, englishFamily), DateOfBirth: t.date(), ExternalID: fmt.Sprintf("P%07d", i)}
	if id {
		c.NationalID = fmt.Sprintf("%07d", 1_000_000+t.r.IntN(9_000_000))
	}
	for _, f := range []*string{&c.FirstName, &c.LastName, &c.DateOfBirth} {
		if t.r.Float64() < t.MissingName {
			*f = ""
		}
	}
	return c
}

func (t *typist) date() string {
	return time.Date(1900+t.r.IntN(100), 1, 1+t.r.IntN(365), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

func (t *typist) copy(c contacts.Contact) contacts.Contact {
	c.FirstName = t.name(c.FirstName, t.OtherFirst, t.TypoFirst, t.given, englishGiven)
	c.LastName = t.name(c.LastName, t.OtherLast, t.TypoLast, t.family, englishFamily)
	if t.r.Float64() < t.SwapNames {
		c.FirstName, c.LastName = c.LastName, c.FirstName
	}
	switch x := t.r.Float64(); {
	case c.DateOfBirth == "" || x < t.MissingDate:
		c.DateOfBirth = ""
	case x < t.MissingDate+t.OtherDate:
		c.DateOfBirth = t.date()
	case x < t.MissingDate+t.OtherDate+t.TypoDate:
		c.DateOfBirth = t.slipDate(c.DateOfBirth)
	}
	if c.NationalID != "" {
		switch x := t.r.Float64(); {
		case x < t.MissingID:
			c.NationalID = ""
		case x < t.MissingID+t.TypoID:
			id := []byte(c.NationalID)
			id[t.r.IntN(len(id))] = '0' + byte(t.r.IntN(10))
			c.NationalID = string(id)
		}
	}
	return c
}

func (t *typist) name(s string, other, typo float64, cumulated []float64, names []string) string {
	switch x := t.r.Float64(); {
	case s == "" || x < t.MissingName:
		return ""
	case x < t.MissingName+other:
		return t.draw(cumulated, names)
	case x < t.MissingName+other+typo:
		s = t.slip(s)
		if t.r.Float64() < t.Second {
			s = t.slip(s)
		}
	}
	return s
}

// soundAlike are spellings that are written for one another, by ear or by a scanner.
var soundAlike = strings.NewReplacer("ph", "f", "ck", "k", "ie", "y", "ll", "l", "nn", "n", "ew", "u", "th", "t", "wh", "w", "rn", "m")

// slip makes a slip in a name; the first letter is seldom wrong.
func (t *typist) slip(s string) string {
	b := []byte(s)
	if len(b) < 3 {
		return s + string(rune('a'+t.r.IntN(26)))
	}
	at := 1 + t.r.IntN(len(b)-1)
	if t.r.Float64() < .03 {
		at = 0
	}
	x := byte('a' + t.r.IntN(26))
	switch k := t.r.Float64(); {
	case k < .08:
		if heard := soundAlike.Replace(s); heard != s {
			return heard
		}
		return s[:at] + s[at+1:]
	case k < .3:
		return s[:at] + string(x) + s[at:]
	case k < .52:
		return s[:at] + s[at+1:]
	case k < .72:
		b[at] = x
	case k < .78:
		return s[:at] + " " + s[at:]
	default:
		at = max(at, 1)
		b[at-1], b[at] = b[at], b[at-1]
	}
	return string(b)
}

// slipDate puts another digit into a date, or changes two about. There may be no such day.
func (t *typist) slipDate(s string) string {
	b := []byte(s)
	digits := []int{2, 3, 5, 6, 8, 9}
	at := digits[t.r.IntN(len(digits))]
	if t.r.IntN(2) == 0 {
		b[at] = '0' + byte(t.r.IntN(10))
		return string(b)
	}
	pairs := [][2]int{{2, 3}, {3, 5}, {5, 6}, {6, 8}, {8, 9}}
	p := pairs[t.r.IntN(len(pairs))]
	b[p[0]], b[p[1]] = b[p[1]], b[p[0]]
	return string(b)
}

// englishGiven are given names, the commoner first; englishFamily common family names, and invented ones of the parts
// that many have. They are combined at random and mean nobody.
var (
	englishGiven = strings.Fields(`joshua emily benjamin jack thomas james mitchell hannah isabella joel jacob chloe nicholas sarah
		olivia william samuel lachlan georgia daniel jessica matthew ella liam alexander sophie ethan grace ryan charlotte
		luke lucy harrison ruby cooper amelia dylan mia zachary zoe connor holly oliver alyssa max caitlin riley madison jordan
		brianna adam taylor blake hayley cameron lily noah abigail aidan kayla harry jasmine tyler paige nathan erin isaac imogen
		david amber hamish lauren angus molly kyle rebecca callum rachel logan eliza henry tahlia michael phoebe patrick claire
		andrew bianca hugo stephanie christopher natasha sebastian maddison jake anna finn kate archie elizabeth bailey victoria
		marcus tara edward nicola dominic alice toby laura charlie gemma kai megan jonathan freya flynn katherine peter zara
		robert jade declan audrey sean alana george matilda simon poppy oscar rosie darcy summer gabriel bridget xavier sienna
		leo maya owen annabelle brayden stella brodie leah corey naomi travis ebony beau danielle koby chelsea jayden tiarna shane
		keely hayden tegan lewis mikayla jett shannon trent casey jai skye bradley elise dean felicity campbell tess kane nina
		reece sara spencer esther vincent carla wade monique zane kirra anton lara byron millie craig peta dale renee`)
	englishFamily = func() []string {
		names := strings.Fields(`white green clarke campbell ryan reid nguyen webb matthews mason morrison smith jones williams brown
			wilson taylor johnson martin anderson thompson walker harris lee robinson kelly king davis wright evans roberts baker hall
			young jackson allen hill scott wood turner moore mitchell carter phillips parker stewart murphy cook bell cooper
			richardson watson bailey collins marshall gray murray kennedy hughes simpson graham hunter fraser miller ross ferguson
			grant fisher hamilton shaw hart nelson dixon barker price russell burns wallace gibson ellis palmer butler stevens
			chapman jenkins lawrence knight cox gordon porter foster ford mills fox pearce byrne warren spencer rose sullivan
			duncan burke lane black perry harvey day mcdonald rogers hayes dunn armstrong west barnes holmes carroll gill may
			wells nicholls austin doyle lloyd hudson mccarthy newman payne elliott francis bennett bishop berry stone cole`)
		for _, a := range strings.Fields("ash black brad brook bur car chat clif cran dar den dun eld fair farn gar gran hal ham hart hol kel kirk lang mar mel nor old pem ral red rose rush san shel stan sut thorn wal wes whit win wood") {
			for _, b := range strings.Fields("by combe croft den don field ford grove ham land ley low man more mont ney ridge shaw son stead ton ward well wick wood worth") {
				if len(names) < 900 {
					names = append(names, a+b)
				}
			}
		}
		return names
	}()
)
