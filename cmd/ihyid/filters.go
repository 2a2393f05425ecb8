package main

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/exchange"
	"ihyid/store/jobs"
)

// The states that lists are filtered by.
var (
	peerStates      = []exchange.PeerState{exchange.PeerInvited, exchange.PeerRequested, exchange.PeerApproved, exchange.PeerRefused, exchange.PeerSuspended}
	agreementStates = []exchange.AgreementState{exchange.AgreementProposed, exchange.AgreementAsked, exchange.AgreementActive, exchange.AgreementRefused, exchange.AgreementEnded}
	exchangeStates  = []exchange.State{exchange.StatePreparing, exchange.StateOpening, exchange.StateAccepted, exchange.StateUploading, exchange.StateMatching,
		exchange.StateClaiming, exchange.StateWaiting, exchange.StateAnswering, exchange.StateReceipt, exchange.StateDone, exchange.StateFailed}
	jobStates = []jobs.State{jobs.Queued, jobs.Running, jobs.Waiting, jobs.Done, jobs.Failed, jobs.Cancelled}
)

// The words of other flags.
var (
	protocolNames = []string{exchange.ProtocolVOPRF, exchange.ProtocolNoise}
	curveNames    = []string{"P-256", "P-384"}
	proofNames    = []string{exchange.ProofRDFC, exchange.ProofJCS, exchange.ProofJOSE}
)

// oneOf refuses a flag's value that is none of those which may be; "" is none given.
func oneOf[T ~string](flag, value string, may []T) error {
	if value == "" || slices.Contains(may, T(value)) {
		return nil
	}
	return usagef("--%s %q: it must be %s", flag, value, orList(may))
}

// required is oneOf for a flag that may not be empty either.
func required[T ~string](flag, value string, may []T) error {
	if value == "" {
		return usagef("--%s must be %s", flag, orList(may))
	}
	return oneOf(flag, value, may)
}

// orList writes "a, b or c".
func orList[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// moment reads the time of a flag; "" is none.
func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usagef("--%s must be a time such as 2026-05-07T09:30:00Z", flag)
	}
	return t, nil
}

// listFilter are the flags by which a list is filtered.
type listFilter struct {
	client.Filter
	since string
}

// flags adds the flags of a list that has these filters; limit is how many are shown unless the flag says otherwise, 0 for all.
func (f *listFilter) flags(cmd *cobra.Command, limit int, filters ...string) {
	for _, name := range filters {
		switch name {
		case "state":
			cmd.Flags().StringVar(&f.State, name, "", "only those in this `state`")
		case "peer":
			cmd.Flags().StringVar(&f.Peer, name, "", "only those with this peer, by its `DID`")
		case "kind":
			cmd.Flags().StringVar(&f.Kind, name, "", "only those of this `kind`, such as contacts.import")
		case "role":
			cmd.Flags().StringVar(&f.Role, name, "", "only those with this `role`")
		case "since":
			cmd.Flags().StringVar(&f.since, name, "", "only those from this `time` on")
		}
	}
	cmd.Flags().IntVar(&f.Limit, "limit", limit, "show at most this many; 0 is all")
}

// checkFilter makes sure that the flags make sense.
func checkFilter[T ~string](f *listFilter, states []T) (err error) {
	if f.Limit < 0 {
		return usagef("--limit must be at least 1, or 0 for all")
	}
	if err := oneOf("state", f.State, states); err != nil {
		return err
	}
	f.Since, err = moment("since", f.since)
	return err
}

// chosen reports whether any filter is set, so that an empty list does not mean that there is nothing yet.
func (f *listFilter) chosen() bool {
	return f.State != "" || f.Peer != "" || f.Kind != "" || f.Role != "" || !f.Since.IsZero()
}
