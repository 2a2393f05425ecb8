// Package merkle commits to sets of fixed-size entries, so that a signature over a few
// hundred bytes binds millions of entries that travel separately, in chunks, in any order.
//
// # Nouns
//
// An entry is a string of bytes; all entries of a set have one size and stand in strictly
// ascending byte order. That order is at once the shuffle (it carries nothing of the order in
// which a register keeps its people) and the duplicate check.
//
// The tree is that of RFC 6962, section 2.1 (the same as RFC 9162, section 2.1.1): a leaf is
// SHA-256(0x00 ‖ entry), a node SHA-256(0x01 ‖ left ‖ right), and a tree of n leaves splits at
// the largest power of two below n. The empty set has the root SHA-256("").
//
// A chunk is an aligned run of a power of two of entries, of at most [MaxChunkBytes] bytes and
// [MaxChunkEntries] entries; see [ChunkEntries]. Only the last may be shorter. With RFC 6962's
// split rule the root of every chunk is a node of the tree, so the root of the whole is folded from the
// chunk roots alone.
//
// A [Commitment] is what is signed: entry size, count, chunk size, root and chunk roots.
// A [Builder] makes one from a stream of entries and keeps only one hash for every chunk, one for
// every level of the tree below it, and the last entry; [Commit] makes one of a set in memory, on
// all cores. [Commitment.VerifyChunk] checks a chunk that arrived. [Commitment.Prove] and
// [VerifyInclusion] are the inclusion proofs of RFC 9162, sections 2.1.3.1 and 2.1.3.2.
//
// # Caveats
//
// A commitment hides nothing: who can guess an entry can test it against a chunk root or a proof. Entries must
// themselves be unguessable. It says that entries were fixed, not that they are true.
//
// Ascending order over the whole set is established once every chunk has been verified with
// its neighbours; see [Neighbours].
//
// Counts are hidden only as far as [PaddedCount] goes: the set must be filled up, before it is committed,
// with entries that look like the others.
package merkle
