package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"ihyid/cmd/ihyid/demo"
	"ihyid/exchange"
)

func (a *app) demoCommand() *cobra.Command {
	o := demo.Options{Profile: defaultProfile, Protocols: []string{exchange.ProtocolVOPRF, exchange.ProtocolNoise}, Proof: exchange.ProofRDFC}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job: three nodes register, exchange, find whom they share, and leave receipts",
		Long: `Start three nodes on this machine, each a process with its own keys and its own DID; load a
list of invented people into each; register every two with each other; find which people every two
have in common without any personal data leaving a node, once by each protocol; verify the signed receipts as an auditor
would, and show that a tampered one is refused.

Nothing outside this machine is reached, and nothing is left behind unless --dir or --keep is given.
The results are held against the truth; where anything is off, the exit status is 1.`,
		Example: `  ihyid demo
  ihyid demo --dir out --keep
  ihyid demo --json
  ihyid demo --kms pkcs11`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Program, err = os.Executable(); err != nil {
				return fmt.Errorf("finding this program itself: %w", err)
			}
			if !a.json {
				o.Out = a.out
			}
			if o.KMS != "file" && o.KMS != "pkcs11" {
				return usagef("--kms must be file or pkcs11")
			}
			if err := required("proof", o.Proof, proofNames); err != nil {
				return err
			}
			if o.Keep && a.json {
				return usagef("--keep waits for Ctrl-C and --json for the end: give one")
			}
			r, err := demo.Run(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("the demonstration could not be shown: %w", err)
			}
			if a.json {
				err = a.printJSON(r)
			}
			if err == nil && !r.OK {
				return errNo
			}
			return err
		},
	}
	cmd.Flags().StringVar(&o.KMS, "kms", "file", "where the nodes' keys are: `file|pkcs11` (a SoftHSM token for each node; needs softhsm2)")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "`directory` to leave receipts, DID documents and presentations in; new or empty")
	cmd.Flags().StringVar(&o.Proof, "proof", o.Proof, "how the nodes sign receipts and organisation credentials: `rdfc|jcs|jose`")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave the nodes running until Ctrl-C, and say where they are")
	return cmd
}
