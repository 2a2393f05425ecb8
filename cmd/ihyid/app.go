package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ihyid/api/client"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1 // the answer is no, or it failed
	exitUsage  = 2
)

// app is one run of the command line.
type app struct {
	in       io.Reader
	out, err io.Writer
	environ  []string

	json bool
	as   string // account to act as at the socket

	ifVersion *uint64 // that what is changed must still have; nil: any

	quiet bool
	cfg   config
}

// errNo ends a command with status 1 and no message: its answer, already given, is no.
var errNo = errors.New("no")

// ranError marks what happened within a command. Every other error is one of usage.
type ranError struct{ error }

func (e ranError) Unwrap() error { return e.error }

// usageError is a wrong usage that only the command itself could see.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	var ran ranError
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errNo):
		return exitFailed
	case errors.As(err, &ran) && !errors.As(err, &usage):
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintf(a.err, "ihyid: %s\n", clean(err.Error()))
		return exitFailed
	}
	fmt.Fprintf(a.err, "ihyid: %s\nRun '%s --help' for what is possible.\n", clean(err.Error()), cmd.CommandPath())
	return exitUsage
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "ihyid",
		Short: "Find the people whom two organisations both serve, without showing anybody's data",
		Long: `Ihyid is a node for organisations that hand out humanitarian assistance. Each
organisation registers the people it serves; the nodes find out which of them
two organisations have in common, and leave signed receipts of it, without any
personal data crossing the wire.

A node lives in one directory (--data). Make it with init, start it with serve;
the other commands speak to the running node.`,
		Example: `  ihyid init --data node --did web --host relief.example.org --org-name "Relief" --org-number 4711 --org-country JO
  ihyid serve --data node --listen :443 --tls-cert cert.pem --tls-key key.pem
  ihyid contacts import people.csv --data node
  ihyid peers add did:web:shelter.example.net --expect-name "Shelter" --expect-number 0815 --expect-country LB --data node
  ihyid exchange run --peer did:web:shelter.example.net --purpose "winter kits 2026" --data node`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.String("data", "", "the node's data `directory` (env IHYID_DATA; default "+defaultData("~")+")")
	flags.String("server", "", "`URL` of a node to speak to instead of the one in --data (env IHYID_SERVER)")
	flags.String("token-file", "", "`file` with the API token for --server (env IHYID_TOKEN_FILE, or the token itself in IHYID_TOKEN)")
	flags.String("server-ca", "", "`file` with the certificates (PEM) to trust for --server (env IHYID_SERVER_CA)")
	flags.StringVar(&a.as, "as", "", "at the node's own socket: the `account` to act as, by name or id")
	flags.BoolVar(&a.json, "json", false, "answer with one JSON document")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "show no progress")
	root.AddCommand(
		a.initCommand(),
		a.serveCommand(),
		a.statusCommand(),
		a.contactsCommand(),
		a.matchCommand(),
		a.peersCommand(),
		a.keysCommand(),
		a.agreementsCommand(),
		a.exchangeCommand(),
		a.receiptsCommand(),
		a.verifyCommand(),
		a.jobsCommand(),
		a.profilesCommand(),
		a.checkAnonymousCommand(),
		a.usersCommand(),
		a.auditCommand(),
		a.loginCommand(),
		a.logoutCommand(),
		a.setupCommand(),
		a.didCommand(),
		a.demoCommand(),
		a.benchCommand(),
		a.versionCommand(),
	)
	a.addVersions(root)
	a.prepare(root)
	return root
}

// prepare makes every command mark what happens within it, load the configuration first, and say what
// its sub-commands are when it was given none.
func (a *app) prepare(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		a.prepare(sub)
	}
	if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	if cmd.RunE == nil {
		if !cmd.HasParent() {
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			return
		}
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			var names []string
			for _, sub := range cmd.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name())
				}
			}
			return usagef("%s needs one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
		}
		return
	}
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := loadConfig(cmd.Flags(), a.environ)
		if err == nil {
			a.cfg = cfg
			err = run(cmd, args)
		}
		if err != nil {
			return ranError{err}
		}
		return nil
	}
}

// client connects to the node that the flags name.
func (a *app) client() (*client.Client, error) {
	o := client.Options{DataDir: a.cfg.Data, As: a.as}
	if a.cfg.Server != "" {
		o = client.Options{Server: a.cfg.Server, Token: a.cfg.Token, As: a.as}
		var err error
		if o.TLS, err = trust(a.cfg.ServerCA); err != nil {
			return nil, err
		}
		if o.Token == "" {
			if o.TokenSource, err = a.signedIn(); err != nil {
				return nil, err
			}
		}
	}
	c, err := client.New(o)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// signedIn gives the tokens of the sign-in that is kept for the server; nil if there is none.
func (a *app) signedIn() (func(context.Context) (string, error), error) {
	file, err := a.sessionAt(a.cfg.Server)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(file.path); err != nil {
		return nil, nil
	}
	return func(ctx context.Context) (string, error) {
		c, err := a.anonymous()
		if err != nil {
			return "", err
		}
		defer c.Close()
		return file.token(ctx, c)
	}, nil
}

// with runs f with a client of the node.
func (a *app) with(f func(*client.Client) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if a.ifVersion != nil {
		c = c.IfVersion(*a.ifVersion)
	}
	return f(c)
}

// terminal reports whether progress may be drawn on standard error.
func (a *app) terminal() bool {
	f, ok := a.err.(*os.File)
	return ok && !a.quiet && term.IsTerminal(int(f.Fd()))
}
