package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// Limits bounds what callers may use. A zero field stands for its default.
type Limits struct {
	PublicRequests int // under way at once on the public side; as many again of peers that have shown the token of an exchange
	Chunks         int // of them, chunks: each holds up to 1 MiB
	LocalRequests  int // under way at once on the local side
	CallerRequests int // under way at once of one account, one peer or one stranger's address; not at the socket
	CallerRate     int // requests a second of one of them, after a burst of twice as many
	Imports        int // of them, uploads of contact lists
	Verifications  int // of the public ones, documents being verified for anybody
	Watchers       int // event streams, counted apart
	Connections    int // open connections on the public side; the local side has a quarter

	BodyGrace time.Duration // how long a caller may send nothing
	BodyRate  int64         // bytes per second that a body from another node must reach beyond BodyGrace
	Header    time.Duration // until a request's header is there
	Idle      time.Duration // until a connection without a request is closed
	KeepAlive time.Duration // between comments on an event stream without events
	Drain     time.Duration // how long requests under way may go on when the node stops
}

// The default limits. A body from another node may come over a satellite link, so the rate is that
// of a bad modem; an attacker who stays above it gets its body read and holds one of the counted
// places for at most nine minutes.
const (
	DefaultPublicRequests = 256
	DefaultChunks         = 32
	DefaultLocalRequests  = 64
	DefaultCallerRequests = 32
	DefaultCallerRate     = 1000
	DefaultImports        = 2
	DefaultWatchers       = 64
	DefaultVerifications  = 4
	DefaultConnections    = 2048
	DefaultBodyGrace      = 30 * time.Second
	DefaultBodyRate       = 2 << 10
	DefaultHeader         = 10 * time.Second
	DefaultIdle           = 2 * time.Minute
	DefaultKeepAlive      = 15 * time.Second
	DefaultDrain          = 20 * time.Second
)

// Sizes of bodies, in bytes. Those of messages, chunks and lists are limits of exchange and register.
const (
	maxChallengeRequest = 8 << 10
	maxLocalBody        = 64 << 10
	maxAnonymousBody    = 16 << 20
)

func (l Limits) withDefaults() Limits {
	number := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	span := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	number(&l.PublicRequests, DefaultPublicRequests)
	number(&l.Chunks, DefaultChunks)
	number(&l.LocalRequests, DefaultLocalRequests)
	number(&l.CallerRequests, DefaultCallerRequests)
	number(&l.CallerRate, DefaultCallerRate)
	number(&l.Imports, DefaultImports)
	number(&l.Watchers, DefaultWatchers)
	number(&l.Verifications, DefaultVerifications)
	number(&l.Connections, DefaultConnections)
	span(&l.BodyGrace, DefaultBodyGrace)
	span(&l.Header, DefaultHeader)
	span(&l.Idle, DefaultIdle)
	span(&l.KeepAlive, DefaultKeepAlive)
	span(&l.Drain, DefaultDrain)
	if l.BodyRate <= 0 {
		l.BodyRate = DefaultBodyRate
	}
	return l
}

// places counts what is under way at once.
type places chan struct{}

func newPlaces(n int) places { return make(places, n) }

// take takes a place and gives true, or gives false at once when there is none.
func (p places) take() bool {
	select {
	case p <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p places) give() { <-p }

// busy is the problem of a caller for whom there is no place.
func busy() *Problem {
	return newProblem(codeBusy, "as many requests of this kind are under way as the node allows; ask again")
}

// pacedBody is a request's body whose deadline moves with what arrives. A body that stops, or that
// crawls, ends with an error whose Timeout is true.
type pacedBody struct {
	io.ReadCloser
	deadline func(time.Time) error
	now      func() time.Time
	grace    time.Duration
	rate     int64 // bytes per second beyond the grace; 0: only silence is limited
	start    time.Time
	n        int64
}

func (b *pacedBody) Read(p []byte) (int, error) {
	now := b.now()
	if b.start.IsZero() {
		b.start = now
	}
	until := now.Add(b.grace)
	if b.rate > 0 {
		until = b.start.Add(b.grace + time.Duration(b.n/b.rate)*time.Second)
	}
	if err := b.deadline(until); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	if err != nil {
		// The deadline must go with the body: net/http goes on reading the connection while the
		// handler works, takes a deadline that passes for the end of the client, and cancels the
		// request's context.
		_ = b.deadline(time.Time{})
	}
	return n, err
}

// pacedWriter gives every write of an answer its own deadline, and keeps what was answered for the log.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time
	grace   time.Duration
	rate    int64
	status  int
	n       int64
}

func newPacedWriter(w http.ResponseWriter, l Limits, now func() time.Time) *pacedWriter {
	return &pacedWriter{ResponseWriter: w, control: http.NewResponseController(w), now: now, grace: l.BodyGrace, rate: l.BodyRate}
}

// Unwrap is for http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *pacedWriter) WriteHeader(status int) {
	if status >= 200 && w.status == 0 {
		w.status = status
	}
	w.extend(0)
	w.ResponseWriter.WriteHeader(status)
}

func (w *pacedWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.extend(len(p))
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	_ = w.control.SetWriteDeadline(time.Time{}) // HTTP/2 resets a stream whose deadline passes between writes
	return n, err
}

// Flush sends what has been written so far.
func (w *pacedWriter) Flush() {
	w.extend(0)
	_ = w.control.Flush()
	_ = w.control.SetWriteDeadline(time.Time{})
}

// extend sets the deadline for writing n bytes. What cannot have one (a recorder in a test) goes without.
func (w *pacedWriter) extend(n int) {
	_ = w.control.SetWriteDeadline(w.now().Add(w.grace + time.Duration(int64(n)/w.rate)*time.Second))
}

// isTimeout reports whether err is a deadline that passed.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
