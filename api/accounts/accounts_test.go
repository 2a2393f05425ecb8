package accounts_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ihyid/api/accounts"
	"ihyid/api/policy"
	"ihyid/kms"
	"ihyid/kms/file"
	"ihyid/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	password = "correct horse battery staple"
	home     = "192.0.2.7"
	issuer   = "did:web:relief.example.org"
)

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// node is what accounts stand on, and can be closed and opened again.
type node struct {
	*accounts.Accounts
	t     testing.TB
	dir   string
	clock *clock
	keys  kms.Store
	store *store.Store
	oidc  *accounts.OIDC
	did   string
}

func newNode(t testing.TB, did string) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), clock: &clock{at: time.Now()}, did: did}
	keys, err := file.Create(filepath.Join(n.dir, "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n.keys = keys
	if n.store, err = store.Create(t.Context(), filepath.Join(n.dir, "db"), store.Options{Keys: keys}); err != nil {
		t.Fatal(err)
	}
	n.load()
	t.Cleanup(func() {
		n.store.Close()
		n.keys.Close()
	})
	return n
}

func (n *node) load() {
	n.t.Helper()
	a, err := accounts.Open(n.t.Context(), accounts.Options{Store: n.store, Keys: n.keys, Issuer: n.did, Clock: n.clock.now, OIDC: n.oidc})
	if err != nil {
		n.t.Fatal(err)
	}
	n.Accounts = a
}

// restart closes store and keys, and opens them again.
func (n *node) restart() {
	n.t.Helper()
	n.store.Close()
	n.keys.Close()
	keys, err := file.Open(filepath.Join(n.dir, "keys"), file.Options{})
	if err != nil {
		n.t.Fatal(err)
	}
	n.keys = keys
	if n.store, err = store.Open(n.t.Context(), filepath.Join(n.dir, "db"), store.Options{Keys: keys}); err != nil {
		n.t.Fatal(err)
	}
	n.load()
}

func (n *node) add(name string, role policy.Role) accounts.Account {
	n.t.Helper()
	a, err := n.Add(n.t.Context(), name, role, password)
	if err != nil {
		n.t.Fatal(err)
	}
	return a
}

func (n *node) in(name string) accounts.Tokens {
	n.t.Helper()
	t, err := n.SignIn(n.t.Context(), name, password, "", home)
	if err != nil {
		n.t.Fatal(err)
	}
	return t
}

func (n *node) good(token string) bool {
	_, err := n.Authenticate(n.t.Context(), token)
	if err != nil && !errors.Is(err, accounts.ErrCaller) {
		n.t.Errorf("refused with %v", err)
	}
	return err == nil
}

func TestHashParameters(t *testing.T) {
	if p := accounts.Production; p.Time != 2 || p.Memory != 19<<10 || p.Threads != 1 {
		t.Errorf("passwords are hashed with %+v", p)
	}
}

func TestPasswords(t *testing.T) {
	n := newNode(t, issuer)
	for _, c := range []struct{ name, password string }{
		{"fatima", "short"}, {"fatima", "fatimafatima"}, {"fatima", "Fatima12345"}, {"fatima", "aaaaaaaaaaaaaaaa"}, {"fatima", strings.Repeat("xy1z!", 300)},
		{"fatima", "nul\x00nul nul nul"}, {"fatima", "\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc"},
	} {
		if _, err := n.Add(t.Context(), c.name, policy.Admin, c.password); !errors.Is(err, accounts.ErrPassword) {
			t.Errorf("%q: %v", c.password, err)
		}
	}
	for _, name := range []string{"", "a", "a b", "a\x00b", strings.Repeat("a", 65), "\xff\xff", "a\u202eb"} {
		if _, err := n.Add(t.Context(), name, policy.Admin, password); !errors.Is(err, accounts.ErrName) {
			t.Errorf("the name %q: %v", name, err)
		}
	}
	// One password in two encodings; one name in two cases and widths.
	if _, err := n.Add(t.Context(), "ÉMILIE", policy.Admin, "caf\u00e9 caf\u00e9 caf\u00e9 \u2460"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.SignIn(t.Context(), "e\u0301milie", "cafe\u0301 cafe\u0301 cafe\u0301 1", "", home); err != nil {
		t.Errorf("the same in another encoding: %v", err)
	}
	if _, err := n.Add(t.Context(), "ｅ́milie", policy.Admin, password); !errors.Is(err, accounts.ErrExists) {
		t.Errorf("the same name in another width: %v", err)
	}
}

// TestSameWork: a sign-in costs one hash, whatever is wrong with it.
func TestSameWork(t *testing.T) {
	n := newNode(t, issuer)
	n.add("fatima", policy.Admin)
	n.add("second", policy.Admin)
	off := n.add("disabled", policy.Operator)
	if _, err := n.SetDisabled(t.Context(), off.ID, true); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, password string }{
		{"fatima", password}, {"fatima", "wrong wrong wrong"}, {"nobody", password}, {"no name at all", password}, {"disabled", password}, {"disabled", "wrong wrong wrong"}, {"", ""},
	} {
		before := n.Hashes()
		_, err := n.SignIn(t.Context(), c.name, c.password, "", home)
		if got := n.Hashes() - before; got != 1 {
			t.Errorf("%q, %q: %d hashes", c.name, c.password, got)
		}
		if good := c.name == "fatima" && c.password == password; !good && (err == nil || err.Error() != accounts.ErrSignIn.Error()) {
			t.Errorf("%q, %q: %v", c.name, c.password, err)
		}
	}
}

// TestTokensEnd: what ends an account's tokens ends them at once, across a restart too.
func TestTokensEnd(t *testing.T) {
	for name, c := range map[string]struct {
		do  func(n *node, id string) error
		api bool // API tokens stay
	}{
		"sign-out": {func(n *node, id string) error { return n.SignOut(t.Context(), id) }, true},
		"password": {func(n *node, id string) error {
			_, err := n.ChangePassword(t.Context(), id, password, "another good one of words", home)
			return err
		}, false},
		"password by an admin": {func(n *node, id string) error {
			_, err := n.SetPassword(t.Context(), id, "another good one of words")
			return err
		}, false},
		"role":     {func(n *node, id string) error { _, err := n.SetRole(t.Context(), id, policy.Checker); return err }, false},
		"disabled": {func(n *node, id string) error { _, err := n.SetDisabled(t.Context(), id, true); return err }, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, issuer)
			n.add("boss", policy.Admin)
			a := n.add("fatima", policy.Operator)
			tokens, other := n.in("fatima"), n.in("boss")
			api, err := n.CreateToken(t.Context(), a.ID, "x", []policy.Scope{policy.ScopeCheck}, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			n.restart()
			if !n.good(tokens.Access) || !n.good(api.Secret) {
				t.Fatal("a restart ended the tokens")
			}
			if err := c.do(n, a.ID); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if n.good(tokens.Access) || n.good(api.Secret) != c.api || !n.good(other.Access) {
					t.Errorf("access token good: %v, API token good: %v", n.good(tokens.Access), n.good(api.Secret))
				}
				if _, err := n.Refresh(t.Context(), tokens.Refresh); !errors.Is(err, accounts.ErrCaller) {
					t.Errorf("the refresh token: %v", err)
				}
				n.restart()
			}
		})
	}
}

func TestLastAdmin(t *testing.T) {
	n := newNode(t, issuer)
	a := n.add("fatima", policy.Admin)
	n.add("omar", policy.Operator)
	_, err1 := n.SetRole(t.Context(), a.ID, policy.Operator)
	_, err2 := n.SetDisabled(t.Context(), a.ID, true)
	if !errors.Is(err1, accounts.ErrLastAdmin) || !errors.Is(err2, accounts.ErrLastAdmin) {
		t.Errorf("%v, %v", err1, err2)
	}
}

// TestForgedAccess: every member of an access token matters, and so does its signature.
func TestForgedAccess(t *testing.T) {
	n, other := newNode(t, issuer), newNode(t, "did:web:other.example.org")
	n.add("fatima", policy.Admin)
	other.add("fatima", policy.Admin)
	token := n.in("fatima").Access
	claims, err := n.Read(token)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding
	parts := strings.Split(token, ".")
	header := func(change func(map[string]any)) string {
		text, _ := b64.DecodeString(parts[0])
		h := map[string]any{}
		if err := json.Unmarshal(text, &h); err != nil {
			t.Fatal(err)
		}
		change(h)
		text, _ = json.Marshal(h)
		return b64.EncodeToString(text) + "." + parts[1] + "." + parts[2]
	}
	change := func(f func(*accounts.Claims)) string {
		return n.Forge(func(c *accounts.Claims) { *c = *claims; f(c) })
	}
	if !n.good(change(func(*accounts.Claims) {})) {
		t.Fatal("an unchanged copy is refused: the test shows nothing")
	}
	for name, forged := range map[string]string{
		"of another node":   other.in("fatima").Access,
		"alg none":          header(func(h map[string]any) { h["alg"] = "none" }),
		"alg none unsigned": strings.TrimSuffix(header(func(h map[string]any) { h["alg"] = "none" }), parts[2]),
		"alg HS256":         header(func(h map[string]any) { h["alg"] = "HS256" }),
		"alg ES384":         header(func(h map[string]any) { h["alg"] = "ES384" }),
		"kid":               header(func(h map[string]any) { h["kid"] = strings.Repeat("0", 32) }),
		"no kid":            header(func(h map[string]any) { delete(h, "kid") }),
		"typ":               header(func(h map[string]any) { h["typ"] = "JWT" }),
		"jwk":               header(func(h map[string]any) { h["jwk"] = map[string]string{"kty": "EC"} }),
		"crit":              header(func(h map[string]any) { h["crit"] = []string{"exp"} }),
		"signature":         token[:len(token)-4] + "AAAA",
		"four parts":        token + ".x",
		"padding":           token + "=",
		"empty":             "",
		"dots":              "..",
		"issuer":            change(func(c *accounts.Claims) { c.Issuer = "did:web:other.example.org" }),
		"audience":          change(func(c *accounts.Claims) { c.Audience = "did:web:other.example.org" }),
		"account":           change(func(c *accounts.Claims) { c.Subject = "abcdef0123456789" }),
		"session":           change(func(c *accounts.Claims) { c.Session = "abcdef0123456789" }),
		"generation":        change(func(c *accounts.Claims) { c.Generation++ }),
		"expired":           change(func(c *accounts.Claims) { c.Expires = n.clock.now().Unix() }),
		"from tomorrow":     change(func(c *accounts.Claims) { c.Issued += 86400 }),
	} {
		if n.good(forged) {
			t.Errorf("%s: it is taken", name)
		}
	}
	n.clock.pass(accounts.AccessLife)
	if n.good(token) {
		t.Error("it is good after its end")
	}
}

// TestRefresh: good once; a second time ends the sign-in; idle and old sessions end.
func TestRefresh(t *testing.T) {
	n := newNode(t, issuer)
	n.add("fatima", policy.Admin)
	first := n.in("fatima")
	second, err := n.Refresh(t.Context(), first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	n.restart()
	var reused *accounts.ReuseError
	if _, err := n.Refresh(t.Context(), first.Refresh); !errors.As(err, &reused) {
		t.Errorf("a second time: %v", err)
	}
	if n.good(second.Access) || n.good(first.Access) {
		t.Error("the sign-in goes on after its refresh token was stolen")
	}
	// A made-up secret with the right session ends nothing.
	third := n.in("fatima")
	if _, err := n.Refresh(t.Context(), third.Refresh[:len(third.Refresh)-3]+"AAA"); !errors.Is(err, accounts.ErrCaller) || errors.As(err, &reused) {
		t.Errorf("made up: %v", err)
	}
	if !n.good(third.Access) {
		t.Error("a made-up token ended a sign-in")
	}
	// Many at once: one wins, and the others end it.
	var wg sync.WaitGroup
	won := make([]bool, 8)
	for i := range won {
		wg.Go(func() {
			_, err := n.Refresh(context.Background(), third.Refresh)
			won[i] = err == nil
		})
	}
	wg.Wait()
	if k := len(slices.DeleteFunc(won, func(w bool) bool { return !w })); k > 1 {
		t.Errorf("%d of one refresh token won", k)
	}
	fourth := n.in("fatima")
	n.clock.pass(accounts.IdleLife + time.Minute)
	if _, err := n.Refresh(t.Context(), fourth.Refresh); !errors.Is(err, accounts.ErrCaller) {
		t.Errorf("idle: %v", err)
	}
}

// TestDelays: failures cost time that grows, many at once get no further, a restart forgives nothing, and the owner's
// own address is not kept waiting by strangers.
func TestDelays(t *testing.T) {
	n := newNode(t, issuer)
	n.add("fatima", policy.Admin)
	n.in("fatima") // from home: known from now on
	fail := func(name, from string) error {
		_, err := n.SignIn(t.Context(), name, "wrong wrong wrong", "", from)
		return err
	}
	for _, name := range []string{"fatima", "nobody"} {
		var wg sync.WaitGroup
		errs := make([]error, 24)
		before := n.Hashes()
		for i := range errs {
			wg.Go(func() { errs[i] = fail(name, fmt.Sprintf("198.51.100.%d", i)) })
		}
		wg.Wait()
		tried := 0
		for _, err := range errs {
			var delay *accounts.DelayError
			if !errors.As(err, &delay) {
				tried++
			}
		}
		if tried != 4 || n.Hashes()-before != 4 {
			t.Errorf("%s: %d of 24 attempts at once were looked at, with %d hashes", name, tried, n.Hashes()-before)
		}
		n.restart()
		var delay *accounts.DelayError
		if err := fail(name, "198.51.100.99"); !errors.As(err, &delay) {
			t.Errorf("%s: a restart forgave: %v", name, err)
		}
		last := time.Duration(0)
		for i := range 14 {
			n.clock.pass(accounts.MaxDelay)
			if err := fail(name, fmt.Sprintf("203.0.113.%d", i)); !errors.Is(err, accounts.ErrSignIn) {
				t.Fatalf("%s: after waiting: %v", name, err)
			}
			if err := fail(name, "203.0.113.200"); errors.As(err, &delay) {
				if delay.Wait < last || delay.Wait > accounts.MaxDelay+time.Second {
					t.Errorf("%s: wait %v after %v", name, delay.Wait, last)
				}
				last = delay.Wait
			}
		}
		if last < accounts.MaxDelay {
			t.Errorf("%s: the longest wait is %v", name, last)
		}
	}
	if _, err := n.SignIn(t.Context(), "fatima", password, "", home); err != nil {
		t.Errorf("strangers lock the owner out: %v", err)
	}
}

// TestAddressDelay: one address that tries many names has to wait.
func TestAddressDelay(t *testing.T) {
	n := newNode(t, issuer)
	var delay *accounts.DelayError
	for i := range 30 {
		_, err := n.SignIn(t.Context(), fmt.Sprintf("name%d", i), "wrong wrong wrong", "", fmt.Sprintf("2001:db8::%x", i+1)) // one /64
		if errors.As(err, &delay) {
			if i < 20 {
				t.Errorf("after %d attempts already", i)
			}
			return
		}
	}
	t.Error("one network may try as many names as it likes")
}

func TestAPITokenEnds(t *testing.T) {
	n := newNode(t, issuer)
	a := n.add("fatima", policy.Operator)
	token, err := n.CreateToken(t.Context(), a.ID, "import", []policy.Scope{policy.ScopeContactsWrite}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	n.restart()
	c, err := n.Authenticate(t.Context(), token.Secret)
	if err != nil || c.Account != a.ID || c.How != policy.ByToken || !slices.Equal(c.Scopes, []policy.Scope{policy.ScopeContactsWrite}) || c.Session != token.ID {
		t.Errorf("%+v, %v", c, err)
	}
	n.clock.pass(time.Hour)
	if n.good(token.Secret) {
		t.Error("it is good after its end")
	}
}

// An admin who gives an account another password is not undone by who was changing it with the one of before.
func TestPasswordShownIsStillTheOne(t *testing.T) {
	n := newNode(t, issuer)
	a := n.add("fatima", policy.Admin)
	const given, thief = "another horse, another staple", "a password of the thief's"
	err := n.ReplaceShown(t.Context(), a.ID, thief, func() {
		if _, err := n.SetPassword(t.Context(), a.ID, given); err != nil {
			t.Fatal(err)
		}
	})
	if !errors.Is(err, accounts.ErrSignIn) {
		t.Errorf("%v", err)
	}
	if _, err := n.SignIn(t.Context(), "fatima", given, "", home); err != nil {
		t.Errorf("the admin's password: %v", err)
	}
}
