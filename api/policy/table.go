package policy

// Scope narrows what an API token may do.
type Scope string

// The scopes of API tokens. Each operation needs one of them at most.
const (
	ScopeNodeRead       Scope = "node:read"
	ScopeContactsRead   Scope = "contacts:read"
	ScopeContactsWrite  Scope = "contacts:write"
	ScopeCheck          Scope = "check" // anonymous lists
	ScopePeersRead      Scope = "peers:read"
	ScopePeersWrite     Scope = "peers:write"
	ScopeExchangesRead  Scope = "exchanges:read"
	ScopeExchangesWrite Scope = "exchanges:write"
	ScopeReceiptsRead   Scope = "receipts:read"
	ScopeReceiptsWrite  Scope = "receipts:write"
	ScopeJobsRead       Scope = "jobs:read"
	ScopeJobsWrite      Scope = "jobs:write"
	ScopeKeysRead       Scope = "keys:read"
	ScopeKeysWrite      Scope = "keys:write"
	ScopeSign           Scope = "credentials:sign"
	ScopeVerify         Scope = "credentials:verify"
	ScopeUsersRead      Scope = "users:read"
	ScopeUsersWrite     Scope = "users:write"
	ScopeAuditRead      Scope = "audit:read"
)

// Scopes are all scopes.
var Scopes = []Scope{
	ScopeNodeRead, ScopeContactsRead, ScopeContactsWrite, ScopeCheck, ScopePeersRead, ScopePeersWrite, ScopeExchangesRead, ScopeExchangesWrite,
	ScopeReceiptsRead, ScopeReceiptsWrite, ScopeJobsRead, ScopeJobsWrite, ScopeKeysRead, ScopeKeysWrite, ScopeSign, ScopeVerify,
	ScopeUsersRead, ScopeUsersWrite, ScopeAuditRead,
}

// Groups of roles, named for what they do.
var (
	administer = []Role{Admin}
	operating  = []Role{Admin, Operator}          // works with contacts and exchanges
	reading    = []Role{Admin, Operator, Auditor} // sees what holds nothing of a contact
	checking   = []Role{Admin, Operator, Checker}
	everybody  = Roles // who has an account
)

// Default gives the table of a node.
func Default() *Table {
	t, err := New(rows)
	if err != nil {
		panic(err) // a mistake in the lines below, which a test finds
	}
	return t
}

func open(operation string) Row { return Row{Operation: operation, Open: true} }

// read is an operation that changes nothing.
func read(operation string, roles []Role, scope Scope) Row {
	return Row{Operation: operation, Roles: roles, Scope: scope}
}

// record is an operation that changes something.
func record(operation string, roles []Role, scope Scope) Row {
	return Row{Operation: operation, Roles: roles, Scope: scope, Recorded: true}
}

// take is an operation that need not change anything, but is recorded before it begins: it takes personal data
// out, asks about it, or signs.
func take(operation string, roles []Role, scope Scope) Row {
	return Row{Operation: operation, Roles: roles, Scope: scope, Recorded: true, Beforehand: true}
}

// enter is for strangers who mean to show who they are.
func enter(operation string) Row { return Row{Operation: operation, Open: true, Recorded: true} }

// own is about the caller's own account, which no API token is for.
func own(operation string) Row { return Row{Operation: operation, Roles: everybody, Recorded: true} }

var rows = []Row{
	// The public side: what other nodes ask. Who asks is told by presentations and exchange tokens.
	open("healthz"),
	open("node-document"),
	open("node-challenges"),
	open("node-messages"),
	open("node-changes"),
	open("node-progress"),
	open("node-put-chunk"),
	open("node-get-chunk"),
	open("node-status-list"),
	open("open-vc-verify-credential"), // only where the operator opens them (open_verify)
	open("open-vc-verify-presentation"),

	// The node.
	read("status", reading, ScopeNodeRead),
	read("did-document", reading, ScopeNodeRead),
	// A browser cannot show a token when it opens a page; what these show is in the program, not in the node.
	open("openapi"),
	open("explorer"),
	open("readyz"),
	read("profiles-list", reading, ScopeNodeRead),
	read("profiles-show", reading, ScopeNodeRead),
	read("did-resolve", operating, ScopePeersRead),
	take("dids-flush-all", operating, ScopePeersWrite),
	take("dids-flush", operating, ScopePeersWrite),

	// Contacts.
	record("contacts-import", operating, ScopeContactsWrite),
	read("contacts-import-report", operating, ScopeContactsRead),
	read("contacts-duplicates", operating, ScopeContactsRead),
	take("contacts-export", operating, ScopeContactsRead),
	read("contacts-list", operating, ScopeContactsRead),
	read("contacts-show", operating, ScopeContactsRead),
	read("contacts-search", operating, ScopeContactsRead),
	read("rpc-search", operating, ScopeContactsRead),
	take("check-anonymous", checking, ScopeCheck),
	record("contacts-create", operating, ScopeContactsWrite),
	record("contacts-update", operating, ScopeContactsWrite),
	record("contacts-delete", operating, ScopeContactsWrite),
	record("contacts-erase", administer, ScopeContactsWrite),
	read("contacts-find", operating, ScopeContactsRead),
	take("contacts-subject-report", operating, ScopeContactsRead),
	record("contacts-duplicates-find", operating, ScopeContactsWrite),
	record("rpc-deduplicate", operating, ScopeContactsWrite),
	record("contacts-duplicates-decide", operating, ScopeContactsWrite),
	record("contacts-duplicates-merge", operating, ScopeContactsWrite),
	record("contacts-undo-merge", operating, ScopeContactsWrite),
	read("contacts-decisions", operating, ScopeContactsRead),
	read("contacts-retention", operating, ScopeContactsRead),
	record("contacts-retention-set", administer, ScopeContactsWrite),
	read("contacts-retention-preview", operating, ScopeContactsRead),
	record("contacts-retention-run", administer, ScopeContactsWrite),
	read("contacts-mappings", operating, ScopeContactsRead),
	record("contacts-mappings-save", operating, ScopeContactsWrite),
	record("contacts-mappings-delete", operating, ScopeContactsWrite),

	// The prototype's paths.
	read("prototype-contacts", operating, ScopeContactsRead),
	read("prototype-contact", operating, ScopeContactsRead),
	record("prototype-create", operating, ScopeContactsWrite),
	record("prototype-import", operating, ScopeContactsWrite),
	record("prototype-check", checking, ScopeCheck),
	read("prototype-organisations", reading, ScopePeersRead),
	read("prototype-owner", reading, ScopeNodeRead),
	read("prototype-users", administer, ScopeUsersRead),
	record("prototype-user-add", administer, ScopeUsersWrite),
	read("organisations-list", reading, ScopePeersRead),
	read("organisations-owner", reading, ScopeNodeRead),

	// Keys.
	read("keys-list", []Role{Admin, Auditor}, ScopeKeysRead),
	record("keys-rotate", administer, ScopeKeysWrite),
	record("keys-retire", administer, ScopeKeysWrite),
	record("keys-rotate-data", administer, ScopeKeysWrite),
	record("keys-rotate-wrapping", administer, ScopeKeysWrite),

	// Peers and agreements.
	read("peers-list", reading, ScopePeersRead),
	read("peers-show", reading, ScopePeersRead),
	read("peers-fingerprint", reading, ScopePeersRead),
	record("peers-add", administer, ScopePeersWrite),
	record("peers-approve", administer, ScopePeersWrite),
	record("peers-refuse", administer, ScopePeersWrite),
	record("peers-suspend", administer, ScopePeersWrite),
	record("peers-resume", administer, ScopePeersWrite),
	record("peers-confirm", administer, ScopePeersWrite),
	record("peers-remove", administer, ScopePeersWrite),
	record("peers-roll", operating, ScopePeersWrite), // after an erasure
	read("agreements-list", reading, ScopePeersRead),
	read("agreements-show", reading, ScopePeersRead),
	record("agreements-propose", administer, ScopePeersWrite),
	record("agreements-approve", administer, ScopePeersWrite),
	record("agreements-refuse", administer, ScopePeersWrite),
	record("agreements-end", administer, ScopePeersWrite),

	// Exchanges. Matches and presentations name rows of contacts: they are not for auditors.
	read("exchanges-list", reading, ScopeExchangesRead),
	read("exchanges-show", reading, ScopeExchangesRead),
	read("exchanges-matches", operating, ScopeExchangesRead),
	take("exchanges-matches-export", operating, ScopeContactsRead),
	read("exchanges-presentations", operating, ScopeExchangesRead),
	record("exchanges-export-step", operating, ScopeExchangesWrite),
	record("exchanges-import-step", operating, ScopeExchangesWrite),
	record("exchanges-start", operating, ScopeExchangesWrite),
	record("rpc-exchange", operating, ScopeExchangesWrite),
	record("exchanges-approve", operating, ScopeExchangesWrite),
	record("exchanges-refuse", operating, ScopeExchangesWrite),
	record("exchanges-excuse", operating, ScopeExchangesWrite),
	record("exchanges-cancel", operating, ScopeExchangesWrite),

	// Receipts.
	read("receipts-list", reading, ScopeReceiptsRead),
	read("receipts-show", reading, ScopeReceiptsRead),
	record("receipts-revoke", administer, ScopeReceiptsWrite),
	record("receipts-suspend", administer, ScopeReceiptsWrite),
	record("receipts-reinstate", administer, ScopeReceiptsWrite),

	// Jobs. Their results may hold rows of contacts.
	read("jobs-list", operating, ScopeJobsRead),
	read("jobs-show", operating, ScopeJobsRead),
	read("jobs-events", operating, ScopeJobsRead),
	record("jobs-cancel", operating, ScopeJobsWrite),

	// The VC API. What it signs, it signs as the organisation.
	take("vc-issue", administer, ScopeSign),
	take("vc-prove", administer, ScopeSign),
	read("vc-verify-credential", reading, ScopeVerify),
	read("vc-verify-presentation", reading, ScopeVerify),

	// Signing in, and one's own account.
	enter("auth-login"),
	open("auth-refresh"), // only what is refused of it is recorded
	enter("auth-setup"),
	open("auth-oidc-start"),
	enter("auth-oidc-callback"),
	enter("auth-oidc-redeem"),
	read("auth-account", everybody, ""),
	own("auth-logout"),
	own("auth-password"),
	own("auth-totp-begin"),
	own("auth-totp-confirm"),
	own("auth-totp-end"),
	read("auth-tokens-list", everybody, ""),
	own("auth-tokens-create"),
	own("auth-tokens-revoke"),

	// Accounts. Whoever may change them can make an admin of anybody.
	read("users-list", administer, ScopeUsersRead),
	read("users-show", administer, ScopeUsersRead),
	record("users-add", administer, ScopeUsersWrite),
	record("users-role", administer, ScopeUsersWrite),
	record("users-password", administer, ScopeUsersWrite),
	record("users-disable", administer, ScopeUsersWrite),
	record("users-enable", administer, ScopeUsersWrite),
	record("users-totp-end", administer, ScopeUsersWrite),
	read("users-tokens-list", administer, ScopeUsersRead),
	record("users-tokens-create", administer, ScopeUsersWrite),
	record("users-tokens-revoke", administer, ScopeUsersWrite),

	// The record of who did what.
	read("audit-list", []Role{Admin, Auditor}, ScopeAuditRead),
	read("audit-verify", []Role{Admin, Auditor}, ScopeAuditRead),
}

// adminJobs are the kinds of jobs that only an admin begins, and so only an admin may cancel.
var adminJobs = map[string]bool{"store.rotate-keys": true, "contacts.retention": true, "contacts.index": true}

// MayCancel says whether a caller who may cancel jobs may cancel one of this kind.
func MayCancel(role Role, kind string) bool { return role == Admin || !adminJobs[kind] }
