package tracing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"ihyid/exchange"
	"ihyid/store/jobs"
)

const (
	// exportTimeout bounds one delivery to the collector, with the answer.
	exportTimeout = 10 * time.Second
	// drainTimeout bounds the last delivery, when the node stops.
	drainTimeout = 5 * time.Second
	// maxValue bounds an attribute, in characters. The program's own words are shorter; it is there for the day when somebody forgets that only they belong here.
	maxValue = 120
	// complainEvery is how often at most the log says that spans do not arrive.
	complainEvery = 10 * time.Minute
)

// Options say where spans go.
type Options struct {
	// Endpoint is the collector's base URL, to which v1/traces is added: https, or http on a loopback address.
	Endpoint string
	// Roots are certificates trusted beside the system's.
	Roots   []*x509.Certificate
	Version string       // of the program
	Logger  *slog.Logger // nil: silent
}

// Tracing makes spans. It is safe for concurrent use; nil is one that makes none.
type Tracing struct {
	provider   *sdktrace.TracerProvider
	tracer     trace.Tracer
	logger     *slog.Logger
	complained atomic.Int64 // when, in nanoseconds since 1970
}

// New makes a Tracing. It connects to nothing yet: a collector that is away keeps no node from starting. The environment variables OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER and OTEL_BSP_… mean what the OpenTelemetry specification says; it is Endpoint alone
// that says where spans go.
func New(ctx context.Context, o Options) (*Tracing, error) {
	target, err := endpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	var roots *x509.CertPool
	if len(o.Roots) > 0 {
		if roots, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("tracing: reading the system's root certificates: %w", err)
		}
		for _, c := range o.Roots {
			roots.AddCert(c)
		}
	}
	exporter, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(target),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithHTTPClient(&http.Client{
			Timeout:       exportTimeout,
			Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	t := &Tracing{logger: o.Logger}
	if t.logger == nil {
		t.logger = slog.New(slog.DiscardHandler)
	}
	// What the operator says in the environment goes before; a detector for host or process would tell their names, and the arguments.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "ihyid"), attribute.String("service.version", o.Version)), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("tracing: OTEL_RESOURCE_ATTRIBUTES cannot be read: %w", err)
	}
	limits := sdktrace.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxValue
	t.provider = sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about), sdktrace.WithRawSpanLimits(limits))
	t.tracer = t.provider.Tracer("ihyid")
	otel.SetErrorHandler(otel.ErrorHandlerFunc(t.failed))
	return t, nil
}

// endpoint checks the address of a collector, and adds the path of traces.
func endpoint(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Host == "", u.Opaque != "":
		return "", errors.New("it must be a URL such as https://collector.example.org:4318")
	case u.User != nil:
		return "", errors.New("it must hold no user name or password: put them into the environment variable OTEL_EXPORTER_OTLP_HEADERS")
	case u.RawQuery != "", u.Fragment != "":
		return "", errors.New("it must have no query and no fragment")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", errors.New("plain http goes to this machine only (127.0.0.1, localhost): use https, or a collector on this machine that passes the traces on")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("it must begin with https:// (or http:// for a collector on this machine)")
	}
	if !strings.HasSuffix(u.Path, "/v1/traces") {
		u = u.JoinPath("v1", "traces")
	}
	return u.String(), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// failed takes note that spans were lost. Why is a collector's or the network's word, so only its type is kept.
func (t *Tracing) failed(err error) {
	now := time.Now().UnixNano()
	last := t.complained.Load()
	if now-last < int64(complainEvery) || !t.complained.CompareAndSwap(last, now) {
		return
	}
	var timeout interface{ Timeout() bool }
	why := "it did not take them"
	var network *net.OpError
	switch {
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		why = "it did not answer in time"
	case errors.As(err, &network):
		why = "it cannot be reached"
	}
	t.logger.Warn("traces could not be delivered to the collector, and are dropped; the node works on", "why", why)
}

// Close delivers what waits, for at most 5 seconds, and ends the tracing.
func (t *Tracing) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.failed(err)
	}
}

// Span is a piece of work that was begun; nil is none.
type Span struct{ span trace.Span }

// Request begins the span of a request that is answered: side is one of the server's own words, method one that HTTP knows, route as the program writes
// it ("" where nothing is served), id the request's.
func (t *Tracing) Request(ctx context.Context, side, method, route, id string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	name := method
	attrs := []attribute.KeyValue{attribute.String("http.request.method", method), attribute.String("ihyid.side", side), attribute.String("ihyid.request", id)}
	if route != "" {
		name += " " + route
		attrs = append(attrs, attribute.String("http.route", route))
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attrs...))
	return ctx, &Span{span}
}

// Answered ends the span of a request. code is that of the problem that was answered, or "".
func (s *Span) Answered(status int, code string) {
	if s == nil {
		return
	}
	s.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if code != "" {
		s.span.SetAttributes(attribute.String("error.type", code))
	}
	if status >= 500 {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// Job begins the span of one run of a job; it is what [jobs.Options].Observe asks for.
func (t *Tracing) Job(ctx context.Context, j jobs.Job) (context.Context, func(jobs.State)) {
	ctx, span := t.tracer.Start(ctx, "job "+j.Kind, trace.WithNewRoot(), trace.WithAttributes(
		attribute.String("ihyid.job.kind", j.Kind), attribute.String("ihyid.job.id", j.ID), attribute.Int("ihyid.job.attempt", j.Attempts)))
	return ctx, func(state jobs.State) {
		span.SetAttributes(attribute.String("ihyid.job.state", string(state)))
		if state == jobs.Failed {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Stage begins the span of one step of an exchange; it is what [exchange.Options].Observe asks for.
func (t *Tracing) Stage(ctx context.Context, s exchange.Stage) (context.Context, func(outcome string)) {
	ctx, span := t.tracer.Start(ctx, "exchange "+string(s.State), trace.WithAttributes(
		attribute.String("ihyid.exchange.role", string(s.Role)), attribute.String("ihyid.exchange.protocol", s.Protocol), attribute.String("ihyid.exchange.state", string(s.State))))
	return ctx, func(outcome string) {
		if outcome != "" {
			span.SetAttributes(attribute.String("ihyid.exchange.outcome", outcome))
		}
		span.End()
	}
}

// Transport gives a transport that makes a span of every request to a peer. It adds nothing to what is sent.
func (t *Tracing) Transport(next exchange.Transport) exchange.Transport {
	if t == nil {
		return next
	}
	return transport{t, next}
}

type transport struct {
	t    *Tracing
	next exchange.Transport
}

func (p transport) Send(ctx context.Context, r exchange.TransportRequest) (exchange.TransportResponse, error) {
	ctx, span := p.t.tracer.Start(ctx, "peer "+r.Method+" "+r.Route, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", r.Method), attribute.String("http.route", r.Route)))
	defer span.End()
	resp, err := p.next.Send(ctx, r)
	switch {
	case err != nil:
		span.SetAttributes(attribute.String("error.type", "no-answer"))
		span.SetStatus(codes.Error, "")
	default:
		span.SetAttributes(attribute.Int("http.response.status_code", resp.Status))
		if resp.Status >= 400 {
			span.SetStatus(codes.Error, "")
		}
	}
	return resp, err
}

// Logs gives a handler that adds to each line the id of the trace within which it was written, so that log and traces can be read together.
func Logs(next slog.Handler) slog.Handler { return logs{next} }

type logs struct{ slog.Handler }

func (l logs) Handle(ctx context.Context, r slog.Record) error {
	if in := trace.SpanContextFromContext(ctx); in.IsSampled() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace", in.TraceID().String()))
	}
	return l.Handler.Handle(ctx, r)
}

func (l logs) WithAttrs(attrs []slog.Attr) slog.Handler { return logs{l.Handler.WithAttrs(attrs)} }
func (l logs) WithGroup(name string) slog.Handler       { return logs{l.Handler.WithGroup(name)} }
