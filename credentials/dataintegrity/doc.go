// Package dataintegrity makes and checks the embedded proofs of W3C Verifiable Credential Data
// Integrity 1.0 on JSON documents.
//
// Nouns: a Proof is the `proof` object of a document, read strictly; a Suite is a cryptosuite: how a
// document and a proof's configuration become the bytes that are signed. Suites know nothing of
// credentials, of who may sign or of time: that is for package credentials.
//
// Standards: Data Integrity 1.0 sections 2.1 (proofs), 2.1.1 and 2.1.2 (sets and chains), 4.2 to 4.5
// (add and verify) and 4.7 (errors); Data Integrity ECDSA Cryptosuites 1.0 sections 3.2
// (ecdsa-rdfc-2019) and 3.3 (ecdsa-jcs-2019).
package dataintegrity
