package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/accounts"
	"ihyid/api/client"
	"ihyid/api/policy"
)

func (a *app) usersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Accounts of the people and programs that may use the node",
		Long: `Accounts of the people and programs that may use the node from afar. Their roles:

  admin     everything
  operator  contacts, exchanges, lists
  auditor   reads receipts, exchanges and the record of who did what; never a contact
  checker   may only check anonymous lists

The user who runs the node is an admin at its socket without an account, and can act
as any account there with --as NAME.`,
	}
	cmd.AddCommand(a.usersAdd(), a.usersList(), a.usersRole(), a.usersPassword(),
		a.usersChange("disable", "Disable an account: all its tokens end at once", (*client.Client).DisableUser),
		a.usersChange("enable", "Enable an account that was disabled", (*client.Client).EnableUser),
		a.usersTokens(), a.usersTOTP())
	return cmd
}

// findUser gives the account of a name or an id.
func findUser(ctx context.Context, c *client.Client, who string) (accounts.Account, error) {
	list, err := c.Users(ctx)
	if err != nil {
		return accounts.Account{}, err
	}
	i := slices.IndexFunc(list, func(u accounts.Account) bool { return u.ID == who || strings.EqualFold(u.Name, who) })
	if i < 0 {
		return accounts.Account{}, fmt.Errorf("there is no account %q: ihyid users list shows them", who)
	}
	return list[i], nil
}

func (a *app) showUser(u accounts.Account) error {
	if a.json {
		return a.printJSON(u)
	}
	return a.facts("account", u.ID, "name", u.Name, "role", u.Role, "state", stateOf(u), "signs in by", waysOf(u), "version", u.Version, "made", when(u.Created))
}

func stateOf(u accounts.Account) string {
	if u.Disabled {
		return "disabled"
	}
	return "enabled"
}

func waysOf(u accounts.Account) string {
	var ways []string
	if u.Password {
		ways = append(ways, "password")
	}
	if u.SecondFactor {
		ways = append(ways, "second factor")
	}
	if u.OIDC {
		ways = append(ways, "OpenID Connect")
	}
	return strings.Join(ways, ", ")
}

func (a *app) usersAdd() *cobra.Command {
	var role, passwordFile string
	cmd := &cobra.Command{
		Use:     "add NAME",
		Short:   "Make an account",
		Example: "  ihyid users add fatima --role admin\n  ihyid users add office-check --role checker --password-file password",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := policy.ParseRole(role); err != nil {
				return usagef("--role: %v", err)
			}
			return a.with(func(c *client.Client) error {
				password, err := a.newPassword(passwordFile)
				if err != nil {
					return err
				}
				u, err := c.AddUser(cmd.Context(), args[0], role, password)
				if err != nil {
					return fmt.Errorf("no account was made: %w", err)
				}
				return a.showUser(u)
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "what it may: `admin|operator|auditor|checker`")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "`file` with the password, - for standard input; else it is asked for")
	_ = cmd.MarkFlagRequired("role")
	return cmd
}

func (a *app) usersList() *cobra.Command {
	var f listFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the accounts",
		Example: "  ihyid users list --role admin",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(checkFilter[string](&f, nil), oneOf("role", f.Role, policy.Roles)); err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				list, err := c.Users(cmd.Context(), f.Filter)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(itemsOf(list))
				}
				if len(list) == 0 && f.chosen() {
					a.say("No account fits.")
					return nil
				}
				if len(list) == 0 {
					a.say("No accounts yet: ihyid users add NAME --role admin makes the first.")
					return nil
				}
				t := newTable(a.out, "ACCOUNT", "NAME", "ROLE", "STATE", "SIGNS IN BY", "MADE")
				for _, u := range list {
					t.row(u.ID, u.Name, u.Role, stateOf(u), waysOf(u), when(u.Created))
				}
				return t.flush()
			})
		},
	}
	f.flags(cmd, 0, "role")
	return cmd
}

func (a *app) usersRole() *cobra.Command {
	return &cobra.Command{
		Use:     "role NAME ROLE",
		Short:   "Give an account another role: all its tokens end at once",
		Example: "  ihyid users role fatima operator",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := policy.ParseRole(args[1]); err != nil {
				return usagef("%v", err)
			}
			return a.changeUser(cmd.Context(), args[0], func(ctx context.Context, c *client.Client, id string) (accounts.Account, error) {
				return c.SetRole(ctx, id, args[1])
			})
		},
	}
}

func (a *app) changeUser(ctx context.Context, who string, change func(context.Context, *client.Client, string) (accounts.Account, error)) error {
	return a.with(func(c *client.Client) error {
		u, err := findUser(ctx, c, who)
		if err == nil {
			u, err = change(ctx, c, u.ID)
		}
		if err != nil {
			return fmt.Errorf("nothing was changed: %w", err)
		}
		return a.showUser(u)
	})
}

func (a *app) usersChange(use, short string, change func(*client.Client, context.Context, string) (accounts.Account, error)) *cobra.Command {
	return &cobra.Command{
		Use: use + " NAME", Short: short, Example: "  ihyid users " + use + " fatima", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeUser(cmd.Context(), args[0], func(ctx context.Context, c *client.Client, id string) (accounts.Account, error) {
				return change(c, ctx, id)
			})
		},
	}
}

func (a *app) usersPassword() *cobra.Command {
	var passwordFile, oldFile string
	cmd := &cobra.Command{
		Use:   "password [NAME]",
		Short: "Give an account another password: all its tokens end at once",
		Long: `Give an account another password, as an admin; or, without a name, change your own, for
which the old one is asked.`,
		Example: "  ihyid users password fatima\n  ihyid users password --server https://relief.example.org",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.changeUser(cmd.Context(), args[0], func(ctx context.Context, c *client.Client, id string) (accounts.Account, error) {
					password, err := a.newPassword(passwordFile)
					if err != nil {
						return accounts.Account{}, err
					}
					return c.SetPassword(ctx, id, password)
				})
			}
			return a.with(func(c *client.Client) error {
				old, err := a.secretInput("Password until now", oldFile)
				if err != nil {
					return err
				}
				password, err := a.newPassword(passwordFile)
				if err != nil {
					return err
				}
				u, err := c.ChangePassword(cmd.Context(), old, password)
				if err != nil {
					return fmt.Errorf("the password was not changed: %w", err)
				}
				return a.showUser(u)
			})
		},
	}
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "`file` with the new password, - for standard input; else it is asked for")
	cmd.Flags().StringVar(&oldFile, "old-password-file", "", "`file` with the old password; else it is asked for")
	return cmd
}

func (a *app) usersTokens() *cobra.Command {
	cmd := &cobra.Command{Use: "tokens", Short: "API tokens: for programs, with scopes and an end"}
	var who, label string
	var scopes []string
	var days int
	// owner gives the id of the account that is meant; "" for the caller's own.
	owner := func(ctx context.Context, c *client.Client) (string, error) {
		if who == "" {
			return "", nil
		}
		u, err := findUser(ctx, c, who)
		return u.ID, err
	}
	create := &cobra.Command{
		Use:     "create",
		Short:   "Make an API token; it is shown once",
		Long:    "Make an API token. It may what both its scopes and its account's role allow. The scopes:\n\n  " + strings.Join(scopeNames(), "\n  "),
		Example: "  ihyid users tokens create --user office-check --scope check --days 90 --label \"check at the gate\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, s := range scopes {
				if !slices.Contains(policy.Scopes, policy.Scope(s)) {
					return usagef("there is no scope %q; there are %s", s, strings.Join(scopeNames(), ", "))
				}
			}
			return a.with(func(c *client.Client) error {
				id, err := owner(cmd.Context(), c)
				if err != nil {
					return err
				}
				t, err := c.CreateAPIToken(cmd.Context(), id, label, scopes, days)
				if err != nil {
					return fmt.Errorf("no API token was made: %w", err)
				}
				if a.json {
					return a.printJSON(t)
				}
				a.say("Keep the token now: it is not shown again.")
				return a.facts("token", t.Secret, "id", t.ID, "label", t.Label, "scopes", scopesOf(t.Token), "good until", when(t.Expires))
			})
		},
	}
	create.Flags().StringSliceVar(&scopes, "scope", nil, "what it may; can be given several times")
	create.Flags().IntVar(&days, "days", 90, "for so many `days` it is good, 366 at most")
	create.Flags().StringVar(&label, "label", "", "what it is for; no names of persons")
	_ = create.MarkFlagRequired("scope")
	list := &cobra.Command{
		Use:   "list",
		Short: "List API tokens",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				id, err := owner(cmd.Context(), c)
				if err != nil {
					return err
				}
				all, err := c.APITokens(cmd.Context(), id)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(itemsOf(all))
				}
				if len(all) == 0 {
					a.say("No API tokens.")
					return nil
				}
				t := newTable(a.out, "TOKEN", "LABEL", "SCOPES", "MADE", "GOOD UNTIL")
				for _, one := range all {
					t.row(one.ID, one.Label, scopesOf(one), when(one.Created), when(one.Expires))
				}
				return t.flush()
			})
		},
	}
	revoke := &cobra.Command{
		Use:   "revoke ID",
		Short: "End an API token at once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				id, err := owner(cmd.Context(), c)
				if err == nil {
					err = c.RevokeAPIToken(cmd.Context(), id, args[0])
				}
				if err != nil {
					return fmt.Errorf("no API token was ended: %w", err)
				}
				if a.json {
					return a.printJSON(map[string]string{"revoked": args[0]})
				}
				return a.facts("revoked", args[0])
			})
		},
	}
	for _, sub := range []*cobra.Command{create, list, revoke} {
		sub.Flags().StringVar(&who, "user", "", "`name` of the account; left out: your own")
		cmd.AddCommand(sub)
	}
	return cmd
}

func scopeNames() []string {
	names := make([]string, len(policy.Scopes))
	for i, s := range policy.Scopes {
		names[i] = string(s)
	}
	return names
}

func scopesOf(t accounts.Token) string {
	var names []string
	for _, s := range t.Scopes {
		names = append(names, string(s))
	}
	return strings.Join(names, " ")
}

func (a *app) usersTOTP() *cobra.Command {
	cmd := &cobra.Command{Use: "totp", Short: "A second factor: codes of an authenticator app (RFC 6238)"}
	var codeFile, passwordFile string
	begin := &cobra.Command{
		Use:   "begin",
		Short: "Draw a second factor for your own account",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				s, err := c.BeginTOTP(cmd.Context())
				if err != nil {
					return fmt.Errorf("no second factor was drawn: %w", err)
				}
				if a.json {
					return a.printJSON(s)
				}
				a.say("Put the secret into an authenticator app, then: ihyid users totp confirm")
				return a.facts("secret", s.Secret, "url", s.URL)
			})
		},
	}
	confirm := &cobra.Command{
		Use:   "confirm",
		Short: "Make the drawn second factor count, with a code that the app shows",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				code, err := a.secretInput("Code that the app shows", codeFile)
				if err != nil {
					return err
				}
				r, err := c.ConfirmTOTP(cmd.Context(), code)
				if err != nil {
					return fmt.Errorf("the second factor does not count yet: %w", err)
				}
				if a.json {
					return a.printJSON(r)
				}
				a.say("Keep these codes in a safe place: each signs in once in place of the app. They are not shown again.")
				for _, code := range r.Codes {
					fmt.Fprintln(a.out, code)
				}
				return nil
			})
		},
	}
	confirm.Flags().StringVar(&codeFile, "code-file", "", "`file` with the code, - for standard input; else it is asked for")
	off := &cobra.Command{
		Use:   "off [NAME]",
		Short: "Take the second factor from your own account, or, as an admin, from one whose owner lost it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.changeUser(cmd.Context(), args[0], func(ctx context.Context, c *client.Client, id string) (accounts.Account, error) {
					return c.ResetTOTP(ctx, id)
				})
			}
			return a.with(func(c *client.Client) error {
				password, err := a.secretInput("Password", passwordFile)
				if err != nil {
					return err
				}
				code, err := a.secretInput("Code of the app, or a recovery code", codeFile)
				if err != nil {
					return err
				}
				u, err := c.EndTOTP(cmd.Context(), password, code)
				if err != nil {
					return fmt.Errorf("the second factor stays: %w", err)
				}
				return a.showUser(u)
			})
		},
	}
	off.Flags().StringVar(&passwordFile, "password-file", "", "`file` with the password; else it is asked for")
	off.Flags().StringVar(&codeFile, "code-file", "", "`file` with the code; else it is asked for")
	cmd.AddCommand(begin, confirm, off)
	return cmd
}
