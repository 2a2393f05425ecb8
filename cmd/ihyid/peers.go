package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/exchange"
)

func (a *app) peersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "The other organisations' nodes",
		Long: `The other organisations' nodes. Before two nodes exchange anything, both sides agree:
one adds the other by its DID, the other approves. Both then see the same
fingerprint (peers fingerprint): compare it by telephone and confirm it, for it alone
tells that nobody stands in between. Until then a peer is trusted because of its first
use: whoever held its web address when it was registered may be anybody.`,
	}
	one := func(use, short, example, what string, act func(*client.Client, context.Context, string) (exchange.Peer, error)) *cobra.Command {
		return &cobra.Command{
			Use: use + " DID", Short: short, Example: example, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.with(func(c *client.Client) error {
					p, err := act(c, cmd.Context(), args[0])
					if err != nil {
						return fmt.Errorf("%s %s: %w", what, args[0], err)
					}
					return a.showPeer(p)
				})
			},
		}
	}
	withReason := func(use, short, example, what string, act func(*client.Client, context.Context, string, string) (exchange.Peer, error)) *cobra.Command {
		var reason string
		cmd := one(use, short, example, what, func(c *client.Client, ctx context.Context, did string) (exchange.Peer, error) {
			return act(c, ctx, did, reason)
		})
		cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
		return cmd
	}
	cmd.AddCommand(
		a.peersAdd(),
		a.peersAgree(),
		a.peersRoll(),
		a.peersList(),
		one("show", "Show a peer", "  ihyid peers show did:web:shelter.example.net", "cannot show peer", (*client.Client).Peer),
		one("approve", "Approve a peer that asked to be registered", "  ihyid peers approve did:web:shelter.example.net", "cannot approve peer", (*client.Client).ApprovePeer),
		withReason("refuse", "Refuse a peer that asked to be registered", `  ihyid peers refuse did:web:shelter.example.net --reason "not known to us"`, "cannot refuse peer", (*client.Client).RefusePeer),
		withReason("suspend", "Accept nothing more from a peer for now", `  ihyid peers suspend did:web:shelter.example.net --reason "key lost"`, "cannot suspend peer", (*client.Client).SuspendPeer),
		one("resume", "End a suspension", "  ihyid peers resume did:web:shelter.example.net", "cannot resume peer", (*client.Client).ResumePeer),
		a.peersFingerprint(),
		a.peersConfirm(),
		a.peersRemove(),
	)
	return cmd
}

func (a *app) peersAdd() *cobra.Command {
	var expect exchange.Organisation
	cmd := &cobra.Command{
		Use:   "add DID",
		Short: "Ask another organisation's node to register with this one",
		Long: `Ask another organisation's node to register with this one. The node resolves the DID,
fetches the organisation's credential and holds it against what you expect: a
difference ends the registration and names the field. The other side's
administrator then approves or refuses.`,
		Example: `  ihyid peers add did:web:shelter.example.net --expect-name "Shelter" --expect-number 0815 --expect-country LB`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				p, err := c.AddPeer(cmd.Context(), args[0], expect)
				if err != nil {
					return fmt.Errorf("cannot add peer %s: %w", args[0], err)
				}
				return a.showPeer(p)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&expect.Name, "expect-name", "", "`name` that the organisation must have")
	f.StringVar(&expect.RegistrationNumber, "expect-number", "", "registration `number` that it must have")
	f.StringVar(&expect.Country, "expect-country", "", "`country` (two letters) that it must be in")
	return cmd
}

func (a *app) peersList() *cobra.Command {
	var f listFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List peers and where their registration stands",
		Example: "  ihyid peers list --state requested",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFilter(&f, peerStates); err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				peers, err := c.Peers(cmd.Context(), f.Filter)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(itemsOf(peers))
				}
				if len(peers) == 0 && f.chosen() {
					a.say("No peer fits.")
					return nil
				}
				if len(peers) == 0 {
					a.say("No peers yet. Add one by its DID: ihyid peers add did:web:HOST --expect-name … --expect-number … --expect-country …")
					return nil
				}
				t := newTable(a.out, "STATE", "ORGANISATION", "COUNTRY", "KEYS", "DID", "UPDATED")
				for _, p := range peers {
					t.row(p.State, p.Organisation.Name, p.Organisation.Country, keysOf(p), p.DID, when(p.Updated))
				}
				return t.flush()
			})
		},
	}
	f.flags(cmd, 0, "state")
	return cmd
}

func (a *app) showPeer(p exchange.Peer) error {
	if a.json {
		return a.printJSON(p)
	}
	undelivered := ""
	if p.Undelivered {
		undelivered = "yes: the peer could not be reached; it is told again by itself"
	}
	if err := a.facts("peer", p.DID, "state", p.State, "organisation", p.Organisation.Name,
		"registration number", p.Organisation.RegistrationNumber, "country", p.Organisation.Country,
		"endpoint", p.Endpoint, "DID document", p.Document, "keys", keysOf(p), "confirmed", when(p.Confirmed), "new DID document", p.Changed, "registration", p.Registration,
		"today", fmt.Sprintf("%d points evaluated for it, %d tags from it, %d noise entries from it", p.EvaluationsToday, p.TagsToday, p.NoiseToday),
		"reason", p.Reason, "not yet told", undelivered, "version", p.Version, "created", when(p.Created), "updated", when(p.Updated)); err != nil {
		return err
	}
	for _, e := range p.Epochs {
		used := fmt.Sprintf("%d points evaluated", e.Evaluations)
		if e.Role == exchange.Initiator {
			used = fmt.Sprintf("%d tags published", e.Tags)
		}
		if err := a.facts("epoch", fmt.Sprintf("%s, %s, as %s: %s since %s; ends %s", e.Purpose, e.Profile, e.Role, used, when(e.Started), when(e.Ends))); err != nil {
			return err
		}
	}
	if len(p.Epochs) > 0 {
		a.say("An epoch is the time for which one key is used with a peer, so that a later exchange sends only what is new. A tag stands for a code of one\nof your contacts under that key; a point is a code of one of theirs, blinded, that your node evaluated: each may be a guess, so they are counted.")
	}
	switch p.State {
	case exchange.PeerInvited:
		a.say("Their administrator has to approve; see how it stands with: ihyid peers show %s", p.DID)
	case exchange.PeerRequested:
		a.say("They wait for your decision: ihyid peers approve %s, or refuse", p.DID)
	case exchange.PeerApproved:
		a.say(`Exchanges may run: ihyid exchange run --peer %s --purpose "..."`, p.DID)
	case exchange.PeerSuspended:
		if p.Changed != "" {
			a.say("Their keys changed, and no key known here vouches for the new ones. Nothing is accepted from them until you\ncompare the fingerprint by telephone: ihyid peers fingerprint %s", p.DID)
			return nil
		}
		a.say("Nothing is accepted from them. To end that: ihyid peers resume %s", p.DID)
	}
	if p.Trust != exchange.TrustConfirmed && p.State != exchange.PeerRefused {
		a.say("Nobody has confirmed their keys: they are trusted because of their first use. Compare the fingerprint by\ntelephone: ihyid peers fingerprint %s", p.DID)
	}
	return nil
}

// keysOf says what a peer's keys stand on.
func keysOf(p exchange.Peer) string {
	switch {
	case p.Changed != "":
		return "CHANGED"
	case p.Trust == exchange.TrustConfirmed:
		return "confirmed"
	}
	return "unconfirmed (first use)"
}

func (a *app) peersFingerprint() *cobra.Command {
	return &cobra.Command{
		Use:   "fingerprint DID",
		Short: "Show the digits to compare with a peer's administrator",
		Long: `Show the fingerprint of this node's keys and a peer's. Call the other side's administrator, on
a number that you have from elsewhere, and let him read the digits that his node shows: they must
be yours. Then: ihyid peers confirm DID`,
		Example: "  ihyid peers fingerprint did:web:shelter.example.net",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				f, err := c.Fingerprint(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("there is no fingerprint of %s: %w", args[0], err)
				}
				if a.json {
					return a.printJSON(f)
				}
				changed, now := "", ""
				if f.Changed {
					changed = "yes: it is not the one that they are held to"
				}
				if !f.Resolved {
					now = "no: it could not be had now; this is of the one that they are held to"
				}
				if err := a.facts("peer", f.DID, "organisation", f.Organisation.Name, "fingerprint", f.Fingerprint,
					"changed", changed, "of this moment", now); err != nil {
					return err
				}
				a.say("Compare it by telephone, then: ihyid peers confirm %s", f.DID)
				return nil
			})
		},
	}
}

func (a *app) peersConfirm() *cobra.Command {
	return &cobra.Command{
		Use:   "confirm DID [FINGERPRINT]",
		Short: "Pin a peer's keys: the fingerprint was compared",
		Long: `Pin a peer's keys. FINGERPRINT is what the other side's administrator read to you; without it,
it is read from standard input. From then on the peer's keys change only by a change that is
signed with keys known here; otherwise the peer is suspended until the fingerprint is
compared again.`,
		Example: "  ihyid peers confirm did:web:shelter.example.net 01234 56789 01234 56789 01234 56789 01234 56789",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			digits := strings.Join(args[1:], " ")
			if digits == "" {
				a.say("Type the digits that the other side reads to you:")
				line, err := bufio.NewReader(io.LimitReader(a.in, 1000)).ReadString('\n')
				if digits = strings.TrimSpace(line); digits == "" {
					return errors.Join(errors.New("no fingerprint was given, nothing was confirmed"), err)
				}
			}
			return a.with(func(c *client.Client) error {
				p, err := c.ConfirmPeer(cmd.Context(), args[0], digits)
				if err != nil {
					return fmt.Errorf("%s was not confirmed: %w", args[0], err)
				}
				return a.showPeer(p)
			})
		},
	}
}

func (a *app) peersRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "remove DID",
		Short:   "Forget a peer; exchanges and receipts stay",
		Example: "  ihyid peers remove did:web:shelter.example.net",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				if err := c.RemovePeer(cmd.Context(), args[0]); err != nil {
					return fmt.Errorf("cannot remove peer %s: %w", args[0], err)
				}
				if a.json {
					return a.printJSON(map[string]string{"removed": args[0]})
				}
				return a.facts("removed", args[0])
			})
		},
	}
}
