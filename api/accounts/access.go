package accounts

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ihyid/api/policy"
	"ihyid/credentials/ijson"
	"ihyid/credentials/jose"
	"ihyid/kms"
)

// AccessLife is how long an access token is good.
const AccessLife = 10 * time.Minute

const (
	keyLife        = 90 * 24 * time.Hour // of a key that signs access tokens
	maxAccessToken = 2 << 10             // bytes
	typeAccess     = "at+jwt"            // RFC 9068 section 2.1
)

// accessKeys are the keys of access tokens: one signs, all verify.
type accessKeys struct {
	id     string
	signer crypto.Signer
	public map[string]*ecdsa.PublicKey // by key id
}

// openAccessKeys finds the key that signs access tokens, and makes a new one where there is none, or an old one only. What an
// older one signed stays good for as long as it says.
func openAccessKeys(ctx context.Context, keys kms.Store, now func() time.Time) (*accessKeys, error) {
	list, err := keys.List(ctx)
	if err != nil {
		return nil, err
	}
	k := &accessKeys{public: map[string]*ecdsa.PublicKey{}}
	var old []string
	for _, info := range list {
		if info.Purpose != kms.SignIn || info.Curve != kms.P256 {
			continue
		}
		if info.State == kms.Retired {
			if now().Sub(info.Retired) > AccessLife {
				if err := keys.Destroy(ctx, info.ID); err != nil {
					return nil, err
				}
				continue
			}
		} else if k.id != "" || now().Sub(info.Created) > keyLife {
			old = append(old, info.ID)
		} else {
			k.id = info.ID
		}
		k.public[info.ID] = info.Public
	}
	if k.id == "" {
		info, err := keys.Create(ctx, kms.P256, kms.SignIn)
		if err != nil {
			return nil, err
		}
		k.id, k.public[info.ID] = info.ID, info.Public
	}
	for _, id := range old {
		if err := keys.Retire(ctx, id); err != nil {
			return nil, err
		}
	}
	k.signer, err = keys.Signer(ctx, k.id)
	return k, err
}

// claims are those of an access token. A role is not among them: it is the account's, at every request.
type claims struct {
	Issuer     string `json:"iss"`
	Audience   string `json:"aud"`
	Subject    string `json:"sub"`
	Session    string `json:"sid"`
	ID         string `json:"jti"`
	Generation uint64 `json:"gen"`
	Issued     int64  `json:"iat"`
	Expires    int64  `json:"exp"`
}

func (a *Accounts) signAccess(c *account, session string) (string, time.Time, error) {
	var id [12]byte
	rand.Read(id[:])
	now := a.now().UTC().Truncate(time.Second)
	expires := now.Add(AccessLife)
	payload, err := json.Marshal(claims{
		Issuer: a.issuer, Audience: a.issuer, Subject: c.ID, Session: session, ID: hex.EncodeToString(id[:]), Generation: c.Generation,
		Issued: now.Unix(), Expires: expires.Unix(),
	})
	if err != nil {
		return "", expires, err
	}
	token, err := jose.Sign(payload, jose.Header{Type: typeAccess, KeyID: a.access.id}, a.access.signer)
	if err != nil {
		return "", expires, fmt.Errorf("accounts: signing an access token: %w", err)
	}
	return string(token), expires, nil
}

// readAccess verifies an access token: of this node, for this node, by a key of this node, with ES256, now.
func (a *Accounts) readAccess(token string) (*claims, error) {
	if len(token) > maxAccessToken {
		return nil, ErrCaller
	}
	t, err := jose.Parse([]byte(token), maxAccessToken)
	if err != nil || t.Header.Algorithm != "ES256" || t.Header.Type != typeAccess {
		return nil, ErrCaller
	}
	public := a.access.public[t.Header.KeyID]
	if public == nil || t.Verify(public) != nil {
		return nil, ErrCaller
	}
	// It is our own by now: what does not decode is an error of ours, but an error all the same.
	if _, err := ijson.ParseObject(t.Payload, ijson.Limits{MaxBytes: maxAccessToken, MaxDepth: 2, MaxValues: 16}); err != nil {
		return nil, ErrCaller
	}
	var c claims
	if err := json.Unmarshal(t.Payload, &c); err != nil || c.Issuer != a.issuer || c.Audience != a.issuer {
		return nil, ErrCaller
	}
	if now := a.now().Unix(); now >= c.Expires || c.Issued > now+60 {
		return nil, ErrCaller
	}
	return &c, nil
}

// Authenticate tells who holds a token: an access token, or an API token. ErrCaller for every other.
func (a *Accounts) Authenticate(_ context.Context, bearer string) (policy.Caller, error) {
	if strings.HasPrefix(bearer, APITokenPrefix) {
		return a.byToken(bearer)
	}
	claims, err := a.readAccess(bearer)
	if err != nil {
		return policy.Caller{}, err
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	c, s := a.accounts[claims.Subject], a.sessions[claims.Session]
	if c == nil || s == nil || c.Disabled || s.Account != c.ID || claims.Generation != c.Generation || s.Generation != c.Generation {
		return policy.Caller{}, ErrCaller
	}
	return policy.Caller{Account: c.ID, Role: c.Role, How: policy.BySession, Session: s.ID}, nil
}
