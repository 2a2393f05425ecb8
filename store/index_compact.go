package store

import (
	"context"
	"slices"
)

// compactTries bounds how often Compact begins anew because something else changed the runs.
const compactTries = 5

// Compact merges all runs of an index that has removed entries in it into one, so that nothing is left of what Remove took out: neither the
// entries nor the marks of their removal. Where nothing was removed it does nothing. It works in steps, so that readers and writers
// go on; what a crash leaves half done is finished in the background. The old bytes are in free pages then: Erase or Scrub overwrites them.
func (x *Index) Compact(ctx context.Context) error {
	for range compactTries {
		var in []uint64
		err := x.s.Update(ctx, func(tx *Tx) error {
			v, err := x.view(tx)
			if err != nil || v.root == nil || !v.set.hasDead() {
				return err
			}
			if err := v.change(); err != nil {
				return err
			}
			if err := v.cancelMerges(); err != nil {
				return err
			}
			m := &merge{out: &run{}}
			for _, r := range v.set.runs {
				m.in = append(m.in, r.id)
			}
			in = m.in
			st, err := v.step(ctx, m, x.tune.stepEntries)
			if err != nil {
				return err
			}
			return v.apply(st)
		})
		if err != nil || in == nil {
			return err
		}
		for more := true; more; {
			if more, err = x.mergeOf(ctx, in); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergeOf does a step of the merge of certain runs, if it is still going on.
func (x *Index) mergeOf(ctx context.Context, in []uint64) (more bool, err error) {
	var st *mergeStep
	err = x.s.View(ctx, func(tx *Tx) error {
		v, err := x.view(tx)
		if err != nil {
			return err
		}
		if m := v.set.mergeOf(in[0]); m != nil && slices.Equal(m.in, in) {
			st, err = v.step(ctx, m, x.tune.stepEntries)
		}
		return err
	})
	if err != nil || st == nil {
		return false, err
	}
	return true, x.s.Update(ctx, func(tx *Tx) error {
		v, err := x.view(tx)
		if err != nil {
			return err
		}
		return v.apply(st)
	})
}

func (s *runSet) hasDead() bool {
	return slices.ContainsFunc(s.runs, func(r *run) bool { return r.dead > 0 })
}
