package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryCommandHasOperations: a command that does not say what it asks a node for keeps serve from starting.
func TestEveryCommandHasOperations(t *testing.T) {
	a := &app{}
	root := a.root()
	if err := checkCommands(root); err != nil {
		t.Fatal(err)
	}
	root.AddCommand(&cobra.Command{Use: "burn", RunE: func(*cobra.Command, []string) error { return nil }})
	if err := checkCommands(root); err == nil || !strings.Contains(err.Error(), "burn") {
		t.Errorf("a command without operations passes: %v", err)
	}
	var names []string
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		names = append(names, strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), root.Name())))
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
	for name := range commandOperations {
		if !slices.Contains(names, name) {
			t.Errorf("there is no command %q any more", name)
		}
	}
}
