// Package normalise brings the spellings of one value together, before it is encoded.
//
// A normaliser is a pure function known by name and version, so that a matching profile can name it and every node
// does the same. Its answer is one token or several with a single space between; an empty answer means that the value is missing.
//
// Names: "arabic/1", "cyrillic/1" and "latin/1" read names written in these scripts and in Latin letters. They are driven by the
// tables in the folder tables, plain text with a tab between columns, whose heads say how to read and extend them:
//
//   - …-letters.tsv: letters that are taken for others;
//   - …-script.tsv and …-latin.tsv: how spellings sound, with what may stand before and after;
//   - arabic-particles.tsv: articles and the words for son and daughter;
//   - arabic-names.tsv, arabic-siblings.tsv: single names that the rules would get wrong, or could not tell apart.
//
// All begin with Unicode compatibility decomposition (NFKD): presentation forms, accents, vowel signs and tatweel go.
//
// Dates: "date/1", "date-unordered/1", "date-known/1", "month-day/1", "year/1", "year-month/1", "year-day/1". Numbers: "phone/1"
// (E.164), "phone-end/1", "id/1". "none/1" leaves a value as it is.
//
// Normalisers do not change once released, nor do the tables they read: a better one gets a new version, and the old stays.
package normalise

import (
	"slices"
	"strings"
)

// Func appends the normalised form of a value to dst. It appends nothing if nothing is left.
type Func func(dst []byte, value string) []byte

var funcs = map[string]Func{
	"none/1": func(dst []byte, value string) []byte { return append(dst, value...) },

	"arabic/1":   appendArabic,
	"cyrillic/1": appendCyrillic,
	"latin/1":    latinFolder.append,

	"date/1":           appendDate,
	"date-unordered/1": appendDateUnordered,
	"date-known/1":     appendDateKnown,
	"month-day/1":      appendMonthDay,
	"year/1":           appendYear,
	"year-month/1":     appendYearMonth,
	"year-day/1":       appendYearDay,

	"phone/1":     appendPhone,
	"phone-end/1": appendPhoneEnd,
	"id/1":        appendID,
}

// Lookup finds a normaliser by name and version, e.g. "date/1".
func Lookup(name string) (Func, bool) {
	f, ok := funcs[name]
	return f, ok
}

// Names lists the normalisers.
func Names() []string {
	names := make([]string, 0, len(funcs))
	for n := range funcs {
		names = append(names, n)
	}
	slices.SortFunc(names, strings.Compare)
	return names
}
