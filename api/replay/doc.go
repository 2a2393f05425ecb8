// Package replay remembers what was answered to requests that carry an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header), so that a caller
// who did not get the answer can ask again without creating a thing twice.
//
// A key belongs to one caller and one route, and to the body that it came with first: with another body it is [ErrReused]. Answers are
// kept sealed in the node's store for 24 hours, at most [MaxEntries] of them; of each the first [MaxBody] bytes at most, so that one that is longer is not
// remembered at all. Failures of the node itself (5xx) and refusals for want of room are not remembered: the request may be sent again.
//
// # Caveat
//
// The answer is kept in a transaction of its own, after the one that did the work. A node that dies between the two has done what was asked and does not remember it: then the
// register's own rule against a second contact of the same content or external id is what is left.
package replay
