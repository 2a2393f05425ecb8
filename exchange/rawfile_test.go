package exchange

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"ihyid/exchange/voprf"
	"ihyid/store"
)

// stored reads, of a node that is stopped, the records of exchanges as they lie in the database file, sealed, by bucket and key; and the whole file.
func (tn *testNode) stored() (records map[string][]byte, file []byte) {
	tn.t.Helper()
	tn.stop()
	defer tn.start()
	path := filepath.Join(tn.dir, "node.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	must(tn.t, err)
	defer db.Close()
	records = map[string][]byte{}
	var walk func(path string, b *bolt.Bucket) error
	walk = func(path string, b *bolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(path+"/"+string(k), b.Bucket(k))
			}
			for _, of := range []string{"chunks", "epochs", "sessions"} {
				if strings.HasSuffix(path, "/"+of) {
					records[path+" "+string(k)] = bytes.Clone(v)
				}
			}
			return nil
		})
	}
	must(tn.t, db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return walk("/"+string(name), b) })
	}))
	file, err = os.ReadFile(path)
	must(tn.t, err)
	return records, file
}

// TestNothingIsLeftInTheFile looks at the bytes of both nodes' database files in the middle of an exchange, after its end, and after the epoch has rolled: of a record that
// is no more, or is another by now, no byte is left. The key of the epoch, the seeds and the outputs are in such records, and nowhere in the clear.
func TestNothingIsLeftInTheFile(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	e, mend := leave(t, w, a, b, ProtocolVOPRF, kindOffer)
	var secrets [][]byte // as they are in memory
	for _, n := range []*testNode{a, b} {
		s, err := n.session(t.Context(), e.ID)
		must(t, err)
		secrets = append(secrets, s.Seed, s.Rows)
		for _, set := range []string{setOutputs, setKnown, setOwn} {
			data, err := n.getSet(t.Context(), e.ID, set)
			must(t, err)
			for ; len(data) > 64; data = data[64:] {
				secrets = append(secrets, data[:16:16])
			}
		}
	}
	s, err := b.session(t.Context(), e.ID)
	must(t, err)
	key, err := b.sessionEpoch(t.Context(), s)
	must(t, err)
	secrets = append(secrets, key.Bytes())
	if len(secrets) < 10 || len(key.Bytes()) != voprf.KeySize {
		t.Fatalf("%d secrets", len(secrets))
	}
	nodes := []*testNode{a, b}
	type state struct {
		records map[string][]byte
		file    []byte
	}
	before := map[*testNode]state{}
	look := func(what string, least int) {
		t.Helper()
		for _, n := range nodes {
			records, file := n.stored()
			for i, secret := range secrets {
				if len(secret) > 0 && bytes.Contains(file, secret) {
					t.Errorf("%s, %s: secret %d is in the clear", n.host, what, i)
				}
			}
			gone := 0
			for name, value := range before[n].records {
				if bytes.Equal(records[name], value) || len(value) < 40 {
					continue
				}
				gone++
				// The middle of it, past what is the same in all records.
				part := value[len(value)/2:][:16]
				if !bytes.Contains(before[n].file, part) {
					t.Fatalf("%s: %q cannot be found where it is", n.host, name)
				}
				if bytes.Contains(file, part) {
					t.Errorf("%s, %s: the bytes of %q are left", n.host, what, name)
				}
			}
			if gone < least {
				t.Errorf("%s, %s: only %d of %d records have gone", n.host, what, gone, len(before[n].records))
			}
			before[n] = state{records, file}
		}
	}
	look("in the middle", 0)
	mend()
	a.await(e.Job)
	awaitState(t, a, e.ID, StateDone)
	awaitState(t, b, e.ID, StateDone)
	for _, n := range nodes {
		must(t, n.store.FinishErase(t.Context()))
	}
	look("after the exchange", 3)
	for _, n := range nodes {
		if rolled, err := n.RollEpochs(t.Context(), ""); err != nil || rolled != 1 {
			t.Fatalf("%d %v", rolled, err)
		}
	}
	look("after the roll", 3)
	for _, n := range nodes {
		must(t, n.store.View(t.Context(), func(tx *store.Tx) error {
			chunks, err := n.kept.chunks.Len(tx)
			if chunks != 0 {
				t.Errorf("%s: %d chunks are left", n.host, chunks)
			}
			return err
		}))
	}
}
