package accounts

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
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
	maxSpent = 8192
	maxFlows = 1000 // confirmed and not yet redeemed
)

// flow is a sign-in that was begun. The node keeps nothing of it: the state parameter holds it, sealed, so that however many sign-ins strangers begin, nobody
// else's is kept out. A restart has it begun again.
type flow struct {
	seed      [16]byte // of the secrets below
	expires   time.Time
	challenge [sha256.Size]byte // of the verifier that whoever began it has
	returnTo  string
}

// maxReturnTo bounds the URL to which the browser is sent at the end, in bytes.
const maxReturnTo = 512

// stateKeys seal the states of one run of the program, and derive the secrets of each.
type stateKeys struct {
	sealer cipher.AEAD
	derive []byte
}

func newStateKeys() (k stateKeys, err error) {
	var secret [64]byte
	rand.Read(secret[:])
	block, err := aes.NewCipher(secret[:32])
	if err != nil {
		return k, err
	}
	k.sealer, err = cipher.NewGCMWithRandomNonce(block)
	k.derive = secret[32:]
	return k, err
}

// secret derives what belongs to one flow and nobody else may know: 32 bytes in base64url.
func (k *stateKeys) secret(f *flow, purpose string) string {
	m := hmac.New(sha256.New, k.derive)
	m.Write(f.seed[:])
	m.Write([]byte(purpose))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// nonce binds the ID token to the flow; verifier is PKCE's (RFC 7636), between this node and the provider.
func (k *stateKeys) nonce(f *flow) string    { return k.secret(f, "nonce") }
func (k *stateKeys) verifier(f *flow) string { return k.secret(f, "verifier") }

// seal makes a state: base64url of AES-256-GCM over seed (16 bytes) ‖ end, in seconds since 1970 (8) ‖ challenge (32) ‖ returnTo.
func (k *stateKeys) seal(f *flow) string {
	plain := binary.BigEndian.AppendUint64(slices.Clone(f.seed[:]), uint64(f.expires.Unix()))
	plain = append(append(plain, f.challenge[:]...), f.returnTo...)
	return base64.RawURLEncoding.EncodeToString(k.sealer.Seal(nil, nil, plain, stateLabel))
}

var stateLabel = []byte("ihyid oidc state 1")

// open reads a state that seal made and that has not expired.
func (k *stateKeys) open(state string, now time.Time) (f flow, ok bool) {
	const fixed = 16 + 8 + sha256.Size
	if len(state) > base64.RawURLEncoding.EncodedLen(fixed+maxReturnTo+k.sealer.Overhead()) {
		return f, false
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(state)
	if err != nil {
		return f, false
	}
	plain, err := k.sealer.Open(nil, nil, box, stateLabel)
	if err != nil || len(plain) < fixed {
		return f, false
	}
	copy(f.seed[:], plain)
	f.expires = time.Unix(int64(binary.BigEndian.Uint64(plain[16:])), 0)
	copy(f.challenge[:], plain[24:])
	f.returnTo = string(plain[fixed:])
	return f, now.Before(f.expires)
}

// arrival is a sign-in that the provider has confirmed.
type arrival struct {
	expires   time.Time
	challenge [sha256.Size]byte
	account   string
	gen       uint64
}

// flows are the sign-ins under way: how begun ones are sealed, and those that the provider has confirmed, of people who have accounts.
type flows struct {
	stateKeys
	mu       sync.Mutex
	arrivals map[string]arrival // by digest of the code
	spent    map[[16]byte]bool  // seeds of states that came back, so that one state has the provider asked once; the last maxSpent of them
	order    [][16]byte
	oldest   int
}

// spend takes note that a flow has come back, and reports whether it had before. Of very many the oldest are forgotten: then it is the provider that takes its
// own code back once only.
func (f *flows) spend(seed [16]byte) (again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spent[seed] {
		return true
	}
	if f.spent == nil {
		f.spent = map[[16]byte]bool{}
	}
	f.spent[seed] = true
	if len(f.order) < maxSpent {
		f.order = append(f.order, seed)
		return false
	}
	delete(f.spent, f.order[f.oldest])
	f.order[f.oldest] = seed
	f.oldest = (f.oldest + 1) % maxSpent
	return false
}

func (f *flows) tidy(now time.Time) {
	if f.arrivals == nil {
		f.arrivals = map[string]arrival{}
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
	f := flow{expires: a.now().Add(flowLife), returnTo: returnTo}
	rand.Read(f.seed[:])
	sum, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil || len(sum) != sha256.Size {
		return "", fmt.Errorf("%w: the challenge must be a SHA-256 in base64url", ErrInvalid)
	}
	copy(f.challenge[:], sum)
	if len(returnTo) > maxReturnTo || returnTo != "" && !isLoopback(returnTo) {
		return "", fmt.Errorf("%w: return_to must be http on 127.0.0.1 or [::1], with a port, in at most %d bytes", ErrInvalid, maxReturnTo)
	}
	_, config, _, err := a.oidc.client(ctx)
	if err != nil {
		return "", err
	}
	return config.AuthCodeURL(a.flows.seal(&f), oidc.Nonce(a.flows.nonce(&f)), oauth2.S256ChallengeOption(a.flows.verifier(&f))), nil
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
	f, ok := a.flows.open(state, a.now())
	if !ok || a.flows.spend(f.seed) {
		return "", "", fmt.Errorf("%w: this sign-in was not begun here, or too long ago", ErrCaller)
	}
	provider, config, ctx, err := a.oidc.client(ctx)
	if err != nil {
		return "", "", err
	}
	answer, err := config.Exchange(ctx, code, oauth2.VerifierOption(a.flows.verifier(&f)))
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
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(a.flows.nonce(&f))) != 1 {
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
	a.flows.tidy(a.now())
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
