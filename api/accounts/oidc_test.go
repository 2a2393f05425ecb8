package accounts_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"ihyid/api/accounts"
	"ihyid/api/outbound"
	"ihyid/api/policy"
)

// provider is a small OpenID Connect provider: discovery, keys, authorization with PKCE, tokens. Whoever comes is the
// person that claims says.
type provider struct {
	*httptest.Server
	t   *testing.T
	key *ecdsa.PrivateKey

	mu     sync.Mutex
	claims map[string]any               // of who signs in next
	spoil  func(idToken map[string]any) // makes the ID token wrong
	codes  map[string]url.Values        // code → the request that it was given for
}

const clientID, clientSecret = "ihyid-node", "secret of the node"

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		public, err := jwk.Import(&key.PublicKey)
		if err == nil {
			err = errors.Join(public.Set(jwk.KeyIDKey, "1"), public.Set(jwk.AlgorithmKey, jwa.ES256()))
		}
		if err != nil {
			t.Error(err)
		}
		answer(w, 200, map[string]any{"keys": []any{public}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("client_id") != clientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" {
			answer(w, 400, "bad request")
			return
		}
		code := rand.Text()
		p.mu.Lock()
		p.codes[code] = q
		p.mu.Unlock()
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, basic := r.BasicAuth()
		if !basic {
			id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
		} else {
			secret, _ = url.QueryUnescape(secret)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		request, ok := p.codes[r.FormValue("code")]
		delete(p.codes, r.FormValue("code"))
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || id != clientID || secret != clientSecret || request.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || request.Get("redirect_uri") != r.FormValue("redirect_uri") {
			answer(w, 400, map[string]string{"error": "invalid_grant"})
			return
		}
		token := map[string]any{"iss": p.URL, "aud": clientID, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "nonce": request.Get("nonce")}
		maps.Copy(token, p.claims)
		if p.spoil != nil {
			p.spoil(token)
		}
		payload, _ := json.Marshal(token)
		headers := jws.NewHeaders()
		_ = headers.Set(jws.KeyIDKey, "1")
		signed, err := jws.Sign(payload, jws.WithKey(jwa.ES256(), key, jws.WithProtectedHeaders(headers)))
		if err != nil {
			t.Error(err)
		}
		answer(w, 200, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": string(signed)})
	})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

// web is the guarded client of a node that may reach networks.
func (p *provider) web(allowed ...netip.Prefix) *outbound.Client {
	p.t.Helper()
	web, err := outbound.New(outbound.Options{AllowedNetworks: allowed, ExtraRoots: []*x509.Certificate{p.Certificate()}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(web.Close)
	return web
}

func newOIDCNode(t *testing.T, p *provider, allowed ...netip.Prefix) *node {
	n := newNode(t, issuer)
	n.oidc = &accounts.OIDC{
		Issuer: p.URL, ClientID: clientID, ClientSecret: clientSecret, RedirectURL: "https://relief.example.org/auth/oidc/callback", RoleClaim: "groups",
		Roles: map[string]policy.Role{"aid-admins": policy.Admin, "aid-staff": policy.Operator}, HTTP: p.web(allowed...).HTTPClient(1 << 20),
	}
	if err := n.oidc.Check(); err != nil {
		t.Fatal(err)
	}
	n.load()
	return n
}

// browse opens the provider's URL as a browser does, and gives what its redirect brings to the node.
func (p *provider) browse(to string) (state, code string) {
	p.t.Helper()
	c := p.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Get(to)
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Body.Close()
	u, err := resp.Location()
	if err != nil {
		p.t.Fatalf("%s: %v", resp.Status, err)
	}
	return u.Query().Get("state"), u.Query().Get("code")
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// through goes the whole way.
func through(n *node, p *provider) (accounts.Tokens, error) {
	to, err := n.StartOIDC(n.t.Context(), challengeOf("v"), "http://127.0.0.1:1234/")
	if err != nil {
		return accounts.Tokens{}, err
	}
	state, code := p.browse(to)
	once, returnTo, err := n.FinishOIDC(n.t.Context(), state, code)
	if err != nil {
		return accounts.Tokens{}, err
	}
	if returnTo != "http://127.0.0.1:1234/" {
		n.t.Errorf("the browser is sent to %q", returnTo)
	}
	return n.RedeemOIDC(n.t.Context(), once, "v")
}

func TestOIDC(t *testing.T) {
	p := newProvider(t)
	n := newOIDCNode(t, p, netip.MustParsePrefix("127.0.0.0/8"))
	n.add("boss", policy.Admin)
	p.claims = map[string]any{"sub": "4711", "preferred_username": "Fatima", "groups": []string{"choir", "aid-staff"}}
	tokens, err := through(n, p)
	if err != nil || tokens.Role != policy.Operator || tokens.Name != "fatima" || !n.good(tokens.Access) {
		t.Fatalf("%+v, %v", tokens, err)
	}
	// The provider changes the role: the account follows, and what it had ends.
	p.claims["groups"] = []string{"aid-staff", "aid-admins"}
	again, err := through(n, p)
	if err != nil || again.Role != policy.Admin || again.Account != tokens.Account || n.good(tokens.Access) {
		t.Errorf("%+v, %v", again, err)
	}
	// Somebody else with the name of an account here does not get that account.
	p.claims = map[string]any{"sub": "666", "preferred_username": "boss", "groups": "aid-staff"}
	if other, err := through(n, p); err != nil || other.Name == "boss" || other.Role != policy.Operator {
		t.Errorf("%+v, %v", other, err)
	}
	// No password opens an account that has none.
	if _, err := n.SignIn(t.Context(), "fatima", "", "", home); !errors.Is(err, accounts.ErrSignIn) {
		t.Errorf("an account without a password: %v", err)
	}
	if _, err := n.SetDisabled(t.Context(), tokens.Account, true); err != nil {
		t.Fatal(err)
	}
	p.claims = map[string]any{"sub": "4711", "groups": "aid-admins"}
	if _, err := through(n, p); !errors.Is(err, accounts.ErrSignIn) {
		t.Errorf("a disabled account: %v", err)
	}
	p.claims = map[string]any{"sub": "4712", "groups": []any{"choir", 7, nil}}
	if _, err := through(n, p); !errors.Is(err, accounts.ErrNotMapped) {
		t.Errorf("no role: %v", err)
	}
	p.claims = map[string]any{"sub": "4713", "groups": "aid-staff"}
	for name, spoil := range map[string]func(map[string]any){
		"nonce":    func(c map[string]any) { c["nonce"] = "another" },
		"no nonce": func(c map[string]any) { delete(c, "nonce") },
		"audience": func(c map[string]any) { c["aud"] = "another" },
		"issuer":   func(c map[string]any) { c["iss"] = "https://another.example" },
		"expired":  func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() },
	} {
		p.spoil = spoil
		if _, err := through(n, p); !errors.Is(err, accounts.ErrProvider) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.spoil = nil

	// State and codes are good once, and for who began.
	to, err := n.StartOIDC(t.Context(), challengeOf("v"), "")
	if err != nil {
		t.Fatal(err)
	}
	state, code := p.browse(to)
	if _, _, err := n.FinishOIDC(t.Context(), "made up", code); !errors.Is(err, accounts.ErrCaller) {
		t.Errorf("a state that nobody began: %v", err)
	}
	once, _, err := n.FinishOIDC(t.Context(), state, code)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.FinishOIDC(t.Context(), state, code); !errors.Is(err, accounts.ErrCaller) {
		t.Errorf("a state again: %v", err)
	}
	if _, err := n.RedeemOIDC(t.Context(), once, "w"); !errors.Is(err, accounts.ErrCaller) {
		t.Errorf("another's verifier: %v", err)
	}
	if _, err := n.RedeemOIDC(t.Context(), once, "v"); !errors.Is(err, accounts.ErrCaller) {
		t.Errorf("a code that somebody tried to steal: %v", err)
	}
	for _, to := range []string{"https://evil.example/", "http://evil.example:80/", "http://127.0.0.1/", "http://127.0.0.1.evil.example:1/", "http://a@127.0.0.1:1/", "javascript:alert(1)"} {
		if _, err := n.StartOIDC(t.Context(), challengeOf("v"), to); !errors.Is(err, accounts.ErrInvalid) {
			t.Errorf("return to %s: %v", to, err)
		}
	}
}

// TestOIDCBegunByStrangers: however many sign-ins strangers begin, a person's own goes through; and a state that was changed, is another run's or too old is
// none.
func TestOIDCBegunByStrangers(t *testing.T) {
	p := newProvider(t)
	n := newOIDCNode(t, p, netip.MustParsePrefix("127.0.0.0/8"))
	p.claims = map[string]any{"sub": "4711", "groups": "aid-staff"}
	to, err := n.StartOIDC(t.Context(), challengeOf("v"), "http://127.0.0.1:1234/")
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 {
		if _, err := n.StartOIDC(t.Context(), challengeOf("s"), ""); err != nil {
			t.Fatal(err)
		}
	}
	state, code := p.browse(to)
	for i := range len(state) {
		changed := []byte(state)
		if changed[i] ^= 1; changed[i] == state[i] {
			continue
		}
		if _, _, err := n.FinishOIDC(t.Context(), string(changed), code); !errors.Is(err, accounts.ErrCaller) {
			t.Fatalf("with letter %d changed: %v", i, err)
		}
	}
	for _, bad := range []string{"", "====", state[:len(state)-4], state + "AAAA", strings.Repeat("A", 5000)} {
		if _, _, err := n.FinishOIDC(t.Context(), bad, code); !errors.Is(err, accounts.ErrCaller) {
			t.Errorf("the state %.20q: %v", bad, err)
		}
	}
	other := newOIDCNode(t, p, netip.MustParsePrefix("127.0.0.0/8"))
	if _, _, err := other.FinishOIDC(t.Context(), state, code); !errors.Is(err, accounts.ErrCaller) {
		t.Errorf("at another node: %v", err)
	}
	once, _, err := n.FinishOIDC(t.Context(), state, code)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.RedeemOIDC(t.Context(), once, "v"); err != nil {
		t.Fatal(err)
	}
	if to, err = n.StartOIDC(t.Context(), challengeOf("v"), ""); err != nil {
		t.Fatal(err)
	}
	state, code = p.browse(to)
	n.clock.pass(11 * time.Minute)
	if _, _, err := n.FinishOIDC(t.Context(), state, code); !errors.Is(err, accounts.ErrCaller) {
		t.Errorf("a state of eleven minutes ago: %v", err)
	}
}

// TestOIDCGuarded: the node asks a provider on a private address only if its operator allows it.
func TestOIDCGuarded(t *testing.T) {
	p := newProvider(t)
	n := newOIDCNode(t, p)
	if _, err := n.StartOIDC(t.Context(), challengeOf("v"), ""); !errors.Is(err, accounts.ErrProvider) || !errors.Is(err, outbound.ErrPrivateAddress) {
		t.Errorf("%v", err)
	}
}
