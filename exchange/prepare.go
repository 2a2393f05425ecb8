package exchange

import (
	"context"

	"ihyid/exchange/merkle"
	"ihyid/store"
	"ihyid/store/jobs"
)

// prepareBundle takes the own digests as they are now and commits to a bundle of them.
func (n *Node) prepareBundle(ctx context.Context, t *jobs.Task, s *session) (State, error) {
	p, err := n.sessionProfile(s)
	if err != nil {
		return "", err
	}
	made, err := protocols[s.Protocol].prepare(n, ctx, t, s, p)
	if err != nil {
		return "", err
	}
	c := made.commitment
	s.Sets[setBundle], s.OwnRoot, s.OwnCount, s.Sequence = c, c.Root.String(), c.Count, made.own.sequence
	s.State = StateOpening
	own, raw := made.own.keep(s)
	made.keep[own] = raw
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		for set, data := range made.keep {
			if err := n.putSet(tx, s.ID, set, data, merkle.MaxChunkBytes); err != nil {
				return err
			}
		}
		return n.putSession(tx, s)
	})
	return s.State, err
}

// checkEntries makes sure that so many digests are not over the limit of a protocol.
func (n *Node) checkEntries(protocol string, digests uint64) error {
	count, most := merkle.PaddedCount(digests), n.maxEntries(protocol)
	if count <= most {
		return nil
	}
	why := "have the operator raise the limit on both sides"
	if protocol == ProtocolNoise {
		why = "use voprf, or " + why + ": whoever receives a noise bundle could guess names and dates at leisure"
	}
	return fail(CodeTooLarge, "a bundle of %d entries is over the limit of %d for the protocol %s; %s", count, most, protocol, why)
}
