// Package api serves a node over HTTP: to other nodes, and to the people and programs of its own
// organisation.
//
// # Nouns
//
// The public side answers other nodes: the DID document, /healthz, and the node-to-node endpoints
// under /node (challenges, messages, chunks, progress). It listens with TLS 1.3, or without TLS on a
// loopback address, for a proxy on the same machine that ends TLS itself. What it is sent comes from
// strangers: bodies are bounded in size and time, read once, and checked to be what they claim
// before the node sees them.
//
// The local side is the API of the node's own people: contacts, peers, exchanges, receipts, jobs,
// profiles, described at /openapi.json (OpenAPI 3.1). It listens on a Unix socket in the data
// directory, so that file permissions decide who may use it. It is served on the public side too if
// the node was given the digest of a token, and then to holders of that token only.
//
// A problem is what every failure is answered with: a problem document (RFC 9457) of a stable type,
// "urn:ihyid:problem:" and a code of [ProblemTypes]. One table gives every code its status and
// title. A problem names places (a field, a line), never the value that stood there: values are
// personal data.
//
// # Caveats
//
// Importing this package sets huma.NewError, huma.NewErrorWithContext and
// huma.ValidateStrictCasing, which exist per program only: no other API built on huma can differ
// within the same program.
//
// Uploads and downloads stream. No handler holds a whole import or export in memory, and nothing of
// them is written to a temporary file by this package.
//
// A connection that stops making progress is cut: every read and write of a body has a deadline that
// moves with what has arrived.
//
// # Standards
//
// HTTP problem details: RFC 9457. Bearer tokens: RFC 6750. HTTP semantics: RFC 9110 (sections 8.3
// Content-Type, 10.2.3 Retry-After, 15.5.6 with its Allow header). DID documents: DID Core 1.0
// section 6 and did:web. Server-sent events: the WHATWG HTML standard, section 9.2. JSON that is
// read is I-JSON (RFC 7493).
package api
