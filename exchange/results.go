package exchange

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"ihyid/store"
)

// matchesPerRecord is how many matches one record holds.
const matchesPerRecord = 2000

// purge removes what an exchange found, at the end of the time for which the agreement lets it be kept. The receipt stays.
func (n *Node) purge(ctx context.Context, id string) error {
	defer n.locks.lock(id)()
	s, err := n.session(ctx, id)
	if err != nil {
		return err
	}
	s.Purged = true
	return n.store.Erase(ctx, func(tx *store.Tx) error {
		return errors.Join(n.dropMatches(tx, s), n.writeSession(tx, s))
	})
}

// Matches lists the own contacts that an exchange found, best first; none until the exchange is done and has its receipt.
func (n *Node) Matches(ctx context.Context, id string) ([]Match, error) {
	s, err := n.session(ctx, id)
	if err != nil || s.State != StateDone {
		return []Match{}, err
	}
	var kept []keptMatch
	err = n.store.View(ctx, func(tx *store.Tx) error {
		kept, err = n.matchesOf(tx, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.After != "" {
		slices.SortFunc(kept, func(a, b keptMatch) int {
			return cmp.Or(strings.Compare(a.Tier, b.Tier), cmp.Compare(len(b.Keys), len(a.Keys)), cmp.Compare(a.Contact, b.Contact), strings.Compare(a.Row, b.Row))
		})
	}
	out := make([]Match, len(kept))
	for i := range kept {
		out[i] = kept[i].Match
	}
	numbers := make([]uint64, len(out))
	for i, m := range out {
		numbers[i] = m.Contact
	}
	ids, err := n.register.ExternalIDs(ctx, numbers)
	for i := range ids {
		out[i].ExternalID = ids[i]
	}
	return out, err
}

// Presentations gives the messages of an exchange that this node received, by type, as they came.
func (n *Node) Presentations(ctx context.Context, id string) (map[string]json.RawMessage, error) {
	if _, err := n.session(ctx, id); err != nil {
		return nil, err
	}
	out := map[string]json.RawMessage{}
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.letters.All(tx, store.Range{Prefix: []byte(id + "/")}) {
			if err != nil {
				return err
			}
			if len(item.Value.Presentation) > 0 {
				out[string(item.Key[len(id)+1:])] = item.Value.Presentation
			}
		}
		return nil
	})
	return out, err
}
