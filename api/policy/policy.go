package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Role is what an account may do.
type Role string

// The roles.
const (
	Admin    Role = "admin"    // everything
	Operator Role = "operator" // contacts, exchanges, lists
	Checker  Role = "checker"  // may only check anonymous lists
	Auditor  Role = "auditor"  // reads receipts, exchanges and the record; never a contact
)

// Roles are all roles, the mightiest first.
var Roles = []Role{Admin, Operator, Auditor, Checker}

// ParseRole reads the name of a role.
func ParseRole(name string) (Role, error) {
	if r := Role(name); slices.Contains(Roles, r) {
		return r, nil
	}
	names := make([]string, len(Roles))
	for i, r := range Roles {
		names[i] = string(r)
	}
	return "", fmt.Errorf("there is no such role; there are %s", strings.Join(names, ", "))
}

// How says by what a caller showed who it is.
type How string

// The ways to show who one is.
const (
	BySocket  How = "socket"  // file permissions of the node's socket
	BySession How = "session" // an access token that a sign-in gave
	ByToken   How = "token"   // an API token
)

// SocketAccount stands where an account's id does, for the user who owns the node's socket.
const SocketAccount = "socket"

// Caller is who asks for an operation.
type Caller struct {
	Account string // its id; SocketAccount for the owner of the socket who named none
	Role    Role
	How     How
	Scopes  []Scope // of an API token; nil where How is not ByToken
	Session string  // id of the session or of the API token, "" for the socket
}

type callerKey struct{}

// WithCaller gives a context that carries who asks.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, &c)
}

// CallerOf gives who asks; false for a stranger, to whom only open operations are served.
func CallerOf(ctx context.Context) (Caller, bool) {
	if c, ok := ctx.Value(callerKey{}).(*Caller); ok {
		return *c, true
	}
	return Caller{}, false
}

// Row is what the table says of one operation.
type Row struct {
	Operation string
	Roles     []Role // who may
	Scope     Scope  // that an API token needs; "": no API token may
	// Open operations are for everybody, strangers included; then Roles and Scope are empty.
	Open bool
	// Recorded operations stand in the record of who did what. Every change is; so is what takes
	// personal data out in bulk, or asks about it.
	Recorded bool
	// Beforehand: it is recorded before it begins, not with its first change. It may change nothing, but
	// must not happen unrecorded.
	Beforehand bool
}

// Table is the policy: what it has no row for is refused. It is not changed after New, so that
// any number of goroutines may ask it.
type Table struct {
	rows map[string]entry
}

type entry struct {
	Row
	roles map[Role]bool
}

// New makes a table. An error names a row that says nothing or too much.
func New(rows []Row) (*Table, error) {
	t := &Table{rows: make(map[string]entry, len(rows))}
	for _, r := range rows {
		e := entry{Row: r, roles: map[Role]bool{}}
		for _, role := range r.Roles {
			if _, err := ParseRole(string(role)); err != nil {
				return nil, fmt.Errorf("policy: operation %s: %q: %w", r.Operation, role, err)
			}
			e.roles[role] = true
		}
		_, twice := t.rows[r.Operation]
		switch {
		case r.Operation == "" || twice:
			return nil, fmt.Errorf("policy: operation %q: has no name, or two rows", r.Operation)
		case r.Open == (len(r.Roles) > 0) || r.Open && r.Scope != "":
			return nil, fmt.Errorf("policy: operation %s: either it is open, or it has roles", r.Operation)
		case !r.Open && !e.roles[Admin]:
			return nil, fmt.Errorf("policy: operation %s: an admin may do everything", r.Operation)
		case r.Beforehand && !r.Recorded:
			return nil, fmt.Errorf("policy: operation %s: what is not recorded is not recorded beforehand", r.Operation)
		case r.Scope != "" && !slices.Contains(Scopes, r.Scope):
			return nil, fmt.Errorf("policy: operation %s: unknown scope %q", r.Operation, r.Scope)
		}
		t.rows[r.Operation] = e
	}
	return t, nil
}

// Row gives the row of an operation; false if there is none.
func (t *Table) Row(operation string) (Row, bool) {
	e, ok := t.rows[operation]
	return e.Row, ok
}

// Operations lists the operations that have a row, sorted.
func (t *Table) Operations() []string {
	out := make([]string, 0, len(t.rows))
	for name := range t.rows {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Decision is the answer to whether a caller may.
type Decision int

// The decisions.
const (
	Allowed  Decision = iota
	Unknown           // the operation has no row: refused to everybody
	Stranger          // who asks must show who it is first
	NotRole           // the caller's role may not
	NotScope          // the caller's API token may not, though its account may
)

// Check says whether a caller may; nil stands for a stranger.
func (t *Table) Check(c *Caller, operation string) Decision {
	e, ok := t.rows[operation]
	switch {
	case !ok:
		return Unknown
	case e.Open:
		return Allowed
	case c == nil:
		return Stranger
	case !e.roles[c.Role]:
		return NotRole
	case c.How == ByToken && (e.Scope == "" || !slices.Contains(c.Scopes, e.Scope)):
		return NotScope
	}
	return Allowed
}

// CheckContext is Check for the caller that a context carries.
func (t *Table) CheckContext(ctx context.Context, operation string) Decision {
	c, _ := ctx.Value(callerKey{}).(*Caller)
	return t.Check(c, operation)
}
