// Package match compares two contact lists in files, with the engine that nodes use ([contacts.EncodeAll], [contacts.Match]), and says how good the
// result is: against the true pairs where they are known, else by an estimate.
//
// # The estimate of false matches
//
// Without truth nobody can count false matches, but decoys can: every contact of the second list is given the first name of another contact of
// that list (of the same sex, where that is said), such that it agrees with its former self in no match key. Nobody of the first list is this made-up
// person, so whatever it matches is a false match, at the very size and with the very frequencies of names of these lists.
// Small lists are run several times. What two lists hold of relatives with names that sound alike is in it only as far as chance brings it about.
package match
