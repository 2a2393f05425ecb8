// Package sealedfile is the form in which a step of an exchange travels on a stick: one signed presentation and the chunks of sets that belong
// to it, sealed to one receiver with HPKE (RFC 9180). Who finds the stick learns that it holds such a file, and its rough size; not from whom,
// not for whom, and not which step of what it is.
//
// # Form
//
//	header    "IHYIDSF" ‖ version 0x01 ‖ uint16 KEM ‖ uint16 KDF ‖ uint16 AEAD        14 bytes
//	enc       the encapsulated key                                                   1120 bytes
//	segments  one or more of: flag ‖ ciphertext                                      1 + 16384 + 16 bytes each
//
// KEM is 0x647a (MLKEM768-X25519, draft-ietf-hpke-pq), KDF 0x0001 (HKDF-SHA256), AEAD 0x0002 (AES-256-GCM); no others are read. It is HPKE's base mode
// with info = "ihyid/file/1 " ‖ header ‖ SHA-256 of the receiver's DID document (RFC 8785), 32 bytes. The segments are sealed one after the
// other in that context, whose counter fixes their order (RFC 9180 section 5.2); the additional data of each is its flag, 0x01 for the last and 0x00 for
// all others, so that a file cut short is seen.
//
// The plaintext of all segments, joined, is records and padding:
//
//	0x01 ‖ uint32 length ‖ presentation                                 exactly one, first
//	0x02 ‖ uint32 length ‖ uint8 n ‖ set (n bytes) ‖ uint32 index ‖ data       any number
//	0x00 to the end                                                     at least one byte
//
// Integers are big-endian. Padding fills up the number of segments to the next multiple of max(4, 2^(⌊log2 n⌋−4)): so the size of a file does not show
// how many claims or answers are in it. Nothing is compressed: what is carried does not shrink, and what is read cannot swell.
//
// # What it proves
//
// HPKE's base mode does not say who sealed a file. The presentation inside is signed, and a credential in it states the digest of the chunks
// ([Digest]); a receiver believes nothing of a file before both are checked and the last segment has been opened.
package sealedfile
