package jobs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"ihyid/store"
)

const killPath = "IHYID_JOBS_TEST_PATH"

// counting adds up 0..total-1, one number a transaction, and says how far it is.
func counting(s *store.Store, total int, say func(n int)) Handler {
	sums := store.NewCollection[int](s, "sums", 1)
	return func(ctx context.Context, t *Task) error {
		var at int
		if _, err := t.Cursor(&at); err != nil {
			return err
		}
		for ; at < total; at++ {
			err := s.Update(ctx, func(tx *store.Tx) error {
				n, err := sums.Get(tx, []byte("sum"))
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				return errors.Join(sums.Put(tx, []byte("sum"), n+at), t.Save(tx, at+1, uint64(at+1), uint64(total)))
			})
			if err != nil {
				return err
			}
			say(at + 1)
		}
		return nil
	}
}

const killTotal = 1_000_000 // never reached by a process that is killed

// TestKilledHelper is what the other process runs; in the test run itself it does nothing.
func TestKilledHelper(t *testing.T) {
	path := os.Getenv(killPath)
	if path == "" {
		return
	}
	s := openStore(t, path)
	q := New(s, Options{})
	q.Handle("count", counting(s, killTotal, func(n int) { fmt.Println(n) }))
	t.Fatal(q.Run(context.Background()))
}

// TestKilled kills a process in the middle of a job, again and again. Each number must have been counted exactly once.
func TestKilled(t *testing.T) {
	path := newPath(t)
	b := start(t, path, Options{}, nil)
	id := b.enqueue("count", nil).ID
	b.stop()
	said := 0
	for range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledHelper$")
		cmd.Env = append(os.Environ(), killPath+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := rand.IntN(20) + 1; n > 0 && lines.Scan(); n-- {
			if said, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
		}
		// Not to wait for anything, only to hit another moment each time.
		time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() { cmd.Process.Kill() })
		for lines.Scan() {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				said = n
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("it ended by itself")
		}
	}
	s := openStore(t, path)
	j, err := New(s, Options{}).Get(t.Context(), id)
	if err != nil || j.State != Running || j.Done < uint64(said) {
		t.Fatalf("said %d: %+v %v", said, j, err)
	}
	s.Close()
	total := int(j.Done) + 10
	s = openStore(t, path)
	q := New(s, Options{})
	q.Handle("count", counting(s, total, func(int) {}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- q.Run(ctx) }()
	b = &bench{Queue: q, t: t, s: s}
	j = b.await(id, Done)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if j.Attempts != 1 {
		t.Errorf("%+v", j)
	}
	err = s.View(t.Context(), func(tx *store.Tx) error {
		n, err := store.NewCollection[int](s, "sums", 1).Get(tx, []byte("sum"))
		if n != total*(total-1)/2 {
			t.Errorf("counted %d up to %d", n, total)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
