package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics counts what a Server answers, in Prometheus form. Its labels are routes as the program writes them, methods that HTTP knows, sides and
// statuses: neither ids nor anything else that was sent.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	busy     *prometheus.CounterVec
}

// NewMetrics makes metrics with a registry of their own, which holds those of the Go runtime and of the process as well.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ihyid_http_requests_total", Help: "Requests answered."}, []string{"side", "method", "route", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ihyid_http_request_seconds", Help: "How long requests took, event streams left out.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30},
		}, []string{"side", "method", "route"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ihyid_http_response_bytes_total", Help: "Bytes of answers."}, []string{"side"}),
		busy:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ihyid_http_refused_total", Help: "Requests refused because of a limit."}, []string{"side"}),
	}
	m.registry.MustRegister(m.requests, m.took, m.bytes, m.busy, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observe counts one request.
func (m *Metrics) observe(side, method, route string, w *pacedWriter, took time.Duration) {
	if m == nil {
		return
	}
	method = knownMethod(method)
	if route == "" {
		route = "none"
	}
	m.requests.WithLabelValues(side, method, route, strconv.Itoa(w.status)).Inc()
	m.bytes.WithLabelValues(side).Add(float64(w.n))
	if w.status == http.StatusServiceUnavailable || w.status == http.StatusTooManyRequests {
		m.busy.WithLabelValues(side).Inc()
	}
	if w.Header().Get("Content-Type") != "text/event-stream" {
		m.took.WithLabelValues(side, method, route).Observe(took.Seconds())
	}
}

// handler serves /metrics, and whether the node lives and is ready, on a listener of its own.
func (s *Server) monitoring() http.Handler {
	router := newRouter()
	router.Path("/metrics").Methods(http.MethodGet).Handler(promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: s.limits.Drain}))
	router.Path(routeHealth).Methods(http.MethodGet, http.MethodHead).HandlerFunc(s.health)
	router.Path(routeReady).Methods(http.MethodGet, http.MethodHead).HandlerFunc(s.readiness)
	return router
}
