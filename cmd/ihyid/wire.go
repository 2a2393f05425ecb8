package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ihyid/api"
	"ihyid/api/accounts"
	"ihyid/api/audit"
	"ihyid/api/outbound"
	"ihyid/api/policy"
	"ihyid/api/replay"
	"ihyid/api/tracing"
	"ihyid/contacts"
	"ihyid/credentials"
	"ihyid/did"
	"ihyid/exchange"
	"ihyid/exchange/register"
	"ihyid/exchange/register/search"
	"ihyid/kms"
	"ihyid/store"
	"ihyid/store/jobs"
)

// Names within a data directory.
const (
	storeName = "ihyid.db"
	keysName  = "keys"
)

// localProfile is the profile under which a node looks for duplicates among its own contacts.
const localProfile = "levant/1"

// defaultProfile is the profile of an exchange that names none.
const defaultProfile = "levant/1"

// maxDeaths is how often in a row the node may die over one step of a job before the job is given up. Power cuts come in rows; a
// job that itself kills the node must not do so for ever.
const maxDeaths = 20

// parts are the walls of a node, in the order in which they stand on one another.
type parts struct {
	keys     kms.Store
	store    *store.Store
	profiles map[string]*contacts.Profile
}

func (p *parts) close() error {
	var err error
	if p.store != nil {
		err = p.store.Close()
	}
	if p.keys != nil {
		err = errors.Join(err, p.keys.Close())
	}
	return err
}

// createNode makes a node. If it fails, what it made is removed again.
func createNode(ctx context.Context, o initOptions) (made madeNode, err error) {
	if err := emptyDir(o.Data); err != nil {
		return made, err
	}
	p := &parts{}
	defer func() {
		err = errors.Join(err, p.close())
		if err != nil {
			removeNode(o.Data)
		}
	}()
	if p.keys, err = o.Secret.create(ctx, o.Data); err != nil {
		return made, fmt.Errorf("making the key store: %w", err)
	}
	if p.store, err = store.Create(ctx, filepath.Join(o.Data, storeName), store.Options{Keys: p.keys}); err != nil {
		return made, fmt.Errorf("making the store: %w", err)
	}
	node, err := exchange.Create(ctx, exchange.Options{Store: p.store, Keys: p.keys, Proof: o.Proof}, exchange.NewIdentity{
		Method: o.Method, Host: o.Host, Path: o.Path, AlsoKnownAs: o.AlsoKnownAs, Organisation: o.Organisation, Curve: kms.Curve(o.Curve),
		AllowLoopback: true, // whoever names this machine itself gets a node that only this machine reaches: good for trials
	})
	if err != nil {
		return made, err
	}
	if err := writeConfigFile(filepath.Join(o.Data, ConfigName), o.Secret.settings()); err != nil {
		return made, fmt.Errorf("keeping where the keys are: %w", err)
	}
	made = madeNode{Data: o.Data, DID: node.DID(), Organisation: node.Organisation()}
	if node.DocumentPath() != "" {
		if made.DocumentURL, err = (did.Web{AllowLoopback: true}).URL(node.DID()); err != nil {
			return made, err
		}
		if _, err := did.WebURL(node.DID()); err != nil {
			made.Note = "only nodes on this machine can reach a node of that name"
		}
	}
	return made, nil
}

// removeNode takes away what a failed createNode left; the directory held nothing of ours before.
func removeNode(data string) {
	for _, pattern := range []string{storeName + "*", keysName + "*"} {
		names, _ := filepath.Glob(filepath.Join(escapeGlob(data), pattern))
		for _, name := range names {
			_ = os.RemoveAll(name)
		}
	}
}

// serveOptions say how to open a node.
type serveOptions struct {
	Profiles string // the directory of the operator's own matching profiles
	Data     string
	Secret   secretOptions
	Network  networkOptions
	Logger   *slog.Logger

	RequireConfirmed bool
	AskAlways        bool
	Proof            string // see exchange.Options
	Suites           *credentials.Suites
	OIDC             *accounts.OIDC
	Traces           *tracing.Tracing // nil: none
}

// runningNode is a node that is open. Run does its background work; Close comes after Run has ended.
type runningNode struct {
	Node        api.Node
	Credentials api.Credentials
	Register    api.Register
	Search      api.Search
	Ready       []api.ReadyCheck
	Replay      *replay.Memory
	Jobs        api.Jobs
	Profiles    map[string]*contacts.Profile
	DIDs        api.DIDs
	Accounts    *accounts.Accounts
	Audit       *audit.Log
	Run         func(context.Context) error
	Close       func() error
}

func openNode(ctx context.Context, o serveOptions) (_ *runningNode, err error) {
	if _, err := os.Stat(filepath.Join(o.Data, storeName)); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no node in it: make one with ihyid init --data %s", o.Data)
	}
	p := &parts{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.profiles, err = loadProfiles(o.Profiles); err != nil {
		return nil, err
	}
	if p.keys, err = o.Secret.open(ctx, o.Data, o.Logger); err != nil {
		return nil, fmt.Errorf("opening the key store: %w", err)
	}
	if p.store, err = store.Open(ctx, filepath.Join(o.Data, storeName), store.Options{Keys: p.keys, Logger: o.Logger}); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	web, err := outbound.New(outbound.Options{AllowedNetworks: o.Network.Private, ExtraRoots: o.Network.Roots})
	if err != nil {
		return nil, err
	}
	var reg *register.Register
	work := jobs.Options{
		Logger: o.Logger, MaxDeaths: maxDeaths,
		Forget: func(tx *store.Tx, j jobs.Job) error { return reg.Forget(tx, j) },
	}
	var stages func(context.Context, exchange.Stage) (context.Context, func(string))
	if o.Traces != nil {
		work.Observe, stages = o.Traces.Job, o.Traces.Stage
	}
	queue := jobs.New(p.store, work)
	reg, err = register.New(register.Options{Store: p.store, Jobs: queue, Profile: p.profiles[localProfile], Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	index, err := search.Open(ctx, p.store, reg, queue)
	if err != nil {
		return nil, fmt.Errorf("opening the search index: %w", err)
	}
	replays := replay.New(p.store, nil)
	reg.Watch(replays)
	resolver := newResolver(web, o.Network)
	node, err := exchange.Open(ctx, exchange.Options{
		Store: p.store, Keys: p.keys, Resolver: resolver, Register: reg, Jobs: queue,
		Transport: o.Traces.Transport(api.Transport(web)), Observe: stages, Profiles: p.profiles, Logger: o.Logger, RequireConfirmed: o.RequireConfirmed, AskAlways: o.AskAlways,
		Proof: o.Proof, StatusLists: statusFetcher{web}, Suites: o.Suites,
	})
	if err != nil {
		return nil, err
	}
	record, err := audit.New(audit.Options{Store: p.store, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	if o.OIDC != nil {
		o.OIDC.HTTP = web.HTTPClient(maxOIDCAnswer)
	}
	people, err := accounts.Open(ctx, accounts.Options{Store: p.store, Keys: p.keys, Issuer: node.DID(), OIDC: o.OIDC, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	run := func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return node.Run(ctx) })
		group.Go(func() error { return record.Run(ctx) })
		return group.Wait()
	}
	return &runningNode{
		Accounts: people, Audit: record,
		Node: node, Credentials: node, Register: reg, Search: index, Ready: readyChecks(o.Data, p, reg), Replay: replays, Jobs: queue, Profiles: p.profiles, Run: run, DIDs: dids{did.Dereferencer{Resolver: resolver, History: node.History()}, resolver},
		Close: func() error {
			web.Close()
			return p.close()
		},
	}, nil
}

// maxOIDCAnswer bounds what the sign-in provider answers, in bytes.
const maxOIDCAnswer = 1 << 20

// oidcOptions are the settings of sign-in by OpenID Connect; nil if there are none.
func (a *app) oidcOptions() (*accounts.OIDC, error) {
	k := a.cfg.k
	if k.String("oidc_issuer") == "" {
		return nil, nil
	}
	o := &accounts.OIDC{
		Issuer: k.String("oidc_issuer"), ClientID: k.String("oidc_client_id"), RedirectURL: k.String("oidc_redirect_url"),
		RoleClaim: k.String("oidc_role_claim"), Roles: map[string]policy.Role{}, HTTP: http.DefaultClient, // openNode gives it a guarded one
	}
	for _, text := range k.Strings("oidc_role") {
		i := strings.LastIndexByte(text, '=')
		if i < 1 {
			return nil, usagef("--oidc-role must be VALUE=ROLE, such as ihyid-admins=admin")
		}
		o.Roles[text[:i]] = policy.Role(text[i+1:])
	}
	if name := k.String("oidc_client_secret_file"); name != "" {
		var err error
		if o.ClientSecret, err = readSecret(name); err != nil {
			return nil, err
		}
	}
	if err := o.Check(); err != nil {
		return nil, usagef("sign-in by OpenID Connect: %v", err)
	}
	return o, nil
}

// verifyOptions say what an auditor has at hand.
type verifyOptions struct {
	documents     [][]byte
	offline       bool
	requireStatus bool
	network       networkOptions
}

func verifyReceipt(ctx context.Context, receipt []byte, o verifyOptions) (receiptReport, error) {
	opts := exchange.VerifyReceiptOptions{RequireStatus: o.requireStatus}
	var err error
	if opts.Documents, err = parseDocuments(o.documents); err != nil {
		return receiptReport{}, err
	}
	if !o.offline {
		web, err := outbound.New(outbound.Options{AllowedNetworks: o.network.Private, ExtraRoots: o.network.Roots})
		if err != nil {
			return receiptReport{}, err
		}
		defer web.Close()
		opts.Resolver, opts.StatusLists = newResolver(web, o.network), statusFetcher{web}
	}
	r := exchange.VerifyReceipt(ctx, receipt, opts)
	out := receiptReport{Verified: r.Passed(), Checks: []receiptCheck{}}
	if r.Statement != nil {
		out.Statement = r.Statement
	}
	for _, c := range r.Checks {
		out.Checks = append(out.Checks, receiptCheck{Name: c.Name, Outcome: string(c.Outcome), Reason: c.Reason})
	}
	return out, nil
}

// unreachableAge is how long a DID that could not be resolved is not asked for again: on a bad line it may be there in a moment.
const unreachableAge = 2 * time.Second

// newResolver resolves names of this machine itself only where its addresses may be reached.
func newResolver(web *outbound.Client, network networkOptions) *did.CachingResolver {
	loopback := slices.ContainsFunc(network.Private, func(p netip.Prefix) bool { return p.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1})) })
	return did.NewResolver(did.Options{Web: web, WebRules: did.Web{AllowLoopback: loopback}, NegativeAge: unreachableAge})
}

func resolveDID(ctx context.Context, name string, network networkOptions) (resolution, error) {
	web, err := outbound.New(outbound.Options{AllowedNetworks: network.Private, ExtraRoots: network.Roots})
	if err != nil {
		return resolution{}, err
	}
	defer web.Close()
	resolver := newResolver(web, network)
	// Encoded, so that it can only be a DID or DID URL as a whole. The second answer comes from the cache.
	d := did.Dereferencer{Resolver: resolver}
	out := resolution{result: d.Get(ctx, url.PathEscape(name), "", did.MediaTypeResolution).Body}
	r, err := resolver.Resolve(ctx, name)
	if err != nil {
		out.err = err
		return out, nil
	}
	out.document = r.Document.Bytes()
	return out, nil
}

// dids resolves for the node's own people, and lets them empty the cache.
type dids struct {
	did.Dereferencer
	cache *did.CachingResolver
}

func (d dids) Get(ctx context.Context, identifier, query, accept string) did.Response {
	return d.Dereferencer.Get(ctx, identifier, query, accept)
}

func (d dids) Flush(name string) {
	if name == "" {
		d.cache.FlushAll()
		return
	}
	d.cache.Flush(name)
}
