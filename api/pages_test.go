package api

import (
	"errors"
	"slices"
	"testing"
)

func TestPageOf(t *testing.T) {
	all := []string{"a", "b", "-", "c", "-", "d"}
	id := func(s *string) string { return *s }
	keep := func(s *string) bool { return *s != "-" }
	var got []string
	after := ""
	for parts := 0; ; parts++ {
		if parts > 2 {
			t.Fatal("the list does not end")
		}
		b, err := pageOf(Page{After: after, Limit: 2}, all, nil, id, keep)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Body.Items...)
		if after = b.Body.Next; after == "" {
			break
		}
	}
	if !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("the parts together are %v", got)
	}
	if _, err := pageOf(Page{After: "x", Limit: 2}, all, nil, id, keep); err == nil {
		t.Error("a cursor of nothing is taken")
	}
	failed := errors.New("failed")
	if _, err := pageOf(Page{Limit: 2}, all, failed, id, keep); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
}
