package store

import (
	"context"
	"slices"
)

// compactTries bounds how often Compact begins anew because something else took its runs.
const compactTries = 20

// Compact merges all runs of an index that has removed entries in it into one, so that nothing is left of what Remove took out before: neither the
// entries nor the marks of their removal. Where nothing was removed it does nothing. It works in steps, so that readers and writers
// go on; what a crash leaves half done is finished in the background. The old bytes are in free pages then: Erase or Scrub overwrites them. Errors: ErrBusy.
func (x *Index) Compact(ctx context.Context) error {
	for range compactTries {
		in, done, err := x.beginCompact(ctx)
		for more := true; err == nil && !done && more; {
			more, done, err = x.mergeOf(ctx, in)
		}
		if err != nil || done {
			return err
		}
	}
	return ErrBusy
}

// beginCompact begins a merge of all runs, and gives their numbers. done says that it has come to its end at once, or has nothing to do.
func (x *Index) beginCompact(ctx context.Context) (in []uint64, done bool, err error) {
	err = x.s.Update(ctx, func(tx *Tx) error {
		in, done = nil, false
		v, err := x.view(tx)
		if err != nil {
			return err
		}
		if v.root == nil || !v.set.hasDead() {
			done = true
			return nil
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
		done = st.done
		return v.apply(st)
	})
	return in, done, err
}

// mergeOf does a step of the merge of certain runs, if it is still going on. done says that it has come to its end with this step; without more and done
// something else has ended it.
func (x *Index) mergeOf(ctx context.Context, in []uint64) (more, done bool, err error) {
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
		return false, false, err
	}
	err = x.s.Update(ctx, func(tx *Tx) error {
		v, err := x.view(tx)
		if err != nil {
			return err
		}
		// A step that does not fit any more is dropped, and leaves the version.
		before := v.set.version
		err = v.apply(st)
		done = st.done && v.set.version != before
		return err
	})
	return true, done, err
}

func (s *runSet) hasDead() bool {
	return slices.ContainsFunc(s.runs, func(r *run) bool { return r.dead > 0 })
}
