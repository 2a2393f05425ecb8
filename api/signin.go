package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/mux"

	"ihyid/api/accounts"
	"ihyid/api/policy"
	"ihyid/exchange"
)

// byBearer tells who sent a request to the public side.
func (s *Server) byBearer(r *http.Request) (policy.Caller, error) {
	token, ok := bearerOf(r, 2<<10)
	if !ok {
		return policy.Caller{}, unauthorized()
	}
	return s.accounts.Authenticate(r.Context(), token)
}

// moment reads a time of a query; "" is none.
func moment(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, newProblem(codeValidation, "query."+name+": is no time such as 2026-05-07T09:30:00Z")
	}
	return t, nil
}

// maxSignIn bounds the bodies that strangers send to sign in.
const maxSignIn = 16 << 10

type signInInput struct {
	Body struct {
		Name     string `json:"name" minLength:"1" maxLength:"1024"`
		Password string `json:"password" minLength:"1" maxLength:"4096"`
		Code     string `json:"code,omitempty" maxLength:"64" doc:"Of the second factor, where the account has one: six digits of the app, or a recovery code."`
	}
}

type refreshInput struct {
	Body struct {
		Refresh string `json:"refresh_token" minLength:"1" maxLength:"512"`
	}
}

type setupInput struct {
	Body struct {
		Code     string `json:"code" minLength:"1" maxLength:"512" doc:"What the node printed at its first start."`
		Name     string `json:"name" minLength:"1" maxLength:"256"`
		Password string `json:"password" minLength:"1" maxLength:"4096"`
	}
}

type oidcStartInput struct {
	Body struct {
		Challenge string `json:"challenge" minLength:"43" maxLength:"43" doc:"Base64url of the SHA-256 of a verifier that the caller keeps."`
		ReturnTo  string `json:"return_to,omitempty" maxLength:"512" doc:"http URL on the caller's own loopback address, with a port, to which the browser is sent at the end. Left out: the browser shows the code."`
	}
}

// OIDCStart says where a sign-in by OpenID Connect goes on.
type OIDCStart struct {
	URL string `json:"url" doc:"Of the provider; open it in a browser."`
}

type oidcRedeemInput struct {
	Body struct {
		Code     string `json:"code" minLength:"1" maxLength:"512" doc:"What the browser was given."`
		Verifier string `json:"verifier" minLength:"1" maxLength:"512"`
	}
}

func (s *Server) operateSignIn(h huma.API) {
	if s.accounts == nil {
		return
	}
	const tag = "Sign-in"
	enter := func(op huma.Operation) huma.Operation {
		op.MaxBodyBytes = maxSignIn
		op.Security = []map[string][]string{} // none is needed
		return op
	}
	op := enter(post("auth-login", "/auth/login", tag, "Sign in with a name and a password"))
	op.Description = "After a few failures a name, and an address, have to wait: 429 with Retry-After. Where the problem is second-factor, send code as well."
	operate(h, op, func(ctx context.Context, in *signInInput) (*body[accounts.Tokens], error) {
		return asBody(s.accounts.SignIn(ctx, in.Body.Name, in.Body.Password, in.Body.Code, requestOf(ctx).address))
	})
	op = enter(post("auth-refresh", "/auth/refresh", tag, "Get the next pair of tokens"))
	op.Description = "A refresh token is good once. One that comes a second time ends the sign-in."
	operate(h, op, func(ctx context.Context, in *refreshInput) (*body[accounts.Tokens], error) {
		t, err := s.accounts.Refresh(ctx, in.Body.Refresh)
		var reused *accounts.ReuseError
		if errors.As(err, &reused) && s.audit != nil {
			if err := s.audit.Deny(ctx, nil, op.OperationID, reused.Account, string(codeUnauthorized)); err != nil {
				return nil, err
			}
		}
		return asBody(t, err)
	})
	op = enter(post("auth-setup", "/auth/setup", tag, "Make the first admin with the code that the node printed"))
	op.DefaultStatus = http.StatusCreated
	operate(h, op, func(ctx context.Context, in *setupInput) (*body[accounts.Account], error) {
		return asBody(s.accounts.FirstAdmin(ctx, in.Body.Code, in.Body.Name, in.Body.Password))
	})
	if !s.accounts.OIDCEnabled() {
		return
	}
	operate(h, enter(post("auth-oidc-start", "/auth/oidc/start", tag, "Begin a sign-in by OpenID Connect")),
		func(ctx context.Context, in *oidcStartInput) (*body[OIDCStart], error) {
			u, err := s.accounts.StartOIDC(ctx, in.Body.Challenge, in.Body.ReturnTo)
			return asBody(OIDCStart{u}, err)
		})
	operate(h, enter(post("auth-oidc-redeem", "/auth/oidc/redeem", tag, "Get tokens for the code that the browser was given")),
		func(ctx context.Context, in *oidcRedeemInput) (*body[accounts.Tokens], error) {
			return asBody(s.accounts.RedeemOIDC(ctx, in.Body.Code, in.Body.Verifier))
		})
}

// routeSignIn adds where the provider sends the browser back to.
func (s *Server) routeSignIn(router *mux.Router) {
	if s.accounts != nil && s.accounts.OIDCEnabled() {
		router.Path("/auth/oidc/callback").Methods(http.MethodGet).HandlerFunc(s.oidcCallback).Name("auth-oidc-callback")
	}
}

func (s *Server) oidcCallback(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	q := r.URL.Query()
	state, code := q.Get("state"), q.Get("code")
	if len(r.URL.RawQuery) > 8<<10 || state == "" || code == "" {
		fail(w, r, newProblem(exchange.CodeInvalid, "the sign-in provider did not confirm the sign-in; begin again"))
		return
	}
	once, returnTo, err := s.accounts.FinishOIDC(r.Context(), state, code)
	if err != nil {
		fail(w, r, err)
		return
	}
	if returnTo != "" {
		h.Set("Location", returnTo+"?"+url.Values{"code": {once}}.Encode())
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	answer(w, "text/plain; charset=utf-8", fmt.Appendf(nil, "You are signed in. Give this code to the program that asked for it, and to nobody else; it is good once, for two minutes:\n\n%s\n", once))
}
