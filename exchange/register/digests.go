package register

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"ihyid/contacts"
	"ihyid/store"
)

// Digests calls fn with the match digests of every contact under a profile, in the order of the contacts' numbers; contacts without any are
// left out. They are computed from the records on all cores: the register keeps none of them. report, if not nil, is told
// how many contacts are done, of how many. The slice given to fn is good until fn returns.
func (r *Register) Digests(ctx context.Context, p *contacts.Profile, report func(done, total uint64), fn func(contact uint64, digests []contacts.KeyDigest) error) error {
	total, err := r.Count(ctx)
	if err != nil {
		return err
	}
	workers := runtime.GOMAXPROCS(0)
	encoders := make([]*contacts.Encoder, workers)
	for i := range encoders {
		encoders[i] = p.NewEncoder()
	}
	done := uint64(0)
	return r.each(ctx, func(batch []Stored) error {
		results := make([][]contacts.KeyDigest, len(batch))
		var wg sync.WaitGroup
		for w, e := range encoders {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := w; i < len(batch); i += workers {
					results[i] = e.Digests(nil, &batch[i].Contact)
				}
			}()
		}
		wg.Wait()
		for i, d := range results {
			if len(d) == 0 {
				continue
			}
			if err := fn(batch[i].ID, d); err != nil {
				return err
			}
		}
		done += uint64(len(batch))
		if report != nil {
			report(done, max(total, done))
		}
		return ctx.Err()
	})
}

// CheckAnonymous answers the prototype's question in its own form: which of these uscadis, each the hex SHA-256 of a phonetic id followed by one
// of the secrets, belong to a contact of this node? The two lists are in no common order.
func (r *Register) CheckAnonymous(ctx context.Context, uscadis, secrets []string) ([]bool, error) {
	var ids []string
	err := r.each(ctx, func(batch []Stored) error {
		for i := range batch {
			if batch[i].PhoneticID != "" {
				ids = append(ids, batch[i].PhoneticID)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return contacts.CheckAnonymous(ctx, ids, uscadis, secrets)
}

// ExternalIDs gives the external ids of contacts by number, "" where there is none or the contact is gone.
func (r *Register) ExternalIDs(ctx context.Context, numbers []uint64) ([]string, error) {
	out := make([]string, len(numbers))
	err := r.store.View(ctx, func(tx *store.Tx) error {
		for i, id := range numbers {
			id, err := r.top(tx, id)
			if err != nil {
				return err
			}
			rec, err := r.contacts.Get(tx, store.ID(id))
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			out[i] = rec.ExternalID
		}
		return nil
	})
	return out, err
}
