package lists

import "slices"

// Spelling is a name as it is written.
type Spelling struct {
	Arabic string
	Latin  []string // by English and by French habit, the usual first, none twice
}

// Spellings gives the names of the tables, the commoner first: given names of women and of men, and family names.
func Spellings() (female, male, family []Spelling, err error) {
	t, err := loadTables()
	if err != nil {
		return nil, nil, nil, err
	}
	return t.female.spellings(), t.male.spellings(), t.family.spellings(), nil
}

func (n *names) spellings() []Spelling {
	var out []Spelling
	for _, x := range n.list {
		s := Spelling{Arabic: x.arabic}
		if x.article {
			s.Arabic = arabicArticle + x.arabic
		}
		for _, l := range append(slices.Clone(x.english), x.french...) {
			if !slices.Contains(s.Latin, l) {
				s.Latin = append(s.Latin, l)
			}
		}
		out = append(out, s)
	}
	return out
}
