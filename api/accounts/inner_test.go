package accounts

import (
	"context"
	"encoding/json"

	"ihyid/credentials/jose"
)

// Claims are those of an access token.
type Claims = claims

// forge signs an access token of changed claims with the key that is in use.
func (a *Accounts) forge(change func(*Claims)) string {
	var c Claims
	change(&c)
	payload, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	token, err := jose.Sign(payload, jose.Header{Type: typeAccess, KeyID: a.access.id}, a.access.signer)
	if err != nil {
		panic(err)
	}
	return string(token)
}

// Read reads an access token of this node.
func (a *Accounts) Read(token string) (*Claims, error) { return a.readAccess(token) }

// ReplaceShown changes a password as its owner does who showed the one of before, when between changes it meanwhile.
func (a *Accounts) ReplaceShown(ctx context.Context, id, password string, between func()) error {
	c, err := a.get(id)
	if err != nil {
		return err
	}
	between()
	_, err = a.setPassword(ctx, c, password, true, nil)
	return err
}
