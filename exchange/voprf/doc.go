// Package voprf is the core of the matching protocol of that name: two organisations find the digests
// that both have, and neither learns anything about the others. No network, no storage, no clock.
//
// # The run
//
//  1. The responder draws a [Key] for the peer, profile, purpose and epoch and commits to its public key. With
//     [Key.Outputs] it computes the function of its own digests, and commits to their tags, the first 16
//     bytes of each value: a [TagSet].
//  2. The initiator blinds its digests into a [BlindedSet] and commits to the points.
//  3. Chunk by chunk, the responder multiplies the points with its key, [Key.Evaluate], and proves that it did just that.
//  4. The initiator verifies the proof of each chunk and removes the blinding, [BlindedSet.Unblind], which leaves the
//     outputs of its own digests. Those whose tags the responder has too, [Common], are the matches.
//  5. For each match the initiator makes a [Claim]. The responder looks up its tag, and checks with [CheckClaims] that the initiator
//     had the digest when it committed to its points. Then it answers (package answer).
//
// Every committed set is one of package merkle. The exact bytes, what each side learns, and which check
// stops which attack stand in docs/protocol.md.
//
// # Nouns
//
// A digest is the 32-byte SHA-256 of a phonetic record. A point is an element of ristretto255, 32 bytes, canonical. The
// function is F(k, x) = SHA-512(x, k·H(x)) with the framing of the RFC; an [Output] is what the protocol
// uses of its value. Blinding and unblinding are additive here; why, see [Blind].
//
// # Caveats
//
// Seeds, keys and outputs are secrets: the caller seals them and destroys them with the epoch. A seed must never
// serve two sets.
//
// The function is evaluated for whoever asks: each evaluation is a guess that the initiator may make. How many there
// are is for the caller to count, against the budgets of the agreement.
//
// All operations with secrets (key, blindings, digests, proof nonces) take time independent of them:
// no branch and no index depends on them. Those with public values only (composites and verification of proofs)
// use faster, variable-time multiplication; so does [CheckClaims], whose scalars are random and used once. Sorting, and looking up
// tags, take variable time: they work on what is published, or on one's own outputs out of sight of the other. The sets' sizes and the number of matches show in time and traffic. Go
// gives no way to wipe what its collector has moved or freed; secrets may stay in memory until the
// process ends.
//
// # Standards
//
// RFC 9497, mode VOPRF (0x01), suite ristretto255-SHA512: sections 2.2 (proofs), 3.2, 3.3.2 (the protocol), 4.1 (the
// suite). RFC 9496 (ristretto255). RFC 9380, section 5.3.1 (expand_message_xmd). The package passes the RFCs' vectors and
// agrees byte for byte with github.com/cloudflare/circl in both roles. Arithmetic is github.com/oasisprotocol/curve25519-voi.
package voprf
