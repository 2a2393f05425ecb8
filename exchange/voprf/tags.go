package voprf

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"sync"

	"ihyid/exchange/merkle"
)

// labelTagPadding begins what the padding of a set of tags is derived from.
const labelTagPadding = "ihyid/voprf/1 tag padding"

// TagSet is the responder's set of tags, one committed set of package merkle.
type TagSet struct {
	// Tags are the tags in strictly ascending order, TagSize bytes each, padded to
	// merkle.PaddedCount. They are what is committed to and sent.
	Tags []byte

	from  []uint32
	count int
}

// NewTagSet makes the set of the tags of the given outputs, filled up with random-looking tags derived from the seed, 32
// fresh random bytes for every committed set. The same outputs and seed give the same set. Nobody
// without the key can tell a tag of padding from one of a digest that it does not know.
//
// Errors: [ErrDuplicate] for two equal tags, which are two equal digests; [merkle.ErrCommitment] beyond merkle.MaxCount.
func NewTagSet(outputs []Output, seed [32]byte) (*TagSet, error) {
	if len(outputs) > merkle.MaxCount {
		return nil, fmt.Errorf("voprf: %d tags, at most %d: %w", len(outputs), merkle.MaxCount, merkle.ErrCommitment)
	}
	n := int(merkle.PaddedCount(uint64(len(outputs))))
	tags := make([]byte, n*TagSize)
	for i := range outputs {
		copy(tags[i*TagSize:], outputs[i][:TagSize])
	}
	mac := hmac.New(sha256.New, seed[:])
	var pad [sha256.Size]byte
	for i := len(outputs); i < n; i++ {
		mac.Reset()
		mac.Write(binary.BigEndian.AppendUint32([]byte(labelTagPadding), uint32(i-len(outputs))))
		copy(tags[i*TagSize:(i+1)*TagSize], mac.Sum(pad[:0]))
	}
	sorted, from, err := merkle.Sort(tags, TagSize)
	if errors.Is(err, merkle.ErrOrder) {
		return nil, fmt.Errorf("voprf: %w: %w", err, ErrDuplicate)
	} else if err != nil {
		return nil, err
	}
	return &TagSet{Tags: sorted, from: from, count: len(outputs)}, nil
}

// Len returns the number of tags, padding included.
func (s *TagSet) Len() int { return len(s.from) }

// Lookup returns the index of the output whose tag this is, and false where it is no tag of the set,
// or padding.
func (s *TagSet) Lookup(tag [TagSize]byte) (int, bool) {
	i, ok := FindTag(s.Tags, tag)
	if !ok || int(s.from[i]) >= s.count {
		return 0, false
	}
	return int(s.from[i]), true
}

// FindTag returns the index of a tag among tags, which stand one after another in ascending order, and
// whether it is there.
func FindTag(tags []byte, tag [TagSize]byte) (int, bool) {
	return sort.Find(len(tags)/TagSize, func(i int) int {
		return bytes.Compare(tag[:], tags[i*TagSize:(i+1)*TagSize])
	})
}

// Common returns the indexes, in ascending order, of the outputs whose tags stand among tags: the digests that both sides have. tags are the responder's
// whole committed set, or any run of it, already verified.
func Common(outputs []Output, tags []byte) []int {
	cores := runtime.GOMAXPROCS(0)
	parts := make([][]int, cores)
	var wg sync.WaitGroup
	for c := range cores {
		wg.Go(func() {
			for i := len(outputs) * c / cores; i < len(outputs)*(c+1)/cores; i++ {
				if _, ok := FindTag(tags, outputs[i].Tag()); ok {
					parts[c] = append(parts[c], i)
				}
			}
		})
	}
	wg.Wait()
	return slices.Concat(parts...)
}
