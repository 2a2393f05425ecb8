package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"ihyid/exchange/bench"
)

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure what this machine can do; needs no node"}
	cmd.AddCommand(a.benchMatch())
	return cmd
}

// benchFigures is what bench match answers with --json.
type benchFigures struct {
	Protocol          bench.Protocol `json:"protocol"`
	N                 int            `json:"n"`
	M                 int            `json:"m"`
	Common            int            `json:"common"`
	Cores             int            `json:"cores"`
	Seconds           float64        `json:"seconds"` // both sides, one after the other
	ElementsPerSecond float64        `json:"elements_per_second"`
	PairsPerSecond    float64        `json:"pairs_per_second,omitempty"` // noise: of the trying itself
	CPUInitiator      float64        `json:"cpu_seconds_initiator"`
	CPUResponder      float64        `json:"cpu_seconds_responder"`
	SentInitiator     uint64         `json:"bytes_sent_initiator"`
	SentResponder     uint64         `json:"bytes_sent_responder"`
	BytesPerElement   float64        `json:"bytes_per_element"`
	PeakHeap          uint64         `json:"peak_heap_bytes"` // both sides together
	Stages            []benchStage   `json:"stages"`
}

type benchStage struct {
	Name    string  `json:"name"`
	Side    string  `json:"side"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Count   uint64  `json:"count"`
	Unit    string  `json:"unit"`
	Rate    float64 `json:"per_second"`
}

func newBenchFigures(f bench.Figures) benchFigures {
	out := benchFigures{
		Protocol: f.Protocol, N: f.Initiator, M: f.Responder, Common: f.Common, Cores: f.Cores, Seconds: f.Elapsed.Seconds(),
		ElementsPerSecond: f.ElementsPerSecond(), CPUInitiator: f.CPU[0].Seconds(), CPUResponder: f.CPU[1].Seconds(),
		SentInitiator: f.Sent[0], SentResponder: f.Sent[1], BytesPerElement: f.BytesPerElement(), PeakHeap: f.PeakHeap,
	}
	for _, s := range f.Stages {
		out.Stages = append(out.Stages, benchStage{s.Name, string(s.Side), s.Elapsed.Seconds(), s.CPU.Seconds(), s.Count, s.Unit, s.Rate()})
		if s.Unit == "pairs" {
			out.PairsPerSecond = s.Rate()
		}
	}
	return out
}

func (a *app) benchMatch() *cobra.Command {
	var protocol string
	var n, m, common int
	cmd := &cobra.Command{
		Use:   "match",
		Short: "Run the matching of two registers of a given size, both sides on this machine",
		Long: `Run the matching of two registers of a given size, both sides in this process, on made-up
contacts: all of a protocol's cryptography, commitments and checks, without signatures, storage and network.
It says how long it takes, what each side computes, what crosses the wire and what memory it needs, so
that you can tell what machine you need. A run with a wrong result ends with status 1.`,
		Example: "  ihyid bench match --protocol voprf --n 100000 --m 100000\n  ihyid bench match --protocol noise --n 10000 --m 100000 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if common < 0 {
				common = min(n, m) / 10
			}
			bars := a.stages(cmd.Context())
			if err := required("protocol", protocol, []bench.Protocol{bench.VOPRF, bench.Noise}); err != nil {
				return err
			}
			f, err := bench.Run(cmd.Context(), bench.Spec{Protocol: bench.Protocol(protocol), Initiator: n, Responder: m, Common: common, Progress: bars.tell})
			bars.stop()
			if errors.Is(err, bench.ErrSpec) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			return a.showFigures(newBenchFigures(f))
		},
	}
	f := cmd.Flags()
	f.StringVar(&protocol, "protocol", string(bench.VOPRF), "voprf or noise")
	f.IntVar(&n, "n", 10_000, "match `keys` of the initiator; a contact has one or more, by the profile")
	f.IntVar(&m, "m", 10_000, "match `keys` of the responder")
	f.IntVar(&common, "common", -1, "how many of them are the same (default: a tenth of the smaller)")
	return cmd
}

func (a *app) showFigures(f benchFigures) error {
	if a.json {
		return a.printJSON(f)
	}
	speed := fmt.Sprintf("%.0f elements/s", f.ElementsPerSecond)
	if f.PairsPerSecond > 0 {
		speed = fmt.Sprintf("%.0f pairs/s", f.PairsPerSecond)
	}
	if err := a.facts("protocol", f.Protocol, "elements", fmt.Sprintf("%d × %d, %d in common", f.N, f.M, f.Common), "took", fmt.Sprintf("%.2f s on %s", f.Seconds, plural(f.Cores, "core", "cores")),
		"speed", speed, "processor", fmt.Sprintf("initiator %.2f s, responder %.2f s", f.CPUInitiator, f.CPUResponder),
		"sent", fmt.Sprintf("initiator %s, responder %s (%.1f bytes an element)", mebibytes(f.SentInitiator), mebibytes(f.SentResponder), f.BytesPerElement),
		"memory", mebibytes(f.PeakHeap)+" of heap at most, both sides together"); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	t := newTable(a.out, "STAGE", "SIDE", "SECONDS", "CPU SECONDS", "RATE")
	for _, s := range f.Stages {
		t.row(s.Name, s.Side, fmt.Sprintf("%.2f", s.Seconds), fmt.Sprintf("%.2f", s.CPU), fmt.Sprintf("%.0f %s/s", s.Rate, s.Unit))
	}
	return t.flush()
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// stageBars draws one bar after another, away from a terminal none.
type stageBars struct {
	*progress
	mu   sync.Mutex
	name string
}

func (a *app) stages(ctx context.Context) *stageBars { return &stageBars{progress: a.progress(ctx)} }

func (b *stageBars) tell(stage string, done, total uint64) {
	if b.bars == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.name != stage {
		b.name = stage
		b.replace(b.bars.AddBar(int64(total), mpb.PrependDecorators(decor.Name(stage+" ")),
			mpb.AppendDecorators(decor.CountersNoUnit("%d / %d")), mpb.BarRemoveOnComplete()))
	}
	b.bar.SetCurrent(int64(done))
}
