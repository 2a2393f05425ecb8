package main

import (
	"context"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"ihyid/api"
	"ihyid/store/jobs"
)

// progress draws bars on a terminal. Away from a terminal it does nothing.
type progress struct {
	bars *mpb.Progress // nil: no terminal
	mu   sync.Mutex
	bar  *mpb.Bar
	once sync.Once
}

func (a *app) progress(ctx context.Context) *progress {
	if !a.terminal() {
		return &progress{}
	}
	return &progress{bars: mpb.NewWithContext(ctx, mpb.WithOutput(a.err), mpb.WithWidth(48))}
}

// upload shows how much of r has been read. size 0: not known.
func (p *progress) upload(name string, r io.Reader, size int64) io.Reader {
	if p.bars == nil {
		return r
	}
	p.replace(p.bars.AddBar(size,
		mpb.PrependDecorators(decor.Name(name+" ")),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name(" "), decor.AverageSpeed(decor.SizeB1024(0), "% .1f")),
		mpb.BarRemoveOnComplete()))
	return struct{ io.Reader }{p.bar.ProxyReader(r)}
}

// job shows how far a job is.
func (p *progress) job(name string) func(api.Job) {
	if p.bars == nil {
		return nil
	}
	var mu sync.Mutex
	note := ""
	p.replace(p.bars.AddBar(0,
		mpb.PrependDecorators(decor.Name(name+" ")),
		mpb.AppendDecorators(decor.Percentage(), decor.Any(func(decor.Statistics) string {
			mu.Lock()
			defer mu.Unlock()
			return note
		}), decor.Name(" "), decor.Elapsed(decor.ET_STYLE_MMSS)),
		mpb.BarRemoveOnComplete()))
	return func(j api.Job) {
		mu.Lock()
		note = jobNote(j)
		mu.Unlock()
		p.bar.SetTotal(int64(j.Total), false)
		p.bar.SetCurrent(int64(j.Done))
	}
}

// jobNote says beside a bar what it cannot show: how much of what, and why nothing moves.
func jobNote(j api.Job) string {
	var words []string
	switch {
	case j.State == jobs.Waiting:
		words = append(words, "waiting:", j.Message, j.Error)
	case j.Unit != "":
		words = append(words, strconv.FormatUint(j.Done, 10), j.Unit, j.Message)
	default:
		words = append(words, j.Message)
	}
	return clean(" " + strings.TrimSpace(strings.Join(words, " ")))
}

// replace takes the last bar away and keeps the new one.
func (p *progress) replace(bar *mpb.Bar) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Abort(true)
	}
	p.bar = bar
}

// stop takes all bars off the terminal. It may be called more than once.
func (p *progress) stop() {
	if p.bars == nil {
		return
	}
	p.once.Do(func() {
		p.replace(nil)
		p.bars.Shutdown()
	})
}
