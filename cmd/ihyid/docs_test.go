package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const top = "../.."

// quoted finds what the pages show as code: between backquotes, and in blocks.
var quoted = regexp.MustCompile("(?s)```[a-z]*\n(.*?)```|`([^`\n]+)`")

// TestPagesNameCommandsThatThereAre: every command that README and docs/ show exists, with the flags that stand there.
func TestPagesNameCommandsThatThereAre(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, page := range append(pages, filepath.Join(top, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quoted.FindAllStringSubmatch(string(text), -1) {
			for line := range strings.SplitSeq(m[1]+m[2], "\n") {
				line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "ExecStart=/usr/local/"), "bin/")
				if !strings.HasPrefix(line, "ihyid ") {
					continue
				}
				shown++
				if what := wrongCommand(strings.Fields(line)[1:]); what != "" {
					t.Errorf("%s shows %q: %s", filepath.Base(page), line, what)
				}
			}
		}
	}
	if shown < 50 {
		t.Errorf("found %d commands in the pages: are they still looked for in the right way?", shown)
	}
	for _, line := range []string{"contact list", "contacts nonsense", "contacts list --nonsense"} {
		if wrongCommand(strings.Fields(line)) == "" {
			t.Errorf("%q passes", line)
		}
	}
}

// wrongCommand says what is wrong with the words of a command, or "".
func wrongCommand(words []string) string {
	cmd := (&app{}).root()
	for _, word := range words {
		word = strings.TrimRight(word, ",.;:")
		if name, ok := strings.CutPrefix(word, "--"); ok {
			name, _, _ = strings.Cut(name, "=")
			if name != "help" && cmd.Flag(name) == nil {
				return cmd.CommandPath() + " has no flag --" + name
			}
			continue
		}
		if !cmd.HasSubCommands() || strings.ToUpper(word) == word {
			continue // an argument, or a place for one
		}
		var next *cobra.Command
		for _, sub := range cmd.Commands() {
			if sub.Name() == word || sub.HasAlias(word) {
				next = sub
			}
		}
		if next == nil {
			return cmd.CommandPath() + " has no command " + word
		}
		cmd = next
	}
	return ""
}

// TestPagesNameEverySetting: the table of settings has every flag of serve.
func TestPagesNameEverySetting(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	serve, _, err := (&app{}).root().Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	serve.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" && !strings.Contains(string(text), "`--"+f.Name+"`") {
			t.Errorf("docs/operations.md does not name the setting --%s", f.Name)
		}
	})
}

// made finds the names of collections and of kinds of jobs in the source.
var made = regexp.MustCompile(`NewCollection\[[^(]*\(\w[\w.]*, "([^"]+)"|"((?:contacts|exchange|peers|agreements|store)\.(?:import|index|retention|duplicates|initiate|respond|deliver|[a-z]+-[a-z]+))"`)

// TestPagesNameWhatIsStored: docs/architecture.md has every collection of the store and every kind of job.
func TestPagesNameWhatIsStored(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range []string{"api", "exchange", "store"} {
		err := filepath.WalkDir(filepath.Join(top, dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range made.FindAllStringSubmatch(string(source), -1) {
				found++
				name, _, _ := strings.Cut(m[1]+m[2], "/1")
				if !strings.Contains(string(text), "`"+name) {
					t.Errorf("docs/architecture.md does not name %q of %s", m[1]+m[2], path)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 30 {
		t.Errorf("found %d names in the source: are they still looked for in the right way?", found)
	}
}
