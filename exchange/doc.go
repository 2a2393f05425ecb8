// Package exchange is all that two or more nodes do together: they register each other, exchange committed
// sets of anonymised contacts, find which contacts they have in common, and sign receipts of it.
//
// # Nouns
//
// A [Node] is one organisation's node: its identity, its peers, its exchanges, its receipts. A [Peer] is
// another organisation's node. A message is one signed Verifiable Presentation from one node to another; it
// holds one credential that says what the message says, and any further credentials that it hands over. An
// exchange runs between an initiator and a responder, each of which commits to a set of entries (package
// merkle) before anything is compared. A receipt is one statement about a finished exchange that both sides
// have signed.
//
// # How messages are bound
//
// Every request is a presentation whose proof names the receiver's DID as its domain and a challenge that
// the receiver issued for that sender, that type of message and that exchange; a challenge is good once, for
// ten minutes. Every reply is a presentation whose challenge is the SHA-256 of the presentation that it
// answers, in RFC 8785 form, as lower-case hex. Nothing in a message is acted on before all of it has been
// verified. Each message's credential names the digest of the credential before it in the same conversation
// (`previous`), and, from the acceptance on, the transcript T of the exchange.
//
// A message may be sent again: the credential stays the same, byte for byte, the presentation is new. Who
// receives a credential that it has already acted on gives the answer that it gave before.
//
// # What is kept
//
// Everything is in the store before it is sent, so that either side may die at any moment: sessions move from
// state to state in one transaction each, and the jobs that drive them begin where the session stands.
//
// The wire formats are in docs/protocol.md; the packages merkle, noise and register hold what needs no peer.
package exchange
