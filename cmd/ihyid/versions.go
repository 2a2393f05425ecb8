package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// versioned are the commands that change one thing which others may change at the same time.
var versioned = []string{
	"contacts edit", "contacts delete", "contacts retention set", "contacts retention off",
	"peers approve", "peers refuse", "peers suspend", "peers resume", "peers confirm", "peers remove",
	"agreements approve", "agreements refuse", "agreements end", "exchange approve", "exchange refuse", "exchange excuse",
	"users role", "users password", "users disable", "users enable",
}

// addVersions gives those commands the flag by which two people do not undo each other's work.
func (a *app) addVersions(root *cobra.Command) {
	for _, path := range versioned {
		cmd, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 {
			panic("there is no command " + path) // the list above is wrong, and every test finds it
		}
		cmd.Flags().Func("if-version", "do it only if this is still the `version` that show (with --json) gave", func(text string) error {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return fmt.Errorf("it must be a number")
			}
			a.ifVersion = &n
			return nil
		})
	}
}
