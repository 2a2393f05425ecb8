package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"

	"ihyid/store/jobs"
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

// event is a job as it stands on a stream: its JSON, and an id that says which state it is.
func eventOf(j jobs.Job) (id string, data []byte, err error) {
	if data, err = json.Marshal(jobOf(j)); err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(data)
	return strconv.FormatUint(j.Revision, 10) + "-" + hex.EncodeToString(sum[:8]), data, nil
}

// watch answers with server-sent events: one named "job" whenever the job has changed, its data the job as JSON, whole, so that each event stands for all before
// it. The stream begins with the job as it is, unless that is the state which the caller has (last, the id of the last event that it got): then it
// begins with the next change. What changed while nobody was connected is in the state that is sent, and shows in the id: the number in it counts the stored
// changes. A caller that has the last state of all is answered 204, which tells an EventSource to stop asking. The stream ends after the job's last
// event, and, at the next event or sign of life, when the caller's token, account or role is good for it no longer.
func (s *Server) watch(ctx context.Context, id, last string) (*huma.StreamResponse, error) {
	now, err := s.jobs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if has, _, err := eventOf(now); err == nil && now.State.Final() && has == last {
		return &huma.StreamResponse{Body: func(hc huma.Context) { hc.SetStatus(http.StatusNoContent) }}, nil
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
		for {
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
				id, data, merr := eventOf(job)
				if merr != nil {
					requestOf(ctx).cause = merr
					panic(http.ErrAbortHandler)
				}
				if id == last {
					continue // the caller has it
				}
				last = id
				_, err = io.WriteString(w, "id: "+id+"\nevent: job\ndata: "+string(data)+"\n\n")
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
