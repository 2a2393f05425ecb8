package accounts

import (
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
