// Package quality measures how well contacts are matched: it simulates lists of which the truth is known, and its tests
// compare the built-in profiles with them and with the measuring data where that is at hand.
package quality
