package normalise

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// rules rewrite a word from left to right: at each place the longest spelling that fits there, with its neighbours,
// gives its sounds. Letters without a rule are dropped.
//
// A table of rules has one rule a line: spelling, before, after, sounds, and a remark, with tabs between. "before" and "after" name
// what may stand there: "^" the start of the word, "$" its end, "V" a vowel letter, "C" another letter; several may be named, and "-" is
// anything. Lines that begin with "#" are remarks. A line "@vowels" names the vowel letters.
type rules struct {
	ascii  [utf8.RuneSelf][]rule
	others map[rune][]rule
	vowels map[rune]bool

	asciiVowel [utf8.RuneSelf]bool
}

type rule struct {
	from          string // without its first letter, which it is found by
	before, after context
	to            string
}

// width counts the neighbours that a rule allows.
func (r rule) width() int { return bits.OnesCount8(uint8(r.before)) + bits.OnesCount8(uint8(r.after)) }

// context is a set of neighbours.
type context uint8

const (
	atEdge context = 1 << iota
	atVowel
	atConsonant
)

func parseContext(s string) (context, bool) {
	if s == "-" {
		return atEdge | atVowel | atConsonant, true
	}
	var c context
	for _, r := range s {
		switch r {
		case '^', '$':
			c |= atEdge
		case 'V':
			c |= atVowel
		case 'C':
			c |= atConsonant
		default:
			return 0, false
		}
	}
	return c, c != 0
}

// mustRules reads a table that is part of the program.
func mustRules(table string) *rules {
	r := &rules{others: map[rune][]rule{}, vowels: map[rune]bool{}}
	for fields := range tableRows(table) {
		if fields[0] == "@vowels" {
			for _, v := range fields[1] {
				if v < utf8.RuneSelf {
					r.asciiVowel[v] = true
				} else {
					r.vowels[v] = true
				}
			}
			continue
		}
		if len(fields) < 4 {
			panic(fmt.Sprintf("normalise: rule %q has no four columns", fields))
		}
		before, okB := parseContext(fields[1])
		after, okA := parseContext(fields[2])
		first, n := utf8.DecodeRuneInString(fields[0])
		if !okB || !okA || n == 0 {
			panic(fmt.Sprintf("normalise: rule %q names no spelling or unknown neighbours", fields))
		}
		to := fields[3]
		if to == "-" {
			to = ""
		}
		ru := rule{fields[0][n:], before, after, to}
		if first < utf8.RuneSelf {
			r.ascii[first] = append(r.ascii[first], ru)
		} else {
			r.others[first] = append(r.others[first], ru)
		}
	}
	// Longest spelling first; among equals the one with the fewest neighbours allowed, then the order of the table.
	byLength := func(a, b rule) int {
		if c := cmp.Compare(len(b.from), len(a.from)); c != 0 {
			return c
		}
		return cmp.Compare(a.width(), b.width())
	}
	for _, list := range r.ascii {
		slices.SortStableFunc(list, byLength)
	}
	for _, list := range r.others {
		slices.SortStableFunc(list, byLength)
	}
	return r
}

// tableRows gives the rows of a table, without remarks, as columns.
func tableRows(table string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(table) {
			line = strings.TrimRight(line, "\r\n")
			if line == "" || line[0] == '#' {
				continue
			}
			if !yield(strings.Split(line, "\t")) {
				return
			}
		}
	}
}

// append appends the sounds of a word.
func (r *rules) append(dst []byte, word string) []byte {
	before := atEdge
	for i := 0; i < len(word); {
		first, n := rune(word[i]), 1
		if first >= utf8.RuneSelf {
			first, n = utf8.DecodeRuneInString(word[i:])
		}
		var list []rule
		if first < utf8.RuneSelf {
			list = r.ascii[first]
		} else {
			list = r.others[first]
		}
		rest := word[i+n:]
		last := first
		for j := range list {
			ru := &list[j]
			if ru.before&before == 0 || !strings.HasPrefix(rest, ru.from) || ru.after&r.at(rest[len(ru.from):]) == 0 {
				continue
			}
			dst = append(dst, ru.to...)
			if m := len(ru.from); m > 0 {
				n += m
				last, _ = utf8.DecodeLastRuneInString(ru.from)
			}
			break
		}
		i += n
		before = r.kind(last)
	}
	return dst
}

// at says what the rest of a word begins with.
func (r *rules) at(rest string) context {
	if rest == "" {
		return atEdge
	}
	first, _ := utf8.DecodeRuneInString(rest)
	return r.kind(first)
}

func (r *rules) kind(letter rune) context {
	if letter < utf8.RuneSelf && r.asciiVowel[letter] || letter >= utf8.RuneSelf && r.vowels[letter] {
		return atVowel
	}
	return atConsonant
}
