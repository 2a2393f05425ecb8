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
	"date/1": appendDate,
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

// appendDate is the normaliser "date/1": YYYYMMDD of YYYY-MM-DD. Anything else is missing.
func appendDate(dst []byte, value string) []byte {
	y, m, d, ok := splitDate(value)
	if !ok {
		return dst
	}
	return append(append(append(dst, y...), m...), d...)
}

// splitDate cuts YYYY-MM-DD; whether there is such a day is the business of package contacts.
func splitDate(s string) (year, month, day string, ok bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return "", "", "", false
	}
	for i := 0; i < len(s); i++ {
		if i != 4 && i != 7 && (s[i] < '0' || s[i] > '9') {
			return "", "", "", false
		}
	}
	return s[:4], s[5:7], s[8:], true
}
