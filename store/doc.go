// Package store keeps everything a node must remember in one encrypted file, and knows nothing of what that is.
//
// # Nouns
//
// A Store is one open file. View and Update run a function with a Tx, a transaction: any number of readers on a consistent state each,
// and one writer whose changes become durable together or not at all. A Collection is a set of records of one Go type under ordered keys. An Index finds
// numbers by a value without keeping the value. A spool is an encrypted file beside the store, for uploads. The sub-package jobs is the persistent queue.
//
// No type of the engine below (bbolt) is part of the face, so that another engine can come behind the same types.
//
// # Caveats
//
//   - A Tx is for one goroutine and ends with its function. Do not begin a transaction inside another: an Update inside a View can wait for ever.
//   - Record keys, the names of collections and indexes, the numbers of records and their sizes are not sealed. Keys must hold nothing personal: use
//     numbers (NextID, ID) or keyed hashes.
//   - Sealing shows a record that was changed or moved; it does not show that the whole file, or one record, was put back to an earlier state.
//   - A View that stays open long keeps the pages of its state from being used again, so that the file grows; and Scrub waits for it.
//   - Deleting makes unreachable. Only Store.Erase has the bytes gone when it returns, of index entries those of Index.Erase and of the indexes that it is told; work in
//     many transactions notes it with Tx.EraseLater and ends with Store.FinishErase. The file itself never shrinks: free pages
//     are used again; Snapshot and Restore make a small one.
//   - Where the disk loses what it has said to have written, no store can help; otherwise a crash at any moment leaves the state of the last commit.
//   - References of an index are at most MaxRef; more than MaxEqual references of one value are counted, not kept.
//
// # The files
//
// For a store at PATH: PATH, mode 0600; PATH.lock, locked as long as the store is open, with a note (JSON) of who has it, never removed;
// PATH.spool/, mode 0700, with one file a spool; and for moments PATH.new (Create), PATH.restore (Restore) and PATH.snapshot-* (Snapshot).
//
// # The format of the file, version 1
//
// PATH is a bbolt file (format version 2). Numbers are big-endian. Its buckets:
//
//	meta      format      uint16, 1
//	          id          16 random bytes, the store id
//	          created     RFC 3339
//	          schema      uint32, the last migration that was run
//	          active-key  uint32, the data key that seals
//	          last-key    uint32, the highest number of a data key so far; numbers are never used again
//	          index-key   the wrapped index key K_idx
//	          scrub       there while free pages may hold what was erased: the number of the transaction that erased last
//	          compact/…   with an index's name: there while that index may hold what was erased, likewise
//	keys      uint32 data key → wrapped data key
//	seals     uint32 data key → uint64, at least the number of records ever sealed with it
//	counts    collection → uint64, its number of records
//	records   a bucket for each collection: record key → sealed record; the bucket's sequence is the collection's
//	indexes   a bucket for each index:
//	          state       the description of its runs, see below
//	          uint64 run  a bucket: 16-byte term → segment
//
// A wrapped key is what the key store makes of 32 random bytes, with the additional data (each field with a uint32 length before it)
// "ihyid/store/1 wrapped key", store id, "data" or "index", uint32 number (0 for the index key).
//
// A sealed record is
//
//	format (1 byte, 1) ‖ data key (uint32) ‖ schema version (uint16) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//
// AES-256-GCM (NIST SP 800-38D) with a random nonce, and as additional data, each with a uint32 length before it: store id, collection, record key, schema
// version (2 bytes). The plaintext is JSON, unless the collection has a codec. After 2^31 seals a new data key is made; at 2^32 sealing is refused
// (SP 800-38D section 8.3).
//
// A segment is a sorted sequence of entries of 24 bytes: term (16) ‖ reference (uint64). The term of the i-th reference of a value (i = 0, 1, …, without gaps)
// is the first 16 bytes of
//
//	HMAC-SHA-256(K_idx, uint32 length of the index's name ‖ name ‖ value ‖ uint32 i)
//
// so that equal values do not show. A reference of 2^63 says that the term is no longer here. Where a value has MaxEqual references, the term of i = MaxEqual has
// the number of further ones as its reference, and 2^63-1 stands for a kept one that was removed.
//
// A run is a set of segments, each under a key not above its first term, with ascending terms throughout and no term twice. An index is a list of runs, oldest
// first; for a term in several runs the newest counts. Every Insert makes a run (taking in small ones before it); merging, in the background and in steps, makes few large ones
// of many. A merge writes its output into a new run, which takes the place of its inputs in the step that ends it. The description of the runs is a sequence of uint64, given
// at runSet.encode; its version grows with every change, and the fences that a process keeps in memory (the keys of all segments) are used only for the version that
// they belong to, so that older readers and rolled-back writers do no harm.
//
// A spool is "ihyid/spool/1\n" ‖ 16-byte id, then chunks of 64 KiB of plaintext (the last one shorter), each sealed with AES-256-GCM under the spool's own random key; nonce: 11-byte
// counter ‖ 1 for the last chunk, else 0 (STREAM); additional data: the header. The key and the size are in the collection store/spools. Without that record the file is noise, and is removed by
// the next Open.
//
// # Standards
//
// AES-GCM: NIST SP 800-38D, with the random nonces of section 8.2.2. HMAC: RFC 2104. STREAM: Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and
// its Nonce-Reuse Misuse-Resistance", 2015.
package store
