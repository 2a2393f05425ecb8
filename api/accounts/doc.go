// Package accounts keeps the accounts of a node's own people, and tells who a caller is.
//
// # Nouns
//
// An [Account] has an id, which the node draws and which stands in records, a name, which its owner signs in
// with, a role (package policy), and a password, or a sign-in by OpenID Connect, or both. A sign-in gives an
// access token, a JWT that is good for [AccessLife], and a refresh token, which gives the next pair and is
// good once. A session is a chain of such pairs. An API token is for programs: it has scopes, an end, and is shown once.
//
// # Rules
//
// There is no default password, and no account that nobody made. Passwords are hashed by argon2id with the
// parameters of [hashParameters]; at most a few at once, since each takes 19 MiB. A name that nobody has costs a
// sign-in the same work as one that somebody has.
//
// Every account has a generation. A sign-out, a change of the password or of the role, and disabling raise
// it, and every request compares it: all sign-ins of the account end at once. API tokens end with a change of
// the password or of the role and with disabling; a sign-out leaves them.
//
// A refresh token that comes a second time was stolen, or its thief came first: the session ends.
//
// After a few failures a name, and an address, have to wait, each time twice as long, up to [MaxDelay]. That
// is kept in the store, so that a restart forgives nothing. It is counted before the password is looked at, so
// that many attempts at once get no further than one after the other. An address from which the account has signed in before does
// not wait for what others did to its name: strangers cannot lock anybody out.
//
// A second factor (RFC 6238) is taken once for each of its half minutes. Recovery codes are good once.
//
// # Caveats
//
// What is said of time holds for the work that is done, not for single nanoseconds.
//
// Who takes the store's file back to an earlier state takes accounts back too.
//
// # Standards
//
// argon2id: RFC 9106, with the PHC string format. Access tokens: RFC 7519, RFC 9068 (typ at+jwt), ES256 of RFC
// 7518. Rotation of refresh tokens: RFC 9700, section 2.2.2. Names: RFC 8265 section 3.3 (UsernameCaseMapped). Passwords: Unicode NFKC (NIST SP
// 800-63B, section 3.1.1.2). Second factor: RFC 6238, RFC 4226. OpenID Connect Core 1.0, with PKCE (RFC 7636).
package accounts
