package search

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ihyid/contacts"
	"ihyid/store"
)

// plan is a query in terms. Everything in all must hold; of each of these, one alternative; of an alternative, every group; of a group, one term.
type plan struct {
	all     [][][][]store.Term
	compare []string // long beginnings, which the contact itself must have; nil: its tokens say it all
}

// maxName bounds a name that is searched for, in bytes.
const maxName = 400

var (
	phoneticID = regexp.MustCompile(`^([A-Z][0-9]{3}|\*)-([A-Z][0-9]{3}|\*)-([A-Z][0-9]{3}|\*)-([A-Z][0-9]{3}|\*)-([0-9]{8}|\*)$`)
	date       = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
)

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrQuery, fmt.Sprintf(format, args...))
}

// plan makes the plan of a query, or says what is wrong with it.
func (x *Index) plan(q Query) (*plan, error) {
	p := &plan{}
	term := func(token string) store.Term { return x.terms.hash([]byte(token)) }
	one := func(tokens ...string) {
		group := make([]store.Term, len(tokens))
		for i, t := range tokens {
			group[i] = term(t)
		}
		p.all = append(p.all, [][][]store.Term{{group}})
	}
	if len(q.Name) > maxName || len(q.Mother) > maxName || len(q.Father) > maxName || len(q.ExternalID) > maxName {
		return nil, wrong("a name may have %d bytes", maxName)
	}
	if q.Name != "" {
		if err := p.name(q, term); err != nil {
			return nil, err
		}
	}
	for _, parent := range []struct {
		kind byte
		name string
		what string
	}{{kindMother, q.Mother, "mother"}, {kindFather, q.Father, "father"}} {
		if parent.name == "" {
			continue
		}
		t := sounds(nil, parent.kind, parent.name)
		if len(t) == 0 {
			return nil, wrong("the %s's name has no letters", parent.what)
		}
		one(t[0])
	}
	if q.Born != "" {
		if !date.MatchString(q.Born) {
			return nil, wrong("a date of birth is written like 1976-05-07")
		}
		one(string(kindDate) + q.Born)
	}
	if q.PhoneticID != "" {
		m := phoneticID.FindStringSubmatch(q.PhoneticID)
		if m == nil {
			return nil, wrong("a phonetic id is written like H550-H330-B616-M240-19760507; each part may be *")
		}
		for f := contacts.FirstName; f <= contacts.FatherFirstName; f++ {
			if c := m[f+1]; c != "*" {
				one(string(kindSoundex+byte(f)+1) + c)
			}
		}
		if d := m[5]; d != "*" {
			one(string(kindDate) + d[:4] + "-" + d[4:6] + "-" + d[6:])
		}
	}
	if len(p.all) == 0 && q.ExternalID == "" {
		return nil, wrong("say at least one thing to search for")
	}
	return p, nil
}

// name adds the clause of a name: every word by its beginning or its sound, or the sound of the whole (Abd al-Rahman is one name, Abdulrahman).
func (p *plan) name(q Query, term func(string) store.Term) error {
	var alternatives [][][]store.Term
	var each [][]store.Term
	written := words(q.Name)
	if len(written) == 0 {
		return wrong("the name has no letters")
	}
	byStart, bySound := q.Match == Any || q.Match == Start, q.Match == Any || q.Match == Sound
	if !byStart && !bySound {
		return wrong("match is start or sound, or left out for either")
	}
	for _, w := range written {
		var group []store.Term
		var buf [256]byte
		if letters := strings.Fields(string(latin(buf[:0], w))); byStart && len(letters) > 0 {
			l := strings.Join(letters, "")
			if len(l) > maxStart && !bySound {
				p.compare = append(p.compare, l)
			}
			group = append(group, term(string(kindStart)+l[:min(len(l), maxStart)]))
		}
		if bySound {
			for _, c := range []string{code(kindSound, arabic, arabicSkeleton, w), code(kindSlavic, cyrillic, slavicSkeleton, w)} {
				if c != "" {
					group = append(group, term(c))
				}
			}
		}
		if len(group) == 0 {
			return wrong("a word of the name has no letters")
		}
		each = append(each, group)
	}
	alternatives = append(alternatives, each)
	if bySound && len(written) > 1 {
		if c := code(kindSound, arabic, arabicSkeleton, q.Name); c != "" {
			alternatives = append(alternatives, [][]store.Term{{term(c)}})
		}
	}
	p.all = append(p.all, alternatives)
	return nil
}

// holds says whether a contact is what was asked for, by itself and not by its tokens.
func (p *plan) holds(c *contacts.Contact) bool {
	var buf [512]byte
	names := strings.Fields(string(latin(buf[:0], c.FirstName+" "+c.LastName)))
	for _, start := range p.compare {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, start) }) {
			return false
		}
	}
	return true
}

// found says whether a contact with these terms is what was asked for.
func (p *plan) found(have map[store.Term]bool) bool {
	for _, alternatives := range p.all {
		if !slices.ContainsFunc(alternatives, func(groups [][]store.Term) bool {
			return !slices.ContainsFunc(groups, func(g []store.Term) bool {
				return !slices.ContainsFunc(g, func(t store.Term) bool { return have[t] })
			})
		}) {
			return false
		}
	}
	return true
}
