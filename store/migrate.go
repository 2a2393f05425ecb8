package store

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Migration brings a store from the schema version before it to its own. The versions are the program's, from 1 on; a new store begins with the
// last one. A migration runs once, when an older store is opened, in one transaction with the note that it has run.
type Migration struct {
	Version uint32
	Name    string // for the log
	Run     func(ctx context.Context, s *Store, tx *Tx) error
}

func checkMigrations(list []Migration) error {
	last := uint32(0)
	for _, m := range list {
		if m.Version <= last || m.Run == nil {
			return fmt.Errorf("store: migration %d (%s) is out of order or does nothing", m.Version, m.Name)
		}
		last = m.Version
	}
	return nil
}

func lastMigration(list []Migration) uint32 {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].Version
}

func (tx *Tx) schema() (uint32, error) {
	v := tx.b.Bucket(bucketMeta).Get(metaSchema)
	if len(v) != 4 {
		return 0, fmt.Errorf("%w: schema version", ErrCorrupt)
	}
	return binary.BigEndian.Uint32(v), nil
}

// migrate runs the migrations that the store has not had.
func (s *Store) migrate(ctx context.Context) error {
	var have uint32
	err := s.View(ctx, func(tx *Tx) (err error) {
		have, err = tx.schema()
		return err
	})
	if err != nil {
		return err
	}
	if last := lastMigration(s.opt.Migrations); have > last {
		return fmt.Errorf("%w: its schema version is %d, this program knows %d", ErrNewerSchema, have, last)
	}
	for _, m := range s.opt.Migrations {
		if m.Version <= have {
			continue
		}
		err := s.Update(ctx, func(tx *Tx) error {
			if err := m.Run(ctx, s, tx); err != nil {
				return err
			}
			return tx.b.Bucket(bucketMeta).Put(metaSchema, binary.BigEndian.AppendUint32(nil, m.Version))
		})
		if err != nil {
			return fmt.Errorf("store: migration %d (%s): %w", m.Version, m.Name, err)
		}
		s.opt.Logger.Info("store: migrated", "version", m.Version, "name", m.Name)
	}
	return nil
}

// Convert is for migrations: it replaces every record of old by what fn makes of it, in the collection new, which may be the same one at a later
// schema version. A false from fn drops the record.
func Convert[A, B any](tx *Tx, old *Collection[A], new *Collection[B], fn func(key []byte, v A) (B, bool, error)) error {
	for it, err := range old.All(tx, Range{}) {
		if err != nil {
			return err
		}
		v, keep, err := fn(it.Key, it.Value)
		if err != nil {
			return err
		}
		if !keep || old.name != new.name {
			if err := old.Delete(tx, it.Key); err != nil {
				return err
			}
		}
		if keep {
			if err := new.Put(tx, it.Key, v); err != nil {
				return err
			}
		}
	}
	return nil
}
