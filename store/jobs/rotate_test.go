package jobs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

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
	wantNumbers(t, b.s, n)
}

// wantNumbers makes sure that the numbers from 0 to n-1 are there, each under itself.
func wantNumbers(t *testing.T, s *store.Store, n int) {
	t.Helper()
	seen := 0
	err := s.View(t.Context(), func(tx *store.Tx) error {
		for it, err := range store.NewCollection[int](s, "numbers", 1).All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			if it.Value != seen {
				t.Fatalf("record %d holds %d", seen, it.Value)
			}
			seen++
		}
		return nil
	})
	if err != nil || seen != n {
		t.Errorf("%d of %d records, %v", seen, n, err)
	}
}

const rotateKillPath = "IHYID_JOBS_TEST_ROTATE"

// TestRotateKilledHelper is what the other process runs: it says how far the job is. In the test run itself it does nothing.
func TestRotateKilledHelper(t *testing.T) {
	path := os.Getenv(rotateKillPath)
	if path == "" {
		return
	}
	s := openStore(t, path)
	q := New(s, Options{})
	q.Handle(KindRotateKeys, RotateKeys(s))
	list, err := q.List(t.Context(), Filter{Kind: KindRotateKeys})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	watch, err := q.Watch(t.Context(), list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for j := range watch {
			fmt.Println(j.Done)
		}
	}()
	t.Fatal(q.Run(context.Background()))
}

// TestRotateKilled kills the process that seals everything anew, several times. In the end all is under the new key, and nothing is lost.
func TestRotateKilled(t *testing.T) {
	path := newPath(t)
	b := start(t, path, Options{}, nil)
	const n = 12*resealBatch + 5
	c := store.NewCollection[int](b.s, "numbers", 1)
	for from := 0; from < n; from += resealBatch {
		err := b.s.Update(t.Context(), func(tx *store.Tx) error {
			for i := from; i < min(from+resealBatch, n); i++ {
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
	id := b.enqueue(KindRotateKeys, nil).ID
	b.stop()
	for range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRotateKilledHelper$")
		cmd.Env = append(os.Environ(), rotateKillPath+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		guard := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }) // it may have ended before it says enough
		lines := bufio.NewScanner(out)
		for said := 0; said < 2 && lines.Scan(); said++ {
		}
		guard.Stop()
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
	b = start(t, path, Options{}, nil)
	b.Handle(KindRotateKeys, RotateKeys(b.s))
	b.await(id, Done)
	st, err := b.s.Stats(t.Context())
	if err != nil || st.DataKeys != 1 {
		t.Errorf("%+v %v", st, err)
	}
	if err := b.s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	wantNumbers(t, b.s, n)
	b.stop()
}
