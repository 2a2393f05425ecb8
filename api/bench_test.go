package api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"ihyid/api"
	"ihyid/exchange"
	"ihyid/store/jobs"
)

// One message of 12 KiB, the size of a step of an exchange, over TLS and HTTP/2, without the node's own work.
func BenchmarkMessage(b *testing.B) {
	r := serve(b, &fakeNode{message: func(context.Context, []byte) (exchange.Reply, error) {
		return exchange.Reply{Presentation: []byte("{}")}, nil
	}})
	body := `{"a":"` + strings.Repeat("x", 12<<10) + `"}`
	for b.Loop() {
		resp, _ := ask(b, r.public, "POST", r.url+"/node/messages", strings.NewReader(body), "Content-Type", "application/vp")
		if resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// One chunk of 1 MiB in either direction.
func BenchmarkChunk(b *testing.B) {
	chunk := make([]byte, exchange.MaxChunk)
	r := serve(b, &fakeNode{getChunk: func(context.Context, string, string, string, uint32) ([]byte, error) { return chunk, nil }})
	at := r.url + "/node/exchanges/00ff/bundle/chunks/0"
	for name, body := range map[string]string{"PUT": string(chunk), "GET": ""} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				resp, _ := ask(b, r.public, name, at, strings.NewReader(body), "Content-Type", "application/octet-stream", "Authorization", "Bearer a")
				if resp.StatusCode >= 300 {
					b.Fatal(resp.Status)
				}
			}
		})
	}
}

// One read of the local API over the socket, without the node's own work.
func BenchmarkLocalRead(b *testing.B) {
	r := serve(b, &fakeNode{})
	for b.Loop() {
		if resp, _ := ask(b, r.local, "GET", "http://node/contacts/7", nil); resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// An upload over the socket that nobody reads into anything.
func BenchmarkUpload(b *testing.B) {
	const size = 64 << 20
	r := serve(b, &fakeNode{})
	r.reg.startImport = func(_ context.Context, body io.Reader, _ api.ImportOptions) (jobs.Job, error) {
		_, err := io.Copy(io.Discard, body)
		return jobs.Job{ID: "1"}, err
	}
	b.SetBytes(size)
	for b.Loop() {
		resp, _ := ask(b, r.local, "POST", "http://node/contacts/import", hidden{io.LimitReader(zeros{}, size)}, "Content-Type", "text/csv")
		if resp.StatusCode != http.StatusAccepted {
			b.Fatal(resp.Status)
		}
	}
}
