package bench

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
)

// Protocol is a matching protocol.
type Protocol string

// The protocols.
const (
	Noise Protocol = "noise"
	VOPRF Protocol = "voprf"
)

// Side is one of the two parties.
type Side string

// The sides.
const (
	Initiator Side = "initiator"
	Responder Side = "responder"
)

// Spec says what to run.
type Spec struct {
	Protocol Protocol
	// Initiator and Responder are the numbers of digests of the two sides, Common how many of
	// them are the same.
	Initiator, Responder, Common int
	// Progress, if not nil, is told where the run is: within a stage, done of total, in elements (pairs, for matching by
	// noise). Calls may come from several goroutines, but never two at once.
	Progress func(stage string, done, total uint64)
}

// Stage is a part of a run.
type Stage struct {
	Name    string        `json:"name"`
	Side    Side          `json:"side"`
	Elapsed time.Duration `json:"elapsed"` // nanoseconds
	CPU     time.Duration `json:"cpu"`     // processor time of all cores
	// Count is how many of Unit were worked on.
	Count uint64 `json:"count"`
	Unit  string `json:"unit"`
}

// Rate returns the units worked on in a second of elapsed time.
func (s Stage) Rate() float64 { return float64(s.Count) / max(s.Elapsed.Seconds(), 1e-9) }

// Figures is what was measured.
type Figures struct {
	Protocol  Protocol         `json:"protocol"`
	Initiator int              `json:"initiator"` // digests
	Responder int              `json:"responder"` // digests
	Common    int              `json:"common"`
	Elapsed   time.Duration    `json:"elapsed"`  // nanoseconds, both sides
	CPU       [2]time.Duration `json:"cpu"`      // of the initiator and of the responder, all cores
	Sent      [2]uint64        `json:"sent"`     // bytes by the initiator and by the responder
	PeakHeap  uint64           `json:"peakHeap"` // bytes of heap in use, both sides together, digests and sets included
	Cores     int              `json:"cores"`
	Stages    []Stage          `json:"stages"`
}

// ElementsPerSecond returns the digests of both sides worked on in a second of elapsed time.
func (f Figures) ElementsPerSecond() float64 {
	return float64(f.Initiator+f.Responder) / max(f.Elapsed.Seconds(), 1e-9)
}

// BytesPerElement returns the bytes on the wire for each digest of the larger side.
func (f Figures) BytesPerElement() float64 {
	return float64(f.Sent[0]+f.Sent[1]) / float64(max(f.Initiator, f.Responder, 1))
}

// Errors of [Run].
var (
	// ErrSpec says that there is nothing such to run.
	ErrSpec = errors.New("nothing such to measure")
	// ErrResult says that a run ended with the wrong result.
	ErrResult = errors.New("the run ended with a wrong result")
)

// Run runs a match and measures it. Errors: [ErrSpec], [ErrResult], that of ctx.
func Run(ctx context.Context, spec Spec) (Figures, error) {
	if spec.Initiator < 0 || spec.Responder < 0 || spec.Common < 0 ||
		spec.Common > min(spec.Initiator, spec.Responder) || max(spec.Initiator, spec.Responder) > merkle.MaxCount {
		return Figures{}, fmt.Errorf("bench: %d and %d digests, %d in common: %w", spec.Initiator, spec.Responder, spec.Common, ErrSpec)
	}
	play := map[Protocol]func(context.Context, *run) error{Noise: playNoise, VOPRF: playVOPRF}[spec.Protocol]
	if play == nil {
		return Figures{}, fmt.Errorf("bench: protocol %q: %w", spec.Protocol, ErrSpec)
	}
	r := &run{
		Spec: spec,
		// The common digests are the last of the one and the first of the other.
		theirs: digests(0, spec.Initiator),
		ours:   digests(spec.Initiator-spec.Common, spec.Initiator-spec.Common+spec.Responder),
		figures: Figures{
			Protocol: spec.Protocol, Initiator: spec.Initiator, Responder: spec.Responder, Common: spec.Common,
			Cores: runtime.GOMAXPROCS(0),
		},
		transcript: sha256.Sum256([]byte("ihyid bench")),
	}
	runtime.GC()
	stop := r.watchHeap()
	began := time.Now()
	err := play(ctx, r)
	r.figures.Elapsed = time.Since(began)
	r.figures.PeakHeap = stop()
	if err != nil {
		return Figures{}, err
	}
	return r.figures, nil
}

// run is a run under way.
type run struct {
	Spec
	theirs, ours [][32]byte // the initiator's digests, the responder's
	transcript   [32]byte
	figures      Figures
}

// digests returns made-up digests.
func digests(first, last int) [][32]byte {
	out := make([][32]byte, 0, last-first)
	for i := first; i < last; i++ {
		out = append(out, sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))))
	}
	return out
}

// stage runs and measures a part of the run, of count units.
func (r *run) stage(side Side, name string, count int, unit string, work func(tell func(done uint64)) error) error {
	total := uint64(count)
	tell := func(done uint64) {
		if r.Progress != nil {
			r.Progress(name, done, total)
		}
	}
	tell(0)
	began, busy := time.Now(), cpuTime()
	if err := work(tell); err != nil {
		return fmt.Errorf("bench: %s: %s: %w", side, name, err)
	}
	s := Stage{Name: name, Side: side, Elapsed: time.Since(began), CPU: cpuTime() - busy, Count: total, Unit: unit}
	tell(total)
	r.figures.Stages = append(r.figures.Stages, s)
	r.figures.CPU[index(side)] += s.CPU
	return nil
}

// send counts bytes that a side sends.
func (r *run) send(side Side, bytes int) { r.figures.Sent[index(side)] += uint64(bytes) }

func index(side Side) int {
	if side == Responder {
		return 1
	}
	return 0
}

// sendCommitment passes a commitment to the other side as it would travel, and returns what arrives there.
func (r *run) sendCommitment(from Side, entries []byte, size int) (*merkle.Commitment, error) {
	c, err := merkle.Commit(entries, size)
	if err != nil {
		return nil, err
	}
	wire, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	r.send(from, len(wire)+len(entries))
	arrived := new(merkle.Commitment)
	if err := json.Unmarshal(wire, arrived); err != nil {
		return nil, err
	}
	return arrived, arrived.Validate(size, merkle.MaxCount)
}

// receive verifies all chunks of a set that has arrived, and gives each to use.
func receive(ctx context.Context, c *merkle.Commitment, entries []byte, use func(i int, chunk []byte) error) error {
	var last []byte
	for i := range c.Chunks() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := c.ChunkLen(i) * c.EntrySize
		chunk := entries[:n]
		entries = entries[n:]
		if err := c.VerifyChunk(i, chunk, merkle.Neighbours{Before: last}); err != nil {
			return err
		}
		last = chunk[n-c.EntrySize:]
		if err := use(i, chunk); err != nil {
			return err
		}
	}
	return nil
}

// row is the row of contact i of a side: made up, but as unordered as a random one.
func row(side Side, i int) answer.Row {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(side), uint64(i)))
	return answer.Row(h[:answer.RowSize])
}

// pairs makes the answers of a run in which contact i of the one side is contact j of the other.
func pairs(list [][2]int) ([]byte, error) {
	answers := make([]answer.Answer, len(list))
	for k, p := range list {
		answers[k] = answer.Answer{Initiator: row(Initiator, p[0]), Responder: row(Responder, p[1]), Keys: 1, Tier: answer.Match}
	}
	return answer.Encode(answers)
}

// check holds the pairs of contacts found against those that there are.
func (r *run) check(list [][2]int) error {
	if len(list) != r.Common {
		return fmt.Errorf("bench: %d matches, %d expected: %w", len(list), r.Common, ErrResult)
	}
	for _, p := range list {
		if r.theirs[p[0]] != r.ours[p[1]] {
			return fmt.Errorf("bench: a false match: %w", ErrResult)
		}
	}
	return nil
}

const heapMetric = "/memory/classes/heap/objects:bytes"

// watchHeap looks at the heap until the returned function is called, which returns the most that was in use.
func (r *run) watchHeap() func() uint64 {
	var peak atomic.Uint64
	look := func(sample []metrics.Sample) {
		metrics.Read(sample)
		peak.Store(max(peak.Load(), sample[0].Value.Uint64()))
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		sample := []metrics.Sample{{Name: heapMetric}}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			look(sample)
			select {
			case <-tick.C:
			case <-quit:
				look(sample)
				return
			}
		}
	}()
	return func() uint64 {
		close(quit)
		<-done
		return peak.Load()
	}
}
