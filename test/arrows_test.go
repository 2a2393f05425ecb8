package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath string
	Imports    []string // of the package itself
	Deps       []string // all that it needs, directly or not
}

const module = "ihyid/"

// goList asks the go command; dependencies of tests are not among what it answers.
func goList(t *testing.T, args ...string) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, args...)...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.Bytes())
	}
	all := map[string]pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// ours gives the path within the module, and its first part: the room of the house.
func ours(importPath string) (within, room string, ok bool) {
	within, ok = strings.CutPrefix(importPath, module)
	room, _, _ = strings.Cut(within, "/")
	return within, room, ok
}

// rooms says for every room which others it may know, directly or through others.
var rooms = map[string][]string{
	"did":         {},
	"kms":         {},
	"contacts":    {},
	"store":       {},
	"credentials": {"did", "kms"},
	"examples":    {},
	"exchange":    {"credentials", "contacts", "did", "kms", "store"},
	"api":         {"exchange", "credentials", "contacts", "did", "kms", "store"},
	"cmd":         {"api", "exchange", "credentials", "contacts", "did", "kms", "store", "examples"},
	"test":        {"api", "cmd", "exchange", "credentials", "contacts", "did", "kms", "store", "examples"},
}

// What comes from outside: which packages a room must not need, even through others, and which only one room may import.
var (
	notNeeded = map[string][]string{
		"contacts": {"net/http"},
		"kms":      {"net/http"},
		"store":    {"net/http"},
	}
	onlyIn = map[string]string{"go.etcd.io/bbolt": "store", "go.opentelemetry.io/otel": "api"}
)

var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "model", "models", "type", "types", "base", "service", "services", "misc"}

// TestArrows holds the packages to section 1 of the design: who may know whom.
func TestArrows(t *testing.T) {
	packages := goList(t, "./...")
	if len(packages) < len(rooms) {
		t.Fatalf("only %d packages were found", len(packages))
	}
	seen := map[string]bool{}
	for _, p := range packages {
		within, room, ok := ours(p.ImportPath)
		if !ok {
			continue
		}
		allowed, known := rooms[room]
		if !known {
			t.Errorf("%s is in no room of the house", within)
			continue
		}
		seen[room] = true
		if slices.Contains(emptyNames, path.Base(within)) {
			t.Errorf("%s has a name that says nothing", within)
		}
		for _, dep := range p.Deps {
			to, toRoom, own := ours(dep)
			switch {
			case own && toRoom != room && !slices.Contains(allowed, toRoom):
				t.Errorf("%s knows %s: arrows point down only", within, to)
			case slices.Contains(notNeeded[room], dep):
				t.Errorf("%s needs %s", within, dep)
			}
		}
		for _, imp := range p.Imports {
			for what, only := range onlyIn {
				if (imp == what || strings.HasPrefix(imp, what+"/")) && room != only {
					t.Errorf("%s imports %s; only %s may", within, imp, only)
				}
			}
		}
	}
	for room := range rooms {
		if !seen[room] {
			t.Errorf("there is no package in %s", room)
		}
	}
}
