// Package harness runs real nodes for tests: processes of the real binary, each with its own directory, keys and DID, speaking HTTPS
// with each other on loopback, to be killed at will.
package harness
