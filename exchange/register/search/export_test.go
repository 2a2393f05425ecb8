package search

import (
	"fmt"
	"slices"

	"ihyid/store"
)

// Lists gives the number of lists.
func (x *Index) Lists(tx *store.Tx) (uint64, error) { return x.lists.Len(tx) }

// Verify holds the lists against what the contacts come to.
func (x *Index) Verify(tx *store.Tx) error {
	want := map[cell]*set{}
	for s, err := range x.register.From(tx, 1) {
		if err != nil {
			return err
		}
		for t := range x.termsOf(&s.Contact) {
			c := cell{uint32(s.ID >> segmentBits), t}
			if want[c] == nil {
				want[c] = &set{}
			}
			want[c].add(uint16(s.ID % segmentSize))
		}
	}
	for c, members := range want {
		l, err := x.lists.Get(tx, c.key())
		if err != nil {
			return err
		}
		var have set
		l.into(&have)
		if have != *members {
			return fmt.Errorf("a list of segment %d is not what the contacts say", c.segment)
		}
		var numbers []uint16
		have.each(func(n uint16) bool { numbers = append(numbers, n); return true })
		if !slices.Equal(l, listOf(numbers)) {
			return fmt.Errorf("a list of segment %d has another form than its numbers have", c.segment)
		}
	}
	if n, err := x.lists.Len(tx); err != nil || n != uint64(len(want)) {
		return fmt.Errorf("%d lists, should be %d (%w)", n, len(want), err)
	}
	return nil
}
