package register

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"ihyid/contacts"
	"ihyid/store"
)

// The register keeps a log of which contacts were created, changed or removed, so that whoever has read all of it once need only read what has changed
// since. An entry is of one transaction, and written in it; it holds the contacts' numbers and nothing else about them. Its key is the
// next number of a sequence that has no gaps, the register's sequence number.

// maxChanged is how many entries the log has at most; the oldest go first. Who is further behind reads the whole register.
const maxChanged = 1 << 16

// rawCodec keeps bytes as they are.
type rawCodec struct{}

func (rawCodec) Append(dst []byte, v *[]byte) ([]byte, error) { return append(dst, *v...), nil }

func (rawCodec) Decode(data []byte, v *[]byte) error {
	*v = slices.Clone(data)
	return nil
}

// logChanged writes the entry of a transaction's edits.
func (r *Register) logChanged(tx *store.Tx, edits []edit) error {
	ids := make([]uint64, 0, len(edits))
	for i := range edits {
		if !edits[i].skip {
			ids = append(ids, edits[i].id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	seq, err := r.changed.NextID(tx)
	if err != nil {
		return err
	}
	if err := r.changed.Put(tx, store.ID(seq), encodeRuns(ids)); err != nil {
		return err
	}
	if seq > maxChanged {
		return r.forgetChanged(tx, seq-maxChanged)
	}
	return nil
}

// encodeRuns writes numbers as runs of consecutive ones: of each the distance from the end of the one before, and its length. It sorts them.
func encodeRuns(ids []uint64) []byte {
	slices.Sort(ids)
	var out []byte
	end := uint64(0)
	for i := 0; i < len(ids); {
		j := i + 1
		for j < len(ids) && ids[j] <= ids[j-1]+1 {
			j++
		}
		out = binary.AppendUvarint(out, ids[i]-end)
		out = binary.AppendUvarint(out, ids[j-1]-ids[i]+1)
		end = ids[j-1] + 1
		i = j
	}
	return out
}

var errLog = errors.New("register: the log of changes is damaged")

// eachRun calls fn for every number in runs.
func eachRun(runs []byte, fn func(id uint64)) error {
	end := uint64(0)
	for len(runs) > 0 {
		var v [2]uint64
		for i := range v {
			n := 0
			if v[i], n = binary.Uvarint(runs); n <= 0 {
				return errLog
			}
			runs = runs[n:]
		}
		if v[0] > math.MaxInt64-end || v[1] == 0 || v[1] > math.MaxInt64-end-v[0] {
			return errLog
		}
		for id := end + v[0]; id < end+v[0]+v[1]; id++ {
			fn(id)
		}
		end += v[0] + v[1]
	}
	return nil
}

// Sequence is the number of the last transaction that changed contacts, 0 if none did.
func (r *Register) Sequence(tx *store.Tx) (uint64, error) {
	for key, err := range r.changed.Keys(tx, store.Range{Reverse: true}) {
		seq, _ := store.ParseID(key)
		return seq, err
	}
	return 0, nil
}

// ChangedSince gives the numbers of all contacts that were created, changed, merged or removed after a sequence number, each once and in ascending order. It is false where the log
// does not say: it goes back less far, or has never been as far, as after an older state of the store was put back.
func (r *Register) ChangedSince(tx *store.Tx, since uint64) ([]uint64, bool, error) {
	last, err := r.Sequence(tx)
	if err != nil || since > last {
		return nil, false, err
	}
	var ids []uint64
	next := since + 1
	for item, err := range r.changed.All(tx, store.Range{From: store.ID(next)}) {
		if err != nil {
			return nil, false, err
		}
		if seq, ok := store.ParseID(item.Key); !ok || seq != next {
			return nil, false, nil
		}
		next++
		if err := eachRun(item.Value, func(id uint64) { ids = append(ids, id) }); err != nil {
			return nil, false, err
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), next == last+1, nil
}

// forgetChanged removes the log's entries up to a sequence number.
func (r *Register) forgetChanged(tx *store.Tx, through uint64) error {
	for key, err := range r.changed.Keys(tx, store.Range{}) {
		if err != nil {
			return err
		}
		if seq, _ := store.ParseID(key); seq > through {
			return nil
		}
		if err := r.changed.Delete(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// DigestsOf calls fn with the match digests of some contacts under a profile; those that are not there are left out. The slice given to fn is good until fn returns.
func (r *Register) DigestsOf(ctx context.Context, tx *store.Tx, p *contacts.Profile, ids []uint64, fn func(contact uint64, digests []contacts.KeyDigest)) error {
	e := p.NewEncoder()
	var digests []contacts.KeyDigest
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, err := r.contacts.Get(tx, store.ID(id))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		digests = e.Digests(digests[:0], &rec.Contact)
		fn(id, digests)
	}
	return nil
}
