package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/exchange"
)

func (a *app) peersAgree() *cobra.Command {
	var r exchange.AgreementRequest
	cmd := &cobra.Command{
		Use:   "agree DID",
		Short: "Propose an agreement: what may be exchanged without asking each time",
		Long: `Propose an agreement to a peer: for which purposes, under which matching profiles and protocols, how
much, how often, how long. Once their operator has signed it too, exchanges within it
are answered by themselves; what is outside it waits for an operator.

The other side: ihyid agreements list, then ihyid agreements approve ID.`,
		Example: `  ihyid peers agree did:web:shelter.example.net --purpose "winter kits 2026" --profile soundex/1
  ihyid peers agree did:web:shelter.example.net --purpose "food" --purpose "shelter" --peer-size 40000 --valid-days 90 --hide-possibles`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, p := range r.Protocols {
				if err := required("protocol", p, protocolNames); err != nil {
					return err
				}
			}
			r.Peer = args[0]
			return a.with(func(c *client.Client) error {
				g, err := c.ProposeAgreement(cmd.Context(), r)
				if err != nil {
					return fmt.Errorf("no agreement was proposed to %s: %w", r.Peer, err)
				}
				return a.showAgreement(g)
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&r.Purposes, "purpose", nil, "a purpose, in the words that exchanges will give; may be repeated")
	f.StringArrayVar(&r.Profiles, "profile", []string{defaultProfile}, "a matching profile; may be repeated")
	f.StringArrayVar(&r.Protocols, "protocol", []string{exchange.ProtocolVOPRF}, "a protocol; may be repeated")
	f.Uint64Var(&r.OwnSize, "own-size", 0, "contacts that we declare (default: those that there are)")
	f.Uint64Var(&r.PeerSize, "peer-size", 0, "contacts that they declare (default: as many as we)")
	f.Uint64Var(&r.EvaluationsPerDay, "evaluations-per-day", 0, "points that either side evaluates in a day (default: one whole register)")
	f.IntVar(&r.EpochDays, "epoch-days", 0, "how long one key is used (default and most: 30)")
	f.BoolVar(&r.HidePossibles, "hide-possibles", false, "disclose matches only, no possible ones")
	f.IntVar(&r.RetentionDays, "retention-days", 0, "how long results are kept (default 365)")
	f.IntVar(&r.ValidDays, "valid-days", 0, "how long the agreement lasts (default 365)")
	_ = cmd.MarkFlagRequired("purpose")
	return cmd
}

func (a *app) peersRoll() *cobra.Command {
	return &cobra.Command{
		Use:   "roll DID",
		Short: "Destroy the keys and all that was kept for increments with a peer",
		Long: `End the epochs with a peer at once: after a contact was erased, or when a key may be known. Keys, outputs, seeds and
points are destroyed; the next exchange sends everything again, and budgets begin anew.`,
		Example: "  ihyid peers roll did:web:shelter.example.net",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				n, err := c.RollEpochs(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("the epochs with %s were not rolled: %w", args[0], err)
				}
				if a.json {
					return a.printJSON(map[string]int{"epochs": n})
				}
				fmt.Fprintln(a.out, plural(n, "epoch", "epochs"), "ended")
				return nil
			})
		},
	}
}

func (a *app) agreementsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "agreements",
		Aliases: []string{"agreement"},
		Short:   "What may be exchanged with a peer without asking each time",
	}
	one := func(use, short, what string, act func(*client.Client, context.Context, string) (exchange.Agreement, error)) *cobra.Command {
		return &cobra.Command{
			Use: use + " ID", Short: short, Example: "  ihyid agreements " + use + " 5f0c...", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.with(func(c *client.Client) error {
					g, err := act(c, cmd.Context(), args[0])
					if err != nil {
						return fmt.Errorf("%s agreement %s: %w", what, args[0], err)
					}
					return a.showAgreement(g)
				})
			},
		}
	}
	withReason := func(use, short, what string, act func(*client.Client, context.Context, string, string) (exchange.Agreement, error)) *cobra.Command {
		var reason string
		cmd := one(use, short, what, func(c *client.Client, ctx context.Context, id string) (exchange.Agreement, error) {
			return act(c, ctx, id, reason)
		})
		cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
		return cmd
	}
	var f listFilter
	list := &cobra.Command{
		Use:     "list",
		Short:   "List agreements, the newest first",
		Example: "  ihyid agreements list --state asked",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFilter(&f, agreementStates); err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				all, err := c.Agreements(cmd.Context(), f.Filter)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(itemsOf(all))
				}
				if len(all) == 0 && f.chosen() {
					a.say("No agreement fits.")
					return nil
				}
				if len(all) == 0 {
					a.say("No agreements yet. Propose one: ihyid peers agree DID --purpose \"...\"")
					return nil
				}
				t := newTable(a.out, "AGREEMENT", "STATE", "PEER", "PURPOSES", "UNTIL")
				for _, g := range all {
					t.row(g.ID, g.State, g.Peer, strings.Join(g.Terms.Purposes, "; "), g.Terms.Ends)
				}
				return t.flush()
			})
		},
	}
	f.flags(list, 0, "state", "peer")
	cmd.AddCommand(list,
		one("show", "Show an agreement", "cannot show", (*client.Client).Agreement),
		one("approve", "Sign an agreement that a peer proposed", "cannot approve", (*client.Client).ApproveAgreement),
		withReason("refuse", "Refuse an agreement that a peer proposed", "cannot refuse", (*client.Client).RefuseAgreement),
		withReason("end", "End an agreement, or take a proposal back", "cannot end", (*client.Client).EndAgreement))
	return cmd
}

func (a *app) showAgreement(g exchange.Agreement) error {
	if a.json {
		return a.printJSON(g)
	}
	t := g.Terms
	undelivered := ""
	if g.Undelivered {
		undelivered = "yes: it is sent by itself"
	}
	if err := a.facts("agreement", g.ID, "state", g.State, "version", g.Version, "reason", g.Reason, "peer", g.Peer, "not yet told", undelivered, "proposed by", t.Proposer,
		"purposes", strings.Join(t.Purposes, "; "), "profiles", strings.Join(t.Profiles, " "), "protocols", strings.Join(t.Protocols, " "),
		"declared contacts", t.ProposerSize+" (proposer), "+t.AccepterSize+" (accepter)",
		"elements in an epoch", t.ProposerElements+" (proposer), "+t.AccepterElements+" (accepter)",
		"evaluations a day", t.EvaluationsPerDay, "epoch", t.EpochDays+" days", "possible matches", map[string]string{"true": "disclosed", "false": "hidden"}[t.Possibles],
		"results kept", t.RetentionDays+" days", "valid", t.Begins+" to "+t.Ends); err != nil {
		return err
	}
	if g.State == exchange.AgreementAsked {
		a.say("They wait for your decision: ihyid agreements approve %s, or refuse", g.ID)
	}
	return nil
}

// exchangeDecide are exchange approve, refuse, excuse and cancel.
func (a *app) exchangeDecide() []*cobra.Command {
	var reason string
	run := func(act func(*client.Client, context.Context, string) (exchange.Exchange, error)) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				e, err := act(c, cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("exchange %s: %w", args[0], err)
				}
				return a.showExchange(e)
			})
		}
	}
	approve := &cobra.Command{Use: "approve ID", Short: "Let an exchange run that waits for us", Args: cobra.ExactArgs(1),
		Example: "  ihyid exchange approve 5f0c...", RunE: run((*client.Client).ApproveExchange)}
	refuse := &cobra.Command{Use: "refuse ID", Short: "Refuse an exchange that waits for us", Args: cobra.ExactArgs(1),
		Example: `  ihyid exchange refuse 5f0c... --reason "not agreed"`,
		RunE: run(func(c *client.Client, ctx context.Context, id string) (exchange.Exchange, error) {
			return c.RefuseExchange(ctx, id, reason)
		})}
	refuse.Flags().StringVar(&reason, "reason", "", "why, for the record")
	excuse := &cobra.Command{Use: "excuse ID", Short: "Excuse a peer from finishing an exchange that it left", Args: cobra.ExactArgs(1),
		Long: "A peer that leaves an exchange after we evaluated its points, or gave it our claims, may know the result without us.\n" +
			"It can open no other exchange until this one is finished, or excused here. The signed record of it stays.",
		Example: `  ihyid exchange excuse 5f0c... --reason "their disk failed; spoke with R. Haddad"`,
		RunE: run(func(c *client.Client, ctx context.Context, id string) (exchange.Exchange, error) {
			return c.ExcuseExchange(ctx, id, reason)
		})}
	excuse.Flags().StringVar(&reason, "reason", "", "why, for the record; needed")
	var yes bool
	cancel := &cobra.Command{Use: "cancel ID", Short: "End an exchange that waits, runs or is stuck", Args: cobra.ExactArgs(1),
		Long: "End an exchange here at once, whichever side began it, over the network or by file. What it found is removed, its signed\n" +
			"messages are kept, and the other side is told when it can be reached.\n\n" +
			"Where one side may know something of the result already, --yes is needed; without it the command says what would follow.\n" +
			"Once this node has signed the receipt, an exchange cannot be cancelled any more.",
		Example: `  ihyid exchange cancel 5f0c... --reason "wrong list"`,
		RunE: run(func(c *client.Client, ctx context.Context, id string) (exchange.Exchange, error) {
			return c.CancelExchange(ctx, id, exchange.Cancellation{Reason: reason, Yes: yes})
		})}
	cancel.Flags().StringVar(&reason, "reason", "", "why, for this node's own record; the other side is not told")
	cancel.Flags().BoolVar(&yes, "yes", false, "also where one side may know the result already")
	return []*cobra.Command{approve, refuse, excuse, cancel}
}
