package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"ihyid/api/audit"
	"ihyid/api/policy"
)

// OIDC is the setting of sign-in by OpenID Connect: authorization code flow, with PKCE, state and nonce.
type OIDC struct {
	Issuer       string // of the provider, https
	ClientID     string
	ClientSecret string // "" for a public client
	RedirectURL  string // of this node's callback, as it is registered with the provider
	Scopes       []string
	RoleClaim    string                 // name of the ID token's claim that states roles, a string or a list of strings
	Roles        map[string]policy.Role // value of the claim → role; a value that is not here is none
	HTTP         *http.Client           // must guard against addresses that the operator has not allowed

	mu       sync.Mutex
	provider *oidc.Provider
}

// Check says what is missing or wrong in the setting.
func (o *OIDC) Check() error {
	issuer, err := url.Parse(o.Issuer)
	if err != nil || issuer.Scheme != "https" || issuer.Host == "" {
		return errors.New("the issuer of OpenID Connect must be an https URL")
	}
	redirect, err := url.Parse(o.RedirectURL)
	if err != nil || redirect.Scheme != "https" || redirect.Host == "" {
		return errors.New("the redirect URL of OpenID Connect must be an https URL of this node, ending in /auth/oidc/callback")
	}
	switch {
	case o.ClientID == "":
		return errors.New("OpenID Connect needs a client id")
	case o.RoleClaim == "" || len(o.Roles) == 0:
		return errors.New("OpenID Connect needs a claim that states roles, and which of its values is which role")
	case o.HTTP == nil:
		return errors.New("OpenID Connect needs an HTTP client")
	}
	for _, role := range o.Roles {
		if _, err := policy.ParseRole(string(role)); err != nil {
			return err
		}
	}
	return nil
}

// subject is who the provider says that somebody is.
type subject struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

const (
	flowLife = 10 * time.Minute // from the start to the callback
	codeLife = 2 * time.Minute  // from the callback to the redemption
	maxFlows = 1000
)

// flow is a sign-in that was begun. It lives in memory: a restart has it begun again.
type flow struct {
	expires   time.Time
	challenge [sha256.Size]byte // of the verifier that whoever began it has
	returnTo  string
	nonce     string
	verifier  string // PKCE's, between this node and the provider
}

// arrival is a sign-in that the provider has confirmed.
type arrival struct {
	expires   time.Time
	challenge [sha256.Size]byte
	account   string
	gen       uint64
}

// flows are the sign-ins under way.
type flows struct {
	mu       sync.Mutex
	begun    map[string]flow    // by state
	arrivals map[string]arrival // by digest of the code
}

func (f *flows) tidy(now time.Time) {
	if f.begun == nil {
		f.begun, f.arrivals = map[string]flow{}, map[string]arrival{}
	}
	for k, v := range f.begun {
		if now.After(v.expires) {
			delete(f.begun, k)
		}
	}
	for k, v := range f.arrivals {
		if now.After(v.expires) {
			delete(f.arrivals, k)
		}
	}
}

// OIDCEnabled says whether there is sign-in by OpenID Connect.
func (a *Accounts) OIDCEnabled() bool { return a.oidc != nil }

// client gives the provider, found by discovery at first use.
func (o *OIDC) client(ctx context.Context) (*oidc.Provider, *oauth2.Config, context.Context, error) {
	ctx = oidc.ClientContext(ctx, o.HTTP)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		p, err := oidc.NewProvider(ctx, o.Issuer)
		if err != nil {
			return nil, nil, ctx, fmt.Errorf("%w: its description could not be had: %w", ErrProvider, err)
		}
		o.provider = p
	}
	scopes := o.Scopes
	if len(scopes) == 0 {
		scopes = []string{oidc.ScopeOpenID, "profile"}
	}
	return o.provider, &oauth2.Config{ClientID: o.ClientID, ClientSecret: o.ClientSecret, Endpoint: o.provider.Endpoint(), RedirectURL: o.RedirectURL, Scopes: scopes}, ctx, nil
}

// StartOIDC begins a sign-in and gives the provider's URL, to open in a browser. challenge is the base64url SHA-256 of a
// verifier that the caller keeps for RedeemOIDC; returnTo, if not "", a loopback URL to which the browser is sent at the end.
func (a *Accounts) StartOIDC(ctx context.Context, challenge, returnTo string) (string, error) {
	if a.oidc == nil {
		return "", fmt.Errorf("%w: this node has no sign-in by OpenID Connect", ErrNotFound)
	}
	f := flow{expires: a.now().Add(flowLife), returnTo: returnTo, nonce: randomSecret(), verifier: oauth2.GenerateVerifier()}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil || len(sum) != sha256.Size {
		return "", fmt.Errorf("%w: the challenge must be a SHA-256 in base64url", ErrInvalid)
	}
	copy(f.challenge[:], sum)
	if returnTo != "" && !isLoopback(returnTo) {
		return "", fmt.Errorf("%w: return_to must be http on 127.0.0.1 or [::1], with a port", ErrInvalid)
	}
	_, config, _, err := a.oidc.client(ctx)
	if err != nil {
		return "", err
	}
	state := randomSecret()
	a.flows.mu.Lock()
	defer a.flows.mu.Unlock()
	a.flows.tidy(a.now())
	if len(a.flows.begun) >= maxFlows {
		return "", ErrBusy
	}
	a.flows.begun[state] = f
	return config.AuthCodeURL(state, oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(f.verifier)), nil
}

// isLoopback reports whether a URL is one of a program on the caller's own machine (RFC 8252 section 7.3).
func isLoopback(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Port() == "" || u.Fragment != "" || u.RawQuery != "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// FinishOIDC takes what the provider's redirect brought. It makes the account at its first sign-in and follows the role that the
// provider states. It gives a code, good once for RedeemOIDC, and where the browser is to be sent, or "".
func (a *Accounts) FinishOIDC(ctx context.Context, state, code string) (once, returnTo string, err error) {
	if a.oidc == nil {
		return "", "", ErrNotFound
	}
	a.flows.mu.Lock()
	a.flows.tidy(a.now())
	f, ok := a.flows.begun[state]
	delete(a.flows.begun, state)
	a.flows.mu.Unlock()
	if !ok {
		return "", "", fmt.Errorf("%w: this sign-in was not begun here, or too long ago", ErrCaller)
	}
	provider, config, ctx, err := a.oidc.client(ctx)
	if err != nil {
		return "", "", err
	}
	answer, err := config.Exchange(ctx, code, oauth2.VerifierOption(f.verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) {
			return "", "", fmt.Errorf("%w: it did not take its own code back", ErrProvider) // the error may hold its answer
		}
		return "", "", fmt.Errorf("%w: %w", ErrProvider, err)
	}
	raw, ok := answer.Extra("id_token").(string)
	if !ok {
		return "", "", fmt.Errorf("%w: it gave no ID token", ErrProvider)
	}
	token, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: a.oidc.ClientID, Now: a.now}).Verify(ctx, raw)
	if err != nil {
		return "", "", fmt.Errorf("%w: its ID token does not verify", ErrProvider)
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(f.nonce)) != 1 {
		return "", "", fmt.Errorf("%w: its ID token is of another sign-in", ErrProvider)
	}
	var stated map[string]any
	if err := token.Claims(&stated); err != nil {
		return "", "", fmt.Errorf("%w: its ID token cannot be read", ErrProvider)
	}
	role := a.oidc.roleOf(stated[a.oidc.RoleClaim])
	if role == "" {
		return "", "", ErrNotMapped
	}
	name, _ := stated["preferred_username"].(string)
	c, err := a.arrive(ctx, subject{token.Issuer, token.Subject}, name, role)
	if err != nil {
		return "", "", err
	}
	once = randomSecret()
	sum := sha256.Sum256([]byte(once))
	a.flows.mu.Lock()
	defer a.flows.mu.Unlock()
	if len(a.flows.arrivals) >= maxFlows {
		return "", "", ErrBusy
	}
	a.flows.arrivals[hex.EncodeToString(sum[:])] = arrival{a.now().Add(codeLife), f.challenge, c.ID, c.Generation}
	return once, f.returnTo, nil
}

// roleOf gives the mightiest role that a claim's values stand for, or "".
func (o *OIDC) roleOf(claim any) policy.Role {
	values, ok := claim.([]any)
	if !ok {
		values = []any{claim}
	}
	best := len(policy.Roles)
	for _, v := range values {
		if text, ok := v.(string); ok {
			if i := slices.Index(policy.Roles, o.Roles[text]); i >= 0 {
				best = min(best, i)
			}
		}
	}
	if best == len(policy.Roles) {
		return ""
	}
	return policy.Roles[best]
}

// arrive finds the account of a subject, or makes it, and gives it the role that the provider states. An account of the same
// name that somebody made here is not taken over.
func (a *Accounts) arrive(ctx context.Context, who subject, name string, role policy.Role) (*account, error) {
	a.mu.RLock()
	id, known := a.subjects[who]
	a.mu.RUnlock()
	if !known {
		normal, err := normalName(name)
		a.changing.Lock()
		defer a.changing.Unlock()
		a.mu.RLock()
		id, known = a.subjects[who] // another sign-in of the same person may have come first
		_, taken := a.names[normal]
		a.mu.RUnlock()
		if known {
			return a.get(id)
		}
		if err != nil || taken {
			var b [4]byte
			rand.Read(b[:])
			normal = "oidc-" + hex.EncodeToString(b[:])
		}
		made, err := a.add(ctx, &account{Name: normal, Role: role, OIDC: &who}, nil)
		if err != nil {
			return nil, err
		}
		return a.get(made.ID)
	}
	c, err := a.get(id)
	if err != nil {
		return nil, err
	}
	audit.SetObject(ctx, c.ID)
	if c.Disabled {
		return nil, ErrSignIn
	}
	if c.Role != role {
		if _, err := a.SetRole(ctx, id, role); err != nil {
			return nil, err
		}
	}
	return a.get(id)
}

// RedeemOIDC gives the tokens for a code that FinishOIDC gave, to whoever has the verifier of the start. ErrCaller.
func (a *Accounts) RedeemOIDC(ctx context.Context, once, verifier string) (Tokens, error) {
	sum := sha256.Sum256([]byte(once))
	key := hex.EncodeToString(sum[:])
	a.flows.mu.Lock()
	a.flows.tidy(a.now())
	r, ok := a.flows.arrivals[key]
	delete(a.flows.arrivals, key)
	a.flows.mu.Unlock()
	shown := sha256.Sum256([]byte(verifier))
	if !ok || subtle.ConstantTimeCompare(shown[:], r.challenge[:]) != 1 {
		return Tokens{}, ErrCaller
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	c, err := a.get(r.account)
	if err != nil || c.Disabled || c.Generation != r.gen {
		return Tokens{}, ErrCaller
	}
	return a.open(ctx, c)
}
