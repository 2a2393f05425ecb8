package register

import (
	"context"
	"slices"

	"ihyid/store"
	"ihyid/store/jobs"
)

// JobDuplicates is the kind of the jobs that look for duplicates in the whole register.
const JobDuplicates = "contacts.duplicates"

// findBatch is how many contacts one step of the search takes.
const findBatch = 2000

// FindResult is the result of the job.
type FindResult struct {
	Contacts uint64 `json:"contacts"` // looked at
	Open     uint64 `json:"open"`     // pairs that wait for a decision now
	LeftOut  uint64 `json:"left_out"` // pairs that agree in match keys only a little, and whose contacts are not alike
}

// findCursor is how far the search is.
type findCursor struct {
	After uint64     `json:"after"`
	Sum   FindResult `json:"sum"`
}

// StartFind begins a job that compares all contacts with each other, as they were compared when they came. It finds what is new under another profile,
// and puts right what an index lacks.
func (r *Register) StartFind(ctx context.Context) (job jobs.Job, err error) {
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		job, err = r.jobs.Enqueue(tx, JobDuplicates, struct{}{})
		return err
	})
	return job, err
}

func (r *Register) runFind(ctx context.Context, t *jobs.Task) error {
	var c findCursor
	if _, err := t.Cursor(&c); err != nil {
		return err
	}
	t.Describe("contacts", "comparing the contacts with each other")
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return err
		}
		next := c
		err := r.store.Update(ctx, func(tx *store.Tx) error {
			var edits []edit
			for item, err := range r.contacts.All(tx, store.Range{From: store.ID(c.After + 1)}) {
				if err != nil {
					return err
				}
				next.After, _ = store.ParseID(item.Key)
				edits = append(edits, edit{id: next.After, before: &item.Value, after: &item.Value})
				if len(edits) == findBatch {
					break
				}
			}
			done = len(edits) < findBatch
			next.Sum.Contacts += uint64(len(edits))
			leftOut, err := r.compareAgain(tx, edits)
			if err != nil {
				return err
			}
			next.Sum.LeftOut += leftOut
			if next.Sum.Open, err = r.duplicates.Len(tx); err != nil {
				return err
			}
			total, err := r.contacts.Len(tx)
			if err != nil {
				return err
			}
			if err := t.Result(tx, next.Sum); err != nil {
				return err
			}
			return t.Save(tx, next, next.Sum.Contacts, total)
		})
		if err != nil {
			return err
		}
		c = next
	}
	return nil
}

// compareAgain compares contacts that do not change with all others, and gives the number of pairs that were left out as unlikely.
func (r *Register) compareAgain(tx *store.Tx, edits []edit) (leftOut uint64, err error) {
	c, err := r.prepare(edits)
	if err != nil {
		return 0, err
	}
	hits, err := r.index.LookupAll(tx, c.keys.keep, maxAlike)
	if err != nil {
		return 0, err
	}
	var missing []store.IndexEntry
	for i, h := range hits {
		if !h.More && !slices.Contains(h.Refs, c.keys.keep[i].Ref) {
			missing = append(missing, c.keys.keep[i])
		}
	}
	if _, err := r.index.Insert(tx, missing); err != nil {
		return 0, err
	}
	_, err = r.pairsOf(tx, c, nil)
	return c.unlikely, err
}
