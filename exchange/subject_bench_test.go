package exchange

import (
	"fmt"
	"testing"
	"time"

	"ihyid/store"
)

// BenchmarkSubjectReport reports on a contact whom 1,000 of 10,000 exchanges with 20 peers found.
func BenchmarkSubjectReport(b *testing.B) {
	const exchanges, peers = 10_000, 20
	n := newWorld(b).add("a.example")
	n.importCSV(listA)
	ctx := b.Context()
	for from := 0; from < exchanges; from += 1000 {
		must(b, n.store.Update(ctx, func(tx *store.Tx) error {
			for i := from; i < from+1000; i++ {
				s := &session{ID: fmt.Sprintf("%032x", i), Peer: fmt.Sprintf("did:web:peer%d.example", i%peers), State: StateDone,
					Finished: n.now().Add(time.Duration(i) * time.Second), Request: Request{Profile: "levant/1", Protocol: ProtocolVOPRF, Purpose: "a benchmark"}}
				if err := n.putSession(tx, s); err != nil {
					return err
				}
				if i%10 != 0 {
					continue
				}
				if err := n.putMatches(tx, s, found{matches: []keptMatch{{Match: Match{Contact: 1, Row: fmt.Sprintf("%032x", i), Tier: "match", Keys: []string{"all"}}}}}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for b.Loop() {
		report, err := n.SubjectReport(ctx, 1)
		must(b, err)
		if len(report.Matches) != exchanges/10 || len(report.Compared) != peers {
			b.Fatalf("%d matches, %d peers", len(report.Matches), len(report.Compared))
		}
	}
}
