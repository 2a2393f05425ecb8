package lists

import (
	"errors"
	"fmt"
)

// ErrOptions is wrapped by every error that New and Generate return for options that make no sense.
var ErrOptions = errors.New("lists: options")

const (
	// MaxLists is how many organisations a population may have.
	MaxLists = 8
	// MaxContacts is how many rows a list may have.
	MaxContacts = 100_000_000
	// DefaultContacts is how many rows a list has if nothing else is asked.
	DefaultContacts = 1000
	// DefaultOverlap is the share of a list that another organisation knows too, if nothing else is asked.
	DefaultOverlap = 0.3
)

// Options say what population to make. The zero value is two lists of DefaultContacts rows.
type Options struct {
	// Seed decides everything that the rest of the options leaves open.
	Seed uint64
	// N is how many rows a list has whose Organisation does not say; 0 means DefaultContacts.
	N int
	// Overlap is the share of the people of the smaller of any two lists that the other has too, in [0, 0.9]; 0 means
	// DefaultOverlap and a negative number none. It is met within a few per cent, better in large lists.
	Overlap float64
	// Organisations are the lists, at most MaxLists; none means those of Two.
	Organisations []Organisation
	// Errors says how often things go wrong; nil means DefaultErrors.
	Errors *Errors
	// Include are persons to put into lists, word for word.
	Include []Inclusion
}

// An Organisation makes one list, in its own manner.
type Organisation struct {
	// Name stands for the list in the truth, and is a good file name: ASCII letters, digits and hyphens.
	Name string
	// Prefix begins each external id; may be empty.
	Prefix string
	// N is the number of rows; 0 means Options.N.
	N int
	// Arabic is the share of households registered in Arabic script, French the share of the others that is spelt by
	// French habit instead of English, Upper the share of Latin rows with the family name in capitals. In [0, 1].
	Arabic, French, Upper float64
	// Layout is the form of the file.
	Layout Layout
}

// Inclusion is a contact that stands word for word in the lists of these indices. Its ExternalID, HouseholdID and
// Location are not used: each list gives its own.
type Inclusion struct {
	Contact Contact
	Lists   []int
}

// Errors are the rates, in [0, 1], at which what was registered is not what is so.
type Errors struct {
	MissingMother, MissingFather float64 // parent's name not noted, by row
	FirstJanuary                 float64 // persons whose birthday is not known: 1 January in every list
	Estimated                    float64 // rows that put 1 January where the birthday is known elsewhere
	DaySwap                      float64 // rows with day and month exchanged, where both readings are dates
	DateTypo                     float64 // rows with a wrong digit in the date
	NameTypo                     float64 // typing errors, by name written
	Untidy                       float64 // rows with a needless space in a name
	Again                        float64 // households that the same organisation registers a second time, in whole or in part
}

// DefaultErrors returns the rates of lists of fair quality.
func DefaultErrors() *Errors {
	return &Errors{
		MissingMother: .05, MissingFather: .04,
		FirstJanuary: .07, Estimated: .012, DaySwap: .015, DateTypo: .006,
		NameTypo: .008, Untidy: .01, Again: .02,
	}
}

// Two returns two organisations: one that registers a fifth of its households in Arabic script and spells by English
// habit, and one that registers half of them in Arabic script and spells mostly by French habit.
func Two() []Organisation {
	return []Organisation{
		{Name: "a", Prefix: "A", Arabic: .2},
		{Name: "b", Prefix: "B", Arabic: .5, French: .7},
	}
}

// complete returns the options with their defaults in place, or an error that wraps ErrOptions.
func (o Options) complete() (Options, error) {
	if o.N == 0 {
		o.N = DefaultContacts
	}
	if o.Overlap == 0 {
		o.Overlap = DefaultOverlap
	}
	o.Overlap = max(o.Overlap, 0)
	if !(o.Overlap <= .9) {
		return o, fmt.Errorf("%w: overlap %v is more than 0.9", ErrOptions, o.Overlap)
	}
	if len(o.Organisations) == 0 {
		o.Organisations = Two()
	}
	if len(o.Organisations) > MaxLists {
		return o, fmt.Errorf("%w: %d organisations are more than %d", ErrOptions, len(o.Organisations), MaxLists)
	}
	o.Organisations = append([]Organisation(nil), o.Organisations...)
	seen := make(map[string]bool)
	for i := range o.Organisations {
		g := &o.Organisations[i]
		if g.N == 0 {
			g.N = o.N
		}
		if err := g.check(); err != nil {
			return o, fmt.Errorf("%w: organisation %d: %w", ErrOptions, i, err)
		}
		if seen[g.Name] {
			return o, fmt.Errorf("%w: organisation %d: name used twice", ErrOptions, i)
		}
		seen[g.Name] = true
	}
	if o.Errors == nil {
		o.Errors = DefaultErrors()
	}
	e := o.Errors
	for _, rate := range []float64{e.MissingMother, e.MissingFather, e.FirstJanuary, e.Estimated, e.DaySwap, e.DateTypo,
		e.NameTypo, e.Untidy, e.Again} {
		if !(rate >= 0 && rate <= 1) {
			return o, fmt.Errorf("%w: an error rate of %v", ErrOptions, rate)
		}
	}
	for i, in := range o.Include {
		for _, l := range in.Lists {
			if l < 0 || l >= len(o.Organisations) {
				return o, fmt.Errorf("%w: inclusion %d: there is no list %d", ErrOptions, i, l)
			}
		}
	}
	return o, nil
}

func (g *Organisation) check() error {
	if g.N < 0 || g.N > MaxContacts {
		return fmt.Errorf("%d contacts are not between 0 and %d", g.N, MaxContacts)
	}
	if g.Name == "" || !plain(g.Name) || !plain(g.Prefix) {
		return errors.New("name and prefix are made of ASCII letters, digits and hyphens")
	}
	for _, share := range []float64{g.Arabic, g.French, g.Upper} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("a share of %v", share)
		}
	}
	return g.Layout.check()
}

func plain(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return false
		}
	}
	return true
}
