package lists

import (
	"fmt"
	"iter"
	"math/bits"
)

// A Population is what several organisations registered. It holds the options and a few numbers; contacts are computed as
// they are asked for. It does not change once made and may be used by several goroutines.
type Population struct {
	o          Options
	t          *tableSet
	classes    []class
	classTotal int64
	households uint64 // those with any row
	lists      []list
}

// A class is a set of organisations that register the same households; its weight is how common such households are.
type class struct {
	set    uint8
	weight int64
}

// A list ends within a household: of the household numbered last, rows up to end stay. See rowOrder.
type list struct {
	last  uint64
	end   int
	order permutation // of visits: 2·household, and one more for the second visit of those that come twice
}

// registers is the probability that a member of a household is registered with it.
const registers = .93

// New plans the population: it counts households until every list is full. That takes about a third of the time of writing the lists.
func New(o Options) (*Population, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	p := &Population{o: o, lists: make([]list, len(o.Organisations))}
	if p.t, err = loadTables(); err != nil {
		return nil, err
	}
	if err := p.weighClasses(); err != nil {
		return nil, err
	}
	p.cut()
	for i := range p.lists {
		r := seeded(o.Seed, placeOrder, uint64(i))
		p.lists[i].order = newPermutation(2*p.households, r.next())
	}
	return p, nil
}

// weighClasses shares the households out among the sets of organisations: alone, every pair, and all of them.
func (p *Population) weighClasses() error {
	g := p.o.Organisations
	common := int64(p.o.Overlap * 1000 / registers) // thousandths; a common person has to be registered with both
	smallest := int64(g[0].N)
	for i := range g {
		smallest = min(smallest, int64(g[i].N))
	}
	var all int64
	if len(g) > 2 {
		all = smallest * common * 3 / 10
		p.classes = append(p.classes, class{uint8(1<<len(g) - 1), all})
	}
	alone := make([]int64, len(g))
	for i := range g {
		alone[i] += 1000*int64(g[i].N) - all
		for j := range i {
			w := int64(min(g[i].N, g[j].N))*common - all
			p.classes = append(p.classes, class{1<<i | 1<<j, w})
			alone[i] -= w
			alone[j] -= w
		}
	}
	for i, w := range alone {
		if w < 0 {
			return fmt.Errorf("%w: an overlap of %v is too much for %d lists of these sizes", ErrOptions, p.o.Overlap, len(g))
		}
		p.classes = append(p.classes, class{1 << i, w})
	}
	for _, c := range p.classes {
		p.classTotal += c.weight
	}
	return nil
}

// cut finds where each list is full.
func (p *Population) cut() {
	left := make([]int, len(p.lists))
	var open uint8
	for i := range left {
		left[i] = p.o.Organisations[i].N
		open |= 1 << i
	}
	var h household
	for id := uint64(0); open != 0; id++ {
		if p.class(id)&open == 0 {
			continue
		}
		p.household(&h, id)
		for i := range left {
			if h.class&open&(1<<i) == 0 {
				continue
			}
			for visit := range 2 {
				for set := p.members(i, &h, visit); set != 0 && left[i] > 0; set &= set - 1 {
					if left[i]--; left[i] == 0 {
						p.lists[i] = list{last: id, end: rowOrder(visit, bits.TrailingZeros16(set)) + 1}
						open &^= 1 << i
						p.households = id + 1
					}
				}
			}
		}
	}
}

// rowOrder numbers the rows that one household can have in one list.
func rowOrder(visit, member int) int { return visit*maxMembers + member }

// members returns which members of the household the list registers at a visit (the second is 1), as bits.
func (p *Population) members(list int, h *household, visit int) uint16 {
	if h.fixed != nil {
		return uint16(1 - visit)
	}
	var set uint16
	r := seeded(p.o.Seed, placePresent, uint64(list), h.id)
	for m := range h.n {
		if r.chance(registers) {
			set |= 1 << m
		}
	}
	if visit == 1 {
		r, yes := p.again(list, h.id)
		switch {
		case !yes:
			return 0
		case r.chance(.7):
			set &= 1 << r.below(h.n)
		}
	}
	return set
}

// again says whether the list registers household id twice, and returns the generator for what follows from it.
func (p *Population) again(list int, id uint64) (rng, bool) {
	r := seeded(p.o.Seed, placeAgain, uint64(list), id)
	yes := r.chance(p.o.Errors.Again)
	return r, yes
}

// kept is members, without those for whom the list was full.
func (p *Population) kept(list int, h *household, visit int) uint16 {
	l := &p.lists[list]
	if h.class&(1<<list) == 0 || h.id > l.last {
		return 0
	}
	set := p.members(list, h, visit)
	if h.id == l.last {
		stay := min(max(l.end-rowOrder(visit, 0), 0), maxMembers)
		set &= 1<<stay - 1
	}
	return set
}

// Lists returns how many lists there are.
func (p *Population) Lists() int { return len(p.lists) }

// Organisation returns the maker of a list, with the defaults of the options in place.
func (p *Population) Organisation(list int) Organisation { return p.o.Organisations[list] }

// Contacts returns the rows of a list in their order.
func (p *Population) Contacts(list int) iter.Seq[Contact] {
	return func(yield func(Contact) bool) {
		for c := range p.rows(list) {
			if !yield(c.contact()) {
				return
			}
		}
	}
}

// rows returns a clerk for each row; it is the same one, with the next row before it.
func (p *Population) rows(list int) iter.Seq[*clerk] {
	return func(yield func(*clerk) bool) {
		c := newClerk(p, list)
		order := &p.lists[list].order
		for place := range 2 * p.households {
			unit := order.from(place)
			id, visit := unit>>1, int(unit&1)
			if id > p.lists[list].last || p.class(id)&(1<<list) == 0 {
				continue
			}
			if visit == 1 {
				if _, yes := p.again(list, id); !yes {
					continue
				}
			}
			p.household(&c.h, id)
			set := p.kept(list, &c.h, visit)
			if set == 0 {
				continue
			}
			c.visit(visit, place)
			for ; set != 0; set &= set - 1 {
				c.row(bits.TrailingZeros16(set))
				if !yield(c) {
					return
				}
			}
		}
	}
}

// A Pair is two rows, by their external ids, that are one person. AList is never more than BList; where they are equal, the
// organisation has registered the person twice.
type Pair struct {
	AList, BList int
	A, B         string
}

// Pairs returns the truth: every pair of rows that are one person, each once.
func (p *Population) Pairs() iter.Seq[Pair] {
	type row struct {
		list, visit int
	}
	return func(yield func(Pair) bool) {
		var h household
		var rows []row
		for id := range p.households {
			set := p.class(id)
			var twice bool
			for i := range p.lists {
				if set&(1<<i) != 0 {
					_, yes := p.again(i, id)
					twice = twice || yes
				}
			}
			if set&(set-1) == 0 && !twice {
				continue
			}
			p.household(&h, id)
			for m := range h.n {
				rows = rows[:0]
				for i := range p.lists {
					for visit := range 2 {
						if p.kept(i, &h, visit)&(1<<m) != 0 {
							rows = append(rows, row{i, visit})
						}
					}
				}
				for i, a := range rows {
					for _, b := range rows[i+1:] {
						pair := Pair{a.list, b.list, p.externalID(a.list, id, a.visit, m), p.externalID(b.list, id, b.visit, m)}
						if !yield(pair) {
							return
						}
					}
				}
			}
		}
	}
}

// externalID is the prefix, the number of the visit in the list's order, and the number of the member.
func (p *Population) externalID(list int, id uint64, visit, member int) string {
	place := p.lists[list].order.at(2*id + uint64(visit))
	return string(appendExternalID(nil, &p.o.Organisations[list], p.caseDigits(), place, member))
}

// caseDigits is how wide the numbers of visits are.
func (p *Population) caseDigits() int {
	digits := 5
	for n := uint64(100_000); n <= 2*p.households; n *= 10 {
		digits++
	}
	return digits
}

func appendExternalID(b []byte, g *Organisation, digits int, place uint64, member int) []byte {
	b = append(b, g.Prefix...)
	b = appendPadded(b, place+1, digits)
	b = append(b, '-')
	return appendPadded(b, uint64(member)+1, 1)
}

func appendPadded(b []byte, n uint64, digits int) []byte {
	var d [20]byte
	i := len(d)
	for n > 0 || len(d)-i < digits {
		i--
		d[i] = byte('0' + n%10)
		n /= 10
	}
	return append(b, d[i:]...)
}

// A Set is a whole population in memory.
type Set struct {
	Lists []List
	Truth []Pair
}

// A List is what one organisation registered.
type List struct {
	Organisation Organisation
	Contacts     []Contact
}

// Generate returns the whole population that the options describe: for tests, as it takes some 300 bytes a contact.
func Generate(o Options) (*Set, error) {
	p, err := New(o)
	if err != nil {
		return nil, err
	}
	s := &Set{Lists: make([]List, p.Lists())}
	for i := range s.Lists {
		g := p.Organisation(i)
		s.Lists[i] = List{g, make([]Contact, 0, g.N)}
		for c := range p.Contacts(i) {
			s.Lists[i].Contacts = append(s.Lists[i].Contacts, c)
		}
	}
	for pair := range p.Pairs() {
		s.Truth = append(s.Truth, pair)
	}
	return s, nil
}
