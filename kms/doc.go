// Package kms is the key store of a node: the one place where private keys
// are made and used.
//
// # Nouns
//
// A [Store] holds signing keys and a wrapping key. A signing key is an ECDSA
// key pair on [P256] or [P384] with one [Purpose]; it is known by its key id,
// 32 lower-case hex digits that the store draws at random. What a caller gets
// of it is a [KeyInfo] and a [crypto.Signer]; the private half never leaves the
// back end. A key is first [Active]; [Store.Retire] makes it [Retired], after
// which it is listed but no longer signs; [Store.Destroy] erases it.
//
// The wrapping key is an AES-256 key by which [Store.Wrap] seals small
// secrets: data keys of a database, and the private halves of keys of kinds that no
// hardware module offers, HPKE, VOPRF and Ed25519 ([SealedKey]). A wrapped blob
// names the wrapping key that made it, so wrapping keys can be rotated
// ([WrapRotator]): new blobs use the new key, old ones open until the old key is
// destroyed.
//
// # Back ends
//
// kms/file keeps all keys in one sealed file and needs no set-up. kms/pkcs11
// keeps them in a hardware security module, or SoftHSM. kms/kmstest is the
// behaviour that both must show. The face is the same, so a node moves from one
// to the other by rotation: keys never travel, new ones are made in the new back
// end, and blobs are re-wrapped one by one ([Rewrap]) while [Succession] answers
// for both.
//
// # Caveats
//
// A signer that was handed out stops working when its key is retired or
// destroyed, and when the store is closed.
//
// Wrap is for keys, not for bulk data: it is bounded by [MaxPlaintext] and
// [MaxAAD]. Nonces are 96 random bits, so one wrapping key should seal fewer
// than 2^32 blobs (NIST SP 800-38D, section 8.3); rotate long before.
//
// Byte slices that hold secrets are wiped after use. What the Go run time
// copies by itself (parsed private keys, stacks that moved) cannot be: where
// that matters, use a hardware module.
//
// # Standards
//
// ECDSA with P-256 and P-384: FIPS 186-5, section 6; signatures are DER
// ECDSA-Sig-Value, RFC 3279, section 2.2.3. Sealing is AES-256-GCM: NIST SP
// 800-38D. HPKE: RFC 9180.
package kms
