package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/sync/errgroup"

	"ihyid/api/accounts"
	"ihyid/api/audit"
	"ihyid/api/policy"
	"ihyid/api/replay"
	"ihyid/api/tracing"
	"ihyid/contacts"
)

// Options is what a Server is made of. Node, Register and Jobs are needed.
type Options struct {
	Node     Node
	Register Register
	Jobs     Jobs
	Search   Search                       // nil: contacts are not searched
	Profiles map[string]*contacts.Profile // by name
	DIDs     DIDs                         // nil: identifiers are not resolved
	// Credentials signs and verifies beside exchanges, and publishes the status of receipts; nil: no VC API, no status lists.
	Credentials Credentials
	OpenVerify  bool // anybody may have credentials verified on the public side

	Version string // of the program, for /status and /openapi.json
	// Accounts tells who the node's own people are; nil: there is the owner of the socket only.
	Accounts *accounts.Accounts
	// Audit records who did what; nil: nobody does.
	Audit *audit.Log
	// SocketOnly keeps the local API off the public side.
	SocketOnly bool
	// TrustForwarded takes the caller's address from the last X-Forwarded-For, which a proxy on this machine sets.
	TrustForwarded bool
	// Replay remembers answers for Idempotency-Keys; nil: the header is not looked at.
	Replay *replay.Memory
	// Ready are the checks of /readyz.
	Ready []ReadyCheck
	// Metrics counts requests, and is served on Listeners.Metrics; nil: nothing is counted.
	Metrics *Metrics
	// Tracing makes spans of requests; nil: none are made.
	Tracing *tracing.Tracing
	Limits  Limits
	Logger  *slog.Logger     // nil: silent
	Clock   func() time.Time // nil: time.Now
}

// Server answers HTTP for one node. Make it with New.
type Server struct {
	node     Node
	register Register
	jobs     Jobs
	search   Search
	profiles map[string]*contacts.Profile
	dids     DIDs

	credentials Credentials
	openVerify  bool

	policy       *policy.Table
	authenticate func(*http.Request) (policy.Caller, error) // nil: nobody is served on the public side but other nodes

	accounts  *accounts.Accounts
	audit     *audit.Log
	forwarded bool

	version string
	limits  Limits
	logger  *slog.Logger
	now     func() time.Time
	started time.Time

	chunks    places
	chunkers  *callers // of them, those of one peer
	imports   places
	verifying places // verifications asked for by anybody
	watchers  places

	replay      *replay.Memory
	metrics     *Metrics
	tracing     *tracing.Tracing
	readyChecks []ReadyCheck
	ready       ready

	stop     chan struct{} // closed when the node begins to stop
	stopOnce sync.Once

	routes struct{ public, local *mux.Router }
	public http.Handler
	local  http.Handler
}

// New makes a server of o. It starts nothing.
func New(o Options) (*Server, error) {
	if o.Node == nil || o.Register == nil || o.Jobs == nil {
		return nil, errors.New("api: Node, Register and Jobs are all needed")
	}
	s := &Server{
		node: o.Node, dids: o.DIDs, register: o.Register, jobs: o.Jobs, search: o.Search, profiles: o.Profiles,
		credentials: o.Credentials, openVerify: o.OpenVerify,
		accounts: o.Accounts, audit: o.Audit, forwarded: o.TrustForwarded,
		version: o.Version, limits: o.Limits.withDefaults(), logger: o.Logger, now: o.Clock,
		stop: make(chan struct{}), policy: policy.Default(),
	}
	s.replay, s.metrics, s.tracing, s.readyChecks = o.Replay, o.Metrics, o.Tracing, o.Ready
	if s.version == "" {
		s.version = "unknown"
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.started = s.now()
	s.verifying = newPlaces(s.limits.Verifications)
	s.chunks, s.imports, s.watchers = newPlaces(s.limits.Chunks), newPlaces(s.limits.Imports), newPlaces(s.limits.Watchers)

	s.chunkers = newCallers(max(s.limits.Chunks/4, 1), s.limits.CallerRate, s.now)

	public, local := newRouter(), newRouter()
	s.guard(public)
	s.guard(local)
	s.routePublic(public)
	if err := s.routeLocal(local); err != nil {
		return nil, err
	}
	if err := errors.Join(s.checkRoutes(public, true), s.checkRoutes(local, false)); err != nil {
		return nil, err
	}
	if s.accounts != nil && !o.SocketOnly {
		s.authenticate = s.byBearer
	}
	s.routes.public, s.routes.local = public, local
	s.local, s.public = s.atSocket(local), s.outside(public, local)
	return s, nil
}

// Public is the handler for other nodes (the DID document, /healthz, /node), and for the node's own
// people who show who they are.
func (s *Server) Public() http.Handler { return s.public }

// Local is the handler for the socket. It asks nobody who they are: whoever can reach it is the
// node's own user.
func (s *Server) Local() http.Handler { return s.local }

func (s *Server) isStopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// metricsConnections is how many connections may be open to the listener of the metrics.
const metricsConnections = 16

// Listeners is what a Server serves on; either may be nil.
type Listeners struct {
	Public *PublicListener
	Local  net.Listener
	// Metrics serves /metrics, /healthz and /readyz to whoever reaches it, without TLS; Options.Metrics must be there.
	Metrics net.Listener
}

// Serve answers requests until ctx ends, then lets those under way finish, for at most Limits.Drain,
// and closes the listeners. A Server serves once. It returns nil after a stop that ctx asked for.
func (s *Server) Serve(ctx context.Context, l Listeners) error {
	// Requests outlive ctx by the drain; base ends what is still there after it.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var servers []*http.Server
	group, stopped := errgroup.WithContext(ctx)
	start := func(h http.Handler, ln net.Listener, p *PublicListener) {
		srv := s.httpServer(base, h)
		if p != nil {
			srv.TLSConfig = p.tls
		}
		servers = append(servers, srv)
		group.Go(func() error {
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving on %v: %w", ln.Addr(), err)
			}
			return nil
		})
	}
	if l.Public != nil {
		start(s.public, l.Public.listener(s.limits.Connections), l.Public)
	}
	if l.Local != nil {
		start(s.local, limit(l.Local, max(s.limits.Connections/4, 16)), nil)
	}
	if l.Metrics != nil {
		start(s.monitoring(), limit(l.Metrics, metricsConnections), nil)
	}
	group.Go(func() error {
		<-stopped.Done()
		s.stopOnce.Do(func() { close(s.stop) })
		drain, done := context.WithTimeout(base, s.limits.Drain)
		defer done()
		var closing errgroup.Group
		for _, srv := range servers {
			closing.Go(func() error {
				if err := srv.Shutdown(drain); err != nil {
					cancel()
					_ = srv.Close()
				}
				return nil
			})
		}
		return closing.Wait()
	})
	return group.Wait()
}

// httpServer has no read and write time-outs of its own: frame gives every body its deadlines, which
// a fixed one would cut short.
func (s *Server) httpServer(base context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.limits.Header,
		IdleTimeout:       s.limits.Idle,
		ConnState:         follow,
		MaxHeaderBytes:    16 << 10,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          64,
			MaxReceiveBufferPerConnection: 4 << 20,
			MaxReceiveBufferPerStream:     1 << 20,
			SendPingTimeout:               s.limits.Idle,
		},
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(quietHandler{s.logger.Handler()}, slog.LevelDebug),
	}
}

// quietHandler keeps addresses out of the log: net/http's own lines (failed handshakes, mostly) name
// the caller's.
type quietHandler struct{ slog.Handler }

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	quiet := slog.NewRecord(r.Time, r.Level, "a connection ended before a request of it was understood", r.PC)
	return h.Handler.Handle(ctx, quiet)
}
