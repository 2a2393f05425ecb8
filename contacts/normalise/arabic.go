package normalise

import (
	"bytes"
	_ "embed"
	"strings"
	"unicode/utf8"
)

//go:embed tables/arabic-letters.tsv
var arabicLettersTable string

//go:embed tables/arabic-script.tsv
var arabicScriptTable string

//go:embed tables/arabic-latin.tsv
var arabicLatinTable string

//go:embed tables/arabic-particles.tsv
var arabicParticlesTable string

//go:embed tables/arabic-names.tsv
var arabicNamesTable string

//go:embed tables/arabic-siblings.tsv
var arabicSiblingsTable string

var (
	arabicFolder    = mustFolder(arabicLettersTable, isArabicLetter)
	arabicScript    = mustRules(arabicScriptTable)
	arabicLatin     = mustRules(arabicLatinTable)
	arabicParticles = mustParticles(arabicParticlesTable)
	arabicNames     = mustNames(arabicNamesTable, arabicFolder)
	arabicSiblings  = mustNames(arabicSiblingsTable, arabicFolder)
)

func isArabicLetter(r rune) bool {
	return 'ء' <= r && r <= 'غ' || 'ف' <= r && r <= 'ي' || r == 'گ' || r == 'چ' || r == 'پ' || r == 'ژ'
}

// particle is what is done with a word that is no name itself.
type particle uint8

const (
	noParticle particle = iota
	article
	son
)

func mustParticles(table string) map[string]particle {
	m := map[string]particle{}
	for row := range tableRows(table) {
		switch row[1] {
		case "article":
			m[row[0]] = article
		case "son":
			m[row[0]] = son
		default:
			panic("normalise: unknown particle " + row[1])
		}
	}
	return m
}

// mustNames reads a table of names that have their own sounds.
func mustNames(table string, f *folder) map[string]string {
	m := map[string]string{}
	for row := range tableRows(table) {
		for _, name := range strings.Split(row[0], "|") {
			m[string(reduce(f.append(nil, name)))] = row[1]
		}
	}
	return m
}

// maxWords bounds the words of a name that are looked at.
const maxWords = 12

// appendArabic is the normaliser "arabic/1": the sounds of an Arabic name, in Arabic or Latin script.
func appendArabic(dst []byte, value string) []byte {
	var buf, buf2 [256]byte
	text := arabicFolder.append(buf[:0], value)
	start := len(dst)
	for words := 0; len(text) > 0 && words < maxWords; words++ {
		word, rest, _ := bytes.Cut(text, []byte{' '})
		text = rest
		switch arabicParticles[string(word)] {
		case article:
			if len(rest) > 0 {
				continue
			}
		case son:
			if len(dst) > start {
				continue
			}
			if len(rest) > 0 {
				dst = append(dst, "BN"...)
				continue
			}
		}
		if len(dst) == start {
			// Families are named after the same people, with the article: al-Husain.
			if sounds, ok := arabicSiblings[string(reduce(append(buf2[:0], cutArabicArticle(string(word))...)))]; ok {
				dst = append(dst, sounds...)
				continue
			}
		}
		dst = appendSpace(dst, start)
		dst = appendArabicWord(dst, string(word))
	}
	return dst
}

func appendArabicWord(dst []byte, word string) []byte {
	if sounds, ok := lookupArabic(word); ok {
		return append(dst, sounds...)
	}
	if word[0] >= utf8.RuneSelf {
		word = cutArabicArticle(word)
	} else {
		word = cutLatinArticle(word)
	}
	if sounds, ok := lookupArabic(word); ok {
		return append(dst, sounds...)
	}
	if word[0] >= utf8.RuneSelf {
		return arabicScript.append(dst, word)
	}
	return arabicLatin.append(dst, word)
}

func lookupArabic(word string) (string, bool) {
	var buf [64]byte
	sounds, ok := arabicNames[string(reduce(append(buf[:0], word...)))]
	return sounds, ok
}

// reduce brings the usual ways to write one Latin vowel together, and doubled letters, in place: the table of names then
// needs one spelling where there are many.
func reduce(word []byte) []byte {
	n := 0
	for i := 0; i < len(word); i++ {
		c := word[i]
		switch {
		case c == 'o' && i+1 < len(word) && (word[i+1] == 'u' || word[i+1] == 'o'):
			c = 'u'
			i++
		case c == 'o':
			c = 'u'
		case c == 'y':
			c = 'i'
		case c == 'e' && i+1 < len(word) && word[i+1] == 'e':
			c = 'i'
			i++
		}
		if n > 0 && word[n-1] == c && c < utf8.RuneSelf {
			continue
		}
		word[n] = c
		n++
	}
	return word[:n]
}

// cutArabicArticle takes the article off a word in Arabic script, if a word is left.
func cutArabicArticle(word string) string {
	if rest, ok := strings.CutPrefix(word, "ال"); ok && utf8.RuneCountInString(rest) >= 2 {
		return rest
	}
	return word
}

// cutLatinArticle takes off an article that is written together with its word: Almasri, Elghonwi, Assalami.
func cutLatinArticle(word string) string {
	if len(word) < 5 || word[0] != 'a' && word[0] != 'e' {
		return word
	}
	if word[1] == 'l' {
		rest := word[2:]
		n := latinConsonants(rest)
		if len(rest) > 3 && rest[0] == 'o' && rest[1] == 'u' && isLatinVowel(rest[2]) {
			n++ // ou is w here
		}
		if isLatinVowel(rest[0]) && n >= 2 || !isLatinVowel(rest[0]) && n >= 2 {
			return rest
		}
		return word
	}
	switch c := word[1]; c {
	case 's', 'n', 'r', 't', 'd', 'z':
		if word[2] == c && latinConsonants(word[2:]) >= 4 {
			return word[2:]
		}
	}
	return word
}

func isLatinVowel(c byte) bool {
	switch c {
	case 'a', 'e', 'i', 'o', 'u':
		return true
	}
	return false
}

// latinConsonants counts consonant letters; a doubled one counts once.
func latinConsonants(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if !isLatinVowel(s[i]) && (i == 0 || s[i] != s[i-1]) && !(s[i] == 'h' && i > 0) {
			n++
		}
	}
	return n
}
