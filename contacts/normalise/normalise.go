// Package normalise brings the spellings of one value together, before it is encoded.
//
// A normaliser is a pure function known by name and version, so that a matching profile can name it and every node
// does the same. Its answer is one token or several with a single space between; an empty answer means that the value is missing.
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
