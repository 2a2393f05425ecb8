// Package merkle commits to a set of fixed-size entries.
package merkle
