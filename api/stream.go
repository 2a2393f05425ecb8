package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
)

// streamed describes an answer that is not JSON.
func streamed(contentType, description string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: description,
		Content:     map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
}

// begun notes whether anything was written.
type begun struct {
	io.Writer
	yes bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.yes = true
	return b.Writer.Write(p)
}

// download answers with what write writes. If write fails before its first byte the answer is a
// problem; after it the connection is cut, so that half a file is never taken for a whole one.
func (s *Server) download(contentType, name string, write func(context.Context, io.Writer) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humamux.Unwrap(hc)
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		out := &begun{Writer: w}
		err := write(r.Context(), out)
		switch {
		case err == nil:
		case !out.yes:
			w.Header().Del("Content-Disposition")
			fail(w, r, err)
		default:
			requestOf(r.Context()).cause = err
			panic(http.ErrAbortHandler)
		}
	}}
}

// watch answers with server-sent events: one named "job" whenever the job has changed, its data the
// job as JSON. The stream ends after the job's last event; a caller that was cut off before may
// ask again and misses nothing but values that a later one replaced. It also ends, at the next event
// or sign of life, when the caller's token, account or role is good for it no longer.
func (s *Server) watch(ctx context.Context, id string) (*huma.StreamResponse, error) {
	if _, err := s.jobs.Get(ctx, id); err != nil {
		return nil, err
	}
	if !s.watchers.take() {
		return nil, busy()
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer s.watchers.give()
		r, w := humamux.Unwrap(hc)
		requestOf(r.Context()).leave() // watchers have places of their own
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		changes, err := s.jobs.Watch(ctx, id)
		if err != nil {
			fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no") // a proxy must not hold events back
		flush := w.(http.Flusher)
		_, _ = io.WriteString(w, "retry: 1000\n\n")
		flush.Flush()
		quiet := time.NewTicker(s.limits.KeepAlive)
		defer quiet.Stop()
		for n := 1; ; {
			var err error
			select {
			case <-ctx.Done():
				return
			case <-s.stop:
				return // the caller asks again, and learns then whether the node came back
			case <-quiet.C:
				if !s.still(r) {
					return // it asks again, and is told why not
				}
				_, err = io.WriteString(w, ":\n\n")
			case job, ok := <-changes:
				if !ok {
					return
				}
				if !s.still(r) {
					return
				}
				data, merr := json.Marshal(jobOf(job))
				if merr != nil {
					requestOf(ctx).cause = merr
					panic(http.ErrAbortHandler)
				}
				_, err = io.WriteString(w, "id: "+strconv.Itoa(n)+"\nevent: job\ndata: "+string(data)+"\n\n")
				n++
				if job.State.Final() {
					flush.Flush()
					return
				}
			}
			if err != nil {
				return // the caller is gone
			}
			flush.Flush()
		}
	}}, nil
}
