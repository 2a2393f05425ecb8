package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// What a Sealer seals is what the collection reads, whatever its size and however it fell into the shared memory.
func TestSealer(t *testing.T) {
	s := newTestStore(t)
	c := NewCollection[string](s, "texts", 3)
	z := c.Sealer()
	var want []string
	var sealed []Sealed
	for i := range 400 {
		v := strings.Repeat(fmt.Sprintf("%d·", i), i%300*3)
		if i%100 == 7 {
			v = strings.Repeat("long ", 40_000) // more than the memory that is taken at a time
		}
		r, err := z.Seal(ID(uint64(i)), &v)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.key, ID(uint64(i))) || cap(r.key) != len(r.key) || cap(r.box) != len(r.box) {
			t.Fatalf("record %d can be written into its neighbour", i)
		}
		want, sealed = append(want, v), append(sealed, r)
		if i == 200 {
			if err := s.RotateKey(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a, b := boxKey(sealed[200].box), boxKey(sealed[201].box); a == b {
		t.Errorf("key %d goes on sealing after it was replaced", a)
	}
	update(t, s, func(tx *Tx) error {
		for _, r := range sealed {
			if err := c.PutSealed(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx *Tx) error {
		for i, v := range want {
			if got, err := c.Get(tx, ID(uint64(i))); err != nil || got != v {
				t.Errorf("record %d: %d bytes, %v, want %d", i, len(got), err, len(v))
			}
		}
		return nil
	})
	nonces := map[string]bool{}
	for _, r := range sealed {
		nonces[string(r.box[boxHeader:boxHeader+nonceSize])] = true
	}
	if len(nonces) != len(sealed) {
		t.Error("a nonce came twice")
	}
}

func TestSealerErrors(t *testing.T) {
	s := newTestStore(t)
	c := NewCollection[string](s, "texts", 1)
	z := c.Sealer()
	v, long := "x", strings.Repeat("x", MaxRecordSize)
	if _, err := z.Seal(nil, &v); !errors.Is(err, ErrKeySize) {
		t.Errorf("no key: %v", err)
	}
	if _, err := z.Seal(make([]byte, MaxKeySize+1), &v); !errors.Is(err, ErrKeySize) {
		t.Errorf("a long key: %v", err)
	}
	if _, err := z.Seal(ID(1), &long); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large record: %v", err)
	}
	s.sealHardLimit = s.ring.Load().active.seals.Load() + sealerCount
	z = c.Sealer()
	for i := range sealerCount {
		if _, err := z.Seal(ID(1), &v); err != nil {
			t.Fatalf("seal %d: %v", i, err)
		}
	}
	if _, err := z.Seal(ID(1), &v); !errors.Is(err, ErrKeyExhausted) {
		t.Errorf("over the limit: %v", err)
	}
}

// Every seal is counted, also where many goroutines seal, each with a Sealer of its own.
func TestSealersCount(t *testing.T) {
	s := newTestStore(t)
	c := NewCollection[int](s, "numbers", 1)
	before := s.ring.Load().active.seals.Load()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			z := c.Sealer()
			for i := range 1000 {
				if _, err := z.Seal(ID(uint64(i)), &i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := s.ring.Load().active.seals.Load() - before; n < 4000 || n > 4000+4*sealerCount {
		t.Errorf("%d counted", n)
	}
}
