package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"ihyid/api"
	"ihyid/api/tracing"
	"ihyid/exchange"
)

func (a *app) initCommand() *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new node: its keys, its DID, its organisation credential, its store",
		Long: `Make a new node in the data directory: its keys, its DID, its organisation credential
and its encrypted store. A node that is there already is never touched.

--did web names the node after a host under which other nodes reach it by HTTPS;
--did key needs no host, and suits tests and nodes without a network.

Without --passphrase-file or --key-file, the key that protects the others is made and
put beside them: whoever has the directory has the keys. With --kms pkcs11 the keys
are made in a token (an HSM) and never leave it; which one is kept in config.json,
its PIN is not.`,
		Example: `  ihyid init --data node --did web --host relief.example.org --org-name "Relief" --org-number 4711 --org-country JO
  ihyid init --data test --did key --org-name "Test" --org-number 1 --org-country LB
  ihyid init --data node --host relief.example.org --org-name "Relief" --org-number 4711 --org-country JO \
    --kms pkcs11 --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-token relief --pin-file pin`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.cfg.Server != "" {
				return usagef("init makes a node on this machine: --server makes no sense here")
			}
			switch {
			case o.Method == "web" && o.Host == "":
				return usagef("--did web needs --host HOST[:PORT], the name under which other nodes reach this one")
			case o.Method == "key" && len(o.AlsoKnownAs) > 0:
				return usagef("--also-known-as stands in a DID document that the node publishes: a did:key has none")
			case o.Method == "key" && (o.Host != "" || o.Path != ""):
				return usagef("--did key has no host: leave out --host and --path, or give --did web")
			case o.Method != "web" && o.Method != "key":
				return usagef("--did must be web or key")
			}
			if err := required("curve", o.Curve, curveNames); err != nil {
				return err
			}
			o.Data, o.Secret, o.Proof = a.cfg.Data, a.secret(), a.cfg.k.String("proof")
			if err := oneOf("proof", o.Proof, proofNames); err != nil {
				return err
			}
			made, err := createNode(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("no node was made in %s: %w", o.Data, err)
			}
			if a.json {
				return a.printJSON(made)
			}
			if err := a.facts("made", made.Data, "did", made.DID, "organisation", o.Organisation.Name, "document", made.DocumentURL, "note", made.Note); err != nil {
				return err
			}
			if o.Method == "web" {
				a.say("Start it: ihyid serve --data %s --listen :PORT --tls-cert FILE --tls-key FILE", made.Data)
			} else {
				a.say("Start it: ihyid serve --data %s --local-only", made.Data)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Method, "did", "web", "what names the node: `web|key`")
	f.StringVar(&o.Host, "host", "", "for --did web: `HOST[:PORT]` under which other nodes reach this one")
	f.StringVar(&o.Path, "path", "", "for --did web: a `path` below the host, such as aid/north")
	f.StringArrayVar(&o.AlsoKnownAs, "also-known-as", nil, "for --did web: another `URI` of the organisation, to be shown in the DID document; may be given several times")
	f.StringVar(&o.Organisation.Name, "org-name", "", "the organisation's `name`")
	f.StringVar(&o.Organisation.RegistrationNumber, "org-number", "", "its registration `number`")
	f.StringVar(&o.Organisation.Country, "org-country", "", "its `country`, two capital letters (ISO 3166-1)")
	f.String("proof", settings["proof"].(string), "how the organisation credential is signed: `rdfc|jcs|jose` (env IHYID_PROOF)")
	f.StringVar(&o.Curve, "curve", "P-256", "curve of the signing keys: `P-256|P-384`")
	secretFlags(f)
	for _, name := range []string{"org-name", "org-number", "org-country"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func secretFlags(f *pflag.FlagSet) {
	f.String("kms", "file", "where the keys are: `file|pkcs11` (env IHYID_KMS)")
	f.String("pkcs11-module", "", "for pkcs11: `path` of the PKCS #11 library (env IHYID_PKCS11_MODULE)")
	f.String("pkcs11-token", "", "for pkcs11: `label` of the token (env IHYID_PKCS11_TOKEN)")
	f.String("pkcs11-serial", "", "for pkcs11: `serial` number of the token, instead of its label (env IHYID_PKCS11_SERIAL)")
	f.String("pkcs11-slot", "", "for pkcs11: `number` of the slot, instead of the token's label (env IHYID_PKCS11_SLOT)")
	f.String("pin-file", "", "for pkcs11: `file` with the token's PIN (env IHYID_PIN_FILE, or the PIN itself in IHYID_PIN); else it is asked for")
	f.String("passphrase-file", "", "`file` with the passphrase that protects the keys (env IHYID_PASSPHRASE_FILE)")
	f.String("key-file", "", "`file` with the key that protects the keys (env IHYID_KEY_FILE; init makes it if it is not there)")
}

// secret is what protects the key store, as the settings say.
func (a *app) secret() secretOptions {
	k := a.cfg.k
	return secretOptions{
		KMS: k.String("kms"), PassphraseFile: k.String("passphrase_file"), KeyFile: k.String("key_file"),
		Module: k.String("pkcs11_module"), Token: k.String("pkcs11_token"), Serial: k.String("pkcs11_serial"), Slot: k.String("pkcs11_slot"),
		PINFile: k.String("pin_file"), PINVariable: "IHYID_PIN", Ask: a.askPIN,
	}
}

// networkFlags are of commands that ask other hosts.
func networkFlags(f *pflag.FlagSet) {
	f.StringSlice("allow-private", nil, "private `networks` that may be reached, such as 10.0.0.0/8 (env IHYID_ALLOW_PRIVATE)")
	f.String("ca-file", "", "`file` with certificates (PEM) to trust beside the system's (env IHYID_CA_FILE)")
}

// networkOptions say what may be reached, and who is trusted.
type networkOptions struct {
	Private []netip.Prefix
	Roots   []*x509.Certificate
}

func (a *app) network() (networkOptions, error) {
	var o networkOptions
	private, ca := a.cfg.k.Strings("allow_private"), a.cfg.k.String("ca_file")
	for _, text := range private {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return o, usagef("%q is no network such as 10.0.0.0/8 (--allow-private)", text)
		}
		if p != p.Masked() {
			return o, usagef("%s is no network: did you mean %s? (--allow-private)", p, p.Masked())
		}
		o.Private = append(o.Private, p)
	}
	if ca == "" {
		return o, nil
	}
	text, err := readFile(ca, 1<<20)
	if err != nil {
		return o, err
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return o, fmt.Errorf("%s holds a certificate that cannot be read: %w", ca, err)
		}
		o.Roots = append(o.Roots, cert)
	}
	if len(o.Roots) == 0 {
		return o, fmt.Errorf("%s holds no certificate in PEM form", ca)
	}
	return o, nil
}

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the node",
		Long: `Run the node until it is told to stop (SIGINT, SIGTERM); it then finishes what is under
way. Other nodes reach it over HTTPS at --listen: TLS 1.3, with the certificate and key
given, which are read again when they change. Its own people reach it through a socket
in the data directory, which the user that runs the node alone may use.

All settings may stand in the file config.json of the data directory, under the flags'
names with '_' for '-', or in the environment as IHYID_NAME.`,
		Example: `  ihyid serve --data node --listen :443 --tls-cert cert.pem --tls-key key.pem
  ihyid serve --data node --listen 127.0.0.1:8080 --insecure-http-on-loopback   # behind a proxy that ends TLS
  ihyid serve --data node --local-only                                          # without a network`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.cfg.Server != "" {
				return usagef("serve runs a node on this machine: --server makes no sense here")
			}
			return a.serve(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.String("listen", "", "`address` for other nodes, such as :443 (env IHYID_LISTEN)")
	f.String("tls-cert", "", "`file` with the TLS certificate chain, PEM (env IHYID_TLS_CERT)")
	f.String("tls-key", "", "`file` with its key, PEM (env IHYID_TLS_KEY)")
	f.Bool("insecure-http-on-loopback", false, "speak plain HTTP at --listen, which must be a loopback address")
	f.String("metrics-listen", "", "`address` for /metrics, /healthz and /readyz, plain HTTP, such as 127.0.0.1:9464 (env IHYID_METRICS_LISTEN)")
	f.String("otlp-endpoint", "", "`URL` of an OpenTelemetry collector that takes traces by OTLP over HTTP, such as http://127.0.0.1:4318 (env IHYID_OTLP_ENDPOINT)")
	f.Bool("local-only", false, "listen for no other node, only on the socket")
	f.Bool("socket-only", false, "serve the node's own people at the socket only, not at --listen (env IHYID_SOCKET_ONLY)")
	f.String("api-token-file", "", "")
	_ = f.MarkHidden("api-token-file") // it is gone, and serve says so
	f.String("oidc-issuer", "", "https `URL` of the organisation's own sign-in provider (OpenID Connect; env IHYID_OIDC_ISSUER)")
	f.String("oidc-client-id", "", "`id` of this node at the provider (env IHYID_OIDC_CLIENT_ID)")
	f.String("oidc-client-secret-file", "", "`file` with the node's secret at the provider; none for a public client (env IHYID_OIDC_CLIENT_SECRET_FILE)")
	f.String("oidc-redirect-url", "", "https `URL` of this node's /auth/oidc/callback, as the provider knows it (env IHYID_OIDC_REDIRECT_URL)")
	f.String("oidc-role-claim", "", "`name` of the claim of the ID token that states roles (env IHYID_OIDC_ROLE_CLAIM)")
	f.StringSlice("oidc-role", nil, "`VALUE=ROLE`: which value of the claim is which role; several (env IHYID_OIDC_ROLE)")
	f.String("proof", settings["proof"].(string), "how receipts and status lists are signed: `rdfc|jcs|jose` (env IHYID_PROOF)")
	f.Bool("open-verify", false, "let anybody have credentials verified at --listen, under /vc (env IHYID_OPEN_VERIFY)")
	f.StringArray("context", nil, "a JSON-LD context for credentials: `URL=FILE@sha256:HEX`; repeatable (env IHYID_CONTEXT)")
	f.StringArray("schema", nil, "a JSON Schema, or a JsonSchemaCredential: `URL=FILE@sha256:HEX`; repeatable (env IHYID_SCHEMA)")
	networkFlags(f)
	f.Bool("require-confirmed", false, "exchange only with peers whose fingerprint was compared (peers confirm)")
	f.Bool("ask-always", false, "have every exchange outside an agreement wait for ihyid exchange approve, also of approved peers (env IHYID_ASK_ALWAYS)")
	f.String("profiles", "", "`directory` of own matching profiles (default: profiles in the data directory; env IHYID_PROFILES)")
	f.String("log-level", settings["log_level"].(string), "`debug|info|warn|error` (env IHYID_LOG_LEVEL)")
	f.String("log-format", settings["log_format"].(string), "`text|json` (env IHYID_LOG_FORMAT)")
	secretFlags(f)
	return cmd
}

func (a *app) serve(ctx context.Context) error {
	k := a.cfg.k
	logger, err := a.logger(k.String("log_level"), k.String("log_format"))
	if err != nil {
		return err
	}
	network, err := a.network()
	if err != nil {
		return err
	}
	if k.String("api_token_file") != "" {
		return usagef("--api-token-file is gone: accounts and API tokens have its place. Make an account (ihyid users add), and for programs a token (ihyid users tokens create --user NAME --scope ...)")
	}
	if err := errors.Join(a.checkListen(), oneOf("proof", k.String("proof"), proofNames)); err != nil {
		return err
	}
	suites, err := readSuitesIn(a.cfg.Data, k.Strings("context"), k.Strings("schema"), true, nil)
	if err != nil {
		return err
	}
	oidc, err := a.oidcOptions()
	if err != nil {
		return err
	}
	if err := checkCommands(a.root()); err != nil {
		return err
	}
	traces, err := a.tracing(ctx, network, logger)
	if err != nil {
		return err
	}
	defer traces.Close()
	if traces != nil {
		logger = slog.New(tracing.Logs(logger.Handler()))
	}
	node, err := openNode(ctx, serveOptions{OIDC: oidc, Traces: traces, Data: a.cfg.Data, Suites: suites, Profiles: a.profilesDir(), Secret: a.secret(), Network: network, Logger: logger, RequireConfirmed: k.Bool("require_confirmed"), AskAlways: k.Bool("ask_always"), Proof: k.String("proof")})
	if err != nil {
		return fmt.Errorf("the node in %s cannot be started: %w", a.cfg.Data, err)
	}
	defer func() {
		if err := node.Close(); err != nil {
			logger.Error("closing the node failed", "error", err)
		}
	}()
	metrics := api.NewMetrics()
	server, err := api.New(api.Options{
		Metrics: metrics, Tracing: traces, Ready: node.Ready, Replay: node.Replay,
		Node: node.Node, Register: node.Register, Search: node.Search, Jobs: node.Jobs, Profiles: node.Profiles, DIDs: node.DIDs,
		Credentials: node.Credentials, OpenVerify: k.Bool("open_verify"),
		Version: version(), Logger: logger,
		Accounts: node.Accounts, Audit: node.Audit, SocketOnly: k.Bool("socket_only"), TrustForwarded: k.Bool("insecure_http_on_loopback"),
	})
	if err != nil {
		return err
	}
	listeners, err := a.listen(ctx)
	if err != nil {
		return err
	}
	if address := k.String("metrics_listen"); address != "" {
		if listeners.Metrics, err = new(net.ListenConfig).Listen(ctx, "tcp", address); err != nil {
			for _, l := range []io.Closer{listeners.Local, listeners.Public} {
				if l != (*api.PublicListener)(nil) {
					_ = l.Close()
				}
			}
			return fmt.Errorf("cannot listen for metrics: %w", err)
		}
		logger.Info("metrics are served", "address", listeners.Metrics.Addr().String())
	}
	attrs := []any{"did", node.Node.DID(), "data", a.cfg.Data}
	if listeners.Public != nil {
		attrs = append(attrs, "address", listeners.Public.Addr().String(), "tls", listeners.Public.Secure())
	}
	logger.Info("the node is up", attrs...)
	if code := node.Accounts.FirstCode(); code != "" && listeners.Public != nil && !k.Bool("socket_only") {
		// On the console only: a log may be kept, and read by others.
		fmt.Fprintf(a.err, "This node has no account yet. Make the first admin here with\n  ihyid users add NAME --role admin --data %s\nor from afar, within an hour, with ihyid setup NAME --server URL and this code, which is good once:\n  %s\n", a.cfg.Data, code)
	}
	// The jobs end after the requests that begin them, so that none is begun in vain.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	group, serving := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stopWork()
		return server.Serve(serving, listeners)
	})
	group.Go(func() error {
		if err := node.Run(work); err != nil {
			return fmt.Errorf("the node's background work ended: %w", err)
		}
		return nil
	})
	err = group.Wait()
	if err == nil {
		logger.Info("the node has stopped")
	}
	return err
}

// tracing is what makes traces, if the settings say where they go; else nil.
func (a *app) tracing(ctx context.Context, network networkOptions, logger *slog.Logger) (*tracing.Tracing, error) {
	to := a.cfg.k.String("otlp_endpoint")
	if to == "" {
		return nil, nil
	}
	t, err := tracing.New(ctx, tracing.Options{Endpoint: to, Roots: network.Roots, Version: version(), Logger: logger})
	if err != nil {
		return nil, usagef("--otlp-endpoint: %v", err)
	}
	return t, nil
}

// checkListen refuses settings that leave open how the node is to listen, before anything is opened.
func (a *app) checkListen() error {
	k := a.cfg.k
	listen, plain, local := k.String("listen"), k.Bool("insecure_http_on_loopback"), k.Bool("local_only")
	certs := k.String("tls_cert") != "" || k.String("tls_key") != ""
	switch {
	case local && listen != "":
		return usagef("--local-only listens for no other node: leave out --listen")
	case local:
		return nil
	case listen == "":
		return usagef("say where to listen for other nodes: --listen ADDRESS with --tls-cert and --tls-key, or --local-only")
	case plain && certs:
		return usagef("--insecure-http-on-loopback speaks no TLS: leave out --tls-cert and --tls-key, or the flag")
	case !plain && (k.String("tls_cert") == "" || k.String("tls_key") == ""):
		return usagef("other nodes are served over TLS: give --tls-cert and --tls-key (or --insecure-http-on-loopback behind a proxy on this machine)")
	}
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return usagef("--listen must be an address such as :443 or 192.0.2.7:8443")
	}
	return nil
}

func (a *app) listen(ctx context.Context) (l api.Listeners, err error) {
	k := a.cfg.k
	switch listen := k.String("listen"); {
	case k.Bool("local_only"):
	case k.Bool("insecure_http_on_loopback"):
		l.Public, err = api.ListenPlain(ctx, listen)
	default:
		l.Public, err = api.ListenTLS(ctx, listen, k.String("tls_cert"), k.String("tls_key"))
	}
	if err != nil {
		return l, fmt.Errorf("cannot listen for other nodes: %w", err)
	}
	if l.Local, err = api.ListenSocket(ctx, a.cfg.Data); err != nil {
		if l.Public != nil {
			_ = l.Public.Close()
		}
		return l, fmt.Errorf("cannot listen on the node's socket: %w", err)
	}
	return l, nil
}

func (a *app) logger(level, format string) (*slog.Logger, error) {
	var at slog.Level
	if err := at.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("--log-level must be debug, info, warn or error")
	}
	o := &slog.HandlerOptions{Level: at}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(a.err, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.err, o)), nil
	}
	return nil, usagef("--log-format must be text or json")
}

// initOptions say what node to make.
type initOptions struct {
	AlsoKnownAs                            []string
	Data, Method, Host, Path, Curve, Proof string
	Organisation                           exchange.Organisation
	Secret                                 secretOptions
}

// madeNode is what init answers.
type madeNode struct {
	Data         string                `json:"data"`
	DID          string                `json:"did"`
	DocumentURL  string                `json:"document_url,omitempty"`
	Organisation exchange.Organisation `json:"organisation"`
	Note         string                `json:"note,omitempty"`
}

var errNodeExists = errors.New("there is something in it already; a node is never made over another one")

// emptyDir makes dir, for its owner alone, or refuses one that holds anything but a configuration.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != ConfigName {
			return errNodeExists
		}
	}
	return nil
}
