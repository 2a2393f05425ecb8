package accounts

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"ihyid/api/audit"
	"ihyid/api/policy"
	"ihyid/store"
)

const (
	// IdleLife is how long a session lives without being refreshed, SessionLife at all.
	IdleLife    = 8 * time.Hour
	SessionLife = 7 * 24 * time.Hour

	maxSessions = 32  // of an account; the oldest goes
	maxOld      = 128 // refresh tokens of a session that are remembered as used

	// RefreshTokenPrefix begins every refresh token, so that one that lies about is found.
	RefreshTokenPrefix = "ihyid_ref_"

	sessionIDSize, secretSize = 16, 43 // characters
)

// session is a sign-in and what was refreshed of it.
type session struct {
	ID         string    `json:"id"`
	Account    string    `json:"account"`
	Generation uint64    `json:"generation"`
	Secret     []byte    `json:"secret"`        // SHA-256 of the refresh token that is good
	Old        [][]byte  `json:"old,omitempty"` // the first 16 bytes of those that were
	Created    time.Time `json:"created"`
	Used       time.Time `json:"used"`
}

// Tokens are what a sign-in gives.
type Tokens struct {
	Access    string      `json:"access_token" doc:"Send it as Authorization: Bearer."`
	Type      string      `json:"token_type" enum:"Bearer"`
	ExpiresIn int         `json:"expires_in" doc:"Seconds for which the access token is good."`
	Refresh   string      `json:"refresh_token" doc:"Good once, for the next pair of tokens."`
	Account   string      `json:"account" doc:"The account's id."`
	Name      string      `json:"name"`
	Role      policy.Role `json:"role" enum:"admin,operator,auditor,checker"`
}

// randomSecret draws 256 bits.
func randomSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// SignIn signs in with name and password, and a code of the second factor where the account has one. address is the
// caller's. ErrSignIn, ErrSecondFactor, DelayError, ErrBusy.
func (a *Accounts) SignIn(ctx context.Context, name, password, code, address string) (Tokens, error) {
	if len(name) > 1024 || len(password) > 4*MaxPassword {
		return Tokens{}, ErrSignIn
	}
	normal, err := normalName(name)
	if err != nil {
		normal = "\x00" + name // nobody's; it is counted and costs what others cost
	}
	from := a.keyed("address", networkOf(address))
	a.mu.RLock()
	c := a.accounts[a.names[normal]]
	a.mu.RUnlock()
	hash, known := "", false
	if c != nil {
		hash, known = c.Hash, slices.Contains(c.Known, from)
		audit.SetObject(ctx, c.ID)
	}
	try, err := a.begin(ctx, normal, address, known)
	if err != nil {
		return Tokens{}, err
	}
	ok, err := a.hasher.verify(ctx, normalPassword(password), hash)
	if err != nil {
		return Tokens{}, err
	}
	if !ok || c == nil || c.Disabled {
		return Tokens{}, ErrSignIn
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	// What was read before the password was checked may have changed since.
	now, err := a.get(c.ID)
	if err != nil || now.Generation != c.Generation || now.Disabled || now.Hash != c.Hash {
		return Tokens{}, ErrSignIn
	}
	next := *now
	if next.TOTP != nil && next.TOTP.Confirmed {
		if code == "" {
			// It is how people who are asked for the code afterwards begin. What they do right must not add up against everybody at their address.
			if err := a.excuse(ctx, try); err != nil {
				return Tokens{}, err
			}
			return Tokens{}, ErrSecondFactor
		}
		if next.TOTP, err = next.TOTP.use(code, a.now()); err != nil {
			return Tokens{}, ErrSecondFactor
		}
	}
	next.Known = knownFrom(next.Known, from)
	tokens, err := a.open(ctx, &next)
	if err != nil {
		return Tokens{}, err
	}
	return tokens, a.forgive(ctx, try)
}

// open stores the account, which may have changed, and opens a session of it; changing is held.
func (a *Accounts) open(ctx context.Context, c *account) (Tokens, error) {
	secret := randomSecret()
	s := &session{ID: randomID(), Account: c.ID, Generation: c.Generation, Created: a.now().UTC(), Used: a.now().UTC()}
	t, err := a.tokensOf(c, s, secret)
	if err != nil {
		return Tokens{}, err
	}
	audit.Identify(ctx, policy.Caller{Account: c.ID, Role: c.Role, How: policy.BySession, Session: s.ID})
	audit.SetObject(ctx, c.ID)
	drop := a.surplus(c.ID)
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		for _, id := range drop {
			if err := a.kept.sessions.Delete(tx, []byte(id)); err != nil {
				return err
			}
		}
		if err := a.put(tx, c); err != nil {
			return err
		}
		tx.OnCommit(func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			for _, id := range drop {
				delete(a.sessions, id)
			}
		})
		return a.putSession(tx, s)
	})
	return t, err
}

// surplus names sessions of an account that are over, and the oldest where there are as many as may be.
func (a *Accounts) surplus(id string) (drop []string) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var all []*session
	for _, s := range a.sessions {
		switch {
		case a.over(s):
			drop = append(drop, s.ID) // of whatever account: somebody has to tidy up
		case s.Account == id:
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(x, y *session) int { return x.Used.Compare(y.Used) })
	for len(all) >= maxSessions {
		drop, all = append(drop, all[0].ID), all[1:]
	}
	return drop
}

func (a *Accounts) over(s *session) bool {
	now := a.now()
	return now.Sub(s.Used) > IdleLife || now.Sub(s.Created) > SessionLife
}

func (a *Accounts) putSession(tx *store.Tx, s *session) error {
	tx.OnCommit(func() {
		a.mu.Lock()
		a.sessions[s.ID] = s
		a.mu.Unlock()
	})
	return a.kept.sessions.Put(tx, []byte(s.ID), s)
}

// tokensOf makes the tokens of a session whose next refresh token has that secret.
func (a *Accounts) tokensOf(c *account, s *session, secret string) (Tokens, error) {
	refresh := RefreshTokenPrefix + s.ID + secret
	sum := sha256.Sum256([]byte(refresh))
	s.Secret = sum[:]
	access, _, err := a.signAccess(c, s.ID)
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{Access: access, Type: "Bearer", ExpiresIn: int(AccessLife.Seconds()), Refresh: refresh, Account: c.ID, Name: c.Name, Role: c.Role}, nil
}

// Refresh gives the next pair of tokens for a refresh token, which is good once: one that comes again ends its
// session. ErrCaller.
func (a *Accounts) Refresh(ctx context.Context, refresh string) (Tokens, error) {
	rest, ok := strings.CutPrefix(refresh, RefreshTokenPrefix)
	if !ok || len(rest) != sessionIDSize+secretSize {
		return Tokens{}, ErrCaller
	}
	sum := sha256.Sum256([]byte(refresh))
	a.changing.Lock()
	defer a.changing.Unlock()
	a.mu.RLock()
	s := a.sessions[rest[:sessionIDSize]]
	var c *account
	if s != nil {
		c = a.accounts[s.Account]
	}
	a.mu.RUnlock()
	if s == nil || c == nil {
		return Tokens{}, ErrCaller
	}
	audit.SetObject(ctx, c.ID)
	used := slices.ContainsFunc(s.Old, func(o []byte) bool { return bytes.Equal(o, sum[:16]) })
	current := subtle.ConstantTimeCompare(s.Secret, sum[:]) == 1
	if used || current && (a.over(s) || c.Disabled || s.Generation != c.Generation) {
		err := a.drop(ctx, s.ID)
		if used && errors.Is(err, ErrCaller) {
			a.logger.WarnContext(ctx, "a refresh token came a second time: its sign-in has been ended", "account", c.ID, "session", s.ID)
			err = &ReuseError{c.ID}
		}
		return Tokens{}, err
	}
	if !current {
		return Tokens{}, ErrCaller
	}
	next := *s
	next.Old = append(slices.Clone(s.Old[max(0, len(s.Old)-maxOld+1):]), s.Secret[:16])
	next.Used = a.now().UTC()
	t, err := a.tokensOf(c, &next, randomSecret())
	if err != nil {
		return Tokens{}, err
	}
	audit.Identify(ctx, policy.Caller{Account: c.ID, Role: c.Role, How: policy.BySession, Session: s.ID})
	err = a.store.Update(ctx, func(tx *store.Tx) error { return a.putSession(tx, &next) })
	return t, err
}

// drop ends one session, and gives ErrCaller; changing is held.
func (a *Accounts) drop(ctx context.Context, id string) error {
	// What is recorded is that the refresh was refused.
	err := a.store.Update(store.Accompany(ctx, nil), func(tx *store.Tx) error {
		tx.OnCommit(func() {
			a.mu.Lock()
			delete(a.sessions, id)
			a.mu.Unlock()
		})
		return a.kept.sessions.Delete(tx, []byte(id))
	})
	if err != nil {
		return err
	}
	return ErrCaller
}

// SignOut ends every sign-in of an account at once. API tokens stay.
func (a *Accounts) SignOut(ctx context.Context, id string) error {
	_, err := a.change(ctx, id, endSessions, func(*account) error { return nil })
	return err
}
