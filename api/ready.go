package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

const routeReady = "/readyz"

// ReadyCheck looks whether one thing that the node needs is there.
type ReadyCheck struct {
	Name  string // one word; it is shown to whoever asks
	Check func(context.Context) error
}

// readyLimit bounds how long the checks may take, and readyAge is how long their answer is good: whoever asks often must not keep the node busy.
const (
	readyLimit = 5 * time.Second
	readyAge   = time.Second
)

// ready keeps the last answer.
type ready struct {
	mu     sync.Mutex
	at     time.Time
	failed []string
}

// readiness says whether the node can work: its store, its keys, its disk. It names what cannot, and the log says why.
func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	if s.isStopping() {
		fail(w, r, errStopping)
		return
	}
	if failed := s.notReady(r.Context()); len(failed) > 0 {
		fail(w, r, newProblem(codeNotReady, "not ready: "+strings.Join(failed, ", ")+"; the node's log says why"))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, "application/json", []byte("{\"status\":\"ready\"}\n"))
}

func (s *Server) notReady(ctx context.Context) []string {
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	if now := s.now(); !s.ready.at.IsZero() && now.Sub(s.ready.at) < readyAge {
		return s.ready.failed
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyLimit)
	defer cancel()
	s.ready.failed = nil
	for _, c := range s.readyChecks {
		if err := c.Check(ctx); err != nil {
			s.ready.failed = append(s.ready.failed, c.Name)
			s.logger.ErrorContext(ctx, "the node is not ready", "check", c.Name, "error", err.Error())
		}
	}
	s.ready.at = s.now()
	return s.ready.failed
}
