package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ihyid/api/accounts"
	"ihyid/api/client"
)

// secretInput reads a secret: the one line of a file ("-": standard input), or what the person at the terminal types.
func (a *app) secretInput(prompt, file string) (string, error) {
	if file != "" {
		text, err := a.readInput(file, maxSecret)
		if err != nil {
			return "", err
		}
		secret := strings.TrimRight(string(text), "\r\n")
		if secret == "" || strings.ContainsAny(secret, "\r\n") {
			return "", fmt.Errorf("%s must hold one line that is not empty", file)
		}
		return secret, nil
	}
	in, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", usagef("%s is asked for at a terminal; elsewhere give a file that holds it", prompt)
	}
	fmt.Fprintf(a.err, "%s: ", prompt)
	secret, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(a.err)
	if errors.Is(err, io.EOF) || err == nil && len(secret) == 0 {
		return "", errors.New("nothing was typed")
	}
	return string(secret), err
}

// newPassword reads a password that is to be set, at a terminal twice.
func (a *app) newPassword(file string) (string, error) {
	p, err := a.secretInput("New password", file)
	if err != nil || file != "" {
		return p, err
	}
	again, err := a.secretInput("The same again", "")
	if err == nil && p != again {
		err = errors.New("the two were not the same")
	}
	return p, err
}

// anonymous gives a client of the server that the flags name, without a token.
func (a *app) anonymous() (*client.Client, error) {
	if a.cfg.Server == "" {
		return nil, usagef("say at which node: --server URL; the one on this machine is reached through its socket without signing in")
	}
	tls, err := trust(a.cfg.ServerCA)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{Server: a.cfg.Server, TLS: tls, Anonymous: true})
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func (a *app) loginCommand() *cobra.Command {
	var passwordFile, codeFile string
	var byOIDC, paste bool
	cmd := &cobra.Command{
		Use:   "login [NAME]",
		Short: "Sign in at a node from afar",
		Long: `Sign in at the node that --server names. The sign-in is kept in a file that only you
may read, in ~/.config/ihyid (env IHYID_SESSION_DIR), and renewed by the commands that use it; logout
ends it. The password is asked for, or read from a file; it is never given on the
command line, where others could see it.

With --oidc you sign in at your organisation's own sign-in provider, in a browser.`,
		Example: "  ihyid login fatima --server https://relief.example.org\n  ihyid login --oidc --server https://relief.example.org",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.anonymous()
			if err != nil {
				return err
			}
			defer c.Close()
			file, err := a.sessionAt(a.cfg.Server)
			if err != nil {
				return err
			}
			var t accounts.Tokens
			switch {
			case byOIDC && (len(args) > 0 || passwordFile != "" || codeFile != ""):
				return usagef("with --oidc the provider asks who you are: leave out the name, --password-file and --code-file")
			case byOIDC:
				t, err = a.loginOIDC(cmd.Context(), c, paste)
			case len(args) != 1:
				return usagef("say who signs in: ihyid login NAME, or --oidc")
			default:
				t, err = a.loginPassword(cmd.Context(), c, args[0], passwordFile, codeFile)
			}
			if err != nil {
				return fmt.Errorf("you are not signed in: %w", err)
			}
			if err := file.write(t); err != nil {
				return fmt.Errorf("the sign-in could not be kept in %s: %w", file.path, err)
			}
			if a.json {
				return a.printJSON(map[string]string{"server": file.server, "name": t.Name, "role": string(t.Role), "account": t.Account})
			}
			return a.facts("signed in", t.Name, "role", t.Role, "at", file.server)
		},
	}
	f := cmd.Flags()
	f.StringVar(&passwordFile, "password-file", "", "`file` with the password, - for standard input; else it is asked for")
	f.StringVar(&codeFile, "code-file", "", "`file` with the code of the second factor; else it is asked for where it is needed")
	f.BoolVar(&byOIDC, "oidc", false, "sign in at the organisation's own provider (OpenID Connect)")
	f.BoolVar(&paste, "paste", false, "with --oidc: the browser is on another machine; type in the code that it shows")
	return cmd
}

func (a *app) loginPassword(ctx context.Context, c *client.Client, name, passwordFile, codeFile string) (accounts.Tokens, error) {
	password, err := a.secretInput("Password", passwordFile)
	if err != nil {
		return accounts.Tokens{}, err
	}
	code := ""
	if codeFile != "" {
		if code, err = a.secretInput("Code", codeFile); err != nil {
			return accounts.Tokens{}, err
		}
	}
	t, err := c.SignIn(ctx, name, password, code)
	var p *client.Problem
	if code != "" || !errors.As(err, &p) || p.Code() != "second-factor" {
		return t, err
	}
	if code, err = a.secretInput("Code of the second factor", ""); err != nil {
		return t, err
	}
	return c.SignIn(ctx, name, password, code)
}

// loginOIDC has the person sign in at the provider in a browser, which comes back to this program or shows a code to type in.
func (a *app) loginOIDC(ctx context.Context, c *client.Client, paste bool) (accounts.Tokens, error) {
	var b [32]byte
	rand.Read(b[:])
	verifier := base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if paste {
		to, err := c.StartOIDC(ctx, challenge, "")
		if err != nil {
			return accounts.Tokens{}, err
		}
		fmt.Fprintf(a.err, "Open this in a browser, and sign in:\n\n  %s\n\n", clean(to))
		code, err := a.secretInput("The code that it shows in the end", "")
		if err != nil {
			return accounts.Tokens{}, err
		}
		return c.RedeemOIDC(ctx, strings.TrimSpace(code), verifier)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return accounts.Tokens{}, err
	}
	codes := make(chan string, 1)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		code := r.URL.Query().Get("code")
		if r.URL.Path != "/" || code == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		select {
		case codes <- code:
		default:
		}
		fmt.Fprintln(w, "You are signed in, and may close this page.")
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(ln)
	}()
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(stop) != nil {
			_ = server.Close()
		}
		<-ended
	}()
	to, err := c.StartOIDC(ctx, challenge, "http://"+ln.Addr().String()+"/")
	if err != nil {
		return accounts.Tokens{}, err
	}
	fmt.Fprintf(a.err, "Open this in a browser on this machine, and sign in:\n\n  %s\n\n", clean(to))
	select {
	case code := <-codes:
		return c.RedeemOIDC(ctx, code, verifier)
	case <-time.After(10 * time.Minute):
		return accounts.Tokens{}, errors.New("nobody signed in within ten minutes")
	case <-ctx.Done():
		return accounts.Tokens{}, context.Cause(ctx)
	}
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Short:   "Sign out at a node: all sign-ins of the account end at once",
		Example: "  ihyid logout --server https://relief.example.org",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.cfg.Server == "" {
				return usagef("say at which node: --server URL")
			}
			file, err := a.sessionAt(a.cfg.Server)
			if err != nil {
				return err
			}
			if _, err := file.read(); errors.Is(err, fs.ErrNotExist) && a.cfg.Token == "" {
				if a.json {
					return a.printJSON(map[string]string{"signed_out": file.server})
				}
				a.say("Nobody is signed in at %s here.", file.server)
				return nil
			}
			err = a.with(func(c *client.Client) error { return c.SignOut(cmd.Context()) })
			if err != nil {
				return fmt.Errorf("you may still be signed in elsewhere: %w", err)
			}
			if err := file.remove(); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{"signed_out": file.server})
			}
			return a.facts("signed out", file.server)
		},
	}
}

func (a *app) setupCommand() *cobra.Command {
	var codeFile, passwordFile string
	cmd := &cobra.Command{
		Use:   "setup NAME",
		Short: "Make the first admin of a node from afar, with the code that it printed at its first start",
		Long: `Make the first admin of the node that --server names, with the code that the node printed
when it started without any account. The code is good once, for an hour; the next start prints another.
On the node's own machine, ihyid users add NAME --role admin needs no code.`,
		Example: "  ihyid setup fatima --server https://relief.example.org --code-file code",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.anonymous()
			if err != nil {
				return err
			}
			defer c.Close()
			code, err := a.secretInput("Code that the node printed", codeFile)
			if err != nil {
				return err
			}
			password, err := a.newPassword(passwordFile)
			if err != nil {
				return err
			}
			u, err := c.Setup(cmd.Context(), code, args[0], password)
			if err != nil {
				return fmt.Errorf("no admin was made: %w", err)
			}
			return a.showUser(u)
		},
	}
	cmd.Flags().StringVar(&codeFile, "code-file", "", "`file` with the code, - for standard input; else it is asked for")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "`file` with the password; else it is asked for")
	return cmd
}
