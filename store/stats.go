package store

import (
	"context"
	"encoding/binary"
	"os"
	"time"
)

// Stats describes a store.
type Stats struct {
	FileBytes   int64             `json:"file_bytes"`
	FreeBytes   int64             `json:"free_bytes"` // inside the file, to be used again
	Created     time.Time         `json:"created"`
	Schema      uint32            `json:"schema"`
	DataKeys    int               `json:"data_keys"`
	Seals       uint64            `json:"seals"` // under the active data key, at most
	Collections []CollectionStats `json:"collections"`
	Indexes     []IndexStats      `json:"indexes"`
	Spools      int               `json:"spools"`
	SpoolBytes  int64             `json:"spool_bytes"`
}

// CollectionStats describes a collection.
type CollectionStats struct {
	Name    string `json:"name"`
	Records uint64 `json:"records"`
}

// IndexStats describes an index.
type IndexStats struct {
	Name    string `json:"name"`
	Entries uint64 `json:"entries"` // stored, removals and what they remove included
	Dead    uint64 `json:"dead"`    // removals not yet merged away
	Runs    int    `json:"runs"`
	Merges  int    `json:"merges"` // in progress
}

// Stats returns the sizes and counts of this moment, without reading the records.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	var st Stats
	err := s.View(ctx, func(tx *Tx) error {
		info, err := os.Stat(s.path)
		if err != nil {
			return err
		}
		st.FileBytes = info.Size()
		st.FreeBytes = int64(s.db.Stats().FreePageN+s.db.Stats().PendingPageN) * int64(s.db.Info().PageSize)
		meta := tx.b.Bucket(bucketMeta)
		if st.Created, err = time.Parse(time.RFC3339, string(meta.Get(metaCreated))); err != nil {
			return err
		}
		if st.Schema, err = tx.schema(); err != nil {
			return err
		}
		active := s.ring.Load().active
		if v := tx.b.Bucket(bucketSeals).Get(binary.BigEndian.AppendUint32(nil, active.id)); len(v) == 8 {
			st.Seals = binary.BigEndian.Uint64(v)
		}
		err = tx.b.Bucket(bucketKeys).ForEach(func(_, _ []byte) error { st.DataKeys++; return nil })
		if err != nil {
			return err
		}
		counts := tx.b.Bucket(bucketCounts)
		err = tx.b.Bucket(bucketRecords).ForEachBucket(func(name []byte) error {
			st.Collections = append(st.Collections, CollectionStats{string(name), countOf(counts, string(name))})
			return nil
		})
		if err != nil {
			return err
		}
		indexes := tx.b.Bucket(bucketIndexes)
		err = indexes.ForEachBucket(func(name []byte) error {
			set, err := decodeRunSet(indexes.Bucket(name).Get(keyState))
			if err != nil {
				return err
			}
			x := IndexStats{Name: string(name), Runs: len(set.runs), Merges: len(set.merges)}
			for _, r := range set.runs {
				x.Entries += r.count
				x.Dead += r.dead
			}
			st.Indexes = append(st.Indexes, x)
			return nil
		})
		if err != nil {
			return err
		}
		spools, err := s.Spools(tx)
		for _, i := range spools {
			st.Spools++
			st.SpoolBytes += i.Size
		}
		return err
	})
	return st, err
}
