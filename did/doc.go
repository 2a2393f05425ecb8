// Package did reads, writes and resolves decentralised identifiers (DIDs) and the
// documents that they stand for.
//
// # Nouns
//
//   - A [DID] names a subject: did:web:ngo.example or did:key:zDna…. A [URL] is a DID
//     with a path, query or fragment, such as the id of a key.
//   - A [Document] says which keys and services belong to a DID. It is parsed strictly,
//     never changes, and keeps the exact bytes that it came from. Its [Document.Digest]
//     is what receipts and pins name.
//   - A [VerificationMethod] is one public key of a document. A relationship
//     ("assertionMethod", "authentication", …) says what the key may be used for; ask
//     [Document.Authorizes].
//   - A [Resolver] turns a DID into a [Resolution]: the document, and what is known about
//     it. [NewResolver] makes one for did:key and did:web with a bounded cache; [Fixed] is
//     one for documents at hand.
//   - A [Fetcher] is all that this package knows of the network.
//   - An [Error] carries a [Code] of DID Resolution, which knows its HTTP status.
//   - A [Dereferencer] finds what a DID URL stands for, and answers the HTTP binding of DID
//     Resolution with [Dereferencer.Get].
//   - A [History] keeps the versions of documents that were seen, by their digests.
//   - A [Change] is the statement by which a pinned key vouches for a new version;
//     [JudgeChange] decides whether to trust one. A [Fingerprint] of two documents is what
//     their owners compare by telephone when nothing else can decide.
//
// # Caveats
//
// A did:web document is as good as the web server, the DNS and the certificate authorities
// behind it, and can change at any time. Who relies on one for longer than a request pins
// its digest or its keys.
//
// A document of a DID that is resolved says what its owner says of himself. Nothing in it,
// its service type included, has been verified.
//
// Expires and Revoked are assertions of the document's owner. This package reports them
// and does not judge them: whether a key was good when it signed needs evidence from
// outside (the credentials package asks for it).
//
// Host names and IP addresses: the did:web specification forbids IP addresses. They are
// refused, together with localhost, unless [Web.AllowLoopback] is set, which admits
// 127.0.0.0/8 and localhost for tests and demonstrations on one machine. No option admits
// any other address.
//
// The reason of an [InternalError] may name addresses behind the firewall. It belongs into
// the log; [Dereferencer.Get] keeps it from strangers.
//
// Everything from outside is bounded: a DID at [MaxDIDLength] bytes, a document at
// [MaxDocumentSize] bytes, [MaxMethods] methods, [MaxServices] services and a nesting depth
// of 32.
//
// # Standards
//
//   - DID Core 1.0 sections 3 (syntax), 5 (documents), 6 (representations)
//   - DID Resolution 1.0 (Candidate Recommendation, 2026) sections 4, 5, 9, 11, 12
//   - Controlled Identifiers 1.0 sections 2.2 (verification methods; expires, revoked),
//     2.2.2 (Multikey), 2.2.3 (JsonWebKey)
//   - did:key, W3C CCG draft 0.9: P-256, P-384 and Ed25519, with the X25519 key that the
//     draft derives from Ed25519
//   - did:web, W3C CCG draft
//   - RFC 7517, 7518 section 6.2, 8037 (JWK); RFC 8785 (canonical JSON); RFC 3986 (URIs)
package did
