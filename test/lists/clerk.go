package lists

// Contact is one row as it was registered, mistakes and stray spaces included. It has the fields of the node's own contact
// record in the same order, so that the one converts to the other. DateOfBirth is YYYY-MM-DD, Sex is F or M.
type Contact struct {
	FirstName       string
	LastName        string
	MotherFirstName string
	FatherFirstName string
	DateOfBirth     string
	Sex             string
	Phone           string
	NationalID      string
	HouseholdID     string
	Location        string
	ExternalID      string
}

// A clerk writes the rows of one organisation, in its spelling, with the usual mistakes. The row lies in one buffer that the
// next row overwrites.
type clerk struct {
	p      *Population
	list   int
	org    *Organisation
	digits int

	// The spelling the house prefers, by table (male, female, family, town) and name, and its form of the article.
	prefers                       [4][]preference
	englishArticle, frenchArticle int

	h         household
	place     uint64 // of the visit
	writeAs   int    // the visit whose dice are thrown: an exact duplicate is the first visit thrown again
	arabic    bool
	french    bool
	careless  bool
	phone     bool
	phoneForm int

	buf    []byte
	fields [numFields][2]int
	runes  []rune
}

type preference struct{ english, french uint8 }

const (
	tableMale = iota
	tableFemale
	tableFamily
	tableTowns
)

func newClerk(p *Population, list int) *clerk {
	c := &clerk{p: p, list: list, org: &p.o.Organisations[list], digits: p.caseDigits()}
	r := seeded(p.o.Seed, placeHabit, uint64(list))
	for i, t := range []*names{&p.t.male, &p.t.female, &p.t.family, &p.t.towns} {
		c.prefers[i] = make([]preference, len(t.list))
		for j := range t.list {
			c.prefers[i][j] = preference{favourite(&r, len(t.list[j].english)), favourite(&r, len(t.list[j].french))}
		}
	}
	r = seeded(p.o.Seed, placeArticle, uint64(list))
	c.englishArticle, c.frenchArticle = r.weighted(englishArticles), r.weighted(frenchArticles)
	c.phoneForm = r.below(3)
	return c
}

// favourite prefers the first of n spellings.
func favourite(r *rng, n int) uint8 {
	if n == 1 || r.chance(.6) {
		return 0
	}
	return uint8(1 + r.below(n-1))
}

// visit prepares for the rows of a visit of the household in c.h.
func (c *clerk) visit(visit int, place uint64) {
	c.place, c.writeAs = place, visit
	if visit == 1 {
		r := seeded(c.p.o.Seed, placeAgain, uint64(c.list), c.h.id, 1)
		if r.chance(.5) {
			c.writeAs = 0
		}
	}
	r := seeded(c.p.o.Seed, placeVisit, uint64(c.list), c.h.id, uint64(c.writeAs))
	c.arabic = r.chance(c.org.Arabic)
	c.french = r.chance(c.org.French)
	c.careless = r.chance(.3)
	c.phone = r.chance(.85)
}

// row writes the row of a member into the buffer.
func (c *clerk) row(m int) {
	c.buf = c.buf[:0]
	for f := range c.fields {
		c.fields[f] = [2]int{}
	}
	c.buf = appendExternalID(c.buf, c.org, c.digits, c.place, m)
	c.end(fieldExternalID, 0)
	if fixed := c.h.fixed; fixed != nil {
		c.fixed(fixed)
		return
	}
	x := &c.h.members[m]
	e := c.p.o.Errors
	r := seeded(c.p.o.Seed, placeRow, uint64(c.list), c.h.id, uint64(m), uint64(c.writeAs))
	first := tableMale
	if x.female {
		first = tableFemale
	}
	untidy := field(-1)
	if r.chance(e.Untidy) {
		untidy = fieldFirstName + field(r.below(4))
	}
	c.name(&r, fieldFirstName, first, x.first, untidy)
	c.name(&r, fieldLastName, tableFamily, x.last, untidy)
	if !r.chance(e.MissingMother) {
		c.name(&r, fieldMother, tableFemale, x.mother, untidy)
	}
	if !r.chance(e.MissingFather) {
		c.name(&r, fieldFather, tableMale, x.father, untidy)
	}
	c.birth(&r, x.born)
	start := len(c.buf)
	if x.female {
		c.buf = append(c.buf, 'F')
	} else {
		c.buf = append(c.buf, 'M')
	}
	c.end(fieldSex, start)
	c.household()
}

// household writes what a row has from its household: the number of the visit, the town, the telephone.
func (c *clerk) household() {
	start := len(c.buf)
	c.buf = append(c.buf, 'H')
	c.buf = appendPadded(c.buf, c.place+1, c.digits)
	c.end(fieldHousehold, start)

	start = len(c.buf)
	town := &c.p.t.towns.list[c.h.town]
	pre := c.prefers[tableTowns][c.h.town]
	switch {
	case c.arabic:
		c.buf = append(c.buf, town.arabic...)
	case c.french:
		c.buf = append(c.buf, town.french[pre.french]...)
	default:
		c.buf = append(c.buf, town.english[pre.english]...)
	}
	c.end(fieldLocation, start)

	if c.phone && c.h.fixed == nil {
		start = len(c.buf)
		c.buf = appendPhone(c.buf, c.p.o.Seed, c.h.id, c.phoneForm)
		c.end(fieldPhone, start)
	}
}

// phoneRanges are the geographic ranges kept for fiction by the French regulator, without the last four digits.
var phoneRanges = [][3]string{{"1", "99", "00"}, {"2", "61", "91"}, {"3", "53", "01"}, {"4", "65", "71"}, {"5", "36", "49"}}

func appendPhone(b []byte, seed, household uint64, form int) []byte {
	r := seeded(seed, placePhone, household)
	area := phoneRanges[r.below(len(phoneRanges))]
	number := uint64(r.below(10_000))
	switch form {
	case 0:
		b = append(b, "+33"...)
	case 1:
		b = append(b, "0033"...)
	default:
		b = append(b, "+33 "...)
	}
	for i, part := range area {
		if form == 2 && i > 0 {
			b = append(b, ' ')
		}
		b = append(b, part...)
	}
	if form != 2 {
		return appendPadded(b, number, 4)
	}
	b = append(b, ' ')
	b = appendPadded(b, number/100, 2)
	b = append(b, ' ')
	return appendPadded(b, number%100, 2)
}

func (c *clerk) end(f field, start int) { c.fields[f] = [2]int{start, len(c.buf)} }

func (c *clerk) field(f field) []byte { return c.buf[c.fields[f][0]:c.fields[f][1]] }

// fixed writes an Inclusion as it is.
func (c *clerk) fixed(x *Contact) {
	for _, v := range []struct {
		f field
		s string
	}{
		{fieldFirstName, x.FirstName}, {fieldLastName, x.LastName}, {fieldMother, x.MotherFirstName}, {fieldFather, x.FatherFirstName},
		{fieldBirth, x.DateOfBirth}, {fieldSex, x.Sex}, {fieldPhone, x.Phone}, {fieldNationalID, x.NationalID},
	} {
		start := len(c.buf)
		c.buf = append(c.buf, v.s...)
		c.end(v.f, start)
	}
	c.household()
}

func (c *clerk) contact() Contact {
	get := func(f field) string { return string(c.field(f)) }
	return Contact{
		FirstName: get(fieldFirstName), LastName: get(fieldLastName), MotherFirstName: get(fieldMother),
		FatherFirstName: get(fieldFather), DateOfBirth: get(fieldBirth), Sex: get(fieldSex), Phone: get(fieldPhone),
		NationalID: get(fieldNationalID), HouseholdID: get(fieldHousehold), Location: get(fieldLocation), ExternalID: get(fieldExternalID),
	}
}

// birth writes the date of birth.
func (c *clerk) birth(r *rng, d date) {
	e := c.p.o.Errors
	switch {
	case r.chance(e.Estimated):
		d.month, d.day = 1, 1
		if r.chance(.3) {
			d.year--
		}
	case r.chance(e.DaySwap):
		if d.day <= 12 {
			d.month, d.day = d.day, d.month
		}
	case r.chance(e.DateTypo):
		switch r.below(4) {
		case 0:
			d.year--
		case 1:
			d.year -= 10
		case 2:
			d.day = int8(r.between(1, 28))
		default:
			d.month, d.day = int8(r.between(1, 12)), min(d.day, 28)
		}
	}
	if d.day > 28 {
		d.day = min(d.day, int8(daysIn(int(d.year), int(d.month)))) // a wrong year may not be a leap year
	}
	start := len(c.buf)
	c.buf = appendPadded(c.buf, uint64(d.year), 4)
	c.buf = append(c.buf, '-')
	c.buf = appendPadded(c.buf, uint64(d.month), 2)
	c.buf = append(c.buf, '-')
	c.buf = appendPadded(c.buf, uint64(d.day), 2)
	c.end(fieldBirth, start)
}
