// Package did reads, writes and resolves decentralised identifiers.
package did
