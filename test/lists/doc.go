// Package lists makes contact lists of invented people, with known truth, for tests, benchmarks and demonstrations.
//
// A Population is what several organisations registered: households of invented people, some of whom more than one
// organisation knows. Everything in it follows from a seed and the options, byte for byte, on every machine: the
// n-th household is computed from the seed and n, so a list of a million contacts is written in the memory of one
// household. Its nouns:
//
//   - An Organisation has its habits: the share of Arabic script, English or French spelling, what becomes of the
//     article "al-", which spelling of a name its clerks prefer, and the layout of its file.
//   - A list is what one organisation registered, as rows of the import format.
//   - The truth is the pairs of rows that are one person, between lists and (registered twice) within a list.
//
// What goes wrong in real lists goes wrong here, at the rates of Errors: parents not noted, dates of birth known by
// the year only (1 January), day and month exchanged, typing errors, the same person registered twice. Siblings,
// twins, namesakes, and brothers with families of their own are there to be confused with one another.
//
// The names come from the tables in this folder, written for this project from general knowledge of Lebanon, Syria,
// Jordan and Palestine; they are combined at random and mean nobody. Telephone numbers come from the ranges that the French
// regulator keeps for fiction (01 99 00, 02 61 91, 03 53 01, 04 65 71 and 05 36 49, with four digits more), so large
// populations share them. Towns are real.
//
// The figures of a simulation are those of its simulator: these lists are for finding errors and measuring speed,
// and say little of how well a matching profile does on the lists of an actual organisation.
package lists
