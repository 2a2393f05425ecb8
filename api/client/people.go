package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ihyid/api"
	"ihyid/api/accounts"
	"ihyid/api/audit"
)

// SignIn signs in with a name and a password, and a code of the second factor or "".
func (c *Client) SignIn(ctx context.Context, name, password, code string) (accounts.Tokens, error) {
	in := map[string]string{"name": name, "password": password}
	if code != "" {
		in["code"] = code
	}
	return call[accounts.Tokens](ctx, c, http.MethodPost, "/auth/login", nil, in)
}

// Refresh gives the next pair of tokens for a refresh token, which is good once.
func (c *Client) Refresh(ctx context.Context, token string) (accounts.Tokens, error) {
	return call[accounts.Tokens](ctx, c, http.MethodPost, "/auth/refresh", nil, map[string]string{"refresh_token": token})
}

// Setup makes the first admin with the code that the node printed.
func (c *Client) Setup(ctx context.Context, code, name, password string) (accounts.Account, error) {
	return call[accounts.Account](ctx, c, http.MethodPost, "/auth/setup", nil, map[string]string{"code": code, "name": name, "password": password})
}

// StartOIDC begins a sign-in by OpenID Connect and gives the URL to open in a browser.
func (c *Client) StartOIDC(ctx context.Context, challenge, returnTo string) (string, error) {
	in := map[string]string{"challenge": challenge}
	if returnTo != "" {
		in["return_to"] = returnTo
	}
	s, err := call[api.OIDCStart](ctx, c, http.MethodPost, "/auth/oidc/start", nil, in)
	return s.URL, err
}

// RedeemOIDC gives the tokens for the code that the browser was given.
func (c *Client) RedeemOIDC(ctx context.Context, code, verifier string) (accounts.Tokens, error) {
	return call[accounts.Tokens](ctx, c, http.MethodPost, "/auth/oidc/redeem", nil, map[string]string{"code": code, "verifier": verifier})
}

// Own gives the caller's own account.
func (c *Client) Own(ctx context.Context) (accounts.Account, error) {
	return call[accounts.Account](ctx, c, http.MethodGet, "/auth/account", nil, nil)
}

// SignOut ends all sign-ins of the caller's account.
func (c *Client) SignOut(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/auth/logout", nil, nil, nil)
}

// ChangePassword changes the caller's own password. All tokens of the account end.
func (c *Client) ChangePassword(ctx context.Context, old, password string) (accounts.Account, error) {
	return call[accounts.Account](ctx, c, http.MethodPost, "/auth/password", nil, map[string]string{"old_password": old, "password": password})
}

// BeginTOTP draws a second factor for the caller's own account.
func (c *Client) BeginTOTP(ctx context.Context) (accounts.TOTPSecret, error) {
	return call[accounts.TOTPSecret](ctx, c, http.MethodPost, "/auth/totp/begin", nil, nil)
}

// ConfirmTOTP makes the drawn second factor count.
func (c *Client) ConfirmTOTP(ctx context.Context, code string) (accounts.Recovery, error) {
	return call[accounts.Recovery](ctx, c, http.MethodPost, "/auth/totp/confirm", nil, map[string]string{"code": code})
}

// EndTOTP takes the second factor from the caller's own account.
func (c *Client) EndTOTP(ctx context.Context, password, code string) (accounts.Account, error) {
	in := map[string]string{"password": password}
	if code != "" {
		in["code"] = code
	}
	return call[accounts.Account](ctx, c, http.MethodPost, "/auth/totp/end", nil, in)
}

// Users lists the accounts by name.
func (c *Client) Users(ctx context.Context, f ...Filter) ([]accounts.Account, error) {
	list, err := all[accounts.Account](ctx, c, "/users", f)
	slices.SortFunc(list, func(a, b accounts.Account) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

// AddUser makes an account.
func (c *Client) AddUser(ctx context.Context, name, role, password string) (accounts.Account, error) {
	return call[accounts.Account](ctx, c, http.MethodPost, "/users", nil, map[string]string{"name": name, "role": role, "password": password})
}

// SetRole gives an account, named by its id, another role.
func (c *Client) SetRole(ctx context.Context, id, role string) (accounts.Account, error) {
	return call[accounts.Account](ctx, c, http.MethodPost, at("users", id, "role"), nil, map[string]string{"role": role})
}

// SetPassword gives an account another password.
func (c *Client) SetPassword(ctx context.Context, id, password string) (accounts.Account, error) {
	return call[accounts.Account](ctx, c, http.MethodPost, at("users", id, "password"), nil, map[string]string{"password": password})
}

// DisableUser disables an account.
func (c *Client) DisableUser(ctx context.Context, id string) (accounts.Account, error) {
	return call[accounts.Account](ctx, c, http.MethodPost, at("users", id, "disable"), nil, nil)
}

// EnableUser enables an account again.
func (c *Client) EnableUser(ctx context.Context, id string) (accounts.Account, error) {
	return call[accounts.Account](ctx, c, http.MethodPost, at("users", id, "enable"), nil, nil)
}

// ResetTOTP takes a lost second factor from an account.
func (c *Client) ResetTOTP(ctx context.Context, id string) (accounts.Account, error) {
	return call[accounts.Account](ctx, c, http.MethodPost, at("users", id, "totp", "end"), nil, nil)
}

// tokensAt is the path of an account's API tokens; "" is the caller's own account.
func tokensAt(id string) string {
	if id == "" {
		return "/auth/tokens"
	}
	return at("users", id, "tokens")
}

// APITokens lists the API tokens of an account; "" is the caller's own.
func (c *Client) APITokens(ctx context.Context, id string) ([]accounts.Token, error) {
	list, err := call[api.List[accounts.Token]](ctx, c, http.MethodGet, tokensAt(id), nil, nil)
	return list.Items, err
}

// CreateAPIToken makes an API token of an account; "" is the caller's own.
func (c *Client) CreateAPIToken(ctx context.Context, id, label string, scopes []string, days int) (accounts.NewToken, error) {
	in := map[string]any{"scopes": scopes, "days": days}
	if label != "" {
		in["label"] = label
	}
	return call[accounts.NewToken](ctx, c, http.MethodPost, tokensAt(id), nil, in)
}

// RevokeAPIToken ends an API token of an account; "" is the caller's own.
func (c *Client) RevokeAPIToken(ctx context.Context, id, token string) error {
	return c.do(ctx, http.MethodDelete, tokensAt(id)+at(token), nil, nil, nil)
}

// AuditFilter chooses from the record of who did what; what is empty chooses nothing out.
type AuditFilter struct {
	Account, Operation, Outcome string
	Since, Until                time.Time
}

// Audit gives the record of who did what, the newest first.
func (c *Client) Audit(ctx context.Context, f AuditFilter) iter.Seq2[audit.Record, error] {
	return pages(func(after string) (api.List[audit.Record], error) {
		q := url.Values{"limit": {"500"}}
		for name, value := range map[string]string{"account": f.Account, "operation": f.Operation, "outcome": f.Outcome, "after": after} {
			if value != "" {
				q.Set(name, value)
			}
		}
		for name, t := range map[string]time.Time{"since": f.Since, "until": f.Until} {
			if !t.IsZero() {
				q.Set(name, t.UTC().Format(time.RFC3339))
			}
		}
		return call[api.List[audit.Record]](ctx, c, http.MethodGet, "/audit", q, nil)
	})
}

// VerifyAudit has the node verify its record; number and digest are of a record that was noted before, or 0 and "".
func (c *Client) VerifyAudit(ctx context.Context, number uint64, digest string) (audit.Verification, error) {
	q := url.Values{}
	if number > 0 {
		q.Set("number", strconv.FormatUint(number, 10))
		q.Set("digest", digest)
	}
	return call[audit.Verification](ctx, c, http.MethodGet, "/audit/verify", q, nil)
}
