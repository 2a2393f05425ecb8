package interop

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
)

// foreign is the implementation behind the pipe.
type foreign struct {
	mu  sync.Mutex
	in  *json.Encoder
	out *bufio.Reader
}

type object = map[string]any

var install = sync.OnceValue(func() error {
	if _, err := os.Stat("node_modules/@seriousme/openapi-schema-validator"); err == nil {
		return nil
	}
	out, err := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return err
})

// start runs the foreign implementation for one test.
func start(t *testing.T) *foreign {
	t.Helper()
	skip := t.Skip
	if os.Getenv("IHYID_REQUIRE_NODE") == "1" {
		skip = t.Fatal
	}
	node, err := exec.LookPath("node")
	if err != nil {
		skip("SKIPPED: Node.js is not there:", err)
	}
	if err := install(); err != nil {
		skip("SKIPPED: the foreign implementation cannot be installed:", err)
	}
	cmd := exec.Command(node, "foreign.mjs")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &foreign{in: json.NewEncoder(in), out: bufio.NewReaderSize(out, 1<<20)}
}

// ask sends a request and gives the answer; an error that the other side reports stands in "error".
func (f *foreign) ask(t testing.TB, request object) object {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.in.Encode(request); err != nil {
		t.Fatal(err)
	}
	line, err := f.out.ReadBytes('\n')
	if err != nil {
		t.Fatal("the foreign implementation ended: ", err)
	}
	var answer object
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// rounds is how many random documents each test makes: IHYID_INTEROP_ROUNDS, or 200.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("IHYID_INTEROP_ROUNDS")); err == nil && n > 0 {
		return n
	}
	if testing.Short() {
		return 20
	}
	return 400
}
