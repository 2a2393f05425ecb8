// Package quality measures how well contacts are matched.
//
// Its nouns: [Lists] are two lists of which the truth is known. Some are simulated, always and everywhere the same: families of the
// Levant ([Simulate]) and records typed in with slips ([SimulateTypists]). Others are read from a folder of measuring data that is not
// part of the project ([Data]), if it is there. A [Result] is what a matching profile makes of lists: the tiers' scores, and the
// curve from which they were chosen.
//
// The command in cmd/measure (make quality) measures everything, prints it and draws the plots of docs/matching.md. The tests hold
// the built-in profiles to what they reach.
//
// The figures of a simulation are those of its simulator: it is hostile where we knew how (twins whose names begin alike, the
// same few names for everybody), and still kinder than life.
package quality
