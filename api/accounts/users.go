package accounts

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"ihyid/api/audit"
	"ihyid/api/policy"
	"ihyid/store"
)

// MaxAccounts bounds what is kept in memory.
const MaxAccounts = 10_000

// Add makes an account that signs in with a password.
func (a *Accounts) Add(ctx context.Context, name string, role policy.Role, password string) (Account, error) {
	name, err := normalName(name)
	if err != nil {
		return Account{}, err
	}
	if _, err := policy.ParseRole(string(role)); err != nil {
		return Account{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	password = normalPassword(password)
	if err := checkPassword(name, password); err != nil {
		return Account{}, err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return Account{}, err
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	return a.add(ctx, &account{Name: name, Role: role, Hash: hash}, nil)
}

// add stores a new account; changing is held. also runs in the same transaction.
func (a *Accounts) add(ctx context.Context, c *account, also func(*store.Tx) error) (Account, error) {
	a.mu.RLock()
	_, taken := a.names[c.Name]
	n := len(a.accounts)
	a.mu.RUnlock()
	if taken {
		return Account{}, ErrExists
	}
	if n >= MaxAccounts {
		return Account{}, fmt.Errorf("%w: there are %d accounts, as many as may be", ErrState, n)
	}
	c.ID, c.Generation, c.Version, c.Created = randomID(), 1, 1, a.now().UTC()
	audit.SetObject(ctx, c.ID)
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		if err := a.put(tx, c); err != nil || also == nil {
			return err
		}
		return also(tx)
	})
	return c.public(), err
}

// List lists the accounts by name.
func (a *Accounts) List(context.Context) ([]Account, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	list := make([]Account, 0, len(a.accounts))
	for _, c := range a.accounts {
		list = append(list, c.public())
	}
	slices.SortFunc(list, func(x, y Account) int { return cmp.Compare(x.Name, y.Name) })
	return list, nil
}

// place is where an account stands among all, by the moment when it was made. Names are no places: places stand in URLs.
func (a *account) place() string {
	return a.Created.UTC().Format("20060102T150405.000000000") + " " + a.ID
}

// Page gives the accounts after a place, at most limit, the oldest first; role, if not "", is theirs. next is the place after the last; "" at the end.
func (a *Accounts) Page(after string, role policy.Role, limit int) (list []Account, next string) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	type placed struct {
		place string
		*account
	}
	var all []placed
	for _, c := range a.accounts {
		if p := c.place(); p > after && (role == "" || c.Role == role) {
			all = append(all, placed{p, c})
		}
	}
	slices.SortFunc(all, func(x, y placed) int { return cmp.Compare(x.place, y.place) })
	for _, c := range all[:min(limit, len(all))] {
		list = append(list, c.public())
	}
	if len(all) > limit {
		next = all[limit-1].place
	}
	return list, next
}

// Get gives an account by its id or its name.
func (a *Accounts) Get(_ context.Context, who string) (Account, error) {
	c, err := a.get(who)
	if err != nil {
		return Account{}, err
	}
	return c.public(), nil
}

// what a change of an account ends.
type ending int

const (
	endNothing  ending = iota
	endSessions        // all sign-ins
	endAll             // and all API tokens
)

// change changes an account by f, which gets a copy, and ends what it no longer may have.
func (a *Accounts) change(ctx context.Context, who string, end ending, f func(c *account) error) (Account, error) {
	a.changing.Lock()
	defer a.changing.Unlock()
	old, err := a.get(who)
	if err != nil {
		return Account{}, err
	}
	audit.SetObject(ctx, old.ID)
	c := *old
	if err := f(&c); err != nil {
		return Account{}, err
	}
	if old.Role == policy.Admin && !old.Disabled && (c.Role != policy.Admin || c.Disabled) && a.admins() < 2 {
		return Account{}, ErrLastAdmin
	}
	if end > endNothing {
		c.Generation++
	}
	if end != endSessions { // which shows nowhere
		c.Version++
	}
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		if err := a.put(tx, &c); err != nil {
			return err
		}
		if end == endNothing {
			return nil
		}
		return a.end(tx, c.ID, end)
	})
	return c.public(), err
}

// admins counts those who can administer the node.
func (a *Accounts) admins() int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	n := 0
	for _, c := range a.accounts {
		if c.Role == policy.Admin && !c.Disabled {
			n++
		}
	}
	return n
}

// end removes the sessions of an account, and its API tokens if they end too; changing is held.
func (a *Accounts) end(tx *store.Tx, id string, end ending) error {
	a.mu.RLock()
	var sessions, tokens []string
	for _, s := range a.sessions {
		if s.Account == id {
			sessions = append(sessions, s.ID)
		}
	}
	for hash, t := range a.tokens {
		if t.Account == id && end == endAll {
			tokens = append(tokens, hash)
		}
	}
	a.mu.RUnlock()
	for _, s := range sessions {
		if err := a.kept.sessions.Delete(tx, []byte(s)); err != nil {
			return err
		}
	}
	for _, t := range tokens {
		if err := a.kept.tokens.Delete(tx, []byte(t)); err != nil {
			return err
		}
	}
	tx.OnCommit(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, s := range sessions {
			delete(a.sessions, s)
		}
		for _, t := range tokens {
			delete(a.tokens, t)
		}
	})
	return nil
}

// unchanged refuses to change an account that is not any more in one of the versions that the caller read; without versions it is changed in any.
func (a *account) unchanged(versions []uint64) error {
	if len(versions) == 0 || slices.Contains(versions, a.Version) {
		return nil
	}
	return fmt.Errorf("the account %s: %w", a.ID, ErrVersion)
}

// SetRole gives an account another role. All its tokens end. Where versions are given, here and below, the account must still be in one of them
// (ErrVersion).
func (a *Accounts) SetRole(ctx context.Context, who string, role policy.Role, versions ...uint64) (Account, error) {
	if _, err := policy.ParseRole(string(role)); err != nil {
		return Account{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return a.change(ctx, who, endAll, func(c *account) error {
		c.Role = role
		return c.unchanged(versions)
	})
}

// SetPassword gives an account another password, as an admin does. All its tokens end.
func (a *Accounts) SetPassword(ctx context.Context, who, password string, versions ...uint64) (Account, error) {
	old, err := a.get(who)
	if err != nil {
		return Account{}, err
	}
	return a.setPassword(ctx, old, password, false, versions)
}

// setPassword gives an account, as it was read, another password. confirmed: its owner showed the one that it had then, which must still be the one.
func (a *Accounts) setPassword(ctx context.Context, old *account, password string, confirmed bool, versions []uint64) (Account, error) {
	password = normalPassword(password)
	if err := checkPassword(old.Name, password); err != nil {
		return Account{}, err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return Account{}, err
	}
	return a.change(ctx, old.ID, endAll, func(c *account) error {
		if confirmed && (c.Hash != old.Hash || c.Generation != old.Generation || c.Disabled) {
			return ErrSignIn // what was shown is good no longer: an admin was faster
		}
		c.Hash = hash
		return c.unchanged(versions)
	})
}

// ChangePassword changes one's own password. All tokens of the account end, the one used for this included.
func (a *Accounts) ChangePassword(ctx context.Context, id, old, password, address string) (Account, error) {
	c, try, err := a.confirm(ctx, id, old, address)
	if err != nil {
		return Account{}, err
	}
	if err := a.forgive(ctx, try); err != nil {
		return Account{}, err
	}
	return a.setPassword(ctx, c, password, true, nil)
}

// confirm has the owner of an account show the password once more. It gives the account that the password was compared with, and the attempt, which
// counts as a failed sign-in until it is forgiven.
func (a *Accounts) confirm(ctx context.Context, id, password, address string) (*account, attempt, error) {
	c, err := a.get(id)
	if err != nil {
		return nil, attempt{}, err
	}
	try, err := a.begin(ctx, c.Name, address, false)
	if err != nil {
		return nil, try, err
	}
	ok, err := a.hasher.verify(ctx, normalPassword(password), c.Hash)
	if err == nil && !ok {
		err = ErrSignIn
	}
	return c, try, err
}

// SetDisabled disables an account, or enables it again. With the first all its tokens end.
func (a *Accounts) SetDisabled(ctx context.Context, who string, disabled bool, versions ...uint64) (Account, error) {
	end := endAll
	if !disabled {
		end = endNothing
	}
	return a.change(ctx, who, end, func(c *account) error {
		c.Disabled = disabled
		return c.unchanged(versions)
	})
}
