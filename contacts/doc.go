// Package contacts holds what an organisation knows of one person, and makes of it what can be compared without being read.
//
// Its nouns, in the order in which a contact meets them:
//
//   - A [Contact] is the record: four names, a date of birth, and optional identifiers. [Contact.Clean] and
//     [Contact.Validate] say what is accepted; lists of contacts in files are read by package contacts/list.
//   - A normaliser (package contacts/normalise) brings the spellings of one name together, per script; an encoder
//     (package contacts/encode) turns what is left into a short phonetic code. Both are known by name and version.
//   - A [Profile] is the declarative document that says which fields, normalised and encoded how, make up each match key,
//     and which keys make a match. It is known by the SHA-256 of its canonical form, so that two nodes can tell that
//     they do the same thing.
//   - An [Encoder] makes of a contact one phonetic [Record] a match key and of each record a digest ([KeyDigest]):
//     SHA-256 of the record in RFC 8785 (JCS) form. All matching works on digests.
//   - [Match] joins two lists by digest and [Duplicates] one list with itself; [Profile.Tier] says what keys that agree amount to.
//
// # Caveats
//
// A digest is not anonymous: names and dates of birth are few enough to be guessed and tried, so digests are personal data.
// They leave a node only inside the protocols of package exchange.
//
// Digests either agree or they do not. Everything that tolerance means (spellings, swapped day and month, a missing parent)
// must therefore be expressed in the normalisers and in the choice of keys: there is no score between nodes. Scores exist
// for an organisation's own duplicates only, where both contacts are at hand ([Compare]).
//
// Changing a normaliser, an encoder or a table of either changes codes, and so needs a new version: nodes that hold
// the old version must go on giving the old codes.
//
// Errors of this package name fields, lines and columns, never values: they may be logged.
package contacts
