// Package search finds the node's own contacts by parts of their names in any script, by how names sound, by date of birth and by phonetic id.
//
// # Nouns
//
// A token is something that a contact can be found by: the beginning of a name, the code of its sound, a date. A term is the keyed
// hash of a token (store.Index.Hash), so that the file holds no token. A list says which contacts have a token. Contacts are taken
// in segments of 32,768 numbers, and each segment has a list of its own for each of its tokens: a search goes through the segments one after the
// other, intersects the lists of what was asked for, and stops when its page is full, so that a name that 50,000 people have costs no more
// than one that three have.
//
// # What a contact is found by
//
//   - the words of first and last name: their beginnings of two to ten letters after transliteration ("latin/1"), and the consonants of their sound in
//     Arabic and Slavic names ("arabic-skeleton/1", "slavic-skeleton/1"), by which Houman, Hooman and هومن meet;
//   - the sound of mother's and father's first name;
//   - the Soundex codes of the four names, and the date of birth: the parts of the original phonetic id.
//
// # Keeping in step
//
// An [Index] is a register.Watcher: lists change in the transaction that changes the contacts. A store from before there was an index is
// indexed by a job; until that is done, a search answers ErrBuilding.
//
// # What the file shows
//
// Lists are sealed like all records. What a thief of the file sees of each is its term, its segment, and its length up to a factor of two: how many
// tokens there are and roughly how frequent each is, but neither what it is nor whose. docs/threat-model.md says what can be made of that.
package search
