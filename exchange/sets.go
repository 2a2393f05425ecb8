package exchange

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"ihyid/exchange/merkle"
	"ihyid/store"
)

// wholeRecords are sets whose records stay whole: none is cut in two by the end of a chunk.
var wholeRecords = map[string]int{setOwn: holdingSize, setOwnChanges: ownChangeSize, setRows: rowRecord}

// putSet keeps the bytes of a set in chunks.
func (n *Node) putSet(tx *store.Tx, id, set string, data []byte, chunk int) error {
	if size := wholeRecords[set]; size > 0 {
		chunk -= chunk % size
	}
	for i := uint32(0); len(data) > 0; i++ {
		size := min(chunk, len(data))
		if err := n.kept.chunks.Put(tx, chunkKey(id, set, i), data[:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// getSet reads a set back whole.
func (n *Node) getSet(ctx context.Context, id, set string) (out []byte, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) error {
		out, err = n.setTx(tx, id, set)
		return err
	})
	return out, err
}

func (n *Node) setTx(tx *store.Tx, id, set string) ([]byte, error) {
	chunks := 0
	for _, err := range n.kept.chunks.Keys(tx, store.Range{Prefix: []byte(id + "/" + set + "/")}) {
		if err != nil {
			return nil, err
		}
		chunks++
	}
	var out []byte
	if chunks > 1 {
		out = make([]byte, 0, chunks*merkle.MaxChunkBytes)
	}
	return out, n.scanTx(tx, id, set, 1, func(data []byte) error {
		out = append(out, data...)
		return nil
	})
}

// scanTx goes through a set, a good many records at a time: whole ones of the size given, in order. They must not be kept. Nothing is copied or
// allocated for it, which is what going through a large set for little costs most.
func (n *Node) scanTx(tx *store.Tx, id, set string, record int, fn func(records []byte) error) error {
	var rest []byte // of a record that the next chunk ends
	var failed error
	scan := store.NewCollection(n.store, n.kept.chunks.Name(), 1, store.WithCodec[struct{}](scanCodec(func(data []byte) {
		if len(rest) > 0 {
			more := min(record-len(rest), len(data))
			rest, data = append(rest, data[:more]...), data[more:]
			if len(rest) < record {
				return
			}
			failed = fn(rest)
			rest = rest[:0]
		}
		whole := len(data) / record * record
		if whole > 0 && failed == nil {
			failed = fn(data[:whole])
		}
		rest = append(rest, data[whole:]...)
	})))
	for _, err := range scan.All(tx, store.Range{Prefix: []byte(id + "/" + set + "/")}) {
		if err = cmp.Or(failed, err); err != nil {
			return err
		}
	}
	return errDamaged(len(rest) > 0)
}

// scanSets goes through a set of every exchange that a session builds on, and of the session itself: of says which one of them it is. What fn is given it must not keep.
func (n *Node) scanSets(ctx context.Context, s *session, set string, record int, fn func(of int, records []byte) error) error {
	return n.store.View(ctx, func(tx *store.Tx) error {
		ids, err := n.chain(tx, s)
		if err != nil {
			return err
		}
		for of, id := range ids {
			if err := n.scanTx(tx, id, set, record, func(records []byte) error { return fn(of, records) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// chunkCodec keeps the bytes of a chunk as they are, behind a byte that says so. What was kept before as JSON is read as well.
type chunkCodec struct{}

const chunkPlain = 1

func (chunkCodec) Append(dst []byte, v *[]byte) ([]byte, error) {
	return append(append(dst, chunkPlain), *v...), nil
}

func (chunkCodec) Decode(data []byte, v *[]byte) error {
	if len(data) > 0 && data[0] == chunkPlain {
		*v = slices.Clone(data[1:])
		return nil
	}
	return json.Unmarshal(data, v)
}

// scanCodec shows the bytes of a chunk to a function instead of keeping them.
type scanCodec func(data []byte)

func (scanCodec) Append([]byte, *struct{}) ([]byte, error) { return nil, errors.New("only to read") }

func (c scanCodec) Decode(data []byte, _ *struct{}) error {
	if len(data) > 0 && data[0] == chunkPlain {
		c(data[1:])
		return nil
	}
	var chunk []byte
	err := json.Unmarshal(data, &chunk)
	if err == nil {
		c(chunk)
	}
	return err
}

// setChunks says which chunks of a set are kept.
func (n *Node) setChunks(ctx context.Context, id, set string) (map[uint32]bool, error) {
	out := map[uint32]bool{}
	prefix := id + "/" + set + "/"
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for key, err := range n.kept.chunks.Keys(tx, store.Range{Prefix: []byte(prefix)}) {
			if err != nil {
				return err
			}
			var i uint32
			if _, err := fmt.Sscanf(string(key[len(prefix):]), "%08x", &i); err != nil {
				return err
			}
			out[i] = true
		}
		return nil
	})
	return out, err
}
