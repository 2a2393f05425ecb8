package main

import (
	"context"
	"errors"
	"fmt"

	"ihyid/api"
	"ihyid/exchange/register"
)

// minDisk is how much room the disk must have for a node to be ready: a batch of an import, and what the store writes beside it.
const minDisk = 64 << 20

// readyChecks look at what a node cannot work without.
func readyChecks(data string, p *parts, reg *register.Register) []api.ReadyCheck {
	return []api.ReadyCheck{
		{Name: "store", Check: func(ctx context.Context) error {
			_, err := reg.Count(ctx)
			return err
		}},
		{Name: "keys", Check: p.keys.Check},
		{Name: "disk", Check: func(context.Context) error {
			free, err := freeSpace(data)
			switch {
			case errors.Is(err, errors.ErrUnsupported):
				return nil
			case err != nil:
				return err
			case free < minDisk:
				return fmt.Errorf("the disk of %s has %d MiB left: make room", data, free>>20)
			}
			return nil
		}},
	}
}
