package lists

import (
	"bytes"
	"unicode/utf8"
)

// The forms of the article: which, and how common by either habit.
const (
	articleHyphen      = iota // Al-Haddad
	articleSpace              // Al Haddad
	articleElSpace            // El Haddad
	articleElHyphen           // El-Haddad
	articleLower              // al-Haddad
	articleJoined             // Alhaddad
	articleElJoined           // Elhaddad
	articleAssimilated        // As-Sayyed
	articleNone               // Haddad
)

var (
	englishArticles = []int{36, 22, 5, 4, 5, 4, 1, 3, 20}
	frenchArticles  = []int{8, 10, 35, 14, 1, 2, 5, 1, 24}
	articleText     = []string{"Al-", "Al ", "El ", "El-", "al-", "Al", "El", "", ""}
)

// name writes one name into a field.
func (c *clerk) name(r *rng, f field, table int, index uint16, untidy field) {
	var t *names
	switch table {
	case tableMale:
		t = &c.p.t.male
	case tableFemale:
		t = &c.p.t.female
	default:
		t = &c.p.t.family
	}
	n := &t.list[index]
	start := len(c.buf)
	if c.arabic {
		c.arabicName(r, n, table == tableFamily)
	} else {
		c.latinName(r, n, c.prefers[table][index], table == tableFamily)
	}
	if r.chance(c.p.o.Errors.NameTypo) {
		c.typo(r, start)
	}
	if f == fieldLastName && !c.arabic && r.chance(c.org.Upper) {
		c.buf = append(c.buf[:start], bytes.ToUpper(c.buf[start:])...)
	}
	if f == untidy {
		c.stray(r, start)
	}
	c.end(f, start)
}

// How often names are written otherwise than usual.
const (
	strayArticle  = .03 // a family name without the article gets one
	droppedArabic = .06 // a family name in Arabic script loses its article
	ownSpelling   = .2  // a clerk spells a name as he likes, not as the house does
	ownArticle    = .25 // the same for the article
	compoundGlued = .2  // a name of two words is written as one in Arabic script
)

// compoundJoins are the weights of a space, a hyphen and nothing between the words of a name in Latin script.
var compoundJoins = []int{60, 20, 20}

func (c *clerk) arabicName(r *rng, n *name, family bool) {
	if family {
		switch {
		case n.article && !r.chance(droppedArabic), !n.article && n.glued == "" && r.chance(strayArticle):
			c.buf = append(c.buf, arabicArticle...)
		}
	}
	switch {
	case n.glued != "" && r.chance(compoundGlued):
		c.buf = append(c.buf, n.glued...)
	case c.careless:
		c.buf = append(c.buf, n.careless...)
	default:
		c.buf = append(c.buf, n.arabic...)
	}
}

func (c *clerk) latinName(r *rng, n *name, pre preference, family bool) {
	list, favourite := n.english, int(pre.english)
	if c.french {
		list, favourite = n.french, int(pre.french)
	}
	if len(list) > 1 && r.chance(ownSpelling) {
		favourite = r.below(len(list))
	}
	s := list[favourite]
	if family && (n.article || n.glued == "" && r.chance(strayArticle)) {
		s = c.article(r, s)
	}
	if n.glued == "" {
		c.buf = append(c.buf, s...)
		return
	}
	join := r.weighted(compoundJoins)
	for i := range len(s) {
		switch {
		case s[i] == ' ' && join == 1:
			c.buf = append(c.buf, '-')
		case s[i] == ' ' && join == 2:
		case i > 0 && s[i-1] == ' ' && join == 2:
			c.buf = append(c.buf, lower(s[i]))
		default:
			c.buf = append(c.buf, s[i])
		}
	}
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		b += 'a' - 'A'
	}
	return b
}

// article writes the article in some form, and returns what is left of the name to write.
func (c *clerk) article(r *rng, s string) string {
	form, forms := c.englishArticle, englishArticles
	if c.french {
		form, forms = c.frenchArticle, frenchArticles
	}
	if r.chance(ownArticle) {
		form = r.weighted(forms)
	}
	c.buf = append(c.buf, articleText[form]...)
	switch form {
	case articleJoined, articleElJoined:
		if s[0] < utf8.RuneSelf {
			c.buf = append(c.buf, lower(s[0]))
			s = s[1:]
		}
	case articleAssimilated: // before the sun letters
		if s[0] == 'S' || s[0] == 'N' || s[0] == 'R' || s[0] == 'T' || s[0] == 'Z' || s[0] == 'D' {
			c.buf = append(c.buf, 'A', lower(s[0]))
			if s[0] == 'S' && len(s) > 1 && s[1] == 'h' {
				c.buf = append(c.buf, 'h')
			}
			c.buf = append(c.buf, '-')
		} else {
			c.buf = append(c.buf, "Al-"...)
		}
	}
	return s
}
