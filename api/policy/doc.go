// Package policy decides who may do what: one table, role × operation, for the HTTP API and the
// node's socket alike.
//
// # Nouns
//
// An operation is one thing that the node does for a caller, known by its id; it is the OpenAPI
// operationId of its route, and stands in the record of what was done. A [Role] is what an account
// may do: [Admin], [Operator], [Checker], [Auditor]. A [Scope] narrows an API token further. A
// [Caller] is who asks: an account, its role, the scopes of its token, and how it showed who it is.
// A [Row] says for one operation which roles may, which scope a token needs, whether strangers may,
// and whether it is recorded.
//
// # Rules
//
// What has no row is not served: a server that has a route without a row does not start, and
// [Table.Check] refuses whatever it does not know. Nobody has all rights by being who they are: the
// user who owns the node's socket is an admin, and goes through the same table.
//
// A scope never gives more than the role: a token may what both allow. Operations on one's own
// account (sign out, change the password) have no scope: a token cannot do them.
//
// # Caveats
//
// The table says which operation a caller may ask for, not which objects: within an operation all
// objects are alike, but for those on one's own account, which concern the caller's account only.
package policy
