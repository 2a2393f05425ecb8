// Package bench runs a whole match between two parties in one process and measures it: what a
// run of a given size costs each side in time, processor and memory, and what crosses the wire.
//
// Everything that the protocols compute is in it: blinding or noise, commitments and their verification,
// evaluation with proofs, matching, claims and their verification, answers. Signatures, storage, encryption at rest and the network
// are not. The digests are made up beforehand. The sides work one after the other, as they do in a session, each on all
// cores; so the elapsed time is that of two nodes on this machine.
//
// A run whose result is not the expected one is an error: a measurement is also a test.
package bench
