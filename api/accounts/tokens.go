package accounts

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ihyid/api/audit"
	"ihyid/api/policy"
	"ihyid/store"
)

const (
	// APITokenPrefix begins every API token, so that programs that look for secrets find one that lies about. 43 characters of
	// base64url (256 random bits) follow, and 8 hex digits, the CRC-32 (IEEE) of those 43, by which they tell a token from what only looks like one.
	APITokenPrefix = "ihyid_api_"

	// MaxTokenLife is the longest that an API token lives.
	MaxTokenLife = 366 * 24 * time.Hour
	maxTokens    = 64 // of an account
)

// token is an API token as it is kept.
type token struct {
	ID      string         `json:"id"`
	Account string         `json:"account"`
	Label   string         `json:"label,omitempty"`
	Scopes  []policy.Scope `json:"scopes"`
	Hash    []byte         `json:"hash"` // SHA-256 of the token
	Created time.Time      `json:"created"`
	Expires time.Time      `json:"expires"`
}

// Token is what is told of an API token.
type Token struct {
	ID      string         `json:"id"`
	Label   string         `json:"label,omitempty"`
	Scopes  []policy.Scope `json:"scopes" nullable:"false"`
	Created time.Time      `json:"created"`
	Expires time.Time      `json:"expires"`
}

// NewToken is an API token with its secret, which is shown this once.
type NewToken struct {
	Token
	Secret string `json:"token" doc:"Shown once: the node keeps a digest only."`
}

func (t *token) public() Token {
	return Token{ID: t.ID, Label: t.Label, Scopes: t.Scopes, Created: t.Created, Expires: t.Expires}
}

// CreateToken makes an API token of an account. It may what both its scopes and the account's role allow, until it ends.
func (a *Accounts) CreateToken(ctx context.Context, who, label string, scopes []policy.Scope, life time.Duration) (NewToken, error) {
	unprintable := func(c rune) bool { return !unicode.IsPrint(c) }
	switch {
	case len(scopes) == 0:
		return NewToken{}, fmt.Errorf("%w: an API token needs at least one scope", ErrInvalid)
	case life < time.Minute || life > MaxTokenLife:
		return NewToken{}, fmt.Errorf("%w: an API token lives from one minute to %d days", ErrInvalid, int(MaxTokenLife.Hours()/24))
	case utf8.RuneCountInString(label) > 100 || strings.ContainsFunc(label, unprintable):
		return NewToken{}, fmt.Errorf("%w: a label has at most 100 printable characters", ErrInvalid)
	}
	for _, s := range scopes {
		if !slices.Contains(policy.Scopes, s) {
			return NewToken{}, fmt.Errorf("%w: there is no such scope", ErrInvalid)
		}
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	c, err := a.get(who)
	if err != nil {
		return NewToken{}, err
	}
	if c.Disabled {
		return NewToken{}, fmt.Errorf("%w: the account is disabled", ErrState)
	}
	secret := randomSecret()
	secret = fmt.Sprintf("%s%s%08x", APITokenPrefix, secret, crc32.ChecksumIEEE([]byte(secret)))
	sum := sha256.Sum256([]byte(secret))
	now := a.now().UTC()
	sorted := slices.Compact(slices.Sorted(slices.Values(scopes)))
	t := &token{ID: randomID(), Account: c.ID, Label: label, Scopes: sorted, Hash: sum[:], Created: now, Expires: now.Add(life).Truncate(time.Second)}
	var over []*token
	n := 0
	a.mu.RLock()
	for _, other := range a.tokens {
		if now.After(other.Expires) {
			over = append(over, other)
		} else if other.Account == c.ID {
			n++
		}
	}
	a.mu.RUnlock()
	if n >= maxTokens {
		return NewToken{}, fmt.Errorf("%w: the account has %d API tokens, as many as may be", ErrState, n)
	}
	audit.SetObject(ctx, t.ID)
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		for _, o := range over {
			if err := a.deleteToken(tx, o); err != nil {
				return err
			}
		}
		tx.OnCommit(func() {
			a.mu.Lock()
			a.tokens[string(t.Hash)] = t
			a.mu.Unlock()
		})
		return a.kept.tokens.Put(tx, t.Hash, t)
	})
	return NewToken{t.public(), secret}, err
}

func (a *Accounts) deleteToken(tx *store.Tx, t *token) error {
	tx.OnCommit(func() {
		a.mu.Lock()
		delete(a.tokens, string(t.Hash))
		a.mu.Unlock()
	})
	return a.kept.tokens.Delete(tx, t.Hash)
}

// Tokens lists the API tokens of an account, the oldest first, those that are over included until another is made.
func (a *Accounts) Tokens(_ context.Context, who string) ([]Token, error) {
	c, err := a.get(who)
	if err != nil {
		return nil, err
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	list := []Token{}
	for _, t := range a.tokens {
		if t.Account == c.ID {
			list = append(list, t.public())
		}
	}
	slices.SortFunc(list, func(x, y Token) int { return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID)) })
	return list, nil
}

// RevokeToken ends an API token of an account at once.
func (a *Accounts) RevokeToken(ctx context.Context, who, id string) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	c, err := a.get(who)
	if err != nil {
		return err
	}
	var found *token
	a.mu.RLock()
	for _, t := range a.tokens {
		if t.Account == c.ID && t.ID == id {
			found = t
		}
	}
	a.mu.RUnlock()
	if found == nil {
		return ErrNotFound
	}
	audit.SetObject(ctx, found.ID)
	return a.store.Update(ctx, func(tx *store.Tx) error { return a.deleteToken(tx, found) })
}

// byToken tells whose an API token is. What is looked up is the digest, so that no comparison depends on the secret.
func (a *Accounts) byToken(bearer string) (policy.Caller, error) {
	sum := sha256.Sum256([]byte(bearer))
	a.mu.RLock()
	defer a.mu.RUnlock()
	t := a.tokens[string(sum[:])]
	if t == nil || !a.now().Before(t.Expires) {
		return policy.Caller{}, ErrCaller
	}
	c := a.accounts[t.Account]
	if c == nil || c.Disabled {
		return policy.Caller{}, ErrCaller
	}
	return policy.Caller{Account: c.ID, Role: c.Role, How: policy.ByToken, Scopes: t.Scopes, Session: t.ID}, nil
}
