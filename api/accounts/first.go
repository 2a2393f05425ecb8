package accounts

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"

	"ihyid/api/policy"
)

// FirstCodeLife is how long the code for the first admin is good.
const FirstCodeLife = time.Hour

// firstCode is the one-time code with which the first admin is made. It lives in memory only: the next start gives another.
type firstCode struct {
	mu      sync.Mutex
	hash    []byte
	expires time.Time
}

// FirstCode gives a one-time code with which FirstAdmin makes an admin, and "" where there is an account already.
func (a *Accounts) FirstCode() string {
	a.mu.RLock()
	n := len(a.accounts)
	a.mu.RUnlock()
	if n > 0 {
		return ""
	}
	code := "ihyid_first_" + randomSecret()
	sum := sha256.Sum256([]byte(code))
	a.first.mu.Lock()
	defer a.first.mu.Unlock()
	a.first.hash, a.first.expires = sum[:], a.now().Add(FirstCodeLife)
	return code
}

// FirstAdmin makes the first admin for who has the code, which is void afterwards. ErrCaller where the code is wrong, used or
// over, or there are accounts.
func (a *Accounts) FirstAdmin(ctx context.Context, code, name, password string) (Account, error) {
	f := &a.first
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := sha256.Sum256([]byte(code))
	a.mu.RLock()
	n := len(a.accounts)
	a.mu.RUnlock()
	if n > 0 || f.hash == nil || a.now().After(f.expires) || subtle.ConstantTimeCompare(sum[:], f.hash) != 1 {
		return Account{}, ErrCaller
	}
	made, err := a.Add(ctx, name, policy.Admin, password) // a name or password that will not do leaves the code good
	if err == nil {
		f.hash = nil
	}
	return made, err
}
