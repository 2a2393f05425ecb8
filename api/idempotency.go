package api

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"ihyid/api/policy"
	"ihyid/api/replay"
	"ihyid/exchange"
)

// idempotent are the operations that create something, and take an Idempotency-Key.
var idempotent = map[string]bool{
	"contacts-create": true, "prototype-create": true, "prototype-import": true, "peers-add": true, "agreements-propose": true, "exchanges-start": true, "rpc-exchange": true,
}

// IdempotencyHeader carries a key that the caller makes up, so that a request can be sent again.
const IdempotencyHeader = "Idempotency-Key"

// once answers a request that carries an Idempotency-Key as it was answered before.
func (s *Server) once(operation string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := r.Header.Values(IdempotencyHeader)
		if len(keys) == 0 || s.replay == nil || !idempotent[operation] {
			next.ServeHTTP(w, r)
			return
		}
		if len(keys) != 1 || !replay.ValidKey(keys[0]) {
			fail(w, r, newProblem(exchange.CodeInvalid, replay.ErrKey.Error()))
			return
		}
		body, err := readBody(r, maxIdempotentBody)
		if err != nil {
			fail(w, r, err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		caller, _ := policy.CallerOf(r.Context())
		before, done, err := s.replay.Begin(r.Context(), caller.Account, operation, keys[0], body)
		if err != nil {
			fail(w, r, err)
			return
		}
		if before != nil {
			h := w.Header()
			h.Set("Content-Type", before.ContentType)
			h.Set("Cache-Control", "no-store")
			h.Set("Idempotency-Replayed", "true")
			if before.ETag != "" {
				h.Set("ETag", before.ETag)
			}
			w.WriteHeader(before.Status)
			_, _ = w.Write(before.Body)
			return
		}
		kept := &recording{ResponseWriter: w}
		var answer *replay.Answer
		defer func() { // a panic leaves answer nil: nothing is remembered, and the key is free again
			if err := done(answer); err != nil {
				s.logger.ErrorContext(r.Context(), "an answer could not be kept for its Idempotency-Key", "request", requestOf(r.Context()).id, "error", err.Error())
			}
		}()
		next.ServeHTTP(kept, r)
		if kept.status < 500 && kept.status != http.StatusTooManyRequests && kept.status != http.StatusRequestTimeout && !kept.long {
			answer = &replay.Answer{Status: kept.status, ContentType: w.Header().Get("Content-Type"), ETag: w.Header().Get("ETag"), Body: kept.body.Bytes(),
				Personal: !strings.HasPrefix(operation, "peers-") && !strings.HasPrefix(operation, "agreements-") && !strings.HasPrefix(operation, "exchanges-")}
		}
	})
}

const maxIdempotentBody = 1 << 20

// recording keeps what is answered, as far as it may be remembered.
type recording struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	long   bool
}

// Unwrap is for http.ResponseController.
func (w *recording) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recording) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recording) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.body.Len()+len(p) > replay.MaxBody {
		w.long = true
	} else {
		w.body.Write(p)
	}
	return w.ResponseWriter.Write(p)
}
