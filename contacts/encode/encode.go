// Package encode turns normalised values into the short codes of phonetic records.
//
// An encoder is a pure function known by name and version, so that a matching profile can name it and two nodes can
// tell that they use the same one. A code holds only the characters A–Z, a–z, 0–9, '+', '-', '.', '_' and ' ', so that
// a record needs no escaping in JSON; a value without a code is missing, and what is missing never makes a match.
//
// Encoders do not change once released: a better one gets a new version, and the old stays.
package encode

import (
	"slices"
	"strings"
)

// Func appends the code of a normalised value to dst. It appends nothing if the value has no code.
type Func func(dst []byte, value string) []byte

var funcs = map[string]Func{
	"text/1":             appendText,
	"soundex/1":          AppendSoundex,
	"double-metaphone/1": appendDoubleMetaphone,
	"nysiis/1":           appendNYSIIS,
	"daitch-mokotoff/1":  appendDaitchMokotoff,

	"arabic-skeleton/1":      arabicSkeleton.append,
	"arabic-skeleton-bare/1": arabicSkeleton.bare,
	"arabic-head-1/1":        arabicSkeleton.head(1),
	"arabic-head-2/1":        arabicSkeleton.head(2),
	"slavic-skeleton/1":      slavicSkeleton.append,
	"slavic-head-1/1":        slavicSkeleton.head(1),
	"slavic-head-2/1":        slavicSkeleton.head(2),
	"slavic-head-3/1":        slavicSkeleton.head(3),

	"prefix-1/1": prefix(1),
	"prefix-2/1": prefix(2),
	"prefix-3/1": prefix(3),
	"prefix-4/1": prefix(4),
	"sorted/1":   appendSorted,
}

// Lookup finds an encoder by name and version, e.g. "soundex/1".
func Lookup(name string) (Func, bool) {
	f, ok := funcs[name]
	return f, ok
}

// Names lists the encoders.
func Names() []string {
	names := make([]string, 0, len(funcs))
	for n := range funcs {
		names = append(names, n)
	}
	slices.SortFunc(names, strings.Compare)
	return names
}

// IsCode says whether c may stand in a code.
func IsCode(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.' || c == '_' || c == ' '
}

// appendText is the encoder "text/1": the normalised value itself. A value with any other character than those of a code has none.
func appendText(dst []byte, value string) []byte {
	for i := 0; i < len(value); i++ {
		if !IsCode(value[i]) {
			return dst
		}
	}
	return append(dst, value...)
}
