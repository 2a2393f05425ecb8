package main

import (
	"os"

	"github.com/spf13/cobra"

	"ihyid/cmd/ihyid/demo"
)

func (a *app) demoCommand() *cobra.Command {
	o := demo.Options{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job with three nodes on this machine",
		Long: `Show the main job with three nodes on this machine: each gets a list of made-up people,
every pair registers and exchanges, every receipt is verified as an auditor would, and
a tampered one is refused. The results are held against the truth beside the lists; the
status is 1 if anything is off.`,
		Example: "  ihyid demo\n  ihyid demo --dir demo --keep",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			if !a.json {
				o.Out = a.out
			}
			result, err := demo.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(result); err != nil {
					return err
				}
			}
			if !result.OK {
				return errNo
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", "", "leave receipts, DID documents and presentations in this `directory`")
	f.BoolVar(&o.Keep, "keep", false, "leave the nodes running until interrupted")
	f.StringVar(&o.Profile, "profile", defaultProfile, "matching profile")
	f.StringVar(&o.Protocol, "protocol", "noise", "protocol of the exchanges")
	return cmd
}
