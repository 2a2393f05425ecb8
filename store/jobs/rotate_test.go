package jobs

import (
	"context"
	"errors"
	"testing"

	"ihyid/store"
)

func TestRotateKeys(t *testing.T) {
	path := newPath(t)
	b := start(t, path, Options{}, nil)
	const n = 3*resealBatch + 17
	fill := func(b *bench) {
		c := store.NewCollection[int](b.s, "numbers", 1)
		err := b.s.Update(t.Context(), func(tx *store.Tx) error {
			for i := range n {
				if err := c.Put(tx, store.ID(uint64(i)), i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	fill(b)
	b.stop()
	// The first run is stopped after its first batch.
	stopped := make(chan struct{})
	var handler Handler
	b = start(t, path, Options{}, map[string]Handler{KindRotateKeys: func(ctx context.Context, task *Task) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		watch, err := task.q.Watch(ctx, task.Job().ID)
		if err != nil {
			return err
		}
		go func() {
			for j := range watch {
				if j.Done > 0 {
					cancel(ErrStopped)
				}
			}
			close(stopped)
		}()
		err = handler(ctx, task)
		if errors.Is(err, context.Canceled) {
			return Later(0, err)
		}
		return err
	}})
	handler = RotateKeys(b.s)
	id := b.enqueue(KindRotateKeys, nil).ID
	<-stopped
	b.stop()
	b = start(t, path, Options{}, nil)
	b.Handle(KindRotateKeys, RotateKeys(b.s))
	j := b.await(id, Done)
	if j.Total < n || j.Done < n {
		t.Errorf("%+v", j)
	}
	st, err := b.s.Stats(t.Context())
	if err != nil || st.DataKeys != 1 {
		t.Errorf("%+v %v", st, err)
	}
	if err := b.s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	b.stop()
	b = start(t, path, Options{}, nil)
	c := store.NewCollection[int](b.s, "numbers", 1)
	err = b.s.View(t.Context(), func(tx *store.Tx) error {
		seen := 0
		for it, err := range c.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			if it.Value != seen {
				t.Fatalf("%d, want %d", it.Value, seen)
			}
			seen++
		}
		if seen != n {
			t.Errorf("%d of %d", seen, n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
