package quality

import (
	"ihyid/contacts"

	"github.com/antzucaro/matchr"
)

// Ceiling is the share of true pairs that any set of match keys with a first name and without chance could find: the first names
// are at most two slips apart (whichever field they stand in), and either the dates of birth are the same, or the last names are
// close too and the dates differ in two digits at most. The others have another first name, which siblings have too, or
// nothing but two names in common, as many strangers have.
func Ceiling(l Lists) float64 {
	n := 0
	for _, t := range l.Truth {
		if t[0] >= 0 && t[1] >= 0 && findable(&l.A[t[0]], &l.B[t[1]]) {
			n++
		}
	}
	return float64(n) / float64(max(len(l.Truth), 1))
}

func findable(a, b *contacts.Contact) bool {
	close := func(x, y string) bool { return x != "" && y != "" && matchr.Levenshtein(x, y) <= 2 }
	date := a.DateOfBirth != "" && a.DateOfBirth == b.DateOfBirth
	near := len(a.DateOfBirth) == 10 && len(b.DateOfBirth) == 10
	if near {
		differ := 0
		for i := range 10 {
			if a.DateOfBirth[i] != b.DateOfBirth[i] {
				differ++
			}
		}
		near = differ <= 2
	}
	for _, names := range [2][2]string{{b.FirstName, b.LastName}, {b.LastName, b.FirstName}} {
		if close(a.FirstName, names[0]) && (date || near && close(a.LastName, names[1])) {
			return true
		}
	}
	return false
}
