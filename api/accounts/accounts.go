package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"ihyid/api/policy"
	"ihyid/kms"
	"ihyid/store"
)

// Options are what Accounts stand on. Store, Keys and Issuer are needed.
type Options struct {
	Store  *store.Store
	Keys   kms.Store
	Issuer string // the node's DID: access tokens are made by it and for it
	OIDC   *OIDC  // sign-in by OpenID Connect; nil: none
	Clock  func() time.Time
	Logger *slog.Logger // never sees a name, an address or a token
}

// Account is what is told of an account.
type Account struct {
	ID           string      `json:"id" doc:"Drawn by the node; it stands in the record of who did what."`
	Name         string      `json:"name"`
	Role         policy.Role `json:"role" enum:"admin,operator,auditor,checker"`
	Disabled     bool        `json:"disabled,omitempty"`
	Password     bool        `json:"password" doc:"It can sign in with a password."`
	SecondFactor bool        `json:"second_factor" doc:"A code is needed besides the password."`
	OIDC         bool        `json:"oidc,omitempty" doc:"It signs in by OpenID Connect."`
	Version      uint64      `json:"version" doc:"One more with every change."`
	Created      time.Time   `json:"created"`
}

// account is how an account is kept. What a pointer leads to is never changed: changes make a new one.
type account struct {
	ID         string        `json:"id"`
	Name       string        `json:"name"`
	Role       policy.Role   `json:"role"`
	Hash       string        `json:"hash,omitempty"`
	Generation uint64        `json:"generation"`
	Version    uint64        `json:"version,omitempty"` // counts the changes; what a sign-in leaves is none
	Disabled   bool          `json:"disabled,omitempty"`
	Created    time.Time     `json:"created"`
	TOTP       *secondFactor `json:"totp,omitempty"`
	OIDC       *subject      `json:"oidc,omitempty"`
	Known      []string      `json:"known,omitempty"` // keyed hashes of addresses that it signed in from, the newest last
}

func (a *account) public() Account {
	return Account{
		ID: a.ID, Name: a.Name, Role: a.Role, Disabled: a.Disabled, Password: a.Hash != "",
		SecondFactor: a.TOTP != nil && a.TOTP.Confirmed, OIDC: a.OIDC != nil, Version: a.Version, Created: a.Created,
	}
}

// ETag is the entity tag of an account (RFC 9110 section 8.8.3).
func (a Account) ETag() string { return `"` + strconv.FormatUint(a.Version, 10) + `"` }

// settings is the one record of what belongs to no account.
type settings struct {
	DelayKey []byte `json:"delay_key"` // keyed hashes of names and addresses are made with it
}

// Accounts are the accounts of one node. They are safe for concurrent use.
type Accounts struct {
	store  *store.Store
	keys   kms.Store
	issuer string
	oidc   *OIDC
	now    func() time.Time
	logger *slog.Logger
	hasher *hasher
	access *accessKeys
	secret []byte // of settings

	kept struct {
		settings *store.Collection[settings]
		accounts *store.Collection[*account]
		sessions *store.Collection[*session]
		tokens   *store.Collection[*token]
		delays   *store.Collection[delay]
	}

	changing sync.Mutex // held by whoever changes an account, a session or a token

	mu       sync.RWMutex
	accounts map[string]*account // by id
	names    map[string]string   // name → id
	subjects map[subject]string  // OpenID Connect → id
	sessions map[string]*session // by id
	tokens   map[string]*token   // by hash

	delays delays
	first  firstCode
	flows  flows
}

// Open loads the accounts of a store, and makes the key that signs access tokens if there is none yet.
func Open(ctx context.Context, o Options) (*Accounts, error) {
	if o.Store == nil || o.Keys == nil || o.Issuer == "" {
		return nil, errors.New("accounts: Store, Keys and Issuer are all needed")
	}
	a := &Accounts{
		store: o.Store, keys: o.Keys, issuer: o.Issuer, oidc: o.OIDC, now: o.Clock, logger: o.Logger,
		accounts: map[string]*account{}, names: map[string]string{}, subjects: map[subject]string{}, sessions: map[string]*session{}, tokens: map[string]*token{},
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.logger == nil {
		a.logger = slog.New(slog.DiscardHandler)
	}
	a.kept.settings = store.NewCollection[settings](o.Store, "auth-settings", 1)
	a.kept.accounts = store.NewCollection[*account](o.Store, "accounts", 1)
	a.kept.sessions = store.NewCollection[*session](o.Store, "auth-sessions", 1)
	a.kept.tokens = store.NewCollection[*token](o.Store, "auth-tokens", 1)
	a.kept.delays = store.NewCollection[delay](o.Store, "auth-delays", 1)
	var err error
	if a.flows.stateKeys, err = newStateKeys(); err != nil {
		return nil, err
	}
	if a.hasher, err = newHasher(); err != nil {
		return nil, err
	}
	if err := a.load(ctx); err != nil {
		return nil, fmt.Errorf("accounts: loading: %w", err)
	}
	if a.access, err = openAccessKeys(ctx, o.Keys, a.now); err != nil {
		return nil, fmt.Errorf("accounts: the key of access tokens: %w", err)
	}
	return a, nil
}

var settingsKey = []byte("1")

func (a *Accounts) load(ctx context.Context) error {
	a.delays.kept = map[string]delay{}
	err := a.store.View(ctx, func(tx *store.Tx) error {
		s, err := a.kept.settings.Get(tx, settingsKey)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		a.secret = s.DelayKey
		for it, err := range a.kept.accounts.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			a.remember(it.Value)
		}
		for it, err := range a.kept.sessions.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			a.sessions[it.Value.ID] = it.Value
		}
		for it, err := range a.kept.tokens.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			a.tokens[string(it.Value.Hash)] = it.Value
		}
		for it, err := range a.kept.delays.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			a.delays.kept[string(it.Key)] = it.Value
		}
		return nil
	})
	if err != nil || len(a.secret) > 0 {
		return err
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	a.secret = secret
	return a.store.Update(ctx, func(tx *store.Tx) error { return a.kept.settings.Put(tx, settingsKey, settings{DelayKey: secret}) })
}

// remember keeps an account in memory, in place of what was there.
func (a *Accounts) remember(c *account) {
	if old := a.accounts[c.ID]; old != nil {
		delete(a.names, old.Name)
		if old.OIDC != nil {
			delete(a.subjects, *old.OIDC)
		}
	}
	a.accounts[c.ID], a.names[c.Name] = c, c.ID
	if c.OIDC != nil {
		a.subjects[*c.OIDC] = c.ID
	}
}

// put stores an account, and has it in memory once that is durable.
func (a *Accounts) put(tx *store.Tx, c *account) error {
	tx.OnCommit(func() {
		a.mu.Lock()
		a.remember(c)
		a.mu.Unlock()
	})
	return a.kept.accounts.Put(tx, []byte(c.ID), c)
}

// get gives an account by its id, or by its name.
func (a *Accounts) get(who string) (*account, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if c := a.accounts[who]; c != nil {
		return c, nil
	}
	if n, err := normalName(who); err == nil {
		if c := a.accounts[a.names[n]]; c != nil {
			return c, nil
		}
	}
	return nil, ErrNotFound
}

// keyed gives the keyed hash of a name or an address, as the store's keys may hold it.
func (a *Accounts) keyed(kind, value string) string {
	m := hmac.New(sha256.New, a.secret)
	m.Write([]byte(kind + "\x00" + value))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// randomID draws an id: 16 hex digits, the first of which is a letter, so that none looks like a number.
func randomID() string {
	var b [8]byte
	rand.Read(b[:])
	for b[0] < 0xa0 {
		rand.Read(b[:1])
	}
	return hex.EncodeToString(b[:])
}

// Caller gives the caller that the owner of the socket acts as, who named an account.
func (a *Accounts) Caller(who string) (policy.Caller, error) {
	c, err := a.get(who)
	if err != nil {
		return policy.Caller{}, err
	}
	if c.Disabled {
		return policy.Caller{}, fmt.Errorf("%w: the account is disabled", ErrState)
	}
	return policy.Caller{Account: c.ID, Role: c.Role, How: policy.BySocket}, nil
}
