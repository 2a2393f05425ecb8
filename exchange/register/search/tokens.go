package search

import (
	"strings"
	"sync"
	"unicode"

	"ihyid/contacts"
	"ihyid/contacts/encode"
	"ihyid/contacts/normalise"
	"ihyid/store"
)

// The kinds of tokens; each token begins with one of these bytes.
const (
	kindStart   = 's' // beginning of a word of first or last name
	kindSound   = 'a' // Arabic skeleton of a word, or of all, of first or last name
	kindSlavic  = 'c' // Slavic skeleton of the same
	kindMother  = 'm' // Arabic skeleton of a word, or of all, of the mother's first name
	kindFather  = 'f'
	kindSoundex = 'x' // and the number of the field
	kindDate    = 'd' // of birth
)

const (
	minStart = 2
	maxStart = 10 // letters of a beginning; what was asked for beyond is compared with the contact itself
	maxWords = 8  // of one name; a search looks at no more either
)

var (
	latin, arabic, cyrillic = lookup("latin/1"), lookup("arabic/1"), lookup("cyrillic/1")
	arabicSkeleton          = skeleton("arabic-skeleton/1")
	slavicSkeleton          = skeleton("slavic-skeleton/1")
)

func lookup(name string) normalise.Func {
	f, ok := normalise.Lookup(name)
	if !ok {
		panic("search: no normaliser " + name)
	}
	return f
}

func skeleton(name string) encode.Func {
	f, ok := encode.Lookup(name)
	if !ok {
		panic("search: no encoder " + name)
	}
	return f
}

// words splits a name at what is no letter and no mark.
func words(name string) []string {
	w := strings.FieldsFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && r != '\'' && r != '’' && r != 'ʼ'
	})
	return w[:min(len(w), maxWords)]
}

// code is the skeleton of a word, or "".
func code(kind byte, n normalise.Func, e encode.Func, word string) string {
	var a, b [128]byte
	c := e(append(b[:0], kind), string(n(a[:0], word)))
	if len(c) == 1 {
		return ""
	}
	return string(c)
}

// sounds appends the sound of a name, and of its words where it has several.
func sounds(dst []string, kind byte, name string) []string {
	return spelled(dst, name, func(w string) string { return code(kind, arabic, arabicSkeleton, w) })
}

func spelled(dst []string, name string, of func(string) string) []string {
	add := func(t string) {
		if t != "" {
			dst = append(dst, t)
		}
	}
	add(of(name))
	if w := words(name); len(w) > 1 {
		for _, word := range w {
			add(of(word))
		}
	}
	return dst
}

// nameTokens appends what a first or last name is found by.
func nameTokens(dst []string, name string) []string {
	var buf [256]byte
	for _, word := range strings.Fields(string(latin(buf[:0], name))) {
		dst = append(dst, starts(word)...)
	}
	dst = sounds(dst, kindSound, name)
	return spelled(dst, name, func(w string) string { return code(kindSlavic, cyrillic, slavicSkeleton, w) })
}

// starts are the beginnings of a word; a word of one letter is its own.
func starts(word string) []string {
	if len(word) < minStart {
		return []string{string(kindStart) + word}
	}
	out := make([]string, 0, maxStart)
	for n := minStart; n <= min(len(word), maxStart); n++ {
		out = append(out, string(kindStart)+word[:n])
	}
	return out
}

// value is one value of a contact that has tokens. Values repeat from contact to contact far more than contacts do.
type value struct {
	kind byte
	text string
}

// values appends the values of a contact.
func values(dst []value, c *contacts.Contact) []value {
	add := func(kind byte, text string) {
		if text != "" {
			dst = append(dst, value{kind, text})
		}
	}
	add(kindStart, c.FirstName)
	add(kindStart, c.LastName)
	add(kindMother, c.MotherFirstName)
	add(kindFather, c.FatherFirstName)
	add(kindDate, c.DateOfBirth)
	for f := contacts.FirstName; f <= contacts.FatherFirstName; f++ {
		add(kindSoundex+byte(f)+1, c.Value(f))
	}
	return dst
}

// tokens appends the tokens of a value.
func (v value) tokens(dst []string) []string {
	switch v.kind {
	case kindStart:
		return nameTokens(dst, v.text)
	case kindMother, kindFather:
		return sounds(dst, v.kind, v.text)
	case kindDate:
		return append(dst, string(kindDate)+v.text)
	}
	if s := contacts.Soundex(v.text); s != "" {
		return append(dst, string(v.kind)+s)
	}
	return dst
}

// terms remembers the terms of values: making them costs two SHA-256 each.
type terms struct {
	hash func([]byte) store.Term
	mu   sync.Mutex
	of   map[value][]store.Term
}

// maxTerms bounds what is remembered; then it begins anew.
const maxTerms = 1 << 17

func (t *terms) get(v value) []store.Term {
	t.mu.Lock()
	out, ok := t.of[v]
	t.mu.Unlock()
	if ok {
		return out
	}
	seen := map[string]bool{}
	for _, token := range v.tokens(nil) {
		if !seen[token] {
			seen[token] = true
			out = append(out, t.hash([]byte(token)))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.of) >= maxTerms || t.of == nil {
		t.of = map[value][]store.Term{}
	}
	t.of[v] = out
	return out
}
