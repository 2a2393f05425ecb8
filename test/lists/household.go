package lists

// What is so, before anybody registers it.

const (
	maxMembers = 10
	lastYear   = 2024 // nobody is born later, so that a list does not depend on the day it is made
)

// The places that random numbers are drawn for; see seeded.
const (
	placeHousehold = iota + 1
	placeClan
	placePresent
	placeOrder
	placeAgain
	placeVisit
	placeRow
	placeHabit
	placeArticle
	placePhone
)

type date struct {
	year       int16
	month, day int8
}

// A person's names are indices of the tables: first of the table of the sex.
type person struct {
	female                      bool
	first, last, mother, father uint16
	born                        date
}

type household struct {
	id      uint64
	class   uint8    // bit i: organisation i registers it
	fixed   *Contact // an Inclusion; then there is one member without names
	town    uint16
	members [maxMembers]person
	n       int
}

// The kinds of households, and how common they are.
const (
	family = iota
	withoutFather
	oldCouple
	oneAlone
)

var (
	householdKinds = []int{family: 80, withoutFather: 11, oldCouple: 5, oneAlone: 4}
	childrenWanted = []int{14, 24, 26, 19, 11, 6} // one, two, … six
	yearsBetween   = []int{0, 20, 35, 25, 12, 8}  // from one child to the next
)

// class returns which organisations know household id, without making it.
func (p *Population) class(id uint64) uint8 {
	if id < uint64(len(p.o.Include)) {
		var c uint8
		for _, l := range p.o.Include[id].Lists {
			c |= 1 << l
		}
		return c
	}
	r := seeded(p.o.Seed, placeHousehold, id)
	return p.pickClass(&r)
}

func (p *Population) pickClass(r *rng) uint8 {
	n := int64(r.upTo(uint64(p.classTotal)))
	for _, c := range p.classes {
		if n < c.weight {
			return c.set
		}
		n -= c.weight
	}
	return 0
}

// household makes household id into h.
func (p *Population) household(h *household, id uint64) {
	h.id, h.n, h.fixed = id, 0, nil
	r := seeded(p.o.Seed, placeHousehold, id)
	if id < uint64(len(p.o.Include)) {
		h.class = p.class(id)
		h.fixed = &p.o.Include[id].Contact
		h.town = p.t.towns.pick(&r)
		h.n = 1
		return
	}
	h.class = p.pickClass(&r) // the first draw: see class
	h.town = p.t.towns.pick(&r)

	kind := r.weighted(householdKinds)
	motherYear := r.between(1958, 2003)
	if kind == oldCouple {
		motherYear = r.between(1930, 1957)
	}
	mother := p.adult(&r, true, motherYear)
	father := p.adult(&r, false, motherYear-r.below(11))
	p.joinClan(&father, id)

	switch kind {
	case oneAlone:
		if r.chance(.6) {
			h.add(father)
		} else {
			h.add(mother)
		}
		return
	case withoutFather:
		h.add(mother)
	default:
		h.add(father)
		h.add(mother)
	}
	if kind == oldCouple {
		return
	}
	p.children(&r, h, &father, &mother)
	if r.chance(.08) { // the father's mother lives with them
		g := p.adult(&r, true, int(father.born.year)-r.between(18, 35))
		g.first = father.mother
		h.add(g)
	}
}

func (h *household) add(x person) {
	h.members[h.n] = x
	h.n++
}

func (p *Population) adult(r *rng, female bool, year int) person {
	x := person{
		female: female,
		last:   p.t.family.pick(r),
		mother: p.t.female.pick(r),
		father: p.t.male.pick(r),
		born:   p.birthday(r, year),
	}
	x.first = p.given(female).pick(r)
	return x
}

func (p *Population) given(female bool) *names {
	if female {
		return &p.t.female
	}
	return &p.t.male
}

// joinClan makes the fathers of some neighbouring households brothers: one family name, the same parents.
func (p *Population) joinClan(father *person, id uint64) {
	r := seeded(p.o.Seed, placeClan, id>>1)
	if !r.chance(.2) {
		return
	}
	father.last, father.mother, father.father = p.t.family.pick(&r), p.t.female.pick(&r), p.t.male.pick(&r)
	mine, other := p.t.male.pick(&r), p.t.male.pick(&r)
	if id&1 == 1 {
		mine, other = other, mine
	}
	if mine != other {
		father.first = mine
	}
}

// children gives the couple one to six children, fewer for the young, now and then twins.
func (p *Population) children(r *rng, h *household, father, mother *person) {
	want := 1 + r.weighted(childrenWanted)
	born := p.birthday(r, min(int(mother.born.year)+r.between(18, 30), lastYear))
	first := h.n
	for i := range want {
		if i > 0 && !r.chance(.025) { // else twins: the same day
			gap := r.weighted(yearsBetween)
			next := p.birthday(r, int(born.year)+gap)
			if gap == 1 && next.month < born.month {
				next.month, next.day = 12, min(next.day, 28)
			}
			if next.year > lastYear {
				return
			}
			born = next
		}
		c := person{last: father.last, mother: mother.first, father: father.first, born: born}
		c.female = r.chance(.49)
		for try := true; try; {
			c.first = p.given(c.female).pick(r)
			if i == 0 && !c.female && r.chance(.25) {
				c.first = father.father // the first son is often named after his grandfather
			}
			try = false
			for _, s := range h.members[first:h.n] {
				try = try || s.female == c.female && s.first == c.first
			}
		}
		h.add(c)
	}
}

// birthday returns a day of the year, or its first, for those whose day nobody knows.
func (p *Population) birthday(r *rng, year int) date {
	if r.chance(p.o.Errors.FirstJanuary) {
		return date{int16(year), 1, 1}
	}
	month := r.between(1, 12)
	return date{int16(year), int8(month), int8(r.between(1, daysIn(year, month)))}
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
