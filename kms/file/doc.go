// Package file is the embedded key store: all keys of a node in one sealed
// file. It needs no set-up and is what a node uses unless told otherwise.
//
// # The secret
//
// The file is sealed by a [Secret]: a passphrase, from which argon2id (RFC 9106)
// derives the key, or 32 random bytes that come from a file, an environment
// variable or the caller. With no secret given, [Create] makes a key file beside
// the store, PATH.key. That protects the store where the two are kept apart (a
// backup of the store alone, say) and not on a stolen disk that has both: use a
// passphrase or a key from elsewhere for that. Losing the secret loses the keys;
// nothing recovers them.
//
// # Promises
//
// A change is on the disk when the method returns, whole or not at all: it is
// written to a second file, flushed, and renamed into place. A file that was cut
// short or altered is [ErrCorrupt], a wrong secret is [ErrWrongPassphrase], and
// neither is ever answered by making a new store. Two processes may have the same
// store open: changes take the lock PATH.lock and begin with reading the file
// again, and every other method first looks whether the file changed. A signer
// learns of a change made by another process at the next call of any method of
// its store.
//
// Store and key file must not be readable by group or others ([ErrPermissions]);
// the check is left out on Windows.
//
// # Form of the file
//
// Integers are big-endian.
//
//	8   "IHYIDKMS"
//	1   version, 1
//	1   key derivation: 0 = a 32-byte key was given, 1 = argon2id
//	1   argon2 version, 0x13   (with 0 above: zero, as are the next three)
//	1   argon2 lanes
//	4   argon2 passes
//	4   argon2 memory in KiB
//	16  salt
//	16  id of the store
//	32  check value, tells a wrong secret from a damaged file
//	8   generation, one more at every write
//	12  nonce
//	4   length of the sealed part
//	…   sealed part: AES-256-GCM of the keys; all bytes above are its additional data
//	32  SHA-256 of all bytes above, tells accidental damage without the secret
//
// Sealing key and check value are HKDF-SHA256 (RFC 5869) of the argon2id output
// or the given key, with the salt, under the infos "ihyid/kms/file/1 seal" and
// "ihyid/kms/file/1 check".
package file
