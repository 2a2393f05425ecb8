package search

import "ihyid/store"

// Lists counts the lists that are kept.
func (x *Index) Lists(tx *store.Tx) (uint64, error) { return x.lists.Len(tx) }
