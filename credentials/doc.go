// Package credentials issues W3C Verifiable Credentials and Presentations of version 2.0 of the data model, and
// verifies those of 2.0 and 1.1, from plain JSON to plain JSON.
//
// Two ways to secure, both complete: Data Integrity proofs inside the document (package dataintegrity: RDF with
// ecdsa-rdfc-2019, the default, or plain JSON with ecdsa-jcs-2019) and JOSE around it (package jose,
// SuiteJOSE). Status lists (package statuslist) tell what is revoked or suspended.
//
// Nouns: an Issuer secures credentials and presentations with a Key; a Verifier checks them and
// answers with a Result, which lists every Check by name; a KeyResolver is how a verifier learns
// which key a verification method names; Evidence is what vouches for the time of a signature whose
// key is no longer good.
//
// Caveats:
//   - What a Result's Document says is to be trusted only if Passed reports true.
//   - The key of a signature is judged now, whatever moment a document is verified for: a key that has
//     expired or was revoked fails unless Evidence shows, from outside the signer, that the signature
//     is older than that.
//   - The issuer has to control the key: the issuer's identifier, the DID of the verification method
//     and the method's controller are one and the same string. The same holds for a holder.
//   - A credential with a status fails unless its list can be had, or the caller says why it does without.
//   - A reader of a credential's own terms has to know their context: compare `@context` with the one
//     that it expects (SameContexts) before it gives a meaning to a name.
//   - In the RDF suites the order of a plain JSON array is not signed and equal members of it
//     are one. Define terms whose order counts with the kind List (see Context). Numbers with a fraction are
//     signed to sixteen digits. Better have strings only.
//
// Standards: Verifiable Credentials Data Model 2.0 sections 4 and 5; Verifiable Credential Data Integrity 1.0 and its
// ECDSA and EdDSA cryptosuites; Securing Verifiable Credentials using JOSE and COSE section 3.1;
// Verifiable Credentials Data Model 1.1 (for verifiers); Verifiable Credentials JSON Schema Specification 1.0 sections 2.1 and 2.2; Bitstring Status List 1.0; RDF Dataset Canonicalization (package rdfc); RFC 8785 (package ijson).
package credentials
