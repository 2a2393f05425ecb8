package normalise

import (
	"unicode"
	"unicode/utf8"

	"github.com/mozillazg/go-unidecode"
	"golang.org/x/text/unicode/norm"
)

// folder brings a text to words of plain letters.
type folder struct {
	letters map[rune]string
	// keep says which letters outside ASCII stay; all others are transliterated to ASCII.
	keep func(rune) bool
}

// mustFolder reads a table of letters, one a line: letter, tab, what it becomes ("-" for nothing), that is part of the program.
func mustFolder(table string, keep func(rune) bool) *folder {
	f := &folder{letters: map[rune]string{}, keep: keep}
	for row := range tableRows(table) {
		r, n := utf8.DecodeRuneInString(row[0])
		if len(row) < 2 || n != len(row[0]) {
			panic("normalise: not a table of letters: " + row[0])
		}
		to := row[1]
		if to == "-" {
			to = ""
		}
		f.letters[r] = to
	}
	return f
}

// append appends the words of a text in lower case with a space between: compatibility forms resolved, letters of the table
// replaced, accents and vowel signs gone, apostrophes dropped, everything else that is no letter taken as a space.
func (f *folder) append(dst []byte, s string) []byte {
	start := len(dst)
	for _, r := range s {
		dst = f.rune(dst, r, start)
	}
	if n := len(dst); n > start && dst[n-1] == ' ' {
		dst = dst[:n-1]
	}
	return dst
}

func (f *folder) rune(dst []byte, r rune, start int) []byte {
	if r < utf8.RuneSelf {
		switch {
		case 'a' <= r && r <= 'z':
			return append(dst, byte(r))
		case 'A' <= r && r <= 'Z':
			return append(dst, byte(r)|0x20)
		case r == '\'' || r == '`':
			return dst
		}
		return appendSpace(dst, start)
	}
	r = unicode.ToLower(r)
	if to, ok := f.letters[r]; ok {
		return append(dst, to...)
	}
	if f.keep(r) {
		return utf8.AppendRune(dst, r)
	}
	if unicode.Is(unicode.M, r) || unicode.Is(unicode.Cf, r) {
		return dst
	}
	var buf [64]byte
	if d := norm.NFKD.Append(buf[:0], utf8.AppendRune(nil, r)...); string(d) != string(r) {
		for _, x := range string(d) {
			dst = f.rune(dst, x, start)
		}
		return dst
	}
	if !unicode.IsLetter(r) {
		return appendSpace(dst, start)
	}
	for _, x := range unidecode.Unidecode(string(r)) {
		if x < utf8.RuneSelf {
			dst = f.rune(dst, x, start)
		}
	}
	return dst
}

// appendSpace appends a space, but none at the start and no second.
func appendSpace(dst []byte, start int) []byte {
	if n := len(dst); n > start && dst[n-1] != ' ' {
		dst = append(dst, ' ')
	}
	return dst
}
