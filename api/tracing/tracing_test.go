package tracing

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"ihyid/exchange"
)

func TestEndpoint(t *testing.T) {
	for given, want := range map[string]string{
		"https://collector.example.org":            "https://collector.example.org/v1/traces",
		"https://collector.example.org:4318/":      "https://collector.example.org:4318/v1/traces",
		"https://collector.example.org/otlp":       "https://collector.example.org/otlp/v1/traces",
		"http://127.0.0.1:4318":                    "http://127.0.0.1:4318/v1/traces",
		"http://[::1]:4318/v1/traces":              "http://[::1]:4318/v1/traces",
		"http://localhost:4318":                    "http://localhost:4318/v1/traces",
		"http://collector.example.org:4318":        "",
		"http://localhost.example.org:4318":        "",
		"https://sesame:sesame@collector.example/": "",
		"https://collector.example/?key=sesame":    "",
		"https://collector.example/#sesame":        "",
		"collector.example:4318":                   "",
		"file:///etc/passwd":                       "",
		"https:///v1/traces":                       "",
		"http://[::1":                              "",
		"":                                         "",
	} {
		got, err := endpoint(given)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", given, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: the error repeats a secret: %v", given, err)
		}
	}
}

type nobody struct{}

func (nobody) Send(context.Context, exchange.TransportRequest) (exchange.TransportResponse, error) {
	return exchange.TransportResponse{}, nil
}

// TestOffCostsNothing: a node without a collector pays nothing for it.
func TestOffCostsNothing(t *testing.T) {
	var off *Tracing
	ctx := t.Context()
	n := testing.AllocsPerRun(100, func() {
		got, span := off.Request(ctx, "local", "GET", "/status", "0123456789abcdef")
		if got != ctx || span != nil {
			t.Error("it makes a span")
		}
		span.Answered(200, "")
		off.Close()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	if off.Transport(nobody{}) != (nobody{}) {
		t.Error("it stands in the way of peers")
	}
}

// TestLogsOutsideATrace: lines that belong to no trace stay as they are, attributes and groups too.
func TestLogsOutsideATrace(t *testing.T) {
	var b strings.Builder
	l := slog.New(Logs(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	l.With("a", 1).WithGroup("g").Info("m", "b", 2)
	if b.String() != "level=INFO msg=m a=1 g.b=2\n" {
		t.Error(b.String())
	}
}
