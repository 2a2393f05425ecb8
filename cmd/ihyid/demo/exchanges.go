package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ihyid/exchange"
)

func (d *demo) exchangeAll(ctx context.Context) error {
	d.say("\n4. Every two find out which of their contacts the other serves too. No name, parent or birth date leaves a node:")
	d.say("   what travels are blinded or keyed digests under the matching profile %q, in signed presentations.", d.o.Profile)
	return d.eachPair(func(a, b *node) error {
		var first *found
		for _, protocol := range d.o.Protocols {
			f, err := d.exchange(ctx, protocol, a, b)
			if err != nil {
				return fmt.Errorf("by %s: %w", protocol, err)
			}
			if first == nil {
				first = f
			} else if !first.equal(f) {
				d.wrong("%s and %s: %s finds other pairs than %s", a.org.Name, b.org.Name, protocol, d.o.Protocols[0])
			}
		}
		return nil
	})
}

// found is what an exchange found on both sides: of every pair the own contact, the tier and the keys. The rows are left out, for they are
// made up anew for every exchange.
type found [2][]string

func newFound(sides ...[]exchange.Match) *found {
	var f found
	for i, side := range sides {
		for _, m := range side {
			f[i] = append(f[i], fmt.Sprint(m.ExternalID, m.Tier, m.Keys))
		}
		slices.Sort(f[i])
	}
	return &f
}

func (f *found) equal(g *found) bool { return slices.Equal(f[0], g[0]) && slices.Equal(f[1], g[1]) }

// warnings are what is to be said of a protocol.
var warnings = map[string]string{
	exchange.ProtocolNoise: "   (noise, for comparison only: whoever holds such a bundle can guess names and dates at leisure.)",
}

func (d *demo) exchange(ctx context.Context, protocol string, a, b *node) (*found, error) {
	if w := warnings[protocol]; w != "" && !d.warned[protocol] {
		d.say("%s", w)
		d.warned[protocol] = true
	}
	begun := time.Now()
	e, err := a.client.StartExchange(ctx, exchange.Request{Peer: b.did, Profile: d.o.Profile, Protocol: protocol, Purpose: "Demonstration: who is served by both?"})
	if err != nil {
		return nil, err
	}
	if _, err := a.client.WatchJob(ctx, e.Job, nil); err != nil {
		return nil, err
	}
	seconds := time.Since(begun).Seconds()
	if e, err = a.client.Exchange(ctx, e.ID); err != nil {
		return nil, err
	}
	if e.State != exchange.StateDone {
		return nil, fmt.Errorf("the exchange ended as %s: %s", e.State, e.Error)
	}
	mine, err := a.client.Matches(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	theirs, err := b.client.Matches(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	p := d.truth.judge(a.org.ID, b.org.ID, mine, theirs, d.wrong)
	p.A, p.B, p.Protocol, p.InCommon, p.Possible, p.Exchange, p.Seconds = a.org.Name, b.org.Name, protocol, e.InCommon, e.Possible, e.ID, seconds
	d.result.Pairs = append(d.result.Pairs, p)
	d.say("   %s ↔ %s by %s: %d in common, %d possible, in %.2f s (the lists share %d people: found %.0f %%, wrong %.1f %%)",
		a.org.Name, b.org.Name, protocol, e.InCommon, e.Possible, seconds, p.True, 100*p.Recall, 100*(1-p.Precision))
	return newFound(mine, theirs), d.leavePresentations(ctx, e.ID, a, b)
}

// leavePresentations writes what each side received, as files.
func (d *demo) leavePresentations(ctx context.Context, id string, nodes ...*node) error {
	for _, n := range nodes {
		all, err := n.client.Presentations(ctx, id)
		if err != nil {
			return err
		}
		dir := filepath.Join(d.dir, "presentations", id, "received-by-"+n.org.ID)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		for kind, vp := range all {
			if err := os.WriteFile(filepath.Join(dir, kind+".json"), vp, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
