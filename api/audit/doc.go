// Package audit keeps the record of who did what with a node: an append-only chain.
//
// # Nouns
//
// A [Record] says who (account, role, how it showed who it is), which operation, on which object,
// and what came of it. It names the digest of the record before it, so that none can be changed,
// taken out or put in without every later digest changing. [Log] appends, lists and verifies.
//
// An [Attempt] is one operation under way. Where the operation changes the store, the record is
// written in the same transaction as the first change: neither is there without the other. Where it
// changes nothing but takes personal data out, the record is written before any of it leaves.
//
// # What is not in it
//
// Personal data. Who is an account's id, not a name; an object is an id that the node drew, a number
// it counted, or a peer's DID. What a caller wrote in a path is an object only once the node has
// done something with it, or where it has the form of such an id.
//
// # Bounds
//
// What was refused, or failed, is recorded one by one up to [Limit] in an hour for an account, and for
// all strangers together; what is more is counted, and stands as one record with its count once the
// hour is over. So strangers cannot fill the disk. What was counted in the last hour is lost with a crash.
//
// # Caveats
//
// The chain shows what was changed in the middle of it. That its end was cut off, or that whoever has
// the keys of the store wrote all of it anew, shows only against a digest that was noted elsewhere:
// [Log.Verify] gives the last one, and takes one that was noted.
//
// # The digest
//
// SHA-256 of the record's JSON in the form of RFC 8785, all values strings (numbers in decimal), without
// the member digest and without empty members. The first record names 64 zeros as the one before.
package audit
