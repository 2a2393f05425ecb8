package jobs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ihyid/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plainKeys is a key store that does not seal: these tests are not about sealing.
type plainKeys struct{}

func (plainKeys) Wrap(_ context.Context, plain, _ []byte) ([]byte, error) {
	return slices.Clone(plain), nil
}
func (plainKeys) Unwrap(_ context.Context, wrapped, _ []byte) ([]byte, error) {
	return slices.Clone(wrapped), nil
}

func openStore(t *testing.T, path string) *store.Store {
	t.Helper()
	o := store.Options{Keys: plainKeys{}}
	s, err := store.Open(t.Context(), path, o)
	if errors.Is(err, store.ErrNotFound) {
		s, err = store.Create(t.Context(), path, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bench is a store with a queue that is being run.
type bench struct {
	*Queue
	t    *testing.T
	s    *store.Store
	stop func()
}

func start(t *testing.T, path string, o Options, handlers map[string]Handler) *bench {
	t.Helper()
	s := openStore(t, path)
	b := &bench{Queue: New(s, o), t: t, s: s}
	for kind, h := range handlers {
		b.Handle(kind, h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

func (b *bench) enqueue(kind string, params any) Job {
	b.t.Helper()
	var j Job
	err := b.s.Update(context.Background(), func(tx *store.Tx) (err error) {
		j, err = b.Enqueue(tx, kind, params)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return j
}

// await watches a job until it is in a state.
func (b *bench) await(id string, state State) Job {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ch, err := b.Watch(ctx, id)
	if err != nil {
		b.t.Fatal(err)
	}
	var last Job
	for j := range ch {
		last = j
		if j.State == state {
			return j
		}
	}
	b.t.Fatalf("job %s ended as %s (%s), not as %s", id, last.State, last.Error, state)
	return last
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "s.db") }

func TestDone(t *testing.T) {
	b := start(t, newPath(t), Options{}, map[string]Handler{"add": func(_ context.Context, t *Task) error {
		var in []int
		if err := t.Params(&in); err != nil {
			return err
		}
		return t.q.s.Update(context.Background(), func(tx *store.Tx) error {
			return errors.Join(t.Save(tx, "end", 2, 2), t.Result(tx, in[0]+in[1]))
		})
	}})
	j := b.await(b.enqueue("add", []int{2, 3}).ID, Done)
	if string(j.Result) != "5" || j.Done != 2 || j.Total != 2 || string(j.Cursor) != `"end"` || j.Attempts != 1 || j.Finished.IsZero() || j.Error != "" {
		t.Errorf("%+v", j)
	}
	if got, err := b.Get(t.Context(), j.ID); err != nil || got.State != Done {
		t.Errorf("%+v %v", got, err)
	}
}

func TestRolledBackIsNotRun(t *testing.T) {
	ran := make(chan string, 2)
	b := start(t, newPath(t), Options{}, map[string]Handler{"x": func(_ context.Context, t *Task) error {
		ran <- string(t.Job().Params)
		return nil
	}})
	undo := errors.New("undo")
	err := b.s.Update(t.Context(), func(tx *store.Tx) error {
		if _, err := b.Enqueue(tx, "x", "never"); err != nil {
			return err
		}
		return undo
	})
	if err != undo {
		t.Fatal(err)
	}
	b.await(b.enqueue("x", "once").ID, Done)
	b.stop()
	if close(ran); <-ran != `"once"` || <-ran != "" {
		t.Error("a job of a transaction that was rolled back was run")
	}
}

func TestFailedAndPanic(t *testing.T) {
	b := start(t, newPath(t), Options{}, map[string]Handler{
		"fail":  func(context.Context, *Task) error { return errors.New(strings.Repeat("no ", 2000)) },
		"panic": func(context.Context, *Task) error { panic("secret of Houman Haddad") },
		"index": func(_ context.Context, t *Task) error { _ = make([]int, 1)[t.n]; return nil },
		"exit": func(context.Context, *Task) error {
			runtime.Goexit()
			return nil
		},
		"fine": func(context.Context, *Task) error { return nil },
	})
	for kind, want := range map[string]string{"fail": "no no", "panic": "panic (string)", "index": "panic: runtime error: index out of range", "exit": "ended its goroutine"} {
		j := b.await(b.enqueue(kind, nil).ID, Failed)
		if !strings.Contains(j.Error, want) || strings.Contains(j.Error, "Houman") || len(j.Error) > maxError+10 {
			t.Errorf("%s: %q", kind, j.Error)
		}
	}
	// The workers are still there.
	for range 5 {
		b.await(b.enqueue("fine", nil).ID, Done)
	}
}

func TestLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		tries := 0
		b := start(t, newPath(t), Options{}, map[string]Handler{"deliver": func(_ context.Context, t *Task) error {
			if tries++; tries < 3 {
				return fmt.Errorf("deliver: %w", Later(10*time.Minute, errors.New("peer away")))
			}
			return nil
		}})
		id := b.enqueue("deliver", nil).ID
		j := b.await(id, Waiting)
		if !strings.Contains(j.Error, "peer away") || j.NotBefore.Sub(begin) != 10*time.Minute {
			t.Errorf("%+v", j)
		}
		j = b.await(id, Done)
		if j.Attempts != 3 || j.Error != "" || j.Finished.Sub(begin) != 20*time.Minute {
			t.Errorf("%+v", j)
		}
		b.stop()
	})
}

func TestWaitingSurvivesRestart(t *testing.T) {
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		b := start(t, path, Options{}, map[string]Handler{"x": func(context.Context, *Task) error { return Later(time.Hour, nil) }})
		id := b.enqueue("x", nil).ID
		b.await(id, Waiting)
		b.stop()
		b = start(t, path, Options{}, map[string]Handler{"x": func(context.Context, *Task) error { return nil }})
		if j := b.await(id, Done); j.Finished.Sub(begin) != time.Hour {
			t.Errorf("%+v", j)
		}
		b.stop()
	})
}

// TestResume stops a job again and again; each number must be counted exactly once.
func TestResume(t *testing.T) {
	path := newPath(t)
	const total = 50
	step := make(chan struct{})
	count := func(ctx context.Context, task *Task) error {
		var at int
		if _, err := task.Cursor(&at); err != nil {
			return err
		}
		sums := store.NewCollection[int](task.q.s, "sums", 1)
		for ; at < total; at++ {
			select {
			case <-step:
			case <-ctx.Done():
				return ctx.Err()
			}
			err := task.q.s.Update(context.Background(), func(tx *store.Tx) error {
				n, err := sums.Get(tx, []byte("sum"))
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				return errors.Join(sums.Put(tx, []byte("sum"), n+at), task.Save(tx, at+1, uint64(at+1), total))
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	b := start(t, path, Options{}, map[string]Handler{"count": count})
	id := b.enqueue("count", nil).ID
	for n := range total {
		step <- struct{}{}
		if n%7 == 3 {
			b.stop()
			s := openStore(t, path)
			j, err := New(s, Options{}).Get(t.Context(), id)
			if err != nil || j.State != Queued {
				t.Fatalf("after a stop: %+v %v", j, err)
			}
			s.Close()
			b = start(t, path, Options{}, map[string]Handler{"count": count})
		}
	}
	j := b.await(id, Done)
	if j.Done != total || j.Attempts != 1 {
		t.Errorf("%+v", j)
	}
	err := b.s.View(t.Context(), func(tx *store.Tx) error {
		n, err := store.NewCollection[int](b.s, "sums", 1).Get(tx, []byte("sum"))
		if n != total*(total-1)/2 {
			t.Errorf("sum %d", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	running := make(chan struct{})
	handlers := map[string]Handler{
		"hang": func(ctx context.Context, _ *Task) error {
			running <- struct{}{}
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), ErrCancelled) {
				return errors.New("wrong cause")
			}
			return ctx.Err()
		},
		"later":    func(context.Context, *Task) error { return Later(time.Hour, nil) },
		"stubborn": func(ctx context.Context, _ *Task) error { running <- struct{}{}; <-ctx.Done(); return nil },
	}
	b := start(t, newPath(t), Options{Workers: 1}, handlers)
	ctx := t.Context()

	hang := b.enqueue("hang", nil).ID
	<-running
	behind := b.enqueue("hang", nil).ID
	if j, err := b.Cancel(ctx, behind); err != nil || j.State != Cancelled {
		t.Errorf("queued: %+v %v", j, err)
	}
	if _, err := b.Cancel(ctx, hang); err != nil {
		t.Error(err)
	}
	b.await(hang, Cancelled)

	waiting := b.enqueue("later", nil).ID
	b.await(waiting, Waiting)
	if j, err := b.Cancel(ctx, waiting); err != nil || j.State != Cancelled {
		t.Errorf("waiting: %+v %v", j, err)
	}
	if _, err := b.Cancel(ctx, waiting); !errors.Is(err, ErrFinished) {
		t.Errorf("twice: %v", err)
	}

	stubborn := b.enqueue("stubborn", nil).ID
	<-running
	if _, err := b.Cancel(ctx, stubborn); err != nil {
		t.Error(err)
	}
	b.await(stubborn, Done)

	for _, id := range []string{"4711", "x", "", "01", "-1", "18446744073709551616"} {
		if _, err := b.Cancel(ctx, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := b.Get(ctx, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := b.Watch(ctx, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestWatchProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newPath(t), Options{}, map[string]Handler{"count": func(_ context.Context, t *Task) error {
			t.Describe("rows", "reading")
			for n := range uint64(1000) {
				time.Sleep(10 * time.Millisecond)
				t.Progress(n+1, 1000)
				if n%100 == 50 {
					// What is committed must not take what is shown back to the last checkpoint.
					if err := t.q.s.Update(context.Background(), func(tx *store.Tx) error { return t.Result(tx, n) }); err != nil {
						return err
					}
				}
			}
			return nil
		}})
		id := b.enqueue("count", nil).ID
		ch, err := b.Watch(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		seen, last := 0, Job{}
		for j := range ch {
			if j.Done < last.Done {
				t.Errorf("progress fell from %d to %d", last.Done, j.Done)
			}
			seen, last = seen+1, j
		}
		if last.State != Done || last.Done != 1000 || last.Unit != "rows" || last.Message != "reading" {
			t.Errorf("%+v", last)
		}
		if seen < 50 || seen > 130 {
			t.Errorf("%d states in 10 s", seen)
		}
		// Somebody who watches an ended job gets its last state, and the end.
		ch, err = b.Watch(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if j := <-ch; j.State != Done {
			t.Errorf("%+v", j)
		}
		if _, more := <-ch; more {
			t.Error("the channel is not closed")
		}
		b.stop()
	})
}

func TestSlowWatcherSeesTheLatest(t *testing.T) {
	goOn := make(chan struct{})
	b := start(t, newPath(t), Options{}, map[string]Handler{"count": func(_ context.Context, task *Task) error {
		for n := range uint64(100) {
			err := task.q.s.Update(context.Background(), func(tx *store.Tx) error { return task.Save(tx, n, n+1, 100) })
			if err != nil {
				return err
			}
		}
		goOn <- struct{}{}
		<-goOn
		return nil
	}})
	id := b.enqueue("count", nil).ID
	ctx, cancel := context.WithCancel(t.Context())
	ch, err := b.Watch(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	<-goOn
	if j := <-ch; j.Done != 100 || j.State != Running {
		t.Errorf("%+v", j)
	}
	cancel()
	for range ch { // closed because its context has ended
	}
	goOn <- struct{}{}
	b.await(id, Done)
}

func TestSaveAfterTheEnd(t *testing.T) {
	var kept *Task
	b := start(t, newPath(t), Options{}, map[string]Handler{"x": func(_ context.Context, t *Task) error { kept = t; return nil }})
	b.await(b.enqueue("x", nil).ID, Done)
	err := b.s.Update(t.Context(), func(tx *store.Tx) error { return kept.Save(tx, 1, 1, 1) })
	if !errors.Is(err, ErrNotRunning) {
		t.Errorf("%v", err)
	}
}

func TestWorkersAreBounded(t *testing.T) {
	const workers, jobs = 3, 12
	var now, most, ran atomic.Int32
	begun, gate := make(chan struct{}), make(chan struct{})
	b := start(t, newPath(t), Options{Workers: workers}, map[string]Handler{"x": func(context.Context, *Task) error {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		ran.Add(1)
		begun <- struct{}{}
		<-gate
		now.Add(-1)
		return nil
	}})
	var ids []string
	for range jobs {
		ids = append(ids, b.enqueue("x", nil).ID)
	}
	for range workers {
		<-begun
	}
	for n := range jobs {
		gate <- struct{}{}
		if n < jobs-workers {
			<-begun
		}
	}
	for _, id := range ids {
		b.await(id, Done)
	}
	if most.Load() != workers || ran.Load() != jobs {
		t.Errorf("%d at once, %d run", most.Load(), ran.Load())
	}
}

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var forgotten []string
		o := Options{Workers: 1, Keep: 5, KeepFor: 24 * time.Hour, Forget: func(_ *store.Tx, j Job) error {
			forgotten = append(forgotten, j.ID)
			return nil
		}}
		b := start(t, newPath(t), o, map[string]Handler{"x": func(context.Context, *Task) error { return nil }})
		for range 12 {
			b.await(b.enqueue("x", nil).ID, Done)
		}
		synctest.Wait()
		list, err := b.List(t.Context(), Filter{})
		if err != nil || len(list) != 5 || list[0].ID != "12" || list[4].ID != "8" {
			t.Errorf("%+v %v", list, err)
		}
		time.Sleep(26 * time.Hour)
		synctest.Wait()
		if list, err = b.List(t.Context(), Filter{}); err != nil || len(list) != 0 {
			t.Errorf("%+v %v", list, err)
		}
		if len(forgotten) != 12 || forgotten[0] != "1" {
			t.Errorf("%v", forgotten)
		}
		b.stop()
	})
}

func TestList(t *testing.T) {
	b := start(t, newPath(t), Options{}, map[string]Handler{"a": func(context.Context, *Task) error { return nil }})
	for range 3 {
		b.await(b.enqueue("a", nil).ID, Done)
		b.enqueue("no handler", nil)
	}
	ids := func(f Filter) string {
		list, err := b.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, j := range list {
			out = append(out, j.ID)
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "6 5 4 3 2 1"},
		{Filter{Kind: "a"}, "5 3 1"},
		{Filter{States: []State{Queued, Running}}, "6 4 2"},
		{Filter{Limit: 2}, "6 5"},
		{Filter{Limit: 2, Before: "5"}, "4 3"},
		{Filter{Before: "1"}, ""},
	} {
		if got := ids(c.f); got != c.want {
			t.Errorf("%+v: %s, want %s", c.f, got, c.want)
		}
	}
}

// TestDeaths has the process die during a job, as far as the store can tell: the record says running, and nobody runs it.
func TestDeaths(t *testing.T) {
	path := newPath(t)
	b := start(t, path, Options{}, nil)
	j := b.enqueue("x", nil)
	die := func(b *bench, mutate func(r *record)) {
		err := b.s.Update(t.Context(), func(tx *store.Tx) error {
			r, n, err := b.get(tx, j.ID)
			if err != nil {
				return err
			}
			r.State, r.Attempts = Running, 1
			mutate(&r)
			return b.col.Put(tx, store.ID(n), r)
		})
		if err != nil {
			t.Fatal(err)
		}
		b.stop()
	}
	die(b, func(r *record) { r.Deaths = 3 })
	ran := 0
	handler := map[string]Handler{"x": func(context.Context, *Task) error { ran++; return errors.New("seen") }}
	b = start(t, path, Options{}, handler)
	if got := b.await(j.ID, Failed); got.Error != "seen" || got.Attempts != 1 {
		t.Errorf("%+v", got)
	}
	die(b, func(r *record) { r.Deaths = 4 })
	b = start(t, path, Options{}, handler)
	if got := b.await(j.ID, Failed); !strings.Contains(got.Error, "ended 5 times") || ran != 1 {
		t.Errorf("%+v, run %d times", got, ran)
	}
	die(b, func(r *record) { r.Cancel = true })
	b = start(t, path, Options{}, handler)
	b.await(j.ID, Cancelled)
	if ran != 1 {
		t.Error("a cancelled job was run")
	}
}

func TestSaveForgivesDeaths(t *testing.T) {
	b := start(t, newPath(t), Options{}, map[string]Handler{"x": func(_ context.Context, task *Task) error {
		q := task.q
		deaths := func() (n int) {
			err := q.s.View(context.Background(), func(tx *store.Tx) error {
				r, err := q.col.Get(tx, store.ID(task.n))
				n = r.Deaths
				return err
			})
			if err != nil {
				t.Error(err)
			}
			return n
		}
		err := q.s.Update(context.Background(), func(tx *store.Tx) error {
			r, err := q.col.Get(tx, store.ID(task.n))
			r.Deaths = 3
			return errors.Join(err, q.col.Put(tx, store.ID(task.n), r))
		})
		if err != nil || deaths() != 3 {
			t.Error(err, deaths())
		}
		if err := q.s.Update(context.Background(), func(tx *store.Tx) error { return task.Save(tx, 1, 1, 2) }); err != nil {
			t.Error(err)
		}
		if deaths() != 0 {
			t.Errorf("%d deaths after a checkpoint", deaths())
		}
		return nil
	}})
	b.await(b.enqueue("x", nil).ID, Done)
}

// TestLateNewsIsDropped shows a watcher two states in the wrong order, as two commits close together can.
func TestLateNewsIsDropped(t *testing.T) {
	b := start(t, newPath(t), Options{}, nil)
	j := b.enqueue("x", nil)
	ch, err := b.Watch(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-ch
	news := func(revision, done uint64) {
		b.changed(1, record{Job: Job{ID: j.ID, State: Running, Done: done, Revision: revision}})
	}
	news(7, 70)
	news(6, 60)
	if got := <-ch; got.Done != 70 {
		t.Errorf("%+v", got)
	}
}

func TestRunTwice(t *testing.T) {
	b := start(t, newPath(t), Options{}, map[string]Handler{"x": func(context.Context, *Task) error { return nil }})
	b.await(b.enqueue("x", nil).ID, Done)
	if err := b.Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestErrorsHoldNoParameters(t *testing.T) {
	b := start(t, newPath(t), Options{}, map[string]Handler{"x": func(_ context.Context, t *Task) error {
		var n int
		return t.Params(&n)
	}})
	j := b.await(b.enqueue("x", "Houman Haddad").ID, Failed)
	if strings.Contains(j.Error, "Houman") || !strings.Contains(j.Error, "int") {
		t.Errorf("%q", j.Error)
	}
	if _, err := b.Queue.EnqueueAt(nil, "", nil, time.Time{}); err == nil {
		t.Error("a job without a kind")
	}
}
