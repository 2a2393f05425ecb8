package jobs

import (
	"context"
	"errors"

	"ihyid/store"
)

// KindRotateKeys is the kind of the job that RotateKeys handles. It takes no parameters.
const KindRotateKeys = "store.rotate-keys"

// resealBatch is how many records one transaction of RotateKeys looks at.
const resealBatch = 2000

// rotation is the cursor of RotateKeys.
type rotation struct {
	At   store.Position `json:"at"`
	Seen uint64         `json:"seen"`
	All  bool           `json:"all"` // everything was looked at
}

// RotateKeys returns a handler that replaces the store's data key: it makes a new one, seals all records anew in batches while the node works on, and then destroys the
// old ones. After a stop it goes on where it was.
func RotateKeys(s *store.Store) Handler {
	return func(ctx context.Context, t *Task) error {
		var at rotation
		begun, err := t.Cursor(&at)
		if err != nil {
			return err
		}
		if !begun {
			// A death right after this costs one more key, which the end of the job destroys.
			if err := s.RotateKey(ctx); err != nil {
				return err
			}
		}
		total := uint64(0)
		st, err := s.Stats(ctx)
		if err != nil {
			return err
		}
		for _, c := range st.Collections {
			total += c.Records
		}
		t.Describe("records", "sealing records under the new key")
		for {
			for !at.All {
				err := s.Update(ctx, func(tx *store.Tx) (err error) {
					next := at
					if next.At, next.All, err = s.Reseal(tx, at.At, resealBatch); err != nil {
						return err
					}
					next.Seen = min(at.Seen+resealBatch, total)
					if err := t.Save(tx, next, next.Seen, total); err != nil {
						return err
					}
					tx.OnCommit(func() { at = next })
					return nil
				})
				if err != nil {
					return err
				}
			}
			err := s.DropOldKeys(ctx)
			if !errors.Is(err, store.ErrKeyInUse) {
				return err
			}
			// The active key was replaced once more meanwhile.
			at = rotation{}
		}
	}
}
