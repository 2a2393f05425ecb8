package contacts

import (
	"math"
	"slices"

	"github.com/antzucaro/matchr"

	"ihyid/contacts/encode"
	"ihyid/contacts/normalise"
)

// Agreement says in a word how well a field of two contacts agrees.
type Agreement string

// The agreements, from best to worst.
const (
	Same      Agreement = "same"
	Alike     Agreement = "alike" // spelled otherwise, or a slip of the pen
	Different Agreement = "different"
	Missing   Agreement = "missing" // on one side or both: counts neither for nor against
)

// FieldComparison is what one field says of two contacts.
type FieldComparison struct {
	Field     string    `json:"field"`
	Agreement Agreement `json:"agreement"`
	Score     float64   `json:"score"`          // 0 to 1
	Note      string    `json:"note,omitempty"` // why, in words without values
}

// Comparison is how likely two contacts of one's own are the same person, with the reasons.
type Comparison struct {
	Score  float64           `json:"score"` // 0 to 1
	Fields []FieldComparison `json:"fields"`
}

// weights of the fields: how much it says that two contacts agree in it. A name of a few thousand says less than a date of
// some thirty thousand, and that less than a number of one's own.
var weights = [NumFields]float64{
	FirstName: 3, LastName: 2.5, MotherFirstName: 1.5, FatherFirstName: 1.5, DateOfBirth: 3,
	Sex: 0.5, Phone: 1.5, NationalID: 4, HouseholdID: 0.5,
}

// notSure draws a score towards the middle when little is known: it counts as a field of this weight that agrees half.
const notSure = 1.5

// Compare scores two contacts field by field, for people who decide whether they are one: spelling by sound in all the
// scripts that the built-in profiles know, and by letters (Jaro–Winkler); dates by the slips that are common. It is for an organisation's
// own data, where both contacts are at hand. The fields come in their order; location and external id do not count.
func Compare(a, b *Contact) Comparison {
	// Names that changed places are paired off one after the other, so the order of the two contacts can matter: the better reading counts,
	// whichever of the two comes first.
	x, y := compare(a, b), compare(b, a)
	if y.Score > x.Score {
		return y
	}
	return x
}

func compare(a, b *Contact) Comparison {
	var c Comparison
	sum, total := notSure/2, notSure
	swapped := namesSwapped(a, b)
	for f, weight := range weights {
		field := Field(f)
		if weight == 0 {
			continue
		}
		x, y := a.Value(field), b.Value(field)
		if swapped && field <= LastName {
			y = b.Value(LastName - field)
		}
		fc := FieldComparison{Field: field.String(), Agreement: Missing}
		if x != "" && y != "" {
			fc.Score, fc.Note = compareField(field, x, y)
			switch {
			case fc.Score >= 0.995:
				fc.Agreement = Same
			case fc.Score >= 0.6:
				fc.Agreement = Alike
			default:
				fc.Agreement = Different
			}
			if swapped && field <= LastName {
				fc.Note = "first and last name changed about"
				fc.Score *= 0.95
				fc.Agreement = Alike
			}
			sum += weight * fc.Score
			total += weight
		}
		c.Fields = append(c.Fields, fc)
	}
	c.Score = math.Round(sum/total*1000) / 1000
	return c
}

// namesSwapped says whether two contacts agree better with first and last name changed about.
func namesSwapped(a, b *Contact) bool {
	if a.FirstName == "" || a.LastName == "" || b.FirstName == "" || b.LastName == "" {
		return false
	}
	score := func(x, y string) float64 { s, _ := compareName(x, y); return s }
	across := min(score(a.FirstName, b.LastName), score(a.LastName, b.FirstName))
	return across > 0.85 && across > max(score(a.FirstName, b.FirstName), score(a.LastName, b.LastName))
}

func compareField(f Field, x, y string) (float64, string) {
	if x == y {
		return 1, ""
	}
	switch f {
	case DateOfBirth:
		return compareDate(x, y)
	case Sex:
		if x == "X" || y == "X" {
			return 0.5, "not said"
		}
		return 0, ""
	case Phone:
		return compareNumber(normalised("phone-end/1", x), normalised("phone-end/1", y))
	case NationalID, HouseholdID:
		return compareNumber(normalised("id/1", x), normalised("id/1", y))
	}
	return compareName(x, y)
}

// sounds are the codes by which two spellings of a name are recognised.
var sounds = [...]struct{ normaliser, encoder string }{
	{"arabic/1", "arabic-skeleton/1"},
	{"cyrillic/1", "slavic-skeleton/1"},
	{"latin/1", "double-metaphone/1"},
}

func compareName(x, y string) (float64, string) {
	lx, ly := normalised("latin/1", x), normalised("latin/1", y)
	if lx == ly && lx != "" {
		return 1, "differs in capitals, accents or signs only"
	}
	letters := matchr.JaroWinkler(lx, ly, false)
	for _, s := range sounds {
		if cx := encoded(s.encoder, normalised(s.normaliser, x)); cx != "" && cx == encoded(s.encoder, normalised(s.normaliser, y)) {
			return max(0.9, letters), "sounds alike"
		}
	}
	switch {
	case encoded("sorted/1", lx) == encoded("sorted/1", ly):
		return 0.9, "the same letters in another order"
	case matchr.DamerauLevenshtein(lx, ly) == 1 && min(len(lx), len(ly)) > 2:
		return max(0.8, letters-0.05), "one letter differs"
	case letters > 0.85:
		return letters - 0.15, "similar letters"
	}
	// Two names that share half their letters are still two names.
	return math.Max(0, letters-0.5) / 2, ""
}

// compareDate knows the slips that dates of birth are prone to.
func compareDate(x, y string) (float64, string) {
	if !isDate(x) || !isDate(y) {
		return 0, ""
	}
	const yearEnd, firstOfJanuary = 4, "-01-01"
	sameYear := x[:yearEnd] == y[:yearEnd]
	differ := 0
	for i := range len(x) {
		if x[i] != y[i] {
			differ++
		}
	}
	switch {
	case normalised("date-unordered/1", x) == normalised("date-unordered/1", y):
		return 0.9, "day and month changed about"
	case sameYear && (x[yearEnd:] == firstOfJanuary || y[yearEnd:] == firstOfJanuary):
		return 0.75, "the same year, and 1 January may stand for an unknown day"
	case differ == 1:
		return 0.8, "one digit differs"
	case x[yearEnd:] == y[yearEnd:]:
		return 0.6, "the same day of another year"
	case sameYear:
		return 0.4, "the same year"
	}
	return 0, ""
}

func compareNumber(x, y string) (float64, string) {
	switch {
	case x == "" || y == "":
		return 0.5, "not enough digits to tell"
	case x == y:
		return 1, ""
	case matchr.DamerauLevenshtein(x, y) == 1:
		return 0.7, "one character differs"
	}
	return 0, ""
}

func normalised(name, value string) string {
	f, _ := normalise.Lookup(name)
	return string(f(nil, clip(value)))
}

func encoded(name, value string) string {
	f, _ := encode.Lookup(name)
	return string(f(nil, value))
}

// clip bounds the work on names that were never validated: comparing letters takes time by the square of their number.
func clip(s string) string {
	n := 0
	for i := range s {
		if n++; n > MaxNameRunes {
			return s[:i]
		}
	}
	return s
}

// Duplicate is two contacts of one list that may be the same person.
type Duplicate struct {
	Pair
	Comparison Comparison
}

// RankDuplicates compares the pairs of [Duplicates] and puts those first that are most likely one person.
func RankDuplicates(list []Contact, pairs []Pair) []Duplicate {
	ranked := make([]Duplicate, len(pairs))
	for i, p := range pairs {
		ranked[i] = Duplicate{p, Compare(&list[p.A], &list[p.B])}
	}
	slices.SortStableFunc(ranked, func(x, y Duplicate) int {
		switch {
		case x.Comparison.Score > y.Comparison.Score:
			return -1
		case x.Comparison.Score < y.Comparison.Score:
			return 1
		}
		return 0
	})
	return ranked
}
