package file

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func childProcess(path string, keys int) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childEnv+"="+path)
	if keys > 0 {
		c.Env = append(c.Env, fmt.Sprintf("%s_KEYS=%d", childEnv, keys))
	}
	return c
}

// TestKilled kills a process in the midst of its writing, again and again: the
// store opens every time, with every key whose Create had returned.
func TestKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	mustCreate(t, path, Options{})
	told := make(map[string]bool)
	for round := range 12 {
		c := childProcess(path, 0)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			told[lines.Text()] = true
			if n == round%4 {
				if err := c.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := c.Wait(); err == nil {
			t.Fatal("the process was to be killed")
		}
		s := mustOpen(t, path, Options{})
		for id := range told {
			if _, err := s.Get(t.Context(), id); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		newKey(t, s)
	}
}

// TestProcesses has three processes and this one create keys in one store at
// the same time: none overwrites another's.
func TestProcesses(t *testing.T) {
	t.Parallel()
	const each = 15
	path := filepath.Join(t.TempDir(), "keys")
	s := mustCreate(t, path, Options{})
	var wg sync.WaitGroup
	var outs [3]bytes.Buffer
	for i := range outs {
		wg.Go(func() {
			c := childProcess(path, each)
			var stderr strings.Builder
			c.Stdout, c.Stderr = &outs[i], &stderr
			if err := c.Run(); err != nil {
				t.Errorf("process %d: %v: %s", i, err, stderr.String())
			}
		})
	}
	var ids []string
	for range each {
		ids = append(ids, newKey(t, s).ID)
	}
	wg.Wait()
	for i := range outs {
		ids = append(ids, strings.Fields(outs[i].String())...)
	}
	if len(ids) != 4*each {
		t.Errorf("%d keys were made, want %d", len(ids), 4*each)
	}
	for _, id := range ids {
		if _, err := s.Get(t.Context(), id); err != nil {
			t.Errorf("Get: %v", err)
		}
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != len(ids) {
		t.Errorf("List: %d keys, %v, want %d", len(list), err, len(ids))
	}
}
