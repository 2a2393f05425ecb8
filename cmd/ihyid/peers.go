package main

import (
	"context"
	"fmt"

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
fingerprint: compare it by telephone, for it alone tells that nobody stands in
between.`,
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
		Example: `  ihyid peers add did:web:shelter.example.net
  ihyid peers add did:web:shelter.example.net --expect-name "Shelter" --expect-number 0815 --expect-country LB`,
		Args: cobra.ExactArgs(1),
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
	return &cobra.Command{
		Use:   "list",
		Short: "List peers and where their registration stands",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				peers, err := c.Peers(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(itemsOf(peers))
				}
				if len(peers) == 0 {
					a.say("No peers yet. Add one by its DID: ihyid peers add did:web:HOST")
					return nil
				}
				t := newTable(a.out, "STATE", "ORGANISATION", "COUNTRY", "DID", "UPDATED")
				for _, p := range peers {
					t.row(p.State, p.Organisation.Name, p.Organisation.Country, p.DID, when(p.Updated))
				}
				return t.flush()
			})
		},
	}
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
		"endpoint", p.Endpoint, "DID document", p.Document, "trust", string(p.Trust), "registration", p.Registration,
		"today", fmt.Sprintf("%d points evaluated for it, %d tags from it, %d noise entries from it", p.EvaluationsToday, p.TagsToday, p.NoiseToday),
		"reason", p.Reason, "not yet told", undelivered, "created", when(p.Created), "updated", when(p.Updated)); err != nil {
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
	switch p.State {
	case exchange.PeerInvited:
		a.say("Their administrator has to approve; see how it stands with: ihyid peers show %s", p.DID)
	case exchange.PeerRequested:
		a.say("They wait for your decision: ihyid peers approve %s, or refuse", p.DID)
	case exchange.PeerApproved:
		a.say(`Exchanges may run: ihyid exchange run --peer %s --purpose "..."`, p.DID)
	case exchange.PeerSuspended:
		a.say("Nothing is accepted from them. To end that: ihyid peers resume %s", p.DID)
	}
	return nil
}
