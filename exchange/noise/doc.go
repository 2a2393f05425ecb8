// Package noise is the matching protocol of that name, the prototype's, as a pure core: no
// network, no storage, no clock.
//
// # Nouns
//
// A digest is the 32-byte SHA-256 of a phonetic record. For every digest the initiator makes an
// entry, noise ‖ uscadi: 32 random-looking bytes, and uscadi = HMAC-SHA-256(key = noise, message =
// digest). A [Set] is the sorted, padded list of entries for one receiver; its bytes are committed to
// with package merkle. The responder tries each of its own digests against each entry with a
// [Matcher]; every [Hit] is a digest that both have. For each it sends back a [Claim],
// HMAC-SHA-256(noise, "ihyid/noise/1 claim" ‖ T ‖ digest) with T the session's transcript hash, which only who
// knows the digest can make; the initiator checks it with [Set.Verify].
//
// # Caveats
//
// Whoever holds a set can try guesses at leisure, one HMAC for each guess and entry, and can do so for
// ever: names and dates of birth are guessable. Nothing in this protocol prevents or even shows that. It exists
// for places without a network and for small lists, is to be capped (see [DefaultMaxEntries]), and needs the
// agreement's permission. Package voprf has no such weakness.
//
// Work grows with the product of both sizes: one pair costs two SHA-256 compressions.
//
// # Standards
//
// HMAC: RFC 2104 and FIPS 198-1, over SHA-256 (FIPS 180-4).
package noise
