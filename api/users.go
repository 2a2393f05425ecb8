package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ihyid/api/accounts"
	"ihyid/api/policy"
	"ihyid/exchange"
)

type byAccount struct {
	Account string `path:"account" doc:"The account's id." maxLength:"16"`
}

// changeAccount is what changes an account.
type changeAccount struct {
	IfMatch
	Account string `path:"account" doc:"The account's id." maxLength:"16"`
}

type byAccountToken struct {
	Account string `path:"account" doc:"The account's id." maxLength:"16"`
	Token   string `path:"token" doc:"The API token's id." maxLength:"16"`
}

type byToken struct {
	Token string `path:"token" doc:"The API token's id." maxLength:"16"`
}

type addUserInput struct {
	Body struct {
		Name     string `json:"name" minLength:"1" maxLength:"256" doc:"What its owner signs in with."`
		Role     string `json:"role" enum:"admin,operator,auditor,checker"`
		Password string `json:"password" minLength:"1" maxLength:"4096"`
	}
}

type roleInput struct {
	IfMatch
	Account string `path:"account" doc:"The account's id." maxLength:"16"`
	Body    struct {
		Role string `json:"role" enum:"admin,operator,auditor,checker"`
	}
}

type passwordInput struct {
	IfMatch
	Account string `path:"account" doc:"The account's id." maxLength:"16"`
	Body    struct {
		Password string `json:"password" minLength:"1" maxLength:"4096"`
	}
}

type ownPasswordInput struct {
	Body struct {
		Old      string `json:"old_password" minLength:"1" maxLength:"4096"`
		Password string `json:"password" minLength:"1" maxLength:"4096"`
	}
}

// tokenRequest is the body of what makes an API token.
type tokenRequest struct {
	Label  string   `json:"label,omitempty" maxLength:"400" doc:"What it is for."`
	Scopes []string `json:"scopes" minItems:"1" maxItems:"64" doc:"What it may, within what the account may." example:"[\"contacts:read\"]"`
	Days   int      `json:"days" minimum:"1" maximum:"366" doc:"For so long it is good."`
}

type newTokenInput struct {
	Account string `path:"account" doc:"The account's id." maxLength:"16"`
	Body    tokenRequest
}

type newOwnTokenInput struct{ Body tokenRequest }

type codeInput struct {
	Body struct {
		Code string `json:"code" minLength:"1" maxLength:"64" doc:"What the authenticator app shows now."`
	}
}

type endTOTPInput struct {
	Body struct {
		Password string `json:"password" minLength:"1" maxLength:"4096"`
		Code     string `json:"code,omitempty" maxLength:"64" doc:"Of the app, or a recovery code."`
	}
}

// ownAccount gives the id of the caller's own account. The owner of the socket has none, unless acting as one.
func ownAccount(ctx context.Context) (string, error) {
	c, ok := policy.CallerOf(ctx)
	if !ok || c.Account == policy.SocketAccount || c.Account == "" {
		return "", newProblem(exchange.CodeInvalid, "the socket's owner has no account: name the one to act as (--as NAME)")
	}
	return c.Account, nil
}

func (s *Server) operateOwnAccount(h huma.API) {
	if s.accounts == nil {
		return
	}
	const tag = "Own account"
	operate(h, get("auth-account", "/auth/account", tag, "Say who the caller is"),
		func(ctx context.Context, _ *empty) (*body[accounts.Account], error) {
			id, err := ownAccount(ctx)
			if err != nil {
				return nil, err
			}
			return asBody(s.accounts.Get(ctx, id))
		})
	op := post("auth-logout", "/auth/logout", tag, "Sign out everywhere: all sign-ins of the account end at once")
	op.DefaultStatus = http.StatusNoContent
	operate(h, op, func(ctx context.Context, _ *empty) (*struct{}, error) {
		id, err := ownAccount(ctx)
		if err != nil {
			return nil, err
		}
		return &struct{}{}, s.accounts.SignOut(ctx, id)
	})
	op = post("auth-password", "/auth/password", tag, "Change one's own password; all tokens of the account end at once")
	operate(h, op, func(ctx context.Context, in *ownPasswordInput) (*body[accounts.Account], error) {
		id, err := ownAccount(ctx)
		if err != nil {
			return nil, err
		}
		return asBody(s.accounts.ChangePassword(ctx, id, in.Body.Old, in.Body.Password, requestOf(ctx).address))
	})
	operate(h, post("auth-totp-begin", "/auth/totp/begin", tag, "Draw a second factor (RFC 6238) for the own account"),
		func(ctx context.Context, _ *empty) (*body[accounts.TOTPSecret], error) {
			id, err := ownAccount(ctx)
			if err != nil {
				return nil, err
			}
			return asBody(s.accounts.BeginTOTP(ctx, id))
		})
	operate(h, post("auth-totp-confirm", "/auth/totp/confirm", tag, "Make the drawn second factor count"),
		func(ctx context.Context, in *codeInput) (*body[accounts.Recovery], error) {
			id, err := ownAccount(ctx)
			if err != nil {
				return nil, err
			}
			return asBody(s.accounts.ConfirmTOTP(ctx, id, in.Body.Code, requestOf(ctx).address))
		})
	operate(h, post("auth-totp-end", "/auth/totp/end", tag, "Take the second factor from the own account"),
		func(ctx context.Context, in *endTOTPInput) (*body[accounts.Account], error) {
			id, err := ownAccount(ctx)
			if err != nil {
				return nil, err
			}
			return asBody(s.accounts.EndTOTP(ctx, id, in.Body.Password, in.Body.Code, requestOf(ctx).address))
		})
	operate(h, get("auth-tokens-list", "/auth/tokens", tag, "List the own account's API tokens"),
		func(ctx context.Context, _ *empty) (*body[List[accounts.Token]], error) {
			id, err := ownAccount(ctx)
			if err != nil {
				return nil, err
			}
			list, err := s.accounts.Tokens(ctx, id)
			return asList(list, "", err)
		})
	op = post("auth-tokens-create", "/auth/tokens", tag, "Make an API token of the own account")
	op.DefaultStatus = http.StatusCreated
	operate(h, op, func(ctx context.Context, in *newOwnTokenInput) (*body[accounts.NewToken], error) {
		id, err := ownAccount(ctx)
		if err != nil {
			return nil, err
		}
		return asBody(s.createToken(ctx, id, in.Body))
	})
	operate(h, remove("auth-tokens-revoke", "/auth/tokens/{token}", tag, "End an API token of the own account"),
		func(ctx context.Context, in *byToken) (*struct{}, error) {
			id, err := ownAccount(ctx)
			if err != nil {
				return nil, err
			}
			return &struct{}{}, s.accounts.RevokeToken(ctx, id, in.Token)
		})
}

func (s *Server) createToken(ctx context.Context, account string, r tokenRequest) (accounts.NewToken, error) {
	scopes := make([]policy.Scope, len(r.Scopes))
	for i, name := range r.Scopes {
		scopes[i] = policy.Scope(name)
	}
	return s.accounts.CreateToken(ctx, account, r.Label, scopes, time.Duration(r.Days)*24*time.Hour)
}

func (s *Server) operateUsers(h huma.API) {
	if s.accounts == nil {
		return
	}
	const tag = "Users"
	operate(h, get("users-list", "/users", tag, "List the accounts, the oldest first"),
		func(_ context.Context, in *struct {
			Page
			Role string `query:"role" enum:"admin,operator,auditor,checker" doc:"Only those with this role."`
		}) (*body[List[accounts.Account]], error) {
			c := cursorsOf("users-list", in.Role)
			after, err := c.read(in.After)
			if err != nil {
				return nil, err
			}
			list, next := s.accounts.Page(string(after), policy.Role(in.Role), in.Limit)
			if next == "" {
				return asList(list, "", nil)
			}
			return asList(list, c.next([]byte(next)), nil)
		})
	op := post("users-add", "/users", tag, "Make an account")
	op.DefaultStatus = http.StatusCreated
	add := func(ctx context.Context, in *addUserInput) (*tagged[accounts.Account], error) {
		return asTagged(s.accounts.Add(ctx, in.Body.Name, policy.Role(in.Body.Role), in.Body.Password))
	}
	operate(h, op, add)
	operate(h, get("prototype-users", "/user/", "Prototype", "List the accounts (GET /users)"),
		func(ctx context.Context, _ *empty) (*body[[]accounts.Account], error) {
			return asBody(s.accounts.List(ctx))
		})
	op = post("prototype-user-add", "/user/", "Prototype", "Make an account (POST /users)")
	op.DefaultStatus = http.StatusCreated
	operate(h, op, add)
	operate(h, get("users-show", "/users/{account}", tag, "Show an account"),
		func(ctx context.Context, in *byAccount) (*tagged[accounts.Account], error) {
			return asTagged(s.accounts.Get(ctx, in.Account))
		})
	operate(h, post("users-role", "/users/{account}/role", tag, "Give an account another role; all its tokens end at once"),
		func(ctx context.Context, in *roleInput) (*tagged[accounts.Account], error) {
			return under(in.IfMatch, func(versions ...uint64) (accounts.Account, error) {
				return s.accounts.SetRole(ctx, in.Account, policy.Role(in.Body.Role), versions...)
			})
		})
	operate(h, post("users-password", "/users/{account}/password", tag, "Give an account another password; all its tokens end at once"),
		func(ctx context.Context, in *passwordInput) (*tagged[accounts.Account], error) {
			return under(in.IfMatch, func(versions ...uint64) (accounts.Account, error) {
				return s.accounts.SetPassword(ctx, in.Account, in.Body.Password, versions...)
			})
		})
	operate(h, post("users-disable", "/users/{account}/disable", tag, "Disable an account; all its tokens end at once"),
		func(ctx context.Context, in *changeAccount) (*tagged[accounts.Account], error) {
			return under(in.IfMatch, func(versions ...uint64) (accounts.Account, error) {
				return s.accounts.SetDisabled(ctx, in.Account, true, versions...)
			})
		})
	operate(h, post("users-enable", "/users/{account}/enable", tag, "Enable an account that was disabled"),
		func(ctx context.Context, in *changeAccount) (*tagged[accounts.Account], error) {
			return under(in.IfMatch, func(versions ...uint64) (accounts.Account, error) {
				return s.accounts.SetDisabled(ctx, in.Account, false, versions...)
			})
		})
	operate(h, post("users-totp-end", "/users/{account}/totp/end", tag, "Take a lost second factor from an account; all its tokens end at once"),
		func(ctx context.Context, in *changeAccount) (*tagged[accounts.Account], error) {
			return under(in.IfMatch, func(versions ...uint64) (accounts.Account, error) {
				return s.accounts.ResetTOTP(ctx, in.Account, versions...)
			})
		})
	operate(h, get("users-tokens-list", "/users/{account}/tokens", tag, "List an account's API tokens"),
		func(ctx context.Context, in *byAccount) (*body[List[accounts.Token]], error) {
			list, err := s.accounts.Tokens(ctx, in.Account)
			return asList(list, "", err)
		})
	op = post("users-tokens-create", "/users/{account}/tokens", tag, "Make an API token of an account")
	op.Description = "The answer shows the token, this once."
	op.DefaultStatus = http.StatusCreated
	operate(h, op, func(ctx context.Context, in *newTokenInput) (*body[accounts.NewToken], error) {
		return asBody(s.createToken(ctx, in.Account, in.Body))
	})
	operate(h, remove("users-tokens-revoke", "/users/{account}/tokens/{token}", tag, "End an API token of an account"),
		func(ctx context.Context, in *byAccountToken) (*struct{}, error) {
			return &struct{}{}, s.accounts.RevokeToken(ctx, in.Account, in.Token)
		})
}
