package register

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOf(rapid.OneOf(rapid.Uint64Range(1, 50), rapid.Uint64Range(1, 1<<40))).Draw(t, "ids")
		want := slices.Compact(slices.Sorted(slices.Values(ids)))
		var got []uint64
		if err := eachRun(encodeRuns(ids), func(id uint64) { got = append(got, id) }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}
